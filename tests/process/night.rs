//! What an operator asks at night: `pointsman report`, `events`, `top` and `why`, of a running server and of a ledger's folder,
//! and the fields of the log's lines in `docs/operations.md`.

use std::path::PathBuf;

use harness::{Mock, Process, Reply, chat_request, eventually, workspace};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{NAME, run, write};

/// A server before one provider that fails and one that answers, after five requests; and the folder of its ledger.
struct Night {
    process: Process,
    folder: TempDir,
    ids: Vec<String>,
    _mocks: [Mock; 2],
}

fn completion() -> Reply {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100});
    Reply::json(200, &json!({"id": "1", "model": "m", "choices": [choice], "usage": usage}))
}

impl Night {
    async fn begin(more: &str) -> Self {
        let broken = Mock::start("broken", Reply::error(401, "out of credit")).await;
        let sound = Mock::start("sound", completion()).await;
        let folder = TempDir::new().expect("a temporary folder");
        write(&folder.path().join(NAME), &Self::config([&broken, &sound], 1, more));
        let process = Process::serve(&folder.path().join(NAME));
        let mut ids = Vec::new();
        for _ in 0..5 {
            let answer = process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            ids.push(answer.header("x-request-id").to_owned());
        }
        let night = Self { process, folder, ids, _mocks: [broken, sound] };
        eventually("the stories are kept", async || {
            let stories = night.process.call(Method::GET, "/admin/stories").await.answer().await.json();
            stories["stories"].as_array().is_some_and(|stories| stories.len() == 5)
        })
        .await;
        night
    }

    fn config(mocks: [&Mock; 2], weight: u32, more: &str) -> String {
        let entry = |mock: &Mock| {
            format!("  - {{name: {}, base_url: '{}', api_key: k, weight: {weight}}}\n", mock.name(), mock.base_url())
        };
        format!(
            "providers:\n{}{}routing: {{strategy: failover, health_check: {{enabled: false, cooldown: 600}}}}\n\
             prices: {{models: {{gpt-4: {{input: 10, output: 100}}}}}}\nmonitoring: {{ledger: {{path: ledger}}{more}}}\n",
            entry(mocks[0]),
            entry(mocks[1])
        )
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// Asks the running server by a command; it must go well.
    async fn ask(&self, arguments: &[&str]) -> String {
        let url = format!("http://{}", self.process.address().await);
        let arguments = [arguments, &["--url", &url]].concat();
        let (code, out, err) = run(Process::command(&arguments));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}: {out}");
        out
    }
}

