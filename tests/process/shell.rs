//! What helps at a terminal and in an editor: a first configuration, what is in force, the schema, completions and manuals.

use std::process::Command;

use harness::{Mock, Process, Reply, eventually};
use serde_json::Value;
use tempfile::TempDir;

use super::{NAME, config_for, run, write};

fn within(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Process::command(arguments);
    command.current_dir(folder.path());
    for variable in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "RUST_LOG", "OPTILLM_LOG_LEVEL", "POINTSMAN_CONFIG"] {
        command.env_remove(variable);
    }
    command
}

#[test]
fn init_writes_a_file_that_passes_and_names_the_next_commands() {
    let folder = TempDir::new().expect("a temporary folder");
    let (code, stdout, stderr) = run(within(&folder, &["init", "--provider", "openai", "--schema", "--yes"]));
    assert_eq!(code, Some(0), "{stderr}");
    for part in ["export OPENAI_API_KEY", "pointsman check", "pointsman serve", "curl"] {
        assert!(stdout.contains(part), "{part} is missing in:\n{stdout}");
    }
    let mut check = within(&folder, &["check"]);
    check.env("OPENAI_API_KEY", "sk-never-shown");
    let (code, stdout, stderr) = run(check);
    assert!(code == Some(0) && stdout.contains("openai") && stderr.is_empty(), "{stdout}{stderr}");
    let (code, _, stderr) = run(within(&folder, &["init", "--provider", "openai", "--yes"]));
    assert!(code == Some(2) && stderr.contains("--force"), "{code:?} {stderr}");
    let schema = std::fs::read_to_string(folder.path().join("pointsman.schema.json")).expect("it is there");
    let (_, printed, _) = run(within(&folder, &["schema"]));
    let of = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert_eq!(of(&schema), of(&printed));
    assert_eq!(of(&printed)["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn config_show_tells_each_value_with_its_origin_and_no_secret() {
    let folder = TempDir::new().expect("a temporary folder");
    let text = "providers:\n  - name: a\n    base_url: http://a/v1\n    api_key: ${SHOWN_KEY}\nserver:\n  port: ${SHOWN_PORT}\n";
    write(&folder.path().join(NAME), text);
    let shown = |arguments: &[&str]| {
        let mut command = within(&folder, &[&["config", "show"], arguments].concat());
        command.env("SHOWN_KEY", "sk-never-shown").env("SHOWN_PORT", "9001");
        let (code, stdout, stderr) = run(command);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(!stdout.contains("never-shown"), "{stdout}");
        stdout
    };
    let line = |all: &str, key: &str| {
        let found = all.lines().find(|line| line.split_whitespace().next() == Some(key));
        found.unwrap_or_else(|| panic!("{key} is missing in:\n{all}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let all = shown(&["--host", "0.0.0.0"]);
    assert_eq!(line(&all, "providers[a].api_key"), "providers[a].api_key *** line 4, environment variable SHOWN_KEY");
    assert_eq!(line(&all, "server.port"), "server.port 9001 line 6, environment variable SHOWN_PORT");
    assert_eq!(line(&all, "server.host"), "server.host 0.0.0.0 --host");
    assert_eq!(line(&all, "queue.timeout"), "queue.timeout 60 default");
    let set = shown(&["--set"]);
    assert!(!set.contains("default") && set.contains("server.port"), "{set}");
    let json: Value = serde_json::from_str(&shown(&["--json"])).expect("JSON");
    let settings = json["settings"].as_array().expect("a list");
    let port = settings.iter().find(|setting| setting["key"] == "server.port").expect("the port");
    assert_eq!((&port["value"], &port["line"]), (&Value::from("9001"), &Value::from(6)));
    // The defaults need no configuration.
    let empty = TempDir::new().expect("a temporary folder");
    let (code, stdout, stderr) = run(within(&empty, &["config", "show", "--defaults"]));
    assert!(code == Some(0) && stdout.contains("routes[].hedge.at_most"), "{stderr}");
}

#[tokio::test]
async fn config_show_tells_what_a_running_server_has_in_force_after_a_reload() {
    let a = Mock::start("swift", Reply::chat("a")).await;
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join(NAME);
    write(&file, &config_for(&a, "queue: {timeout: 7}\n"));
    let server = Process::serve(&file);
    let url = format!("http://{}", server.address().await);
    let shown = || {
        let (code, stdout, stderr) = run(within(&folder, &["config", "show", "--url", &url, "--set"]));
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    let all = shown();
    assert!(all.contains("queue.timeout") && all.contains("--port") && !all.contains(harness::KEY), "{all}");
    write(&file, &config_for(&a, "queue: {timeout: 8}\n"));
    eventually("the new value is in force", async || shown().contains("generation 2")).await;
    let line = shown().lines().find(|line| line.starts_with("queue.timeout")).expect("there").to_owned();
    assert!(line.contains(" 8 "), "{line}");
}

#[test]
fn bash_completes_commands_and_flags() {
    let folder = TempDir::new().expect("a temporary folder");
    let (code, script, stderr) = run(within(&folder, &["completions", "bash"]));
    assert_eq!(code, Some(0), "{stderr}");
    write(&folder.path().join("completions"), &script);
    let completed = |words: &[&str]| {
        let last = words.last().expect("a word");
        let before = words[words.len() - 2];
        let line = format!(
            "source completions; COMP_WORDS=({}); COMP_CWORD={}; _pointsman pointsman '{last}' '{before}'; echo \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &line]).current_dir(folder.path());
        let (code, stdout, stderr) = run(bash);
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    assert_eq!(completed(&["pointsman", "com"]).trim(), "completions");
    assert!(completed(&["pointsman", "serve", "--"]).contains("--config"));
    assert!(completed(&["pointsman", "config", "show", "--de"]).contains("--defaults"));
    assert!(!completed(&["pointsman", ""]).contains("compile-component"), "a hidden command is offered");
    for (shell, part) in
        [("zsh", "#compdef pointsman"), ("fish", "complete -c pointsman"), ("powershell", "Register-ArgumentCompleter")]
    {
        let (code, script, _) = run(within(&folder, &["completions", shell]));
        assert!(code == Some(0) && script.contains(part) && script.contains("simulate"), "{shell}");
    }
}

#[test]
fn there_is_a_page_of_the_manual_for_every_command() {
    let folder = TempDir::new().expect("a temporary folder");
    let (code, stdout, stderr) = run(within(&folder, &["man", "--dir", "pages"]));
    assert!(code == Some(0) && stdout.contains("pages"), "{stderr}");
    let page = |name: &str| std::fs::read_to_string(folder.path().join("pages").join(name));
    for name in ["pointsman.1", "pointsman-serve.1", "pointsman-config-show.1", "pointsman-strategy-new.1"] {
        let text = page(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains(".TH") && text.contains(".SH SYNOPSIS"), "{name}: {text}");
    }
    assert!(page("pointsman-compile-component.1").is_err(), "a hidden command has a page");
    let (_, main, _) = run(within(&folder, &["man"]));
    assert_eq!(main, page("pointsman.1").expect("there"));
    // As readers see it, where the machine has a formatter.
    if Command::new("groff").arg("--version").output().is_ok() {
        let mut groff = Command::new("groff");
        groff.args(["-man", "-Tascii", "-P-bcou", "-ww", "pages/pointsman-serve.1"]).current_dir(folder.path());
        let (code, stdout, stderr) = run(groff);
        assert!(code == Some(0) && stderr.is_empty() && stdout.contains("SYNOPSIS"), "{stderr}");
    }
}
