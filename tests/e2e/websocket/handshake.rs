//! The opening: who may, what a provider gets to see, and who is tried next.

use harness::{KEY, Mock, Proxy, Reply, eventually};
use http::Method;
use serde_json::json;

use super::provider;

#[tokio::test]
async fn a_session_is_an_echo_with_the_providers_key_and_model() {
    let a = provider("a").await;
    let proxy = Proxy::builder().provider(&a, json!({"model_map": {"voice": "gpt-realtime"}})).start().await;
    let mut client = proxy
        .knock("/v1/realtime?model=voice&x=%2F")
        .header("authorization", "Bearer not-for-the-provider")
        .header("openai-beta", "realtime=v1")
        .header("sec-websocket-extensions", "permessage-deflate")
        .header("sec-websocket-protocol", "realtime")
        .open()
        .await;
    assert_eq!((client.header("x-pointsman-provider"), client.header("sec-websocket-extensions")), ("a", ""));
    assert!(!client.header("x-request-id").is_empty());
    let mut there = a.socket().await;
    let seen = a.only_request();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/v1/realtime?model=gpt-realtime&x=%2F"));
    assert_eq!(seen.header("authorization"), format!("Bearer {KEY}"));
    assert_eq!((seen.header("upgrade"), seen.header("openai-beta")), ("websocket", "realtime=v1"));
    assert_eq!((seen.header("sec-websocket-protocol"), seen.header("sec-websocket-extensions")), ("realtime", ""));
    client.event(&json!({"type": "response.create", "response": {}})).await;
    assert_eq!(there.text().await, r#"{"type":"response.create","response":{}}"#);
    client.event(&json!({"type": "session.update", "session": {"model": "voice"}})).await;
    assert_eq!(there.json().await["session"]["model"], "gpt-realtime");
    there.send("anything").await;
    assert_eq!(client.text().await, "anything");
    client.close(1000, "bye").await;
    assert_eq!(there.closed().await, (1000, "bye".to_owned()));
    there.close(1000, "bye").await;
    assert_eq!(client.closed().await, (1000, "bye".to_owned()));
    client.ended().await;
}

#[tokio::test]
async fn frames_that_come_along_with_the_heads_are_not_lost() {
    let hello = [&[0x81, 5][..], b"hello"].concat();
    let a = Mock::start("a", Reply::switch().body(hello)).await;
    let proxy = Proxy::before([&a]).await;
    let mut client = proxy.knock("/v1/realtime?model=gpt-4").open().await;
    assert_eq!(client.text().await, "hello");
}

#[tokio::test]
async fn the_key_of_a_web_page_is_a_clients_and_goes_no_further() {
    let a = provider("a").await;
    let keys = json!({"server": {"api_keys": ["client-key"]}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(keys).start().await;
    let knock = || proxy.knock("/v1/realtime?model=gpt-4");
    let protocols = |key: &str| format!("realtime, openai-insecure-api-key.{key}, openai-beta.realtime-v1");
    let refusal = knock().header("sec-websocket-protocol", &protocols("wrong")).refused().await;
    assert_eq!((refusal.status, refusal.code().as_str()), (401, "invalid_api_key"));
    assert_eq!((knock().refused().await.status, a.calls()), (401, 0));
    let client = knock().header("sec-websocket-protocol", &protocols("client-key")).open().await;
    // A page takes no answer without one of those that it has offered, though the provider chooses none.
    assert_eq!(client.header("sec-websocket-protocol"), "realtime");
    let seen = a.only_request();
    assert_eq!(seen.header("sec-websocket-protocol"), "realtime, openai-beta.realtime-v1");
    assert_eq!(seen.header("authorization"), format!("Bearer {KEY}"));
    let client = knock().header("authorization", "Bearer client-key").open().await;
    assert_eq!(client.header("sec-websocket-protocol"), "");
}

#[tokio::test]
async fn whatever_can_be_refused_is_refused_with_http() {
    let a = provider("a").await;
    let models = json!({"models": ["gpt-4"]});
    let proxy = Proxy::builder().provider(&a, models).start().await;
    let unknown = proxy.knock("/v1/realtime?model=nobody").refused().await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "model_not_found"));
    for path in ["/v1/chat/completions", "/v1/realtime/sessions", "/v1/anything", "/nowhere"] {
        let elsewhere = proxy.knock(path).refused().await;
        assert_eq!((elsewhere.status, elsewhere.code().as_str()), (501, "upgrade_unavailable"), "{path}");
        assert_eq!(elsewhere.header("x-should-retry"), "false");
    }
    let half = |left_out: &'static str| {
        let headers = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let call = proxy.call(Method::GET, "/v1/realtime?model=gpt-4");
        let kept = headers.into_iter().filter(move |(name, _)| *name != left_out);
        kept.fold(call, |call, (name, value)| call.header(name, value)).answer()
    };
    let version = half("sec-websocket-version").await;
    assert_eq!((version.status, version.header("sec-websocket-version")), (426, "13"));
    let key = half("sec-websocket-key").await;
    assert_eq!((key.status, key.code().as_str()), (400, "invalid_handshake"));
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_limit_is_a_429_with_its_headers_until_the_session_is_over() {
    let a = provider("a").await;
    let key = json!({"key": "sk-one-zq7-s3cr3t", "name": "one", "limits": {"parallel": 1}});
    let set = json!({"clients": {"unknown": "allow", "keys": [key]}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(set).start().await;
    let knock = || proxy.knock("/v1/realtime?model=gpt-4").header("authorization", "Bearer sk-one-zq7-s3cr3t");
    let (first, mut there) = (knock().open().await, a.socket().await);
    let refusal = knock().refused().await;
    assert_eq!((refusal.status, refusal.code().as_str()), (429, "rate_limit_exceeded"));
    assert!(!refusal.header("retry-after").is_empty());
    drop(first);
    there.closed().await;
    eventually("the place is free again", async || proxy.metric("pointsman_websocket_sessions_open").await == 0.0)
        .await;
    let _again = knock().open().await;
    assert_eq!(a.calls(), 2);
}

#[tokio::test]
async fn a_provider_that_does_not_open_it_is_followed_by_the_next() {
    let b = provider("b").await;
    let wrong = Reply::switch().header("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let unwilling = [
        ("busy", Reply::error(429, "slow down")),
        ("broken", Reply::error(500, "oops")),
        ("elsewhere", Reply::error(404, "no such thing")),
        ("closed", Reply::hang_up()),
        ("plain", Reply::chat("what is an upgrade?")),
        ("wrong", wrong),
    ];
    for (name, reply) in unwilling {
        let a = Mock::start(name, reply).await;
        let proxy = Proxy::before([&a, &b]).await;
        let mut client = proxy.knock("/v1/realtime?model=gpt-4").open().await;
        let mut there = b.socket().await;
        assert_eq!(
            (client.header("x-pointsman-provider"), client.header("x-pointsman-attempts")),
            ("b", "2"),
            "{name}"
        );
        client.send("hello").await;
        assert_eq!(there.text().await, "hello");
    }
    let refused = Mock::refusing("refused").await;
    let proxy = Proxy::before([&refused, &b]).await;
    let client = proxy.knock("/v1/realtime?model=gpt-4").open().await;
    assert_eq!((client.header("x-pointsman-provider"), proxy.state_of(&refused).await.as_str()), ("b", "ejected"));
}

#[tokio::test]
async fn what_a_provider_refuses_for_good_reaches_the_client() {
    let a = Mock::start("a", Reply::error(400, "no such voice")).await;
    let b = provider("b").await;
    let proxy = Proxy::before([&a, &b]).await;
    let refusal = proxy.knock("/v1/realtime?model=gpt-4").refused().await;
    assert_eq!((refusal.status, refusal.code().as_str()), (400, "mock_code"));
    assert_eq!(b.calls(), 0);
    let down = [Mock::start("c", Reply::error(500, "oops")).await, Mock::refusing("d").await];
    let proxy = Proxy::before([&down[0], &down[1]]).await;
    let refusal = proxy.knock("/v1/realtime?model=gpt-4").refused().await;
    assert_eq!((refusal.status, refusal.code().as_str()), (502, "all_providers_failed"));
}
