//! Ejection, and the way back with active checks disabled: one trial request at a time.

use std::time::Duration;

use harness::{Gate, Mock, Proxy, ProxyBuilder, Reply, Script, eventually};
use serde_json::{Value, json};

/// The first ejection, as short as a test wants to wait, and no active checks.
fn soon(builder: ProxyBuilder) -> ProxyBuilder {
    builder.set(json!({"routing": {"health_check": {"cooldown": 0.2}}}))
}

/// The configuration with the default number of failures in a row.
fn as_by_default() -> Value {
    json!({"routing": {"health_check": {"failures": 3}}})
}

/// The seconds for which `/health` says that a provider is out.
async fn out(proxy: &Proxy, mock: &Mock) -> f64 {
    proxy.health_of(mock).await["out_for_seconds"].as_f64().unwrap_or_default()
}

#[tokio::test]
async fn health_shows_why_a_provider_is_out_and_of_one_that_is_in_its_last_error_and_its_age() {
    let a = Mock::start("a", [Reply::error(500, "a valve burst"), Reply::chat("a"), Reply::status(401)]).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(as_by_default()).start().await;
    assert_eq!(proxy.health_of(&a).await.get("last_error"), None);
    for provider in ["b", "a"] {
        assert_eq!(proxy.chat().await.provider(), provider);
        let health = proxy.health_of(&a).await;
        let last = &health["last_error"];
        assert!(
            last["reason"].as_str().is_some_and(|why| why.contains("500") && why.contains("a valve burst")),
            "{last}"
        );
        assert!(last["seconds_ago"].is_u64(), "{last}");
        assert_eq!((health["state"].as_str(), health.get("reason")), (Some("admitted"), None));
    }
    assert_eq!(proxy.chat().await.provider(), "b");
    let health = proxy.health_of(&a).await;
    assert!(health["reason"].as_str().is_some_and(|why| why.contains("401")), "{health:?}");
    assert_eq!((health["state"].as_str(), health.get("last_error")), (Some("ejected"), None));
}

#[tokio::test]
async fn an_ejected_provider_gets_nothing() {
    let (a, b) = (Mock::start("a", Reply::status(401)).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    for _ in 0..10 {
        assert_eq!(proxy.chat().await.provider(), "b");
    }
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn a_provider_that_fails_now_and_then_is_not_ejected() {
    let script = Script::by(|number, _| if number % 5 == 4 { Reply::status(500) } else { Reply::chat("from a") });
    let (a, b) = (Mock::start("a", script).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(as_by_default()).start().await;
    for _ in 0..40 {
        assert_eq!(proxy.chat().await.status, 200);
    }
    assert_eq!((a.calls(), b.calls()), (40, 8));
}

#[tokio::test]
async fn a_provider_that_fails_each_request_is_out_after_three() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(as_by_default()).start().await;
    for _ in 0..3 {
        assert_eq!(proxy.chat().await.provider(), "b");
    }
    assert_ne!(proxy.state_of(&a).await, "admitted");
    assert!(out(&proxy, &a).await <= 1.1, "the first ejection is a second long");
}

#[tokio::test]
async fn a_provider_that_refuses_connections_is_out_after_one() {
    let (a, b) = (Mock::refusing("a").await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(as_by_default()).start().await;
    assert_eq!(proxy.chat().await.provider(), "b");
    assert_ne!(proxy.state_of(&a).await, "admitted");
}

#[tokio::test]
async fn a_refused_key_waits_for_the_whole_cooldown_at_once() {
    let (a, b) = (Mock::start("a", Reply::status(401)).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    proxy.chat().await;
    assert!((500.0..=600.0).contains(&out(&proxy, &a).await));
}

#[tokio::test]
async fn after_its_ejection_a_provider_is_probing_and_one_success_admits_it() {
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
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(as_by_default()).start().await;
    while a.calls() < 3 {
        proxy.chat().await;
    }
    proxy.wait_for_state(&a, "probing").await;
    assert_eq!(proxy.chat().await.provider(), "b");
    let health = proxy.health_of(&a).await;
    let out = health["out_for_seconds"].as_f64().unwrap_or_default();
    assert!(health["state"] == "ejected" && out > 1.1 && out <= 2.2, "one failure of its trial: {health:?}");
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
async fn requests_that_wait_for_nobody_else_are_not_kept_from_a_provider_on_trial() {
    let gate = Gate::closed();
    let a = Mock::start("a", [Reply::status(500), Reply::chat("a").held_by(&gate), Reply::chat("a")]).await;
    let proxy = soon(Proxy::builder().provider(&a, json!({}))).start().await;
    proxy.chat().await;
    proxy.wait_for_state(&a, "probing").await;
    let trial = proxy.chat_meanwhile();
    eventually("the trial has arrived", async || a.calls() == 2).await;
    let answer = proxy.chat().await;
    assert!(answer.status == 200 && answer.took < Duration::from_secs(5), "{}", answer.text());
    gate.open();
    assert_eq!(trial.await.expect("answered").status, 200);
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
