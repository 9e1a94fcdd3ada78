//! `pointsman approach list`, `check`, `inspect`, `test` and `run`, as an author starts them.

use std::path::{Path, PathBuf};

use harness::{Mock, Process, Reply, build_component, workspace};
use serde_json::Value;
use tempfile::TempDir;

use super::{NAME, config_for, folder_with, run, write};

fn approach(arguments: &[&str]) -> (Option<i32>, String, String) {
    run(Process::command(&[&["approach"], arguments].concat()))
}

fn report(arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, stdout, stderr) = approach(&[arguments, &["--json"]].concat());
    let report = serde_json::from_str(&stdout);
    assert!(report.is_ok(), "{stdout}{stderr}");
    (code, report.expect("just seen"))
}

/// The approach that does as it is told.
fn asker() -> PathBuf {
    build_component(&workspace().join("tests/fixtures/components/asker"), "fixtures")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn list_has_what_is_built_in_and_what_lies_beside_the_configuration() {
    let (code, stdout, stderr) = approach(&["list"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    for expected in ["bon\n  Asks for several answers", "\n    best_of_n: How many", "\nre2\n", "\nself_consistency\n"]
    {
        assert!(stdout.contains(expected), "{expected:?}: {stdout}");
    }

    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join(NAME);
    let write = |name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(folder.path().join("approaches")).expect("writable");
        std::fs::write(folder.path().join(name), bytes).expect("writable");
    };
    assert_eq!(approach(&["list", "--config", text(&config)]).0, Some(2), "there is no such file");
    write(NAME, b"providers: [{name: a, base_url: 'http://a/v1', api_key: k}]\n");
    write("approaches/mine.wasm", &std::fs::read(asker()).expect("built"));
    let (code, listed) = report(&["list", "--config", text(&config)]);
    let approaches = listed["approaches"].as_array().expect("a list");
    let mine = approaches.iter().find(|listed| listed["name"] == "mine").expect("it is listed");
    assert_eq!((code, &mine["version"], &mine["many"]), (Some(0), &"1.0".into(), &true.into()), "{mine}");
    assert_eq!(mine["options"][0]["name"], "asker_times");
    assert!(mine["file"].as_str().is_some_and(|file| file.ends_with("approaches/mine.wasm")), "{mine}");
    assert!(approaches.len() > 16 && approaches[0]["file"].is_null(), "{listed}");

    write("approaches/mine.wasm", b"nothing");
    let (code, stdout, _) = approach(&["list", "--config", text(&config)]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("error: does not load: is not WebAssembly"), "{stdout}");
}

#[test]
fn check_says_what_an_approach_is() {
    let (code, report) = report(&["check", text(&asker())]);
    assert_eq!((code, &report["ok"], &report["contract"]), (Some(0), &true.into(), &"0.1.x".into()), "{report}");
    assert_eq!((&report["name"], &report["version"]), (&"asker".into(), &"1.0".into()));
    assert_eq!(report["sha256"].as_str().map(str::len), Some(64));
    assert!(report["exports"].as_array().expect("a list").contains(&"pointsman:approach/runner@0.1.0".into()));
    let imports = report["imports"].as_array().expect("a list");
    assert!(imports.iter().all(|import| import["class"] == "granted") && !imports.is_empty(), "{report}");
    let (code, stdout, _) = approach(&["check", text(&asker())]);
    assert_eq!(code, Some(0));
    for expected in ["an approach, contract 0.1.x", "granted    pointsman:approach/llm@0.1.0", "name      asker 1.0"] {
        assert!(stdout.contains(expected), "{expected:?}: {stdout}");
    }
}

#[test]
fn each_kind_of_wrong_file_has_its_code_and_a_remedy() {
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writable");
        path
    };
    let whole = std::fs::read(asker()).expect("built");
    // The same component, as if it had been built for a version to come.
    let mut later = whole.clone();
    for at in 0..later.len() - 5 {
        if later[at..].starts_with(b"@0.1.0") {
            later[at + 3] = b'9';
        }
    }
    let cases = [
        ("not-wasm", file("text.wasm", b"(module)")),
        ("core-module", file("core.wasm", b"\0asm\x01\0\0\0")),
        ("not-an-approach", file("empty.wasm", b"\0asm\x0d\0\x01\0")),
        ("invalid", file("cut.wasm", &whole[..whole.len() / 2])),
        ("version", file("later.wasm", &later)),
        ("unreadable", folder.path().join("missing.wasm")),
        ("not-built-in", PathBuf::from("bom")),
        ("other-kind", workspace().join("tests/fixtures/previous/weighted-0.1.0.wasm")),
    ];
    for (expected, path) in cases {
        let (code, report) = report(&["check", text(&path)]);
        assert_eq!(code, Some(1), "{report}");
        let problem = &report["problems"][0];
        assert_eq!(problem["code"], expected, "{report}");
        assert!(problem["remedy"].as_str().is_some_and(|remedy| remedy.len() > 20), "{report}");
        for command in ["inspect", "test"] {
            assert_eq!(approach(&[command, text(&path)]).0, Some(1), "{command} of {}", path.display());
        }
    }
}

#[test]
fn options_can_be_checked() {
    let (code, accepted) = report(&["check", "bon", "--options", r#"{"best_of_n": 5}"#]);
    assert_eq!((code, &accepted["options"]), (Some(0), &"accepted".into()), "{accepted}");
    let (code, rejected) = report(&["check", "bon", "--options", r#"{"best_of_n": 0}"#]);
    assert_eq!((code, &rejected["problems"][0]["code"]), (Some(1), &"rejects-config".into()), "{rejected}");
    let (code, stdout, _) = approach(&["inspect", "bon", "--options", r#"{"bets_of_n": 5}"#]);
    assert_eq!(code, Some(1));
    assert!(stdout.contains("config    not accepted") && stdout.contains("unknown field `bets_of_n`"), "{stdout}");
    for wrong in ["{", "[]"] {
        let (code, _, stderr) = approach(&["check", "bon", "--options", wrong]);
        assert_eq!(code, Some(2));
        assert!(stderr.starts_with("--options: "), "{stderr}");
    }
}

#[test]
fn inspect_says_what_an_approach_can_do() {
    let (code, report) = report(&["inspect", "bon"]);
    let inspection = &report["inspection"];
    assert_eq!((code, &inspection["tools"], &inspection["many"]), (Some(0), &true.into(), &false.into()), "{report}");
    assert_eq!(inspection["options"][0]["name"], "best_of_n");
    assert!(inspection["compile_ms"].as_f64() > Some(0.0));
    let (_, stdout, _) = approach(&["inspect", "re2"]);
    for expected in ["says      Has the model read", "many      one run gives", "tools     it works with", "compile   "]
    {
        assert!(stdout.contains(expected), "{expected:?}: {stdout}");
    }
}

#[test]
fn all_built_in_approaches_keep_the_contract() {
    let (_, listed) = report(&["list"]);
    let names = listed["approaches"].as_array().expect("a list").iter();
    for name in names.map(|listed| listed["name"].as_str().expect("text")) {
        let fixtures = workspace().join("approaches").join(name).join("fixtures");
        let (code, report) = report(&["test", name, "--fixtures", text(&fixtures)]);
        assert_eq!((code, &report["holds"]), (Some(0), &true.into()), "{name}: {report:#}");
        assert!(report["claims"].as_array().map(Vec::len) >= Some(8), "{name}: {report}");
        let played = report["fixtures"].as_array().expect("a list");
        assert!(!played.is_empty() && played.iter().all(|fixture| fixture["holds"] == true), "{name}: {report}");
    }
}

#[test]
fn a_claim_that_does_not_hold_says_what_was_asked_and_what_came() {
    let (code, stdout, _) = approach(&["test", text(&asker()), "--options", r#"{"do": "panic"}"#]);
    assert_eq!(code, Some(1), "{stdout}");
    for expected in [
        "FAIL  it accepts its own options, and no others",
        "FAIL  it answers any conversation",
        "a question, n = 1, stream = false",
        "trapped",
        "as commanded",
        "claims do not hold",
    ] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let (code, report) = report(&["test", text(&asker()), "--options", r#"{"do": "fail"}"#]);
    let claims = report["claims"].as_array().expect("a list").iter();
    let broken: Vec<_> = claims.filter(|claim| claim["holds"] == false).collect();
    assert!(code == Some(1) && !broken.is_empty(), "{report:#}");
}

#[test]
fn a_fixture_that_does_not_hold_says_what_came_instead() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writable");
    let given = ["test", "re2", "--fixtures", text(folder.path())];
    let (code, _, stderr) = approach(&given);
    assert_eq!(code, Some(2), "an empty folder tries nothing");
    assert!(stderr.contains("no file there ends in .json"), "{stderr}");

    let fixture = |name: &str, expect: &str| {
        format!(
            r#"{{"name": "{name}", "request": {{"messages": [{{"role": "user", "content": "2+2?"}}]}},
                "model": [{{"reply": "4"}}], "expect": {expect}}}"#
        )
    };
    write("a.json", &fixture("it is asked once", r#"{"content": "4", "calls": 1}"#));
    write("b.json", &fixture("it is asked twice", r#"{"calls": 2}"#));
    write("c.json", &fixture("x", r#"{"clals": 2}"#));
    let (code, stdout, _) = approach(&given);
    assert_eq!(code, Some(1), "{stdout}");
    for expected in [
        "ok    it is asked once",
        "a.json: 1 question",
        "FAIL  it is asked twice",
        "calls: 2 is expected, and this came: 1",
        "FAIL  it cannot be understood",
        "unknown field `clals`",
        "it keeps the contract",
        "2 of 3 fixtures do not hold",
    ] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let (code, report) = report(&given);
    let holds: Vec<_> = report["fixtures"].as_array().expect("a list").iter().map(|played| &played["holds"]).collect();
    assert_eq!((code, holds), (Some(1), vec![&true.into(), &false.into(), &false.into()]), "{report}");
    assert_eq!(report["fixtures"][0]["questions"], 1);
}

#[tokio::test]
async fn run_asks_through_the_proxy_of_a_configuration_and_says_what_it_took() {
    let a = Mock::start("a", Reply::chat("Four.")).await;
    let locked = "server: {api_keys: [a-key-of-the-server], port: 1}\n";
    let folder = folder_with(NAME, &a, locked);
    let config = folder.path().join(NAME);
    let ask = async |named: &str, more: &[&str]| {
        let given = ["run", named, "What is 2+2?", "--model", "gpt-4", "--config", text(&config)];
        let mut command = Process::command(&[&["approach"], &given[..], more].concat());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, stdout, stderr) = ask("re2", &[]).await;
    assert_eq!((code, stdout.as_str()), (Some(0), "Four.\n"), "{stderr}");
    assert!(stderr.starts_with("re2: 1 call, 1 choice, 0."), "{stderr}");
    let asked = a.only_request().json();
    assert_eq!(asked["model"], "gpt-4");
    assert_eq!(asked["messages"][0]["content"], "What is 2+2?\n\nRead the question again: What is 2+2?");

    // A file, with options; and a configuration that names others.
    write(&config, &config_for(&a, &format!("{locked}approach: {{allow: [re2]}}\n")));
    let (code, stdout, stderr) = ask(text(&asker()), &["--options", r#"{"do": "chat", "times": 2}"#]).await;
    assert_eq!((code, stdout.as_str()), (Some(0), "Four.\n"), "{stderr}");
    assert!(stderr.starts_with("asker: 2 calls, 2 choices, "), "{stderr}");
    let (code, _, stderr) = ask(text(&asker()), &["--options", r#"{"do": "panic"}"#]).await;
    assert!(code == Some(1) && stderr.starts_with("asker: 502 "), "{code:?}: {stderr}");
    for (wrong, complaint) in
        [("bon", "`approach.allow` leaves it out"), ("re2&", "is not an approach"), ("bom", "bom")]
    {
        let (code, _, stderr) = ask(wrong, &[]).await;
        assert!(code == Some(2) && stderr.contains(complaint), "{wrong}: {code:?}: {stderr}");
    }
    a.follow(Reply::error(400, "no such model"));
    let (code, stdout, stderr) = ask("re2", &[]).await;
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("400") && stderr.contains("no such model"), "{stderr}");
}
