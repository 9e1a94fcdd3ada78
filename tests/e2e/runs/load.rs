//! Many at once: all are answered, no slot is lost, and it takes no longer than the slots make it.

use std::time::Duration;

use harness::{Mock, Proxy, Script, eventually};
use serde_json::json;
use tokio::time::Instant;

use super::{in_flight, reply, request};

/// Sends `count` requests to `moa` at once over `slots` slots, before a provider that takes `each` for an answer. The time
/// that it took, as a multiple of what the slots allow.
#[expect(clippy::print_stdout, reason = "a measurement")]
async fn crowd(count: u32, slots: u32, each: Duration) -> f64 {
    let script = Script::by(move |call, seen| {
        let n = seen.json()["n"].as_u64().unwrap_or(1);
        let texts: Vec<String> = (0..n).map(|choice| format!("answer {call}.{choice}")).collect();
        reply(seen, &texts.iter().map(String::as_str).collect::<Vec<_>>()).late(each)
    });
    let a = Mock::start("a", script).await;
    let queue = json!({"max_concurrent": slots, "max_waiting": 100_000, "timeout": 600});
    let proxy = Proxy::builder().provider(&a, json!({})).set(json!({ "queue": queue })).start().await;
    // It is compiled by the first.
    assert_eq!(proxy.chat_call(&request("moa")).answer().await.status, 200);
    let before = a.calls();
    let began = Instant::now();
    let calls: Vec<_> = (0..count).map(|_| harness::spawn(proxy.chat_call(&request("moa")).start())).collect();
    for call in calls {
        let mut stream = call.await.expect("answered");
        assert_eq!(stream.status, 200);
        while let Some(piece) = stream.chunk().await {
            piece.expect("a whole answer");
        }
    }
    let took = began.elapsed();
    assert_eq!(a.calls() - before, 3 * count as usize);
    eventually("all slots are back", async || in_flight(&proxy).await == 0).await;
    assert!(proxy.metric("pointsman_approach_running{approach=\"moa\"}").await < 0.5);
    let allowed = each * 3 * count.div_ceil(slots);
    let ratio = took.as_secs_f64() / allowed.as_secs_f64();
    println!(
        "{count} moa over {slots} slots, {each:?} each: {took:?}, {ratio:.2} x what the slots allow ({allowed:?})"
    );
    ratio
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_over_ten_slots_are_all_answered() {
    // No claim on the time: other tests run beside this one.
    crowd(50, 10, Duration::from_millis(50)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: with an optimised build, and nothing beside it"]
async fn a_thousand_over_a_hundred_slots_take_no_longer_than_the_slots_make_it() {
    let ratio = crowd(1000, 100, Duration::from_millis(200)).await;
    assert!(ratio < 1.2, "{ratio}");
}
