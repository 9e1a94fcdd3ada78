//! The official package of OpenAI for Node.

use std::io::Write as _;
use std::process::{Command, Stdio};

use harness::{Mock, Proxy, Reply, Script, eventually, tool};
use serde_json::json;

use super::{answers, before, embeds, every_second, for_azure, install, run, transcribes};

fn node() -> Command {
    let mut command = tool("node");
    command.arg(install::node("openai_client.mjs"));
    command
}

/// Runs one function of `openai_client.mjs` against a provider that does this.
async fn client(script: impl Into<Script>, function: &'static str) -> Mock {
    let (a, proxy) = before(script).await;
    run(node(), &proxy, function).await;
    a
}

#[tokio::test]
async fn chat() {
    client(Reply::chat("Hello from a"), "chat").await;
}

#[tokio::test]
async fn many_at_once() {
    let a = client(Reply::chat("Hello from a"), "many").await;
    assert_eq!(a.calls(), 8);
}

#[tokio::test]
async fn a_stream() {
    client(Reply::stream(&["Hello", " from", " a"]), "stream").await;
}

#[tokio::test]
async fn approaches() {
    client(answers(), "approaches").await;
}

#[tokio::test]
async fn embeddings() {
    client(embeds(), "embeddings").await;
}

#[tokio::test]
async fn models() {
    let (a, proxy) = before(Reply::chat("a")).await;
    a.list_models_by(Reply::models(&["gpt-4", "meta/llama-3"]));
    run(node(), &proxy, "models").await;
}

#[tokio::test]
async fn a_transcription() {
    client(transcribes(), "transcription").await;
}

#[tokio::test]
async fn the_clients_fault_is_a_bad_request_error() {
    let a = client(Reply::error(400, "too long"), "bad_request_error").await;
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn throttled_providers_are_a_rate_limit_error_and_what_the_sdk_retries_does_not_reach_them() {
    let a = client(Reply::error(429, "slow down").header("retry-after", "90"), "rate_limit_error").await;
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn failed_providers_are_an_internal_server_error_and_the_sdk_does_not_retry() {
    let a = client(Reply::status(500), "internal_server_error").await;
    assert_eq!(a.calls(), 3, "the proxy's own attempts");
}

#[tokio::test]
async fn ten_calls_to_one_provider_that_fails_every_second_request_succeed_ten_times() {
    for fails in [Reply::status(500), Reply::error(429, "slow down")] {
        client(every_second(fails), "ten_calls").await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_its_stream_leaves_the_provider() {
    let a = Mock::start("a", Reply::sse().word("Hello").hang()).await;
    let proxy = Proxy::builder().provider(&a, json!({"max_concurrent": 1})).start().await;
    let mut command = node();
    command.arg("leaves_a_stream").env("OPENAI_BASE_URL", format!("http://{}/v1", proxy.address()));
    command.env("OPENAI_API_KEY", "client-key").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Node starts");
    // The process goes on until its standard input ends.
    eventually("the provider is left", async || a.requests().iter().any(|seen| seen.left_at.is_some())).await;
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"\n").expect("it waits");
    drop(stdin);
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("no panic").expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&output.stdout).trim(), "ok", "{}", text(&output.stderr));
}

#[tokio::test]
async fn the_class_for_azure_with_deployments_and_a_key_in_its_own_header() {
    for_azure(node()).await;
}
