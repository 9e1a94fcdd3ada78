//! The strategy host against real components: those that are built in, and one that misbehaves on command.

mod learning;
mod loading;
mod previous;
mod several;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::call::ComponentStrategy;
use super::recovery::State;
use super::*;
use crate::config::{StrategyChoice, StrategySource};
use crate::routing::{Candidate, Decision, Facts, Origin, Strategy, TargetFacts};
use crate::wasm::fault::Stats;
use crate::wasm::{Fault, FaultKind, output};

/// Longer than any deadline on a machine that does a hundred other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// The component of a fixture. All are built once per test run, with the settings of the built-in strategies.
fn built(fixture: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let target_dir = env!("STRATEGIES_TARGET_DIR");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        cargo.args(["build", "--locked", "--profile", "strategy", "--target", "wasm32-wasip2"]);
        cargo.args([
            "-p",
            "misbehave",
            "-p",
            "stranger",
            "-p",
            "needy",
            "-p",
            "grabby",
            "-p",
            "asker",
            "--target-dir",
            target_dir,
        ]);
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            cargo.env_remove(variable);
        }
        let output = cargo.output().expect("cargo should run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(target_dir).join("wasm32-wasip2/strategy")
    };
    BUILT.get_or_init(build).join(format!("{fixture}.wasm"))
}

/// The bytes of a fixture.
pub(crate) fn component(fixture: &str) -> Vec<u8> {
    std::fs::read(built(fixture)).expect("built")
}

pub(crate) fn providers(count: u32) -> Vec<TargetFacts> {
    let provider = |index| TargetFacts {
        weight: 1.0 + f64::from(index),
        models: vec!["m".to_owned()],
        price: Some((1.0, 2.0 + f64::from(index))),
        ..TargetFacts::named(format!("p{index}"))
    };
    (0..count).map(provider).collect()
}

pub(crate) fn candidates(count: u32) -> Vec<Candidate> {
    (0..count).map(Candidate::idle).collect()
}

fn load(choice: &StrategyChoice, providers: Vec<TargetFacts>) -> Result<Arc<ComponentStrategy>, LoadError> {
    Succession::untried(choice, providers).map(|succession| succession.deciding())
}

pub(crate) fn builtin_choice(name: &str) -> StrategyChoice {
    let source = StrategySource::BuiltIn(name.to_owned());
    let config = match name {
        "canary" => json!({"provider": "p0", "percent": 10}),
        "rules" => json!({"rules": [{"when": {"streaming": true}, "prefer": "p0"}]}),
        _ => json!({}),
    };
    StrategyChoice { name: name.to_owned(), source, ..choice(config) }
}

/// The fixture, commanded by its configuration.
pub(crate) fn choice(config: serde_json::Value) -> StrategyChoice {
    StrategyChoice {
        name: "bad".to_owned(),
        source: StrategySource::File(built("misbehave")),
        config,
        grants: crate::config::Grants::default(),
        limits: crate::config::StrategyLimits::default(),
        line: 0,
    }
}

fn builtin(name: &str, count: u32) -> Arc<ComponentStrategy> {
    load(&builtin_choice(name), providers(count)).expect("a built-in strategy loads")
}

fn misbehaving_with(config: serde_json::Value) -> Result<Arc<ComponentStrategy>, LoadError> {
    load(&choice(config), providers(3))
}

fn misbehaving() -> Arc<ComponentStrategy> {
    misbehaving_with(json!({})).expect("misbehaves only when told to")
}

pub(crate) fn facts(model: &str, seq: u32) -> Facts<'_> {
    Facts { seq, entropy: 7, now_ms: 1_700_000_000_000, model, body_bytes: 100, ..Facts::NOTHING }
}

/// One decision among three candidates, for which the fixture does `deed`.
fn ask(strategy: &ComponentStrategy, deed: &str) -> Decision {
    strategy.decide(&facts(&format!("do:{deed}"), 0), &candidates(3))
}

