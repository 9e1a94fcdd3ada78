//! The machine under the real process: certificates, names, open files.

use std::process::Command;
use std::time::Duration;

use harness::{Mock, Process, Reply, binary, chat_request};
use http::Method;
use tempfile::TempDir;
use tokio::time::Instant;

use super::{NAME, folder_with, write};

/// A folder with a configuration in which `others` come before `mock`, without active checks.
fn folder_before(mock: &Mock, others: &str) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let (name, url) = (mock.name(), mock.base_url());
    let last = format!("  - {{name: {name}, base_url: '{url}', api_key: none}}\n");
    let routing = "routing: {strategy: failover, health_check: {enabled: false}}\n";
    write(&folder.path().join(NAME), &format!("providers:\n{others}{last}{routing}"));
    folder
}

#[tokio::test]
async fn a_machine_without_ca_certificates_serves_what_needs_none_and_says_what_is_missing() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder =
        folder_before(&a, &format!("  - {{name: b, base_url: 'https://{}/v1', api_key: none}}\n", a.address()));
    let config = folder.path().join(NAME);
    let mut command = Process::command(&["serve", "--config", config.to_str().expect("text"), "--port", "0"]);
    command.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", folder.path());
    let process = Process::start(command);
    let answer = process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
    assert_eq!((answer.status, answer.provider()), (200, "a"), "{}", answer.text());
    let health = process.call(Method::GET, "/health").await.answer().await.text();
    assert!(health.contains("no CA certificates"), "{health}");
}

#[tokio::test]
async fn names_that_do_not_resolve_hold_up_neither_requests_nor_the_end() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let dead: String = (0..40)
        .map(|number| format!("  - {{name: d{number}, base_url: 'http://d{number}.invalid/v1', api_key: none}}\n"))
        .collect();
    let folder = folder_before(&a, &dead);
    let mut process = Process::serve(&folder.path().join(NAME));
    let answer = process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
    assert_eq!((answer.status, answer.provider()), (200, "a"), "{}", answer.text());
    let began = Instant::now();
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// The binary with so many open files at most.
fn with_files(limit: u32, arguments: &str) -> Command {
    let mut command = Process::command(&[]);
    let inherited: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    let script = format!("ulimit -n {limit}; exec {} {arguments}", binary().display());
    command = Command::new("sh");
    command.args(["-c", &script]).env_clear();
    for (name, value) in inherited {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

#[tokio::test]
async fn clients_have_half_of_the_open_files_whatever_the_queue_and_too_few_are_a_problem() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "queue: {max_concurrent: 20000}\n");
    let config = folder.path().join(NAME);
    let arguments = format!("serve --config {} --port 0", config.display());
    let process = Process::start(with_files(512, &arguments));
    let address = process.address().await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(tokio::net::TcpStream::connect(address).await.expect("accepted"));
    }
    let answer = process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut process = Process::start(with_files(100, &arguments));
    assert_eq!(process.exit_code().await, Some(2));
    assert!(
        process.stderr().contains("server.max_connections: the system allows 100 open files"),
        "{}",
        process.stderr()
    );
}
