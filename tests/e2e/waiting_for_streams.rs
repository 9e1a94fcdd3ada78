//! The comments that a client which waits for a stream gets before its first content, and in the silences of one.

use std::time::Duration;

use harness::{Mock, Proxy, ProxyBuilder, Reply, Streaming, stream_request};
use serde_json::{Value, json};

const MS_200: Duration = Duration::from_millis(200);

fn before(mocks: &[&Mock], settings: Value) -> ProxyBuilder {
    mocks.iter().fold(Proxy::builder(), |builder, mock| builder.provider(mock, json!({}))).set(settings)
}

/// A stream of that many comments, one after the other.
fn comments(count: usize) -> Reply {
    (0..count).fold(Reply::sse(), |reply, _| reply.body(": OPENROUTER PROCESSING\n\n").delay(MS_200))
}

async fn head(proxy: &Proxy) -> (Streaming, Duration) {
    let began = tokio::time::Instant::now();
    let stream = proxy.stream().await;
    (stream, began.elapsed())
}

#[tokio::test]
async fn after_a_second_the_head_goes_out_and_comments_pass() {
    let a = Mock::start("a", comments(12).word("one").done()).await;
    let proxy = Proxy::before([&a]).await;
    let (mut stream, took) = head(&proxy).await;
    assert!(took > Duration::from_millis(900) && took < Duration::from_millis(2200), "{took:?}");
    assert_eq!((stream.status, stream.header("content-type")), (200, "text/event-stream; charset=utf-8"));
    assert_eq!((stream.header("x-pointsman-provider"), stream.header("x-accel-buffering")), ("a", "no"));
    assert!(stream.header("x-request-id").starts_with("req_"));
    assert!(!stream.read_until(": OPENROUTER PROCESSING\n").await.contains("data"));
    let rest = stream.rest().await;
    assert!(rest.complete && rest.text().contains("one") && rest.text().ends_with("data: [DONE]\n\n"));
    assert!(rest.text().matches("OPENROUTER").count() >= 3, "{}", rest.text());
}

#[tokio::test]
async fn another_provider_can_still_take_over() {
    let role = json!({"choices": [{"index": 0, "delta": {"role": "assistant"}}]});
    let a = Mock::start("a", comments(8).event(&role).cut()).await;
    let b = Mock::start("b", Reply::stream(&["from b"])).await;
    let proxy = Proxy::before([&a, &b]).await;
    let answer = head(&proxy).await.0.rest().await;
    let text = answer.text();
    assert!(answer.complete && text.contains("from b") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(text.contains("OPENROUTER") && !text.contains("role") && !text.contains("error"), "{text}");
}

#[tokio::test]
async fn the_last_failure_is_an_error_frame() {
    let a = Mock::start("a", comments(8).cut()).await;
    let b = Mock::start("b", Reply::error(400, "too long")).await;
    for (mocks, message) in [(&[&a][..], "All providers failed"), (&[&a, &b], "too long")] {
        let proxy = before(mocks, json!({})).start().await;
        let text = head(&proxy).await.0.rest().await.text();
        let frame = text.rsplit("data: ").next().unwrap_or_default();
        let error: Value = serde_json::from_str(frame).expect("an error frame");
        assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains(message)), "{text}");
        assert!(!text.contains("[DONE]"), "{text}");
    }
}

#[tokio::test]
async fn nothing_goes_out_early_when_no_provider_has_begun_or_content_comes_soon() {
    let late = Reply::stream(&["one"]).late(Duration::from_millis(1500));
    let (a, b) = (Mock::start("a", late).await, Mock::start("b", Reply::status(500)).await);
    let proxy = before(&[&b, &a], json!({})).start().await;
    let (stream, took) = head(&proxy).await;
    assert_eq!((stream.header("x-pointsman-provider"), stream.header("x-pointsman-attempts")), ("a", "2"));
    assert!(took >= Duration::from_millis(1400), "{took:?}");
}

#[tokio::test]
async fn without_a_sign_of_life_a_comment_goes_out_after_keep_alive() {
    let a = Mock::start("a", Reply::stream(&["one"]).late(Duration::from_millis(1500))).await;
    let proxy = before(&[&a], json!({"server": {"keep_alive": 0.4}})).start().await;
    let (mut stream, took) = head(&proxy).await;
    assert!(took >= Duration::from_millis(350) && took < Duration::from_millis(1400), "{took:?}");
    assert_eq!(stream.read_until("\n").await, ": keep-alive\n");
    let rest = stream.rest().await.text();
    let (alive, events) = rest.split_at(rest.find("data: ").expect("events"));
    assert!(!alive.is_empty() && alive.replace(": keep-alive\n", "").is_empty(), "{rest}");
    assert!(events.contains("one") && events.ends_with("data: [DONE]\n\n"), "{rest}");
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_between_whole_events() {
    let half = Reply::sse().word("one").body("data: {\"half").delay(Duration::from_secs(1)).body("\": 1}\n\n");
    let a = Mock::start("a", half.done()).await;
    let proxy = before(&[&a], json!({"server": {"keep_alive": 0.3}})).start().await;
    let text = proxy.stream().await.rest().await.text();
    assert!(text.contains("\n\n: keep-alive\n") && text.contains("data: {\"half\": 1}\n\n"), "{text}");
    assert!((1..=3).contains(&text.matches(": keep-alive\n").count()), "{text}");
    assert!(!text.contains(": keep-alive\n\n"), "{text}");
}

#[tokio::test]
async fn keep_alive_changes_nothing_about_the_idle_timeout_and_can_be_off() {
    let a = Mock::start("a", Reply::sse().word("one").hang()).await;
    let timeouts = json!({"idle": 1});
    let proxy = before(&[&a], json!({"server": {"keep_alive": 0.2}, "timeouts": timeouts})).start().await;
    let text = proxy.stream().await.rest().await.text();
    assert!(text.contains(": keep-alive\n") && text.contains("stream_interrupted"), "{text}");
    let proxy = before(&[&a], json!({"server": {"keep_alive": 0}, "timeouts": timeouts})).start().await;
    let text = proxy.stream().await.rest().await.text();
    assert!(!text.contains("keep-alive") && text.contains("stream_interrupted"), "{text}");
}

#[tokio::test]
async fn a_client_that_leaves_after_an_early_head_leaves_the_provider_and_its_slot() {
    let a = Mock::start("a", comments(1000)).await;
    let proxy = Proxy::before([&a]).await;
    let (mut stream, _) = head(&proxy).await;
    stream.read_until("OPENROUTER").await;
    drop(stream);
    harness::eventually("the provider is left", async || a.requests()[0].left_at.is_some()).await;
    let in_flight = async || proxy.get("/health").await.json()["queue"]["in_flight"].as_u64();
    harness::eventually("the slot is back", async || in_flight().await == Some(0)).await;
    assert_eq!(proxy.state_of(&a).await, "admitted");
}

#[tokio::test]
async fn responses_and_messages_get_the_error_in_their_own_form() {
    let a = Mock::start("a", comments(8).cut()).await;
    let proxy = Proxy::before([&a]).await;
    for path in ["/v1/responses", "/v1/messages"] {
        let call = proxy.call(http::Method::POST, path).json(&stream_request());
        let text = call.answer().await.text();
        let (_, frame) = text.rsplit_once("event: error\ndata: ").expect("a named error");
        let error: Value = serde_json::from_str(frame).expect("JSON");
        assert_eq!(error["type"], "error", "{text}");
    }
}
