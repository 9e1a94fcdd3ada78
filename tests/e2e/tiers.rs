//! Primary, fallback, last resort: all in one request.

use harness::{Mock, Proxy, Reply};
use serde_json::json;

#[tokio::test]
async fn fallback_providers_get_nothing_while_a_primary_answers() {
    let (a, spare) = (Mock::start("a", Reply::chat("a")).await, Mock::start("spare", Reply::chat("spare")).await);
    let builder = Proxy::builder().provider(&spare, json!({"fallback_only": true})).provider(&a, json!({}));
    let proxy = builder.strategy("round_robin").start().await;
    for _ in 0..6 {
        assert_eq!(proxy.chat().await.provider(), "a");
    }
    assert_eq!(spare.calls(), 0);
}

#[tokio::test]
async fn fallback_providers_answer_in_the_same_request_when_the_primaries_fail() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::status(500)).await);
    let spare = Mock::start("spare", Reply::chat("from the spare")).await;
    let builder = Proxy::builder().provider(&spare, json!({"fallback_only": true}));
    let proxy = builder.provider(&a, json!({})).provider(&b, json!({})).start().await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.provider(), answer.header("x-pointsman-attempts")), (200, "spare", "3"));
}

#[tokio::test]
async fn fallback_providers_answer_while_no_primary_is_healthy() {
    let (a, spare) = (Mock::start("a", Reply::status(401)).await, Mock::start("spare", Reply::chat("spare")).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&spare, json!({"fallback_only": true}));
    let proxy = builder.start().await;
    proxy.chat().await;
    let answer = proxy.chat().await;
    assert_eq!((answer.provider(), answer.header("x-pointsman-attempts"), a.calls()), ("spare", "", 1));
}

#[tokio::test]
async fn fallback_providers_answer_while_the_primaries_are_throttled() {
    let limit = Reply::error(429, "slow down").header("retry-after", "60");
    let (a, spare) = (Mock::start("a", limit).await, Mock::start("spare", Reply::chat("spare")).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&spare, json!({"fallback_only": true}));
    let proxy = builder.start().await;
    assert_eq!((proxy.chat().await.provider(), proxy.chat().await.provider()), ("spare", "spare"));
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn the_last_resort_serves_what_a_stale_health_state_would_refuse() {
    let a = Mock::start("a", [Reply::status(401), Reply::chat("well again")]).await;
    let proxy = Proxy::before([&a]).await;
    assert_eq!(proxy.chat().await.status, 502);
    assert_eq!(proxy.state_of(&a).await, "ejected");
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.content().as_str()), (200, "well again"));
}

#[tokio::test]
async fn the_last_resort_follows_in_the_same_request_when_the_only_healthy_provider_fails() {
    let a = Mock::start("a", [Reply::status(401), Reply::chat("from a")]).await;
    let b = Mock::start("b", [Reply::chat("from b"), Reply::status(500)]).await;
    let proxy = Proxy::before([&a, &b]).await;
    assert_eq!(proxy.chat().await.provider(), "b");
    assert_eq!(proxy.state_of(&a).await, "ejected");
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.provider(), answer.header("x-pointsman-attempts")), (200, "a", "2"));
}

#[tokio::test]
async fn a_success_in_the_last_resort_admits_the_provider() {
    let a = Mock::start("a", [Reply::status(401), Reply::chat("well again")]).await;
    let proxy = Proxy::before([&a]).await;
    proxy.chat().await;
    proxy.chat().await;
    assert_eq!(proxy.state_of(&a).await, "admitted");
}
