//! What the log says of the export.

use harness::{Mock, Process, Reply, chat_request, eventually};
use http::Method;
use tempfile::TempDir;

use super::{NAME, write};

async fn chat(process: &Process) {
    let answer = process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn the_log_says_once_that_a_collector_fails_and_once_that_it_works_again() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = Mock::start("collector", Reply::status(400)).await;
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join(NAME);
    let provider = format!("{{name: a, base_url: '{}', api_key: k}}", a.base_url());
    let otlp = format!("{{endpoint: 'http://{}', headers: {{x-key: very-secret}}}}", collector.address());
    write(&config, &format!("providers: [{provider}]\ntelemetry: {{otlp: {otlp}}}\n"));
    let mut process = Process::serve(&config);
    for times in 1..=2 {
        chat(&process).await;
        eventually("the collector has refused", || async { collector.calls() == times }).await;
    }
    collector.follow(Reply::status(200));
    for times in 3..=4 {
        chat(&process).await;
        eventually("the collector has taken them", || async { collector.calls() == times }).await;
    }
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    eventually("the last line", || async { process.stderr().contains("drained") }).await;
    let log = process.stderr();
    let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(count("spans cannot be exported: the collector answered with status 400"), 1, "{log}");
    assert_eq!(count("spans are exported again"), 1, "{log}");
    assert_eq!((count("cannot be exported"), count("very-secret")), (1, 0), "{log}");
    // The libraries have a voice of their own, which is not to be heard.
    assert_eq!(count("opentelemetry"), 0, "{log}");
}

#[tokio::test]
async fn a_configuration_without_telemetry_follows_opentelemetrys_variables() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let collector = Mock::start("collector", Reply::status(200)).await;
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join(NAME);
    write(&config, &format!("providers: [{{name: a, base_url: '{}', api_key: k}}]\n", a.base_url()));
    let mut command = Process::command(&["serve", "--config", &config.display().to_string(), "--port", "0"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}/base", collector.address()));
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=from%20the%20environment");
    command.env("OTEL_SERVICE_NAME", "by-variable");
    let process = Process::start(command);
    chat(&process).await;
    eventually("the collector is asked", || async { collector.calls() == 1 }).await;
    let seen = collector.only_request();
    assert_eq!((seen.target.as_str(), seen.header("x-key")), ("/base/v1/traces", "from the environment"));
    assert!(String::from_utf8_lossy(&seen.body).contains("by-variable"));
}
