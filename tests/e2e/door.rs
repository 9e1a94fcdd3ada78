//! The front door: slow and idle connections are closed in time, too many are turned away, and no request is cut off.

use std::time::Duration;

use harness::{Gate, Mock, Proxy, Raw, Reply, chat_request, eventually};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A proxy before one mock, with these keys of `server`.
async fn behind(server: Value, reply: Reply) -> (Mock, Proxy) {
    let a = Mock::start("a", reply).await;
    let proxy = Proxy::builder().provider(&a, json!({})).set(json!({ "server": server })).start().await;
    (a, proxy)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Waits until the proxy closes it; gives how long that took.
async fn closed(raw: &mut Raw, since: Instant) -> Duration {
    let raw = parking_lot::Mutex::new(raw);
    eventually("the connection is closed", async || raw.lock().has_closed()).await;
    since.elapsed()
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off_in_time_while_others_are_served() {
    let (a, proxy) = behind(json!({"header_timeout": 0.5}), Reply::chat("a")).await;
    let (mut slow, began) = (proxy.raw().await, Instant::now());
    slow.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    while !slow.has_closed() {
        slow.send("x").await;
        assert_eq!(proxy.chat().await.status, 200);
        assert!(began.elapsed() < Duration::from_secs(15), "a byte now and then keeps nobody alive");
    }
    assert!(began.elapsed() >= ms(499), "{:?}", began.elapsed());
    assert!(a.calls() > 1);
}

#[tokio::test]
async fn half_a_head_after_an_answer_is_cut_off_as_well() {
    let (_a, proxy) = behind(json!({"header_timeout": 0.3}), Reply::chat("a")).await;
    let mut raw = proxy.raw().await;
    raw.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(raw.status().await, Some(200));
    raw.read_until("\"queue\"").await;
    let began = Instant::now();
    raw.send("GET /health HT").await;
    let took = closed(&mut raw, began).await;
    assert!((ms(290)..ms(5000)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_the_idle_timeout_and_not_before() {
    let (_a, proxy) = behind(json!({"header_timeout": 0.1, "idle_timeout": 0.6}), Reply::chat("a")).await;
    let (mut silent, began) = (proxy.raw().await, Instant::now());
    let took = closed(&mut silent, began).await;
    assert!((ms(590)..ms(5000)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_kept_alive_connection_lives_from_request_to_request_and_is_closed_when_idle() {
    let server = json!({"header_timeout": 0.1, "idle_timeout": 0.4});
    let (a, proxy) = behind(server, Reply::chat("a").late(ms(150))).await;
    let (mut raw, body) = (proxy.raw().await, chat_request().to_string());
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut sum = Duration::ZERO;
    for _ in 0..6 {
        let began = Instant::now();
        raw.send(format!("{head}{body}")).await;
        let answer = raw.next_answer().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        sum += began.elapsed();
    }
    let ended = Instant::now();
    assert!(a.calls() == 6 && sum > ms(800), "{sum:?}");
    let took = closed(&mut raw, ended).await;
    assert!((ms(350)..ms(5000)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn after_answers_without_a_body_a_connection_is_idle_too() {
    for request in ["HEAD /health HTTP/1.1\r\nhost: x\r\n\r\n", "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let (_a, proxy) = behind(json!({"idle_timeout": 0.3}), Reply::chat("a")).await;
        let mut raw = proxy.raw().await;
        raw.send(request).await;
        assert!(raw.status().await.is_some());
        let took = closed(&mut raw, Instant::now()).await;
        assert!(took < ms(5000), "{took:?}");
    }
}

#[tokio::test]
async fn a_long_stream_and_a_slow_body_are_not_idle() {
    let server = json!({"header_timeout": 0.1, "idle_timeout": 0.2});
    let reply = Reply::sse().word("one").delay(ms(700)).word("two").done();
    let (_a, proxy) = behind(server, reply).await;
    let (mut slow, body) = (proxy.raw().await, chat_request().to_string());
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    slow.send(format!("{head}{}", &body[..10])).await;
    let answer = proxy.stream().await.rest().await;
    assert!(answer.complete && answer.text().contains("two") && answer.took >= ms(650), "{}", answer.text());
    slow.send(&body[10..]).await;
    assert_eq!(slow.status().await, Some(200));
}

#[tokio::test]
async fn beyond_max_connections_the_answer_is_503_until_others_leave() {
    let (_a, proxy) = behind(json!({"max_connections": 2}), Reply::chat("a")).await;
    let holders = [half_a_request(&proxy).await, half_a_request(&proxy).await];
    let refused = proxy.chat().await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_connections"), "{}", refused.text());
    assert_eq!(refused.json()["error"]["type"], "proxy_error");
    assert_eq!((refused.header("retry-after"), refused.header("connection")), ("1", "close"));
    drop(holders);
    eventually("there is room again", async || proxy.chat().await.status == 200).await;
}

#[tokio::test]
async fn many_beyond_max_connections_hold_up_nobody_who_is_inside() {
    let gate = Gate::closed();
    let (a, proxy) = behind(json!({"max_connections": 1}), Reply::chat("a").held_by(&gate)).await;
    let inside = proxy.chat_meanwhile();
    eventually("a works on it", async || a.serving() == 1).await;
    let mut outside = Vec::new();
    for _ in 0..300 {
        outside.push(proxy.raw().await);
    }
    gate.open();
    assert_eq!(inside.await.expect("answered").status, 200);
    eventually("there is room again", async || proxy.chat().await.status == 200).await;
    for mut raw in outside {
        closed(&mut raw, Instant::now()).await;
    }
}

#[tokio::test]
async fn limits_changed_at_run_time_hold_for_the_next_connection() {
    let (_a, proxy) = behind(json!({"idle_timeout": 600}), Reply::chat("a")).await;
    let mut before = proxy.raw().await;
    before.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(before.status().await, Some(200));
    let settings = proxy.listener_settings();
    settings.rcu(|old| pointsman::listener::Settings { idle_timeout: ms(200), ..old.as_ref().clone() });
    let mut after = proxy.raw().await;
    closed(&mut after, Instant::now()).await;
    assert!(!before.has_closed());
}

async fn half_a_request(proxy: &Proxy) -> Raw {
    let mut raw = proxy.raw().await;
    // A whole request first, so that the proxy has accepted the connection for certain.
    raw.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(raw.status().await, Some(200));
    raw.send("GET /health").await;
    raw
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_holds_no_slot_for_good() {
    // Far more than the sockets' buffers take.
    let flood = (0..400).fold(Reply::sse(), |reply, _| reply.word(&"x".repeat(64 << 10)));
    let (a, proxy) = behind(json!({"idle_timeout": 0.5}), flood.done()).await;
    let mut deaf = proxy.raw().await;
    let body = r#"{"model": "gpt-4", "stream": true, "messages": []}"#;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    deaf.send(head + body).await;
    eventually("the answer has begun", async || a.calls() == 1).await;
    eventually("its slot is free", async || proxy.get("/health").await.json()["queue"]["in_flight"] == 0).await;
    eventually("the provider's connection is closed", async || a.serving() == 0).await;
    drop(deaf);
}
