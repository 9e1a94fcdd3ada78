//! Azure's dialect: deployments in the path, `api-version` in the query, the key in `api-key`.

use harness::{KEY, Mock, Proxy, Reply, Seen, chat_request};
use serde_json::{Value, json};

/// The request that an Azure provider with these options gets for `path`.
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

#[tokio::test]
async fn what_azures_sdks_ask_for_is_served_with_the_deployment_as_the_model() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({"model_map": {"gpt-4o": "their-name"}})).start().await;
    for (body, path, target) in [
        (json!({"messages": []}), "/openai/deployments/gpt-4o/chat/completions", "/v1/chat/completions"),
        (json!({"messages": [], "model": "other"}), "/openai/deployments/gpt-4o/embeddings", "/v1/embeddings"),
    ] {
        let answer = proxy.post(&format!("{path}?api-version=2024-10-21"), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let requests = a.requests();
        let seen = requests.last().expect("one came");
        assert_eq!((seen.target.as_str(), seen.json()["model"].as_str()), (target, Some("their-name")));
    }
    let answer = proxy.get("/openai/files?api-version=2024-10-21&limit=2").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(a.requests()[2].target, "/v1/files?limit=2");
}

#[tokio::test]
async fn the_deployment_of_an_azure_sdk_goes_to_azure_as_it_came() {
    let seen = asked("", json!({}), "/openai/deployments/mine/chat/completions?api-version=2025-01-01").await;
    assert_eq!(seen.target, "/openai/deployments/mine/chat/completions?api-version=2025-01-01");
    assert_eq!(seen.json()["model"], "mine");
}
