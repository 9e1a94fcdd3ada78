//! Reloads, trials, roll-backs and renewals, with the component that misbehaves on command.

use serde_json::json;

use super::super::tests::{builtin_choice, candidates, choice, eventually, facts, providers};
use super::*;
use crate::routing::StrategyCounters;
use crate::wasm::fault::FaultKind;

fn started(choice: &StrategyChoice) -> Arc<Succession> {
    Succession::start(choice, providers(3)).expect("starts")
}

fn reloaded(before: &Arc<Succession>, choice: &StrategyChoice) -> Arc<Succession> {
    before.reload(choice, providers(3)).expect("loads and passes the probe")
}

fn refused(before: &Arc<Succession>, choice: &StrategyChoice, count: u32) -> String {
    before.reload(choice, providers(count)).err().expect("should be refused").to_string()
}

/// One decision among three candidates, for which the fixture does `deed`.
fn ask(strategy: &Succession, deed: &str) -> Decision {
    strategy.decide(&facts(&format!("do:{deed}"), 0), &candidates(3))
}

/// A configuration that changes nothing, except that it is another.
fn another() -> StrategyChoice {
    choice(json!({"every": 2}))
}

/// Calls in which nothing is wrong.
fn good_calls(strategy: &Succession, calls: u64) {
    for _ in 0..calls {
        let decision = ask(strategy, "nothing");
        assert!(matches!(decision.origin, Origin::Strategy { .. }), "{decision:?}");
    }
}

fn faults(health: &StrategyHealth, kind: FaultKind) -> u64 {
    let found = health.counters.faults.iter().find(|(name, _)| *name == kind.name());
    found.expect("every kind is there").1
}

#[test]
fn what_has_not_changed_lives_on() {
    let first = started(&choice(json!({})));
    let second = reloaded(&first, &choice(json!({})));
    assert!(Arc::ptr_eq(&first, &second));
    assert!(!second.health().on_trial);
}

#[test]
fn other_providers_get_a_new_instance_without_a_trial() {
    let first = started(&choice(json!({})));
    good_calls(&first, 5);
    let second = first.reload(&choice(json!({})), providers(4)).expect("loads");
    assert!(Arc::ptr_eq(first.deciding().blueprint(), second.deciding().blueprint()), "nothing is compiled");
    assert!(!Arc::ptr_eq(&first.deciding(), &second.deciding()));
    assert_eq!(second.decide(&facts("do:nothing", 0), &candidates(4)).order, [3, 2, 1, 0]);
    good_calls(&first, 1);
    let health = second.health();
    assert_eq!((health.on_trial, health.counters.calls), (false, 7), "the name counts on, over both");
}

#[test]
fn what_fails_the_probe_replaces_nothing() {
    let first = started(&choice(json!({})));
    for (on, deed, words) in [
        ("route", "panic", "trapped: "),
        ("route", "spin", "ran longer than it may"),
        ("route", "out_of_range", "made an illegal decision: index 4000000000 was not offered"),
        ("observe", "panic", "(in reports of attempts)"),
    ] {
        let error = refused(&first, &choice(json!({"on": on, "do": deed})), 3);
        assert!(error.starts_with("fails when it is tried before use: ") && error.contains(words), "{error}");
    }
    let panic = refused(&first, &choice(json!({"do": "panic", "every": 2})), 3);
    assert!(panic.contains("(in route with 1 candidate of tier primary, seq 0"), "{panic}");
    let rejected = refused(&first, &choice(json!({"on": "init", "do": "refuse"})), 3);
    assert_eq!(rejected, "rejects its configuration: I would rather not");
    let missing = StrategyChoice { source: StrategySource::File("/no/such.wasm".into()), ..choice(json!({})) };
    assert_eq!(refused(&first, &missing, 3), "cannot read /no/such.wasm");
    good_calls(&first, 1);
    let StrategyHealth { state, on_trial, rolled_back, .. } = first.health();
    assert_eq!((state, on_trial, rolled_back), ("healthy", false, None));
    assert!(faults(&first.health(), FaultKind::Trapped) == 0, "what the probe found is no fault of the living");
}

#[test]
fn the_probe_does_not_mind_abstentions_and_refusals() {
    let first = started(&choice(json!({})));
    for deed in ["empty", "refuse"] {
        assert!(reloaded(&first, &choice(json!({"do": deed}))).health().on_trial);
    }
}

