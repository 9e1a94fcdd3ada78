//! Tests that simulations are complete and repeatable, and refuse scenarios that make no sense.

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

/// The shipped scenario at another rate, for so many seconds, with another share of errors.
fn with_errors(rate: f64, seconds: f64, errors: f64) -> Scenario {
    let mut scenario = load(&shipped("background_errors.yaml"));
    (scenario.script.traffic.rate, scenario.script.duration) = (rate, seconds);
    for name in ["a", "b"] {
        scenario.script.providers.get_mut(name).expect("there").errors = errors;
    }
    scenario
}

#[test]
fn background_errors_cost_next_to_nothing_at_the_spare_at_any_rate() {
    for errors in [0.001, 0.005, 0.01, 0.05] {
        for (rate, seconds) in [(2.0, 150.0), (20.0, 30.0), (200.0, 6.0)] {
            let report = played(&with_errors(rate, seconds, errors), "round_robin");
            assert_eq!(report.answered, report.requests, "{:?}", report.errors);
            // Requests that meet an error at both.
            let both = errors * errors * report.requests as f64;
            let spare = report.providers[2].answered as f64;
            assert!(spare <= 3.0 * both + 1.0, "{errors} at {rate} a second: {spare} of {}", report.requests);
        }
    }
}

#[test]
fn one_percent_of_errors_at_twenty_requests_a_second_leaves_the_spare_below_a_thousandth() {
    let report = simulate(&load(&shipped("background_errors.yaml")), "round_robin", Some(6000), &|_| None);
    let report = report.expect("plays");
    assert!(report.providers[2].share < 0.001, "{}", report.providers[2].share);
    for provider in &report.providers[..2] {
        assert!((provider.share - 0.5).abs() < 0.01, "{}: {}", provider.name, provider.share);
    }
}

#[test]
fn a_provider_that_is_down_is_out_after_three_requests_and_back_within_two_seconds() {
    let report = played(&load(&shipped("comes_back.yaml")), "round_robin");
    assert_eq!(report.answered, report.requests, "{:?}", report.errors);
    let failed = |place: usize| report.providers[place].attempts.get("failed").copied().unwrap_or(0);
    assert!(failed(0) <= 3, "late: {}", failed(0));
    assert!(failed(1) <= 9, "flapping: {} in three times that it was down", failed(1));
    assert!(failed(2) <= 3, "lazy: {}", failed(2));
    assert_eq!(report.providers[3].answered, 0, "the dear one");
    // Pieces of two seconds.
    let answered = |name: &str, piece: usize| report.timeline.answered[name][piece];
    for (name, returns) in [("late", 20), ("flapping", 80), ("flapping", 95)] {
        let piece = (returns + 2) / 2;
        assert!(answered(name, piece) > 0, "{name} at {returns} s: {:?}", report.timeline.answered[name]);
    }
    // Its checks take three seconds.
    assert!((91..=93).any(|piece| answered("lazy", piece) > 0), "{:?}", report.timeline.answered["lazy"]);
    assert!((61..90).all(|piece| answered("lazy", piece) == 0), "{:?}", report.timeline.answered["lazy"]);
}

/// Two providers, of which `a` is this, before 4 requests a second.
fn beside(proxy: &str, behaviour: &str) -> Report {
    let behaves = "first_token: {median: 0.2, p95: 0.4}, tokens_per_second: 100";
    let text = format!(
        "name: limits\nduration: 300\ntraffic: {{rate: 4}}\n\
         proxy: {{providers: [{{name: a, {proxy}}}, {{name: b}}], queue: {{timeout: 2}}}}\n\
         providers:\n  a: {{{behaves}{behaviour}}}\n  b: {{{behaves}}}\n"
    );
    played(&written(&text).expect("a scenario"), "failover")
}

#[test]
fn a_rate_of_an_account_holds_by_the_virtual_clock() {
    let report = beside("limits: {rpm: 60}", "");
    // A minute's worth at once, and then one a second.
    let of_a = report.providers[0].answered;
    assert!((340..=361).contains(&of_a), "{of_a}");
    assert_eq!(report.answered, report.requests);
}

#[test]
fn the_limits_of_clients_hold_for_those_whom_the_traffic_names() {
    let behaves = "{first_token: {median: 0.2, p95: 0.4}, tokens_per_second: 100}";
    let text = |traffic: &str, proxy: &str| {
        format!(
            "name: clients\nduration: 300\ntraffic: {{{traffic}}}\n\
             proxy:\n  providers: [{{name: a, price: {{input: 1, output: 1}}}}]\n  clients: {{keys: [{proxy}]}}\n\
             providers: {{a: {behaves}}}\n"
        )
    };
    let keys = "{name: search, limits: {rpm: 60}}, {name: batch, budget: {usd: 0.2, per: day}}";
    let play = |traffic: &str| played(&written(&text(traffic, keys)).expect("a scenario"), "round_robin");
    let search = play("rate: 4, client: search");
    assert!((340..=361).contains(&search.answered), "{}", search.answered);
    let batch = play("rate: 4, client: batch, input_tokens: {median: 400, p95: 800}");
    let (cost, budget) = (batch.cost, 0.2);
    assert!(cost > 0.9 * budget && cost <= budget * 1.02, "{cost}");
    assert!(batch.answered < batch.requests);
    let nobody = play("rate: 4");
    assert_eq!(nobody.answered, nobody.requests);
    let both = play("rate: 1, bursts: [{from: 100, until: 200, rate: 10, client: search}]");
    // A burst of 1,000 requests, of which a minute's worth and one a second are let in.
    let refused = both.requests - both.answered;
    assert!((780..=900).contains(&refused), "{refused}");
    let wrong = written(&text("rate: 4, client: serch", keys)).expect_err("no such client").to_string();
    assert!(wrong.contains("traffic.client") && wrong.contains("did you mean `search`?"), "{wrong}");
}

#[test]
fn a_played_provider_enforces_its_tokens_and_is_spared_where_it_tells_what_is_left() {
    let throttled = |report: &Report| report.providers[0].attempts.get("throttled").copied().unwrap_or_default();
    let silent = beside("weight: 1", ", tokens_per_minute: 60000");
    let telling = beside("weight: 1", ", tokens_per_minute: 60000, tells_limits: true");
    assert!(throttled(&silent) > 5, "{:?}", silent.providers[0]);
    assert!(throttled(&telling) <= throttled(&silent), "{:?}", telling.providers[0]);
    for report in [&silent, &telling] {
        assert_eq!(report.answered, report.requests);
        assert!(report.providers[0].answered < report.requests * 3 / 4);
    }
}
