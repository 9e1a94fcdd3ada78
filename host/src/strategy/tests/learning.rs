//! Reports of attempts: who is told them, in which order, and what happens when that breaks.

use super::*;
use crate::routing::{OutcomeKind, Report};

fn report(target: u32) -> Report {
    let time = Duration::from_millis(5);
    Report::of(target, OutcomeKind::Succeeded, time, Duration::MAX)
}

#[test]
fn outcomes_arrive_in_order() {
    let (told, said) = misbehaving().tell_instance(&[report(3), report(1)]);
    assert!(told.is_ok());
    let texts: Vec<&str> = said.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["observed OutcomeKind::Succeeded of 3", "observed OutcomeKind::Succeeded of 1"]);
}

#[test]
fn a_decision_hands_over_up_to_64_reports_and_too_many_are_dropped() {
    let strategy = misbehaving();
    for _ in 0..1100 {
        strategy.learn(report(0));
    }
    assert_eq!(strategy.stats().reports_dropped, 1100 - 1024);
    for left in (0..16).rev() {
        assert!(works(&strategy));
        assert_eq!(strategy.pending_reports(), left * 64);
    }
}

#[test]
fn who_does_not_observe_is_told_nothing() {
    let strategy = builtin("round_robin", 3);
    strategy.learn(report(0));
    assert_eq!(strategy.pending_reports(), 0);
}

#[test]
fn breaking_while_it_learns_is_a_fault_too() {
    let strategy = misbehaving_with(json!({"on": "observe", "do": "panic"})).expect("starts");
    strategy.learn(report(0));
    assert_eq!(ask(&strategy, "nothing").origin, Origin::Faulted);
    assert_eq!(strategy.stats().faults_of(FaultKind::Trapped), 1);
    eventually("an instance", || works(&strategy));
}
