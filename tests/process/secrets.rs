//! Keys stay where they belong: whatever a provider echoes, whatever goes wrong and however much is logged.
//!
//! Successful answers of a provider are passed on unchanged, so they are not searched.

mod pages;

use std::path::Path;

use harness::{Mock, Process, Raw, Reply, SECRET_MARK, Script, eventually};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{check, run, write};

/// A key with the mark in it.
fn key(of: &str) -> String {
    format!("sk-{of}-{SECRET_MARK}-{of}")
}

/// All keys of the configurations below.
fn keys() -> Vec<String> {
    ["a", "b", "header", "client", "other-client", "by-text", "expired", "bounded", "admin", "wrong"].map(key).to_vec()
}

/// Says what the model of the request names, with the keys of provider `name` wherever there is room for one.
fn parrot(name: &'static str) -> Script {
    Script::by(move |_, seen| {
        let echo = format!("key {} and header {}", key(name), key("header"));
        // Of one model is asked without a body.
        let model = if seen.method == "GET" { json!("404") } else { seen.json()["model"].clone() };
        let model = model.as_str().unwrap_or_default();
        let error = |status| Reply::error(status, &echo).header("x-debug", &echo).header("www-authenticate", &echo);
        match model {
            "redirect" => Reply::status(302).header("location", &format!("http://127.0.0.1:1/?key={}", key(name))),
            "event" => Reply::sse().event(&json!({"error": {"message": echo}})).done(),
            "named-event" => Reply::sse().body(format!("event: error\ndata: {echo}\n\n")),
            "reason" => Reply::raw(format!("HTTP/1.1 400 {echo}\r\ncontent-length: 2\r\n\r\n{{}}")),
            "junk" => Reply::raw(format!("{echo}\r\n\r\n")),
            "bad-header" => Reply::raw(format!("HTTP/1.1 200 OK\r\nx {echo}\r\n\r\n")),
            "cut" => Reply::sse().word("one").body(format!(": {}", "x".repeat(10))).cut(),
            "success" => Reply::chat("fine").header("x-debug", &echo).header("set-cookie", &echo),
            "throttle" => error(429).header("retry-after", "1"),
            status => error(status.parse().unwrap_or(500)),
        }
    })
}

/// Standard base64, as an `Authorization: Basic` or a JSON dump might have it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks_exact(3) {
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        text.extend([18, 12, 6, 0].map(|shift| char::from(LETTERS[(bits >> shift & 63) as usize])));
    }
    text
}

/// Claims that no key is in `text`, plain or in base64 at any alignment.
fn holds_no_key(text: &str, what: &str) {
    let at = text.find(SECRET_MARK).map(|at| text[..at].chars().rev().take(200).collect::<String>());
    let before = at.map(|before| before.chars().rev().collect::<String>());
    assert_eq!(before, None, "{what} holds a key behind this");
    for key in keys() {
        for skipped in 0..3 {
            assert!(!text.contains(&base64(&key.as_bytes()[skipped..])), "{what} holds a key in base64");
        }
    }
}

fn config(a: &Mock, b: &Mock, more: Value) -> String {
    let provider = |mock: &Mock, name: &str| {
        let headers = json!({"x-team-secret": key("header")});
        json!({"name": name, "base_url": mock.base_url(), "api_key": key(name), "headers": headers})
    };
    let mut config = json!({
        "providers": [provider(a, "a"), provider(b, "b")],
        "routing": {"strategy": "failover", "health_check": {"interval": 0.2, "cooldown": 0.01}},
        "server": {"api_keys": [key("client"), key("other-client")]},
        "clients": {"header": "x-client-key", "keys": [
            {"name": "by-text", "key": key("by-text")},
            {"name": "expired", "key": key("expired"), "expires": "2020-01-01"},
            {"name": "bounded", "key": key("bounded"), "models": ["success"]},
        ]},
    });
    for (name, value) in more.as_object().cloned().unwrap_or_default() {
        config[name] = value;
    }
    format!("{config:#}\n")
}

