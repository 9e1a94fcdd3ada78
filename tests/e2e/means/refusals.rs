//! What a client gets when a limit does not allow its request, and what every answer says of its limits.

use harness::{Call, Gate, Mock, Proxy, Reply, eventually, spawn, stream_request};
use http::Method;
use serde_json::json;

use super::{left, route, wait_for_left};

#[tokio::test]
async fn one_request_more_than_the_limit_is_refused_with_the_wait() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({})).set(route(json!({"rpm": 2}))).start().await;
    for remaining in ["1", "0"] {
        let answer = proxy.chat().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-limit-requests"), "2");
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), remaining);
        assert!(answer.header("x-ratelimit-reset-requests").ends_with('s'), "{answer:?}");
        assert_eq!(answer.header("x-ratelimit-limit-tokens"), "");
    }
    let refused = proxy.chat().await;
    assert_eq!(refused.status, 429);
    let error = refused.json()["error"].clone();
    assert_eq!((error["code"].as_str(), error["param"].as_str()), (Some("rate_limit_exceeded"), Some("requests")));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert!(refused.message().contains("2 requests per minute (rpm)"), "{}", refused.message());
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    assert_eq!(refused.header("x-should-retry"), "");
    assert_eq!(a.calls(), 2);
    let refusals = "pointsman_limit_refusals_total{limit=\"requests\",owner=\"route\"}";
    assert!((proxy.metric(refusals).await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn on_messages_a_refusal_has_anthropics_form() {
    let a = Mock::start("a", Reply::json(200, &json!({"type": "message"}))).await;
    let proxy = Proxy::builder().provider(&a, json!({})).set(route(json!({"rpm": 1}))).start().await;
    let body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(proxy.post("/v1/messages", &body).await.status, 200);
    let refused = proxy.post("/v1/messages", &body).await;
    assert_eq!((refused.status, refused.json()["type"].as_str()), (429, Some("error")));
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert!(!refused.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_request_that_names_more_tokens_than_the_limit_is_told_not_to_come_again() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({})).set(route(json!({"tpm": 100}))).start().await;
    let body = json!({"model": "m", "max_tokens": 738, "messages": [{"role": "user", "content": "hi"}]});
    let refused = proxy.post("/v1/chat/completions", &body).await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "request_too_large_for_limit"));
    assert_eq!(refused.json()["error"]["type"], "rate_limit_exceeded");
    assert!(
        refused
            .message()
            .starts_with("Request too large for the limit of the route 'all': 100 tokens per minute (tpm)")
    );
    assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), ("", "false"));
    // The largest of the limits that it names counts.
    let body = json!({"model": "m", "max_tokens": 1, "max_completion_tokens": 738, "messages": []});
    assert_eq!(proxy.post("/v1/chat/completions", &body).await.code(), "request_too_large_for_limit");
    assert_eq!(a.calls(), 0);
    // A guess is cut to what there can be.
    assert_eq!(proxy.chat().await.status, 200);
}

#[tokio::test]
async fn a_request_has_a_limit_of_tokens_of_its_own() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let limits = route(json!({"tokens_per_request": 1000}));
    let proxy = Proxy::builder().provider(&a, json!({})).set(limits).start().await;
    let body = |most: u32| json!({"model": "m", "max_tokens": most, "messages": []});
    assert_eq!(proxy.post("/v1/chat/completions", &body(900)).await.status, 200);
    let refused = proxy.post("/v1/chat/completions", &body(1001)).await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "request_too_large_for_limit"));
    assert!(refused.message().contains("tokens_per_request"), "{}", refused.message());
}

#[tokio::test]
async fn several_answers_may_each_be_as_long_as_one() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let limits = route(json!({"tokens_per_request": 1000, "tpd": 100_000}));
    let proxy = Proxy::builder().provider(&a, json!({})).set(limits).start().await;
    let body = |answers: u32| json!({"model": "m", "max_tokens": 300, "n": answers, "messages": []});
    assert_eq!(proxy.post("/v1/chat/completions", &body(3)).await.status, 200);
    let refused = proxy.post("/v1/chat/completions", &body(4)).await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "request_too_large_for_limit"));
    // What is guessed of an answer is guessed of each.
    let gate = Gate::closed();
    a.follow(Reply::chat("a").held_by(&gate));
    let before = left(&proxy, "tpd").await;
    let many = json!({"model": "m", "n": 8, "messages": []});
    let waiting = spawn(proxy.chat_call(&many).answer());
    eventually("it is sent", async || a.serving() == 1).await;
    assert!(before - left(&proxy, "tpd").await > 3000.0);
    gate.open();
    assert_eq!(waiting.await.expect("answered").status, 200);
}

