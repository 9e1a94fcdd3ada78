//! A replica and its engine, as operators see them: in the log.

use harness::{Engine, KEY, Mock, Process, Reply, chat_request, eventually};
use http::Method;
use serde_json::json;
use tempfile::TempDir;

async fn replica(mock: &Mock, engine: &Engine, folder: &TempDir) -> Process {
    let config = json!({
        "providers": [{"name": "one", "base_url": mock.base_url(), "api_key": KEY}],
        "routing": {"health_check": {"enabled": false}},
        "prices": {"models": {"gpt-4": {"input": 1_000_000, "output": 1_000_000}}},
        "routes": [{"name": "all", "models": ["*"], "budget": {"usd": 1000, "per": "total"}}],
        "state": engine.state(),
    });
    let path = folder.path().join("proxy_config.yaml");
    std::fs::write(&path, config.to_string()).expect("a temporary folder is writable");
    let process = Process::serve(&path);
    process.address().await;
    process
}

async fn chat(process: &Process) -> u16 {
    process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await.status
}

#[tokio::test]
async fn what_the_engine_was_not_told_at_the_end_is_said_in_one_line() {
    let (mock, mut engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let folder = TempDir::new().expect("a temporary folder");
    let mut process = replica(&mock, &engine, &folder).await;
    assert_eq!(chat(&process).await, 200);
    let spent = async || engine.ask(&["HGET", "pm:{r/all}:usd:total:total", "spent"]) == "2000000000";
    eventually("it is told", spent).await;
    engine.kill();
    eventually("it is out of reach", async || process.stderr().contains("the engine is out of reach")).await;
    assert_eq!(chat(&process).await, 200);
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    let log = process.stderr();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("is lost")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("of the limits of 1 owners is lost: 2 dollars of routes"), "{log}");
}

#[tokio::test]
async fn nothing_is_lost_where_the_engine_answers_and_a_policy_that_evicts_is_warned_of() {
    let mock = Mock::start("one", Reply::chat("hi")).await;
    let engine = Engine::with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let folder = TempDir::new().expect("a temporary folder");
    let mut process = replica(&mock, &engine, &folder).await;
    assert_eq!(chat(&process).await, 200);
    eventually("it is warned", async || process.stderr().contains("maxmemory-policy of the engine is allkeys-lru"))
        .await;
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    assert!(!process.stderr().contains("is lost"), "{}", process.stderr());
    assert_eq!(engine.ask(&["HGET", "pm:{r/all}:usd:total:total", "spent"]), "2000000000");
}
