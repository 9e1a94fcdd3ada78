//! `pointsman simulate`, as a user starts it.

use std::process::Command;

use harness::{Process, workspace};
use serde_json::Value;
use tempfile::TempDir;

use super::run;

fn simulate(arguments: &[&str]) -> Command {
    let mut command = Process::command(&["simulate"]);
    command.args(arguments).current_dir(workspace().join("scenarios"));
    command
}

#[test]
fn strategies_are_compared_in_a_table() {
    let (code, stdout, stderr) = run(simulate(&[
        "slow_provider.yaml",
        "--requests",
        "500",
        "--strategy",
        "weighted",
        "--strategy",
        "least_latency",
    ]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("A slow provider\n"), "{stdout}");
    for strategy in ["weighted", "least_latency"] {
        let row = stdout.lines().find(|line| line.starts_with(strategy)).expect("a row of its own");
        assert!(row.contains("500 (100.00 %)"), "{row}");
        assert!(stderr.contains(&format!("{strategy}: 500 requests in ")), "{stderr}");
    }
}

#[test]
fn the_same_seed_prints_the_same_bytes() {
    let report = |seed| {
        let (code, stdout, stderr) = run(simulate(&["outage.yaml", "--requests", "400", "--seed", seed, "--json"]));
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    assert_eq!(report("5"), report("5"));
    assert_ne!(report("5"), report("6"));
    let report: Value = serde_json::from_str(&report("5")).expect("JSON");
    assert_eq!(
        (&report[0]["strategy"], &report[0]["requests"], &report[0]["seed"]),
        (&"round_robin".into(), &400.into(), &5.into())
    );
}

#[test]
fn the_page_stands_alone() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("report.html");
    let html = file.to_str().expect("text");
    let (code, _, stderr) = run(simulate(&[
        "burst.yaml",
        "--requests",
        "400",
        "--strategy",
        "affinity",
        "--strategy",
        "least_busy",
        "--html",
        html,
    ]));
    assert_eq!(code, Some(0), "{stderr}");
    let page = std::fs::read_to_string(&file).expect("written");
    assert!(page.starts_with("<!doctype html>") && page.contains("gpu-1") && page.contains("affinity"), "{page}");
}

#[test]
fn a_wrong_scenario_says_what_would_be_right() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("wrong.yaml");
    std::fs::write(&file, "name: x\nduration: 10\ntraffic: {rte: 5}\nproxy: {}\nproviders: {}\n").expect("writable");
    let (code, _, stderr) = run(simulate(&[file.to_str().expect("text")]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("wrong.yaml: traffic.rte: unknown field `rte`, expected one of `rate`"), "{stderr}");
    let (code, _, stderr) = run(simulate(&["outage.yaml", "--strategy", "fastest"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("no strategy is called \"fastest\""), "{stderr}");
}