/// Asks a new instance, and another one if it ran out of time without being told to: on a machine that is busy with
/// other tests, some deeds need more than their time.
fn unhurried(deed: &str, kind: FaultKind) -> (Arc<ComponentStrategy>, Decision) {
    for _ in 0..20 {
        let strategy = misbehaving();
        let decision = ask(&strategy, deed);
        if kind == FaultKind::DeadlineExceeded || strategy.stats().faults_of(FaultKind::DeadlineExceeded) == 0 {
            return (strategy, decision);
        }
    }
    panic!("{deed} always runs out of time");
}

/// True when the fixture's own order came out, which is backwards.
fn works(strategy: &ComponentStrategy) -> bool {
    let decision = ask(strategy, "nothing");
    (decision.order, decision.origin) == (vec![2, 1, 0], Origin::Strategy { reason: 1 })
}

/// Asks the instance itself, for what the trait does not show.
fn answer(strategy: &ComponentStrategy, deed: &str) -> (Result<instance::Answer, instance::Broken>, output::Said) {
    strategy.ask_instance(&facts(&format!("do:{deed}"), 0), &candidates(3))
}

/// The answer of a new instance that came in time, for a deed that takes a moment on a machine that does much else.
fn in_time(deed: &str) -> Option<Result<instance::Answer, Fault>> {
    let mut answers = (0..20).map(|_| answer(&misbehaving(), deed).0.map_err(|broken| broken.fault));
    answers.find(|answer| !matches!(answer, Err(Fault::DeadlineExceeded)))
}

/// The lines of a new instance's call that goes well; it is repeated as in [`unhurried`].
fn lines(deed: &str) -> Vec<(output::Level, String)> {
    for _ in 0..20 {
        let (answer, said) = answer(&misbehaving(), deed);
        match answer {
            Ok(instance::Answer::Decided(_)) => {
                return said.lines.into_iter().map(|line| (line.level, line.text)).collect();
            }
            Err(broken) if broken.fault.kind() == FaultKind::DeadlineExceeded => {}
            Ok(instance::Answer::Refused(_)) | Err(_) => panic!("{deed}: {answer:?}"),
        }
    }
    panic!("{deed} always runs out of time");
}

pub(super) fn eventually(what: &str, mut claim: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !claim() {
        assert!(Instant::now() < end, "should come true: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn every_built_in_strategy_loads_and_decides() {
    assert!(builtins().is_sorted() && builtins().contains(&"round_robin"));
    for name in builtins() {
        let decision = builtin(name, 3).decide(&facts("m", 0), &candidates(3));
        assert!(matches!(decision.origin, Origin::Strategy { .. }), "{name}: {decision:?}");
    }
}

#[test]
fn a_name_that_is_not_built_in_is_told_with_those_that_are() {
    let error = load(&builtin_choice("nope"), providers(1)).err().expect("should be refused").to_string();
    assert!(error.starts_with("no strategy `nope` is built in") && error.contains("round_robin"), "{error}");
}

#[test]
fn round_robin_rotates_exactly_however_many_threads_ask() {
    let strategy = builtin("round_robin", 5);
    let (threads, each) = (8, 500);
    let ask = |thread: u32| {
        for round in 0..each {
            let seq = round * threads + thread;
            let decision = strategy.decide(&facts("m", seq), &candidates(5));
            assert_eq!((decision.order[0], decision.origin), (seq % 5, Origin::Strategy { reason: 0 }));
        }
    };
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || ask(thread));
        }
    });
    let Stats { calls, lock_timeouts, faults, .. } = strategy.stats();
    assert_eq!(calls, u64::from(threads * each));
    assert_eq!((lock_timeouts, faults), (0, [0; 4]), "not even on a busy machine");
}

#[test]
fn the_same_inputs_give_the_same_answers_in_another_instance() {
    for name in builtins() {
        let (one, two) = (builtin(name, 7), builtin(name, 7));
        for seq in 0..200 {
            let (facts, candidates) = (facts("m", seq), candidates(7));
            assert_eq!(one.decide(&facts, &candidates), two.decide(&facts, &candidates), "{name}");
        }
    }
}

