//! Streams: bytes as they come, failover before the first event, and never an end that looks complete and is not.

use std::time::Duration;

use harness::{Answer, Gate, Mock, Proxy, Reply, eventually, stream_request};
use serde_json::{Value, json};

/// A chat stream that has said who speaks, and nothing else.
fn role() -> Reply {
    Reply::sse().event(&json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}))
}

/// The two official SDKs' view of a stream: the data of its events, and whether `[DONE]` came.
fn events(text: &str) -> (Vec<String>, bool) {
    let frames = text.split("\n\n").filter(|frame| !frame.trim().is_empty());
    let data: Vec<String> = frames.filter_map(|frame| frame.trim().strip_prefix("data: ").map(str::to_owned)).collect();
    let done = data.iter().any(|data| data == "[DONE]");
    (data, done)
}

/// Claims that `answer` ends in one error frame as the SDKs need it, and gives the frame's JSON.
fn error_frame(answer: &Answer) -> Value {
    let text = answer.text();
    let (data, done) = events(&text);
    assert!(!done, "no [DONE] after an interruption: {text}");
    let last: Value = serde_json::from_str(data.last().expect("a last event")).expect("JSON in the last event");
    assert!(last["error"]["message"].is_string(), "{text}");
    assert_eq!(text.matches("\"error\"").count(), 1, "one error frame: {text}");
    assert!(text.contains("\n\ndata: {\"error\""), "a blank line before the frame: {text}");
    assert!(!text.contains("event:"), "{text}");
    assert!(text.ends_with("\n\n"), "the frame is finished: {text:?}");
    last
}

#[tokio::test]
async fn a_stream_reaches_the_client_byte_for_byte() {
    let bytes = ": hello\r\n\r\ndata: {\"a\":  1, \"ü\": \"\\u00fc\"}\r\n\r\nid: 7\ndata: x\ndata: y\n\nretry: 3\n\ndata: [DONE]\n\n";
    let a = Mock::start("a", Reply::sse().body(bytes)).await;
    let answer = Proxy::before([&a]).await.stream().await.rest().await;
    assert_eq!((answer.text().as_str(), answer.complete), (bytes, true));
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
}

#[tokio::test]
async fn events_pass_as_they_come() {
    let (first, second) = (Gate::closed(), Gate::closed());
    let a = Mock::start("a", Reply::sse().word("one").wait(&first).word("two").wait(&second).done()).await;
    let proxy = Proxy::before([&a]).await;
    let mut stream = proxy.stream().await;
    stream.read_until("one").await;
    first.let_one_pass();
    stream.read_until("two").await;
    second.let_one_pass();
    assert!(stream.rest().await.text().contains("[DONE]"));
}

#[tokio::test]
async fn half_an_event_is_kept_until_its_rest_has_come() {
    let gate = Gate::closed();
    let a = Reply::sse().word("one").body("data: {\"half").wait(&gate).body("\": 1}\n\n").done();
    let a = Mock::start("a", a).await;
    let proxy = Proxy::before([&a]).await;
    let mut stream = proxy.stream().await;
    assert!(!stream.read_until("one").await.contains("half"));
    gate.open();
    let rest = stream.rest().await;
    assert!(rest.complete && rest.text().contains("data: {\"half\": 1}\n\n"), "{}", rest.text());
}

#[tokio::test]
async fn an_event_may_be_cut_anywhere_even_within_a_character() {
    let text = "data: {\"content\": \"über 🚂\"}\n\ndata: [DONE]\n\n";
    let drip = text.as_bytes().iter().fold(Reply::sse(), |reply, byte| reply.body(vec![*byte]));
    let a = Mock::start("a", drip).await;
    assert_eq!(Proxy::before([&a]).await.stream().await.rest().await.text(), text);
}

