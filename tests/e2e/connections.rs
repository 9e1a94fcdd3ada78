//! Connections to providers that are kept: closed under a request, spoken on unasked, and counted.

use std::collections::HashSet;
use std::time::Duration;

use harness::{Mock, Proxy, Reply, Script, chat_request, spawn};
use http::Method;
use parking_lot::Mutex;
use serde_json::json;

/// Answers the first request of each connection, and hangs up on the second.
fn once_each(answer: Reply, then: Reply) -> Script {
    let seen = Mutex::new(HashSet::new());
    Script::by(move |_, request| if seen.lock().insert(request.connection) { answer.clone() } else { then.clone() })
}

#[tokio::test]
async fn a_kept_connection_that_ends_under_a_request_is_nothing_the_client_learns_of() {
    for ending in [Reply::hang_up(), Reply::reset_at_once()] {
        let a = Mock::start("a", once_each(Reply::chat("a"), ending)).await;
        let b = Mock::start("b", Reply::chat("b")).await;
        let proxy = Proxy::before([&a, &b]).await;
        for _ in 0..4 {
            let answer = proxy.chat().await;
            assert_eq!((answer.status, answer.provider(), answer.header("x-pointsman-attempts")), (200, "a", ""));
        }
        assert_eq!((a.calls(), b.calls()), (7, 0));
        assert_eq!(proxy.metric("pointsman_stale_connections_total{provider=\"a\"}").await, 3.0);
        assert_eq!(proxy.state_of(&a).await, "admitted");
    }
}

#[tokio::test]
async fn a_request_for_a_stored_thing_is_not_sent_twice_when_its_connection_ends() {
    let a = Mock::start("a", once_each(Reply::json(200, &json!({"id": "file-1"})), Reply::hang_up())).await;
    let proxy = Proxy::before([&a]).await;
    assert_eq!(proxy.get("/v1/files/file-1").await.status, 200);
    assert_eq!(proxy.get("/v1/files/file-1").await.status, 502);
    assert_eq!(a.calls(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_closes_idle_connections_as_requests_come_fails_none_of_them() {
    const IDLE: Duration = Duration::from_millis(30);
    let a = Mock::start("a", Reply::chat("a")).await;
    a.close_idle_after(IDLE);
    let proxy = Proxy::before([&a]).await;
    let body = bytes::Bytes::from(chat_request().to_string());
    let clients = (0..40_u32).map(|client| {
        let (mut session, body) = (proxy.session(), body.clone());
        spawn(async move {
            for number in 0..50 {
                let answer = session.chat(body.clone()).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                // Around the time at which the connection is closed, each a little beside the others.
                let percent = 80 + (client * 7 + number * 11) % 40;
                tokio::time::sleep(IDLE * percent / 100).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("all were answered");
    }
    assert_eq!(proxy.metric("pointsman_ejections_total{provider=\"a\"}").await, 0.0);
    assert_eq!(proxy.metric("pointsman_attempts_total{outcome=\"failed\",provider=\"a\"}").await, 0.0);
}

#[tokio::test]
async fn a_second_answer_that_nobody_asked_for_reaches_no_client() {
    let (answer, poison) = (Reply::chat("a").on_the_wire(), Reply::chat("poison").on_the_wire());
    let twice = Reply::raw(answer).delay(Duration::from_millis(20)).body(poison).hang();
    let a = Mock::start("a", twice).await;
    let proxy = Proxy::before([&a]).await;
    for _ in 0..5 {
        assert_eq!(proxy.chat().await.content(), "a");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test]
async fn what_a_provider_may_not_say_about_an_answers_length_or_before_it_is_a_failure() {
    let body = Reply::chat("a").on_the_wire();
    let (head, json) = body.split_once("\r\n\r\n").expect("a head");
    let chunk = format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len());
    let both = format!("{head}\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20) + &body;
    for answer in [both, flood] {
        let a = Mock::start("a", Reply::raw(answer)).await;
        let b = Mock::start("b", Reply::chat("b")).await;
        let proxy = Proxy::before([&a, &b]).await;
        assert_eq!(proxy.chat().await.provider(), "b");
    }
}

#[tokio::test]
async fn the_empty_body_of_a_delete_is_announced_as_the_client_announced_it() {
    let a = Mock::start("a", Reply::json(200, &json!({"id": "file-1", "deleted": true}))).await;
    let proxy = Proxy::before([&a]).await;
    let delete = || proxy.call(Method::DELETE, "/v1/files/file-1");
    delete().header("content-length", "0").answer().await;
    delete().answer().await;
    let seen: Vec<String> = a.requests().iter().map(|seen| seen.header("content-length").to_owned()).collect();
    assert_eq!(seen, ["0", ""]);
}
