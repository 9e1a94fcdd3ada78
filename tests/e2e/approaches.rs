//! Choosing the approach: `proxy` and `none` are plain proxying, any other is refused by name.

use harness::{Mock, Proxy, Reply};
use serde_json::{Value, json};

/// The body that the provider gets for `body`.
async fn received(body: &Value) -> Value {
    let a = Mock::start("a", Reply::chat("a")).await;
    let answer = Proxy::before([&a]).await.chat_call(body).answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    a.only_request().json()
}

async fn assert_unavailable(body: Value) {
    let a = Mock::start("a", Reply::chat("a")).await;
    let answer = Proxy::before([&a]).await.chat_call(&body).answer().await;
    assert_eq!((answer.status, answer.code().as_str(), a.calls()), (400, "approach_unavailable", 0), "{body}");
    assert!(answer.message().contains("proxy") && answer.message().contains("none"), "{}", answer.message());
}

fn user(content: &str) -> Value {
    json!([{"role": "user", "content": content}])
}

#[tokio::test]
async fn the_prefix_proxy_is_stripped_from_the_model() {
    assert_eq!(received(&json!({"model": "proxy-gpt-4", "messages": []})).await["model"], "gpt-4");
}

#[tokio::test]
async fn the_model_is_mapped_after_its_prefix_was_stripped() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({"model_map": {"gpt-4": "mapped"}})).start().await;
    proxy.chat_call(&json!({"model": "proxy-gpt-4", "messages": []})).answer().await;
    assert_eq!(a.only_request().json()["model"], "mapped");
}

#[tokio::test]
async fn a_model_that_merely_begins_with_words_and_a_dash_is_just_a_model() {
    for model in ["gpt-4-turbo", "claude-3-5-sonnet", "my-own-model", "proxying-gpt-4"] {
        assert_eq!(received(&json!({"model": model, "messages": []})).await["model"], model);
    }
}

#[tokio::test]
async fn proxy_and_none_are_plain_proxying_at_top_level_and_in_extra_body() {
    for approach in ["proxy", "none"] {
        let top = json!({"model": "gpt-4", "messages": [], "optillm_approach": approach});
        let inner = json!({"model": "gpt-4", "messages": [], "extra_body": {"optillm_approach": approach}});
        assert_eq!(received(&top).await, json!({"model": "gpt-4", "messages": []}));
        assert_eq!(received(&inner).await, json!({"model": "gpt-4", "messages": []}));
    }
}

#[tokio::test]
async fn the_tag_in_a_message_is_removed() {
    let tagged = json!({"model": "gpt-4", "messages": user("<optillm_approach>proxy</optillm_approach>Hello")});
    assert_eq!(received(&tagged).await, json!({"model": "gpt-4", "messages": user("Hello")}));
    let system = json!({"model": "gpt-4", "messages": [
        {"role": "system", "content": "Be kind. <optillm_approach>none</optillm_approach>"},
        {"role": "user", "content": "Hello"},
    ]});
    assert!(!received(&system).await.to_string().contains("optillm"));
}

#[tokio::test]
async fn the_tag_wins_over_the_field_and_the_field_over_the_prefix() {
    let tag = user("<optillm_approach>proxy</optillm_approach>Hello");
    received(&json!({"model": "gpt-4", "messages": tag, "optillm_approach": "moa"})).await;
    assert_unavailable(json!({"model": "proxy-gpt-4", "messages": [], "optillm_approach": "moa"})).await;
}

#[tokio::test]
async fn any_other_approach_is_unavailable() {
    assert_unavailable(json!({"model": "gpt-4", "messages": [], "optillm_approach": "moa"})).await;
    assert_unavailable(json!({"model": "gpt-4", "messages": [], "extra_body": {"optillm_approach": "bon"}})).await;
    assert_unavailable(json!({"model": "gpt-4", "messages": user("<optillm_approach>mcts</optillm_approach>Hi")}))
        .await;
}

#[tokio::test]
async fn combinations_and_wrapping_are_unavailable() {
    assert_unavailable(json!({"model": "bon&proxy-gpt-4", "messages": []})).await;
    let wrap = json!({"optillm_approach": "proxy", "proxy_wrap": "moa"});
    assert_unavailable(json!({"model": "gpt-4", "messages": [], "extra_body": wrap})).await;
    assert_unavailable(json!({"model": "gpt-4", "messages": [], "proxy_wrap": "moa"})).await;
}