#[tokio::test]
async fn a_provider_that_dies_before_its_first_event_costs_nothing() {
    for reply in [
        Reply::sse().cut(),
        Reply::sse().body(": hello\n\n").cut(),
        Reply::sse().body("data: {\"ha").cut(),
        Reply::sse().body(": hello\n\n").reset(),
        Reply::sse(),
        Reply::sse().done(),
        role().cut(),
        role().reset(),
        role().event(&json!({"error": {"message": "overloaded"}})),
        role().done(),
    ] {
        let (a, b) = (Mock::start("a", reply).await, Mock::start("b", Reply::stream(&["from b"])).await);
        let proxy = Proxy::before([&a, &b]).await;
        let answer = proxy.stream().await.rest().await;
        assert_eq!((answer.status, answer.provider(), answer.complete), (200, "b", true));
        assert!(answer.text().starts_with("data: ") && answer.text().ends_with("data: [DONE]\n\n"));
        assert_eq!(proxy.state_of(&a).await, "ejected");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_in_one_error_frame_and_no_done() {
    for broken in [Reply::sse().word("one").word("two").cut(), Reply::sse().word("one").word("two").reset()] {
        let (a, b) = (Mock::start("a", broken).await, Mock::start("b", Reply::stream(&["from b"])).await);
        let proxy = Proxy::before([&a, &b]).await;
        let mut stream = proxy.stream().await;
        let read = stream.read_until("one").await;
        let rest = stream.rest().await;
        let answer = Answer { body: format!("{read}{}", rest.text()).into(), ..rest };
        let frame = error_frame(&answer);
        assert!(frame["error"]["message"].as_str().is_some_and(|message| message.contains('a')), "{frame}");
        assert_eq!((b.calls(), proxy.state_of(&a).await.as_str()), (0, "ejected"));
    }
}

#[tokio::test]
async fn after_the_error_frame_the_connection_is_closed() {
    let a = Mock::start("a", Reply::sse().word("one").delay(Duration::from_millis(50)).cut()).await;
    let proxy = Proxy::before([&a]).await;
    let body = stream_request().to_string();
    let mut raw = proxy.raw().await;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    raw.send(format!("{head}{body}")).await;
    let text = raw.read_to_close().await;
    assert!(text.contains("one") && text.contains("\"error\"") && !text.contains("[DONE]"), "{text}");
}

#[tokio::test]
async fn a_stream_that_ends_with_the_connection_and_without_done_is_interrupted() {
    let a = Reply::sse().until_close().word("one").word("two");
    let a = Mock::start("a", a).await;
    let answer = Proxy::before([&a]).await.stream().await.rest().await;
    assert!(answer.text().contains("\"error\"") && !answer.text().contains("[DONE]"), "{}", answer.text());
}

#[tokio::test]
async fn a_stream_that_ends_with_the_connection_after_done_is_complete() {
    let a = Reply::sse().until_close().word("one").done();
    let a = Mock::start("a", a).await;
    let proxy = Proxy::before([&a]).await;
    let answer = proxy.stream().await.rest().await;
    assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    assert!(!answer.text().contains("error"));
    assert_eq!(proxy.state_of(&a).await, "admitted");
}

#[tokio::test]
async fn an_error_event_in_the_middle_passes_and_nothing_is_added() {
    let late = Reply::sse().word("one").delay(Duration::from_millis(50));
    let a = Mock::start("a", late.event(&json!({"error": {"message": "overloaded"}})).done()).await;
    let b = Mock::start("b", Reply::stream(&["from b"])).await;
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.stream().await.rest().await;
    assert_eq!((answer.text().matches("\"error\"").count(), b.calls()), (1, 0), "{}", answer.text());
    let counted = async || proxy.metric(r#"pointsman_attempts_total{outcome="interrupted",provider="a"}"#).await;
    eventually("it counts as interrupted", async || counted().await == 1.0).await;
}

#[tokio::test]
async fn a_malformed_event_passes() {
    let a = Mock::start("a", Reply::sse().word("one").body("data: {not json\n\n").done()).await;
    let answer = Proxy::before([&a]).await.stream().await.rest().await;
    assert!(answer.complete && answer.text().contains("{not json"), "{}", answer.text());
}

#[tokio::test]
async fn an_answer_to_a_streaming_request_that_is_no_stream_passes_as_it_is() {
    let a = Mock::start("a", Reply::chat("whole")).await;
    let answer = Proxy::before([&a]).await.stream().await.rest().await;
    assert_eq!(answer.content(), "whole");
}

#[tokio::test]
async fn named_events_of_responses_pass_untouched() {
    let text =
        "event: response.created\ndata: {\"type\":\"response.created\"}\n\nevent: response.completed\ndata: {}\n\n";
    let a = Mock::start("a", Reply::sse().body(text)).await;
    let proxy = Proxy::before([&a]).await;
    let body = json!({"model": "gpt-4", "stream": true, "input": "Hello"});
    let answer = proxy.post("/v1/responses", &body).await;
    assert_eq!((answer.text().as_str(), answer.complete), (text, true));
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything() {
    let piece = "x".repeat(16 * 1024);
    let large = (0..512).fold(Reply::sse(), |reply, _| reply.word(&piece)).done();
    let a = Mock::start("a", large).await;
    let proxy = Proxy::before([&a]).await;
    let mut stream = proxy.stream().await;
    let read = stream.read_until("data: ").await;
    eventually("the provider waits or is done", async || a.calls() == 1).await;
    let rest = stream.rest().await;
    assert!(rest.complete && rest.text().ends_with("data: [DONE]\n\n"));
    assert!(read.len() + rest.body.len() > 512 * 16 * 1024);
}
