//! The clock, the budget, and configs that are none.

use super::*;
use pointsman_guest::OutcomeKind;
use pointsman_guest::testing::{Harness, TargetFixture, fixture, play_fixtures};

fn targets() -> [TargetFixture; 3] {
    [fixture("large").label("cost", "high").price(10.0, 30.0), fixture("small").price(0.1, 0.3), fixture("own")]
}

fn office(config: &str) -> Harness<OfficeHours> {
    Harness::with_config(targets(), config)
}

/// A day in 2026 and its hour.
fn at(day: u64, hour: u64) -> u64 {
    (20_500 + day) * 24 * HOUR_MS + hour * HOUR_MS
}

fn cost(target: u32, cost: f64) -> Outcome {
    let (input_tokens, output_tokens) = (1_000, 1_000);
    Outcome { target, kind: OutcomeKind::Succeeded, first_byte_us: 1, total_us: 2, input_tokens, output_tokens, cost }
}

#[test]
fn it_does_what_its_fixtures_say() {
    play_fixtures::<OfficeHours>("fixtures");
}

#[test]
fn dear_ones_go_first_in_office_hours_and_last_otherwise() {
    let mut strategy = office(r#"{"from": 8, "until": 18, "budget": 5}"#);
    for (hour, place, reason) in [(7, 2, CLOSED), (8, 0, OPEN), (17, 0, OPEN), (18, 2, CLOSED)] {
        strategy.request.now_ms = at(0, hour);
        assert_eq!((strategy.route()[place].as_str(), strategy.reason()), ("large", Some(reason)), "{hour}");
    }
}

#[test]
fn when_the_budget_is_spent_they_are_not_tried_until_the_next_day() {
    let mut strategy = office(r#"{"from": 0, "until": 24, "budget": 5}"#);
    strategy.request.now_ms = at(0, 12);
    strategy.route();
    strategy.observe(&[cost(0, 3.0), cost(1, 50.0), cost(0, 1.5)]);
    assert_eq!(strategy.route()[0], "large", "there is some left, and what others cost does not count");
    strategy.observe(&[cost(0, 0.5)]);
    strategy.assert_share("small", 0.5, 0.01, 1_000);
    assert_eq!((strategy.excluded(), strategy.reason()), (&["large".to_owned()][..], Some(SPENT)));
    strategy.request.now_ms = at(1, 0);
    assert_eq!(strategy.route()[0], "large");
}

#[test]
fn a_wrong_config_is_explained() {
    let error = |targets, config| Harness::<OfficeHours>::start(targets, config).err().unwrap_or_default();
    let of = |config| error(Vec::from(targets()), config);
    assert_eq!(
        of(r#"{"from": 22, "until": 6, "budget": 1}"#),
        "config: an office that is open from 22 until 6 is none; write hours of one day"
    );
    assert_eq!(of(r#"{"from": 8, "until": 18, "budget": 0}"#), "config.budget: must be above 0, not 0");
    let config = r#"{"from": 8, "until": 18, "budget": 1}"#;
    assert_eq!(error(vec![fixture("a")], config), "no target has the label `cost: high`");
    assert_eq!(
        error(vec![fixture("a").label("cost", "high")], config),
        "target a has no price, so what it costs is not known"
    );
}
