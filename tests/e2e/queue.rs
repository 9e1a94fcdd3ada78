//! The global queue: how many at once, in which order, how long, and who takes no slot at all.

use std::time::Duration;

use harness::{Gate, Mock, Proxy, Reply, eventually, stream_request};
use http::Method;
use serde_json::{Value, json};

async fn queue_of(proxy: &Proxy) -> Value {
    proxy.get("/health").await.json()["queue"].clone()
}

/// A proxy with one slot.
async fn narrow(mock: &Mock, timeout: f64) -> Proxy {
    let queue = json!({"max_concurrent": 1, "timeout": timeout});
    Proxy::builder().provider(mock, json!({})).set(json!({ "queue": queue })).start().await
}

#[tokio::test]
async fn no_more_than_max_concurrent_requests_are_in_flight() {
    let a = Mock::start("a", Reply::chat("a").late(Duration::from_millis(10))).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"queue": {"max_concurrent": 4}})).start().await;
    let calls: Vec<_> = (0..24).map(|_| proxy.chat_meanwhile()).collect();
    for call in calls {
        assert_eq!(call.await.expect("answered").status, 200);
    }
    assert_eq!((a.calls(), a.most_at_once()), (24, 4));
}

#[tokio::test]
async fn requests_are_served_in_the_order_in_which_they_came() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let proxy = narrow(&a, 20.0).await;
    let mut calls = Vec::new();
    for number in 0..8 {
        let body = json!({"model": "gpt-4", "messages": [], "user": format!("client {number}")});
        calls.push(harness::spawn(proxy.chat_call(&body).answer()));
        eventually("it has its place", async || {
            let queue = queue_of(&proxy).await;
            queue["in_flight"].as_u64().unwrap_or_default() + queue["waiting"].as_u64().unwrap_or_default()
                == number + 1
        })
        .await;
    }
    gate.open();
    for call in calls {
        assert_eq!(call.await.expect("answered").status, 200);
    }
    let order: Vec<_> = a.requests().iter().map(|seen| seen.json()["user"].to_string()).collect();
    let expected: Vec<_> = (0..8).map(|number| format!("\"client {number}\"")).collect();
    assert_eq!(order, expected);
}

#[tokio::test]
async fn a_request_that_waits_too_long_gets_503_queue_timeout() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let proxy = narrow(&a, 0.3).await;
    let busy = proxy.chat_meanwhile();
    eventually("a is busy", async || a.serving() == 1).await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "queue_timeout"));
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|wait| wait >= 1), "{:?}", answer.headers);
    assert!(answer.took >= Duration::from_millis(290), "{:?}", answer.took);
    gate.open();
    assert_eq!((busy.await.expect("answered").status, a.calls()), (200, 1));
}

#[tokio::test]
async fn one_more_than_may_wait_gets_503_at_once() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let limits = json!({"queue": {"max_concurrent": 1, "max_waiting": 2, "timeout": 20}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(limits).start().await;
    let calls: Vec<_> = (0..3).map(|_| proxy.chat_meanwhile()).collect();
    eventually("one is served and two wait", async || {
        let queue = queue_of(&proxy).await;
        queue["in_flight"] == 1 && queue["waiting"] == 2
    })
    .await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "queue_full"));
    assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), ("1", ""), "worth another try");
    assert!(answer.took < Duration::from_secs(5), "{:?}", answer.took);
    gate.open();
    for call in calls {
        assert_eq!(call.await.expect("answered").status, 200);
    }
}

#[tokio::test]
async fn the_slot_is_held_until_the_response_body_has_ended() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::sse().word("one").wait(&gate).done()).await;
    let proxy = narrow(&a, 0.2).await;
    let mut stream = proxy.stream().await;
    stream.read_until("one").await;
    assert_eq!(proxy.chat_call(&stream_request()).answer().await.code(), "queue_timeout");
    gate.open();
    assert!(stream.rest().await.complete);
    eventually("the slot is free", async || queue_of(&proxy).await["in_flight"] == 0).await;
}

#[tokio::test]
async fn rejected_requests_take_no_slot() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let small = json!({"queue": {"max_concurrent": 1, "timeout": 20}, "server": {"max_body_bytes": 1000}});
    let proxy = builder.set(small).start().await;
    let busy = proxy.chat_meanwhile();
    eventually("the only slot is taken", async || a.serving() == 1).await;
    let chat = || proxy.call(Method::POST, "/v1/chat/completions");
    assert_eq!(chat().body("not json").answer().await.status, 400);
    assert_eq!(chat().body(vec![b' '; 2000]).answer().await.status, 413);
    assert_eq!(proxy.get("/nothing/here").await.status, 404);
    assert_eq!(proxy.get("/v1/models").await.status, 200);
    gate.open();
    assert_eq!(busy.await.expect("answered").status, 200);
}

#[tokio::test]
async fn a_wrong_key_takes_no_slot() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let locked =
        json!({"queue": {"max_concurrent": 1, "timeout": 20}, "server": {"api_keys": ["client-zq7-s3cr3t-key"]}});
    let proxy = builder.set(locked).start().await;
    let call = proxy.chat_call(&harness::chat_request()).header("authorization", "Bearer client-zq7-s3cr3t-key");
    let busy = harness::spawn(call.answer());
    eventually("the only slot is taken", async || a.serving() == 1).await;
    assert_eq!(proxy.chat().await.status, 401);
    gate.open();
    assert_eq!(busy.await.expect("answered").status, 200);
}

#[tokio::test]
async fn slow_uploads_take_no_slot() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = narrow(&a, 5.0).await;
    let mut slow = proxy.raw().await;
    slow.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{\"model\":").await;
    for _ in 0..3 {
        assert_eq!(proxy.chat().await.status, 200);
    }
    assert_eq!(a.calls(), 3);
}
