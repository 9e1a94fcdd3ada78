//! Which paths are served, and where at the provider they end.

use harness::{Mock, Proxy, Reply, chat_request};
use http::Method;
use serde_json::json;

/// The target at which a provider was asked when the client asked for `path`.
async fn target(method: Method, path: &str) -> String {
    let a = Mock::start("a", Reply::json(200, &json!({"choices": [{"text": "ok"}]}))).await;
    let proxy = Proxy::before([&a]).await;
    let call = proxy.call(method.clone(), path);
    let call = if method == Method::POST { call.json(&chat_request()) } else { call };
    let answer = call.answer().await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    a.only_request().target
}

#[tokio::test]
async fn every_endpoint_is_served_with_and_without_v1() {
    for path in ["chat/completions", "completions", "embeddings", "responses", "moderations", "videos", "skills"] {
        assert_eq!(target(Method::POST, &format!("/v1/{path}")).await, format!("/v1/{path}"));
        assert_eq!(target(Method::POST, &format!("/{path}")).await, format!("/v1/{path}"));
    }
}

#[tokio::test]
async fn everything_below_v1_is_forwarded_even_if_unknown() {
    assert_eq!(target(Method::POST, "/v1/brand/new").await, "/v1/brand/new");
    assert_eq!(target(Method::GET, "/v1/brand/new").await, "/v1/brand/new");
    assert_eq!(target(Method::DELETE, "/v1/brand/new/1").await, "/v1/brand/new/1");
}

#[tokio::test]
async fn the_query_is_forwarded_as_it_stands() {
    assert_eq!(target(Method::GET, "/v1/files?limit=2&after=a%2Fb&x").await, "/v1/files?limit=2&after=a%2Fb&x");
}

#[tokio::test]
async fn escapes_in_the_path_stay() {
    assert_eq!(target(Method::GET, "/v1/files/a%2Fb%20c/content").await, "/v1/files/a%2Fb%20c/content");
}

#[tokio::test]
async fn unknown_paths_get_404_from_the_proxy_and_reach_nobody() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    for path in ["/favicon.ico", "/v2/chat/completions", "/administration", "/v1", "/openai", "/openai/deployments/m"] {
        let answer = proxy.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"]["message"].is_string(), "{path}: {}", answer.text());
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_path_that_could_climb_out_of_the_base_url_is_refused() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    for path in ["/v1/../secret", "/v1/%2e%2e/secret", "/v1/..%2fadmin", "/v1/%2e%2e%5cadmin", "/v1/files/%252e%252e/x"]
    {
        let answer = proxy.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_path"), "{path}");
    }
    let mut raw = proxy.raw().await;
    raw.send("GET /v1\\..\\admin HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await;
    assert_eq!(raw.status().await, Some(400));
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn doubled_slashes_and_prefixes_are_folded() {
    for path in
        ["/v1//chat/completions", "/v1/v1/chat/completions", "//v1/chat//completions", "/openai/v1/chat/completions"]
    {
        assert_eq!(target(Method::POST, path).await, "/v1/chat/completions", "{path}");
    }
}

#[tokio::test]
async fn what_a_server_has_beside_v1_is_asked_for_there() {
    for path in ["tokenize", "detokenize", "rerank"] {
        assert_eq!(target(Method::POST, &format!("/{path}")).await, format!("/{path}"));
        assert_eq!(target(Method::POST, &format!("/v1/{path}")).await, format!("/v1/{path}"));
    }
}

#[tokio::test]
async fn methods_that_an_endpoint_does_not_have_are_405_and_reach_nobody() {
    let a = Mock::start("a", Reply::status(501)).await;
    let proxy = Proxy::before([&a]).await;
    for (method, path, allowed) in [
        ("PUT", "/v1/chat/completions", "GET, HEAD, POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("GET", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("TRACE", "/v1/chat/completions", "GET, HEAD, POST"),
        ("TRACE", "/v1/anything", "GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("CONNECT", "/v1/anything", "GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("POST", "/", "GET, HEAD"),
    ] {
        let mut raw = proxy.raw().await;
        raw.send(format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n")).await;
        let answer = raw.next_answer().await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{method} {path}: {answer}");
        assert!(answer.contains(&format!("allow: {allowed}\r\n")), "{method} {path}: {answer}");
    }
    assert_eq!((a.calls(), proxy.state_of(&a).await.as_str()), (0, "admitted"));
}

#[tokio::test]
async fn the_root_says_what_this_is() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let keys = json!({"server": {"api_keys": ["client-key"]}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(keys).start().await;
    let answer = proxy.get("/").await;
    assert!(answer.status == 200 && answer.text().starts_with("Pointsman "), "{}", answer.text());
    assert!(answer.text().contains("/health"), "{}", answer.text());
    assert_eq!(proxy.call(Method::HEAD, "/").answer().await.status, 200);
}

#[tokio::test]
async fn a_websocket_elsewhere_is_refused_with_a_reason_and_reaches_nobody() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    for path in ["/v1/chat/completions", "/v1/realtime/sessions"] {
        let call = proxy.call(Method::GET, path).header("connection", "Upgrade").header("upgrade", "websocket");
        let answer = call.header("sec-websocket-version", "13").answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (501, "upgrade_unavailable"), "{path}");
        assert_eq!(answer.header("x-should-retry"), "false");
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_slash_at_the_end_of_the_base_url_does_not_matter() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let with_slash = json!({"base_url": format!("{}/", a.base_url())});
    Proxy::builder().provider(&a, with_slash).start().await.chat().await;
    assert_eq!(a.only_request().target, "/v1/chat/completions");
}

#[tokio::test]
async fn the_base_urls_own_path_is_kept() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let deep = json!({"base_url": format!("http://{}/api/openai/v1", a.address())});
    Proxy::builder().provider(&a, deep).start().await.chat().await;
    assert_eq!(a.only_request().target, "/api/openai/v1/chat/completions");
}

#[tokio::test]
async fn ready_and_health_answer_without_a_provider_being_asked() {
    let a = Mock::refusing("a").await;
    let proxy = Proxy::before([&a]).await;
    assert_eq!((proxy.get("/ready").await.status, proxy.get("/health").await.status), (200, 200));
    assert_eq!(proxy.get("/health").await.json()["status"], "ok");
}

#[tokio::test]
async fn a_body_of_a_get_is_no_reason_to_refuse_it() {
    let a = Mock::start("a", Reply::json(200, &json!({"data": []}))).await;
    let proxy = Proxy::before([&a]).await;
    assert_eq!(proxy.call(Method::GET, "/v1/files").body("odd but legal").answer().await.status, 200);
}