#[tokio::test]
async fn a_report_is_the_same_of_the_server_and_of_its_folder() {
    let mut night = Night::begin("").await;
    let table = night.ask(&["report", "--by", "provider,status"]).await;
    assert!(table.starts_with("5 requests from "), "{table}");
    let row = table.lines().find(|line| line.starts_with("sound ")).expect("a row");
    let words: Vec<&str> = row.split_whitespace().collect();
    // A refused key ejects the broken one; 1000 * 10 + 100 * 100 dollars for a million, five times.
    assert_eq!(words[..10], ["sound", "200", "5", "0", "1", "(20.0", "%)", "5000", "0", "500"], "{table}");
    assert_eq!(words[10], "0.1000", "{table}");
    let json: Value = serde_json::from_str(&night.ask(&["report", "--by", "provider", "--json"]).await).expect("JSON");
    assert_eq!((&json["total"]["requests"], &json["total"]["nano_dollars"]), (&json!(5), &json!(100_000_000)));
    let csv = night.ask(&["report", "--by", "provider", "--csv", "--outcome", "failed_over"]).await;
    assert!(csv.lines().nth(1).is_some_and(|line| line.starts_with("sound,1,0,1,1000,100,")), "{csv}");
    let page = night.folder.path().join("report.html");
    night.ask(&["report", "--html", page.to_str().expect("text")]).await;
    let page = std::fs::read_to_string(page).expect("written");
    assert!(page.contains("<svg") && page.contains("gpt-4") && !page.contains("http"), "{page}");
    let why = night.ask(&["why", &night.ids[0]]).await;
    assert!(why.contains("Attempt 1 at broken") && why.contains("Attempt 2 at sound"), "{why}");
    night.process.signal("TERM");
    assert_eq!(night.process.exit_code().await, Some(0));
    let folder = night.ledger();
    let folder = folder.to_str().expect("text");
    let (code, out, err) = run(Process::command(&["report", "--by", "provider", "--json", "--ledger", folder]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let read: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(read["rows"], json["rows"]);
    let (code, _, err) = run(Process::command(&["report", "--by", "colour", "--ledger", folder]));
    assert!(code == Some(2) && err.contains("--by may have client, group, "), "{err}");
    let (code, _, err) = run(Process::command(&["report", "--ledger", "no/such/folder"]));
    assert!(code == Some(1) && err.contains("no/such/folder cannot be read"), "{err}");
}

#[tokio::test]
async fn what_changed_is_listed_with_the_ejections_before_it() {
    let night = Night::begin("").await;
    write(&night.folder.path().join(NAME), &Night::config([&night._mocks[0], &night._mocks[1]], 3, ""));
    let reload = night.process.call(Method::POST, "/admin/reload").await.answer().await;
    assert_eq!(reload.status, 200, "{}", reload.text());
    let events = night.ask(&["events", "--since", "1h"]).await;
    let place = |text: &str| events.find(text).unwrap_or_else(|| panic!("{text} is missing in\n{events}"));
    assert!(place("listening on ") < place("! provider  provider broken was ejected"), "{events}");
    assert!(place("was ejected") < place("reload    changed: providers[broken].weight: 1 -> 3"), "{events}");
    assert!(!events.contains("/v1/chat/completions"), "no lines of requests: {events}");
    let page = night.process.call(Method::GET, "/admin/events.html?since=1h&kind=reload").await.answer().await.text();
    assert!(page.contains("changed: providers[broken].weight: 1 -&gt; 3"), "{page}");
    let warnings = night.ask(&["events", "--kind", "provider", "--level", "warn", "--text", "broken", "--json"]).await;
    let warnings: Value = serde_json::from_str(&warnings).expect("JSON");
    assert_eq!(warnings["events"][0]["fields"]["provider"], "broken");
    assert_eq!(night.ask(&["events", "--until", "1h"]).await.trim(), "Nothing has happened.");
}

#[tokio::test]
async fn a_log_that_is_silent_does_not_hide_events() {
    let night = Night::begin(", log_level: ERROR").await;
    assert!(!night.process.stderr().contains("ejected"));
    assert!(night.ask(&["events"]).await.contains("provider broken was ejected"));
}

#[tokio::test]
async fn top_prints_a_frame_of_each_of_its_tabs() {
    let night = Night::begin("").await;
    let once = |tab: &'static str| night.ask_once(tab);
    let providers = once("providers").await;
    let row = |text: &str, begin: &str| {
        let found = text.lines().find(|line| line.starts_with(begin)).map(str::to_owned);
        found.unwrap_or_else(|| panic!("{begin} is missing in\n{text}"))
    };
    assert!(row(&providers, "broken ").contains("ejected"), "{providers}");
    assert!(row(&providers, "sound ").contains("admitted"), "{providers}");
    assert!(once("routes").await.contains("every model at broken, sound"));
    assert!(row(&once("strategies").await, "failover ").contains("healthy"));
    assert!(row(&once("clients").await, "(without a name) ").contains("0.1000"));
    let requests = once("requests").await;
    assert!(night.ids.iter().all(|id| requests.contains(id)), "{requests}");
    assert!(once("events").await.contains("provider broken was ejected"));
    let url = format!("http://{}", night.process.address().await);
    let (code, _, err) = run(Process::command(&["top", "--url", &url]));
    assert!(code == Some(2) && err.contains("--once"), "without a terminal: {err}");
}

impl Night {
    async fn ask_once(&self, tab: &str) -> String {
        self.ask(&["top", "--once", "--interval", "0.1", "--width", "200", "--tab", tab]).await
    }
}

/// The words in backticks of the first column of the tables under a heading of `docs/operations.md`.
fn documented(heading: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace().join("docs/operations.md")).expect("it is there");
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading");
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

#[tokio::test]
async fn the_fields_of_lines_and_stories_are_those_that_the_documentation_lists() {
    let night = Night::begin(", log_format: json").await;
    let lines = documented("The log as JSON");
    let log = night.process.stderr();
    let parsed = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_requests: Vec<Value> = parsed.filter(|line| !line["duration_ms"].is_null()).collect();
    assert_eq!(of_requests.len(), 5, "{log}");
    for line in &of_requests {
        let unknown: Vec<&String> =
            line.as_object().expect("an object").keys().filter(|key| !lines.contains(key)).collect();
        assert!(unknown.is_empty(), "{unknown:?} of {line} are not in the documentation: {lines:?}");
    }
    let fields = documented("Stories");
    let stories = night.process.call(Method::GET, "/admin/stories").await.answer().await.json();
    for story in stories["stories"].as_array().expect("a list") {
        let unknown: Vec<&String> =
            story.as_object().expect("an object").keys().filter(|key| !fields.contains(key)).collect();
        assert!(unknown.is_empty(), "{unknown:?} are not in the documentation: {fields:?}");
    }
}
