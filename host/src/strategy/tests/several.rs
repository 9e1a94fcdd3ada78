//! A strategy that keeps no state and has several instances: who waits for whom, and what becomes of them when they break.

use super::super::blueprint::Blueprint;
use super::super::record::{Line, Recorder, Target};
use super::super::succession::{read, setup};
use super::*;
use crate::wasm::engine::Engine;

/// A strategy with its first instance, on a machine with so many workers.
fn among(workers: usize, choice: &StrategyChoice, recorder: &Arc<Recorder>) -> ComponentStrategy {
    let engine = Engine::shared().expect("an engine");
    let blueprint = Arc::new(Blueprint::of(&engine, choice, &read(choice).expect("there")).expect("a strategy"));
    let setup = setup(choice, providers(3).into());
    let started =
        ComponentStrategy::start(&choice.name, engine, blueprint, setup, Arc::default(), Arc::clone(recorder));
    started.expect("starts").with_workers(workers)
}

/// The fixture, which says that it keeps no state.
fn misbehaving_among(workers: usize) -> ComponentStrategy {
    among(workers, &choice(json!({"stateless": true, "observes": false})), &Arc::default())
}

/// Decides until there are so many instances, each time with all of them in use.
fn grow(strategy: &ComponentStrategy, instances: usize) {
    while strategy.instances() < instances {
        let (before, held) = (strategy.instances(), strategy.hold());
        strategy.decide(&facts("m", 0), &candidates(3));
        drop(held);
        eventually("one more", || strategy.instances() > before);
    }
}

#[test]
fn a_decision_waits_for_no_other_once_there_are_instances_enough() {
    let strategy = among(2, &builtin_choice("weighted"), &Arc::default());
    let expected = builtin("weighted", 3);
    assert_eq!(strategy.instances(), 1, "as long as nobody waits");
    let _held = strategy.hold_one(0);
    // It waits until there is another instance, if that does not take too long.
    strategy.decide(&facts("m", 0), &candidates(3));
    eventually("another instance", || strategy.instances() == 2);
    drop(strategy.hold_one(1));
    let before = strategy.stats();
    // The first is still in use.
    for seq in 0..100 {
        let decision = strategy.decide(&facts("m", seq), &candidates(3));
        assert_eq!(decision, expected.decide(&facts("m", seq), &candidates(3)));
    }
    assert_eq!(strategy.stats(), Stats { calls: 101, ..before });
    assert_eq!(before.lock_waits, 1);
}

#[test]
fn one_that_keeps_state_has_one_instance_whatever_it_says() {
    let silent = choice(json!({"observes": false}));
    let learning = choice(json!({"stateless": true}));
    for choice in [silent, learning, builtin_choice("least_latency")] {
        let strategy = among(4, &choice, &Arc::default());
        let held = strategy.hold();
        let asked = strategy.decide(&facts("m", 0), &candidates(3));
        drop(held);
        assert_eq!(asked, Decision::default_order(&candidates(3), Origin::Faulted));
        let Stats { lock_waits, lock_timeouts, .. } = strategy.stats();
        assert_eq!((lock_waits, lock_timeouts, strategy.instances()), (1, 1, 1), "{}", choice.config);
    }
}

#[test]
fn there_are_no_more_instances_than_workers() {
    let strategy = misbehaving_among(2);
    grow(&strategy, 2);
    let (held, before) = (strategy.hold(), strategy.stats().lock_timeouts);
    assert_eq!(ask(&strategy, "nothing").origin, Origin::Faulted);
    drop(held);
    assert_eq!((strategy.instances(), strategy.stats().lock_timeouts), (2, before + 1));
}

#[test]
fn when_one_breaks_the_others_decide() {
    let strategy = misbehaving_among(2);
    grow(&strategy, 2);
    assert_eq!(ask(&strategy, "panic").origin, Origin::Faulted);
    assert_eq!((strategy.instances(), strategy.state()), (1, State::Healthy));
    assert!(works(&strategy), "at once");
    assert_eq!(strategy.stats().rebuilds, 0);
    grow(&strategy, 2);
    assert!(works(&strategy));
}

#[test]
fn when_the_last_one_breaks_it_is_made_anew() {
    let strategy = misbehaving_among(3);
    assert_eq!(ask(&strategy, "panic").origin, Origin::Faulted);
    eventually("a new instance", || works(&strategy));
    assert_eq!((strategy.instances(), strategy.stats().rebuilds, strategy.state()), (1, 1, State::Healthy));
}

#[test]
fn after_three_faults_in_a_row_all_of_them_are_left_alone() {
    let strategy = misbehaving_among(4);
    grow(&strategy, 4);
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(ask(&strategy, "panic").origin, Origin::Faulted);
    }
    assert_eq!((strategy.state(), strategy.instances()), (State::BackingOff, 0));
    assert_eq!(ask(&strategy, "nothing").origin, Origin::Faulted);
    eventually("a probe", || works(&strategy));
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!((strategy.stats().faults_of(FaultKind::Trapped), strategy.instances()), (3, 1));
}

#[test]
fn each_is_renewed_in_its_place() {
    let strategy = misbehaving_among(2);
    grow(&strategy, 2);
    for busy in [0, 1] {
        // While the one is in use, the other is asked.
        let ask_other = |deed: &str| {
            let _held = strategy.hold_one(busy);
            ask(&strategy, deed)
        };
        let before = strategy.stats().renewals;
        let renewed = || strategy.stats().renewals > before;
        while !renewed() {
            let decision = ask_other("leak_slowly");
            assert!(matches!(decision.origin, Origin::Strategy { .. }), "{decision:?}");
            if strategy.is_being_renewed() {
                eventually("it is renewed", || {
                    assert!(matches!(ask_other("nothing").origin, Origin::Strategy { .. }), "it answers meanwhile");
                    renewed()
                });
            }
        }
    }
    assert_eq!((strategy.stats().faults, strategy.instances()), ([0; 4], 2));
}

#[test]
fn a_record_of_several_names_each_before_its_decisions() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let target = Target { path: folder.path().join("record.ndjson"), max_bytes: 1 << 24 };
    let recorder = Arc::new(Recorder::default());
    recorder.record_to(Some(&target)).expect("opens");
    let strategy = among(2, &builtin_choice("weighted"), &recorder);
    grow(&strategy, 2);
    thread::scope(|scope| {
        for thread in 0..4 {
            let strategy = &strategy;
            scope.spawn(move || {
                for seq in 0..200 {
                    strategy.decide(&facts("m", seq * 4 + thread), &candidates(3));
                }
            });
        }
    });
    recorder.record_to(None).expect("closes");
    let (mut known, mut decisions) = (Vec::new(), 0);
    for line in std::fs::read_to_string(&target.path).expect("a record").lines() {
        match serde_json::from_str(line).expect("a line") {
            Line::Start(start) => {
                assert!(!start.resumed && !known.contains(&start.instance), "{line}");
                known.push(start.instance);
            }
            Line::Decision { instance, .. } => {
                assert!(known.contains(&instance), "{line}");
                decisions += 1;
            }
            Line::Outcomes { .. } | Line::Gap { .. } => panic!("{line}"),
        }
    }
    assert_eq!(known.len(), 2);
    assert_eq!(decisions + strategy.stats().lock_timeouts, strategy.stats().calls);
}
