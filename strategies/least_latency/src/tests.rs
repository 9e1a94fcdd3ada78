//! Its decisions by latencies, failures and time.

use super::*;
use pointsman_guest::testing::{Harness, play_fixtures};

const BEGIN_MS: u64 = 1_700_000_000_000;

fn strategy(names: &[&str]) -> Harness<LeastLatency> {
    let mut strategy = Harness::<LeastLatency>::new(names.iter().copied());
    strategy.request.now_ms = BEGIN_MS;
    strategy.route();
    strategy
}

fn ended(target: u32, kind: OutcomeKind, ms: u32) -> Outcome {
    let first_byte_us = if kind == OutcomeKind::Succeeded { ms * 1000 } else { 0 };
    Outcome { target, kind, first_byte_us, total_us: ms * 1000, input_tokens: 0, output_tokens: 0, cost: 0.0 }
}

fn succeeded(target: u32, ms: u32) -> Outcome {
    ended(target, OutcomeKind::Succeeded, ms)
}

#[test]
fn it_does_what_its_fixtures_say() {
    play_fixtures::<LeastLatency>("fixtures");
}

#[test]
fn the_faster_one_goes_first() {
    let mut strategy = strategy(&["a", "b"]);
    strategy.observe(&[succeeded(0, 300), succeeded(1, 100)]);
    assert_eq!(strategy.route(), ["b", "a"]);
    assert_eq!(strategy.reason(), Some(EARLIEST));
}

#[test]
fn a_fast_one_that_is_busy_is_not_the_earliest() {
    let mut strategy = strategy(&["a", "b"]);
    strategy.observe(&[succeeded(0, 300), succeeded(1, 100)]);
    strategy.candidate("b").in_flight = 4;
    assert_eq!(strategy.route(), ["a", "b"]);
}

#[test]
fn a_rise_counts_at_once_and_a_fall_with_time() {
    let mut strategy = strategy(&["a", "b"]);
    strategy.observe(&[succeeded(0, 100), succeeded(1, 200)]);
    strategy.observe(&[succeeded(0, 5_000)]);
    assert_eq!(strategy.route(), ["b", "a"]);
    strategy.observe(&[succeeded(0, 100)]);
    assert_eq!(strategy.route(), ["b", "a"], "one fast answer in the same moment proves nothing");
    for second in 1..=60 {
        strategy.request.now_ms = BEGIN_MS + second * 1000;
        strategy.observe(&[succeeded(0, 100), succeeded(1, 200)]);
        strategy.route();
    }
    assert_eq!(strategy.route(), ["a", "b"]);
}

#[test]
fn a_slow_one_is_tried_again_after_a_while() {
    let mut strategy = strategy(&["a", "b"]);
    strategy.observe(&[succeeded(0, 5_000), succeeded(1, 100)]);
    let mut tried = None;
    for second in 1..=120 {
        strategy.request.now_ms = BEGIN_MS + second * 1000;
        if strategy.route()[0] == "a" {
            tried = Some(second);
            break;
        }
        strategy.observe(&[succeeded(1, 100)]);
    }
    let tried = tried.expect("is tried");
    assert!((20..=60).contains(&tried), "after {tried} s");
}

#[test]
fn to_fail_fast_does_not_look_fast() {
    for kind in [OutcomeKind::Failed, OutcomeKind::TimedOut, OutcomeKind::Interrupted] {
        let mut strategy = strategy(&["a", "b"]);
        strategy.observe(&[succeeded(0, 100), succeeded(1, 150), ended(0, kind, 1)]);
        assert_eq!(strategy.route(), ["b", "a"]);
    }
    let mut strategy = strategy(&["a", "b"]);
    strategy.observe(&[ended(0, OutcomeKind::Failed, 1), succeeded(1, 500)]);
    assert_eq!(strategy.route(), ["b", "a"], "nor where nothing else is known");
}

#[test]
fn what_the_client_did_says_nothing() {
    for kind in [OutcomeKind::Rejected, OutcomeKind::Cancelled, OutcomeKind::Throttled, OutcomeKind::Unauthorized] {
        let mut strategy = strategy(&["a", "b"]);
        strategy.observe(&[succeeded(0, 100), succeeded(1, 150), ended(0, kind, 60_000)]);
        assert_eq!(strategy.route(), ["a", "b"]);
    }
}

#[test]
fn one_that_nothing_is_known_of_is_tried_once_before_others() {
    let mut strategy = strategy(&["a", "b"]);
    strategy.observe(&[succeeded(0, 100)]);
    assert_eq!(strategy.route(), ["b", "a"]);
    strategy.candidate("b").in_flight = 1;
    assert_eq!(strategy.route(), ["a", "b"], "the first request to it has not come back");
}

#[test]
fn a_new_instance_begins_with_what_the_host_knows() {
    let mut strategy = Harness::<LeastLatency>::new(["a", "b"]);
    strategy.candidate("a").latency_us = 200_000;
    strategy.candidate("b").latency_us = 100_000;
    assert_eq!(strategy.route(), ["b", "a"]);
}

#[test]
fn a_report_of_a_provider_that_is_not_there_is_passed_over() {
    let mut strategy = strategy(&["a"]);
    strategy.observe(&[succeeded(7, 100)]);
    assert_eq!(strategy.route(), ["a"]);
}
