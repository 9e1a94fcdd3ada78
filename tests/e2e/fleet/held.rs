//! Requests at once, over all replicas.

use std::time::{Duration, SystemTime};

use harness::{Engine, Gate, Mock, Proxy, Reply, eventually};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{is_up, replica, replicas, state_of};

/// Begins requests, one at each replica in turn, until `count` of them are being answered.
async fn begin(all: &[Proxy], mock: &Mock, count: usize) -> Vec<JoinHandle<harness::Answer>> {
    let mut begun = Vec::new();
    for n in 0..count {
        begun.push(all[n % all.len()].chat_meanwhile());
        let serving = n + 1;
        eventually("it is being answered", async || mock.serving() == serving).await;
    }
    begun
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_are_counted_over_all_replicas() {
    let gate = Gate::closed();
    let (mock, engine) = (Mock::start("one", Reply::chat("hi").held_by(&gate)).await, Engine::start().await);
    let all = replicas(&mock, &engine, json!({"parallel": 3}), 2).await;
    let begun = begin(&all, &mock, 3).await;
    for one in &all {
        let refused = one.chat().await;
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (429, &json!("parallel")));
    }
    gate.open();
    for request in begun {
        assert_eq!(request.await.expect("it is answered").status, 200);
    }
    eventually("nothing is held", async || engine.ask(&["EXISTS", "pm:{r/all}:parallel"]) == "0").await;
    // All three, at one replica.
    let gate = Gate::closed();
    mock.follow(Reply::chat("hi").held_by(&gate));
    let begun = begin(&all[..1], &mock, 3).await;
    gate.open();
    drop(begun);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_after_the_other_is_never_too_many_wherever_it_goes() {
    let (mock, engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let all = replicas(&mock, &engine, json!({"parallel": 1}), 4).await;
    for n in 0..40 {
        // The place is given back when the answer is over, which the client may see a moment earlier.
        eventually("it is let in", async || all[n % 4].chat().await.status == 200).await;
    }
    let mut late = 0.0;
    for one in &all {
        late += one.metric("pointsman_state_late_total").await;
    }
    assert!(mock.most_at_once() == 1 || late > 0.0, "{} at once", mock.most_at_once());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_places_of_a_replica_that_is_gone_come_back() {
    let (mock, engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let all = replicas(&mock, &engine, json!({"parallel": 2}), 1).await;
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970") - Duration::from_secs(1_735_689_600);
    let place = |ends: Duration| format!("2 {}", ends.as_micros());
    let hold = |ends| engine.ask(&["HSET", "pm:{r/all}:parallel", "h:gone", &place(ends)]);
    hold(now + Duration::from_secs(10));
    assert_eq!(all[0].chat().await.status, 429);
    hold(now - Duration::from_secs(1));
    eventually("it is let in", async || all[0].chat().await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_engine_each_replica_has_its_share_of_the_places() {
    let gate = Gate::closed();
    let (mock, mut engine) = (Mock::start("one", Reply::chat("hi").held_by(&gate)).await, Engine::start().await);
    let all = replicas(&mock, &engine, json!({"parallel": 4}), 2).await;
    engine.kill();
    for one in &all {
        eventually("it is out of reach", async || state_of(one).await["degraded"] == true).await;
    }
    let begun = begin(&all, &mock, 4).await;
    for one in &all {
        assert_eq!(one.chat().await.status, 429, "two of four each");
    }
    engine.again().await;
    eventually("it is back", async || is_up(&all[0]).await && is_up(&all[1]).await).await;
    let told = async || {
        engine.ask(&["HVALS", "pm:{r/all}:parallel"]).lines().filter(|held| held.starts_with("2 ")).count() == 2
    };
    eventually("it is told of them", told).await;
    assert_eq!(all[0].chat().await.status, 429);
    gate.open();
    drop(begun);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_at_a_provider_is_shared_and_waits_for_the_engine() {
    let (mock, engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let account = json!({"limits": {"rpm": 6}});
    let start = async || {
        let builder = Proxy::builder().provider(&mock, account.clone()).set(json!({"state": engine.state()}));
        builder.set(json!({"queue": {"timeout": 0.5}})).start().await
    };
    let all = [start().await, start().await];
    for one in &all {
        eventually("each knows of the other", async || state_of(one).await["replicas"] == 2).await;
    }
    let mut admitted = 0;
    for n in 0..10 {
        admitted += usize::from(all[n % 2].chat().await.status == 200);
    }
    assert!((6..=7).contains(&admitted), "{admitted}");
    let other = replica(&mock, engine.state(), json!({})).await;
    assert_eq!(other.chat().await.status, 200, "it has no such account");
}
