//! Ejection, cool-down, and the way back with active checks disabled: one trial request at a time.

use harness::{Gate, Mock, Proxy, ProxyBuilder, Reply, eventually};
use serde_json::json;

/// A cool-down short enough to wait for, and no active checks.
fn soon(builder: ProxyBuilder) -> ProxyBuilder {
    builder.set(json!({"routing": {"health_check": {"enabled": false, "cooldown": 0.2}}}))
}

#[tokio::test]
async fn an_ejected_provider_gets_nothing_during_its_cooldown() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    for _ in 0..10 {
        assert_eq!(proxy.chat().await.provider(), "b");
    }
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn after_its_cooldown_a_provider_is_probing_and_one_success_admits_it() {
    let a = Mock::start("a", [Reply::status(500), Reply::chat("well again")]).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let proxy = soon(Proxy::builder().provider(&a, json!({})).provider(&b, json!({}))).start().await;
    proxy.chat().await;
    proxy.wait_for_state(&a, "probing").await;
    assert_eq!(proxy.chat().await.provider(), "a");
    assert_eq!(proxy.state_of(&a).await, "admitted");
}

#[tokio::test]
async fn one_trial_request_at_a_time_goes_to_a_probing_provider() {
    let gate = Gate::closed();
    let a = Mock::start("a", [Reply::status(500), Reply::chat("well again").held_by(&gate)]).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let proxy = soon(Proxy::builder().provider(&a, json!({})).provider(&b, json!({}))).start().await;
    proxy.chat().await;
    proxy.wait_for_state(&a, "probing").await;
    let trial = proxy.chat_meanwhile();
    eventually("the trial has arrived", async || a.calls() == 2).await;
    for _ in 0..5 {
        assert_eq!(proxy.chat().await.provider(), "b");
    }
    gate.open();
    assert_eq!(trial.await.expect("answered").provider(), "a");
    assert_eq!(a.calls(), 2);
}

#[tokio::test]
async fn a_trial_that_fails_ejects_for_twice_as_long() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = soon(Proxy::builder().provider(&a, json!({})).provider(&b, json!({}))).start().await;
    proxy.chat().await;
    proxy.wait_for_state(&a, "probing").await;
    assert_eq!(proxy.chat().await.provider(), "b");
    let health = proxy.health_of(&a).await;
    let out = health["out_for_seconds"].as_f64().unwrap_or_default();
    assert!(health["state"] == "ejected" && out > 0.2 && out <= 0.4, "{health:?}");
}

#[tokio::test]
async fn a_trial_whose_client_leaves_does_not_block_the_next_one() {
    let a = Mock::start("a", [Reply::status(500), Reply::silence(), Reply::chat("well again")]).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let proxy = soon(Proxy::builder().provider(&a, json!({})).provider(&b, json!({}))).start().await;
    proxy.chat().await;
    proxy.wait_for_state(&a, "probing").await;
    let trial = proxy.chat_meanwhile();
    eventually("the trial has arrived", async || a.calls() == 2).await;
    trial.abort();
    eventually("the next trial is let through", async || proxy.chat().await.provider() == "a").await;
    assert_eq!(proxy.state_of(&a).await, "admitted");
}

#[tokio::test]
async fn health_names_the_reason_of_an_ejection_and_no_secret() {
    let a = Mock::refusing("a").await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let proxy = Proxy::before([&a, &b]).await;
    proxy.chat().await;
    let health = proxy.get("/health").await;
    assert!(health.text().contains("refused"), "{}", health.text());
    assert!(!health.text().contains(harness::KEY) && !health.text().contains("127.0.0.1"), "{}", health.text());
    assert_eq!(health.json()["status"], "ok");
}