#[test]
fn each_fault_has_its_kind_and_the_request_gets_the_default_order() {
    let cases = [
        ("panic", FaultKind::Trapped),
        ("recurse", FaultKind::Trapped),
        ("recurse_deep", FaultKind::Trapped),
        ("exit", FaultKind::Trapped),
        ("sleep", FaultKind::Trapped),
        ("bad_level", FaultKind::Trapped),
        ("wild_string", FaultKind::Trapped),
        ("bad_utf8", FaultKind::Trapped),
        ("spin", FaultKind::DeadlineExceeded),
        ("duplicate", FaultKind::IllegalDecision),
        ("out_of_range", FaultKind::IllegalDecision),
        ("contradict", FaultKind::IllegalDecision),
        ("exclude_foreign", FaultKind::IllegalDecision),
        ("too_few_reasons", FaultKind::IllegalDecision),
        ("million", FaultKind::IllegalDecision),
        ("wild_list", FaultKind::IllegalDecision),
        ("bad_utf8_error", FaultKind::IllegalDecision),
    ];
    for (deed, kind) in cases {
        let (strategy, decision) = unhurried(deed, kind);
        assert_eq!(decision, Decision::default_order(&candidates(3), Origin::Faulted), "{deed}");
        let mut expected = Stats { calls: 1, ..Stats::default() };
        expected.faults[kind as usize] = 1;
        assert_eq!(Stats { rebuilds: 0, ..strategy.stats() }, expected, "{deed}");
        eventually(deed, || works(&strategy));
    }
}

#[test]
fn a_leak_ends_out_of_memory_and_its_successor_starts_afresh() {
    let leak = || {
        let strategy = misbehaving();
        let leaked = (0..100).take_while(|_| ask(&strategy, "leak").origin != Origin::Faulted).count();
        (strategy, leaked)
    };
    // On a machine that is busy with other tests, a call may run out of its time instead.
    let mut tries = (0..20).map(|_| leak());
    let in_time =
        |(strategy, _): &(Arc<ComponentStrategy>, usize)| strategy.stats().faults_of(FaultKind::DeadlineExceeded) == 0;
    let (strategy, leaked) = tries.find(in_time).expect("not always out of time");
    assert_eq!(strategy.stats().faults, [0, 0, 1, 0], "after {leaked} MiB");
    assert!((40..64).contains(&leaked), "{leaked} MiB");
    eventually("a new instance", || works(&strategy));
    assert_eq!(ask(&strategy, "leak").origin, Origin::Strategy { reason: 1 });
}

#[test]
fn a_fault_tells_the_last_words_of_the_guest() {
    let broken = |deed| {
        let mut faults = (0..20).map(|_| answer(&misbehaving(), deed).0.expect_err("should break").fault);
        faults.find(|fault| *fault != Fault::DeadlineExceeded).expect("not always out of time").to_string()
    };
    let panic = broken("panic");
    assert!(panic.starts_with("trapped: ") && panic.contains("misbehaving as told"), "{panic}");
    assert!(panic.contains("deed.rs") && !panic.contains("RUST_BACKTRACE"), "{panic}");
    // It did not even ask the host.
    assert_eq!(broken("hog_at_once"), "trapped: memory allocation of 2147483647 bytes failed");
    assert_eq!(broken("recurse"), "trapped: call stack exhausted");
    assert_eq!(broken("exit"), "trapped: called `wasi:cli/exit#exit`, which strategies do not have");
    assert_eq!(broken("sleep"), "trapped: called `wasi:io/poll#[method]pollable.block`, which strategies do not have");
    assert_eq!(broken("duplicate"), "made an illegal decision: 4 indices for 3 candidates");
    assert_eq!(broken("out_of_range"), "made an illegal decision: index 4000000000 was not offered");
    assert_eq!(broken("contradict"), "made an illegal decision: index 2 was chosen and excluded");
    assert_eq!(broken("exclude_foreign"), "made an illegal decision: index 7 was not offered");
    assert_eq!(broken("too_few_reasons"), "made an illegal decision: 1 reasons for an order of 3");
    let million = broken("million");
    assert!(million.starts_with("made an illegal decision: too much data"), "{million}");
}

