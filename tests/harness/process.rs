//! The real binary as a child, with its log, its exit code and its signals.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use http::Method;
use parking_lot::Mutex;

use crate::component::{cargo, profile_folder, workspace};
use crate::secrets::holds_secret;
use crate::{Call, eventually};

/// The binary: the one that `POINTSMAN_BINARY` names, or else built once with the profile of the tests.
///
/// # Panics
///
/// When it does not build.
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(given) = std::env::var_os("POINTSMAN_BINARY") {
            return PathBuf::from(given);
        }
        let profile = profile_folder();
        let mut build = cargo();
        // The whole workspace, and one of its tests: the same features of all dependencies as `cargo test --workspace`
        // has just built, so that nothing is built a second time.
        build.args(["build", "--workspace", "--bin", "pointsman", "--test", "process", "--target-dir"]);
        build.arg(profile.parent().expect("below target/")).current_dir(workspace());
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let built = build.output().expect("cargo can be called");
        assert!(built.status.success(), "pointsman builds:\n{}", String::from_utf8_lossy(&built.stderr));
        profile.join("pointsman")
    })
}

/// Bytes of a pipe beyond which only its last thousand lines are kept, and the one that says where it listens.
const KEPT: usize = 16 << 20;

/// A running `pointsman`; killed when dropped, which fails the test if a key was in anything that it printed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stderr: Arc<Mutex<String>>,
    stdout: Arc<Mutex<String>>,
    /// Lines that hold a key.
    leaks: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// The command with `arguments`, in an environment that holds nothing of the developer's.
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        // Not in the developer's home; and one for all tests, so that they compile a strategy once, as servers do that
        // are started again and again, and meet each other there.
        command.env("POINTSMAN_CACHE", profile_folder().join("process-cache"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a command.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the binary starts");
        let leaks = Arc::default();
        let stderr = collect(child.stderr.take().expect("piped"), &leaks);
        let stdout = collect(child.stdout.take().expect("piped"), &leaks);
        Self { child, stderr, stdout, leaks }
    }

    /// Starts `pointsman serve` with the configuration at `config` on a port that the system chooses.
    pub fn serve(config: &Path) -> Self {
        let config = config.to_str().expect("temporary paths are text");
        Self::start(Self::command(&["serve", "--config", config, "--port", "0"]))
    }

    /// Its log so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().clone()
    }

    /// Its standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.lock().clone()
    }

    /// The line of the log that says where it listens.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub async fn listening_line(&self) -> String {
        let found = || self.stderr().lines().find(|line| line.contains("listening")).map(str::to_owned);
        let what = "a line of the log that says `listening`";
        eventually(what, || async { found().is_some() }).await;
        found().expect("just seen")
    }

    /// The address in its log.
    pub async fn address(&self) -> SocketAddr {
        let line = self.listening_line().await;
        let start = line.find("127.0.0.1:").expect("the line has the address");
        let address: String =
            line[start..].chars().take_while(|char| char.is_ascii_digit() || ".:".contains(*char)).collect();
        address.parse().expect("an address")
    }

    /// A request to it.
    pub async fn call(&self, method: Method, path: &str) -> Call {
        Call::to(self.address().await, method, path)
    }

    /// Sends it a signal such as `TERM`.
    ///
    /// # Panics
    ///
    /// When it is gone already.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill can be called").success(), "pointsman still runs");
    }

    /// Its id, for those who ask the system about it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// True when it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_some()
    }

    /// Waits for its end and gives the exit code; `None` when a signal ended it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let child = Mutex::new(&mut self.child);
        let ended = || child.lock().try_wait().expect("a child can be asked");
        eventually("pointsman ends", || async { ended().is_some() }).await;
        ended().expect("just seen").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        let leaked = self.leaks.lock().join("");
        assert!(leaked.is_empty() || std::thread::panicking(), "pointsman printed a key: {leaked}");
    }
}

/// Reads a pipe to its end in a thread, so that the child never waits for a reader.
fn collect(pipe: impl Read + Send + 'static, leaks: &Arc<Mutex<Vec<String>>>) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let (sink, leaks) = (Arc::clone(&text), Arc::clone(leaks));
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if holds_secret(&line) {
                leaks.lock().push(String::from_utf8_lossy(&line).into_owned());
            }
            let mut sink = sink.lock();
            if sink.len() > KEPT {
                let listening = sink.lines().find(|line| line.contains("listening")).into_iter();
                let last = sink.lines().skip(sink.lines().count().saturating_sub(1000));
                let kept: String = listening.chain(last).flat_map(|line| [line, "\n"]).collect();
                *sink = kept;
            }
            sink.push_str(&String::from_utf8_lossy(&line));
            drop(sink);
            line.clear();
        }
    });
    text
}
