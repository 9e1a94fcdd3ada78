//! Every configuration of the specification starts and serves, with its variables set.
//!
//! `config/valid/readme_*.yaml` are the unchanged examples. Their addresses are those of real providers, so
//! each base URL is replaced by a mock's; nothing else is changed.

use harness::{Mock, Proxy, Reply, workspace};
use serde_json::json;

/// The names in `${NAME}` and `${NAME:-default}`.
fn variables(text: &str) -> Vec<&str> {
    let name = |rest: &'_ str| rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    text.split("${").skip(1).map(|rest| &rest[..name(rest).unwrap_or(rest.len())]).collect()
}

#[tokio::test]
async fn every_example_of_the_specification_serves() {
    let mut served = 0;
    for entry in std::fs::read_dir(workspace().join("tests/config/valid")).expect("the examples are there") {
        let path = entry.expect("readable").path();
        if !path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("readme_")) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("readable");
        let a = Mock::start("a", Reply::chat("served")).await;
        let redirected = text.lines().map(|line| match line.split_once("base_url:") {
            Some((indent, _)) => format!("{indent}base_url: {}\n", a.base_url()),
            None => format!("{line}\n"),
        });
        let yaml = redirected.collect::<String>() + "server: {host: 127.0.0.1, port: 0}\n";
        let set = |builder: harness::ProxyBuilder, name| builder.environment(name, "sk-set");
        let proxy = variables(&text).into_iter().fold(Proxy::builder(), set).start_yaml(&yaml).await;
        let answer = proxy.chat_call(&json!({"model": "proxy-gpt-4", "messages": []})).answer().await;
        assert_eq!((answer.status, answer.content().as_str()), (200, "served"), "{path:?}: {}", answer.text());
        served += 1;
    }
    assert!(served >= 9, "the specification has nine whole examples or more, {served} were found");
}
