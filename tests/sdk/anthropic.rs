//! The official package of Anthropic for Python, which asks `/v1/messages` and shows its key in `x-api-key`.

use harness::{Mock, Proxy, Reply, Script};
use serde_json::{Value, json};

use super::install::Package;
use super::{before, python, run};

/// Runs one function of `anthropic_client.py`.
async fn client(proxy: &Proxy, function: &'static str) {
    run(python(Package::Anthropic, "anthropic_client.py"), proxy, function).await;
}

/// The message that the answers carry, less what comes later in a stream.
fn message(content: &Value, stop_reason: Option<&str>, output_tokens: u32) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": content,
        "stop_reason": stop_reason, "stop_sequence": null,
        "usage": {"input_tokens": 1, "output_tokens": output_tokens},
    })
}

fn answers() -> Script {
    Script::by(|_, request| {
        assert_eq!((request.target.as_str(), request.header("anthropic-version").is_empty()), ("/v1/messages", false));
        Reply::json(200, &message(&json!([{"type": "text", "text": "Hello from a"}]), Some("end_turn"), 3))
    })
}

/// One event of a stream, whose type stands in both places.
fn event(reply: Reply, data: &Value) -> Reply {
    let name = data["type"].as_str().expect("an event has a type");
    reply.body(format!("event: {name}\ndata: {data}\n\n"))
}

/// A stream up to its first word.
fn begins() -> Reply {
    let start = json!({"type": "message_start", "message": message(&json!([]), None, 0)});
    let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    word(event(event(Reply::sse(), &start), &block), "Hello")
}

fn word(reply: Reply, text: &str) -> Reply {
    let delta = json!({"type": "text_delta", "text": text});
    event(reply, &json!({"type": "content_block_delta", "index": 0, "delta": delta}))
}

#[tokio::test]
async fn a_message() {
    let (_a, proxy) = before(answers()).await;
    client(&proxy, "message").await;
}

#[tokio::test]
async fn a_stream() {
    let end = json!({"stop_reason": "end_turn", "stop_sequence": null});
    let mut whole = word(word(begins(), " from"), " a");
    for last in [
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": end, "usage": {"output_tokens": 3}}),
        json!({"type": "message_stop"}),
    ] {
        whole = event(whole, &last);
    }
    let (_a, proxy) = before(whole).await;
    client(&proxy, "stream").await;
}

#[tokio::test]
async fn a_wrong_client_key_is_an_authentication_error() {
    let a = Mock::start("a", answers()).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"server": {"api_keys": ["another-key"]}})).start().await;
    client(&proxy, "authentication_error").await;
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn the_key_in_its_own_header_is_the_clients_and_stays_here() {
    let a = Mock::start("a", answers()).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"server": {"api_keys": ["client-key"]}})).start().await;
    client(&proxy, "message").await;
    assert_ne!(a.only_request().header("x-api-key"), "client-key");
}

#[tokio::test]
async fn the_clients_fault_is_a_bad_request_error() {
    let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}});
    let (a, proxy) = before(Reply::json(400, &error)).await;
    client(&proxy, "bad_request_error").await;
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn throttled_providers_are_a_rate_limit_error() {
    let (a, proxy) = before(Reply::error(429, "slow down").header("retry-after", "90")).await;
    client(&proxy, "rate_limit_error").await;
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn failed_providers_are_an_internal_server_error_and_the_sdk_does_not_retry() {
    let (a, proxy) = before(Reply::status(500)).await;
    client(&proxy, "internal_server_error").await;
    assert_eq!(a.calls(), 3, "the proxy's own attempts");
}
