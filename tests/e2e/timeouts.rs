//! Each timeout: what it bounds, and what does not count as progress.

use std::time::Duration;

use harness::{Gate, Mock, Proxy, ProxyBuilder, Reply, eventually};
use serde_json::{Value, json};

const MS_50: Duration = Duration::from_millis(50);

fn two(a: &Mock, b: &Mock, timeouts: Value) -> ProxyBuilder {
    Proxy::builder().provider(a, json!({})).provider(b, json!({})).set(json!({ "timeouts": timeouts }))
}

#[tokio::test]
async fn connect_bounds_the_connect_and_counts_as_failure() {
    let (a, b) = (Mock::unreachable("a").await, Mock::start("b", Reply::chat("b")).await);
    let proxy = two(&a, &b, json!({"connect": 0.2, "request": 15})).start().await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.provider()), (200, "b"));
    assert!(answer.took < Duration::from_secs(3), "{:?}", answer.took);
    assert_eq!(proxy.state_of(&a).await, "ejected");
}

#[tokio::test]
async fn request_bounds_the_wait_for_an_answer_without_streaming() {
    let (a, b) = (Mock::start("a", Reply::silence()).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = two(&a, &b, json!({"request": 0.3})).start().await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.provider()), (200, "b"));
    assert!(answer.took >= Duration::from_millis(290), "{:?}", answer.took);
    assert_eq!(proxy.state_of(&a).await, "ejected");
    eventually("the connection to a is closed", async || a.open_connections() == 0).await;
}

#[tokio::test]
async fn request_bounds_the_whole_exchange_without_streaming() {
    let drip = (0..40).fold(Reply::status(200).header("content-type", "application/json").chunked(), |reply, _| {
        reply.body(" ").delay(MS_50)
    });
    let (a, b) = (Mock::start("a", drip.body("{}")).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = two(&a, &b, json!({"request": 0.4})).start().await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.provider()), (200, "b"));
    assert!(answer.took < Duration::from_secs(2), "{:?}", answer.took);
}

#[tokio::test]
async fn headers_and_then_silence_time_out_and_go_on() {
    let silent = Reply::status(200).header("content-type", "application/json").chunked().hang();
    let (a, b) = (Mock::start("a", silent).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = two(&a, &b, json!({"request": 0.3})).start().await;
    assert_eq!(proxy.chat().await.provider(), "b");
    assert_eq!(proxy.state_of(&a).await, "ejected");
}

#[tokio::test]
async fn request_bounds_the_wait_for_the_first_event_with_streaming() {
    let (a, b) = (Mock::start("a", Reply::sse().hang()).await, Mock::start("b", Reply::stream(&["b"])).await);
    let proxy = two(&a, &b, json!({"request": 0.3})).start().await;
    let answer = proxy.stream().await.rest().await;
    assert_eq!((answer.status, answer.provider(), answer.complete), (200, "b", true));
    assert_eq!(proxy.state_of(&a).await, "ejected");
}

#[tokio::test]
async fn comments_and_pings_are_no_first_event() {
    let beat = |reply: Reply| {
        let reply = reply.delay(MS_50).body(": keep-alive\n\n");
        reply.delay(MS_50).body("event: ping\ndata: {\"type\": \"ping\"}\n\n")
    };
    let busy = (0..30).fold(Reply::sse(), |reply, _| beat(reply)).hang();
    let (a, b) = (Mock::start("a", busy).await, Mock::start("b", Reply::stream(&["b"])).await);
    let proxy = two(&a, &b, json!({"request": 0.4, "idle": 15})).start().await;
    let answer = proxy.stream().await.rest().await;
    assert_eq!((answer.status, answer.provider()), (200, "b"));
}

#[tokio::test]
async fn a_stream_may_take_longer_than_the_request_timeout() {
    let slow = ["1", "2", "3", "4", "5"].iter().fold(Reply::sse(), |reply, word| reply.word(word).delay(MS_50 * 3));
    let a = Mock::start("a", slow.done()).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"timeouts": {"request": 0.4, "idle": 10}})).start().await;
    let answer = proxy.stream().await.rest().await;
    assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    assert!(answer.took > Duration::from_millis(600), "{:?}", answer.took);
}

#[tokio::test]
async fn idle_bounds_the_wait_between_events() {
    let a = Mock::start("a", Reply::sse().word("one").hang()).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"timeouts": {"request": 15, "idle": 0.3}})).start().await;
    let answer = proxy.stream().await.rest().await;
    let text = answer.text();
    assert!(text.contains("one") && text.contains("\"error\"") && !text.contains("[DONE]"), "{text}");
    assert!(answer.took >= Duration::from_millis(250) && answer.took < Duration::from_secs(5), "{:?}", answer.took);
    assert_eq!(proxy.state_of(&a).await, "ejected");
    eventually("the connection to a is closed", async || a.open_connections() == 0).await;
}

#[tokio::test]
async fn comments_do_not_keep_an_idle_stream_alive() {
    let comments = (0..60).fold(Reply::sse().word("one"), |reply, _| reply.delay(MS_50).body(": still here\n\n"));
    let a = Mock::start("a", comments.hang()).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"timeouts": {"request": 15, "idle": 0.4}})).start().await;
    let answer = proxy.stream().await.rest().await;
    assert!(answer.text().contains("\"error\""), "{}", answer.text());
    assert!(answer.took < Duration::from_millis(2500), "{:?}", answer.took);
}

#[tokio::test]
async fn idle_is_the_request_timeout_when_it_is_not_set() {
    let a = Mock::start("a", Reply::sse().word("one").hang()).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"timeouts": {"request": 0.3}})).start().await;
    let answer = proxy.stream().await.rest().await;
    assert!(answer.text().contains("\"error\"") && answer.took < Duration::from_secs(5), "{}", answer.text());
}

#[tokio::test]
async fn a_provider_may_have_timeouts_of_its_own() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let b = Mock::start("b", Reply::chat("b").late(Duration::from_millis(500))).await;
    let builder = Proxy::builder().provider(&a, json!({"timeouts": {"request": 0.2}})).provider(&b, json!({}));
    let answer = builder.start().await.chat().await;
    assert_eq!((answer.status, answer.provider()), (200, "b"));
    assert!(answer.took < Duration::from_secs(5), "a's own timeout held, not the global 15 s: {:?}", answer.took);
}
