//! `max_concurrent` of a provider: slots, and what happens when there is none.

use std::time::Duration;

use harness::{Gate, Mock, Proxy, Reply, eventually};
use serde_json::json;

#[tokio::test]
async fn a_provider_never_works_on_more_than_its_limit() {
    let a = Mock::start("a", Reply::chat("a").late(Duration::from_millis(10))).await;
    let proxy = Proxy::builder().provider(&a, json!({"max_concurrent": 3})).start().await;
    let calls: Vec<_> = (0..20).map(|_| proxy.chat_meanwhile()).collect();
    for call in calls {
        assert_eq!(call.await.expect("answered").status, 200);
    }
    assert_eq!((a.calls(), a.most_at_once()), (20, 3));
}

#[tokio::test]
async fn a_full_provider_is_waited_for_briefly_and_then_passed_over() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let builder = Proxy::builder().provider(&a, json!({"max_concurrent": 1})).provider(&b, json!({}));
    let proxy = builder.set(json!({"queue": {"slot_wait": 0.2}})).start().await;
    let first = proxy.chat_meanwhile();
    eventually("a is busy", async || a.serving() == 1).await;
    let second = proxy.chat().await;
    assert_eq!(second.provider(), "b");
    assert!(second.took >= Duration::from_millis(190), "it waits its slot_wait: {:?}", second.took);
    assert_eq!(second.header("x-pointsman-attempts"), "", "waiting is no attempt");
    gate.open();
    assert_eq!(first.await.expect("answered").provider(), "a");
}

#[tokio::test]
async fn a_slot_that_frees_within_slot_wait_is_taken() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let builder = Proxy::builder().provider(&a, json!({"max_concurrent": 1})).provider(&b, json!({}));
    let proxy = builder.set(json!({"queue": {"slot_wait": 10}})).start().await;
    let calls = [proxy.chat_meanwhile(), proxy.chat_meanwhile()];
    eventually("a is busy and the other waits", async || {
        a.serving() == 1 && proxy.get("/health").await.json()["queue"]["in_flight"] == 2
    })
    .await;
    gate.open();
    for call in calls {
        assert_eq!(call.await.expect("answered").provider(), "a");
    }
    assert_eq!(b.calls(), 0);
}

#[tokio::test]
async fn when_all_are_full_the_first_slot_that_frees_is_taken() {
    let (gate_a, gate_b) = (Gate::closed(), Gate::closed());
    let a = Mock::start("a", Reply::chat("a").held_by(&gate_a)).await;
    let b = Mock::start("b", Reply::chat("b").held_by(&gate_b)).await;
    let one = json!({"max_concurrent": 1});
    let proxy = Proxy::builder().provider(&a, one.clone()).provider(&b, one).start().await;
    let busy = [proxy.chat_meanwhile(), proxy.chat_meanwhile()];
    eventually("both are busy", async || a.serving() == 1 && b.serving() == 1).await;
    let third = proxy.chat_meanwhile();
    eventually("the third waits", async || proxy.get("/health").await.json()["queue"]["in_flight"] == 3).await;
    gate_b.open();
    assert_eq!(third.await.expect("answered").provider(), "b");
    gate_a.open();
    for call in busy {
        assert_eq!(call.await.expect("answered").status, 200);
    }
}

#[tokio::test]
async fn when_no_slot_frees_the_answer_is_503_queue_timeout_with_retry_after() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let builder = Proxy::builder().provider(&a, json!({"max_concurrent": 1}));
    let proxy = builder.set(json!({"queue": {"timeout": 0.3}})).start().await;
    let busy = proxy.chat_meanwhile();
    eventually("a is busy", async || a.serving() == 1).await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "queue_timeout"));
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|wait| wait >= 1), "{:?}", answer.headers);
    assert!(answer.took >= Duration::from_millis(290) && answer.took < Duration::from_secs(3), "{:?}", answer.took);
    gate.open();
    assert_eq!(busy.await.expect("answered").status, 200);
}

#[tokio::test]
async fn saturation_ejects_nobody_and_does_not_spill_over_to_the_fallback() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let spare = Mock::start("spare", Reply::chat("spare")).await;
    let builder = Proxy::builder().provider(&a, json!({"max_concurrent": 1}));
    let builder = builder.provider(&spare, json!({"fallback_only": true}));
    let proxy = builder.set(json!({"queue": {"timeout": 0.3}})).start().await;
    let busy = proxy.chat_meanwhile();
    eventually("a is busy", async || a.serving() == 1).await;
    assert_eq!(proxy.chat().await.code(), "queue_timeout");
    assert_eq!((spare.calls(), proxy.state_of(&a).await.as_str()), (0, "admitted"));
    gate.open();
    assert_eq!(busy.await.expect("answered").provider(), "a");
}

#[tokio::test]
async fn a_slot_is_held_until_the_stream_has_ended() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::sse().word("one").wait(&gate).done()).await;
    let b = Mock::start("b", Reply::stream(&["b"])).await;
    let proxy = Proxy::builder().provider(&a, json!({"max_concurrent": 1})).provider(&b, json!({})).start().await;
    let mut first = proxy.stream().await;
    first.read_until("one").await;
    assert_eq!(proxy.stream().await.rest().await.provider(), "b");
    gate.open();
    assert!(first.rest().await.complete);
    assert_eq!(proxy.stream().await.rest().await.provider(), "a");
}

#[tokio::test]
async fn a_waiter_for_a_slot_is_not_sent_to_a_provider_that_was_ejected_meanwhile() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::status(401).held_by(&gate)).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let builder = Proxy::builder().provider(&a, json!({"max_concurrent": 1})).provider(&b, json!({}));
    let proxy = builder.set(json!({"queue": {"slot_wait": 10}})).start().await;
    let calls = [proxy.chat_meanwhile(), proxy.chat_meanwhile()];
    eventually("one is served and one waits", async || {
        a.serving() == 1 && proxy.get("/health").await.json()["queue"]["in_flight"] == 2
    })
    .await;
    gate.open();
    for call in calls {
        assert_eq!(call.await.expect("answered").provider(), "b");
    }
    assert_eq!(a.calls(), 1);
}
