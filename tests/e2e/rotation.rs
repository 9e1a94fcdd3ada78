//! The built-in strategies, seen from the providers.

use bytes::Bytes;
use harness::{Mock, Proxy, Reply, Script, chat_request};
use serde_json::json;

/// Sends `count` requests over `connections` connections at once.
async fn send(proxy: &Proxy, count: usize, connections: usize) {
    let body = Bytes::from(chat_request().to_string());
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let (mut session, body) = (proxy.session(), body.clone());
            harness::spawn(async move {
                for _ in 0..count / connections {
                    assert_eq!(session.chat(body.clone()).await.status, 200);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("every request is answered");
    }
}

async fn mocks<const N: usize>(names: [&str; N]) -> [Mock; N] {
    let mut mocks = Vec::new();
    for name in names {
        mocks.push(Mock::start(name, Reply::chat(name)).await);
    }
    mocks.try_into().expect("as many as names")
}

#[tokio::test]
async fn round_robin_goes_through_the_providers_in_order() {
    let [a, b, c] = mocks(["a", "b", "c"]).await;
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({})).provider(&c, json!({}));
    let proxy = builder.strategy("round_robin").start().await;
    let mut seen = Vec::new();
    for _ in 0..9 {
        seen.push(proxy.chat().await.provider().to_owned());
    }
    let first = seen[0].clone();
    let start = ["a", "b", "c"].iter().position(|name| *name == first).expect("one of them");
    let expected: Vec<&str> = (0..9).map(|turn| ["a", "b", "c"][(start + turn) % 3]).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn round_robin_is_the_default() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let provider = format!("{{name: a, base_url: '{}', api_key: k}}", a.base_url());
    let yaml = format!("providers: [{provider}]\nserver: {{port: 0}}\n");
    let proxy = Proxy::builder().start_yaml(&yaml).await;
    assert_eq!(proxy.get("/health").await.json()["strategy"]["name"], "round_robin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn round_robin_is_exact_over_concurrent_requests() {
    let [a, b, c] = mocks(["a", "b", "c"]).await;
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({})).provider(&c, json!({}));
    let proxy = builder.strategy("round_robin").start().await;
    send(&proxy, 900, 15).await;
    assert_eq!((a.calls(), b.calls(), c.calls()), (300, 300, 300));
}

#[tokio::test]
async fn round_robin_stays_exact_when_some_requests_fail_over() {
    let picky = Script::by(|_, request| {
        let is_bad = request.json()["model"].as_str().is_some_and(|model| model.starts_with("bad"));
        if is_bad { Reply::error(404, "unknown") } else { Reply::chat("a") }
    });
    let a = Mock::start("a", picky).await;
    let [b, c] = mocks(["b", "c"]).await;
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({})).provider(&c, json!({}));
    let proxy = builder.strategy("round_robin").start().await;
    for round in 0..10 {
        // Each time another one: of the same it is remembered that `a` does not know it.
        let bad = json!({"model": format!("bad-{round}"), "messages": []});
        for body in [&bad, &chat_request(), &chat_request()] {
            assert_eq!(proxy.chat_call(body).answer().await.status, 200);
        }
    }
    let first_choices = [a.calls(), b.calls(), c.calls()];
    assert_eq!(a.calls(), 10, "a third of all first choices, whatever the failovers: {first_choices:?}");
}

#[tokio::test]
async fn round_robin_rotates_evenly_over_those_left_when_one_is_out() {
    let a = Mock::start("a", Reply::status(401)).await;
    let [b, c] = mocks(["b", "c"]).await;
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({})).provider(&c, json!({}));
    let proxy = builder.strategy("round_robin").start().await;
    while a.calls() == 0 {
        proxy.chat().await;
    }
    let (before_b, before_c) = (b.calls(), c.calls());
    for _ in 0..20 {
        proxy.chat().await;
    }
    assert_eq!((a.calls(), b.calls() - before_b, c.calls() - before_c), (1, 10, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_hold_within_one_percent_over_ten_thousand_requests() {
    let [a, b, c] = mocks(["a", "b", "c"]).await;
    let builder = Proxy::builder().provider(&a, json!({"weight": 5})).provider(&b, json!({"weight": 3}));
    let proxy = builder.provider(&c, json!({"weight": 2})).strategy("weighted").start().await;
    send(&proxy, 10_000, 20).await;
    for (mock, share) in [(&a, 5000_usize), (&b, 3000), (&c, 2000)] {
        assert!(mock.calls().abs_diff(share) <= 100, "{} got {} of {share}", mock.name(), mock.calls());
    }
}

#[tokio::test]
async fn weights_are_renormalised_over_those_left_when_one_is_out() {
    let a = Mock::start("a", Reply::status(401)).await;
    let [b, c] = mocks(["b", "c"]).await;
    let builder = Proxy::builder().provider(&a, json!({"weight": 6})).provider(&b, json!({"weight": 3}));
    let proxy = builder.provider(&c, json!({"weight": 1})).strategy("weighted").start().await;
    while a.calls() == 0 {
        proxy.chat().await;
    }
    let (before_b, before_c) = (b.calls(), c.calls());
    for _ in 0..200 {
        proxy.chat().await;
    }
    let (got_b, got_c) = (b.calls() - before_b, c.calls() - before_c);
    assert_eq!((a.calls(), got_b + got_c), (1, 200));
    assert!(got_b.abs_diff(150) <= 10, "b got {got_b}, c {got_c}");
}

#[tokio::test]
async fn failover_keeps_the_order_of_the_configuration() {
    let (a, b) = (Mock::start("a", Reply::error(403, "no")).await, Mock::start("b", Reply::error(403, "no")).await);
    let c = Mock::start("c", Reply::chat("c")).await;
    let proxy = Proxy::before([&a, &b, &c]).await;
    for _ in 0..3 {
        assert_eq!(proxy.chat().await.provider(), "c");
    }
    assert_eq!((a.calls(), b.calls(), c.calls()), (3, 3, 3));
    for (first, second) in a.requests().iter().zip(b.requests()) {
        assert!(first.at < second.at, "a before b");
    }
}
