//! The proxy's own errors, in the form of the endpoint that was asked.

use harness::{Answer, Mock, Proxy, Reply};
use http::Method;
use serde_json::json;

/// Claims that it is an error as Anthropic's API makes them, and gives its type.
fn anthropics(answer: &Answer) -> String {
    let json = answer.json();
    assert_eq!(json["type"], "error", "{json}");
    assert!(json["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
    assert_eq!(json["request_id"].as_str(), Some(answer.header("x-request-id")), "{json}");
    json["error"]["type"].as_str().expect("a type").to_owned()
}

#[tokio::test]
async fn on_messages_they_have_anthropics_form_and_elsewhere_openais() {
    let a = Mock::start("a", Reply::status(500)).await;
    let server = json!({"api_keys": ["client-key"], "max_body_bytes": 100});
    let only = json!({"models": ["claude"]});
    let proxy = Proxy::builder().provider(&a, only).set(json!({ "server": server })).start().await;
    let message = |model: &str| json!({"model": model, "max_tokens": 1}).to_string();
    for (key, method, body, status, kind) in [
        ("wrong", Method::POST, message("claude"), 401, "authentication_error"),
        ("client-key", Method::POST, "no json".to_owned(), 400, "invalid_request_error"),
        ("client-key", Method::POST, message("gpt"), 404, "not_found_error"),
        ("client-key", Method::POST, "x".repeat(101), 413, "request_too_large"),
        ("client-key", Method::PUT, String::new(), 405, "invalid_request_error"),
        ("client-key", Method::POST, message("claude"), 502, "api_error"),
    ] {
        for path in ["/v1/messages", "/messages", "/v1//messages"] {
            let call = proxy.call(method.clone(), path).header("x-api-key", key);
            let answer = call.body(body.clone()).answer().await;
            assert_eq!((answer.status, anthropics(&answer).as_str()), (status, kind), "{path}: {}", answer.text());
        }
    }
    let elsewhere = proxy.call(Method::GET, "/v1/threads/t/messages").header("x-api-key", "wrong").answer().await;
    assert_eq!((elsewhere.status, elsewhere.code().as_str()), (401, "invalid_api_key"));
}

#[tokio::test]
async fn a_limit_of_every_provider_is_a_rate_limit_in_anthropics_form() {
    let a = Mock::start("a", Reply::status(429).header("retry-after", "7")).await;
    let proxy = Proxy::before([&a]).await;
    let answer = proxy.post("/v1/messages", &json!({"model": "claude", "max_tokens": 1})).await;
    assert_eq!((answer.status, anthropics(&answer).as_str()), (429, "rate_limit_error"));
}

#[tokio::test]
async fn a_clients_text_is_repeated_up_to_100_bytes() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({"models": ["m"]})).start().await;
    let long = "é".repeat(5_000);
    let answer = proxy.chat_call(&json!({"model": long, "messages": []})).answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "model_not_found"));
    assert!(answer.text().len() < 500 && answer.text().contains(&"é".repeat(50)), "{}", answer.text());
    let answer = proxy.get(&format!("/{}", "x".repeat(5_000))).await;
    assert!(answer.status == 404 && answer.text().len() < 500, "{}", answer.text());
}
