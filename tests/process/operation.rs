//! The binary among those that operate it: a log that nobody reads, signals, systemd, health checks.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStderr, Stdio};

use harness::{Call, Mock, Process, Reply, chat_request, eventually};
use http::Method;
use tempfile::TempDir;

use super::{NAME, folder_with, run, write};

/// A server whose log has been read up to the line that says where it listens, and no further.
struct Unread {
    child: Child,
    log: BufReader<ChildStderr>,
    address: SocketAddr,
}

impl Unread {
    fn serve(folder: &TempDir) -> Self {
        let config = folder.path().join(NAME);
        let mut command = Process::command(&["serve", "--port", "0", "--config", config.to_str().expect("text")]);
        command.stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("the binary starts");
        let mut log = BufReader::with_capacity(64, child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(log.read_line(&mut line).expect("text") > 0, "it ended before it listened");
        }
        let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
        let address = address.trim_matches('"').parse().expect("an address");
        Self { child, log, address }
    }

    async fn exit_code(&mut self) -> Option<i32> {
        let child = parking_lot::Mutex::new(&mut self.child);
        let ended = || child.lock().try_wait().expect("a child can be asked");
        eventually("the server ends", || async { ended().is_some() }).await;
        ended().expect("just seen").code()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nothing_up() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "");
    let mut server = Unread::serve(&folder);
    // More than a pipe holds, which is 64 KiB.
    let long = "m".repeat(190);
    for _ in 0..400 {
        let answer = Call::to(server.address, Method::POST, "/v1/chat/completions")
            .json(&serde_json::json!({"model": long, "messages": []}));
        assert_eq!(answer.answer().await.status, 200);
    }
    assert_eq!(Call::to(server.address, Method::GET, "/health").answer().await.status, 200);
    let id = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().expect("kill can be called").success());
    assert_eq!(server.exit_code().await, Some(0));
    let mut rest = Vec::new();
    server.log.read_to_end(&mut rest).expect("readable");
    assert!(rest.len() < 400 * 200, "the pipe was full, or this has shown nothing: {}", rest.len());
}

#[tokio::test]
async fn signals_that_mean_nothing_here_do_not_end_it() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "");
    let mut process = Process::serve(&folder.path().join(NAME));
    process.listening_line().await;
    for signal in ["USR1", "USR2", "PIPE"] {
        process.signal(signal);
    }
    let said = || async { process.stderr().contains("ignores SIGUSR1") };
    eventually("the log says that ignores SIGUSR1", said).await;
    assert_eq!(process.call(Method::GET, "/health").await.answer().await.status, 200);
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_service_manager_is_told_of_start_reload_and_end() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "");
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_nonblocking(true).expect("a socket");
    let config = folder.path().join(NAME);
    let mut command = Process::command(&["serve", "--port", "0", "--config", config.to_str().expect("text")]);
    command.env("NOTIFY_SOCKET", &socket);
    let mut process = Process::start(command);
    let told = |what: &'static str| {
        let manager = &manager;
        async move {
            let next = || {
                let mut buffer = [0; 1024];
                let length = manager.recv(&mut buffer).ok()?;
                Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
            };
            let found = || async { next().is_some_and(|message| message.lines().any(|line| line == what)) };
            eventually(what, found).await;
        }
    };
    told("READY=1").await;
    process.signal("HUP");
    told("RELOADING=1").await;
    told("READY=1").await;
    process.signal("TERM");
    told("STOPPING=1").await;
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn probe_says_by_its_exit_code_whether_a_server_is_ready() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "");
    let process = Process::serve(&folder.path().join(NAME));
    let address = process.address().await;
    let asked = |arguments: &[&str]| run(Process::command(&[&["probe"], arguments].concat()));
    let url = format!("http://{address}");
    assert_eq!(asked(&["--url", &url]).0, Some(0), "{:?}", asked(&["--url", &url]));
    assert_eq!(asked(&["--url", &format!("{url}/health")]).0, Some(0));
    assert_eq!(asked(&["--url", &format!("{url}/nothing")]).0, Some(1), "an answer that is no success");
    let config = folder.path().join("probe.yaml");
    let provider = "providers:\n  - {name: a, base_url: 'http://a/v1', api_key: k}\n";
    write(&config, &format!("{provider}server: {{host: 0.0.0.0, port: {}}}\n", address.port()));
    let config = config.to_str().expect("text");
    assert_eq!(asked(&["--config", config]).0, Some(0), "{:?}", asked(&["--config", config]));
    drop(process);
    let (code, stdout, stderr) = asked(&["--url", &url]);
    assert!((code, stdout.as_str()) == (Some(1), "") && stderr.contains(&url), "{code:?} {stderr}");
}

#[tokio::test]
async fn it_goes_on_for_the_drain_delay_and_says_that_it_is_not_ready() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "server: {drain_delay: 1.5}\n");
    let mut process = Process::serve(&folder.path().join(NAME));
    let address = process.address().await;
    assert_eq!(Call::to(address, Method::GET, "/ready").answer().await.status, 200);
    process.signal("TERM");
    let leaving = || async { Call::to(address, Method::GET, "/ready").answer().await.status == 503 };
    eventually("/ready says 503", leaving).await;
    let answer = Call::to(address, Method::POST, "/v1/chat/completions").json(&chat_request()).answer().await;
    assert_eq!(answer.status, 200, "a new connection is still served");
    assert_eq!(process.exit_code().await, Some(0));
}

