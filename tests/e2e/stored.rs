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

fn made(id: &str) -> Reply {
    Reply::json(200, &json!({"id": id, "object": "response", "output": [{"type": "message"}]}))
}

/// Two providers of which `b` answers the first request for a response, since `a` refuses that one.
async fn with_a_home_at_b(reply: Reply) -> (Mock, Mock, Proxy) {
    let a = Mock::start("a", [Reply::status(403), Reply::error(404, "not here")]).await;
    let b = Mock::start("b", reply).await;
    let proxy = Proxy::before([&a, &b]).await;
    (a, b, proxy)
}

#[tokio::test]
async fn a_response_is_asked_for_where_it_was_made_also_after_a_reload() {
    let (a, b, mut proxy) = with_a_home_at_b(made("resp_1")).await;
    let answer = proxy.post("/v1/responses", &json!({"model": "m", "input": "Hi"})).await;
    assert_eq!((answer.status, answer.provider()), (200, "b"));
    for (method, path) in [
        (Method::GET, "/v1/responses/resp_1"),
        (Method::GET, "/v1/responses/resp_1/input_items"),
        (Method::POST, "/v1/responses/resp_1/cancel"),
        (Method::DELETE, "/v1/responses/resp_1"),
    ] {
        assert_eq!(proxy.call(method, path).answer().await.provider(), "b", "{path}");
    }
    proxy.reload(json!({"queue": {"timeout": 7}})).await.expect("valid");
    for body in [json!({"previous_response_id": "resp_1"}), json!({"conversation": {"id": "resp_1"}})] {
        assert_eq!(proxy.post("/v1/responses", &body).await.provider(), "b", "{body}");
    }
    assert_eq!((a.calls(), b.calls()), (1, 7));
}

#[tokio::test]
async fn what_a_stream_makes_is_known_too() {
    let created = json!({"type": "response.created", "response": {"id": "resp_s", "status": "in_progress"}});
    let delta = json!({"type": "response.output_text.delta", "delta": "Hi"});
    let done = json!({"type": "response.completed", "response": {"id": "resp_s", "status": "completed"}});
    let event = |reply: Reply, json: &serde_json::Value| {
        reply.body(format!("event: {}\ndata: {json}\n\n", json["type"].as_str().expect("a type")))
    };
    let stream = event(event(event(Reply::sse(), &created), &delta), &done);
    let (_a, b, proxy) = with_a_home_at_b(stream).await;
    let answer = proxy.post("/v1/responses", &json!({"model": "m", "stream": true, "input": "Hi"})).await;
    assert_eq!((answer.status, answer.provider()), (200, "b"), "{}", answer.text());
    b.follow(made("resp_s"));
    assert_eq!(proxy.get("/v1/responses/resp_s").await.provider(), "b");
}

#[tokio::test]
async fn a_batch_goes_where_its_file_is() {
    let a = Mock::start("a", Reply::json(200, &json!({"id": "batch-a"}))).await;
    let b = Mock::start("b", Reply::json(200, &json!({"id": "file-b", "output_file_id": "file-out"}))).await;
    let mut proxy = Proxy::before([&a, &b]).await;
    // `b` made the file while it was alone.
    proxy.reload(json!({"providers": [harness::provider(&b, json!({}))]})).await.expect("valid");
    assert_eq!(proxy.post("/v1/files", &json!({})).await.provider(), "b");
    let both = json!({"providers": [harness::provider(&a, json!({})), harness::provider(&b, json!({}))]});
    proxy.reload(both).await.expect("valid");
    assert_eq!(proxy.post("/v1/batches", &json!({"input_file_id": "file-b"})).await.provider(), "b");
    assert_eq!(proxy.get("/v1/files/file-out/content").await.provider(), "b");
    assert_eq!(proxy.get("/v1/files/file-unknown").await.provider(), "a");
}