/// Sends one request on a connection of its own; all that comes back, the status line's reason included.
async fn ask(process: &Process, method: &str, path: &str, key: &str, body: &str) -> String {
    let mut raw = Raw::connect(process.address().await).await;
    let length = body.len();
    raw.send(format!(
        "{method} {path} HTTP/1.1\r\nhost: p\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
    .await;
    raw.read_to_close().await
}

#[tokio::test]
async fn no_key_is_in_any_answer_or_log_at_any_level() {
    let models = [
        "success",
        "redirect",
        "event",
        "named-event",
        "reason",
        "junk",
        "bad-header",
        "cut",
        "throttle",
        "400",
        "401",
        "402",
        "403",
        "404",
        "408",
        "413",
        "422",
        "500",
        "503",
        "418",
    ];
    for format in ["text", "json"] {
        let (a, b) = (Mock::start("a", parrot("a")).await, Mock::start("b", parrot("b")).await);
        for (mock, name) in [(&a, "a"), (&b, "b")] {
            mock.list_models_by([Reply::error(401, &key(name)), Reply::error(500, &key(name)), Reply::models(&["m"])]);
        }
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("proxy_config.yaml");
        let monitoring =
            json!({"monitoring": {"log_level": "TRACE", "log_format": format, "explain": true, "interval": 0.1}});
        write(&file, &config(&a, &b, monitoring));
        let mut command = Process::command(&["serve", "--port", "0", "--config", file.to_str().expect("text")]);
        command.env("RUST_LOG", "trace,cranelift_codegen=off,regalloc2=off,wasmtime=info");
        let mut process = Process::start(command);
        let mut said = Vec::new();
        for (path, method) in [
            ("/health", "GET"),
            ("/ready", "GET"),
            ("/metrics", "GET"),
            ("/v1/models", "GET"),
            ("/v1/models/m", "GET"),
            ("/nowhere", "GET"),
            ("/admin/reload", "POST"),
        ] {
            for key in ["client", "by-text", "expired", "bounded", "wrong"].map(key) {
                said.push((path, ask(&process, method, path, &key, "").await));
            }
        }
        for model in models {
            for stream in [false, true] {
                let body = json!({"model": model, "stream": stream, "messages": []}).to_string();
                said.push((model, ask(&process, "POST", "/v1/chat/completions", &key("client"), &body).await));
            }
            said.push(("/health", ask(&process, "GET", "/health", "", "").await));
        }
        for body in ["{\"model\": 1}", "{\"model\": ", "[]", "{\"model\": \"m\", \"optillm_approach\": \"z3\"}"] {
            said.push((body, ask(&process, "POST", "/v1/chat/completions", &key("other-client"), body).await));
        }
        for client in ["expired", "bounded"] {
            let body = json!({"model": "m", "messages": []}).to_string();
            said.push(("refused", ask(&process, "POST", "/v1/chat/completions", &key(client), &body).await));
        }
        said.push(("/metrics", ask(&process, "GET", "/metrics", &key("client"), "").await));
        assert!(said.iter().all(|(_, answer)| answer.starts_with("HTTP/1.1 ")), "{said:?}");
        assert!(said.iter().any(|(what, answer)| *what == "success" && answer.contains("fine")), "{said:?}");
        // A reload of a configuration that is wrong, told to whoever has a client's key.
        write(&file, &config(&a, &b, json!({"queue": {"timeout": -1}})));
        said.push(("bad reload", ask(&process, "POST", "/admin/reload", &key("client"), "").await));
        said.push(("/health", ask(&process, "GET", "/health", "", "").await));
        for (what, answer) in &said {
            holds_no_key(answer, &format!("{format}: the answer to {what}"));
        }
        process.signal("TERM");
        assert_eq!(process.exit_code().await, Some(0));
        assert!(process.stderr().contains("DEBUG"), "everything is logged");
        holds_no_key(&process.stderr(), &format!("{format}: the log"));
        holds_no_key(&process.stdout(), "stdout");
    }
}

#[tokio::test]
async fn the_second_listeners_key_is_in_no_log() {
    let (a, b) = (Mock::start("a", parrot("a")).await, Mock::start("b", parrot("b")).await);
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("proxy_config.yaml");
    let server = json!({"api_keys": [key("client")], "admin": {"port": 0, "api_key": key("admin")}});
    write(&file, &config(&a, &b, json!({"server": server, "monitoring": {"log_level": "TRACE"}})));
    let process = Process::serve(&file);
    let answer = process.call(Method::GET, "/metrics").await.header("authorization", &key("admin")).answer().await;
    assert_ne!(answer.status, 200, "the first listener has no metrics then");
    eventually("the start is logged", async || process.stderr().contains("listening")).await;
    holds_no_key(&process.stderr(), "the log");
}

fn problems(folder: &Path, text: &str) -> String {
    let file = folder.join("proxy_config.yaml");
    write(&file, text);
    let mut command = check(&file);
    command.env("A_KEY", key("a"));
    let (code, stdout, stderr) = run(command);
    assert!(code.is_some_and(|code| code == 0 || code == 2), "{stderr}");
    stdout + &stderr
}

#[test]
fn no_key_is_in_what_check_says() {
    let folder = TempDir::new().expect("a temporary folder");
    let (a, header) = (key("a"), key("header"));
    let good = "name: a, base_url: 'http://a/v1'";
    for text in [
        format!("providers:\n  - {{{good}, api_key: {a}}}\n"),
        format!("providers:\n  - {{{good}, api_key: [{a}]}}\n"),
        format!("providers:\n  - {{{good}, api_key: \"{a}\\n\"}}\n"),
        format!("providers:\n  - {{{good}, api_key: {a}, api_key: {a}}}\n"),
        format!("providers:\n  - {{name: a, base_url: 'http://user:{a}@a/v1', api_key: {a}}}\n"),
        format!("providers:\n  - {{name: a, base_url: 'http://a/v1?key={a}', api_key: {a}}}\n"),
        format!("providers:\n  - {{{good}, api_key: {a}, headers: {{'bad name': {header}}}}}\n"),
        format!("providers:\n  - {{{good}, api_key: {a}, headers: {{x-a: \"{header}\\n\"}}}}\n"),
        format!("providers:\n  - {{{good}, api_key: {a}, headers: {{authorization: {header}}}}}\n"),
        format!("providers:\n  - {{{good}, api_key: \"{a}\n"),
        format!("providers:\n  - {{{good}, api_key: {a}, weight: \"${{A_KEY}}\", max_concurrent: \"${{A_KEY}}\"}}\n"),
        format!("providers:\n  - {{{good}, api_key: {a}, base_uri: \"${{A_KEY}}\", type: \"${{A_KEY}}\"}}\n"),
        format!("providers:\n  - {{{good}, api_key: {a}}}\nserver: {{api_keys: {a}, port: \"${{A_KEY}}\"}}\n"),
        format!("providers:\n  - {{{good}, api_key: {a}}}\nserver: {{api_keys: [[{a}], '', {{a: {a}}}]}}\n"),
        format!("providers:\n  - {{{good}, api_key: {a}}}\nserver: {{admin: {{port: 0, api_key: [{a}]}}}}\n"),
        format!("providers:\n  - {{{good}, api_key: {a}}}\nrouting: {{strategy: \"${{A_KEY}}\"}}\n"),
    ] {
        holds_no_key(&problems(folder.path(), &text), &text);
    }
}
