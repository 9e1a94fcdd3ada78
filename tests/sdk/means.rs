//! What official clients make of limits, budgets and lists of models.

use harness::{Mock, Proxy, Reply};
use serde_json::{Value, json};

use super::client;

/// A provider, and the proxy before it, which knows the client's key.
async fn before(key: Value, settings: Value) -> (Mock, Proxy) {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut known = json!({"name": "team", "key": "client-key"});
    for (name, value) in key.as_object().expect("a mapping") {
        known[name] = value.clone();
    }
    let proxy = Proxy::builder().provider(&a, json!({"models": ["gpt-4", "o3"]}));
    let proxy = proxy.set(json!({"clients": {"keys": [known]}})).set(settings).start().await;
    (a, proxy)
}

#[tokio::test]
async fn a_spent_budget_is_insufficient_quota_and_is_not_asked_for_again() {
    let prices = json!({"prices": {"models": {"gpt-4": {"input": 1.0, "output": 1_000_000.0}}}});
    let (a, proxy) = before(json!({"budget": {"usd": 1, "per": "day"}}), prices).await;
    client(&proxy, "budget_is_spent").await;
    assert_eq!(a.calls(), 1, "the SDK does not retry");
}

#[tokio::test]
async fn a_rate_is_waited_for_as_told() {
    let (a, proxy) = before(json!({"limits": {"rpm": 60}}), json!({})).await;
    client(&proxy, "rate_is_waited_for").await;
    assert_eq!(a.calls(), 61);
}

#[tokio::test]
async fn a_model_that_is_not_allowed_is_a_permission_denied_error() {
    let (a, proxy) = before(json!({"models": ["gpt-4"]}), json!({})).await;
    client(&proxy, "model_not_allowed").await;
    assert_eq!(a.calls(), 0);
}
