//! Streams whose label says that they are none: passed on as they come, bounded by the idle timeout.

use std::time::Duration;

use harness::{Gate, Mock, Proxy, Reply, stream_request};
use serde_json::json;

/// An answer with this label, or none.
fn labelled(label: &str) -> Reply {
    let reply = Reply::status(200).chunked();
    if label.is_empty() { reply } else { reply.header("content-type", label) }
}

#[tokio::test]
async fn events_pass_as_they_come_whatever_their_label() {
    for label in ["application/json", "text/plain", "", "application/octet-stream; charset=utf-8"] {
        let gate = Gate::closed();
        let a = Mock::start("a", labelled(label).word("one").wait(&gate).word("two").done()).await;
        let proxy = Proxy::before([&a]).await;
        let mut stream = proxy.stream().await;
        stream.read_until("one").await;
        gate.open();
        let rest = stream.rest().await;
        assert!(rest.complete && rest.text().ends_with("data: [DONE]\n\n"), "{label}");
    }
}

#[tokio::test]
async fn events_with_a_wrong_label_may_take_longer_than_the_request_timeout_and_are_guarded_as_others() {
    let words = ["1", "2", "3", "4", "5"];
    let slow =
        words.iter().fold(labelled("text/plain"), |reply, word| reply.word(word).delay(Duration::from_millis(150)));
    let a = Mock::start("a", [slow.clone().done(), slow.cut()]).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"timeouts": {"request": 0.4, "idle": 10}})).start().await;
    assert!(proxy.stream().await.rest().await.text().ends_with("data: [DONE]\n\n"));
    assert!(proxy.stream().await.rest().await.text().contains("stream_interrupted"));
}

#[tokio::test]
async fn lines_of_json_pass_as_they_come() {
    for label in ["application/x-ndjson", "application/json"] {
        let gate = Gate::closed();
        let lines = labelled(label).body("{\"done\":false}\n").body("{\"done\":false}\n");
        let a = Mock::start("a", lines.wait(&gate).body("{\"done\":true}\n")).await;
        let proxy = Proxy::before([&a]).await;
        let mut stream = proxy.stream().await;
        stream.read_until("{\"done\":false}").await;
        gate.open();
        assert!(stream.rest().await.text().ends_with("{\"done\":true}\n"), "{label}");
    }
}

#[tokio::test]
async fn an_encoded_stream_passes_as_it_comes() {
    let gate = Gate::closed();
    let encoded = Reply::sse().header("content-encoding", "gzip").body("first bytes").wait(&gate);
    let slow = (0..5).fold(encoded, |reply, _| reply.body("more").delay(Duration::from_millis(150)));
    let a = Mock::start("a", slow.body("last bytes")).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"timeouts": {"request": 0.4, "idle": 10}})).start().await;
    let mut stream = proxy.stream().await;
    stream.read_until("first bytes").await;
    gate.open();
    let rest = stream.rest().await;
    assert!(rest.complete && rest.text().ends_with("last bytes"), "{}", rest.text());
    assert_eq!(a.only_request().header("accept-encoding"), "identity");
}

#[tokio::test]
async fn a_document_in_answer_to_a_request_for_a_stream_is_held_like_any_other() {
    let half = labelled("application/json").body("{\"id\": 1,").cut();
    let (a, b) = (Mock::start("a", half).await, Mock::start("b", Reply::chat("whole")).await);
    let answer = Proxy::before([&a, &b]).await.chat_call(&stream_request()).answer().await;
    assert_eq!((answer.provider(), answer.content().as_str()), ("b", "whole"));
}

#[tokio::test]
async fn an_array_as_first_event_passes() {
    let a = Mock::start("a", Reply::sse().body("data: [1]\n\n").done()).await;
    let answer = Proxy::before([&a]).await.stream().await.rest().await;
    assert_eq!(answer.text(), "data: [1]\n\ndata: [DONE]\n\n");
}

#[tokio::test]
async fn proxies_on_the_way_are_asked_to_let_events_pass_unless_the_provider_said_otherwise() {
    let own = Reply::stream(&["x"]).header("cache-control", "no-store").header("x-accel-buffering", "yes");
    let a = Mock::start("a", [Reply::stream(&["x"]), own]).await;
    let proxy = Proxy::before([&a]).await;
    let said = async || {
        let stream = proxy.stream().await;
        [stream.header("cache-control").to_owned(), stream.header("x-accel-buffering").to_owned()]
    };
    assert_eq!(said().await, ["no-cache", "no"]);
    assert_eq!(said().await, ["no-store", "yes"]);
}

#[tokio::test]
async fn a_large_body_that_stalls_is_cut_after_the_idle_timeout_and_may_take_longer_altogether() {
    let audio = || Reply::status(200).header("content-type", "audio/mpeg").chunked();
    let slow = (0..5).fold(audio(), |reply, _| reply.body("sound").delay(Duration::from_millis(150)));
    let a = Mock::start("a", [slow, audio().body("sound").hang()]).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"timeouts": {"request": 0.4, "idle": 0.6}})).start().await;
    let body = json!({"model": "tts-1", "input": "Hello", "voice": "alloy"});
    assert!(proxy.post("/v1/audio/speech", &body).await.complete);
    assert!(!proxy.post("/v1/audio/speech", &body).await.complete);
}
