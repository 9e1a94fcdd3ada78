//! Web pages that send requests to the proxy of whoever visits them.

use harness::{Answer, Call, Mock, Proxy, Reply, chat_request};
use http::Method;
use serde_json::{Value, json};

const FOREIGN: &str = "http://evil.example";
const LISTED: &str = "https://app.example";

async fn stage(reply: Reply, server: Value) -> (Mock, Proxy) {
    let a = Mock::start("a", reply).await;
    let proxy = Proxy::builder().provider(&a, json!({})).set(json!({ "server": server })).start().await;
    (a, proxy)
}

fn preflight(proxy: &Proxy, origin: &str) -> Call {
    let call = proxy.call(Method::OPTIONS, "/v1/chat/completions").header("origin", origin);
    let call = call.header("access-control-request-method", "POST");
    call.header("access-control-request-headers", "authorization,content-type")
}

fn is_open_to(answer: &Answer, origin: &str) -> bool {
    let exposed = answer.header("access-control-expose-headers").contains("x-request-id");
    answer.header("access-control-allow-origin") == origin && answer.header("vary").contains("Origin") && exposed
}

#[tokio::test]
async fn a_page_of_elsewhere_is_refused_everywhere_without_client_keys() {
    let (a, proxy) = stage(Reply::chat("a"), json!({})).await;
    for origin in [FOREIGN, "null", "http://127.0.0.1:1"] {
        // A `no-cors` request may say that it sends text.
        let call = proxy.call(Method::POST, "/v1/chat/completions").header("content-type", "text/plain");
        let answer = call.header("origin", origin).body(chat_request().to_string()).answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "origin_not_allowed"), "{origin}");
        for (method, path) in [
            (Method::POST, "/admin/reload"),
            (Method::GET, "/metrics"),
            (Method::GET, "/health"),
            (Method::GET, "/v1/models"),
        ] {
            assert_eq!(proxy.call(method, path).header("origin", origin).answer().await.status, 403, "{path}");
        }
    }
    let reloads = proxy.get("/health").await.json()["config"]["reloads"]["succeeded"].clone();
    assert_eq!((a.calls(), reloads), (0, json!(0)));
}

#[tokio::test]
async fn a_page_of_the_proxy_itself_is_served() {
    let (_a, proxy) = stage(Reply::chat("a"), json!({})).await;
    let own = format!("http://{}", proxy.address());
    assert_eq!(proxy.chat_call(&chat_request()).header("origin", &own).answer().await.status, 200);
    assert_eq!(proxy.call(Method::GET, "/metrics").header("origin", &own).answer().await.status, 200);
}

#[tokio::test]
async fn with_client_keys_the_page_does_not_matter() {
    let (_a, proxy) = stage(Reply::chat("a"), json!({"api_keys": ["client-key"], "hosts": []})).await;
    let call = proxy.chat_call(&chat_request()).header("origin", FOREIGN).header("authorization", "Bearer client-key");
    assert_eq!(call.answer().await.status, 200);
    let mut raw = proxy.raw().await;
    raw.send("GET /health HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert_eq!(raw.status().await, Some(200));
}

#[tokio::test]
async fn on_this_machine_another_name_is_refused_without_client_keys() {
    let (a, proxy) = stage(Reply::chat("a"), json!({"hosts": ["llm.internal"]})).await;
    for (host, status) in
        [("evil.example", 403), ("llm.internal:80", 200), ("localhost", 200), ("127.0.0.1", 200), ("[::1]:1", 200)]
    {
        for path in ["/v1/files", "/metrics", "/health"] {
            let mut raw = proxy.raw().await;
            raw.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!(raw.status().await, Some(status), "{host} {path}");
        }
    }
    assert_eq!(a.calls(), 4);
}

#[tokio::test]
async fn a_request_without_a_host_or_with_two_is_a_400() {
    let (a, proxy) = stage(Reply::chat("a"), json!({})).await;
    for hosts in ["", "host: x\r\nhost: x\r\n", "host: x\r\nHost: y\r\n", "host: x, y\r\n"] {
        for path in ["/v1/files", "/health"] {
            let mut raw = proxy.raw().await;
            raw.send(format!("GET {path} HTTP/1.1\r\n{hosts}\r\n")).await;
            assert_eq!(raw.status().await, Some(400), "{hosts:?} {path}");
        }
    }
    let mut raw = proxy.raw().await;
    raw.send("GET /health HTTP/1.0\r\n\r\n").await;
    assert!(raw.read_until("\r\n").await.ends_with("200 OK\r\n") || a.calls() == 0);
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_proxy_or_not_at_all() {
    for server in [json!({}), json!({"api_keys": ["client-key"]}), json!({"cors": {"origins": [LISTED]}})] {
        let (a, proxy) = stage(Reply::status(204).header("access-control-allow-origin", "*"), server).await;
        let answer = preflight(&proxy, FOREIGN).answer().await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, ""));
        let plain = proxy.call(Method::OPTIONS, "/v1/chat/completions").answer().await;
        assert!(plain.status == 405 || plain.status == 401, "{}", plain.status);
        assert_eq!(a.calls(), 0);
    }
}

