//! The real binary: exit codes, logs, where the configuration comes from, signals, and the demo.

mod approaches;
mod blocks;
mod cache;
mod compile;
mod configured;
mod docs;
// The kernel's files tell what a process takes.
#[cfg(target_os = "linux")]
mod connections;
mod examine;
mod fleet;
mod images;
mod import;
mod keys;
mod log;
mod made_keys;
mod network;
mod night;
mod operation;
mod precompiled;
mod prices;
mod record;
mod secrets;
mod shell;
mod simulate;
#[cfg(target_os = "linux")]
mod superseded;
mod telemetry;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::{Gate, KEY, Mock, Process, Reply, chat_request, eventually, fetch, stream_request, tool};
use http::Method;
use tempfile::TempDir;

/// A folder with a configuration that has `mock` for its provider, and whatever else `more` says.
fn folder_with(name: &str, mock: &Mock, more: &str) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    write(&folder.path().join(name), &config_for(mock, more));
    folder
}

fn config_for(mock: &Mock, more: &str) -> String {
    let (name, url) = (mock.name(), mock.base_url());
    let quiet = "routing: {health_check: {enabled: false}}\n";
    format!("providers:\n  - name: {name}\n    base_url: {url}\n    api_key: {KEY}\n{quiet}{more}")
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("writable");
    std::fs::write(path, text).expect("writable");
}

const NAME: &str = "proxy_config.yaml";

/// Runs a command to its end: exit code, stdout, stderr.
fn run(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn check(config: &Path) -> Command {
    Process::command(&["check", "--config", config.to_str().expect("text")])
}

const BAD: &str =
    "providers:\n  - name: a\n    base_url: ftp://a\n    api_key: ''\n    wieght: 2\nqueue: {timeout: -1}\n";

#[tokio::test]
async fn check_of_a_valid_configuration_exits_0_with_a_summary() {
    let a = Mock::start("swift", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "");
    let (code, stdout, stderr) = run(check(&folder.path().join(NAME)));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("swift") && !stdout.contains(KEY), "{stdout}");
    assert_eq!(a.checks().len() + a.calls(), 0, "check asks nobody");
}

#[test]
fn check_of_a_bad_configuration_exits_2_with_all_problems() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join(NAME);
    write(&file, BAD);
    let (code, stdout, stderr) = run(check(&file));
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    for part in [NAME, "base_url", "ftp", "api_key", "wieght", "did you mean", "weight", "queue.timeout"] {
        assert!(stderr.contains(part), "{part:?} is missing in:\n{stderr}");
    }
}

#[test]
fn check_takes_the_file_without_a_flag_and_does_not_wait_for_a_pipe() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join(NAME);
    write(&file, "providers:\n  - {name: a, base_url: 'http://a/v1', api_key: k}\n");
    let given = |path: &Path| run(Process::command(&["check", path.to_str().expect("text")]));
    assert_eq!(given(&file).0, Some(0), "{}", given(&file).2);
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo can be called").success());
    let (code, _, stderr) = given(&pipe);
    assert!(code == Some(2) && stderr.contains("not a regular file"), "{code:?} {stderr}");
}

#[test]
fn check_names_an_unset_variable() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join(NAME);
    write(&file, "providers:\n  - {name: a, base_url: 'http://a/v1', api_key: '${NO_SUCH_KEY}'}\n");
    let (code, _, stderr) = run(check(&file));
    assert!(code == Some(2) && stderr.contains("NO_SUCH_KEY") && stderr.contains("providers[0].api_key"), "{stderr}");
    let mut with = check(&file);
    with.env("NO_SUCH_KEY", "sk-now-set");
    assert_eq!(run(with).0, Some(0));
}

#[test]
fn serve_with_a_bad_configuration_exits_2_with_all_problems() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join(NAME);
    write(&file, BAD);
    let (code, _, stderr) = run(Process::command(&["serve", "--config", file.to_str().expect("text"), "--port", "0"]));
    assert!(code == Some(2) && stderr.contains("wieght") && stderr.contains("queue.timeout"), "{code:?} {stderr}");
    assert!(!stderr.contains("listening"), "{stderr}");
}

