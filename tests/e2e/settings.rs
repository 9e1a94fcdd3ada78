//! Settings whose effect is seen only from outside.

use harness::{Mock, Proxy, Reply};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn variables_fill_the_configuration() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let from_variables = json!({"base_url": "${A_URL}", "api_key": "${A_PREFIX}-${A_KEY:-fallback}"});
    let builder = Proxy::builder().provider(&a, from_variables);
    let proxy = builder.environment("A_URL", &a.base_url()).environment("A_PREFIX", "sk").start().await;
    assert_eq!(proxy.chat().await.status, 200);
    assert_eq!(a.only_request().header("authorization"), "Bearer sk-fallback");
}

#[tokio::test]
async fn max_body_bytes_bounds_the_body() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = builder.set(json!({"server": {"max_body_bytes": 100}})).start().await;
    let body = |size: usize| format!("{{\"model\":\"{}\"}}", "x".repeat(size - 12));
    let send = async |size: usize| {
        let call = proxy.call(Method::POST, "/v1/chat/completions").header("content-type", "application/json");
        call.body(body(size)).answer().await.status
    };
    assert_eq!((send(100).await, send(101).await), (200, 413));
}
