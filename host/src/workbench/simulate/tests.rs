//! Tests that simulations are complete and repeatable, and refuse scenarios that make no sense.

mod providers;

use std::path::{Path, PathBuf};

use super::*;
use crate::config::LoadError;

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
fn written(text: &str) -> Result<Scenario, LoadError> {
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
fn an_approach_multiplies_time_and_cost_by_what_it_asks() {
    let of = |model: &str| {
        let mut scenario = load(&shipped("approach.yaml"));
        (scenario.script.duration, scenario.script.traffic.streaming) = (120.0, 0.0);
        scenario.script.traffic.model = model.to_owned();
        played(&scenario, "least_busy")
    };
    let (plain, moa) = (of("small"), of("moa-small"));
    assert_eq!((plain.requests, moa.answered), (moa.requests, moa.requests));
    // Three candidates in one question, a critique and a synthesis, one after the other.
    assert!((2.5..3.5).contains(&(moa.latency_ms.p50 / plain.latency_ms.p50)), "{:?}", moa.latency_ms);
    assert!((3.5..5.5).contains(&(moa.cost / plain.cost)), "{:?} {:?}", moa.cost, plain.cost);
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
fn second_attempts_shorten_the_tail_within_their_share() {
    let text = std::fs::read_to_string(shipped("hedged.yaml")).expect("shipped");
    let without: String =
        text.lines().filter(|line| !line.contains("hedge:")).map(|line| format!("{line}\n")).collect();
    let [hedged, alone] = [&text, &without].map(|text| played(&written(text).expect("valid"), "round_robin"));
    assert_eq!((hedged.answered, alone.answered), (hedged.requests, alone.requests));
    assert!(hedged.hedges > 500 && hedged.hedges as f64 <= 0.05 * hedged.requests as f64, "{}", hedged.hedges);
    assert!(
        hedged.first_token_ms.p99 < 0.7 * alone.first_token_ms.p99,
        "{:?} {:?}",
        hedged.first_token_ms,
        alone.first_token_ms
    );
    assert_eq!((alone.hedges, hedged.failovers), (0, 0));
}

#[test]
fn a_route_that_chooses_by_length_costs_less_than_the_large_model_and_is_nearly_as_quick_as_the_small_one() {
    let scenario = load(&shipped("two_models.yaml"));
    let [chosen, large, small] =
        ["by-length", "large-alone", "small-alone"].map(|strategy| played(&scenario, strategy));
    let shares = |report: &Report| report.providers.iter().map(|provider| provider.share).collect::<Vec<_>>();
    assert_eq!((shares(&large), shares(&small)), (vec![0.0, 1.0], vec![1.0, 0.0]));
    let long = shares(&chosen)[1];
    assert!(long > 0.05 && long < 0.2, "{long}");
    let costs = [small.cost, chosen.cost, large.cost];
    assert!(costs[0] < costs[1] && costs[1] < 0.6 * costs[2], "{costs:?}");
    let median = |report: &Report| report.first_token_ms.p50;
    assert!(median(&chosen) < 1.2 * median(&small) && median(&chosen) < 0.5 * median(&large));
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
fn says_everything_that_is_wrong_with_a_scenario_with_its_lines() {
    let wrong = "name: x
duration: 15m
trafic: {rate: 5}
traffic:
  rate: much
  streaming: 2
  bursts:
    - {from: 10, until: 5, rate: 1}
proxy:
  providers:
    - {name: first, weight: -3}
    - {name: second}
providers:
  first: {first_token: {median: 0.2, p95: 0.1}, tokens_per_second: 100, error: 0.1}
  second: {first_token: 0.3}
";
    let error = written(wrong).expect_err("wrong");
    let found: Vec<(usize, &str)> = error.problems.iter().map(|one| (one.line, one.key.as_str())).collect();
    let expected = [
        (2, "duration"),
        (3, "trafic"),
        (5, "traffic.rate"),
        (6, "traffic.streaming"),
        (8, "traffic.bursts[0].until"),
        (11, "proxy.providers[0].weight"),
        (14, "providers.first.error"),
        (14, "providers.first.first_token.p95"),
        (15, "providers.second.first_token"),
        (15, "providers.second.tokens_per_second"),
    ];
    assert_eq!(found, expected, "{error}");
    let text = error.to_string();
    for words in [
        "scenario.yaml:2: duration: must be a number of seconds, not \"15m\"\n  help: write it in seconds: 900",
        "trafic: is not a known key\n  help: did you mean `traffic`?",
        "traffic.rate: must be a number above 0 and at most 1000000, not \"much\"",
        "must be later than `from`, 10, not 5",
        "did you mean `errors`?",
        "must be at least the median, 0.2, not 0.1",
        "first_token: {median: 0.3, p95: ...}",
        "tokens_per_second: is missing",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn says_where_a_scenario_is_wrong() {
    let error = |from: &str, to: &str| {
        assert!(TWO.contains(from), "{from}");
        written(&TWO.replacen(from, to, 1)).expect_err("wrong").to_string()
    };
    let duration = error("duration: 200", "duration: -1");
    assert!(
        duration.ends_with(":3: duration: must be a number of seconds above 0 and at most 6048000, not -1"),
        "{duration}"
    );
    assert!(error("  b: {", "  c: {").contains("providers.c: is not one of the providers under `proxy`"));
    assert!(error("  b: {", "  c: {").contains("providers.b: is missing: describe how this provider behaves"));
    assert!(error(", {name: b}", "").contains("providers.b: is not one of the providers under `proxy`"));
    assert!(error("duration: 200", "duration: 600000").contains("more than"));
    let unreadable = Scenario::load(Path::new("/no/such.yaml"), &|_| None).expect_err("missing");
    assert!(unreadable.to_string().starts_with("/no/such.yaml: cannot be read"), "{unreadable}");
}

#[test]
fn a_configuration_of_a_proxy_is_told_from_a_scenario() {
    let text = "providers:\n  - {name: a, base_url: 'http://a/v1', api_key: k}\nrouting: {strategy: weighted}\n";
    let error = written(text).expect_err("no scenario").to_string();
    assert!(
        error.contains("is the configuration of a proxy, not a scenario") && error.contains("under `proxy`"),
        "{error}"
    );
    // The example in the remedy is a valid scenario.
    let shown: Vec<&str> = error.lines().skip(2).map(|line| line.strip_prefix("    ").expect("indented")).collect();
    written(&shown[..shown.len() - 1].join("\n")).expect("valid");
}

#[test]
fn a_shadow_of_the_proxy_can_be_the_strategy_that_is_tried() {
    let shadowed = TWO.replace("proxy: {", "proxy: {routing: {strategy: weighted, shadow: [failover, round_robin]}, ");
    let scenario = written(&shadowed).expect("a scenario");
    let share_of_a = |strategy| played(&scenario, strategy).providers[0].share;
    assert!(share_of_a("failover") > 0.99, "{}", share_of_a("failover"));
    assert!((0.7..0.8).contains(&share_of_a("weighted")), "{}", share_of_a("weighted"));
}

#[test]
fn says_what_is_wrong_with_the_strategy_and_whose_fault_it_is() {
    let error = |text: &str, strategy: &str| {
        simulate(&written(text).expect("a scenario"), strategy, None, &|_| None).expect_err("wrong").to_string()
    };
    let unknown = error(TWO, "fastest");
    assert!(unknown.starts_with("no strategy is called \"fastest\"\n  help: available: "), "{unknown}");
    let own = TWO.replace("proxy: {", "proxy: {routing: {strategy: fastest}, ");
    let own = error(&own, "fastest");
    assert!(own.contains("scenario.yaml:5: proxy.routing.strategy: no strategy is called"), "{own}");
    assert!(error(TWO, "canary").contains("strategy `canary` rejects its configuration"));
}

/// The fixture, which panics over each request.
fn broken(command: &serde_json::Value) -> Report {
    let mut scenario = written(TWO).expect("valid");
    let crate::config::StrategySource::File(file) = crate::strategy::tests::choice(serde_json::json!({})).source else {
        panic!("a file")
    };
    scenario.declare("bad", Some(&file), Some(command.clone()));
    played(&scenario, "bad")
}

#[test]
fn a_strategy_that_breaks_on_every_call_is_said_loudly_and_always_the_same() {
    let command = serde_json::json!({"do": "panic", "only": "gpt-4o-mini"});
    let report = broken(&command);
    let Decided { decisions, faults, ref fault_kinds, ref last_fault, .. } = report.decided;
    assert_eq!((decisions, faults), (report.requests as u64, report.requests as u64));
    assert!(fault_kinds["trapped"] > 3, "{fault_kinds:?}");
    assert!(last_fault.as_ref().is_some_and(|last| last.contains("misbehaving as told")), "{last_fault:?}");
    let [warning] = &warnings(std::slice::from_ref(&report))[..] else { panic!("one warning") };
    assert!(warning.contains(&format!("bad BROKE: {decisions} of {decisions} decisions (100.00 %)")), "{warning}");
    let scenario = written(TWO).expect("valid");
    let both = table(&scenario, &[played(&scenario, "weighted"), report.clone()]);
    assert!(both.contains("faults") && !both.contains("refusals"), "{both}");
    let json = |report: &Report| serde_json::to_value(report).expect("JSON");
    assert_eq!(json(&report), json(&broken(&command)), "faults are repeatable too");
}

#[test]
fn refusals_and_abstentions_are_counted_and_said() {
    let refused = broken(&serde_json::json!({"do": "refuse"}));
    let json = serde_json::to_value(&refused).expect("JSON");
    assert_eq!((&json["faults"], &json["refusals"], &json["abstentions"]), (&0.into(), &json["decisions"], &0.into()));
    assert!(warnings(&[refused])[0].contains("refused: "));
    let abstained = broken(&serde_json::json!({"do": "empty"}));
    assert_eq!(abstained.decided.abstentions, abstained.decided.decisions);
    assert!(warnings(&[abstained])[0].contains("abstained: "));
    assert!(warnings(&[played(&written(TWO).expect("valid"), "weighted")]).is_empty());
}

#[test]
fn a_cost_that_nobody_knows_is_none() {
    let scenario = written(TWO).expect("valid");
    let report = played(&scenario, "weighted");
    let json = serde_json::to_value(&report).expect("JSON");
    assert!(json["cost"].is_null() && json["providers"][0]["cost"].is_null(), "{json}");
    let row = table(&scenario, &[report]);
    let row = row.lines().find(|line| line.starts_with("weighted")).expect("a row");
    assert!(row.ends_with(" -"), "{row}");
}

#[test]
fn a_table_of_many_strategies_is_no_wider_than_a_terminal() {
    let scenario = load(&shipped("cheap_and_dear.yaml"));
    let mut reports = Vec::new();
    for strategy in ["weighted", "round_robin", "failover", "least_busy", "least_latency", "cheapest"] {
        reports.push(simulate(&scenario, strategy, Some(200), &|_| None).expect("plays"));
    }
    let table = table(&scenario, &reports);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
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
