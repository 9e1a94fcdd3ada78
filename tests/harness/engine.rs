//! The engine that replicas share: a real server for one test, a child that dies with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::eventually;

/// A running server at a socket of its own.
#[derive(Debug)]
pub struct Engine {
    child: Option<Child>,
    folder: TempDir,
    options: Vec<String>,
}

impl Engine {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// When there is none to start; the message says how to get it.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts one with options such as `--requirepass`.
    pub async fn with(options: &[&str]) -> Self {
        let mut engine = Self::absent(options);
        engine.again().await;
        engine
    }

    /// One that is not started yet.
    ///
    /// # Panics
    ///
    /// When there is no temporary folder.
    pub fn absent(options: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self { child: None, folder, options: options.iter().map(|&option| option.to_owned()).collect() }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// The section `state` of a configuration that uses it.
    pub fn state(&self) -> Value {
        json!({"url": format!("unix:{}", self.socket().display())})
    }

    /// A command and its answer, by the server's own client.
    ///
    /// # Panics
    ///
    /// When there is no such client.
    pub fn ask(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli").arg("-s").arg(self.socket()).args(command).output();
        let output = output.expect("redis-cli is missing: install the package redis-tools");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Sends it a signal such as `STOP`.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id();
        let sent = Command::new("kill").args([format!("-{signal}"), id.to_string()]).status();
        assert!(sent.expect("kill can be called").success(), "the engine still runs");
    }

    /// Kills it; all that it knew is lost.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Starts it: empty, or where an option such as `--appendonly` has it keep its data as far as it has kept them.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn again(&mut self) {
        drop(std::fs::remove_file(self.socket()));
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--unixsocket", "s", "--save", "", "--appendonly", "no"]).args(&self.options);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        self.child = Some(child.expect("redis-server is missing: install the package redis-server"));
        let socket = self.socket();
        let accepts = || async { std::os::unix::net::UnixStream::connect(&socket).is_ok() };
        eventually("redis-server accepts connections", accepts).await;
    }
}

/// An engine that keeps its data: `--appendonly yes`.
impl Engine {
    /// The folder of its data.
    fn data(&self) -> PathBuf {
        self.folder.path().join("appendonlydir")
    }

    /// Kills it, and throws its data away.
    pub fn lose(&mut self) {
        self.kill();
        drop(std::fs::remove_dir_all(self.data()));
    }

    /// Copies its data, as a backup does.
    ///
    /// # Panics
    ///
    /// When they cannot be copied.
    pub fn copy(&self) {
        let copy = self.folder.path().join("copy");
        drop(std::fs::remove_dir_all(&copy));
        copy_folder(&self.data(), &copy);
    }

    /// Kills it, and puts the data in place that were copied.
    ///
    /// # Panics
    ///
    /// When there is no copy.
    pub fn go_back(&mut self) {
        self.lose();
        copy_folder(&self.folder.path().join("copy"), &self.data());
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a temporary folder is writable");
    for entry in std::fs::read_dir(from).expect("the folder is there").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a file can be copied");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}