#[test]
fn serve_with_a_strategy_that_is_no_component_exits_2() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join(NAME);
    let provider = "providers:\n  - {name: a, base_url: 'http://127.0.0.1:9/v1', api_key: k}\n";
    write(&file, &format!("{provider}routing: {{strategy: ./broken.wasm}}\n"));
    write(&folder.path().join("broken.wasm"), "no component");
    let (code, _, stderr) = run(Process::command(&["serve", "--config", file.to_str().expect("text"), "--port", "0"]));
    assert!(code == Some(2) && stderr.contains("broken.wasm"), "{code:?} {stderr}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_listed_with_the_other_problems() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join(NAME);
    let provider = "providers:\n  - {name: a, base_url: 'http://127.0.0.1:9/v1', api_key: k}\n";
    let broken = "routing: {strategy: ./broken.wasm}\n";
    write(&file, &format!("{provider}{broken}server:\n  tls: {{cert: c.pem, key: k.pem}}\n"));
    for name in ["broken.wasm", "c.pem", "k.pem"] {
        write(&folder.path().join(name), "nothing of use");
    }
    let (code, _, stderr) = run(check(&file));
    assert!(code == Some(2) && stderr.contains("broken.wasm"), "{code:?} {stderr}");
    let expected = format!("{NAME}:5: server.tls.cert: {}/c.pem holds no certificate", folder.path().display());
    assert!(stderr.contains(&expected) && stderr.contains("help: use a PEM file"), "{stderr}");
}

#[tokio::test]
async fn a_public_address_without_client_keys_is_a_loud_warning() {
    for (server, loud) in [("{host: 0.0.0.0}", true), ("{host: 0.0.0.0, api_keys: [k]}", false), ("{}", false)] {
        let a = Mock::start("a", Reply::chat("a")).await;
        let folder = folder_with(NAME, &a, &format!("server: {server}\n"));
        let process = Process::serve(&folder.path().join(NAME));
        process.listening_line().await;
        assert_eq!(process.stderr().contains("server.api_keys"), loud, "{server}: {}", process.stderr());
    }
}

#[test]
fn a_missing_configuration_exits_2_and_says_where_it_was_looked_for() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut command = Process::command(&["check"]);
    command.current_dir(folder.path()).env("HOME", folder.path());
    let (code, _, stderr) = run(command);
    assert_eq!(code, Some(2), "{stderr}");
    for place in ["POINTSMAN_CONFIG", "proxy_config.yaml", ".optillm"] {
        assert!(stderr.contains(place), "{place:?} is missing in:\n{stderr}");
    }
}

#[tokio::test]
async fn the_address_is_logged_at_every_level_and_in_both_formats() {
    for monitoring in [
        "monitoring: {log_level: ERROR}\n",
        "monitoring: {log_level: DEBUG}\n",
        "monitoring: {log_format: json}\n",
        "monitoring: {log_format: json, log_level: ERROR}\n",
    ] {
        let a = Mock::start("a", Reply::chat("a")).await;
        let folder = folder_with(NAME, &a, monitoring);
        let process = Process::serve(&folder.path().join(NAME));
        let line = process.listening_line().await;
        let is_json = serde_json::from_str::<serde_json::Value>(&line).is_ok_and(|line| line.is_object());
        assert_eq!(is_json, monitoring.contains("json"), "{line}");
        let answer = process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
        assert_eq!((answer.status, answer.provider()), (200, "a"));
    }
}

#[tokio::test]
async fn variables_override_the_log_level() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "monitoring: {log_level: ERROR}\n");
    let config = folder.path().join(NAME);
    for variable in ["OPTILLM_LOG_LEVEL", "RUST_LOG"] {
        let mut command = Process::command(&["serve", "--port", "0", "--config", config.to_str().expect("text")]);
        command.env(variable, "DEBUG");
        let process = Process::start(command);
        process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
        eventually("a line at debug level", async || process.stderr().contains("DEBUG")).await;
    }
}