#[test]
fn an_illegal_decision_leaves_the_instance_alive() {
    let strategy = misbehaving();
    for _ in 0..10 {
        assert_eq!(ask(&strategy, "duplicate").origin, Origin::Faulted);
        assert!(works(&strategy));
    }
    assert_eq!((strategy.state(), strategy.stats().rebuilds), (State::Healthy, 0));
}

#[test]
fn a_refusal_is_no_fault_and_its_text_is_cut() {
    let strategy = misbehaving();
    assert_eq!(ask(&strategy, "refuse").origin, Origin::Refused);
    assert_eq!(ask(&strategy, "empty").origin, Origin::Abstained);
    assert_eq!(strategy.stats(), Stats { calls: 2, refusals: 1, abstentions: 1, ..Stats::default() });
    let refused = |text: String| Some(Ok(instance::Answer::Refused(text)));
    assert_eq!(in_time("refuse"), refused("I would rather not".to_owned()));
    assert_eq!(in_time("long_error"), refused(format!("{}…", "x".repeat(1024))));
}

#[test]
fn after_three_faults_in_a_row_it_is_left_alone_for_a_while() {
    let strategy = misbehaving();
    for _ in 0..3 {
        eventually("an instance", || strategy.state() == State::Healthy);
        ask(&strategy, "panic");
    }
    let began = Instant::now();
    assert_eq!(strategy.state(), State::BackingOff);
    assert_eq!(ask(&strategy, "nothing").origin, Origin::Faulted);
    eventually("a probe", || works(&strategy));
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(strategy.stats().faults_of(FaultKind::Trapped), 3);
}

#[test]
fn what_it_prints_and_logs_becomes_lines() {
    let expected = [(output::Level::Info, "a line on stdout"), (output::Level::Warn, "a line on stderr")];
    assert_eq!(lines("print_line"), expected.map(|(level, text)| (level, text.to_owned())));
    assert_eq!(lines("log_megabyte"), [(output::Level::Info, format!("{}…", "x".repeat(1024)))]);
    // How far it comes in its time depends on the machine; what is kept does not.
    for deed in ["print_megabyte", "log_flood"] {
        let said = (0..20).map(|_| answer(&misbehaving(), deed).1).find(|said| said.dropped > 0);
        assert!(said.as_ref().is_some_and(|said| said.lines.len() <= 10), "{deed}: {said:?}");
    }
}

#[test]
fn its_world_is_empty_and_stands_still() {
    let line = |deed: &str| lines(deed).remove(0).1;
    assert_eq!(line("read_env"), "env: [] []");
    assert_eq!(line("read_clock"), "clock: Ok(1700000000s)");
    assert_eq!(line("read_stdin"), "stdin: Ok(0) \"\"");
    let files = line("read_fs");
    assert_eq!(files.matches("Err(").count(), 2, "{files}");
    assert_eq!(line("read_random"), line("read_random"), "the seed of hash maps");
}

/// Measures for how long a guest that never ends occupies its caller. Generous, because tests share the machine.
async fn spin_in_a_runtime() {
    let strategy = misbehaving();
    let began = std::time::SystemTime::now();
    assert_eq!(ask(&strategy, "spin").origin, Origin::Faulted);
    let took = began.elapsed().expect("a clock that goes forward");
    assert!(took >= Duration::from_millis(9), "{took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    // A panic's message, printed within a Tokio worker.
    eventually("an instance", || strategy.state() == State::Healthy);
    assert_eq!(ask(&strategy, "panic").origin, Origin::Faulted);
    assert_eq!(strategy.stats().faults, [1, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_never_ends_is_ended_on_a_worker_of_many() {
    tokio::task::spawn_blocking(|| built("misbehave")).await.expect("built");
    spin_in_a_runtime().await;
}

#[tokio::test]
async fn a_guest_that_never_ends_is_ended_on_the_only_thread() {
    spin_in_a_runtime().await;
}

#[test]
fn a_decision_does_not_wait_for_ever_for_another() {
    let strategy = misbehaving();
    let held = strategy.hold();
    assert_eq!(ask(&strategy, "nothing"), Decision::default_order(&candidates(3), Origin::Faulted));
    assert_eq!(strategy.stats().lock_timeouts, 1);
    drop(held);
    assert!(works(&strategy));
}
