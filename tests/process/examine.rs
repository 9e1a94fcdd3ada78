//! `pointsman strategy check`, `inspect` and `test`, as an author starts them.

use std::path::{Path, PathBuf};

use harness::{Process, build_component, workspace};
use serde_json::Value;
use tempfile::TempDir;

use super::cache::with_cache;
use super::run;

fn strategy(command: &str, file: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let mut process = Process::command(&["strategy", command, file.to_str().expect("text")]);
    process.args(more);
    run(process)
}

fn report(command: &str, file: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let (code, stdout, stderr) = strategy(command, file, &[more, &["--json"]].concat());
    let report = serde_json::from_str(&stdout);
    assert!(report.is_ok(), "{stdout}{stderr}");
    (code, report.expect("just seen"))
}

fn fixture(name: &str) -> PathBuf {
    build_component(&workspace().join("tests/fixtures/components").join(name), "fixtures")
}

fn previous() -> PathBuf {
    workspace().join("tests/fixtures/previous/weighted-0.1.0.wasm")
}

#[test]
fn check_says_what_a_strategy_is() {
    let (code, report) = report("check", &previous(), &[]);
    assert_eq!((code, &report["ok"], &report["contract"]), (Some(0), &true.into(), &"0.1.x".into()), "{report}");
    assert_eq!(report["sha256"].as_str().map(str::len), Some(64));
    assert!(report["exports"].as_array().expect("a list").contains(&"pointsman:strategy/router@0.1.0".into()));
    let imports = report["imports"].as_array().expect("a list");
    assert!(imports.iter().all(|import| import["class"] != "forbidden") && !imports.is_empty(), "{report}");
    let (code, stdout, _) = strategy("check", &previous(), &[]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("a strategy, contract 0.1.x") && stdout.contains("inert"), "{stdout}");
}

#[test]
fn each_kind_of_wrong_file_has_its_code_and_a_remedy() {
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writable");
        path
    };
    let whole = std::fs::read(previous()).expect("there");
    // The same component, as if it had been built for a version to come.
    let mut later = whole.clone();
    for at in 0..later.len() - 5 {
        if later[at..].starts_with(b"@0.1.0") {
            later[at + 3] = b'9';
        }
    }
    let large = folder.path().join("large.wasm");
    let sparse = std::fs::File::create(&large).expect("writable");
    sparse.set_len((64 << 20) + 1).expect("sparse");
    let cases = [
        ("not-wasm", file("text.wasm", b"(module)")),
        ("core-module", file("core.wasm", b"\0asm\x01\0\0\0")),
        ("not-a-strategy", file("empty.wasm", b"\0asm\x0d\0\x01\0")),
        ("invalid", file("cut.wasm", &whole[..whole.len() / 2])),
        ("version", file("later.wasm", &later)),
        ("too-large", large),
        ("unreadable", folder.path().join("missing.wasm")),
        ("not-a-strategy", fixture("stranger")),
        ("forbidden-import", fixture("needy")),
    ];
    for (expected, path) in cases {
        let (code, report) = report("check", &path, &[]);
        assert_eq!(code, Some(1), "{report}");
        let problem = &report["problems"][0];
        assert_eq!(problem["code"], expected, "{report}");
        assert!(problem["remedy"].as_str().is_some_and(|remedy| remedy.len() > 20), "{report}");
        for command in ["inspect", "test"] {
            assert_eq!(strategy(command, &path, &[]).0, Some(1), "{command} of {}", path.display());
        }
    }
}

