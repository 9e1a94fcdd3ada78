//! Reloads and ends while a component compiles: nobody waits for what nobody wants any more.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{Answer, Mock, Process, Reply, eventually, misbehave, spawn};
use http::Method;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::compile::of_functions;
use super::{NAME, write};

/// Functions that take the compiler half a minute, if it is not ended, and more memory than it may have in the end.
const MANY: usize = 400_000;

/// A time that is short beside the one that the component takes.
const SOON: Duration = Duration::from_secs(20);

/// A folder with a configuration, and a component that takes its time.
struct Scene {
    folder: TempDir,
    base_url: String,
    _provider: Mock,
}

impl Scene {
    async fn new() -> Self {
        let provider = Mock::start("a", Reply::chat("a")).await;
        let folder = TempDir::new().expect("a temporary folder");
        let scene = Self { folder, base_url: provider.base_url(), _provider: provider };
        scene.configure("failover", "");
        std::fs::write(scene.component(), of_functions(MANY)).expect("writable");
        scene
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    fn component(&self) -> PathBuf {
        self.folder.path().join("heavy.wasm")
    }

    fn configure(&self, strategy: &str, rest: &str) {
        let provider = format!("providers:\n  - {{name: a, base_url: '{}', api_key: k}}\n", self.base_url);
        let declared = "strategies: {heavy: {path: heavy.wasm, config: {}}}\n";
        let text = format!("{provider}routing: {{strategy: {strategy}}}\n{declared}{rest}");
        let draft = self.folder.path().join("draft");
        write(&draft, &text);
        std::fs::rename(draft, self.config()).expect("writable");
    }

    fn serve(&self) -> Process {
        let config = self.config();
        let mut command = Process::command(&["serve", "--port", "0", "--config", config.to_str().expect("text")]);
        command.env("POINTSMAN_CACHE", "off");
        Process::start(command)
    }
}

/// The processes that compile for this one.
fn compilers(of: &Process) -> Vec<OsString> {
    let is_child = |folder: &Path| {
        let status = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
        let arguments = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim);
        parent == Some(&of.id().to_string()) && String::from_utf8_lossy(&arguments).contains("compile-component")
    };
    let all = std::fs::read_dir("/proc").expect("this is Linux").flatten();
    all.filter(|entry| is_child(&entry.path())).map(|entry| entry.file_name()).collect()
}

async fn compiles(process: &Process) {
    eventually("a component is compiled", || async { compilers(process).len() == 1 }).await;
}

/// Asks for a reload, and goes on.
async fn reload(process: &Process) -> JoinHandle<Answer> {
    let call = process.call(Method::POST, "/admin/reload").await;
    spawn(call.answer())
}

#[tokio::test]
async fn a_newer_reload_waits_for_no_older_one_and_both_who_asked_get_its_outcome() {
    let scene = Scene::new().await;
    let process = scene.serve();
    process.listening_line().await;
    scene.configure("heavy", "server: {watch: false}\n");
    let older = reload(&process).await;
    compiles(&process).await;
    scene.configure("round_robin", "server: {watch: false}\n");
    let began = Instant::now();
    let newer = reload(&process).await;
    for asked in [newer, older] {
        let answer = asked.await.expect("answered");
        assert_eq!((answer.status, &answer.json()["generation"]), (200, &2.into()), "{}", answer.text());
        assert_eq!(answer.json()["strategy"], "round_robin");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    eventually("the compiler is ended", || async { compilers(&process).is_empty() }).await;
    let config = process.call(Method::GET, "/health").await.answer().await.json()["config"].clone();
    assert_eq!(config["generation"], 2, "{config}");
    let results: Vec<_> = config["reloads"]["latest"].as_array().into_iter().flatten().collect();
    assert_eq!((&results[0]["result"], &results[1]["result"]), (&"superseded".into(), &"reloaded".into()), "{config}");
}

#[tokio::test]
async fn who_asks_twice_for_the_same_does_not_begin_it_again() {
    let scene = Scene::new().await;
    let mut process = scene.serve();
    process.listening_line().await;
    scene.configure("heavy", "server: {watch: false}\n");
    process.signal("HUP");
    compiles(&process).await;
    let compiler = compilers(&process);
    for asked in 2..5 {
        process.signal("HUP");
        let again = || process.stderr().matches("gives way to a newer one").count() == asked - 1;
        eventually("it is asked for again", || async { again() }).await;
        assert_eq!(compilers(&process), compiler);
    }
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_component_that_is_replaced_while_it_compiles_is_not_waited_for() {
    let scene = Scene::new().await;
    let process = scene.serve();
    process.listening_line().await;
    scene.configure("heavy", "");
    compiles(&process).await;
    let draft = scene.folder.path().join("draft");
    std::fs::copy(misbehave(), &draft).expect("copied");
    let began = Instant::now();
    std::fs::rename(draft, scene.component()).expect("writable");
    let in_force =
        || async { process.call(Method::GET, "/health").await.answer().await.json()["strategy"]["name"] == "heavy" };
    eventually("the new component decides", in_force).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(compilers(&process).is_empty());
}

#[tokio::test]
async fn a_signal_ends_a_server_that_compiles_at_its_start_at_once() {
    for signal in ["TERM", "INT"] {
        let scene = Scene::new().await;
        scene.configure("heavy", "");
        let mut process = scene.serve();
        compiles(&process).await;
        let began = Instant::now();
        process.signal(signal);
        assert_eq!(process.exit_code().await, Some(0));
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert!(process.stderr().contains("received a signal while it was starting"), "{}", process.stderr());
    }
}

#[tokio::test]
async fn a_signal_lets_a_server_drain_at_once_that_compiles_for_a_reload() {
    for signal in ["TERM", "INT"] {
        let scene = Scene::new().await;
        let mut process = scene.serve();
        process.listening_line().await;
        scene.configure("heavy", "");
        compiles(&process).await;
        let began = Instant::now();
        process.signal(signal);
        assert_eq!(process.exit_code().await, Some(0));
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
}