#[tokio::test]
async fn logs_hold_no_keys_even_at_debug_level() {
    let a = Mock::start("a", Reply::error(401, &format!("wrong key {KEY}"))).await;
    let folder = folder_with(NAME, &a, "monitoring: {log_level: DEBUG}\n");
    let process = Process::serve(&folder.path().join(NAME));
    let call = process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request());
    call.header("authorization", "Bearer client-zq7-s3cr3t-key").answer().await;
    eventually("the request is logged", async || process.stderr().contains("/chat/completions")).await;
    let log = process.stderr();
    assert!(!log.contains(KEY) && !log.contains("client-zq7-s3cr3t-key") && !log.contains("Hello"), "{log}");
}

#[tokio::test]
async fn the_log_has_one_line_per_request_with_the_outcome_of_each_attempt() {
    let a = Mock::start("a", Reply::status(500)).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let provider =
        |mock: &Mock| format!("  - {{name: {}, base_url: '{}', api_key: {KEY}}}\n", mock.name(), mock.base_url());
    let config = format!("providers:\n{}{}routing: {{health_check: {{enabled: false}}}}\n", provider(&a), provider(&b));
    let folder = TempDir::new().expect("a temporary folder");
    write(&folder.path().join(NAME), &config);
    let process = Process::serve(&folder.path().join(NAME));
    process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
    eventually("the request is logged", async || process.stderr().contains("/chat/completions")).await;
    let log = process.stderr();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("/chat/completions")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    let parts = ["status=200", "model=\"gpt-4\"", "provider=\"b\"", "attempts=\"a: failed (", " ms), b: succeeded ("];
    for part in parts.into_iter().chain(["request_id=", "queue_ms=", "overhead_ms=", "completion_tokens=1"]) {
        assert!(lines[0].contains(part), "{part} is missing in {}", lines[0]);
    }
}

#[tokio::test]
async fn latency_is_summed_up_once_per_interval() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let monitoring = "monitoring: {interval: 0.2, log_format: json}\n";
    let folder = folder_with(NAME, &a, monitoring);
    let process = Process::serve(&folder.path().join(NAME));
    for _ in 0..3 {
        process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await;
    }
    let summed = || {
        let log = process.stderr();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let attempts = lines.filter(|line| line["share_percent"] == 100.0 && line["success_percent"] == 100.0);
        attempts.map(|line| line["attempts"].as_u64().unwrap_or_default()).sum::<u64>()
    };
    eventually("three attempts are summed up", async || summed() == 3).await;
    assert!(process.stderr().contains("% of all"), "{}", process.stderr());
}

#[tokio::test]
async fn the_configuration_is_searched_in_order() {
    let names = ["home_yml", "home_yaml", "cwd_yml", "cwd_yaml", "variable", "flag"];
    let folder = TempDir::new().expect("a temporary folder");
    let (cwd, home) = (folder.path().join("cwd"), folder.path().join("home"));
    std::fs::create_dir_all(&cwd).expect("writable");
    let (variable, flag) = (folder.path().join("by_variable.yaml"), folder.path().join("by_flag.yaml"));
    let places = [
        home.join(".optillm/proxy_config.yml"),
        home.join(".optillm/proxy_config.yaml"),
        cwd.join("proxy_config.yml"),
        cwd.join("proxy_config.yaml"),
        variable.clone(),
        flag.clone(),
    ];
    for (name, place) in names.iter().zip(places) {
        let provider = format!("{{name: {name}, base_url: 'http://127.0.0.1:9/v1', api_key: k}}");
        write(&place, &format!("providers:\n  - {provider}\n"));
        let mut command = Process::command(&["check"]);
        command.current_dir(&cwd).env("HOME", &home);
        if *name == "variable" || *name == "flag" {
            command.env("POINTSMAN_CONFIG", &variable);
        }
        if *name == "flag" {
            command.arg("--config").arg(&flag);
        }
        let (code, stdout, stderr) = run(command);
        assert!(code == Some(0) && stdout.contains(name), "{name}: {stdout}{stderr}");
    }
}