#[tokio::test]
async fn a_listed_page_may_ask_and_read_every_answer() {
    for keys in [json!([]), json!(["client-key"])] {
        let server = json!({"api_keys": keys, "cors": {"origins": [LISTED]}});
        let reply = Reply::chat("a").header("access-control-allow-origin", "https://provider.example");
        let (a, proxy) = stage(reply, server).await;
        let answer = preflight(&proxy, LISTED).answer().await;
        assert!(answer.status == 204 && is_open_to(&answer, LISTED), "{:?}", answer.headers);
        assert_eq!(answer.header("access-control-allow-headers"), "authorization,content-type");
        assert!(answer.header("access-control-allow-methods").contains("POST"));
        assert_eq!(a.calls(), 0);
        let from = |call: Call| call.header("origin", LISTED).header("authorization", "Bearer client-key");
        let served = from(proxy.chat_call(&chat_request())).answer().await;
        assert!(served.status == 200 && is_open_to(&served, LISTED), "{:?}", served.headers);
        let refused = from(proxy.call(Method::POST, "/v1/chat/completions")).body("no json").answer().await;
        assert!(refused.status == 400 && is_open_to(&refused, LISTED), "{:?}", refused.headers);
        a.follow(Reply::stream(&["one"]));
        let stream = from(proxy.chat_call(&harness::stream_request())).answer().await;
        assert!(stream.status == 200 && is_open_to(&stream, LISTED), "{:?}", stream.headers);
    }
}

#[tokio::test]
async fn a_star_lists_every_page() {
    let (_a, proxy) = stage(Reply::chat("a"), json!({"cors": {"origins": ["*"]}})).await;
    let answer = proxy.chat_call(&chat_request()).header("origin", FOREIGN).answer().await;
    assert!(answer.status == 200 && is_open_to(&answer, FOREIGN), "{:?}", answer.headers);
    assert_eq!(proxy.call(Method::POST, "/admin/reload").header("origin", FOREIGN).answer().await.status, 403);
}

#[tokio::test]
async fn what_a_provider_says_of_pages_and_of_the_proxy_is_dropped() {
    let reply = Reply::chat("a").header("access-control-allow-origin", "*").header("x-should-retry", "true");
    let reply = reply.header("x-pointsman-provider", "b").header("x-pointsman-attempts", "7");
    let (_a, proxy) = stage(reply, json!({})).await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.provider()), (200, "a"));
    for name in ["access-control-allow-origin", "x-should-retry", "x-pointsman-attempts"] {
        assert_eq!(answer.header(name), "", "{name}");
    }
}

#[tokio::test]
async fn a_second_listener_is_closed_to_pages_of_elsewhere_too() {
    let (_a, proxy) = stage(Reply::chat("a"), json!({"admin": {"port": 0}, "api_keys": ["client-key"]})).await;
    let call = |method, path: &str| Call::to(proxy.operators(), method, path);
    assert_eq!(call(Method::POST, "/admin/reload").header("origin", FOREIGN).answer().await.status, 403);
    assert_eq!(call(Method::GET, "/metrics").answer().await.status, 200);
}