#[test]
fn built_in_strategies_pass_the_probe_with_any_providers() {
    for name in builtins() {
        for count in [1, 2, 7] {
            let first = Succession::start(&choice(json!({})), providers(count)).expect("starts");
            let second = first.reload(&builtin_choice(name), providers(count)).expect("passes");
            assert_eq!((second.name(), second.health().on_trial), (*name, true));
        }
    }
}

#[test]
fn the_third_fault_on_trial_brings_the_previous_one_back() {
    let first = started(&builtin_choice("round_robin"));
    let second = reloaded(&first, &choice(json!({})));
    assert_eq!((second.name(), second.health().on_trial), ("bad", true));
    good_calls(&second, 4);
    for fault in 1..=3 {
        assert_eq!(second.name(), "bad");
        eventually("an instance", || second.health().state == "healthy");
        // One that traps and two that leave it alive: any kind counts.
        let deed = if fault == 2 { "panic" } else { "duplicate" };
        let decision = ask(&second, deed);
        assert_eq!(decision, Decision::default_order(&candidates(3), Origin::Faulted), "as ever");
    }
    // From the very next call on, the previous one decides, for which the model is only a name.
    for seq in 0..30 {
        let decision = second.decide(&facts("do:panic", seq), &candidates(3));
        assert_eq!((decision.order[0], decision.origin), (seq % 3, Origin::Strategy { reason: 0 }));
    }
    let health = second.health();
    assert_eq!((second.name(), health.name.as_str(), health.on_trial), ("round_robin", "round_robin", false));
    let reason = "strategy `bad` had 1 trapped, 2 illegal_decision in its first 7 calls";
    assert_eq!(health.rolled_back.as_deref(), Some(reason));
    assert_eq!((health.state, health.component.as_str(), health.counters.calls), ("healthy", "round_robin", 30));
    let [(name, StrategyCounters { calls, faults, .. })] = &health.former[..] else { panic!("{health:?}") };
    let expected = [("trapped", 1), ("deadline_exceeded", 0), ("out_of_memory", 0), ("illegal_decision", 2)];
    assert_eq!((name.as_str(), *calls, &faults[..]), ("bad", 7, &expected[..]), "and not one more");
}

/// The log lines of this thread meanwhile.
fn logged(act: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(lines, act);
    let bytes = log.0.lock().clone();
    String::from_utf8(bytes).expect("logs are text")
}

#[test]
fn a_roll_back_is_one_line_that_says_why_and_what_to_do() {
    let first = started(&builtin_choice("round_robin"));
    let second = reloaded(&first, &choice(json!({})));
    let log = logged(|| {
        for _ in 0..10 {
            ask(&second, "duplicate");
        }
    });
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    let [line] = lines[..] else { panic!("one error, not {log}") };
    for part in [
        "rolled back to the previous one, `round_robin` 0.1.0 (sha256 ",
        "the new one, `bad` 0.1.0 (sha256 ",
        "had 3 illegal_decision in its first 3 calls",
        "the last fault: made an illegal decision: 4 indices for 3 candidates",
        "correct the component or its config and reload",
        "strategy=\"bad\"",
    ] {
        assert!(line.contains(part), "{part:?} is missing in {line}");
    }
}

/// One that was rolled back, to the same component with another configuration.
fn rolled_back() -> Arc<Succession> {
    let first = started(&choice(json!({})));
    let second = reloaded(&first, &another());
    for _ in 0..3 {
        ask(&second, "duplicate");
    }
    assert!(second.health().rolled_back.is_some());
    assert!(Arc::ptr_eq(&first.deciding(), &second.deciding()), "the very one, with all it remembers");
    second
}

#[test]
fn what_was_rolled_back_is_not_tried_again_unchanged() {
    let before = rolled_back();
    assert!(Arc::ptr_eq(&before, &reloaded(&before, &another())));
    let with_more = before.reload(&another(), providers(4)).expect("loads");
    assert_eq!(with_more.health().rolled_back, before.health().rolled_back);
    assert_eq!(with_more.deciding().setup().config, "{}", "the previous one, with the new providers");
    assert_eq!(with_more.decide(&facts("do:nothing", 0), &candidates(4)).order, [3, 2, 1, 0]);
    assert!(!with_more.health().on_trial);
}

#[test]
fn what_was_changed_after_a_roll_back_is_tried() {
    let before = rolled_back();
    let health = reloaded(&before, &choice(json!({"every": 3}))).health();
    assert_eq!((health.on_trial, health.rolled_back), (true, None));
}