#[tokio::test]
async fn flags_win_over_the_configuration() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let folder = folder_with(NAME, &a, &format!("server: {{host: 192.0.2.1, port: {port}}}\n"));
    let config = folder.path().join(NAME);
    let config = config.to_str().expect("text");
    let flags = ["serve", "--config", config, "--port", "0", "--host", "127.0.0.1"];
    let process = Process::start(Process::command(&flags));
    assert_ne!(process.address().await.port(), port);
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_that_says_so() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let folder = folder_with(NAME, &a, "");
    let config = folder.path().join(NAME);
    let (code, _, stderr) =
        run(Process::command(&["serve", "--config", config.to_str().expect("text"), "--port", &port]));
    assert!(code == Some(1) && stderr.contains(&port), "{code:?} {stderr}");
}

#[tokio::test]
async fn an_unknown_default_approach_exits_2() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = folder_with(NAME, &a, "");
    let config = folder.path().join(NAME);
    let arguments = ["serve", "--config", config.to_str().expect("text"), "--port", "0", "--approach", "z3"];
    let (code, _, stderr) = run(Process::command(&arguments));
    assert!(code == Some(2) && stderr.contains("z3"), "{code:?} {stderr}");
}

#[tokio::test]
async fn a_term_signal_lets_a_live_stream_finish_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let gate = Gate::closed();
        let a = Mock::start("a", Reply::sse().word("one").wait(&gate).word("two").done()).await;
        let folder = folder_with(NAME, &a, "");
        let mut process = Process::serve(&folder.path().join(NAME));
        let address = process.address().await;
        let call = process.call(Method::POST, "/v1/chat/completions").await;
        let mut stream = call.json(&stream_request()).open().await;
        stream.read_until("one").await;
        process.signal(signal);
        eventually("new connections are refused", async || tokio::net::TcpStream::connect(address).await.is_err())
            .await;
        assert!(!process.has_ended());
        gate.open();
        let rest = stream.rest().await;
        assert!(rest.complete && rest.text().ends_with("data: [DONE]\n\n"), "{}", rest.text());
        assert_eq!(process.exit_code().await, Some(0), "{}", process.stderr());
    }
}

#[tokio::test]
async fn a_hangup_reloads_and_flags_still_win() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let folder = folder_with(NAME, &a, "server: {watch: false}\n");
    let config = folder.path().join(NAME);
    let flags = ["serve", "--config", config.to_str().expect("text"), "--port", "0"];
    let mut process = Process::start(Process::command(&flags));
    let chat = async |process: &Process| {
        let call = process.call(Method::POST, "/v1/chat/completions").await;
        call.json(&chat_request()).answer().await.provider().to_owned()
    };
    assert_eq!(chat(&process).await, "a");
    let other = folder_with(NAME, &b, "server: {watch: false, port: 1}\nmonitoring: {log_level: WARNING}\n");
    std::fs::copy(other.path().join(NAME), &config).expect("writable");
    process.signal("HUP");
    eventually("b answers", async || chat(&process).await == "b").await;
    std::fs::write(&config, "providers: [{name: c}]\n").expect("writable");
    process.signal("HUP");
    eventually("the problems are logged", async || {
        let log = process.stderr();
        log.contains("providers[0].base_url: is required") && log.contains("generation 2 stays in force")
    })
    .await;
    assert_eq!(chat(&process).await, "b");
    assert!(!process.stderr().contains("takes effect at the next start"), "the flag wins: {}", process.stderr());
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn answers_that_came_while_the_process_was_paused_count_and_nobody_is_ejected() {
    let a = Mock::start("a", Reply::chat("a").late(Duration::from_millis(300))).await;
    let folder = folder_with(NAME, &a, "timeouts: {request: 1, connect: 1}\n");
    let process = Process::serve(&folder.path().join(NAME));
    let call = process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request());
    let call = harness::spawn(call.answer());
    eventually("a works on it", async || a.serving() == 1).await;
    process.signal("STOP");
    // Longer than every timeout.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    process.signal("CONT");
    let answer = call.await.expect("answered");
    assert_eq!((answer.status, answer.provider()), (200, "a"), "{}", answer.text());
    assert!(!process.stderr().contains("ejected"), "{}", process.stderr());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let a = Mock::start("a", Reply::sse().word("one").hang()).await;
    let folder = folder_with(NAME, &a, "");
    let mut process = Process::serve(&folder.path().join(NAME));
    let address = process.address().await;
    let call = process.call(Method::POST, "/v1/chat/completions").await;
    let mut stream = call.json(&stream_request()).open().await;
    stream.read_until("one").await;
    process.signal("TERM");
    eventually("new connections are refused", async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    assert!(!process.has_ended(), "the stream still runs");
    let second = tokio::time::Instant::now();
    process.signal("TERM");
    let code = process.exit_code().await;
    assert!(code != Some(0) && second.elapsed() < std::time::Duration::from_secs(3), "{code:?}");
}

