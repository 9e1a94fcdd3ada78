//! The way of an author, in each language that `pointsman strategy new` and `pointsman approach new` have a project for: in a
//! folder outside of the repository, with the tools from their registries, along the very lines of the project's README, to
//! live traffic. And the guides of `docs/`, to the letter.
//!
//! Nothing is skipped: `tests/tools` fetches what the machine lacks, and says what would help where it cannot. What is built
//! for the projects is kept below `target/authors`.

mod approaches;
mod guides;
mod libraries;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Mock, Process, Reply, binary, chat_request, eventually, fetch, provider, target, tool};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

/// Both what Rust writes with another character in its files, and a name that all the others take.
const NAME: &str = "eu-first";

/// A line for the shell as an author types it in `folder`, without what the cargo that runs the tests has set.
fn shell(line: &str, folder: &Path) -> Command {
    let mut command = tool("sh");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_this_cargo = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if of_this_cargo.iter().any(|prefix| text.starts_with(prefix)) || text == "RUSTFLAGS" {
            command.env_remove(&name);
        }
    }
    // An author has `pointsman` where the shell finds it.
    let path = command.get_envs().find_map(|(name, value)| value.filter(|_| name == "PATH")).map(OsString::from);
    let path = path.expect("a tool has a PATH");
    let folders = binary().parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(folders).expect("taken from a PATH"));
    command.args(["-c", line]).current_dir(folder);
    command
}

/// Runs a line that must succeed; what it printed, for the failure.
fn must(line: &str, folder: &Path) {
    let began = Instant::now();
    let output = shell(line, folder).output().expect("there is a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "`{line}` fails:\n{}{}", text(&output.stdout), text(&output.stderr));
    show(&format!("{:6.1} s  {line}", began.elapsed().as_secs_f32()));
}

/// Shown with `--nocapture`, and when a test fails.
#[expect(clippy::print_stderr, reason = "the test runner shows it")]
fn show(text: &str) {
    eprintln!("{text}");
}

/// The lines of a shell in a text: its blocks that begin with ```sh, without comments.
fn lines(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let bare = |line: &str| line.split('#').next().unwrap_or(line).trim().to_owned();
    blocks.flat_map(str::lines).map(bare).filter(|line| !line.is_empty()).collect()
}

/// A project that is made.
struct Project {
    /// `strategy` or `approach`.
    kind: &'static str,
    /// The folder that the README puts the component into.
    folder: &'static str,
    name: &'static str,
}

const STRATEGY: Project = Project { kind: "strategy", folder: "strategies", name: NAME };

/// Makes the project in `outside`, and does what its README says up to the component in its folder.
fn build(Project { kind, folder, name }: &Project, language: &str, outside: &Path) -> PathBuf {
    let mut new = Process::command(&[kind, "new", name, "--lang", language]);
    let made = new.current_dir(outside).output().expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains(&format!("cd {name}\n")), "{}", text(&made.stdout));
    let project = outside.join(name);
    if project.join("Cargo.toml").exists() {
        keep_target(&project, &format!("{kind}-{language}"));
    }
    let readme = std::fs::read_to_string(project.join("README.md")).expect("a project has a README");
    // What takes minutes is installed beforehand.
    for line in lines(&readme).iter().filter(|line| !line.starts_with("cargo install")) {
        must(line, &project);
    }
    let component = project.join(format!("{folder}/{name}.wasm"));
    let bytes = std::fs::metadata(&component).expect("the README says how to put it there").len();
    show(&format!("{language}: {:.2} MB", bytes as f64 / 1e6));
    project
}

/// Compiles the dependencies of a project once; at the place that the README names all the same.
fn keep_target(project: &Path, name: &str) {
    let kept = target().join("authors").join(name);
    std::fs::create_dir_all(&kept).expect("target/ is writable");
    std::os::unix::fs::symlink(kept, project.join("target")).expect("a fresh project has none");
}

/// The reason that the answer's header names, and who answered.
async fn ask(process: &Process) -> (String, String) {
    let call = process.call(Method::POST, "/v1/chat/completions").await;
    let answer = call.json(&chat_request()).answer().await;
    (answer.header("x-pointsman-decision").to_owned(), answer.provider().to_owned())
}

