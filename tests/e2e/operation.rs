//! What ships for others' tools: every metric that `docs/grafana.json` and `docs/alerts.yaml` ask for is one that `/metrics`
//! has, every expression is PromQL, and the alerts fire when they should.

use std::collections::BTreeSet;
use std::process::Command;

use harness::{Call, Engine, Mock, Proxy, Reply, Script, Seen, eventually, stream_request, workspace};
use http::Method;
use serde_json::{Value, json};

fn read(name: &str) -> String {
    std::fs::read_to_string(workspace().join(name)).expect("it is there")
}

/// The expressions of the dashboard.
fn expressions(dashboard: &Value) -> Vec<String> {
    match dashboard {
        Value::Object(fields) => {
            let own = fields.get("expr").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(expressions)).collect()
        }
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

fn dashboard() -> Vec<String> {
    let found = expressions(&serde_json::from_str(&read("docs/grafana.json")).expect("JSON"));
    assert!(found.len() > 40, "{}", found.len());
    found
}

/// The names of our metrics in a text, without what histograms add to theirs.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words =
        text.split(|c| !is_part(c)).filter(|word| word.starts_with("pointsman_") || word.starts_with("process_"));
    let base = |word: &str| {
        let parts = ["_bucket", "_sum", "_count"].into_iter().find_map(|part| word.strip_suffix(part));
        parts.unwrap_or(word).to_owned()
    };
    words.map(base).collect()
}

/// Runs promtool, which comes with Prometheus.
fn promtool(arguments: &[&str]) {
    let run = Command::new("promtool").args(arguments).output();
    let run = run.expect("promtool is missing: install the package prometheus");
    let said = [run.stdout, run.stderr].concat();
    assert!(run.status.success(), "promtool {arguments:?}:\n{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn every_metric_that_is_asked_for_is_one_that_there_is() {
    let engine = Engine::start().await;
    let limits = [("x-ratelimit-limit-requests", "100"), ("x-ratelimit-remaining-requests", "99")];
    let limited = move |reply: Reply| limits.iter().fold(reply, |reply, (name, value)| reply.header(name, value));
    let a = Mock::start("a", Reply::status(500)).await;
    let answer = move |_: usize, seen: &Seen| match seen.json()["stream"] == true {
        true => limited(Reply::stream(&["one", "two"])),
        false => limited(Reply::chat("hello")),
    };
    let b = Mock::start("b", Script::by(answer)).await;
    let key = "sk-client-search-000000000000";
    let proxy = Proxy::builder()
        .provider(&a, json!({"max_concurrent": 4}))
        .provider(&b, json!({}))
        .set(json!({
            "routing": {"strategy": "failover", "shadow": ["round_robin"]},
            "monitoring": {"labels": ["status", "model", "client"]},
            "state": engine.state(),
            "clients": {"unknown": "allow", "keys": [{"name": "search", "key": key, "limits": {"rpm": 1}}]},
            "prices": {"models": {"gpt-4": {"input": 1, "output": 1}}},
        }))
        .start()
        .await;
    let ask = async |body: &Value| {
        proxy.chat_call(body).header("authorization", &format!("Bearer {key}")).answer().await.status
    };
    assert_eq!(ask(&stream_request()).await, 200);
    assert_eq!(ask(&stream_request()).await, 429, "one a minute");
    assert_eq!(proxy.chat().await.status, 200);
    let asked = names(&(dashboard().join("\n") + &read("docs/alerts.yaml")));
    assert!(asked.len() > 40, "{asked:?}");
    // Only where limits and spend are kept in a file, and where decisions are recorded.
    let elsewhere = ["pointsman_state_file_failing", "pointsman_record_failing"];
    let missing = async || {
        let shown = names(&proxy.get("/metrics").await.text());
        let missing = asked.difference(&shown).filter(|name| !elsewhere.contains(&name.as_str()));
        missing.cloned().collect::<Vec<_>>()
    };
    let what = format!("there is what was missing at first: {:?}", missing().await);
    eventually(&what, async || missing().await.is_empty()).await;
}

#[tokio::test]
async fn the_metrics_of_files_are_there_where_there_are_files() {
    let place = tempfile::tempdir().expect("a folder");
    let a = Mock::start("a", Reply::chat("a")).await;
    let key = "operators-key-0123456789";
    let files = json!({
        "monitoring": {"record": place.path().join("decisions.ndjson")},
        "clients": {"unknown": "allow", "store": {"path": place.path().join("keys.redb")}},
        "server": {"admin": {"host": "127.0.0.1", "port": 0, "api_key": key}},
    });
    let proxy = Proxy::builder().provider(&a, json!({})).set(files).start().await;
    assert_eq!(proxy.chat().await.status, 200);
    let call = Call::to(proxy.operators(), Method::GET, "/metrics").header("authorization", &format!("Bearer {key}"));
    let shown = names(&call.answer().await.text());
    for name in ["pointsman_state_file_failing", "pointsman_record_failing"] {
        assert!(shown.contains(name), "{name} is missing in {shown:?}");
    }
}

#[test]
fn the_alerts_are_rules_that_fire_when_they_should() {
    let alerts = workspace().join("docs/alerts.yaml");
    promtool(&["check", "rules", alerts.to_str().expect("text")]);
    let place = tempfile::tempdir().expect("a folder");
    let test = read("tests/fixtures/alerts.yaml").replace("ALERTS", alerts.to_str().expect("text"));
    let file = place.path().join("alerts.yaml");
    std::fs::write(&file, test).expect("writable");
    promtool(&["test", "rules", file.to_str().expect("text")]);
}

#[test]
fn the_expressions_of_the_dashboard_are_expressions() {
    let filled = |expression: &String| {
        let filled = expression.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*");
        // What is left of dollars are references of label_replace.
        assert!(!filled.replace("\"$1\"", "").contains('$'), "{filled}");
        filled
    };
    let rules: Vec<Value> = dashboard()
        .iter()
        .enumerate()
        .map(|(number, expression)| json!({"record": format!("panel:{number}"), "expr": filled(expression)}))
        .collect();
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("rules.yaml");
    let rules = json!({"groups": [{"name": "panels", "rules": rules}]});
    std::fs::write(&file, rules.to_string()).expect("writable");
    promtool(&["check", "rules", file.to_str().expect("text")]);
}
