//! Simulations are whole, repeatable, and refuse what makes no sense.

use std::path::{Path, PathBuf};

use super::*;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name)
}

fn load(file: &Path) -> Scenario {
    Scenario::load(file, &|_| None).expect("a scenario")
}

fn played(scenario: &Scenario, strategy: &str) -> Report {
    simulate(scenario, strategy, None, &|_| None).unwrap_or_else(|error| panic!("{error}"))
}

/// A scenario of this text.
fn written(text: &str) -> Result<Scenario, ScenarioError> {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("scenario.yaml");
    std::fs::write(&file, text).expect("writable");
    Scenario::load(&file, &|_| None)
}

const TWO: &str = "
name: two
duration: 200
traffic: {rate: 20}
proxy: {providers: [{name: a, weight: 3}, {name: b}]}
providers:
  a: {first_token: {median: 0.2, p95: 0.4}, tokens_per_second: 100}
  b: {first_token: {median: 0.2, p95: 0.4}, tokens_per_second: 100}
";

#[test]
fn the_same_scenario_gives_the_same_bytes_and_another_seed_others() {
    let mut scenario = load(&shipped("outage.yaml"));
    scenario.script.duration = 300.0;
    let json = |scenario: &Scenario| serde_json::to_string(&played(scenario, "least_latency")).expect("a report");
    let first = json(&scenario);
    assert_eq!(first, json(&scenario));
    scenario.script.seed += 1;
    assert_ne!(first, json(&scenario));
}

#[test]
fn shares_follow_the_strategy_and_nothing_is_lost() {
    let scenario = written(TWO).expect("valid");
    let report = played(&scenario, "weighted");
    assert_eq!((report.answered, report.failovers), (report.requests, 0));
    assert!((3700..4300).contains(&report.requests), "{}", report.requests);
    assert!((report.providers[0].share - 0.75).abs() < 0.005, "{}", report.providers[0].share);
    assert!((190.0..215.0).contains(&report.first_token_ms.p50), "{:?}", report.first_token_ms);
    assert!((350.0..450.0).contains(&report.first_token_ms.p95), "{:?}", report.first_token_ms);
    let arrivals: usize = report.timeline.arrivals.iter().sum();
    assert_eq!(arrivals, report.requests);
}

#[test]
fn an_outage_ejects_a_provider_and_loses_no_request() {
    let report = played(&load(&shipped("outage.yaml")), "weighted");
    assert_eq!(report.answered, report.requests, "{:?}", report.errors);
    let refused = report.providers[0].attempts.get("failed").copied().unwrap_or(0);
    assert!(report.failovers > 0 && refused > 0, "{:?}", report.providers);
    // From 200 to 500 s: pieces of 10 s.
    let first = &report.timeline.answered["first"];
    assert!(first[22..48].iter().all(|count| *count == 0), "{first:?}");
    // Its checks failed until the end, so the last cool-down was a long one.
    assert!(first[66..78].iter().all(|count| *count > 0), "it is back: {first:?}");
}

#[test]
fn who_minds_latency_wins_where_a_provider_is_slow() {
    let scenario = load(&shipped("slow_provider.yaml"));
    let [blind, minds] = ["round_robin", "least_latency"].map(|strategy| played(&scenario, strategy));
    assert!(
        minds.first_token_ms.p95 < 0.6 * blind.first_token_ms.p95,
        "{} {}",
        minds.first_token_ms.p95,
        blind.first_token_ms.p95
    );
    assert!(minds.latency_ms.p95 < blind.latency_ms.p95);
}

#[test]
fn who_minds_prices_wins_where_one_is_cheap() {
    let scenario = load(&shipped("cheap_and_dear.yaml"));
    let [blind, minds] = ["round_robin", "cheapest"].map(|strategy| played(&scenario, strategy));
    assert_eq!((minds.answered, blind.answered), (minds.requests, blind.requests));
    assert!(minds.cost < 0.95 * blind.cost, "{} {}", minds.cost, blind.cost);
}

#[test]
fn who_keeps_sessions_together_wins_where_servers_remember() {
    let scenario = load(&shipped("burst.yaml"));
    let [blind, minds] = ["weighted", "affinity"].map(|strategy| played(&scenario, strategy));
    assert!(
        minds.first_token_ms.p50 < 0.8 * blind.first_token_ms.p50,
        "{:?} {:?}",
        minds.first_token_ms,
        blind.first_token_ms
    );
}

