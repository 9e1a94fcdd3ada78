//! Decisions recorded by a server and replayed from the command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{KEY, Mock, Process, Reply, chat_request};
use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::{run, write};

/// Serves 30 requests with this strategy before two providers, stops in good order, and says where the record is.
async fn recorded(strategy: &str, more: &str) -> (TempDir, PathBuf) {
    let (a, b) = (Mock::start("swift", Reply::chat("a")).await, Mock::start("calm", Reply::chat("b")).await);
    let folder = TempDir::new().expect("a temporary folder");
    let provider =
        |mock: &Mock| format!("  - {{name: {}, base_url: '{}', api_key: {KEY}}}\n", mock.name(), mock.base_url());
    let config = format!(
        "providers:\n{}{}routing: {{strategy: {strategy}, health_check: {{enabled: false}}}}\n\
         monitoring: {{record: deep/decisions.ndjson}}\n{more}",
        provider(&a),
        provider(&b)
    );
    let file = folder.path().join("proxy_config.yaml");
    write(&file, &config);
    let mut process = Process::serve(&file);
    for number in 0..30 {
        let mut body = chat_request();
        body["messages"][0]["content"] = format!("a secret question {number}").into();
        let answer = process.call(Method::POST, "/v1/chat/completions").await.json(&body).answer().await;
        assert_eq!(answer.status, 200);
    }
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    let log = folder.path().join("deep/decisions.ndjson");
    (folder, log)
}

fn strategy(arguments: &[&str], log: &Path) -> Command {
    let mut command = Process::command(&["strategy"]);
    command.args(arguments).arg(log);
    command
}

#[tokio::test]
async fn a_recorded_strategy_replays_to_the_same_decisions() {
    let (_folder, log) = recorded("least_latency", "").await;
    let text = std::fs::read_to_string(&log).expect("a record");
    assert_eq!(text.matches(r#""record":"decision""#).count(), 30, "{text}");
    assert!(text.contains("outcomes") && !text.contains(KEY) && !text.contains("secret question"), "{text}");
    let (code, stdout, stderr) = run(strategy(&["replay", "--strategy", "least_latency"], &log));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.starts_with("recorded and least_latency agree: 30 of 30 decisions are the same"), "{stdout}");
}

#[tokio::test]
async fn another_strategy_differs_and_the_report_says_where() {
    let (_folder, log) = recorded("failover", "").await;
    let (code, stdout, stderr) = run(strategy(&["replay", "--strategy", "round_robin"], &log));
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stdout.contains("differ in 15 of 30 decisions (50.00 %)") && stdout.contains("15  swift -> calm"),
        "{stdout}"
    );
    let (code, stdout, stderr) = run(strategy(&["diff", "failover", "round_robin", "--json"], &log));
    assert_eq!(code, Some(0), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(
        (&report["decisions"], &report["same"], &report["moves"]["swift -> calm"]),
        (&30.into(), &15.into(), &15.into())
    );
}

#[tokio::test]
async fn a_config_can_be_tried_on_recorded_traffic() {
    let config = "strategies: {canary: {config: {provider: calm, percent: 0}}}\n";
    let (folder, log) = recorded("canary", config).await;
    let all = folder.path().join("all.json");
    write(&all, r#"{"provider": "calm", "percent": 100}"#);
    let all = format!("@{}", all.display());
    let (code, stdout, stderr) = run(strategy(&["diff", "canary", "canary", "--config-b", &all], &log));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("differ in 30 of 30") && stdout.contains("30  swift -> calm"), "{stdout}");
}

#[tokio::test]
async fn wrong_arguments_say_what_would_be_right() {
    let (folder, log) = recorded("failover", "").await;
    let said = |arguments: &[&str], log: &Path| {
        let (code, _, stderr) = run(strategy(arguments, log));
        assert_eq!(code, Some(2), "{stderr}");
        stderr
    };
    let stderr = said(&["replay", "--strategy", "fastest"], &log);
    assert!(
        stderr.contains("fastest is neither a file nor a built-in strategy; built-in strategies: affinity, canary"),
        "{stderr}"
    );
    let stderr = said(&["replay", "--strategy", "failover"], Path::new("/no/such/record"));
    assert!(stderr.contains("/no/such/record: cannot be read"), "{stderr}");
    let stderr = said(&["replay", "--strategy", "failover"], &folder.path().join("proxy_config.yaml"));
    assert!(stderr.contains("line 1: is not one of a record"), "{stderr}");
    let stderr = said(&["diff", "failover", "canary"], &log);
    assert!(stderr.contains("strategy `canary` rejects its configuration"), "{stderr}");
    let stderr = said(&["diff", "failover", "canary", "--config-b", "{percent"], &log);
    assert!(stderr.contains("the config is not JSON"), "{stderr}");
}

#[tokio::test]
async fn a_record_that_cannot_be_written_stops_the_start() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = super::folder_with("proxy_config.yaml", &a, "monitoring: {record: proxy_config.yaml/x}\n");
    let config = folder.path().join("proxy_config.yaml");
    let (code, _, stderr) =
        run(Process::command(&["serve", "--port", "0", "--config", config.to_str().expect("text")]));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("monitoring.record: ") && stderr.contains("cannot be written"), "{stderr}");
}

#[tokio::test]
async fn a_record_holds_256_bytes_of_a_long_name_of_a_model() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("proxy_config.yaml");
    let config = format!(
        "providers:\n  - {{name: a, base_url: '{}', api_key: {KEY}}}\nmonitoring: {{record: decisions.ndjson}}\n",
        a.base_url()
    );
    write(&file, &config);
    let mut process = Process::serve(&file);
    let mut body = chat_request();
    body["model"] = format!("x{}", "ä".repeat(1 << 19)).into();
    let answer = process.call(Method::POST, "/v1/chat/completions").await.json(&body).answer().await;
    assert_eq!(answer.status, 200);
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    let text = std::fs::read_to_string(folder.path().join("decisions.ndjson")).expect("a record");
    let decision = text.lines().last().expect("a line");
    let decision: Value = serde_json::from_str(decision).expect("JSON");
    assert_eq!(decision["model"], format!("x{}", "ä".repeat(127)), "it reaches the provider whole");
}

#[tokio::test]
async fn a_replay_takes_a_strategy_and_its_config_from_the_proxys_configuration() {
    let more = "strategies: {canary: {config: {provider: calm, percent: 50}}}\n";
    let (folder, log) = recorded("canary", more).await;
    let config = folder.path().join("proxy_config.yaml");
    let given = ["--proxy-config", config.to_str().expect("text")];
    let (code, stdout, stderr) = run(strategy(&[&["replay", "--strategy", "canary"][..], &given].concat(), &log));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let (code, stdout, stderr) = run(strategy(&[&["diff"][..], &given, &["canary", "failover"]].concat(), &log));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.starts_with("canary and failover"), "{stdout}");
}