/// A server that follows its files, whose only provider wants `key` to be shown.
fn follows(folder: &TempDir, url: &str, rest: &str) -> Process {
    let config = folder.path().join(NAME);
    let quiet = "routing: {health_check: {enabled: false}}\n";
    write(&config, &format!("providers:\n  - name: a\n    base_url: {url}\n    {rest}\n{quiet}"));
    Process::serve(&config)
}

fn shown_key(mock: &Mock) -> String {
    let calls = mock.requests();
    calls.last().map(|call| call.header("authorization").to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_key_from_a_file_is_read_again_when_the_file_changes() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = TempDir::new().expect("a temporary folder");
    // As Kubernetes mounts secrets: a link to a link to a folder, of which the middle one is replaced.
    let [old, new] = ["..old", "..new"].map(|name| folder.path().join(name));
    write(&old.join("key"), "sk-first\n");
    write(&new.join("key"), "sk-second\n");
    let data = folder.path().join("..data");
    std::os::unix::fs::symlink("..old", &data).expect("a link");
    std::os::unix::fs::symlink("..data/key", folder.path().join("key")).expect("a link");
    let process = follows(&folder, &a.base_url(), "api_key_file: key");
    let chat = || async {
        process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
        shown_key(&a)
    };
    assert_eq!(chat().await, "Bearer sk-first");
    let next = folder.path().join("..next");
    std::os::unix::fs::symlink("..new", &next).expect("a link");
    std::fs::rename(&next, &data).expect("renamed");
    eventually("the new key is shown", || async { chat().await == "Bearer sk-second" }).await;
    let log = process.stderr();
    assert!(log.contains("its content has changed") && !log.contains("sk-"), "{log}");
}

#[tokio::test]
async fn a_reload_that_failed_is_tried_again_when_the_file_arrives_that_it_lacked() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = TempDir::new().expect("a temporary folder");
    let process = follows(&folder, &a.base_url(), "api_key: k");
    process.listening_line().await;
    let config = folder.path().join(NAME);
    let text = std::fs::read_to_string(&config).expect("text");
    write(&config, &text.replace("api_key: k", "api_key: '${file:late/key}'"));
    eventually("the reload fails", || async { process.stderr().contains("late/key") }).await;
    write(&folder.path().join("late/key"), "sk-late\n");
    let chat = || async {
        process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
        shown_key(&a)
    };
    eventually("the late key is shown", || async { chat().await == "Bearer sk-late" }).await;
}

#[tokio::test]
async fn a_file_that_was_only_touched_changes_nothing() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = TempDir::new().expect("a temporary folder");
    let process = follows(&folder, &a.base_url(), "api_key: k");
    process.listening_line().await;
    let config = folder.path().join(NAME);
    write(&config, &std::fs::read_to_string(&config).expect("text"));
    eventually("the log says so", || async { process.stderr().contains("nothing has changed") }).await;
    let health = process.call(Method::GET, "/health").await.answer().await.json();
    assert_eq!(health["config"]["generation"], 1, "{health}");
}

#[test]
fn what_works_but_is_not_meant_is_a_warning() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join(NAME);
    let checked = |weight: u32, rest: &str| {
        let provider = |name: &str, weight| {
            format!("  - {{name: {name}, base_url: 'http://a/v1', api_key: k, weight: {weight}}}\n")
        };
        write(&file, &format!("providers:\n{}{}{rest}\n", provider("a", weight), provider("b", 1)));
        run(Process::command(&["check", file.to_str().expect("text")]))
    };
    for (weight, rest, warned) in [
        (5, "routing: {strategy: round_robin}", "does not look at `weight`"),
        (5, "", "does not look at `weight`"),
        (5, "routing: {strategy: failover}", "does not look at `weight`"),
        (5, "routing: {strategy: weighted}", ""),
        (5, "routing: {strategy: least_busy}", ""),
        (1, "routing: {strategy: round_robin}", ""),
        (1, "routing: {strategy: affinity}", "routing.affinity"),
        (5, "routing: {strategy: affinity, affinity: {prompt_prefix: 1000}}", ""),
    ] {
        let (code, _, stderr) = checked(weight, rest);
        assert_eq!(code, Some(0), "{stderr}");
        let as_wanted = if warned.is_empty() { stderr.is_empty() } else { stderr.contains(warned) };
        assert!(as_wanted, "{weight} {rest}: {stderr}");
    }
}

#[tokio::test]
async fn a_line_of_the_access_log_says_who_asked_for_what() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "monitoring: {log_format: json}\n");
    let config = folder.path().join(NAME);
    let text = std::fs::read_to_string(&config).expect("text");
    write(&config, &text.replace("    api_key:", "    model_map: {'gpt-*': 'vendor/*'}\n    api_key:"));
    let process = Process::serve(&config);
    let body = serde_json::json!({"model": "gpt-5\u{9b}\u{202e}", "messages": []});
    process.call(Method::POST, "/v1/chat/completions").await.json(&body).answer().await;
    let line = || process.stderr().lines().find(|line| line.contains("chat/completions")).map(str::to_owned);
    eventually("the line is written", || async { line().is_some() }).await;
    let line = line().expect("just seen");
    assert!(!line.contains(['\u{9b}', '\u{202e}']), "{line}");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    for (field, value) in
        [("address", "127.0.0.1"), ("method", "POST"), ("path", "/v1/chat/completions"), ("strategy", "round_robin")]
    {
        assert_eq!(line[field], value, "{line}");
    }
    assert!(line["provider_model"].as_str().is_some_and(|model| model.starts_with("vendor/5")), "{line}");
}
