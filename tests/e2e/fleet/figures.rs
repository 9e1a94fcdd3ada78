//! How much is let in, how often the engine is asked for it, and what requests notice when it hangs.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{Engine, Mock, Proxy, Reply, eventually};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::{admitted, replicas, state_of};

async fn sum(all: &[Proxy], series: &str) -> f64 {
    let mut sum = 0.0;
    for one in all {
        sum += one.metric(series).await;
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn four_replicas_let_in_one_limit_and_hardly_ask_for_it() {
    let (mock, engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let all = replicas(&mock, &engine, json!({"rpm": 600}), 4).await;
    let began = Instant::now();
    let requests = (0..3000_usize).map(|n| {
        let all = &all;
        async move {
            sleep_until(began + Duration::from_secs(2).mul_f64(n as f64 / 3000.0)).await;
            let answer = all[n % 4].chat().await;
            (answer.status, answer.took)
        }
    });
    let admitted = admitted(&join_all(requests).await);
    let took = began.elapsed();
    let most = 601 + usize::try_from(took.as_millis()).expect("seconds") / 100;
    let (rounds, late) =
        (sum(&all, "pointsman_state_rounds_total").await, sum(&all, "pointsman_state_late_total").await);
    println!("{admitted} of {most} admitted, {rounds} rounds for 3000 requests, {late} late, {took:?}");
    // Who is late is let in from the own share: no more than the limit once more.
    let above = if late > 0.0 { 600 } else { 0 };
    assert!((570..=most + above).contains(&admitted), "{admitted} of {most}, {late} late");
    // A busy machine takes longer, and what comes back meanwhile is asked for: four times a second by each replica, twice at
    // most.
    let more = 32.0 * (took.as_secs_f64() - 2.0).max(0.0);
    assert!(rounds <= 3000.0 * 0.05 + more, "{rounds} rounds in {took:?}");
}

/// The latencies of requests that `hands` send to each replica one after the other, by replica, until then.
async fn load(all: &[Proxy], hands: usize, until: Instant) -> Vec<Vec<Duration>> {
    join_all(all.iter().map(|one| load_one(one, hands, until))).await
}

async fn load_one(one: &Proxy, hands: usize, until: Instant) -> Vec<Duration> {
    let hand = async |_| {
        let mut all = Vec::new();
        while Instant::now() < until {
            let answer = one.chat().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            all.push(answer.took);
        }
        all
    };
    join_all((0..hands).map(hand)).await.concat()
}

fn percentile(all: &[Vec<Duration>], share: f64) -> Duration {
    let mut all = all.concat();
    all.sort();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = (all.len() as f64 * share) as usize;
    all[at.min(all.len() - 1)]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_under_load_delays_hardly_a_request_and_fails_none() {
    let (mock, engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let all = replicas(&mock, &engine, json!({"rpm": 600_000, "tpm": 600_000_000, "parallel": 400}), 4).await;
    let window = Duration::from_millis(1500);
    load(&all, 3, Instant::now() + window / 3).await;
    let before = load(&all, 3, Instant::now() + window).await;
    let waited = sum(&all, "pointsman_state_late_total").await;
    engine.signal("STOP");
    let hung = load(&all, 3, Instant::now() + window).await;
    let waited = sum(&all, "pointsman_state_late_total").await - waited;
    for one in &all {
        eventually("it is out of reach", async || state_of(one).await["degraded"] == true).await;
    }
    let late = sum(&all, "pointsman_state_late_total").await;
    let apart = load(&all, 3, Instant::now() + window).await;
    let later = sum(&all, "pointsman_state_late_total").await - late;
    engine.signal("CONT");
    // Slower than nearly all were before, by more than the time that a request may wait.
    let bound = percentile(&before, 0.99) + Duration::from_millis(35);
    let slow = |all: &[Vec<Duration>]| all.iter().map(|of| of.iter().filter(|took| **took > bound).count()).max();
    for (when, all) in [("before", &before), ("hung", &hung), ("apart", &apart)] {
        let count: usize = all.iter().map(Vec::len).sum();
        println!(
            "{when}: {count} requests, p50 {:?}, p99 {:?}, slow at one replica: {:?}",
            percentile(all, 0.5),
            percentile(all, 0.99),
            slow(all)
        );
    }
    println!("{waited} waited in vain for it, and {later} later");
    // Those who ask at the same time wait at the same time: as many as there are hands, and as often as it fails until it is
    // left alone.
    assert!(waited <= 4.0 * 3.0, "{waited} have waited in vain");
    assert!(later < 1.0, "{later} have waited for an engine that is known to hang");
    // A busy machine is slow as well.
    let most = 3 + hung.iter().map(Vec::len).max().unwrap_or(0) / 50;
    assert!(slow(&hung) <= Some(most), "{:?} slow ones at one replica", slow(&hung));
}
