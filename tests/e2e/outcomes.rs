//! The outcome table, row by row: does the next provider get its chance, and what becomes of the first?

use harness::{Mock, Proxy, Reply, Script};
use serde_json::json;

/// Status and provider that the client saw, and the state of the first provider afterwards.
type Row = (u16, &'static str, &'static str);

/// The result when the first provider replies with `script` and the second one answers well.
async fn after(script: impl Into<Script>) -> (u16, String, String) {
    let (a, b) = (Mock::start("a", script).await, Mock::start("b", Reply::chat("from b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.chat().await;
    assert_eq!(b.calls(), usize::from(answer.provider() == "b"), "b is asked once or not at all");
    // The first ejection is a second long, so by now it may be over.
    let state = proxy.state_of(&a).await.replace("probing", "ejected");
    (answer.status, answer.provider().to_owned(), state)
}

fn row((status, provider, state): Row) -> (u16, String, String) {
    (status, provider.to_owned(), state.to_owned())
}

const PASSED_ON: &str = "a";
const NEXT: &str = "b";

#[tokio::test]
async fn a_success_is_passed_on() {
    assert_eq!(after(Reply::chat("from a")).await, row((200, PASSED_ON, "admitted")));
}

#[tokio::test]
async fn the_clients_fault_neither_fails_over_nor_ejects() {
    for status in [400, 405, 409, 410, 413, 415, 418, 422, 451, 499] {
        assert_eq!(after(Reply::error(status, "no")).await, row((status, PASSED_ON, "admitted")));
    }
}

#[tokio::test]
async fn a_rejection_reaches_the_client_as_the_provider_wrote_it() {
    let error = r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"} }"#;
    let a = Mock::start("a", Reply::status(400).header("content-type", "application/json").body(error)).await;
    let proxy = Proxy::before([&a]).await;
    assert_eq!(proxy.chat().await.text(), error);
}

#[tokio::test]
async fn a_404_goes_on_and_leaves_the_provider_admitted() {
    assert_eq!(after(Reply::error(404, "no such model")).await, row((200, NEXT, "admitted")));
}

#[tokio::test]
async fn a_refused_key_goes_on_and_ejects() {
    for status in [401, 402] {
        assert_eq!(after(Reply::error(status, "wrong key")).await, row((200, NEXT, "ejected")));
    }
}

#[tokio::test]
async fn a_refused_key_is_the_reason_shown_in_health() {
    let (a, b) = (Mock::start("a", Reply::error(401, "wrong")).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    proxy.chat().await;
    let reason = proxy.health_of(&a).await["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("401") && reason.contains("key"), "{reason}");
}

#[tokio::test]
async fn a_refused_key_ejects_even_when_errors_are_not_tracked() {
    let (a, b) = (Mock::start("a", Reply::error(401, "wrong")).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(json!({"monitoring": {"track_errors": false}})).start().await;
    proxy.chat().await;
    assert_eq!(proxy.state_of(&a).await, "ejected");
}

#[tokio::test]
async fn a_provider_that_declines_is_passed_over_and_stays_admitted() {
    for status in [403, 408, 424, 425, 501, 505] {
        assert_eq!(after(Reply::error(status, "not for you")).await, row((200, NEXT, "admitted")));
    }
}

#[tokio::test]
async fn a_429_throttles_and_does_not_eject() {
    assert_eq!(after(Reply::error(429, "slow down")).await, row((200, NEXT, "throttled")));
}

#[tokio::test]
async fn a_503_with_retry_after_throttles_and_does_not_eject() {
    let reply = Reply::error(503, "warming up").header("retry-after", "60");
    assert_eq!(after(reply).await, row((200, NEXT, "throttled")));
}

#[tokio::test]
async fn a_503_without_retry_after_ejects() {
    assert_eq!(after(Reply::error(503, "broken")).await, row((200, NEXT, "ejected")));
}

#[tokio::test]
async fn a_server_error_goes_on_and_ejects() {
    for status in [500, 502, 504, 520, 529, 599] {
        assert_eq!(after(Reply::error(status, "oh")).await, row((200, NEXT, "ejected")));
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed_and_counts_as_failure() {
    let elsewhere = Mock::start("elsewhere", Reply::chat("from elsewhere")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/chat/completions", elsewhere.base_url());
        assert_eq!(after(Reply::status(status).header("location", &location)).await, row((200, NEXT, "ejected")));
    }
    assert_eq!(elsewhere.calls(), 0);
}

#[tokio::test]
async fn a_304_answers_a_conditional_request() {
    let (a, b) =
        (Mock::start("a", Reply::status(304).header("etag", "\"1\"")).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    let call = proxy.call(http::Method::GET, "/v1/files/file-1").header("if-none-match", "\"1\"");
    let answer = call.answer().await;
    assert_eq!(
        (answer.status, answer.provider(), answer.header("etag"), answer.text().as_str()),
        (304, "a", "\"1\"", "")
    );
    assert_eq!((b.calls(), proxy.state_of(&a).await.as_str()), (0, "admitted"));
}

#[tokio::test]
async fn a_refused_connection_goes_on_and_ejects() {
    let (a, b) = (Mock::refusing("a").await, Mock::start("b", Reply::chat("from b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.provider(), answer.content().as_str()), (200, "b", "from b"));
    assert_eq!(proxy.state_of(&a).await, "ejected");
}

#[tokio::test]
async fn a_reset_goes_on_and_ejects() {
    assert_eq!(after(Reply::reset_at_once()).await, row((200, NEXT, "ejected")));
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_goes_on_and_ejects() {
    assert_eq!(after(Reply::hang_up()).await, row((200, NEXT, "ejected")));
}

#[tokio::test]
async fn an_answer_shorter_than_announced_goes_on_and_ejects() {
    assert_eq!(after(Reply::chat("from a").announce(100_000).cut()).await, row((200, NEXT, "ejected")));
}

#[tokio::test]
async fn a_chunked_answer_without_its_end_goes_on_and_ejects() {
    let reply = Reply::chat("from a").chunked().cut();
    assert_eq!(after(reply).await, row((200, NEXT, "ejected")));
}

#[tokio::test]
async fn an_answer_whose_rest_is_reset_goes_on_and_ejects() {
    assert_eq!(after(Reply::chat("from a").announce(100_000).reset()).await, row((200, NEXT, "ejected")));
}

#[tokio::test]
async fn malformed_http_goes_on_and_ejects() {
    let nonsense: [&str; 5] = [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: minus one\r\n\r\n{}",
    ];
    for bytes in nonsense {
        assert_eq!(after(Reply::raw(bytes)).await, row((200, NEXT, "ejected")), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_success_without_a_body_goes_on_and_ejects() {
    assert_eq!(after(Reply::status(200)).await, row((200, NEXT, "ejected")));
}

#[tokio::test]
async fn an_error_as_the_first_event_goes_on_and_ejects() {
    let error = Reply::sse().event(&json!({"error": {"message": "overloaded", "type": "server_error"}})).done();
    let (a, b) = (Mock::start("a", error).await, Mock::start("b", Reply::stream(&["from b"])).await);
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.stream().await.rest().await;
    assert_eq!((answer.status, answer.provider()), (200, "b"));
    assert!(answer.text().contains("from b") && !answer.text().contains("overloaded"), "{}", answer.text());
    assert_eq!(proxy.state_of(&a).await, "ejected");
}

#[tokio::test]
async fn an_error_after_a_ping_is_still_the_first_event() {
    let error = json!({"error": {"message": "overloaded", "type": "server_error", "code": null, "param": null}});
    let a = Reply::sse().body(": hello\n\n").body("event: ping\ndata: {\"type\": \"ping\"}\n\n").event(&error);
    let (a, b) = (Mock::start("a", a).await, Mock::start("b", Reply::stream(&["from b"])).await);
    let proxy = Proxy::before([&a, &b]).await;
    assert_eq!(proxy.stream().await.rest().await.provider(), "b");
}

#[tokio::test]
async fn one_request_that_nobody_can_serve_ejects_nobody() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::status(500)).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let real = json!({"routing": {"retries": 2, "health_check": {"failures": 3}}});
    let proxy = builder.set(real).start().await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, a.calls() + b.calls()), (502, 4));
    assert_eq!((proxy.state_of(&a).await, proxy.state_of(&b).await), ("admitted".to_owned(), "admitted".to_owned()));
}

#[tokio::test]
async fn one_request_that_takes_too_long_is_held_against_the_first_provider_only() {
    let (a, b) = (Mock::start("a", Reply::silence()).await, Mock::start("b", Reply::silence()).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(json!({"timeouts": {"request": 0.3}})).start().await;
    let answer = proxy.chat().await;
    assert!(answer.status == 504 && answer.message().contains("timeouts.request"), "{}", answer.text());
    assert_ne!(proxy.state_of(&a).await, "admitted");
    assert_eq!(proxy.state_of(&b).await, "admitted");
}

#[tokio::test]
async fn failures_do_not_eject_when_errors_are_not_tracked() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(json!({"monitoring": {"track_errors": false}})).start().await;
    assert_eq!(proxy.chat().await.provider(), "b");
    assert_eq!(proxy.chat().await.provider(), "b");
    assert_eq!((a.calls(), proxy.state_of(&a).await.as_str()), (2, "admitted"));
}

#[tokio::test]
async fn each_provider_is_tried_at_most_once_per_request() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::status(500)).await);
    let proxy = Proxy::before([&a, &b]).await;
    assert_eq!(proxy.chat().await.status, 502);
    assert_eq!((a.calls(), b.calls()), (1, 1));
}
