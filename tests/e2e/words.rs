//! A provider's own words about its failure, as the client and `/health` get them.

use std::time::Duration;

use harness::{KEY, Mock, Proxy, Reply};
use serde_json::{Value, json};

fn error(status: u16, message: &str, kind: &str, code: &str) -> Reply {
    Reply::json(status, &json!({"error": {"message": message, "type": kind, "param": null, "code": code}}))
}

async fn alone(reply: Reply) -> harness::Answer {
    let a = Mock::start("alpha", reply).await;
    Proxy::before([&a]).await.chat().await
}

fn kind_and_code(answer: &harness::Answer) -> (Value, Value) {
    let error = &answer.json()["error"];
    (error["type"].clone(), error["code"].clone())
}

#[tokio::test]
async fn the_error_of_the_only_provider_keeps_its_words_its_type_and_its_code() {
    for (status, seen) in [(401, 502), (402, 502), (403, 502), (429, 429), (500, 502), (503, 502), (529, 502)] {
        let answer = alone(error(status, "upstream detail 4711", "some_type", "some_code")).await;
        assert_eq!(answer.status, seen, "{status}: {}", answer.text());
        assert_eq!(kind_and_code(&answer), (json!("some_type"), json!("some_code")), "{status}");
        let message = answer.message();
        assert!(message.contains("upstream detail 4711") && message.contains("alpha"), "{status}: {message}");
    }
}

#[tokio::test]
async fn an_error_without_type_and_code_gets_the_proxys_own() {
    let answer = alone(Reply::status(500).body("upstream connect error")).await;
    assert_eq!(kind_and_code(&answer), (json!("provider_error"), json!("all_providers_failed")));
    assert!(answer.message().contains("upstream connect error"), "{}", answer.text());
}

