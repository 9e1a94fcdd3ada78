//! Client keys.

use harness::{Mock, Proxy, Reply, chat_request};
use serde_json::json;

async fn locked(mock: &Mock) -> Proxy {
    let keys = json!({"server": {"api_keys": ["first-client-zq7-s3cr3t-key", "second-client-zq7-s3cr3t-key"]}});
    Proxy::builder().provider(mock, json!({})).set(keys).start().await
}

#[tokio::test]
async fn either_key_opens() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = locked(&a).await;
    for key in [
        "Bearer first-client-zq7-s3cr3t-key",
        "Bearer second-client-zq7-s3cr3t-key",
        "bearer second-client-zq7-s3cr3t-key",
    ] {
        let answer = proxy.chat_call(&chat_request()).header("authorization", key).answer().await;
        assert_eq!(answer.status, 200, "{key}");
    }
}

#[tokio::test]
async fn a_key_may_come_in_the_headers_of_anthropics_and_azures_clients() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = locked(&a).await;
    for header in ["x-api-key", "api-key"] {
        let call = |key| proxy.chat_call(&chat_request()).header(header, key).answer();
        assert_eq!(call("second-client-zq7-s3cr3t-key").await.status, 200, "{header}");
        assert_eq!(call("second-client").await.status, 401, "{header}");
    }
    for seen in a.requests() {
        assert_eq!((seen.header("x-api-key"), seen.header("api-key")), ("", ""));
    }
}

#[tokio::test]
async fn anything_else_gets_401_and_reaches_nobody() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = locked(&a).await;
    let wrong = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer first-client-zq7-s3cr3t-ke",
        "Bearer first-client-zq7-s3cr3t-key2",
        "Basic first-client-zq7-s3cr3t-key",
    ];
    for key in wrong {
        let answer = proxy.chat_call(&chat_request()).header("authorization", key).answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_api_key"), "{key:?}");
        assert!(!answer.text().contains("first-client-zq7-s3cr3t-key"));
    }
    assert_eq!((proxy.chat().await.status, a.calls()), (401, 0));
}

#[tokio::test]
async fn the_list_of_models_and_unknown_paths_need_a_key_too() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = locked(&a).await;
    for path in ["/v1/models", "/v1/files", "/nowhere"] {
        assert_eq!(proxy.get(path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn health_and_ready_need_no_key_and_hold_no_secrets() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = locked(&a).await;
    for path in ["/health", "/ready"] {
        let answer = proxy.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        for secret in [harness::KEY, "client-zq7-s3cr3t-key", &a.address().to_string()] {
            assert!(!answer.text().contains(secret), "{path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn without_keys_in_the_configuration_everyone_is_let_in() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let answer = proxy.chat_call(&chat_request()).header("authorization", "Bearer anything").answer().await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_connection_goes_on_after_a_401_whose_body_came_late_and_says_so_when_it_does_not() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let builder = Proxy::builder().provider(&a, json!({})).set(json!({"server": {"api_keys": ["client-key"]}}));
    let proxy = builder.start().await;
    let mut raw = proxy.raw().await;
    for _ in 0..3 {
        raw.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n").await;
        tokio::task::yield_now().await;
        raw.send("{}").await;
        let answer = raw.next_answer().await;
        assert!(answer.starts_with("HTTP/1.1 401") && !answer.contains("connection: close"), "{answer}");
    }
    raw.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n").await;
    let answer = raw.read_to_close().await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
}
