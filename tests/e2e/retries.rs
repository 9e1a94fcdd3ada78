//! When everybody has failed softly, the request goes round again.

use std::time::Duration;

use harness::{Mock, Proxy, ProxyBuilder, Reply, Script, stream_request};
use http::Method;
use serde_json::{Value, json};

/// A proxy with the retries that there are by default.
fn before<const N: usize>(mocks: [&Mock; N]) -> ProxyBuilder {
    let builder = mocks.iter().fold(Proxy::builder(), |builder, mock| builder.provider(mock, json!({})));
    builder.set(json!({"routing": {"retries": 2, "health_check": {"failures": 3}}}))
}

/// Answers each second request, the second one first.
fn every_second(fails: Reply) -> Script {
    Script::by(move |number, _| if number % 2 == 0 { fails.clone() } else { Reply::chat("from a") })
}

#[tokio::test]
async fn one_provider_that_fails_every_second_request_fails_no_client() {
    // A connection that ends without a byte of the answer may have been closed in the meantime: a new one is no new attempt.
    for (fails, attempts) in
        [(Reply::status(500), "2"), (Reply::hang_up(), ""), (Reply::chat("half").announce(10_000).cut(), "2")]
    {
        let a = Mock::start("a", every_second(fails)).await;
        let proxy = before([&a]).start().await;
        // What is sent again must have gone out on a connection that was used before.
        let first = proxy.chat().await;
        assert_eq!((first.status, first.header("x-pointsman-attempts")), (200, "2"));
        for _ in 0..4 {
            let answer = proxy.chat().await;
            assert_eq!((answer.status, answer.header("x-pointsman-attempts")), (200, attempts));
        }
    }
}

#[tokio::test]
async fn a_stream_that_did_not_begin_is_tried_again() {
    let a = Mock::start("a", [Reply::status(500), Reply::stream(&["from a"])]).await;
    let proxy = before([&a]).start().await;
    let answer = proxy.chat_call(&stream_request()).open().await.rest().await;
    assert!(answer.status == 200 && answer.text().contains("from a"), "{}", answer.text());
}

#[tokio::test]
async fn retries_end_and_pause_a_quarter_and_then_half_a_second() {
    let a = Mock::start("a", Reply::status(500)).await;
    let proxy = before([&a]).start().await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "all_providers_failed"));
    assert_eq!((a.calls(), answer.header("x-should-retry")), (3, "false"));
    assert_eq!(answer.message().matches("answered 500").count(), 1, "{}", answer.message());
    let requests = a.requests();
    let (first, second) = (requests[1].at - requests[0].at, requests[2].at - requests[1].at);
    assert!(first >= Duration::from_millis(220) && second >= Duration::from_millis(440), "{first:?}, {second:?}");
}

#[tokio::test]
async fn a_retry_goes_through_all_providers_in_turn() {
    let (a, b) = (Mock::start("a", Reply::status(500)).await, Mock::start("b", Reply::status(500)).await);
    let proxy = before([&a, &b]).start().await;
    assert_eq!(proxy.chat().await.status, 502);
    assert_eq!((a.calls(), b.calls()), (2, 2));
}

#[tokio::test]
async fn what_is_no_soft_failure_is_not_tried_again() {
    for reply in [Reply::status(401), Reply::status(403), Reply::status(404), Reply::status(429)] {
        let (a, b) = (Mock::start("a", reply).await, Mock::start("b", Reply::status(500)).await);
        let proxy = before([&a, &b]).start().await;
        proxy.chat().await;
        assert_eq!((a.calls(), b.calls()), (1, 1));
    }
    let (refusing, b) = (Mock::refusing("a").await, Mock::start("b", Reply::status(500)).await);
    assert_eq!((before([&refusing, &b]).start().await.chat().await.status, b.calls()), (502, 1));
}

#[tokio::test]
async fn stored_things_are_never_tried_again() {
    let a = Mock::start("a", Reply::status(500)).await;
    let proxy = before([&a]).start().await;
    let answer = proxy.call(Method::POST, "/v1/batches/batch-1/cancel").answer().await;
    assert_eq!((answer.status, a.calls()), (502, 1));
}

#[tokio::test]
async fn there_are_as_many_retries_as_the_configuration_says_and_only_within_the_queues_time() {
    for (piece, calls) in [
        (json!({"routing": {"retries": 0}}), 1),
        (json!({"routing": {"retries": 1}}), 2),
        (json!({"queue": {"timeout": 0.1}}), 1),
    ] {
        let a = Mock::start("a", Reply::status(500)).await;
        let proxy = before([&a]).set(piece.clone()).start().await;
        assert_eq!((proxy.chat().await.status, a.calls()), (502, calls), "{piece}");
    }
}

#[tokio::test]
async fn only_a_502_or_504_after_several_attempts_tells_sdks_not_to_retry() {
    let never: Value = json!({"routing": {"retries": 0}});
    for (reply, expected) in [(Reply::status(500), 502), (Reply::error(429, "slow down"), 429)] {
        let a = Mock::start("a", reply).await;
        let answer = before([&a]).set(never.clone()).start().await.chat().await;
        assert_eq!((answer.status, answer.header("x-should-retry")), (expected, ""));
    }
    let limits = [Mock::start("a", Reply::status(429)).await, Mock::start("b", Reply::status(429)).await];
    let answer = before([&limits[0], &limits[1]]).start().await.chat().await;
    assert_eq!((answer.status, answer.header("x-should-retry")), (429, ""), "{}", answer.text());
}