#[tokio::test]
async fn of_several_providers_each_ones_words_are_told_under_the_proxys_own_code() {
    let a = Mock::start("alpha", error(500, "disk is full", "server_error", "e1")).await;
    let b = Mock::start("beta", error(403, "region not allowed", "forbidden", "e2")).await;
    let answer = Proxy::before([&a, &b]).await.chat().await;
    assert_eq!(kind_and_code(&answer), (json!("provider_error"), json!("all_providers_failed")));
    for words in ["alpha", "disk is full", "e1", "beta", "region not allowed", "e2"] {
        assert!(answer.message().contains(words), "{words}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_request_that_nobody_is_asked_for_is_told_what_was_said_before() {
    let limit = error(429, "You exceeded your quota", "t", "insufficient_quota").header("retry-after", "60");
    let a = Mock::start("alpha", limit).await;
    let proxy = Proxy::before([&a]).await;
    for _ in 0..2 {
        let answer = proxy.chat().await;
        assert_eq!(answer.status, 429);
        assert!(answer.message().contains("You exceeded your quota"), "{}", answer.text());
    }
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn health_gives_the_words_of_what_put_a_provider_out() {
    for (status, state) in [(401, "ejected"), (429, "throttled")] {
        let a = Mock::start("a", error(status, "You exceeded your quota", "t", "insufficient_quota")).await;
        let b = Mock::start("b", Reply::chat("b")).await;
        let proxy = Proxy::before([&a, &b]).await;
        proxy.chat().await;
        let health = proxy.health_of(&a).await;
        let reason = health["reason"].as_str().unwrap_or_default();
        assert_eq!(health["state"], state, "{health:?}");
        assert!(reason.contains("You exceeded your quota") && reason.contains("insufficient_quota"), "{reason}");
    }
}

#[tokio::test]
async fn words_are_masked_short_and_one_line() {
    let long = format!("key {KEY} or {} is bad\n\u{7}{}", KEY.replace('-', "%2d"), "é".repeat(500));
    let message = alone(error(500, &long, "t", "c")).await.message();
    assert!(message.contains("key *** or *** is bad é"), "{message}");
    assert!(message.len() < 400 && !message.contains(char::is_control), "{} bytes: {message}", message.len());
}

#[tokio::test]
async fn words_name_no_address_of_the_provider() {
    let a = Mock::start("a", Reply::status(500)).await;
    let address = a.address().to_string();
    let b = Mock::start("b", error(500, &format!("dial tcp {address}: refused"), "t", "c")).await;
    drop(a);
    let message = Proxy::before([&b]).await.chat().await.message();
    assert!(message.contains("dial tcp") && !message.contains("127.0.0.1"), "{message}");
}

#[tokio::test]
async fn a_404_names_its_path_among_other_failures() {
    let a = Mock::start("alpha", error(404, "no such route", "t", "c")).await;
    let b = Mock::start("beta", Reply::status(500)).await;
    let message = Proxy::before([&a, &b]).await.chat().await.message();
    assert!(message.contains("alpha answered 404 to POST /v1/chat/completions: no such route"), "{message}");
}

#[tokio::test]
async fn an_error_body_that_hangs_or_never_ends_holds_nobody_up() {
    let hangs = error(500, "x", "t", "c").announce(100_000).hang();
    let endless = Reply::status(500).announce(50 << 20).body(vec![b'x'; 1 << 20]).hang();
    for reply in [hangs, endless] {
        let (a, b) = (Mock::start("a", reply).await, Mock::start("b", Reply::chat("from b")).await);
        let answer = Proxy::before([&a, &b]).await.chat().await;
        assert_eq!(answer.provider(), "b");
        assert!(answer.took < Duration::from_secs(5), "{:?}", answer.took);
    }
}

#[tokio::test]
async fn a_timeout_names_its_key_and_its_value() {
    let a = Mock::start("a", Reply::silence()).await;
    let global = Proxy::builder().provider(&a, json!({})).set(json!({"timeouts": {"request": 0.2}})).start().await;
    let message = global.chat().await.message();
    assert!(message.contains("timed out after 0.2 s (timeouts.request)"), "{message}");
    let own = Proxy::builder().provider(&a, json!({"timeouts": {"request": 0.25}})).start().await;
    let message = own.chat().await.message();
    assert!(message.contains("timed out after 0.25 s (providers[].timeouts.request)"), "{message}");
}

#[tokio::test]
async fn an_error_text_that_is_encoded_is_replaced() {
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let reply = Reply::status(400).header("content-type", "application/json").header("content-encoding", "gzip");
    let answer = alone(reply.body(gzip.to_vec())).await;
    assert_eq!((answer.status, answer.header("content-encoding")), (400, ""));
    assert!(answer.message().contains("encoded") && answer.message().contains("alpha"), "{}", answer.text());
}

#[tokio::test]
async fn a_key_is_masked_in_a_rejection_however_it_is_written() {
    let units: String = KEY.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let percent: String = KEY.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let body = format!(r#"{{"error":{{"message":"{units} {percent}","code":"c"}}}}"#);
    let reply = Reply::status(400).header("content-type", "application/json").body(body);
    assert_eq!(alone(reply).await.text(), r#"{"error":{"message":"*** ***","code":"c"}}"#);
}

#[tokio::test]
async fn waits_are_read_in_every_form() {
    let limit = || error(429, "slow down", "t", "c");
    let google = json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "39s"}]}}]);
    for (reply, expected) in [
        (limit().header("x-ratelimit-reset-requests", "6m0s"), 360.0),
        (limit().header("x-ratelimit-remaining-tokens", "0").header("x-ratelimit-reset-tokens", "45s"), 45.0),
        (limit().header("retry-after", "0").header("x-ratelimit-reset", "50"), 50.0),
        (Reply::json(429, &google), 39.0),
    ] {
        let (a, b) = (Mock::start("a", reply).await, Mock::start("b", Reply::chat("b")).await);
        let proxy = Proxy::before([&a, &b]).await;
        proxy.chat().await;
        let out = proxy.health_of(&a).await["out_for_seconds"].as_f64().unwrap_or_default();
        assert!(out <= expected && out > expected - 10.0, "{out} instead of {expected}");
    }
}

#[tokio::test]
async fn what_providers_say_in_the_proxys_name_is_dropped() {
    let reply = Reply::chat("fine")
        .header("x-pointsman-provider", "evil")
        .header("x-pointsman-anything", "evil")
        .header("x-should-retry", "true")
        .header("access-control-allow-origin", "*");
    let answer = alone(reply).await;
    assert_eq!(answer.provider(), "alpha");
    for name in ["x-pointsman-anything", "x-should-retry", "access-control-allow-origin"] {
        assert_eq!(answer.header(name), "", "{name}");
    }
}
