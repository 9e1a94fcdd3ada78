//! The real binary with the compiled code of its components at its end: it compiles nothing, and what does not fit is no
//! hindrance.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use harness::{KEY, Process, binary};
use http::Method;
use tempfile::TempDir;

use super::{NAME, run, write};

/// The program with the compiled code of its components; made once, which takes some seconds without optimisation.
fn precompiled() -> &'static Path {
    static MADE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = MADE.get_or_init(|| {
        let folder = TempDir::new().expect("a temporary folder");
        let program = folder.path().join("pointsman");
        let mut command = Process::command(&["precompile", "--out"]);
        command.arg(&program);
        let (code, stdout, stderr) = run(command);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains("carries the compiled code of"), "{stdout}");
        (folder, program)
    });
    program
}

/// A command of another program than the tests' own, in the environment of theirs.
fn command(program: &Path, arguments: &[&str], cache: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("POINTSMAN_CACHE", cache);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A folder with a configuration; the cache is to be in it.
fn stage() -> (TempDir, PathBuf, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let (config, cache) = (folder.path().join(NAME), folder.path().join("cache"));
    let provider = format!("providers:\n  - {{name: a, base_url: 'http://127.0.0.1:9/v1', api_key: {KEY}}}\n");
    write(&config, &format!("{provider}routing: {{health_check: {{enabled: false}}}}\n"));
    (folder, config, cache)
}

/// Starts a server with the configuration, and gives the log of its start and the number of components that it has
/// compiled.
async fn start(program: &Path) -> (String, usize) {
    let (_folder, config, cache) = stage();
    let serve = ["serve", "--port", "0", "--config", config.to_str().expect("text")];
    let mut serve = command(program, &serve, &cache);
    serve.env("RUST_LOG", "pointsman=debug");
    let process = Process::start(serve);
    let health = process.call(Method::GET, "/health").await.answer().await;
    assert_eq!(health.status, 200, "{}", process.stderr());
    let compiled = fs::read_dir(&cache).expect("the folder is made at each start").count();
    (process.stderr(), compiled)
}

/// The program with some of its bytes changed.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let program = folder.path().join("pointsman");
    let mut bytes = fs::read(precompiled()).expect("readable");
    change(&mut bytes);
    fs::write(&program, bytes).expect("writable");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    (folder, program)
}

fn version(program: &Path) -> String {
    let (code, stdout, stderr) = run(command(program, &["version"], Path::new("off")));
    assert_eq!(code, Some(0), "{stderr}");
    stdout
}

#[tokio::test]
async fn a_program_that_carries_code_starts_without_compiling() {
    let (log, compiled) = start(precompiled()).await;
    assert_eq!(compiled, 0, "{log}");
    assert!(log.contains("from this program") && !log.contains("compiled component"), "{log}");
    assert!(version(precompiled()).contains("are compiled in this program"), "{}", version(precompiled()));
    let (log, compiled) = start(binary()).await;
    assert_eq!(compiled, 1, "{log}");
    assert!(log.contains("compiled component") && !log.contains("this program is not used"), "{log}");
    assert!(version(binary()).contains("carries no code of them"), "{}", version(binary()));
}

#[test]
fn every_built_in_approach_is_in_it() {
    let folder = TempDir::new().expect("a temporary folder");
    let cache = folder.path().join("cache");
    let (code, stdout, stderr) = run(command(precompiled(), &["approach", "list"], &cache));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("moa") && stdout.contains("bon"), "{stdout}");
    assert_eq!(fs::read_dir(&cache).expect("a folder").count(), 0, "nothing was compiled");
}

#[tokio::test]
async fn damaged_code_is_compiled_anew_with_a_warning() {
    // The tail has 64 bytes, and the table of digests and lengths ends before it; all code is far from both ends.
    for (what, from_end) in [("its table", 100), ("the lengths at its end", 58)] {
        let (_folder, program) = changed(|bytes| {
            let place = bytes.len() - from_end;
            bytes[place] ^= 0xff;
        });
        let (log, compiled) = start(&program).await;
        assert_eq!(compiled, 1, "{log}");
        assert_eq!(log.matches(&format!("this program is not used: it is damaged ({what})")).count(), 1, "{log}");
        assert!(version(&program).contains("is not used: it is damaged"), "{}", version(&program));
    }
    let own = fs::metadata(binary()).expect("is there").len() as usize;
    let (_folder, program) = changed(|bytes| {
        // Every code is longer than this.
        let end = bytes.len() - 10_000;
        bytes[own..end].iter_mut().step_by(10_000).for_each(|byte| *byte ^= 1);
    });
    let (log, compiled) = start(&program).await;
    assert_eq!(compiled, 1, "{log}");
    assert_eq!(log.matches("in this program is not used: it is damaged (the code)").count(), 1, "{log}");
}

#[tokio::test]
async fn a_program_that_was_cut_off_starts_as_one_that_carries_nothing() {
    let (_folder, program) = changed(|bytes| bytes.truncate(bytes.len() - 1));
    let (log, compiled) = start(&program).await;
    assert_eq!(compiled, 1, "{log}");
    assert!(!log.contains("this program is not used"), "{log}");
}

#[test]
fn to_precompile_again_replaces_what_was_there_and_works_on_the_running_program() {
    let (_folder, program) = changed(|_| {});
    let before = fs::read(&program).expect("readable");
    let (code, stdout, stderr) = run(command(&program, &["precompile"], Path::new("off")));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains(&*program.to_string_lossy()), "{stdout}");
    assert!(fs::read(&program).expect("readable") == before, "the same code once more");
    let missing = program.with_file_name("no/such");
    let (code, _, stderr) =
        run(command(&program, &["precompile", "--out", missing.to_str().expect("text")], Path::new("off")));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("pointsman precompile: ") && stderr.contains("no/such"), "{stderr}");
}