#[tokio::test]
async fn the_demo_prints_curl_lines_that_work() {
    let process = Process::start(Process::command(&["demo", "--port", "0"]));
    fetch("curl");
    eventually("the demo introduces itself", async || process.stdout().contains("Ctrl-C")).await;
    let introduction = process.stdout();
    let lines: Vec<&str> = introduction.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert!(lines.len() >= 3, "{introduction}");
    let mut streamed = false;
    for line in lines {
        let (line, folder) = (line.to_owned(), TempDir::new().expect("a temporary folder"));
        let shell = move || run_in_shell(&line, folder.path());
        let (code, stdout, shown) = tokio::task::spawn_blocking(shell).await.expect("no panic");
        assert_eq!(code, Some(0), "{shown}\n{stdout}");
        assert!(!stdout.trim().is_empty() && !stdout.contains("\"error\""), "{shown}\n{stdout}");
        if shown.contains("\"stream\"") {
            assert!(stdout.starts_with("data: ") && stdout.trim_end().ends_with("data: [DONE]"), "{stdout}");
            streamed = true;
        }
    }
    assert!(streamed, "one of the lines streams:\n{introduction}");
}

#[tokio::test]
async fn the_demo_listens_where_a_container_can_be_reached() {
    let process = Process::start(Process::command(&["demo", "--host", "0.0.0.0", "--port", "0"]));
    eventually("the demo introduces itself", async || process.stdout().contains("Ctrl-C")).await;
    // The address in the lines is one that this machine can ask.
    assert!(!process.stdout().contains("0.0.0.0"), "{}", process.stdout());
    let introduced = process.stdout();
    let start = introduced.find("127.0.0.1:").expect("the lines have an address");
    let port: String = introduced[start + 10..].chars().take_while(char::is_ascii_digit).collect();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
    assert_eq!(harness::Call::to(address, Method::GET, "/health").answer().await.status, 200);
    let mut wrong = Process::start(Process::command(&["demo", "--host", "here"]));
    assert_eq!(wrong.exit_code().await, Some(2));
}

#[tokio::test]
async fn the_demo_makes_up_for_its_moody_provider_and_ends_with_a_signal() {
    let mut process = Process::start(Process::command(&["demo", "--port", "0"]));
    eventually("it listens", async || process.stderr().contains("listening") || process.stdout().contains("Ctrl-C"))
        .await;
    for _ in 0..9 {
        let call = process.call(Method::POST, "/v1/chat/completions").await;
        assert_eq!(call.json(&chat_request()).answer().await.status, 200);
    }
    process.signal("INT");
    assert_eq!(process.exit_code().await, Some(0));
}

fn run_in_shell(line: &str, folder: &Path) -> (Option<i32>, String, String) {
    let mut shell = tool("sh");
    shell.args(["-c", line]).current_dir(folder);
    let (code, stdout, stderr) = run(shell);
    (code, stdout, format!("{line}\n{stderr}"))
}