/// Builds the project of `language` and claims that traffic follows it.
async fn becomes_a_strategy(language: &'static str) {
    let outside = TempDir::new().expect("a temporary folder");
    let folder = outside.path().to_owned();
    let project = tokio::task::spawn_blocking(move || build(&STRATEGY, language, &folder)).await.expect("it builds");

    let mocks = [("a", "us"), ("b", "eu"), ("c", "eu")];
    let mut started = Vec::new();
    for (name, region) in mocks {
        started.push((Mock::start(name, Reply::chat(name)).await, region));
    }
    let providers: Vec<Value> =
        started.iter().map(|(mock, region)| provider(mock, json!({"labels": {"region": region}}))).collect();
    let config = project.join("proxy_config.yaml");
    let write = |own: Value| {
        let whole = json!({
            "providers": providers,
            "routing": {"strategy": NAME, "health_check": {"enabled": false}},
            "strategies": {NAME: {"config": own}},
            "server": {"watch": false},
            "monitoring": {"explain": true},
        });
        std::fs::write(&config, whole.to_string()).expect("writable");
    };
    let component = project.join(format!("strategies/{NAME}.wasm"));
    let examined = Process::command(&["strategy", "check", component.to_str().expect("text")]).output();
    let examined = String::from_utf8_lossy(&examined.expect("the binary starts").stdout).into_owned();
    assert!(examined.contains("a strategy, contract 0.3.x"), "{examined}");
    let check = || {
        let output = Process::command(&["check", "--config", config.to_str().expect("text")]).output();
        let output = output.expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };

    // Compiles it as well, for the starts to come.
    let began = Instant::now();
    write(json!({"region": "eu"}));
    assert_eq!(check(), (Some(0), String::new()));
    show(&format!("{language}: {:.1} s to compile", began.elapsed().as_secs_f32()));
    for (wrong, complaint) in [
        (json!({"region": "mars"}), "config.region: no target has the label region: mars"),
        (json!({}), "`region`"),
        (json!({"regoin": "eu"}), "unknown field `regoin`"),
        (json!("eu"), "config: "),
    ] {
        write(wrong);
        let (code, stderr) = check();
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("rejects its configuration") && stderr.contains(complaint), "{complaint}: {stderr}");
    }

    write(json!({"region": "eu"}));
    let process = Process::serve(&config);
    let mut order = Vec::new();
    for _ in 0..4 {
        let (decision, provider) = ask(&process).await;
        assert!(decision.contains("in the region"), "{decision}");
        order.push(provider);
    }
    assert_eq!(order, ["b", "c", "b", "c"], "{}", process.stderr());

    write(json!({"region": "us"}));
    process.signal("HUP");
    eventually("the other region goes first", async || ask(&process).await.1 == "a").await;

    write(json!({"region": "mars"}));
    process.signal("HUP");
    eventually("the strategy's sentence is in the log", async || {
        process.stderr().contains("no target has the label region: mars")
    })
    .await;
    assert_eq!(ask(&process).await.1, "a", "what was in force stays so");
    time(language, &process).await;
}

/// Prints what a call took on average, by the host's own count.
async fn time(language: &str, process: &Process) {
    for _ in 0..200 {
        ask(process).await;
    }
    let metrics = process.call(Method::GET, "/metrics").await.answer().await.text();
    let total = |what: &str| -> f64 {
        let series = format!("pointsman_strategy_call_duration_seconds_{what}{{");
        metrics
            .lines()
            .filter(|line| line.starts_with(&series))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    assert!(total("count") >= 200.0, "every call is counted");
    show(&format!("{language}: {:.1} us per call", total("sum") / total("count") * 1e6));
}

#[tokio::test]
async fn a_project_in_rust_becomes_a_strategy() {
    becomes_a_strategy("rust").await;
}

#[tokio::test]
async fn a_project_for_cargo_component_becomes_a_strategy() {
    fetch("cargo_component");
    becomes_a_strategy("cargo-component").await;
}

#[tokio::test]
async fn a_project_in_javascript_becomes_a_strategy() {
    fetch("node");
    becomes_a_strategy("js").await;
}

#[tokio::test]
async fn a_project_in_python_becomes_a_strategy() {
    fetch("venv");
    becomes_a_strategy("python").await;
}
