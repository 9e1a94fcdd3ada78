//! The simulation against the real thing: the same scenario live before mock providers, and played.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use harness::{Mock, Proxy, Reply};
use pointsman::simulate::{Report, Scenario, simulate};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

/// Requests per second, and for how long they come.
const RATE: f64 = 80.0;
const SECONDS: f64 = 12.0;

/// What distinguishes a provider: its options, and how long an answer takes in seconds.
type Provider = (&'static str, Value, f64);

fn providers() -> [Provider; 3] {
    [
        ("fast", json!({"max_concurrent": 8}), 0.2),
        ("wide", json!({"max_concurrent": 30}), 0.5),
        ("rest", json!({"weight": 2}), 0.35),
    ]
}

/// The scenario played, with this strategy.
fn played(strategy: &str) -> Report {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("scenario.yaml");
    let list: Vec<Value> = providers()
        .into_iter()
        .map(|(name, mut options, _)| {
            options["name"] = name.into();
            options
        })
        .collect();
    let behaves = |(name, _, seconds): Provider| {
        let constant = json!({"median": seconds, "p95": seconds});
        (name.to_owned(), json!({"first_token": constant, "tokens_per_second": 1e9}))
    };
    let scenario = json!({
        "name": "live",
        "duration": 60,
        "traffic": {"rate": RATE, "streaming": 0},
        "proxy": {"providers": list, "queue": queue()},
        "providers": providers().map(behaves).into_iter().collect::<BTreeMap<_, _>>(),
    });
    std::fs::write(&file, scenario.to_string()).expect("writable");
    let scenario = Scenario::load(Path::new(&file), &|_| None).expect("a scenario");
    // On a thread of its own: it has a runtime of its own.
    let strategy = strategy.to_owned();
    let play = std::thread::spawn(move || simulate(&scenario, &strategy, None, &|_| None).expect("plays"));
    play.join().expect("does not panic")
}

fn queue() -> Value {
    json!({"max_concurrent": 500, "slot_wait": 0.02})
}

/// The shares of the same, live.
async fn live(strategy: &str) -> BTreeMap<&'static str, f64> {
    let mut mocks = Vec::new();
    let mut builder = Proxy::builder();
    for (name, options, seconds) in providers() {
        let mock = Mock::start(name, Reply::chat(name).delay(Duration::from_secs_f64(seconds))).await;
        builder = builder.provider(&mock, options);
        mocks.push(mock);
    }
    let proxy = builder.set(json!({"routing": {"strategy": strategy}, "queue": queue()})).start().await;
    // Drawn anew by a generator of its own: shares must agree, not single requests.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let (began, mut at) = (Instant::now(), 0.0);
    let mut answers = Vec::new();
    loop {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        at -= (((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64).ln() / RATE;
        if at > SECONDS {
            break;
        }
        sleep_until(began + Duration::from_secs_f64(at)).await;
        answers.push(proxy.chat_meanwhile());
    }
    let total = answers.len() as f64;
    for answer in answers {
        assert_eq!(answer.await.expect("answered").status, 200);
    }
    providers().iter().zip(&mocks).map(|((name, ..), mock)| (*name, mock.calls() as f64 / total)).collect()
}

async fn agree(strategy: &str) {
    let report = played(strategy);
    assert_eq!(report.answered, report.requests);
    let live = live(strategy).await;
    for provider in &report.providers {
        let (played, live) = (provider.share, live[provider.name.as_str()]);
        assert!((played - live).abs() < 0.02, "{strategy}, {}: played {played:.3}, live {live:.3}", provider.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_first_one_is_full_the_shares_are_those_of_the_live_proxy() {
    agree("failover").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_turns_meet_limits_the_shares_are_those_of_the_live_proxy() {
    agree("round_robin").await;
}
