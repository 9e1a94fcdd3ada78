//! Keys are in none of what operators are shown: the dashboard's pages and snapshots, stories, reports, events, the lists of
//! replicas and spending, the files of the ledger, the commands that read all this, and what a collector is sent.

use std::net::SocketAddr;
use std::path::Path;

use harness::{Call, Mock, Process, Reply, eventually};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{config, holds_no_key, key, parrot};
use crate::{run, write};

/// What browsers and programs read.
const SHOWN: [&str; 33] = [
    "/admin",
    "/admin?span=24h&provider=a",
    "/admin/charts.html",
    "/admin/charts.html?provider=b",
    "/admin/stories.html",
    "/admin/stories.html?outcome=failed&inner=1",
    "/admin/stories.html?since=soon",
    "/admin/why.html",
    "/admin/report.html",
    "/admin/report.html?by=fault,outcome,provider&outcome=failed",
    "/admin/report.html?by=colour",
    "/admin/events.html",
    "/admin/events.html?level=warn",
    "/admin/replicas.html",
    "/admin/config.html",
    "/admin/config.html?key=api_key",
    "/admin/login",
    "/admin/dashboard.js",
    "/admin/dashboard.css",
    "/admin/stories?limit=1000&inner=1",
    "/admin/report?by=client,provider,outcome&timeline=1",
    "/admin/report?by=model,fault",
    "/admin/events.json",
    "/admin/spend?by=client,provider,model",
    "/admin/spend?replicas=all",
    "/admin/replicas",
    "/admin/shadow",
    "/admin/keys",
    "/admin/keys/nobody",
    "/admin/openapi.json",
    "/health",
    "/ready",
    "/metrics",
];

/// Sends one request of a client; what comes back is searched by the test beside this one.
async fn ask(process: &Process, key: &str, body: &Value) {
    let call = process.call(Method::POST, "/v1/chat/completions?api_key=of-nobody").await;
    drop(call.header("authorization", &format!("Bearer {key}")).json(body).answer().await);
}

async fn operators(process: &Process) -> SocketAddr {
    let said = "operators are served at http://";
    eventually("the operators' listener is there", async || process.stderr().contains(said)).await;
    let log = process.stderr();
    let rest = log.split(said).nth(1).unwrap_or_default();
    let address: String = rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    address.parse().expect("an address")
}

async fn read(at: SocketAddr, path: &str) -> String {
    let call = Call::to(at, Method::GET, path).header("authorization", &format!("Bearer {}", key("admin")));
    let answer = call.answer().await;
    format!("{} {:?} {}", answer.status, answer.headers, answer.text())
}

/// All that is written below a folder.
fn contents(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    files.map(|file| String::from_utf8_lossy(&std::fs::read(file.path()).expect("a file")).into_owned()).collect()
}

