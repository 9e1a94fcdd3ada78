//! The client's answer when no provider could answer.

use harness::{KEY, Mock, Proxy, Reply, stream_request};
use serde_json::json;

#[tokio::test]
async fn all_404_gives_the_last_404() {
    let a = Mock::start("a", Reply::error(404, "a does not know it")).await;
    let b = Mock::start("b", Reply::error(404, "b does not know it")).await;
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.message().as_str()), (404, "b does not know it"));
    assert_eq!(answer.provider(), "b");
}

#[tokio::test]
async fn all_timed_out_gives_504() {
    let (a, b) = (Mock::start("a", Reply::silence()).await, Mock::start("b", Reply::silence()).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(json!({"timeouts": {"request": 0.2}})).start().await;
    let answer = proxy.chat().await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(answer.header("x-should-retry"), "false");
}

#[tokio::test]
async fn mixed_failures_give_502_that_names_every_provider_and_why() {
    let (a, b) = (Mock::start("alpha", Reply::status(500)).await, Mock::refusing("beta").await);
    let c = Mock::start("gamma", Reply::error(429, "slow down")).await;
    let proxy = Proxy::before([&a, &b, &c]).await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "all_providers_failed"));
    let message = answer.message();
    for word in ["alpha", "500", "beta", "refused", "gamma", "rate limit"] {
        assert!(message.contains(word), "{word:?} is missing in {message:?}");
    }
    assert_eq!(answer.header("x-should-retry"), "false");
    assert_eq!(answer.header("x-pointsman-attempts"), "3");
}

#[tokio::test]
async fn the_error_holds_neither_keys_nor_addresses() {
    let (a, b) = (Mock::start("a", Reply::error(500, KEY)).await, Mock::refusing("b").await);
    let proxy = Proxy::before([&a, &b]).await;
    let text = proxy.chat().await.text();
    let (address_a, address_b) = (a.address().port().to_string(), b.address().port().to_string());
    for secret in [KEY, "127.0.0.1", &address_a, &address_b] {
        assert!(!text.contains(secret), "{secret:?} is in {text:?}");
    }
}

#[tokio::test]
async fn when_none_was_healthy_and_the_last_resort_failed_the_message_says_so() {
    let (a, b) = (Mock::start("a", Reply::status(401)).await, Mock::start("b", Reply::status(401)).await);
    let proxy = Proxy::before([&a, &b]).await;
    assert!(!proxy.chat().await.message().contains("No healthy providers available"), "they were healthy at first");
    let answer = proxy.chat().await;
    assert_eq!(answer.status, 502);
    assert!(answer.message().contains("No healthy providers available"), "{}", answer.message());
}

#[tokio::test]
async fn own_errors_have_openais_shape_and_say_who_failed() {
    let a = Mock::start("a", Reply::status(500)).await;
    let proxy = Proxy::before([&a]).await;
    let answer = proxy.chat().await;
    let json = answer.json();
    let mut keys: Vec<&String> = json["error"].as_object().expect("an object").keys().collect();
    keys.sort();
    assert_eq!(keys, ["code", "message", "param", "type"]);
    assert!(json["error"]["type"].as_str().unwrap_or_default().contains("provider"), "{json}");
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_stream_that_nobody_begins_is_a_plain_error() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::sse().cut()).await);
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.chat_call(&stream_request()).answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "all_providers_failed"));
}
