//! `pointsman simulate`, as a user starts it.

use std::process::Command;

use harness::{Process, build_component, workspace};
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
fn a_file_is_where_one_is_and_has_the_config_that_is_given() {
    let folder = TempDir::new().expect("a folder");
    let scenario = "name: x\nduration: 20\ntraffic: {rate: 20}\n\
                    proxy: {providers: [{name: a}, {name: b}], strategies: {weighted: }}\n\
                    providers: {a: &p {first_token: {median: 0.1, p95: 0.2}, tokens_per_second: 80}, b: *p}\n";
    std::fs::create_dir(folder.path().join("scenarios")).expect("writable");
    std::fs::write(folder.path().join("scenarios/x.yaml"), scenario).expect("writable");
    let example = build_component(&workspace().join("strategies/examples/night_shift"), "examples");
    std::fs::copy(example, folder.path().join("night_shift.wasm")).expect("writable");
    let play = |more: &[&str]| {
        let mut command = simulate(&["scenarios/x.yaml", "--strategy", "night_shift.wasm", "--json"]);
        command.args(more).current_dir(folder.path());
        run(command)
    };
    let (code, _, stderr) = play(&[]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("strategy `night_shift.wasm` rejects its configuration"), "{stderr}");
    // A simulation begins at midnight.
    for (provider, others) in [("a", "b"), ("b", "a")] {
        let shift = format!(r#"{{"provider": "{provider}", "from": "00:00", "until": "12:00"}}"#);
        for given in
            [vec!["--config", &shift], vec!["--strategy", "weighted", "--config", &format!("night_shift={shift}")]]
        {
            let (code, stdout, stderr) = play(&given);
            assert_eq!(code, Some(0), "{stderr}");
            let report: Value = serde_json::from_str(&stdout).expect("JSON");
            let share = |name| {
                let providers = report[0]["providers"].as_array().expect("a list");
                providers.iter().find(|one| one["name"] == name).map(|one| one["share"].clone())
            };
            assert_eq!((share(provider), share(others)), (Some(1.0.into()), Some(0.0.into())), "{stdout}");
        }
    }
    let (code, _, stderr) = play(&["--strategy", "weighted", "--config", "{}"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("name the strategy, as in --config NAME="), "{stderr}");
}

#[test]
fn a_wrong_scenario_says_what_would_be_right() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("wrong.yaml");
    std::fs::write(&file, "name: x\nduration: 10\ntraffic: {rte: 5}\nproxy: {}\nproviders: {}\n").expect("writable");
    let (code, _, stderr) = run(simulate(&[file.to_str().expect("text")]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("wrong.yaml:3: traffic.rte: is not a known key\n  help: did you mean `rate`?"), "{stderr}");
    assert!(stderr.contains("proxy.providers: at least one provider is required"), "{stderr}");
    let (code, _, stderr) = run(simulate(&["outage.yaml", "--strategy", "fastest"]));
    assert_eq!(code, Some(2));
    assert!(stderr.starts_with("--strategy fastest: no strategy is called \"fastest\"\n  help: "), "{stderr}");
    let (code, _, stderr) = run(simulate(&["slow_provider.yaml", "--strategy", "cheapest"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("no provider has a price") && stderr.contains("under `proxy.providers`"), "{stderr}");
}

#[test]
fn a_strategy_that_breaks_on_every_call_is_said_on_stderr_and_in_json() {
    let folder = TempDir::new().expect("a folder");
    let misbehave = build_component(&workspace().join("tests/fixtures/components/misbehave"), "fixtures");
    std::fs::copy(misbehave, folder.path().join("panicky.wasm")).expect("writable");
    let file = folder.path().join("panicky.wasm");
    let (code, stdout, stderr) = run(simulate(&[
        "slow_provider.yaml",
        "--requests",
        "50",
        "--json",
        "--strategy",
        file.to_str().expect("text"),
        "--config",
        r#"{"do": "panic"}"#,
    ]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("BROKE: 50 of 50 decisions (100.00 %)") && stderr.contains("misbehaving as told"),
        "{stderr}"
    );
    let report: Value = serde_json::from_str(&stdout).expect("JSON");
    let of = |key: &str| report[0][key].clone();
    assert_eq!((of("faults"), of("refusals"), of("abstentions")), (50.into(), 0.into(), 0.into()), "{stdout}");
}
