//! Active checks: `GET {base_url}/models` with the key.

use std::time::Duration;

use harness::{KEY, Mock, Proxy, ProxyBuilder, Reply, eventually};
use serde_json::json;
use tokio::time::{Instant, sleep};

/// Active checks as fast as a test needs them.
fn with_checks(builder: ProxyBuilder) -> ProxyBuilder {
    let checks = json!({"enabled": true, "interval": 0.1, "timeout": 0.5, "cooldown": 0.1});
    builder.set(json!({"routing": {"health_check": checks}}))
}

#[tokio::test]
async fn every_provider_is_asked_for_its_models_at_start_with_its_key() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = with_checks(Proxy::builder().provider(&a, json!({})).provider(&b, json!({}))).start().await;
    eventually("both are checked", async || !a.checks().is_empty() && !b.checks().is_empty()).await;
    let check = a.checks()[0].clone();
    assert_eq!((check.method.as_str(), check.target.as_str()), ("GET", "/v1/models"));
    assert_eq!(check.header("authorization"), format!("Bearer {KEY}"));
    proxy.wait_for_state(&a, "admitted").await;
}

#[tokio::test]
async fn checks_go_on_at_their_interval() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let _proxy = with_checks(Proxy::builder().provider(&a, json!({}))).start().await;
    eventually("five checks", async || a.checks().len() >= 5).await;
    let checks = a.checks();
    let took = checks[4].at - checks[0].at;
    assert!(took >= Duration::from_millis(300), "four intervals of about 100 ms took {took:?}");
}

#[tokio::test]
async fn statuses_that_mean_alive_keep_a_provider_admitted() {
    for status in [200, 204, 301, 400, 402, 403, 404, 405, 406, 410, 421, 426, 429, 501] {
        let a = Mock::start("a", Reply::chat("a")).await;
        a.list_models_by(Reply::status(status));
        let proxy = with_checks(Proxy::builder().provider(&a, json!({}))).start().await;
        eventually("two checks", async || a.checks().len() >= 2).await;
        assert_eq!(proxy.state_of(&a).await, "admitted", "{status}");
    }
}

#[tokio::test]
async fn a_check_answered_401_ejects_and_health_says_why() {
    let a = Mock::start("a", Reply::chat("a")).await;
    a.list_models_by(Reply::error(401, "wrong key"));
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = with_checks(builder).set(json!({"routing": {"health_check": {"cooldown": 60}}})).start().await;
    proxy.wait_for_state(&a, "ejected").await;
    let reason = proxy.health_of(&a).await["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("401") && reason.contains("key"), "{reason}");
}

#[tokio::test]
async fn a_check_that_fails_ejects_whatever_the_way() {
    for reply in [Reply::status(500), Reply::status(503), Reply::reset_at_once(), Reply::silence()] {
        let a = Mock::start("a", Reply::chat("a")).await;
        a.list_models_by(reply);
        let builder = Proxy::builder().provider(&a, json!({}));
        let proxy = with_checks(builder).set(json!({"routing": {"health_check": {"cooldown": 60}}})).start().await;
        proxy.wait_for_state(&a, "ejected").await;
    }
}

#[tokio::test]
async fn a_check_that_succeeds_after_the_cooldown_admits() {
    let a = Mock::start("a", [Reply::status(500), Reply::chat("well again")]).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let proxy = with_checks(Proxy::builder().provider(&a, json!({})).provider(&b, json!({}))).start().await;
    assert_eq!(proxy.chat().await.provider(), "b");
    proxy.wait_for_state(&a, "admitted").await;
    assert_eq!(proxy.chat().await.provider(), "a");
    assert_eq!(a.calls(), 2, "it was admitted by a check, not by a trial");
}

#[tokio::test]
async fn checks_that_fail_do_not_eject_a_provider_that_serves() {
    let a = Mock::start("a", Reply::chat("a")).await;
    a.list_models_by(Reply::status(500));
    let builder = with_checks(Proxy::builder().provider(&a, json!({})));
    let proxy = builder.set(json!({"routing": {"health_check": {"failures": 3}}})).start().await;
    while a.checks().len() < 10 {
        assert_eq!(proxy.chat().await.status, 200);
        assert_eq!(proxy.state_of(&a).await, "admitted");
    }
}

#[tokio::test]
async fn a_provider_that_only_its_checks_speak_against_gets_a_request_as_its_trial() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    a.list_models_by(Reply::status(500));
    let proxy = with_checks(Proxy::builder().provider(&a, json!({})).provider(&b, json!({}))).start().await;
    proxy.wait_for_state(&a, "ejected").await;
    eventually("a is tried", async || proxy.chat().await.provider() == "a").await;
}

#[tokio::test]
async fn a_server_that_starts_after_the_proxy_is_used_soon() {
    let (a, b) = (Mock::refusing("a").await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let checks = json!({"enabled": true, "interval": 30, "cooldown": 30, "failures": 3});
    let proxy = builder.set(json!({"routing": {"health_check": checks}})).start().await;
    assert_eq!(proxy.chat().await.provider(), "b");
    // Long enough for several ejections, each of which is longer than the one before.
    sleep(Duration::from_secs(5)).await;
    let a = a.begin(Reply::chat("a")).await;
    let back = Instant::now();
    eventually("a is used", async || proxy.chat().await.provider() == "a").await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn a_provider_may_have_checks_of_its_own() {
    let [a, b, c] = [
        Mock::start("a", Reply::chat("a")).await,
        Mock::start("b", Reply::chat("b")).await,
        Mock::start("c", Reply::chat("c")).await,
    ];
    let builder = Proxy::builder().provider(&a, json!({"health_check": {"path": "/health"}}));
    let builder = builder.provider(&b, json!({"health_check": {"path": "status/ready", "timeout": 1}}));
    let _proxy = with_checks(builder.provider(&c, json!({"health_check": {"enabled": false}}))).start().await;
    eventually("a and b are checked", async || a.requests().len() >= 2 && b.requests().len() >= 2).await;
    assert_eq!((a.requests()[0].target.as_str(), b.requests()[0].target.as_str()), ("/health", "/v1/status/ready"));
    assert!(c.requests().is_empty() && c.checks().is_empty());
}

#[tokio::test]
async fn a_check_that_hangs_delays_no_other() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    a.list_models_by(Reply::silence());
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = with_checks(builder).set(json!({"routing": {"health_check": {"timeout": 15}}})).start().await;
    eventually("b is checked three times", async || b.checks().len() >= 3).await;
    assert_eq!((a.checks().len(), proxy.state_of(&b).await.as_str()), (1, "admitted"));
}

#[tokio::test]
async fn requests_are_served_before_the_first_check_is_over() {
    let a = Mock::start("a", Reply::chat("a")).await;
    a.list_models_by(Reply::silence());
    let builder = Proxy::builder().provider(&a, json!({}));
    let proxy = with_checks(builder).set(json!({"routing": {"health_check": {"timeout": 15}}})).start().await;
    assert_eq!(proxy.chat().await.status, 200);
}

#[tokio::test]
async fn disabled_checks_are_never_sent() {
    let a = Mock::start("a", [Reply::status(500), Reply::chat("a")]).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let quick = json!({"enabled": false, "interval": 0.05, "cooldown": 0.1});
    let proxy = builder.set(json!({"routing": {"health_check": quick}})).start().await;
    proxy.chat().await;
    proxy.wait_for_state(&a, "probing").await;
    proxy.chat().await;
    assert_eq!((proxy.state_of(&a).await.as_str(), a.checks().len()), ("admitted", 0));
}
