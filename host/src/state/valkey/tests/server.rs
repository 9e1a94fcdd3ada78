//! A real server for a test: a child that dies with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::config::{OnOutage, Secret, State, StatePlace, StateServer, StateServers, StateTls};

/// The server that Debian's package has, or the one that was named.
fn binary() -> &'static str {
    "redis-server"
}

#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: TempDir,
    options: Vec<String>,
}

impl Server {
    pub fn start(options: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let child = spawn(folder.path(), &options);
        let server = Self { child, folder, options };
        server.wait();
        server
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn wait(&self) {
        for _ in 0..2000 {
            if std::os::unix::net::UnixStream::connect(self.socket()).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("redis-server does not start");
    }

    pub fn state(&self) -> State {
        let place = StatePlace::Socket(self.socket());
        State {
            servers: StateServers::One(StateServer { place, tls: false, database: 0 }),
            username: None,
            password: None,
            tls: StateTls::default(),
            prefix: "pm".to_owned(),
            timeout: Duration::from_millis(25),
            on_outage: OnOutage::Local,
            required: false,
            line: 0,
        }
    }

    pub fn with_password(&self, password: &str) -> State {
        State { password: Some(Secret::new(password)), ..self.state() }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command and its answer, by the server's own client.
    pub fn ask(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli").arg("-s").arg(self.socket()).args(command).output();
        String::from_utf8(output.expect("redis-cli is there").stdout).unwrap().trim().to_owned()
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Kills it; what it knew is lost.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn again(&mut self) {
        drop(std::fs::remove_file(self.socket()));
        self.child = spawn(self.folder.path(), &self.options);
        self.wait();
    }
}

/// A port that is free, and so is the one ten thousand above it, where a cluster's servers talk.
pub fn free_port() -> u16 {
    loop {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 55_000 && std::net::TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

fn spawn(folder: &Path, options: &[String]) -> Child {
    let mut command = Command::new(binary());
    // A later option wins, and a sentinel wants its file first.
    let (first, rest) = options.split_at(options.iter().take_while(|option| !option.starts_with("--")).count());
    command.args(first).args(["--port", "0", "--unixsocket", "s", "--save", "", "--appendonly", "no"]).args(rest);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn();
    child.expect("redis-server is missing: apt-get install redis-server, or put valkey's server under that name")
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
