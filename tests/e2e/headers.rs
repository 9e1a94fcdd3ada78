//! Headers, both ways.

use harness::{KEY, Mock, Proxy, Reply, chat_request};
use serde_json::json;

#[tokio::test]
async fn the_clients_credentials_never_reach_a_provider() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let secrets = ["authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"];
    let call = secrets.iter().fold(proxy.chat_call(&chat_request()), |call, name| call.header(name, "client-secret"));
    call.answer().await;
    let seen = a.only_request();
    for (name, value) in &seen.headers {
        assert!(!value.as_bytes().windows(13).any(|window| window == b"client-secret"), "{name}: {value:?}");
    }
    assert_eq!(seen.header("authorization"), format!("Bearer {KEY}"));
}

#[tokio::test]
async fn hop_by_hop_headers_and_the_host_stay_here() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let call = proxy.chat_call(&chat_request()).header("connection", "keep-alive, x-private").header("x-private", "1");
    let call = call.header("keep-alive", "timeout=5").header("te", "trailers").header("proxy-connection", "keep-alive");
    call.header("trailer", "x-sum").answer().await;
    let seen = a.only_request();
    for name in ["x-private", "keep-alive", "te", "proxy-connection", "trailer", "upgrade"] {
        assert_eq!(seen.header(name), "", "{name}");
    }
    assert_eq!(seen.header("host"), a.address().to_string());
}

#[tokio::test]
async fn all_other_request_headers_are_forwarded() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let headers = [
        ("openai-beta", "assistants=v2"),
        ("idempotency-key", "stainless-python-retry-1"),
        ("x-stainless-retry-count", "0"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("user-agent", "OpenAI/Python 2.0"),
        ("x-client-request-id", "abc"),
        ("accept", "application/json"),
    ];
    let call = headers.iter().fold(proxy.chat_call(&chat_request()), |call, (name, value)| call.header(name, value));
    call.answer().await;
    let seen = a.only_request();
    for (name, value) in headers {
        assert_eq!(seen.header(name), value, "{name}");
    }
}

/// Headers that tell a provider about the client.
const ABOUT: [&str; 14] = [
    "openai-organization",
    "openai-project",
    "x-forwarded-for",
    "x-forwarded-proto",
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-ray",
    "cdn-loop",
    "origin",
    "referer",
    "sec-fetch-mode",
];

#[tokio::test]
async fn what_proxies_and_browsers_add_stays_here_unless_the_operator_wants_it_forwarded() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let wanted = json!({"server": {"api_keys": ["client-key"], "forward_headers": ["X-Forwarded-For", "referer"]}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(wanted).start().await;
    let call = proxy.chat_call(&chat_request()).header("authorization", "Bearer client-key");
    let call = ABOUT.iter().fold(call, |call, name| call.header(name, "http://client"));
    assert_eq!(call.answer().await.status, 200);
    let seen = a.only_request();
    for name in ABOUT {
        let forwarded = ["x-forwarded-for", "referer"].contains(&name);
        assert_eq!(seen.header(name), if forwarded { "http://client" } else { "" }, "{name}");
    }
}

#[tokio::test]
async fn answers_are_asked_for_as_they_are() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    proxy.chat_call(&chat_request()).header("accept-encoding", "gzip, br").answer().await;
    assert_eq!(a.only_request().header("accept-encoding"), "identity");
}

#[tokio::test]
async fn a_providers_own_headers_are_added_and_win() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let own = json!({"headers": {"X-Team": "trains", "openai-organization": "ours"}});
    let proxy = Proxy::builder().provider(&a, own).start().await;
    proxy.chat_call(&chat_request()).header("openai-organization", "theirs").answer().await;
    let seen = a.only_request();
    assert_eq!((seen.header("x-team"), seen.header("openai-organization")), ("trains", "ours"));
}

#[tokio::test]
async fn response_headers_pass_less_cookies_and_hop_by_hop() {
    let reply = Reply::chat("a").header("x-ratelimit-remaining-requests", "99").header("openai-processing-ms", "12");
    let a = Mock::start("a", reply.header("set-cookie", "a=b").header("keep-alive", "timeout=5")).await;
    let answer = Proxy::before([&a]).await.chat().await;
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), "99");
    assert_eq!(answer.header("openai-processing-ms"), "12");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!((answer.header("set-cookie"), answer.header("keep-alive")), ("", ""));
}

#[tokio::test]
async fn a_key_echoed_in_an_error_is_masked() {
    let echo = Reply::error(400, &format!("Incorrect API key provided: {KEY}. You sent {KEY}."));
    let a = Mock::start("a", echo).await;
    let answer = Proxy::before([&a]).await.chat().await;
    assert_eq!(answer.status, 400);
    assert!(!answer.text().contains(KEY), "{}", answer.text());
    assert!(answer.message().starts_with("Incorrect API key provided: "), "the rest stays: {}", answer.text());
}

#[tokio::test]
async fn a_key_echoed_in_a_404_is_masked() {
    let a = Mock::start("a", Reply::error(404, &format!("no model for {KEY}"))).await;
    let answer = Proxy::before([&a]).await.chat().await;
    assert!(answer.status == 404 && !answer.text().contains(KEY), "{}", answer.text());
}

#[tokio::test]
async fn every_response_has_a_request_id() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let (first, second) = (proxy.chat().await, proxy.chat().await);
    assert!(first.header("x-request-id").len() >= 8);
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    for path in ["/health", "/ready", "/v1/models", "/nowhere"] {
        assert_ne!(proxy.get(path).await.header("x-request-id"), "", "{path}");
    }
}

#[tokio::test]
async fn a_sane_request_id_of_the_client_is_kept_and_an_insane_one_is_not() {
    let a = Mock::start("a", Reply::chat("a").header("x-request-id", "the-providers")).await;
    let proxy = Proxy::before([&a]).await;
    let id = async |id: &str| {
        let answer = proxy.chat_call(&chat_request()).header("x-request-id", id).answer().await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(id("client-7").await, "client-7");
    let long = "x".repeat(5000);
    for insane in ["a b\"<script>", long.as_str()] {
        let got = id(insane).await;
        assert!(got != insane && !got.is_empty() && got != "the-providers", "{got}");
    }
}

#[tokio::test]
async fn the_provider_is_named_and_attempts_only_with_failover() {
    let (a, b) =
        (Mock::start("a", [Reply::chat("a"), Reply::status(500)]).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    let (alone, after) = (proxy.chat().await, proxy.chat().await);
    assert_eq!((alone.provider(), alone.header("x-pointsman-attempts")), ("a", ""));
    assert_eq!((after.provider(), after.header("x-pointsman-attempts")), ("b", "2"));
}

#[tokio::test]
async fn a_streams_answer_names_its_provider_too() {
    let a = Mock::start("a", Reply::stream(&["one"])).await;
    let proxy = Proxy::before([&a]).await;
    let stream = proxy.stream().await;
    assert_eq!(stream.header("x-pointsman-provider"), "a");
    assert_ne!(stream.header("x-request-id"), "");
}

#[tokio::test]
async fn after_its_own_attempts_the_proxy_tells_sdks_not_to_retry() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::silence()).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(json!({"timeouts": {"request": 0.2}})).start().await;
    assert_eq!(proxy.chat().await.header("x-should-retry"), "false");
}
