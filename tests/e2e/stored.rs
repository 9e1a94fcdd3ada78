//! Requests for things stored at one provider: never another one after bytes were sent.

use harness::{Mock, Proxy, Reply};
use http::Method;
use serde_json::json;

const STORED: [(Method, &str); 6] = [
    (Method::GET, "/v1/files/file-1"),
    (Method::GET, "/v1/files/file-1/content"),
    (Method::POST, "/v1/batches/batch-1/cancel"),
    (Method::GET, "/v1/responses/resp-1"),
    (Method::DELETE, "/v1/responses/resp-1"),
    (Method::POST, "/v1/files"),
];

#[tokio::test]
async fn they_do_not_fail_over_after_bytes_were_sent() {
    for (method, path) in STORED {
        let (a, b) = (Mock::start("a", Reply::hang_up()).await, Mock::start("b", Reply::chat("b")).await);
        let proxy = Proxy::before([&a, &b]).await;
        let answer = proxy.call(method, path).answer().await;
        assert_eq!((answer.status, b.calls()), (502, 0), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn they_may_go_on_when_nothing_was_sent() {
    let (a, b) = (Mock::refusing("a").await, Mock::start("b", Reply::json(200, &json!({"id": "file-1"}))).await);
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.get("/v1/files/file-1").await;
    assert_eq!((answer.status, answer.provider()), (200, "b"));
}

#[tokio::test]
async fn they_go_to_the_same_provider_each_time_whatever_the_strategy() {
    let ok = Reply::json(200, &json!({"id": "file-1"}));
    let (a, b) = (Mock::start("a", ok.clone()).await, Mock::start("b", ok).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.strategy("round_robin").start().await;
    for _ in 0..4 {
        assert_eq!(proxy.get("/v1/files/file-1").await.status, 200);
    }
    assert!(a.calls() == 4 || b.calls() == 4, "{} and {}", a.calls(), b.calls());
}

#[tokio::test]
async fn a_providers_404_for_a_stored_thing_is_passed_on() {
    let (a, b) = (Mock::start("a", Reply::error(404, "no such file")).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.get("/v1/files/file-1").await;
    assert_eq!((answer.status, answer.message().as_str(), b.calls()), (404, "no such file", 0));
}

#[tokio::test]
async fn creating_a_response_fails_over_like_any_other_request() {
    let (a, b) = (Mock::start("a", Reply::hang_up()).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    assert_eq!(proxy.post("/v1/responses", &json!({"model": "gpt-4", "input": "Hi"})).await.provider(), "b");
}