#[test]
fn a_config_can_be_checked() {
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("proxy_config.yaml");
    let write = |percent: &str| {
        let text = format!(
            "providers:\n  - {{name: old, base_url: 'http://a/v1', api_key: k}}\n  - {{name: new, base_url: 'http://a/v1', api_key: k}}\n\
             routing: {{strategy: canary}}\nstrategies: {{canary: {{config: {{provider: new, percent: {percent}}}}}}}\n"
        );
        std::fs::write(&config, text).expect("writable");
    };
    let canary = Path::new("canary");
    let given = ["--proxy-config", config.to_str().expect("text")];
    write("5");
    let (code, accepted) = report("check", canary, &given);
    assert_eq!((code, &accepted["config"]), (Some(0), &"accepted".into()), "{accepted}");
    write("500");
    let (code, rejected) = report("check", canary, &given);
    assert_eq!((code, &rejected["problems"][0]["code"]), (Some(1), &"rejects-config".into()), "{rejected}");
    let rejected = strategy("inspect", canary, &[&given[..], &["--json"]].concat());
    let rejected: Value = serde_json::from_str(&rejected.1).expect("JSON");
    assert_eq!(
        (&rejected["ok"], rejected["problems"].as_array().map(Vec::len)),
        (&false.into(), Some(1)),
        "{rejected}"
    );
    // Named under `strategies`, not chosen.
    let text = std::fs::read_to_string(&config).expect("there").replace("strategy: canary", "strategy: weighted");
    std::fs::write(&config, text.replace("500", "50")).expect("writable");
    assert_eq!(strategy("check", canary, &given).0, Some(0));
    let (code, stdout, _) = strategy("check", canary, &["--config", r#"{"provider": "p1", "percent": 3}"#]);
    assert_eq!(code, Some(0), "{stdout}");
    assert_eq!(strategy("check", canary, &["--config", "{"]).0, Some(2));
}

#[test]
fn inspect_says_what_a_strategy_does() {
    let (code, report) = report("inspect", Path::new("least_latency"), &[]);
    let inspection = &report["inspection"];
    assert_eq!(
        (code, &inspection["name"], &inspection["observes"]),
        (Some(0), &"least_latency".into(), &true.into()),
        "{report}"
    );
    assert_eq!((&inspection["calls"][3]["candidates"], &inspection["stateless"]), (&1000.into(), &false.into()));
    assert!(
        inspection["memory"].as_u64().is_some_and(|bytes| bytes > 100_000)
            && inspection["compile_ms"].as_f64() > Some(0.0)
    );
    let (_, stdout, _) = strategy("inspect", Path::new("least_latency"), &[]);
    assert!(stdout.contains("the earlier answer of two") && stdout.contains("1000 candidates"), "{stdout}");
}

#[test]
fn all_built_in_strategies_keep_the_contract() {
    let names = [
        "affinity",
        "canary",
        "cheapest",
        "failover",
        "least_busy",
        "least_latency",
        "round_robin",
        "rules",
        "weighted",
    ];
    for name in names {
        let config = match name {
            "canary" => r#"{"provider": "p0", "percent": 10}"#,
            "rules" => r#"{"rules": [{"when": {"streaming": true}, "prefer": "p0"}]}"#,
            _ => "{}",
        };
        let fixtures = workspace().join("strategies").join(name).join("fixtures");
        let given = ["--config", config, "--fixtures", fixtures.to_str().expect("text")];
        let (code, report) = report("test", Path::new(name), &given);
        assert_eq!((code, &report["holds"]), (Some(0), &true.into()), "{name}: {report:#}");
        // One that learns does not say that it keeps no state.
        let claims = if name == "least_latency" { 8 } else { 9 };
        assert_eq!(report["claims"].as_array().map(Vec::len), Some(claims), "{name}: {report}");
        let played = report["fixtures"].as_array().expect("a list");
        assert!(!played.is_empty() && played.iter().all(|fixture| fixture["holds"] == true), "{name}: {report}");
    }
}

#[test]
fn the_worked_examples_do_what_their_fixtures_say() {
    let examples = [
        ("budgets", 8, "a_day.json: 4 decisions"),
        ("night_shift", 9, "shift.json: 105 decisions"),
        ("office_hours", 8, "a_day.json: 4 decisions"),
        ("tenants", 9, "gold.json: 103 decisions"),
        ("tokens_per_minute", 9, "minute.json: 202 decisions"),
    ];
    for (name, claims, played) in examples {
        let example = workspace().join("strategies/examples").join(name);
        let fixtures = example.join("fixtures");
        let given = ["--fixtures", fixtures.to_str().expect("text")];
        let (code, stdout, stderr) = strategy("test", &build_component(&example, "examples"), &given);
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        // The config and the targets of the fixture that starts served for the claims as well.
        assert!(stdout.contains(&format!("it keeps the contract: {claims} claims hold")), "{stdout}");
        assert!(stdout.contains(played) && stdout.contains("it does what 2 fixtures say"), "{stdout}");
    }
}

#[test]
fn a_fixture_that_does_not_hold_says_what_was_asked_and_what_came() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writable");
    let given = ["--fixtures", folder.path().to_str().expect("text")];
    let failover = Path::new("failover");
    let (code, _, stderr) = strategy("test", failover, &given);
    assert_eq!(code, Some(2), "an empty folder tries nothing");
    assert!(stderr.contains("no file there ends in .json"), "{stderr}");

    write("wrong.json", r#"{"name": "b goes first", "providers": ["a", "b"], "steps": [{"expect": {"first": "b"}}]}"#);
    write("slip.json", r#"{"name": "x", "providers": ["a"], "steps": [{"expects": {"first": "a"}}]}"#);
    write("good.json", r#"{"name": "a goes first", "providers": ["a", "b"], "steps": [{"expect": {"first": "a"}}]}"#);
    let (code, stdout, _) = strategy("test", failover, &given);
    assert_eq!(code, Some(1), "{stdout}");
    for expected in [
        "ok    a goes first",
        "FAIL  b goes first",
        r#"steps[0]: the order is ["a", "b"], because "unspecified"; expected first ["b"]"#,
        r#"asked {"seq":0,"#,
        "FAIL  it cannot be understood",
        "steps[0].expects: unknown field `expects`",
        "2 of 3 fixtures do not hold",
    ] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let (code, report) = report("test", failover, &given);
    assert_eq!((code, &report["holds"]), (Some(1), &false.into()), "{report}");
    let holds: Vec<_> = report["fixtures"].as_array().expect("a list").iter().map(|played| &played["holds"]).collect();
    assert_eq!(holds, [true, false, false], "in the order of the files' names: {report}");
}

#[test]
fn what_only_shows_when_it_runs_has_its_code_too() {
    let misbehave = fixture("misbehave");
    for (command, on, expected) in [
        ("check", "init", "broke"),
        ("check", "route", "unfit"),
        ("check", "observe", "unfit"),
        ("inspect", "route", "unfit"),
    ] {
        let config = format!(r#"{{"on": "{on}", "do": "panic"}}"#);
        let (code, report) = report(command, &misbehave, &["--config", &config]);
        assert_eq!((code, &report["problems"][0]["code"]), (Some(1), &expected.into()), "{report}");
    }

    // As if its author had changed the WIT: a field of another name.
    let folder = TempDir::new().expect("a folder");
    let mut changed = std::fs::read(previous()).expect("there");
    let (field, other) = (b"body-bytes", b"body-lines");
    for at in 0..changed.len() - field.len() {
        if changed[at..].starts_with(field) {
            changed[at..at + other.len()].copy_from_slice(other);
        }
    }
    let file = folder.path().join("changed.wasm");
    std::fs::write(&file, changed).expect("writable");
    for given in [&["--config", "{}"][..], &[]] {
        let (code, problem) = report("check", &file, given);
        assert_eq!((code, &problem["problems"][0]["code"]), (Some(1), &"mismatch".into()), "{problem}");
        let message = problem["problems"][0]["message"].as_str().expect("a text");
        assert!(message.contains("expected record field named body-bytes, found body-lines"), "{message}");
    }
}

#[test]
fn a_strategy_that_wants_a_config_passes_check_and_says_how_it_is_given_one() {
    let (code, stdout, _) = strategy("check", Path::new("canary"), &[]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(
        stdout.contains("none was given, but the strategy needs one") && stdout.contains("--proxy-config"),
        "{stdout}"
    );
    let (code, report) = report("inspect", Path::new("canary"), &[]);
    assert_eq!((code, &report["problems"][0]["code"]), (Some(1), &"rejects-config".into()), "{report}");
    let remedy = report["problems"][0]["remedy"].as_str().expect("a text");
    assert!(remedy.contains("--config") && remedy.contains("--proxy-config"), "{remedy}");
}

#[test]
fn check_and_serve_refuse_a_strategy_that_panics_when_it_is_tried() {
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("proxy_config.yaml");
    let text = format!(
        "providers:\n  - {{name: a, base_url: 'http://127.0.0.1:9/v1', api_key: k}}\nrouting: {{strategy: panicky}}\n\
         strategies: {{panicky: {{path: '{}', config: {{do: panic}}}}}}\n",
        fixture("misbehave").display()
    );
    std::fs::write(&config, text).expect("writable");
    let config = config.to_str().expect("text");
    for command in [&["check"][..], &["serve", "--port", "0"]] {
        let (code, _, stderr) = run(Process::command(&[command, &["--config", config]].concat()));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(
            stderr.contains("proxy_config.yaml:3: routing.strategy") && stderr.contains("misbehaving as told"),
            "{stderr}"
        );
    }
}

#[test]
fn machine_code_is_told_from_webassembly() {
    let folder = TempDir::new().expect("a folder");
    let cache = folder.path().join("cache");
    let compiles = Process::command(&["strategy", "test", "failover"]);
    assert_eq!(run(with_cache(compiles, &cache)).0, Some(0));
    let kept = std::fs::read_dir(&cache).expect("it was kept").next().expect("one file").expect("readable").path();
    let kept = std::fs::read(kept).expect("readable");
    let begin = kept.windows(4).position(|window| window == b"\x7fELF").expect("it is an ELF file");
    let file = folder.path().join("failover.cwasm");
    std::fs::write(&file, &kept[begin..]).expect("writable");
    let (code, report) = report("check", &file, &[]);
    assert_eq!((code, &report["problems"][0]["code"]), (Some(1), &"precompiled".into()), "{report}");
}
