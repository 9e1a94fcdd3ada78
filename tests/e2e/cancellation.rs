//! The client leaves: the provider's connection closes within 100 ms, nothing more is attempted, all slots return.

use std::time::Duration;

use harness::{Gate, Mock, Proxy, Reply, Script, eventually, stream_request};
use serde_json::json;
use tokio::time::{Instant, timeout};

/// The time in which the provider must see that the client left.
const SOON: Duration = Duration::from_millis(100);

async fn in_flight(proxy: &Proxy) -> u64 {
    proxy.get("/health").await.json()["queue"]["in_flight"].as_u64().unwrap_or(u64::MAX)
}

/// Waits until `mock` saw the proxy leave, and gives how long that was after `left`.
async fn noticed_after(mock: &Mock, left: Instant) -> Duration {
    eventually("the provider is left", async || mock.requests().iter().any(|seen| seen.left_at.is_some())).await;
    let seen = mock.requests().into_iter().find_map(|seen| seen.left_at).expect("just seen");
    seen.saturating_duration_since(left)
}

#[tokio::test]
async fn before_the_head_of_the_answer() {
    let (a, b) = (Mock::start("a", Reply::silence()).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    let call = proxy.chat_meanwhile();
    eventually("a works on it", async || a.serving() == 1).await;
    let left = Instant::now();
    call.abort();
    let noticed = noticed_after(&a, left).await;
    assert!(noticed < SOON, "{noticed:?}");
    eventually("the slot is back", async || in_flight(&proxy).await == 0).await;
    assert_eq!((b.calls(), proxy.state_of(&a).await.as_str()), (0, "admitted"));
}

#[tokio::test]
async fn while_an_answer_is_held() {
    let half = Reply::status(200).header("content-type", "application/json").chunked().body("{\"half\": ").hang();
    let (a, b) = (Mock::start("a", half).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    let call = proxy.chat_meanwhile();
    eventually("a works on it", async || a.serving() == 1).await;
    let left = Instant::now();
    call.abort();
    let noticed = noticed_after(&a, left).await;
    assert!(noticed < SOON, "{noticed:?}");
    assert_eq!((b.calls(), proxy.state_of(&a).await.as_str()), (0, "admitted"));
}

#[tokio::test]
async fn in_the_middle_of_a_stream_that_says_nothing() {
    let a = Mock::start("a", Reply::sse().word("one").hang()).await;
    let proxy = Proxy::before([&a]).await;
    let mut stream = proxy.stream().await;
    stream.read_until("one").await;
    let left = Instant::now();
    drop(stream);
    let noticed = noticed_after(&a, left).await;
    assert!(noticed < SOON, "{noticed:?}");
    eventually("the slot is back", async || in_flight(&proxy).await == 0).await;
    assert_eq!(proxy.state_of(&a).await, "admitted");
}

#[tokio::test]
async fn in_the_middle_of_a_stream_that_goes_on() {
    let words = (0..2000).fold(Reply::sse(), |reply, _| reply.word("more").delay(Duration::from_millis(5)));
    let a = Mock::start("a", words).await;
    let proxy = Proxy::before([&a]).await;
    let mut stream = proxy.stream().await;
    stream.read_until("more").await;
    let left = Instant::now();
    drop(stream);
    let noticed = noticed_after(&a, left).await;
    assert!(noticed < SOON, "{noticed:?}");
    assert_eq!(proxy.state_of(&a).await, "admitted");
}

#[tokio::test]
async fn in_the_middle_of_an_upload_nothing_is_attempted() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let mut raw = proxy.raw().await;
    raw.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{\"model\":").await;
    drop(raw);
    assert_eq!(proxy.chat().await.status, 200);
    eventually("the slot is back", async || in_flight(&proxy).await == 0).await;
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn in_the_queue_nothing_is_attempted_and_the_place_is_given_up() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"queue": {"max_concurrent": 1}})).start().await;
    let busy = proxy.chat_meanwhile();
    eventually("the slot is taken", async || a.serving() == 1).await;
    let waiting = proxy.chat_meanwhile();
    let queued = async || proxy.get("/health").await.json()["queue"]["waiting"].as_u64().unwrap_or_default();
    eventually("the second waits", async || queued().await == 1).await;
    waiting.abort();
    eventually("the second has left", async || queued().await == 0).await;
    gate.open();
    assert_eq!(busy.await.expect("answered").status, 200);
    assert_eq!((proxy.chat().await.status, a.calls()), (200, 2));
}

#[tokio::test]
async fn while_waiting_for_a_providers_slot_nothing_is_attempted() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let proxy = Proxy::builder().provider(&a, json!({"max_concurrent": 1})).start().await;
    let busy = proxy.chat_meanwhile();
    eventually("the slot is taken", async || a.serving() == 1).await;
    let waiting = proxy.chat_meanwhile();
    eventually("the second waits", async || in_flight(&proxy).await == 2).await;
    waiting.abort();
    eventually("the second has left", async || in_flight(&proxy).await == 1).await;
    gate.open();
    assert_eq!(busy.await.expect("answered").status, 200);
    assert_eq!((proxy.chat().await.status, a.calls()), (200, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_slot_is_lost_in_a_thousand_random_aborts() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let script = Script::by(|number, request| {
        let wait = Duration::from_millis((number % 7) as u64);
        match (number % 5, request.json()["stream"] == true) {
            (0, _) => Reply::status(500).late(wait),
            (1, _) => Reply::silence(),
            (2, true) => Reply::sse().word("one").hang(),
            (_, true) => Reply::sse().late(wait).word("one").delay(wait).word("two").done(),
            (_, false) => Reply::chat("hello").late(wait),
        }
    });
    let (a, b) = (Mock::start("a", script.clone()).await, Mock::start("b", script).await);
    let limits = json!({"max_concurrent": 3});
    let builder = Proxy::builder().provider(&a, limits.clone()).provider(&b, limits).strategy("round_robin");
    let settings = json!({
        "queue": {"max_concurrent": 8, "slot_wait": 0.002},
        "monitoring": {"track_errors": false},
    });
    let proxy = builder.set(settings).start().await;
    let mut calls = Vec::new();
    for number in 0..1000 {
        let patience = Duration::from_micros(random.below(12_000));
        let body = if number % 2 == 0 { stream_request() } else { harness::chat_request() };
        let call = proxy.chat_call(&body);
        calls.push(harness::spawn(timeout(patience, async move { call.start().await.rest().await })));
        if calls.len() == 24 {
            for call in calls.drain(..) {
                // Most leave early; the others have their answer.
                drop(call.await.expect("no client fails"));
            }
        }
    }
    for call in calls {
        drop(call.await.expect("no client fails"));
    }
    eventually("all slots are back", async || in_flight(&proxy).await == 0).await;
    eventually("no provider is being asked", async || a.serving() + b.serving() == 0).await;
    let health = proxy.get("/health").await.json();
    for provider in health["providers"].as_array().expect("a list") {
        assert_eq!(provider["in_flight"], 0, "{health}");
    }
    // Every slot of both providers can still be taken at once.
    let gate = Gate::closed();
    for mock in [&a, &b] {
        mock.follow(Reply::chat("after all").held_by(&gate));
    }
    let last: Vec<_> = (0..6).map(|_| proxy.chat_meanwhile()).collect();
    eventually("all six slots are taken", async || a.serving() == 3 && b.serving() == 3).await;
    gate.open();
    for call in last {
        assert_eq!(call.await.expect("answered").content(), "after all");
    }
}

/// A generator with a fixed seed (xorshift64), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
