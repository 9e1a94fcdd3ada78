use std::fs;
use std::path::Path;

use super::super::{Scenario, as_recorded, simulate, simulate_into};
use super::*;
use crate::observe::Ledger;
use crate::observe::ledger::Filter;

const PLAYED: &str = "
name: played
seed: 5
duration: 1600
traffic: {rate: 5, streaming: 0.8, input_tokens: {median: 400, p95: 2000}, output_tokens: {median: 150, p95: 600}}
proxy:
  routing: {strategy: weighted}
  monitoring: {usage: always}
  providers:
    - {name: quick, weight: 3, price: {input: 2.5, output: 10}}
    - {name: cheap, weight: 1, price: {input: 0.5, output: 1.5}}
providers:
  quick: {first_token: {median: 0.3, p95: 0.8}, tokens_per_second: 90, errors: 0.02}
  cheap: {first_token: {median: 1.1, p95: 2.5}, tokens_per_second: 40, errors: 0.01, events: [{from: 300, until: 360, down: true}]}
";

fn environment(_: &str) -> Option<String> {
    None
}

fn scenario(folder: &Path, text: &str) -> Scenario {
    let file = folder.join("scenario.yaml");
    fs::write(&file, text).expect("written");
    Scenario::load(&file, &environment).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The records of a simulation, the earliest first.
fn records() -> Vec<Record> {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::new(20_000, None);
    let scenario = scenario(folder.path(), PLAYED);
    simulate_into(&scenario, "weighted", None, &environment, Some(&ledger)).expect("simulated");
    let kept = ledger.select(&Filter { inner: true, ..Filter::default() }, 20_000);
    let mut records: Vec<Record> = kept.iter().map(|record| Record::clone(record)).collect();
    records.sort_by_key(|record| record.time);
    assert_eq!(ledger.lost(), 0);
    records
}

fn keep(folder: &Path, records: &[Record]) {
    let lines: Vec<String> = records.iter().map(|record| serde_json::to_string(record).expect("JSON")).collect();
    fs::write(folder.join("stories-1.jsonl"), lines.join("\n")).expect("written");
}

/// How far a prediction is off, as a share of what was.
fn off(predicted: f64, was: f64) -> f64 {
    (predicted - was).abs() / was
}

#[test]
fn what_the_first_half_shows_predicts_the_second() {
    let records = records();
    let (first, second) = records.split_at(records.len() / 2);
    let fitted = Fitted::of(first).expect("requests");
    let quick = &fitted.providers["quick"];
    assert!(off(quick.behaviour.first_token.median, 0.3) < 0.1, "{quick:?}");
    assert!(off(quick.behaviour.tokens_per_second, 90.0) < 0.1, "{quick:?}");
    assert!((quick.behaviour.errors - 0.02).abs() < 0.01, "{quick:?}");
    let (input, output) = quick.price.expect("costs follow from a price");
    assert!(off(input, 2.5) < 0.02 && off(output, 10.0) < 0.02, "{input} {output}");
    let down = &fitted.providers["cheap"].behaviour.events;
    assert!(down.iter().any(|event| event.down && event.from > 299.0 && event.until < 372.0), "{down:?}");
    // The second half, with the providers as the first half shows them.
    let folder = tempfile::tempdir().expect("a folder");
    keep(folder.path(), second);
    let of_second = Fitted::of(second).expect("requests");
    let mut held_out = Fitted { began: of_second.began, ended: of_second.ended, ..fitted };
    held_out.providers.values_mut().for_each(|seen| seen.behaviour.events.clear());
    let config = serde_yaml::from_str::<serde_yaml::Value>(PLAYED).expect("YAML");
    let text = write(&held_out, config.get("proxy"), Some(folder.path()));
    let scenario = scenario(folder.path(), &text);
    let model = simulate(&scenario, "weighted", None, &environment).expect("simulated");
    let names: Vec<String> = model.providers.iter().map(|provider| provider.name.clone()).collect();
    let was = as_recorded(&scenario.script, &names).expect("readable").expect("recorded");
    assert_eq!(model.requests, was.requests);
    for (model, was) in model.providers.iter().zip(&was.providers) {
        assert!((model.share - was.share).abs() < 0.05, "{}: {} {}", model.name, model.share, was.share);
    }
    for (model, was) in [(model.first_token_ms, was.first_token_ms), (model.latency_ms, was.latency_ms)] {
        assert!(off(model.p50, was.p50) < 0.15 && off(model.p95, was.p95) < 0.25, "{model:?} {was:?}");
    }
    assert!(off(model.cost, was.cost) < 0.1, "{} {}", model.cost, was.cost);
}

#[test]
fn a_scenario_of_rates_is_legal_and_says_what_it_does_not_know() {
    let records = records();
    let fitted = Fitted::of(&records[..400]).expect("requests");
    let text = write(&fitted, None, None);
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = scenario(folder.path(), &text);
    let report = simulate(&scenario, "weighted", None, &environment).expect("simulated");
    assert!(off(report.requests as f64, 400.0) < 0.2, "{}", report.requests);
    assert!(scenario.script.description.contains("no sessions are known"), "{}", scenario.script.description);
}

#[test]
fn nothing_of_a_configuration_that_names_a_place_or_a_key_is_written() {
    let records = records();
    let fitted = Fitted::of(&records[..200]).expect("requests");
    let config = "
providers:
  - {name: quick, base_url: 'https://secret.example/v1', api_key: sk-secret, headers: {x-secret: a}, weight: 3}
  - {name: spare, base_url: 'https://secret.example/v1', api_key: sk-secret}
server: {api_keys: [sk-secret]}
routing: {strategy: weighted}
";
    let config = serde_yaml::from_str(config).expect("YAML");
    let text = write(&fitted, Some(&config), None);
    assert!(!text.contains("secret"), "{text}");
    assert!(text.contains("spare was never asked") && text.contains("weight: 3"), "{text}");
}
