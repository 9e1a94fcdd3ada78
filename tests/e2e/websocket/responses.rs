//! WebSockets of responses, whose provider is found by the first message.

use harness::socket::PING;
use harness::{KEY, Mock, Proxy, Reply, Socket, eventually};
use serde_json::{Value, json};

use super::provider;

const ONE: &str = "sk-one-zq7-s3cr3t";

fn create(model: &str) -> Value {
    json!({"type": "response.create", "model": model, "input": "Hello", "store": false})
}

async fn open(proxy: &Proxy) -> Socket {
    proxy.knock("/v1/responses").header("openai-beta", "responses_websockets=2026-02-06").open().await
}

#[tokio::test]
async fn the_first_message_finds_the_provider_and_goes_on_with_its_model() {
    let a = Mock::start("a", Reply::error(500, "oops")).await;
    let b = provider("b").await;
    let c = provider("c").await;
    let map = json!({"model_map": {"gpt-4": "gpt-4-0613"}, "models": ["gpt-4"]});
    let proxy = Proxy::builder().provider(&a, map.clone()).provider(&b, map).provider(&c, json!({"models": ["other"]}));
    let proxy = proxy.start().await;
    let mut client = open(&proxy).await;
    client.send_frame(true, PING, b"anybody?").await;
    assert_eq!(client.next().await.expect("open").payload, b"anybody?");
    assert_eq!((a.calls(), b.calls()), (0, 0));
    client.event(&create("gpt-4")).await;
    let mut there = b.socket().await;
    assert_eq!(there.json().await, create("gpt-4-0613"));
    let seen = b.only_request();
    assert_eq!((seen.target.as_str(), seen.header("authorization")), ("/v1/responses", &*format!("Bearer {KEY}")));
    assert_eq!(seen.header("openai-beta"), "responses_websockets=2026-02-06");
    assert_ne!(seen.header("sec-websocket-key"), "dGhlIHNhbXBsZSBub25jZQ==");
    there.event(&json!({"type": "response.completed", "response": {"id": "r"}})).await;
    assert_eq!(client.json().await["type"], "response.completed");
    client.event(&create("gpt-4")).await;
    assert_eq!(there.json().await["model"], "gpt-4-0613");
    // Those of another provider need a connection of their own.
    client.event(&create("other")).await;
    let error = client.json().await;
    assert_eq!(
        (&error["type"], &error["status"], &error["error"]["code"]),
        (&json!("error"), &json!(400), &json!("invalid_event"))
    );
    client.close(1000, "").await;
    assert_eq!(there.closed().await.0, 1000);
}

#[tokio::test]
async fn what_comes_with_the_first_message_or_after_it_is_not_lost() {
    let a = provider("a").await;
    let proxy = Proxy::before([&a]).await;
    let mut client = open(&proxy).await;
    let frames =
        [create("gpt-4"), json!({"type": "x"})].map(|event| client.frame(true, 1, event.to_string().as_bytes()));
    client.send_raw(&frames.concat()).await;
    client.event(&json!({"type": "y"})).await;
    let mut there = a.socket().await;
    for expected in ["response.create", "x", "y"] {
        assert_eq!(there.json().await["type"], expected);
    }
}

#[tokio::test]
async fn a_refusal_is_an_event_and_a_close() {
    let a = Mock::start("a", Reply::error(400, "no such tool")).await;
    let proxy = Proxy::builder().provider(&a, json!({"models": ["gpt-4"]})).start().await;
    for (message, status, code, closes) in [
        (create("nobody").to_string(), 404, "model_not_found", 1008),
        (r#"{"type": "response.cancel"}"#.to_owned(), 400, "invalid_event", 1008),
        ("no JSON".to_owned(), 400, "invalid_event", 1008),
        (create("gpt-4").to_string(), 400, "mock_code", 1008),
    ] {
        let mut client = open(&proxy).await;
        client.send(&message).await;
        let error = client.json().await;
        assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(status)), "{message}");
        assert_eq!(error["error"]["code"], code, "{error}");
        assert_eq!(client.closed().await.0, closes);
        client.close(closes, "").await;
        client.ended().await;
    }
    let b = Mock::start("b", Reply::error(500, "oops")).await;
    let proxy = Proxy::before([&b]).await;
    let mut client = open(&proxy).await;
    client.event(&create("gpt-4")).await;
    assert_eq!(client.json().await["error"]["code"], "mock_code");
    assert_eq!(client.closed().await.0, 1011);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_before_and_after_the_first() {
    let a = provider("a").await;
    let set = json!({"server": {"max_body_bytes": 2000}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(set).start().await;
    let large = json!({"type": "response.create", "model": "gpt-4", "input": "x".repeat(5000)});
    let mut client = open(&proxy).await;
    client.event(&large).await;
    assert_eq!(client.closed().await.0, 1009);
    let mut client = open(&proxy).await;
    client.event(&create("gpt-4")).await;
    let mut there = a.socket().await;
    there.json().await;
    client.event(&large).await;
    assert_eq!(client.json().await["error"]["code"], "request_too_large");
    assert_eq!((client.closed().await.0, there.closed().await.0), (1009, 1001));
}

#[tokio::test]
async fn a_key_that_is_not_known_is_refused_with_http() {
    let a = provider("a").await;
    let keys = json!({"server": {"api_keys": ["client-key"]}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(keys).start().await;
    assert_eq!(proxy.knock("/v1/responses").refused().await.status, 401);
    let knock = proxy.knock("/v1/responses").header("authorization", "Bearer client-key");
    let mut client = knock.open().await;
    client.event(&create("gpt-4")).await;
    assert_eq!(a.socket().await.json().await["model"], "gpt-4");
}

#[tokio::test]
async fn a_client_may_use_its_models_alone_in_every_message() {
    let a = provider("a").await;
    let keys = json!({"clients": {"keys": [{"key": ONE, "name": "one", "models": ["gpt-4"]}]}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(keys).start().await;
    let mut client = proxy.knock("/v1/responses").header("authorization", &format!("Bearer {ONE}")).open().await;
    client.event(&create("gpt-4")).await;
    let mut there = a.socket().await;
    there.json().await;
    client.event(&create("o3")).await;
    let error = client.json().await;
    assert_eq!((&error["status"], &error["error"]["code"]), (&json!(403), &json!("model_not_allowed")));
    let mut other = proxy.knock("/v1/responses").header("authorization", &format!("Bearer {ONE}")).open().await;
    other.event(&create("o3")).await;
    assert_eq!(other.json().await["error"]["code"], "model_not_allowed");
}

#[tokio::test]
async fn a_client_that_leaves_while_a_provider_is_sought_gives_that_up() {
    let a = Mock::start("a", Reply::silence()).await;
    let proxy = Proxy::before([&a]).await;
    let mut client = open(&proxy).await;
    client.event(&create("gpt-4")).await;
    eventually("a is asked", async || a.serving() == 1).await;
    drop(client);
    eventually("a is left alone", async || a.serving() == 0 && a.only_request().left_at.is_some()).await;
    eventually("nothing is held", async || proxy.health_of(&a).await["in_flight"] == 0).await;
}
