//! The simulation against the real thing: the same scenario live before mock providers, and played.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use harness::{Mock, Proxy, Reply, Script};
use pointsman::workbench::simulate::{Report, Scenario, simulate};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

/// Requests per second, and for how long they come.
const RATE: f64 = 80.0;
const SECONDS: f64 = 12.0;

/// A provider: its name, its options, and the time of an answer in seconds.
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

/// Two equal providers and a dear one held back, behind the ejection and the checks that there are by default.
fn by_default(providers: &[Value]) -> Value {
    let checks = json!({"enabled": true, "interval": 30, "cooldown": 30, "failures": 3});
    json!({"providers": providers, "routing": {"retries": 2, "health_check": checks}, "queue": queue()})
}

fn two_and_a_spare() -> [Value; 3] {
    [json!({"name": "a"}), json!({"name": "b"}), json!({"name": "spare", "fallback_only": true})]
}

/// The same providers played: all answer in 0.1 s, and `a` does what `a_also` says beside it.
fn played_twin(seconds: f64, a_also: &Value, b_also: &Value) -> Report {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("scenario.yaml");
    let behaves = |also: &Value| {
        let mut behaviour = json!({"first_token": {"median": 0.1, "p95": 0.1}, "tokens_per_second": 1e9});
        for (key, value) in also.as_object().into_iter().flatten() {
            behaviour[key] = value.clone();
        }
        behaviour
    };
    let scenario = json!({
        "name": "live",
        "duration": seconds,
        "traffic": {"rate": RATE, "streaming": 0},
        "proxy": by_default(&two_and_a_spare()),
        "providers": {"a": behaves(a_also), "b": behaves(b_also), "spare": behaves(&json!({}))},
    });
    std::fs::write(&file, scenario.to_string()).expect("writable");
    let scenario = Scenario::load(Path::new(&file), &|_| None).expect("a scenario");
    let play = std::thread::spawn(move || simulate(&scenario, "round_robin", None, &|_| None).expect("plays"));
    play.join().expect("does not panic")
}

/// The provider that answered each request, and when it came, of requests that come evenly for some seconds.
async fn answered_live(proxy: &Proxy, rate: f64, seconds: f64) -> Vec<(f64, String)> {
    let began = Instant::now();
    let mut answers = Vec::new();
    for number in 0..(seconds * rate) as u32 {
        let at = f64::from(number) / rate;
        sleep_until(began + Duration::from_secs_f64(at)).await;
        answers.push((at, proxy.chat_meanwhile()));
    }
    let mut answered = Vec::new();
    for (at, answer) in answers {
        let answer = answer.await.expect("answered");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answered.push((at, answer.provider().to_owned()));
    }
    answered
}

fn share(answered: &[(f64, String)], name: &str) -> f64 {
    answered.iter().filter(|(_, provider)| provider == name).count() as f64 / answered.len() as f64
}

/// A proxy before these, with what is by default.
async fn live_twin(a: &Mock, b: &Mock, spare: &Mock) -> Proxy {
    let builder = Proxy::builder().provider(a, json!({})).provider(b, json!({}));
    let builder = builder.provider(spare, json!({"fallback_only": true})).strategy("round_robin");
    let routing = by_default(&[])["routing"].clone();
    builder.set(json!({"routing": routing, "queue": queue()})).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn background_errors_leave_the_shares_as_they_are_played_and_live() {
    let well = |name| Reply::chat(name).delay(Duration::from_millis(100));
    // Not both at once, or a request would meet the errors of both.
    let every_hundredth =
        |name, first| Script::by(move |number, _| if number % 100 == first { Reply::status(500) } else { well(name) });
    let (a, b) = (Mock::start("a", every_hundredth("a", 99)).await, Mock::start("b", every_hundredth("b", 49)).await);
    let spare = Mock::start("spare", well("spare")).await;
    let proxy = live_twin(&a, &b, &spare).await;
    let live = answered_live(&proxy, RATE, SECONDS).await;
    let errors = json!({"errors": 0.01});
    let report = played_twin(60.0, &errors, &errors);
    assert_eq!(report.answered, report.requests);
    for provider in &report.providers {
        let (played, live) = (provider.share, share(&live, &provider.name));
        assert!((played - live).abs() < 0.01, "{}: played {played:.3}, live {live:.3}", provider.name);
    }
    assert_eq!(spare.calls(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_starts_late_is_used_soon_and_then_for_its_share_played_and_live() {
    const STARTS: f64 = 3.5;
    let well = |name| Reply::chat(name).delay(Duration::from_millis(100));
    let (a, b) = (Mock::refusing("a").await, Mock::start("b", well("b")).await);
    let spare = Mock::start("spare", well("spare")).await;
    let proxy = live_twin(&a, &b, &spare).await;
    let began = Instant::now();
    let starts = harness::spawn(async move {
        sleep_until(began + Duration::from_secs_f64(STARTS)).await;
        let a = a.begin(well("a")).await;
        (a, began.elapsed().as_secs_f64())
    });
    let live = answered_live(&proxy, RATE / 2.0, SECONDS).await;
    let (a, started) = starts.await.expect("begins");
    let report = played_twin(SECONDS, &json!({"events": [{"from": 0, "until": STARTS, "down": true}]}), &json!({}));
    let failed = report.providers[0].attempts.get("failed").copied().unwrap_or(0);
    assert!((1..=3).contains(&failed), "played, {failed} requests found out that it was down");
    let first = live.iter().find(|(_, provider)| provider == "a").map(|(at, _)| *at).expect("a is used");
    // Two seconds on a machine that has the time; this one may be busy.
    assert!(first < started + 4.0, "live, started after {started} s, used after {first} s");
    // Pieces of 0.1 s.
    let pieces = |name: &str| report.timeline.answered[name].clone();
    let first = pieces("a").iter().position(|count| *count > 0).expect("a is used");
    assert!((35..55).contains(&first), "played, used in piece {first}");
    let later: Vec<_> = live.into_iter().filter(|(at, _)| *at >= 8.0).collect();
    let [of_a, of_b] = ["a", "b"].map(|name| pieces(name)[80..].iter().sum::<usize>() as f64);
    let (played, live) = (of_a / (of_a + of_b), share(&later, "a"));
    assert!((played - live).abs() < 0.01, "played {played:.3}, live {live:.3}");
    assert!(a.calls() > 0 && spare.calls() == 0);
}
