//! `routing.model_names`: whose name for the model answers carry.

use harness::{Mock, Proxy, Reply, chat_request};
use serde_json::json;

async fn before(a: &Mock, model_names: &str) -> Proxy {
    let builder = Proxy::builder().provider(a, json!({"model_map": {"gpt-4": "theirs"}}));
    builder.set(json!({"routing": {"model_names": model_names}})).start().await
}

#[tokio::test]
async fn answers_name_the_model_as_the_client_did_if_wanted() {
    // The mock calls every model `mock`.
    let a = Mock::start("a", [Reply::chat("Hello"), Reply::stream(&["one", "two"])]).await;
    let proxy = before(&a, "client").await;
    let answer = proxy.chat_call(&chat_request()).answer().await;
    assert_eq!((answer.json()["model"].as_str(), answer.content().as_str()), (Some("gpt-4"), "Hello"));
    let text = proxy.stream().await.rest().await.text();
    assert_eq!((text.matches("\"model\":\"gpt-4\"").count(), text.matches("mock").count()), (2, 0), "{text}");
    assert!(text.contains("one") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(a.requests()[0].json()["model"], "theirs");
}

#[tokio::test]
async fn answers_name_the_model_as_the_provider_did_by_default() {
    let a = Mock::start("a", Reply::chat("Hello")).await;
    assert_eq!(before(&a, "provider").await.chat().await.json()["model"], "mock");
}
