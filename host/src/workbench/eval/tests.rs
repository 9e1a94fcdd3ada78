//! The played model against arithmetic.

use std::path::Path;

use serde_json::Map;

use super::report::Tested;
use super::*;
use crate::config;

fn questions(count: usize) -> Vec<Item> {
    let line = |number| format!(r#"{{"id":"q{number}","question":"What is {number} + 1?","answer":{}}}"#, number + 1);
    let lines: Vec<String> = (0..count).map(line).collect();
    Item::read(&lines.join("\n"), Grader::Number, count).expect("sound")
}

fn contender(expression: &str) -> Contender {
    Contender { shown: expression.to_owned(), expression: expression.to_owned(), options: Map::new() }
}

fn empty(profile: Profile, questions: usize) -> Report {
    Report {
        data: "data".to_owned(),
        grade: "number".to_owned(),
        model: "m".to_owned(),
        played: Some(profile),
        questions,
        partly_priced: false,
        approaches: Vec::new(),
    }
}

fn evaluated(profile: &str, count: usize, approaches: &[&str], known: Option<Report>) -> Report {
    let profile: Profile = profile.parse().expect("sound");
    let text = configuration(&profile);
    let config = config::parse(&text, Path::new("eval.yaml"), &|_| None, crate::strategy::builtins()).expect("sound");
    let evaluation = Evaluation {
        config,
        model: "m".to_owned(),
        items: questions(count),
        contenders: approaches.iter().map(|name| contender(name)).collect(),
        parallel: 8,
        played: Some(profile),
    };
    evaluate(evaluation, empty(profile, count), known, &mut |_, _, _| {}).expect("runs")
}

fn holds(tested: &Tested, expected: f64) {
    let (low, high) = tested.interval;
    assert!(low <= expected && expected <= high, "{}: {low:.3} to {high:.3}, not {expected:.3}", tested.approach);
    assert_eq!(tested.failures, 0, "{:?}", tested.reason());
}

#[test]
fn best_of_three_is_what_arithmetic_says() {
    let p: f64 = 0.6;
    for (judge, expected) in [("1", 1.0 - (1.0 - p).powi(3)), ("0.5", p), ("0", p.powi(3))] {
        let report = evaluated(&format!("accuracy=0.6,judge={judge}"), 400, &["none", "bon"], None);
        let [plain, bon] = &report.approaches[..] else { panic!("two were asked") };
        holds(plain, p);
        holds(bon, expected);
        assert_eq!((plain.calls, plain.choices), (400, 400));
        // Three candidates in one call, and a rating of each.
        assert_eq!((bon.calls, bon.choices), (1600, 2400));
        let difference = bon.difference.as_ref().expect("there is a first one");
        assert!((difference.difference - (bon.accuracy - plain.accuracy)).abs() < 1e-9);
        assert_eq!(judge == "1", difference.p < 0.001 && difference.lost == 0, "{judge}: {difference:?}");
    }
}

#[test]
fn a_vote_and_a_comparison_are_what_arithmetic_says() {
    let report = evaluated("accuracy=0.6,judge=1", 400, &["genselect", "moa", "majority_voting"], None);
    let [genselect, moa, voting] = &report.approaches[..] else { panic!("three were asked") };
    holds(genselect, 1.0 - 0.4_f64.powi(4));
    holds(moa, 1.0 - 0.4_f64.powi(3));
    // Of eight, the mistakes are of three kinds: a vote is right more often than one answer, by far.
    assert!(voting.interval.0 > 0.8, "{voting:?}");
    assert_eq!((genselect.calls, moa.calls, voting.calls), (800, 1200, 400));
}

#[test]
fn every_approach_runs_on_the_played_model_and_time_is_virtual() {
    let names = crate::approach::builtins();
    let report = evaluated("accuracy=0.6,judge=1,latency=2s,price=1/2,tokens=100", 10, names, None);
    for tested in &report.approaches {
        assert_eq!(tested.failures, 0, "{}: {:?}", tested.approach, tested.reason());
        assert!(tested.p50_seconds >= 2.0 && tested.cost.is_some_and(|cost| cost > 0.0), "{}", tested.approach);
        let spent = (tested.prompt_tokens as f64 + 2.0 * tested.completion_tokens as f64) / 1e6;
        assert!((tested.cost.expect("prices") - spent).abs() < 1e-9, "{}: {spent} {tested:?}", tested.approach);
    }
}

#[test]
fn the_same_seed_gives_the_same_answers_and_known_ones_are_not_asked_for_again() {
    let first = evaluated("accuracy=0.5,seed=3", 30, &["none", "bon"], None);
    assert_eq!(first, evaluated("accuracy=0.5,seed=3", 30, &["none", "bon"], None));
    let mut half = first.clone();
    for tested in &mut half.approaches {
        tested.answers.truncate(10);
        tested.answers[0].failure = Some("503: nobody".to_owned());
        tested.answers[1].calls = 1000;
    }
    let resumed = evaluated("accuracy=0.5,seed=3", 30, &["none", "bon"], Some(half));
    for (resumed, first) in resumed.approaches.iter().zip(&first.approaches) {
        assert_eq!((resumed.right, resumed.failures, resumed.answers.len()), (first.right, 0, 30));
        assert_eq!(resumed.answers[1].calls, 1000);
    }
}

#[test]
fn what_cannot_be_asked_is_told() {
    let report = evaluated("truncate=1", 5, &["none"], None);
    assert_eq!(report.approaches[0].right, 0);
    let text = table(&report);
    assert!(text.contains("This is arithmetic, not evidence.") && text.contains("none"), "{text}");
    let html = page(&report);
    assert!(html.contains("not evidence") && !html.contains("http") && !html.contains("<script"), "{html}");
    let mut wrong = contender("bon");
    wrong.options.insert("best_of_n".to_owned(), serde_json::json!(1000));
    let profile = Profile::default();
    let config = config::parse(&configuration(&profile), Path::new("e.yaml"), &|_| None, &["round_robin"]).expect("ok");
    let contenders = vec![wrong];
    let (model, items, parallel, played) = ("m".to_owned(), questions(3), 1, Some(profile));
    let evaluation = Evaluation { config, model, items, contenders, parallel, played };
    let report = evaluate(evaluation, empty(profile, 3), None, &mut |_, _, _| {}).expect("runs");
    let (reason, count) = report.approaches[0].reason().expect("it fails");
    assert!(reason.starts_with("400: ") && reason.contains("best_of_n") && count == 3, "{reason}");
}
