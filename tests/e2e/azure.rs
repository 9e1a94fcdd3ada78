//! Azure's dialect: deployments in the path, `api-version` in the query, the key in `api-key`.

use harness::{KEY, Mock, Proxy, Reply, Seen, chat_request};
use serde_json::{Value, json};

/// What an Azure provider with these options gets of a request for `path`.
async fn asked(base: &str, mut options: Value, path: &str) -> Seen {
    let a = Mock::start("a", Reply::chat("a")).await;
    options["type"] = json!("azure");
    options["base_url"] = json!(format!("http://{}{base}", a.address()));
    let proxy = Proxy::builder().provider(&a, options).start().await;
    let answer = proxy.post(path, &chat_request()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    a.only_request()
}

#[tokio::test]
async fn the_mapped_model_is_the_deployment_and_the_version_is_in_the_query() {
    let map = json!({"model_map": {"gpt-4": "gpt-4-deployment"}, "api_version": "2024-06-01"});
    let seen = asked("", map, "/v1/chat/completions").await;
    assert_eq!(seen.target, "/openai/deployments/gpt-4-deployment/chat/completions?api-version=2024-06-01");
}

#[tokio::test]
async fn the_key_is_in_the_header_api_key() {
    let seen = asked("", json!({}), "/v1/chat/completions").await;
    assert_eq!((seen.header("api-key"), seen.header("authorization")), (KEY, ""));
    assert!(seen.target.starts_with("/openai/deployments/gpt-4/chat/completions?api-version="), "{}", seen.target);
}

#[tokio::test]
async fn a_base_url_of_the_v1_surface_is_used_as_it_is() {
    let seen = asked("/openai/v1", json!({}), "/v1/chat/completions").await;
    assert_eq!((seen.target.as_str(), seen.header("api-key")), ("/openai/v1/chat/completions", KEY));
    assert_eq!(seen.header("authorization"), "");
}

#[tokio::test]
async fn embeddings_go_to_a_deployment_too() {
    let seen = asked("/", json!({"api_version": "v"}), "/v1/embeddings").await;
    assert_eq!(seen.target, "/openai/deployments/gpt-4/embeddings?api-version=v");
}
