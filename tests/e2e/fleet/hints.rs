//! What replicas tell each other of providers.

use std::time::Duration;

use harness::{Engine, Mock, Proxy, Reply, eventually};
use serde_json::json;
use tokio::time::Instant;

use super::replicas;

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_a_provider_that_one_replica_meets_is_obeyed_by_the_other() {
    let mock = Mock::start("one", Reply::error(429, "slow down").header("retry-after", "60")).await;
    let engine = Engine::start().await;
    let all = replicas(&mock, &engine, json!({}), 2).await;
    assert_eq!(all[0].chat().await.status, 429);
    let began = Instant::now();
    all[1].wait_for_state(&mock, "throttled").await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let before = mock.requests().len();
    assert_eq!(all[1].chat().await.status, 429);
    assert_eq!(mock.requests().len(), before, "it was not asked");
}

/// Two replicas that check providers at their start, and then hardly ever by themselves.
async fn two(mock: &Mock, engine: &Engine) -> [Proxy; 2] {
    let start = async |name: &str| {
        let checks = json!({"enabled": true, "interval": 600, "timeout": 2, "cooldown": 600, "failures": 1});
        let builder = Proxy::builder()
            .provider(mock, json!({"headers": {"x-replica": name}}))
            .set(json!({"state": engine.state()}));
        builder.set(json!({"routing": {"health_check": checks}})).start().await
    };
    let all = [start("one").await, start("two").await];
    eventually("each has asked for the models", async || mock.checks().len() == 2).await;
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_one_replica_has_ejected_is_checked_by_the_other_and_goes_on_if_it_answers() {
    let mock = Mock::start("one", [Reply::error(401, "no"), Reply::chat("hi")]).await;
    let engine = Engine::start().await;
    let [one, two] = two(&mock, &engine).await;
    assert_ne!(one.chat().await.status, 200);
    one.wait_for_state(&mock, "ejected").await;
    let checks = async || mock.checks().iter().filter(|check| check.header("x-replica") == "two").count();
    eventually("the other one has checked it once more", async || checks().await == 2).await;
    assert_eq!(two.state_of(&mock).await, "admitted");
    assert_eq!(two.chat().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_refused_to_one_replica_is_found_out_by_the_other_before_a_request_is() {
    let mock = Mock::start("one", Reply::error(401, "no such key")).await;
    let engine = Engine::start().await;
    let [one, two] = two(&mock, &engine).await;
    mock.list_models_by(Reply::error(401, "no such key"));
    one.chat().await;
    one.wait_for_state(&mock, "ejected").await;
    let before = mock.calls();
    two.wait_for_state(&mock, "ejected").await;
    assert_eq!(mock.calls(), before, "no request was needed");
}