#[test]
fn who_minds_load_wins_where_servers_differ_and_are_full() {
    let scenario = load(&shipped("burst.yaml"));
    let [blind, minds] = ["round_robin", "least_busy"].map(|strategy| played(&scenario, strategy));
    assert!(minds.latency_ms.p95 < blind.latency_ms.p95, "{:?} {:?}", minds.latency_ms, blind.latency_ms);
}

#[test]
fn a_canary_shows_the_new_version_to_few() {
    let scenario = load(&shipped("new_version.yaml"));
    let [half, few] = ["round_robin", "canary"].map(|strategy| played(&scenario, strategy));
    assert_eq!((few.answered, half.answered), (few.requests, half.requests));
    let share = few.providers[1].share;
    assert!(
        share < 0.06 && few.first_token_ms.p50 < 0.6 * half.first_token_ms.p50,
        "{share}: {:?} {:?}",
        few.first_token_ms,
        half.first_token_ms
    );
}

#[test]
fn a_queue_that_is_full_turns_requests_away() {
    let text = TWO.replace("proxy: {", "proxy: {queue: {max_concurrent: 5, max_waiting: 10, timeout: 2}, ");
    let report = played(&written(&text).expect("valid"), "round_robin");
    assert!(report.errors[&503] > 100, "{:?}", report.errors);
    assert_eq!(report.answered + report.errors.values().sum::<usize>(), report.requests);
    assert!(report.queue_wait_ms.max <= 2001.0, "{:?}", report.queue_wait_ms);
}

#[test]
fn as_many_requests_as_were_asked_for() {
    let report = simulate(&written(TWO).expect("valid"), "round_robin", Some(777), &|_| None).expect("plays");
    assert_eq!(report.requests, 777);
}

#[test]
fn says_where_a_scenario_is_wrong() {
    let error = |from: &str, to: &str| {
        assert!(TWO.contains(from), "{from}");
        written(&TWO.replacen(from, to, 1)).expect_err("wrong").to_string()
    };
    assert!(
        error("duration: 200", "duration: -1").ends_with(": duration: must be above 0 and at most 6048000, not -1")
    );
    assert!(error("rate: 20", "rate: much").contains("traffic.rate: invalid type: string \"much\""));
    assert!(error("rate: 20", "rat: 20").contains("traffic.rat: unknown field `rat`, expected one of `rate`"));
    assert!(
        error("median: 0.2, p95: 0.4", "median: 0.2, p95: 0.1")
            .contains("providers.a.first_token.p95: must be at least the median")
    );
    assert!(error("  b: {", "  c: {").contains("providers.c: is not one of proxy.providers"));
    assert!(error(", {name: b}", "").contains("providers.b: is not one of proxy.providers"));
    assert!(error("duration: 200", "duration: 600000").contains("more than"));
    let unreadable = Scenario::load(Path::new("/no/such.yaml"), &|_| None).expect_err("missing");
    assert!(unreadable.to_string().starts_with("/no/such.yaml: cannot be read"), "{unreadable}");
}

#[test]
fn says_what_is_wrong_with_the_proxy_and_the_strategy() {
    let error = |text: &str, strategy: &str| {
        simulate(&written(text).expect("a scenario"), strategy, None, &|_| None).expect_err("wrong").to_string()
    };
    assert!(
        error(&TWO.replace("weight: 3", "weight: -3"), "weighted")
            .contains("providers[0].weight: must be a positive number")
    );
    assert!(error(TWO, "fastest").contains("no strategy is called \"fastest\""));
    assert!(error(TWO, "canary").contains("strategy `canary` rejects its configuration"));
}

#[test]
fn the_page_holds_everything_and_nothing_from_elsewhere() {
    let scenario = written(&TWO.replace("name: two", "name: <two>")).expect("valid");
    let reports = ["weighted", "failover"].map(|strategy| played(&scenario, strategy));
    let page = page(&scenario, &reports);
    assert!(page.contains("&lt;two&gt;") && !page.contains("<two>"));
    assert!(page.matches("<svg").count() == 4 && page.contains("failover"));
    assert!(!page.contains("src=") && !page.contains("http://") && !page.contains("https://") && !page.contains("NaN"));
    let table = table(&scenario, &reports);
    assert!(table.contains("weighted") && table.contains("75.0"), "{table}");
}
