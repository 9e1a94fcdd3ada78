//! Draining: no new requests, those in flight finish, and the end comes in bounded time.

use harness::{Gate, Mock, Proxy, Reply, eventually};
use serde_json::json;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_stream_in_flight_is_finished_before_the_end() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::sse().word("one").wait(&gate).word("two").done()).await;
    let mut proxy = Proxy::before([&a]).await;
    let mut stream = proxy.stream().await;
    stream.read_until("one").await;
    proxy.begin_to_stop();
    eventually("new connections are refused", async || TcpStream::connect(proxy.address()).await.is_err()).await;
    assert!(!proxy.has_stopped());
    gate.open();
    let rest = stream.rest().await;
    assert!(rest.complete && rest.text().ends_with("data: [DONE]\n\n"), "{}", rest.text());
    proxy.stop().await;
}

#[tokio::test]
async fn a_whole_answer_in_flight_is_finished_before_the_end() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("in time").held_by(&gate)).await;
    let mut proxy = Proxy::before([&a]).await;
    let call = proxy.chat_meanwhile();
    eventually("a works on it", async || a.serving() == 1).await;
    proxy.begin_to_stop();
    gate.open();
    assert_eq!(call.await.expect("answered").content(), "in time");
    proxy.stop().await;
}

#[tokio::test]
async fn while_draining_ready_is_503_and_new_requests_are_refused_on_old_connections() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::sse().word("one").wait(&gate).done()).await;
    let mut proxy = Proxy::before([&a]).await;
    // Connections from before the signal, each with half a request on it.
    let mut ready = proxy.raw().await;
    ready.send("GET /ready HTTP/1.1\r\n").await;
    let mut chat = proxy.raw().await;
    let body = r#"{"model":"gpt-4","messages":[]}"#;
    chat.send(format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n", body.len())).await;
    let mut stream = proxy.stream().await;
    stream.read_until("one").await;
    proxy.begin_to_stop();
    eventually("new connections are refused", async || TcpStream::connect(proxy.address()).await.is_err()).await;
    ready.send("host: x\r\n\r\n").await;
    chat.send(format!("host: x\r\n\r\n{body}")).await;
    assert_eq!((ready.status().await, chat.status().await), (Some(503), Some(503)));
    assert!(chat.read_until("draining").await.contains("draining"));
    gate.open();
    assert!(stream.rest().await.complete);
    proxy.stop().await;
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_the_end_longer_than_the_drain_timeout() {
    let a = Mock::start("a", Reply::sse().word("one").hang()).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"server": {"drain_timeout": 0.3}})).start().await;
    let mut stream = proxy.stream().await;
    stream.read_until("one").await;
    proxy.stop().await;
    let rest = stream.rest().await;
    assert!(!rest.text().contains("[DONE]"), "{}", rest.text());
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_end() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let mut session = proxy.session();
    assert_eq!(session.chat(harness::chat_request().to_string().into()).await.status, 200);
    let (_silent, began) = (proxy.raw().await, tokio::time::Instant::now());
    proxy.stop().await;
    assert!(began.elapsed() < std::time::Duration::from_secs(3), "{:?}", began.elapsed());
}