#[tokio::test]
async fn requests_at_once_are_counted_and_never_leak() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let proxy = Proxy::builder().provider(&a, json!({})).set(route(json!({"parallel": 2}))).start().await;
    let (one, other) = (proxy.chat_meanwhile(), proxy.chat_meanwhile());
    eventually("both are in flight", async || a.serving() == 2).await;
    let refused = proxy.chat().await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limit_exceeded"));
    assert_eq!((refused.json()["error"]["param"].as_str(), refused.header("retry-after")), (Some("parallel"), "1"));
    one.abort();
    wait_for_left(&proxy, "parallel", 1.0).await;
    gate.open();
    assert_eq!(other.await.expect("answered").status, 200);
    wait_for_left(&proxy, "parallel", 2.0).await;
}

#[tokio::test]
async fn a_refused_request_takes_no_slot_of_the_queue() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let limits = json!({"queue": {"max_concurrent": 1, "timeout": 600}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(route(json!({"rpd": 1}))).set(limits).start().await;
    let busy = proxy.chat_meanwhile();
    eventually("the only slot is taken", async || a.serving() == 1).await;
    assert_eq!(proxy.chat().await.code(), "rate_limit_exceeded");
    gate.open();
    assert_eq!(busy.await.expect("answered").status, 200);
}

#[tokio::test]
async fn streams_tell_the_limits_in_their_head_and_providers_own_do_not_show() {
    let stream = Reply::stream(&["one"]).header("x-ratelimit-remaining-requests", "9999");
    let a = Mock::start("a", stream.header("x-ratelimit-remaining-tokens", "9999")).await;
    let proxy = Proxy::builder().provider(&a, json!({})).set(route(json!({"rpd": 10}))).start().await;
    let answer = proxy.chat_call(&stream_request()).answer().await;
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), "9");
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), "");
}

#[tokio::test]
async fn a_stream_whose_head_goes_out_early_tells_them_too() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::stream(&["one"]).held_by(&gate)).await;
    let settings = json!({"server": {"keep_alive": 0.2}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(route(json!({"tpd": 10000}))).set(settings).start().await;
    let stream = proxy.stream().await;
    assert_eq!(stream.header("x-ratelimit-limit-tokens"), "10000");
    gate.open();
    assert!(stream.rest().await.text().contains("one"));
}

#[tokio::test]
async fn without_limits_nothing_is_said_of_any() {
    let a = Mock::start("a", Reply::chat("a").header("x-ratelimit-remaining-tokens", "77")).await;
    let proxy = Proxy::before([&a]).await;
    let answer = proxy.chat().await;
    assert_eq!(answer.header("x-ratelimit-limit-requests"), "");
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), "77", "the provider's pass");
}

#[tokio::test]
async fn a_reload_keeps_the_counters_and_takes_new_amounts() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut proxy = Proxy::builder().provider(&a, json!({})).set(route(json!({"rpd": 2}))).start().await;
    assert_eq!((proxy.chat().await.status, proxy.chat().await.status), (200, 200));
    assert_eq!(proxy.chat().await.status, 429);
    proxy.reload(route(json!({"rpd": 2, "tpd": 5000}))).await.expect("sound");
    assert_eq!(proxy.chat().await.status, 429);
    proxy.reload(route(json!({"rpd": 4}))).await.expect("sound");
    // Half of the day's requests were used up, and still are.
    wait_for_left(&proxy, "rpd", 0.0).await;
    proxy.reload(route(json!({"rpm": 100}))).await.expect("sound");
    assert_eq!((proxy.chat().await.status, left(&proxy, "rpm").await), (200, 99.0));
    // A route that goes and comes back counts on.
    proxy.reload(route(json!({"rpd": 10}))).await.expect("sound");
    assert_eq!((proxy.chat().await.status, left(&proxy, "rpd").await), (200, 9.0));
    proxy.reload(json!({"routes": [{"name": "other", "models": ["*"]}]})).await.expect("sound");
    assert_eq!(proxy.chat().await.status, 200);
    assert_eq!(proxy.get("/metrics").await.text().matches("owner=\"r/all\"").count(), 0);
    proxy.reload(route(json!({"rpd": 10}))).await.expect("sound");
    assert!(left(&proxy, "rpd").await < 9.5);
}

#[tokio::test]
async fn other_paths_count_as_requests_and_take_no_tokens() {
    let a = Mock::start("a", Reply::json(200, &json!({"object": "list", "data": []}))).await;
    let proxy = Proxy::builder().provider(&a, json!({})).set(route(json!({"rpd": 5, "tpd": 1000}))).start().await;
    let embeddings = json!({"model": "e", "input": "some words"});
    assert_eq!(proxy.post("/v1/embeddings", &embeddings).await.status, 200);
    wait_for_left(&proxy, "rpd", 4.0).await;
    let call = Call::to(proxy.address(), Method::GET, "/v1/files").answer().await;
    assert_eq!(call.status, 200, "stored things belong to no route");
    wait_for_left(&proxy, "rpd", 4.0).await;
}
