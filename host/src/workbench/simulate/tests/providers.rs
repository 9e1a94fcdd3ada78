//! Providers that fail, come back, or limit their clients, as they are played.

use super::*;

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
