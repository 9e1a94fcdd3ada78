//! Records are read back as they were written, and compared.

use std::fs;
use std::io::Cursor;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::StrategyChoice;
use crate::routing::{Facts, OutcomeKind, Report, Strategy};
use crate::strategy::record::Target;
use crate::strategy::tests::{builtin_choice, candidates, choice, facts, providers};
use crate::strategy::{Succession, builtin_component};

/// The record of some traffic before `choice`.
fn record(choice: &StrategyChoice, traffic: impl FnOnce(&Succession)) -> String {
    let folder = tempfile::TempDir::new().expect("a folder");
    let target = Target { path: folder.path().join("record.ndjson"), max_bytes: 1 << 30 };
    let strategy = Succession::start(choice, providers(3)).expect("starts");
    strategy.recorder().record_to(Some(&target)).expect("opens");
    traffic(&strategy);
    strategy.recorder().record_to(None).expect("closes");
    assert_eq!(strategy.recorder().dropped(), 0);
    fs::read_to_string(&target.path).expect("a record")
}

/// Requests of which some fail, with reports in between.
fn traffic(strategy: &Succession) {
    for number in 0..2000_u32 {
        let mut candidates = candidates(3);
        candidates[number as usize % 3].in_flight = number % 5;
        let entropy = number.wrapping_mul(0x9E37_79B9).rotate_left(7);
        let now_ms = 1_700_000_000_000 + u64::from(number) * 50;
        let asked = Facts { entropy, now_ms, affinity: u64::from(entropy % 7) << 60, ..facts("m", number) };
        let decision = strategy.decide(&asked, &candidates);
        let provider = decision.order[0];
        let kind = if number % 11 == 0 { OutcomeKind::Failed } else { OutcomeKind::Succeeded };
        let first_byte = Duration::from_micros(u64::from(10_000 + number % 700 + provider * 3_000));
        strategy.learn(Report::of(provider, kind, first_byte, first_byte * 2));
    }
}

fn respondent(name: &str) -> Respondent {
    Respondent::strategy(name, builtin_component(name).expect("built in"), None).expect("loads")
}

fn replayed(log: &str, name: &str) -> Comparison {
    compare(Cursor::new(log), [Respondent::Recorded, respondent(name)]).expect("a record")
}

#[test]
fn the_same_inputs_give_the_same_decisions_also_to_those_that_remember() {
    for name in ["least_latency", "weighted", "affinity", "least_busy"] {
        let comparison = replayed(&record(&builtin_choice(name), traffic), name);
        assert_eq!((comparison.decisions, comparison.same), (2000, 2000), "{name}: {comparison:?}");
        assert!(comparison.examples.is_empty() && comparison.missing == 0);
    }
}

#[test]
fn what_another_one_would_have_done_is_counted_and_shown() {
    let log = record(&builtin_choice("failover"), traffic);
    let comparison = compare(Cursor::new(&log), [respondent("failover"), respondent("round_robin")]).expect("a record");
    assert_eq!(comparison.names, ["failover", "round_robin"]);
    assert_eq!(comparison.decisions, 2000);
    // A third begins with the first provider; of those half go on as the configuration does.
    assert_eq!(comparison.firsts["p0"], [2000, 667]);
    assert_eq!(comparison.other_first, 1333);
    assert_eq!(comparison.moves["p0 -> p1"], 667);
    assert_eq!(comparison.examples.len(), 5);
    let lines: Vec<u64> = comparison.examples.iter().map(|example| example.line).collect();
    assert!(lines.is_sorted() && lines[0] > 100 && lines[4] > 1500, "from all over the record: {lines:?}");
    assert_eq!(comparison.examples[0].answers[0], "p0, p1, p2");
    assert_eq!(comparison.examples[0].candidates, ["p0", "p1", "p2"]);
    assert_eq!(comparison.differences(), comparison.decisions - comparison.same);
}