#[tokio::test]
async fn no_key_is_in_pages_stories_reports_events_spans_or_the_ledger() {
    let (a, b) = (Mock::start("a", parrot("a")).await, Mock::start("b", parrot("b")).await);
    for (mock, name) in [(&a, "a"), (&b, "b")] {
        mock.list_models_by([Reply::error(401, &key(name)), Reply::models(&["m"])]);
    }
    let collector = Mock::start("collector", Reply::status(200)).await;
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("proxy_config.yaml");
    let more = |timeout: f64| {
        json!({
            "server": {"api_keys": [key("client"), key("other-client")], "admin": {"port": 0, "api_key": key("admin")}},
            "monitoring": {"ledger": {"path": "ledger"}, "explain": true, "labels": ["status", "model", "client"]},
            "telemetry": {
                "otlp": {
                    "endpoint": format!("http://{}", collector.address()),
                    "headers": {"x-collector-key": key("header")},
                },
                "traces": {"ratio": 1.0},
                "metrics": {"interval": 0.2},
            },
            "routing": {
                "strategy": "failover",
                "shadow": ["weighted"],
                "health_check": {"interval": 0.2, "cooldown": 0.01},
            },
            "queue": {"timeout": timeout},
        })
    };
    write(&file, &config(&a, &b, more(5.0)));
    let mut process = Process::serve(&file);
    let at = operators(&process).await;
    let admin = format!("Bearer {}", key("admin"));
    for status in
        ["success", "event", "named-event", "reason", "cut", "throttle", "400", "401", "403", "404", "500", "503"]
    {
        for stream in [false, true] {
            let body = json!({"model": status, "stream": stream, "messages": []});
            ask(&process, &key("client"), &body).await;
            ask(&process, &key("by-text"), &body).await;
        }
    }
    for client in ["expired", "bounded", "wrong"] {
        ask(&process, &key(client), &json!({"model": "m", "messages": []})).await;
    }
    // Reloads that change a secret, and one that is wrong, as events and pages tell of them.
    let changed = config(&a, &b, more(6.0)).replace(&key("a"), &key("b"));
    write(&file, &changed);
    let reload = || async {
        let call = Call::to(at, Method::POST, "/admin/reload").header("authorization", &admin);
        call.answer().await
    };
    let reloaded = reload().await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    write(&file, &config(&a, &b, more(-1.0)));
    let refused = reload().await;
    holds_no_key(&refused.text(), "a reload that is refused");
    let stories = read(at, "/admin/stories?limit=1000").await;
    assert!(stories.contains("\"by-text\"") && stories.contains("\"outcome\":\"failed\""), "{stories}");
    let ids: Vec<&str> = stories.split("\"request_id\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(ids.len() > 40, "{stories}");
    for path in SHOWN {
        let shown = read(at, path).await;
        assert!(!shown.starts_with("404") || path.contains("nobody") || path == "/admin/keys", "{path}: {shown}");
        holds_no_key(&shown, path);
    }
    for id in ids {
        for path in [format!("/admin/why.html?id={id}"), format!("/admin/stories/{id}")] {
            let shown = read(at, &path).await;
            assert!(shown.starts_with("200 "), "{shown}");
            holds_no_key(&shown, &path);
        }
    }
    let call = Call::to(at, Method::GET, "/admin/events").header("authorization", &admin);
    let snapshot = call.open().await.read_until("\n\n").await;
    assert!(snapshot.contains("\"tables\""), "{snapshot}");
    holds_no_key(&snapshot, "a snapshot");
    let url = format!("http://{at}");
    for arguments in [
        &["why"][..],
        &["why", "--json"],
        &["report", "--by", "client,fault,outcome"],
        &["events"],
        &["events", "--json"],
        &["replicas"],
        &["top", "--once", "--interval", "0.1", "--tab", "providers"],
        &["top", "--once", "--interval", "0.1", "--tab", "requests"],
        &["top", "--once", "--interval", "0.1", "--tab", "events"],
    ] {
        let mut command = Process::command(&[arguments, &["--url", &url]].concat());
        command.env("POINTSMAN_ADMIN_KEY", key("admin"));
        let (code, out, err) = run(command);
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        holds_no_key(&format!("{out}{err}"), &format!("{arguments:?}"));
    }
    let sent = async |path: &str| collector.requests().iter().any(|request| request.target == path);
    eventually("spans are sent", async || sent("/v1/traces").await).await;
    eventually("metrics are sent", async || sent("/v1/metrics").await).await;
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    let all = collector.requests();
    let body = |seen: &harness::Seen| String::from_utf8_lossy(&seen.body).into_owned();
    let spans: String = all.iter().filter(|seen| seen.target == "/v1/traces").map(body).collect();
    assert!(spans.contains("by-text") && spans.contains("pointsman"), "the names of clients are in spans");
    for seen in &all {
        holds_no_key(&body(seen), &seen.target);
    }
    let ledger = contents(&folder.path().join("ledger"));
    assert!(ledger.contains("\"by-text\""), "{ledger}");
    holds_no_key(&ledger, "the ledger");
    holds_no_key(&process.stderr(), "the log");
}
