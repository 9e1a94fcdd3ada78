//! Streams cut at every byte, as the official clients see them: the answer of another provider, or their own error.

use std::process::Command;

use harness::recorded::{RECORDED, replay};
use harness::{Mock, Proxy, tool};
use serde_json::{Map, Value, json};

use super::install::Package;
use super::{install, python, run};

/// Runs `client`, which asks for the streams `names` cut at every byte, before a provider that cuts and one that does not.
async fn see_them_cut(mut client: Command, names: &[&str]) {
    let a = Mock::start("a", replay()).await;
    let whole = harness::Script::by(|_, request| {
        let recorded = RECORDED.iter().find(|recorded| request.target.starts_with(recorded.path));
        harness::Reply::sse().body(recorded.expect("a recorded endpoint").stream)
    });
    let b = Mock::start("b", whole).await;
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(json!({"monitoring": {"track_errors": false}})).start().await;
    let recorded = RECORDED.iter().filter(|recorded| names.contains(&recorded.name));
    let lengths: Map<String, Value> = recorded
        .map(|recorded| (recorded.name.to_owned(), json!([recorded.committed(), recorded.stream.len()])))
        .collect();
    client.env("RECORDED", Value::Object(lengths).to_string());
    run(client, &proxy, "cut_streams").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai_for_python_raises_its_own_error_wherever_a_stream_is_cut() {
    see_them_cut(python(Package::OpenAi, "openai_client.py"), &["chat", "completions", "responses"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai_for_node_throws_its_own_error_wherever_a_stream_is_cut() {
    let mut node = tool("node");
    node.arg(install::node("openai_client.mjs"));
    see_them_cut(node, &["chat", "completions", "responses"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anthropic_for_python_raises_its_own_error_wherever_a_stream_is_cut() {
    see_them_cut(python(Package::Anthropic, "anthropic_client.py"), &["messages"]).await;
}
