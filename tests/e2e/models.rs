//! The list of models, and which provider serves which.

use harness::{Mock, Proxy, Reply};
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().expect("a list");
    let mut ids: Vec<String> = data.iter().map(|model| model["id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn the_list_is_the_union_of_what_providers_list() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    a.list_models_by(Reply::models(&["gpt-4", "gpt-4o"]));
    b.list_models_by(Reply::models(&["gpt-4", "llama-3"]));
    let proxy = Proxy::before([&a, &b]).await;
    for path in ["/v1/models", "/models"] {
        let answer = proxy.get(path).await;
        assert_eq!((answer.status, answer.json()["object"].as_str()), (200, Some("list")));
        assert_eq!(ids(&answer.json()), ["gpt-4", "gpt-4o", "llama-3"]);
    }
}

#[tokio::test]
async fn names_of_the_configuration_are_in_the_list() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    a.list_models_by(Reply::status(404));
    b.list_models_by(Reply::status(404));
    let builder = Proxy::builder().provider(&a, json!({"model_map": {"fast": "llama-3-8b"}}));
    let proxy = builder.provider(&b, json!({"models": ["mistral"]})).start().await;
    assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["fast", "mistral"]);
}

#[tokio::test]
async fn providers_that_are_out_are_left_out() {
    let (a, b) = (Mock::start("a", Reply::status(401)).await, Mock::start("b", Reply::chat("b")).await);
    a.list_models_by(Reply::models(&["only-a"]));
    b.list_models_by(Reply::models(&["only-b"]));
    let proxy = Proxy::before([&a, &b]).await;
    assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["only-a", "only-b"]);
    proxy.chat().await;
    assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["only-b"]);
}

#[tokio::test]
async fn a_provider_that_does_not_list_its_models_hides_no_other() {
    for broken in [Reply::status(500), Reply::silence(), Reply::raw("nonsense"), Reply::json(200, &json!([1]))] {
        let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
        a.list_models_by(broken);
        b.list_models_by(Reply::models(&["only-b"]));
        let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
        let quick = json!({"routing": {"health_check": {"enabled": false, "timeout": 0.3}}});
        let proxy = builder.set(quick).start().await;
        assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["only-b"]);
    }
}

#[tokio::test]
async fn one_model_is_found_by_its_id() {
    let a = Mock::start("a", Reply::chat("a")).await;
    a.list_models_by(Reply::models(&["meta/llama-3", "gpt-4"]));
    let proxy = Proxy::before([&a]).await;
    for path in ["/v1/models/meta/llama-3", "/v1/models/meta%2Fllama-3"] {
        let answer = proxy.get(path).await;
        assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some("meta/llama-3")), "{path}");
    }
    assert_eq!(proxy.get("/v1/models/unknown").await.status, 404);
}

#[tokio::test]
async fn a_model_goes_only_to_providers_that_serve_it() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({"models": ["gpt-4"]}));
    let proxy = builder.provider(&b, json!({"models": ["llama-3"]})).start().await;
    for (model, provider) in [("llama-3", "b"), ("gpt-4", "a"), ("llama-3", "b")] {
        let body = json!({"model": model, "messages": []});
        assert_eq!(proxy.chat_call(&body).answer().await.provider(), provider, "{model}");
    }
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_a_clear_404() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({"models": ["gpt-4"]})).start().await;
    let answer = proxy.chat_call(&json!({"model": "unknown", "messages": []})).answer().await;
    assert_eq!((answer.status, answer.code().as_str(), a.calls()), (404, "model_not_found", 0));
}
