//! The pace, the costs, and configs that are none.

use super::*;
use pointsman_guest::testing::{Harness, play_fixtures};

/// An hour of a day in 2026.
fn at(hour: u64) -> u64 {
    20_500 * DAY_MS + hour * HOUR_MS
}

fn answered(target: u32, cost: f64) -> Outcome {
    let (input_tokens, output_tokens) = (1_000, 1_000);
    Outcome { target, kind: OutcomeKind::Succeeded, first_byte_us: 1, total_us: 2, input_tokens, output_tokens, cost }
}

/// The order at noon with so much left of each budget.
fn noon(strategy: &mut Harness<Budgets>, left: &[(&str, u32)]) -> (Vec<String>, String) {
    strategy.request.now_ms = at(12);
    for (target, left) in left {
        strategy.candidate(target).tokens_left = *left;
    }
    (strategy.route(), strategy.reason().unwrap_or_default().to_owned())
}

#[test]
fn it_does_what_its_fixtures_say() {
    play_fixtures::<Budgets>("fixtures");
}

#[test]
fn who_is_on_pace_goes_first_and_among_these_the_one_that_costs_least() {
    let mut strategy = Harness::<Budgets>::new(["dear", "cheap", "spent", "hasty"]);
    strategy.observe(&[answered(0, 0.02), answered(1, 0.001), answered(2, 0.0001), answered(3, 0.0001)]);
    let (order, reason) = noon(&mut strategy, &[("dear", 500), ("cheap", 700), ("spent", 0), ("hasty", 300)]);
    assert_eq!((order.join(" "), reason.as_str()), ("cheap dear hasty spent".to_owned(), CHEAPEST));
}

#[test]
fn when_all_are_ahead_the_one_with_most_left_goes_first() {
    let mut strategy = Harness::<Budgets>::new(["a", "b", "c"]);
    let (order, reason) = noon(&mut strategy, &[("a", 100), ("b", 300), ("c", 200)]);
    assert_eq!((order.join(" "), reason.as_str()), ("b c a".to_owned(), AHEAD));
}

#[test]
fn the_day_begins_when_the_config_says() {
    let mut strategy = Harness::<Budgets>::with_config(["a", "b"], r#"{"begins": 12}"#);
    // All of the day is left.
    assert_eq!(noon(&mut strategy, &[("a", 500), ("b", 1000)]).0, ["b", "a"]);
    let error = Harness::<Budgets>::start(["a"], r#"{"begins": 24}"#).err().unwrap_or_default();
    assert_eq!(error, "config.begins: must be an hour from 0 to 23, not 24");
}