#[test]
fn a_fault_is_an_answer_and_a_new_instance_is_another_one() {
    let log = record(&choice(json!({})), |strategy| {
        for number in 0..4 {
            let deed = if number == 1 { "do:panic" } else { "m" };
            strategy.decide(&facts(deed, number), &candidates(3));
            let begun = tokio::time::Instant::now();
            while strategy.health().state != "healthy" && begun.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    assert_eq!(log.matches(r#""record":"start""#).count(), 2, "{log}");
    assert_eq!(log.matches("trapped").count(), 1, "{log}");
    let component = crate::strategy::tests::component("misbehave");
    let misbehave = Respondent::strategy("bad", &component, None).expect("loads");
    let comparison = compare(Cursor::new(&log), [Respondent::Recorded, misbehave]).expect("a record");
    assert_eq!((comparison.decisions, comparison.same, comparison.faults), (4, 4, [1, 1]), "{comparison:?}");
}

#[test]
fn differences_after_a_gap_prove_nothing() {
    let log = record(&builtin_choice("round_robin"), traffic);
    let mut lines: Vec<&str> = log.lines().collect();
    lines[1] = r#"{"record":"gap","lines":7}"#;
    let comparison = replayed(&lines.join("\n"), "failover");
    assert_eq!((comparison.missing, comparison.differences(), comparison.decisions), (7, 0, 1999));
    assert!(comparison.uncertain > 1000);
}

#[test]
fn a_line_that_was_left_unfinished_is_a_gap() {
    let log = record(&builtin_choice("round_robin"), traffic);
    let cut = &log[..log.len() - 20];
    let comparison = replayed(cut, "round_robin");
    assert_eq!((comparison.decisions, comparison.same, comparison.missing), (1999, 1999, 1));
}

#[test]
fn says_what_is_no_record() {
    let error = |log: &str| {
        let respondents = [Respondent::Recorded, respondent("failover")];
        compare(Cursor::new(log), respondents).expect_err("no record").to_string()
    };
    assert!(error("hello\n").starts_with("line 1: is not one of a record of decisions: "));
    assert_eq!(error(""), "holds no decision");
    let log = record(&builtin_choice("round_robin"), traffic);
    let other_format = log.replacen(r#""format":2"#, r#""format":3"#, 1);
    assert_eq!(error(&other_format), "line 1: is of format 3, this program reads 1 to 2");
    let other_tier = log.replacen(r#""tier":"primary""#, r#""tier":"best""#, 1);
    assert_eq!(error(&other_tier), "line 2: there is no tier `best`");
    let foreign = log.replacen(r#""candidates":[[0,"#, r#""candidates":[[0,0,0,0],[9,"#, 1);
    assert!(error(&foreign).starts_with("line 2: "), "{}", error(&foreign));
}

#[test]
fn a_record_holds_what_strategies_know_and_no_more() {
    let log = record(&builtin_choice("canary"), traffic);
    let first: serde_json::Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["config"], r#"{"provider":"p0","percent":10}"#);
    assert_eq!(first["providers"][1]["name"], "p1");
    let mut keys: Vec<&str> =
        first["providers"][1].as_object().expect("a provider").keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["fallback_only", "kind", "labels", "max_concurrent", "models", "name", "price", "weight"]);
}

#[test]
fn a_record_of_the_format_before_is_read() {
    let log = record(&builtin_choice("least_latency"), traffic);
    let log = log.replacen(r#""format":2"#, r#""format":1"#, 1).replacen(r#""route":"default","#, "", 1);
    // Nothing of what 2 adds is there where nothing of it is known.
    let line = log.lines().find(|line| line.contains(r#""record":"decision""#)).expect("a decision");
    let question: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(question["candidates"][0].as_array().map(Vec::len), Some(4), "{line}");
    assert!(question.get("attributes").or(question.get("prompt")).is_none(), "{line}");
    let comparison = replayed(&log, "least_latency");
    assert_eq!((comparison.decisions, comparison.same), (2000, 2000), "{comparison:?}");
}

#[test]
fn a_record_keeps_what_is_granted_and_who_is_excluded() {
    let mut choice = choice(json!({}));
    let attributes = [("tenant", "search")];
    let asked = Facts { attributes: &attributes, prompt: "hello", prompt_tokens: 7, ..facts("do:exclude", 0) };
    let mut offered = candidates(3);
    offered[2].tokens_left = 9;
    for granted in [false, true] {
        choice.grants.prompt = granted;
        let log = record(&choice, |strategy| {
            let decision = strategy.decide(&asked, &offered);
            assert_eq!((decision.order, decision.excluded), (vec![2, 1], vec![0]));
            let report = Report::of(2, OutcomeKind::Succeeded, Duration::ZERO, Duration::ZERO);
            strategy.learn(Report { input_tokens: 3, output_tokens: 4, cost: 0.5, ..report });
            strategy.decide(&asked, &offered);
        });
        assert_eq!(log.contains(r#""prompt":"hello""#), granted, "{log}");
        for part in [
            r#""attributes":[["tenant","search"]]"#,
            r#""prompt_tokens":7"#,
            "[2,0,0,0,1000,9]",
            r#""decided":{"order":[2,1],"reason":1,"excluded":[0]}"#,
            r#"[2,"succeeded",0,0,3,4,0.5]"#,
        ] {
            assert!(log.contains(part), "{part}: {log}");
        }
        let component = crate::strategy::tests::component("misbehave");
        let misbehave = Respondent::strategy("bad", &component, None).expect("loads");
        let comparison = compare(Cursor::new(&log), [Respondent::Recorded, misbehave]).expect("a record");
        assert_eq!((comparison.decisions, comparison.same), (2, 2), "{comparison:?}");
    }
}

#[test]
fn a_record_over_a_change_of_the_strategy_is_replayed_as_far_as_configs_allow() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let target = Target { path: folder.path().join("record.ndjson"), max_bytes: 1 << 30 };
    let first = Succession::start(&builtin_choice("failover"), providers(3)).expect("starts");
    first.recorder().record_to(Some(&target)).expect("opens");
    traffic(&first);
    let second = first.reload(&builtin_choice("canary"), providers(3)).expect("passes the probe");
    traffic(&second);
    second.recorder().record_to(None).expect("closes");
    let log = fs::read_to_string(&target.path).expect("a record");

    let comparison = replayed(&log, "canary");
    assert_eq!((comparison.decisions, comparison.same, comparison.skipped), (2000, 2000, 2000), "{comparison:?}");
    let skipped = comparison.skipped_from.expect("why");
    assert_eq!((skipped.line, skipped.recorded.as_str(), skipped.strategy.as_str()), (1, "failover", "canary"));

    let only_failover: String = log.lines().take(2000).map(|line| format!("{line}\n")).collect();
    let respondents = [Respondent::Recorded, respondent("canary")];
    let error = compare(Cursor::new(only_failover), respondents).expect_err("nothing to ask").to_string();
    assert!(error.starts_with("line 1: strategy `canary` rejects its configuration"), "{error}");
    // A config that is given serves everywhere.
    let given = Respondent::strategy(
        "canary",
        builtin_component("canary").expect("built in"),
        Some(r#"{"provider":"p1","percent":1}"#.into()),
    );
    let comparison = compare(Cursor::new(log), [Respondent::Recorded, given.expect("loads")]).expect("a record");
    assert_eq!((comparison.decisions, comparison.skipped), (4000, 0));
}
