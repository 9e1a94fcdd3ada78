//! The log as its reader sees it: sentences with a subject, and one warning for one thing.

use std::path::Path;

use harness::{Mock, Process, Reply, chat_request, eventually, misbehave};
use http::Method;
use tempfile::TempDir;

use super::{NAME, write};

/// A server before these providers, with more of a configuration.
fn serve(folder: &TempDir, providers: &[(&str, &str)], rest: &str) -> Process {
    let entry = |(name, url): &(&str, &str)| format!("  - {{name: {name}, base_url: '{url}', api_key: k}}\n");
    let providers: String = providers.iter().map(entry).collect();
    let config = folder.path().join(NAME);
    write(&config, &format!("providers:\n{providers}{rest}"));
    Process::serve(&config)
}

fn quiet(strategy: &str) -> String {
    format!("routing: {{strategy: {strategy}, health_check: {{enabled: false}}}}\n")
}

async fn chat(process: &Process, model: &str) -> String {
    let mut body = chat_request();
    body["model"] = model.into();
    let answer = process.call(Method::POST, "/v1/chat/completions").await.json(&body).answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.provider().to_owned()
}

/// Ends it, so that the log is whole.
async fn whole_log(mut process: Process) -> String {
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    eventually("the last line", || async { process.stderr().contains("drained") }).await;
    process.stderr()
}

#[tokio::test]
async fn each_line_about_a_strategy_names_it_in_its_sentence() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = TempDir::new().expect("a temporary folder");
    let component: &Path = misbehave();
    let rest =
        format!("{}strategies: {{fixture: {{path: '{}', config: {{}}}}}}\n", quiet("fixture"), component.display());
    let process = serve(&folder, &[("a", &a.base_url())], &rest);
    for (deed, sentence) in [
        ("do:panic", "strategy fixture trapped: "),
        ("do:duplicate", "strategy fixture made an illegal decision: "),
        ("do:refuse", "strategy fixture has no order for this request: "),
    ] {
        chat(&process, deed).await;
        for sentence in [sentence, "strategy fixture is back"] {
            eventually(sentence, || async { process.stderr().contains(sentence) }).await;
        }
    }
}

#[tokio::test]
async fn an_attempt_that_puts_its_provider_out_is_one_warning() {
    let a = Mock::start("a", Reply::error(429, "slow down").header("retry-after", "60")).await;
    let b = Mock::start("b", Reply::status(401)).await;
    let c = Mock::start("c", Reply::error(500, "oops")).await;
    let d = Mock::start("d", Reply::chat("d")).await;
    let folder = TempDir::new().expect("a temporary folder");
    let urls = [&a, &b, &c, &d].map(Mock::base_url);
    let providers = [("aa", &*urls[0]), ("bb", &*urls[1]), ("cc", &*urls[2]), ("dd", &*urls[3])];
    let process = serve(&folder, &providers, &quiet("failover"));
    assert_eq!(chat(&process, "m").await, "dd");
    let log = whole_log(process).await;
    for (provider, words) in
        [("aa", "was throttled for 60 s"), ("bb", "was ejected for"), ("cc", "provider cc answered 500")]
    {
        let about = |line: &&str| line.contains("WARN") && line.contains(&format!("provider {provider} "));
        let lines: Vec<&str> = log.lines().filter(about).collect();
        let [line] = lines[..] else { panic!("one warning about {provider}, not {lines:?}") };
        assert!(line.contains(words), "{line}");
    }
    let told = |line: &str| line.contains("INFO") && line.contains("provider aa ") && line.contains("request_id");
    assert!(log.lines().any(told), "the request is named as well: {log}");
}