#[test]
fn going_back_after_a_roll_back_settles_it() {
    let before = rolled_back();
    let after = reloaded(&before, &choice(json!({})));
    assert!(Arc::ptr_eq(&before.deciding(), &after.deciding()));
    let health = after.health();
    assert_eq!((health.on_trial, health.rolled_back), (false, None));
}

#[test]
fn ten_thousand_calls_prove_it_and_the_previous_one_goes() {
    let first = started(&choice(json!({})));
    let second = reloaded(&first, &another());
    let previous = Arc::downgrade(&first.deciding());
    drop(first);
    ask(&second, "duplicate");
    ask(&second, "duplicate");
    good_calls(&second, TRIAL_CALLS - 3);
    assert!(previous.upgrade().is_some() && second.health().on_trial);
    good_calls(&second, 1);
    assert!(!second.health().on_trial);
    eventually("the previous one goes", || previous.upgrade().is_none());
    for _ in 0..5 {
        ask(&second, "duplicate");
    }
    assert_eq!(second.health().rolled_back, None);
}

#[test]
fn waiting_too_long_is_no_fault_of_the_one_on_trial() {
    let first = started(&choice(json!({})));
    let second = reloaded(&first, &another());
    let held = second.deciding();
    let guard = held.hold();
    for _ in 0..4 {
        assert_eq!(ask(&second, "nothing").origin, Origin::Faulted);
    }
    drop(guard);
    let health = second.health();
    assert_eq!((health.on_trial, health.counters.lock_waits, health.counters.lock_timeouts), (true, 4, 4));
}

#[test]
fn the_previous_one_stands_by_with_the_new_providers() {
    let first = started(&choice(json!({})));
    let second = first.reload(&another(), providers(2)).expect("loads");
    for _ in 0..3 {
        second.decide(&facts("do:out_of_range", 0), &candidates(2));
    }
    assert!(second.health().rolled_back.is_some());
    assert_eq!(second.deciding().setup().targets, providers(2));
    assert_eq!(second.decide(&facts("do:nothing", 0), &candidates(2)).order, [1, 0]);
}

#[test]
fn a_change_of_providers_does_not_end_a_trial() {
    let first = started(&choice(json!({})));
    let second = reloaded(&first, &another());
    let third = second.reload(&another(), providers(2)).expect("loads");
    for _ in 0..3 {
        third.decide(&facts("do:out_of_range", 0), &candidates(2));
    }
    let health = third.health();
    assert!(health.rolled_back.is_some(), "{health:?}");
    assert_eq!(third.deciding().setup().config, "{}");
}

#[test]
fn one_roll_back_however_many_threads_meet_the_faults() {
    let first = started(&choice(json!({})));
    let second = reloaded(&first, &another());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| drop(ask(&second, "duplicate"))));
        }
    });
    assert!(second.health().rolled_back.is_some_and(|reason| reason.contains("illegal_decision in its first ")));
    assert_eq!(second.deciding().setup().config, "{}");
}

#[test]
fn an_instance_that_grows_is_renewed_before_it_fails() {
    let strategy = started(&choice(json!({})));
    let deciding = strategy.deciding();
    // 64 MiB are full after 16,000 calls.
    for _ in 0..50_000 {
        let decision = ask(&strategy, "leak_slowly");
        assert!(matches!(decision.origin, Origin::Strategy { .. }), "{decision:?}");
        if deciding.is_being_renewed() {
            // The machine may have better things to do than to run the thread that makes the new one.
            eventually("it is renewed", || {
                assert!(matches!(ask(&strategy, "nothing").origin, Origin::Strategy { .. }), "it answers meanwhile");
                !deciding.is_being_renewed()
            });
        }
    }
    let StrategyCounters { faults, renewals, rebuilds, .. } = strategy.health().counters;
    assert!(faults.iter().all(|(_, count)| *count == 0), "{faults:?}");
    assert!((3..=5).contains(&renewals) && rebuilds == 0, "{renewals} renewals, {rebuilds} rebuilds");
}

#[test]
fn one_that_is_large_from_its_start_is_not_renewed() {
    let strategy = started(&choice(json!({"on": "init", "do": "fill"})));
    good_calls(&strategy, 5_000);
    assert_eq!(strategy.health().counters.renewals, 0);
}
