//! Rate limits: how long a provider is left alone, and what the client hears when nobody is left.

use std::time::{Duration, SystemTime};

use harness::{Mock, Proxy, Reply, Script, chat_request, eventually};
use serde_json::{Value, json};

/// A usual chat request for another model.
fn chat_request_of(model: &str) -> Value {
    let mut request = chat_request();
    request["model"] = model.into();
    request
}

/// For how many seconds a provider is out after a first request to which it said `reply`.
async fn out_after(reply: Reply) -> f64 {
    let (a, b) = (Mock::start("a", reply).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    assert_eq!(proxy.chat().await.provider(), "b");
    let health = proxy.health_of(&a).await;
    assert_eq!(health["state"], "throttled", "{health:?}");
    health["out_for_seconds"].as_f64().unwrap_or_default()
}

fn limit() -> Reply {
    Reply::error(429, "slow down")
}

#[tokio::test]
async fn retry_after_in_seconds_is_obeyed() {
    let out = out_after(limit().header("retry-after", "40")).await;
    assert!((30.0..=40.0).contains(&out), "{out}");
}

#[tokio::test]
async fn retry_after_as_a_date_is_obeyed() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(40));
    let out = out_after(limit().header("retry-after", &date)).await;
    assert!((30.0..=41.0).contains(&out), "{out}");
}

#[tokio::test]
async fn retry_after_in_milliseconds_is_obeyed_and_wins() {
    let out = out_after(limit().header("retry-after-ms", "25500").header("retry-after", "600")).await;
    assert!((15.0..=25.5).contains(&out), "{out}");
}

#[tokio::test]
async fn a_limit_without_a_figure_or_with_nonsense_is_a_short_wait() {
    let past = "Wed, 21 Oct 2015 07:28:00 GMT";
    for figure in ["", "soon", "-5", "0", past] {
        let reply = if figure.is_empty() { limit() } else { limit().header("retry-after", figure) };
        let out = out_after(reply).await;
        assert!(out > 0.0 && out <= 10.0, "{out}");
    }
}

#[tokio::test]
async fn a_day_is_believed_for_ten_minutes() {
    let out = out_after(limit().header("retry-after", "86400")).await;
    assert!((590.0..=600.0).contains(&out), "{out}");
    let a = Mock::start("a", limit().header("retry-after", "86400")).await;
    let wait: f64 = Proxy::before([&a]).await.chat().await.header("retry-after").parse().expect("whole seconds");
    assert!((590.0..=600.0).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_reload_looks_at_limits_anew() {
    let a = Mock::start("a", [limit().header("retry-after", "86400"), Reply::chat("from a")]).await;
    let mut proxy = Proxy::before([&a]).await;
    assert_eq!((proxy.chat().await.status, proxy.chat().await.status, a.calls()), (429, 429, 1));
    proxy.reload(json!({"timeouts": {"idle": 9}})).await.expect("a good configuration");
    assert_eq!(proxy.chat().await.status, 200);
}

#[tokio::test]
async fn a_check_that_goes_well_lets_one_request_try_out_a_long_limit() {
    let a = Mock::start("a", [limit().header("retry-after", "86400"), Reply::chat("from a")]).await;
    let checks = json!({"routing": {"health_check": {"enabled": true, "interval": 0.1}}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(checks).start().await;
    assert_eq!(proxy.chat().await.status, 429);
    eventually("a is asked again", async || proxy.chat().await.status == 200).await;
    let b = Mock::start("b", limit().header("retry-after", "20")).await;
    let checks = json!({"routing": {"health_check": {"enabled": true, "interval": 0.1}}});
    let proxy = Proxy::builder().provider(&b, json!({})).set(checks).start().await;
    proxy.chat().await;
    let before = b.checks().len();
    eventually("three checks", async || b.checks().len() >= before + 3).await;
    assert_eq!((proxy.chat().await.status, b.calls()), (429, 1), "an ordinary one holds");
}

#[tokio::test]
async fn a_limit_of_one_model_leaves_the_others_alone() {
    let a = Mock::start(
        "a",
        Script::by(|_, request| {
            let limited = request.json()["model"] == "large";
            if limited { limit().header("retry-after", "60") } else { Reply::chat("from a") }
        }),
    )
    .await;
    let proxy = Proxy::before([&a]).await;
    let ask = async |model: &str| proxy.chat_call(&chat_request_of(model)).answer().await.status;
    assert_eq!((ask("large").await, ask("small").await, ask("large").await), (429, 200, 429));
    assert_eq!(a.calls(), 2, "the second request for the large one is answered without an attempt");
}

#[tokio::test]
async fn a_503_with_retry_after_is_about_all_models() {
    let a = Mock::start("a", Reply::error(503, "warming up").header("retry-after", "60")).await;
    let proxy = Proxy::before([&a]).await;
    for model in ["large", "small"] {
        assert_eq!(proxy.chat_call(&chat_request_of(model)).answer().await.status, 429);
    }
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn limits_without_a_figure_grow_with_each_in_a_row() {
    let (a, b) = (Mock::start("a", limit()).await, Mock::start("b", Reply::chat("b")).await);
    let proxy = Proxy::before([&a, &b]).await;
    proxy.chat().await;
    let first = proxy.health_of(&a).await["out_for_seconds"].as_f64().unwrap_or_default();
    proxy.wait_for_state(&a, "admitted").await;
    proxy.chat().await;
    let second = proxy.health_of(&a).await["out_for_seconds"].as_f64().unwrap_or_default();
    assert!(second > first * 1.5, "{first} s, then {second} s");
}

#[tokio::test]
async fn a_throttled_provider_is_asked_again_after_its_wait() {
    let a = Mock::start("a", [limit().header("retry-after-ms", "150"), Reply::chat("from a")]).await;
    let b = Mock::start("b", Reply::chat("from b")).await;
    let proxy = Proxy::before([&a, &b]).await;
    assert_eq!(proxy.chat().await.provider(), "b");
    proxy.wait_for_state(&a, "admitted").await;
    assert_eq!(proxy.chat().await.provider(), "a");
}

#[tokio::test]
async fn when_all_are_throttled_the_answer_is_429_with_the_shortest_wait() {
    let a = Mock::start("a", limit().header("retry-after", "90")).await;
    let b = Mock::start("b", limit().header("retry-after", "30")).await;
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.chat().await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    let wait: u32 = answer.header("retry-after").parse().expect("whole seconds");
    assert!((25..=30).contains(&wait), "{wait}");
    assert_eq!(answer.header("x-should-retry"), "", "the SDKs wait and come back");
}

#[tokio::test]
async fn throttled_providers_are_not_asked_again_as_a_last_resort() {
    let a = Mock::start("a", limit().header("retry-after", "90")).await;
    let b = Mock::start("b", limit().header("retry-after", "30")).await;
    let proxy = Proxy::before([&a, &b]).await;
    proxy.chat().await;
    let again = proxy.chat().await;
    assert_eq!((again.status, a.calls(), b.calls()), (429, 1, 1));
    assert!(again.took < Duration::from_secs(1), "at once, not after {:?}", again.took);
    assert!(!again.header("retry-after").is_empty());
}

#[tokio::test]
async fn the_wait_told_to_the_client_is_at_least_one_second() {
    let a = Mock::start("a", limit().header("retry-after-ms", "20")).await;
    let proxy = Proxy::before([&a]).await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
}
