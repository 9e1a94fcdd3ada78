//! `pointsman approach run`: one question, through the proxy of a configuration, in this process.
//!
//! The proxy listens on a free port of this machine while it is asked, and lets nobody in who does not have a key that is
//! drawn for the purpose. The answer goes to standard output, and what it took to standard error.
//!
//! Exit codes: 0 it was answered, 1 it was not, 2 the arguments or the configuration are wrong.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::super::{load, run as run_server, say, say_error, start_logs, use_cache, wrong};
use super::examine::read_options;
use crate::app::App;
use crate::config::{ApproachEntry, Config, Secret, environment};
use crate::proxy::approach::Approaches;
use crate::proxy::request::Approach;

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 20;

#[derive(Debug, Args)]
pub struct Run {
    /// The approach: its name, a combination such as re2&bon, or the file of a component.
    #[arg(value_name = "NAME|FILE")]
    approach: String,
    /// The question.
    prompt: String,
    /// The model to ask.
    #[arg(long)]
    model: String,
    /// The configuration of the proxy [default: as for `serve`].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Options of the approach instead of the configuration's, as JSON or as @FILE.
    #[arg(long, value_name = "JSON|@FILE")]
    options: Option<String>,
}

pub fn run(run: &Run) -> ExitCode {
    let mut config = match load(run.config.as_deref()) {
        Ok(config) => config,
        Err(problems) => return wrong(&problems),
    };
    let expression = match choose(&mut config, run) {
        Ok(expression) => expression,
        Err(problem) => return wrong(&format!("approach run: {problem}")),
    };
    // For the log that an author may want to see; what the configuration says of it is meant for a server.
    if environment("RUST_LOG").is_some() {
        start_logs(&config);
    }
    use_cache();
    let key = close_doors(&mut config);
    let body = json!({
        "model": run.model,
        "messages": [{"role": "user", "content": run.prompt}],
        "optillm_approach": expression,
    });
    run_server(async move {
        let app = match App::bind(config).await {
            Ok(app) => app,
            Err(error) if error.is::<crate::config::LoadError>() => return Ok(wrong(&error.to_string())),
            Err(error) => return Err(error),
        };
        let address = app.local_addr().context("the proxy has no address")?;
        let (end, ended) = oneshot::channel::<()>();
        let asking = async move {
            let answered = ask(address, &key, &body).await;
            drop(end);
            answered
        };
        let serving = app.run(async move { drop(ended.await) });
        let (answered, served) = tokio::join!(asking, serving);
        served?;
        Ok(tell(&expression, &answered?))
    })
}

/// The expression that chooses the approach; a file, and options, become part of the configuration.
fn choose(config: &mut Config, run: &Run) -> Result<String, String> {
    let file = Path::new(&run.approach);
    let mut name = run.approach.clone();
    let mut entry = None;
    if file.is_file() {
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().replace('-', "_")).unwrap_or_default();
        let is_name = matches!(stem.parse(), Ok(Approach::Run(run)) if run.to_string() == stem);
        name = if is_name { stem } else { "it".to_owned() };
        let path = file.canonicalize().map_err(|error| format!("{}: {error}", file.display()))?;
        entry = Some(ApproachEntry { path: Some(path), ..entry_of(config, &name) });
        if let Some(allowed) = &mut config.approaches.allow {
            allowed.push((name.clone(), 0));
        }
    }
    if let Some(given) = &run.options {
        let options = Value::Object(read_options(given)?);
        entry = Some(ApproachEntry { config: options, ..entry.unwrap_or_else(|| entry_of(config, &name)) });
    }
    if let Some(entry) = entry {
        let entries = &mut config.approaches.entries;
        entries.retain(|other| other.name != entry.name);
        entries.push(entry);
    }
    let approach: Approach = name.parse().map_err(|error: crate::proxy::request::Malformed| error.to_string())?;
    Approaches::new(config, None).menu.check(&approach).map_err(|error| error.to_string())?;
    Ok(name)
}

fn entry_of(config: &Config, name: &str) -> ApproachEntry {
    let found = config.approaches.entries.iter().find(|entry| entry.name == name);
    found.cloned().unwrap_or_else(|| ApproachEntry::new(name))
}

/// Makes the proxy one for a single client of this machine, who has the key that is returned.
fn close_doors(config: &mut Config) -> String {
    let key = format!("{:016x}{:016x}", RandomState::new().hash_one(0), RandomState::new().hash_one(1));
    let server = &mut config.server;
    (server.host, server.port) = ("127.0.0.1".to_owned(), 0);
    server.api_keys = vec![Secret::new(key.clone())];
    config.clients = crate::config::Clients::default();
    (server.tls, server.admin, server.watch) = (None, None, false);
    server.cors_origins.clear();
    server.drain_delay = Duration::ZERO;
    // What it records is the server's.
    config.monitoring.record = None;
    key
}

/// The proxy's answer.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

async fn ask(address: SocketAddr, key: &str, body: &Value) -> anyhow::Result<Answered> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post("/v1/chat/completions")
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, format!("Bearer {key}"))
        .body(Full::new(Bytes::from(body.to_string())))?;
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| anyhow::anyhow!(error))?;
        let body = serde_json::from_slice(&body.to_bytes()).context("the answer is not JSON")?;
        Ok(Answered { status: head.status, headers: head.headers, body })
    };
    tokio::pin!(connection, answered);
    tokio::select! {
        biased;
        answered = &mut answered => answered,
        ended = &mut connection => {
            ended?;
            answered.await
        }
    }
}

/// Prints the answer, and what it took.
fn tell(expression: &str, answered: &Answered) -> ExitCode {
    let Answered { status, headers, body } = answered;
    if !status.is_success() {
        let message = body["error"]["message"].as_str().unwrap_or("no reason is given");
        say_error(&format!("{expression}: {status}: {message}"));
        return ExitCode::FAILURE;
    }
    for choice in body["choices"].as_array().into_iter().flatten() {
        let message = &choice["message"];
        match message["content"].as_str() {
            Some(text) => say(text),
            None => say(&message.to_string()),
        }
    }
    let figures = headers.get("x-pointsman-approach").and_then(|value| value.to_str().ok()).unwrap_or_default();
    say_error(&took(expression, figures, &body["usage"]));
    ExitCode::SUCCESS
}

/// What it took, in words: `figures` is the header, `bon; calls=4; choices=6; ms=5321`.
fn took(expression: &str, figures: &str, usage: &Value) -> String {
    let mut text = expression.to_owned();
    let mut between = ": ";
    let mut add = |part: &str| {
        let _ = write!(text, "{between}{part}");
        between = ", ";
    };
    for (name, value) in figures.split("; ").filter_map(|figure| figure.split_once('=')) {
        match name {
            "ms" => add(&format!("{:.1} s", value.parse::<f64>().unwrap_or_default() / 1e3)),
            _ if value == "1" => add(&format!("1 {}", name.trim_end_matches('s'))),
            _ if value.parse::<u64>().is_ok() => add(&format!("{value} {name}")),
            _ => add(&format!("{name} {value}")),
        }
    }
    if let (Some(prompt), Some(completion)) = (usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64()) {
        add(&format!("{prompt} tokens of prompts, {completion} of answers"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_took_is_said_in_words() {
        let usage = json!({"prompt_tokens": 80, "completion_tokens": 6});
        let words = took("bon", "bon; calls=1; choices=3; ms=5321", &usage);
        assert_eq!(words, "bon: 1 call, 3 choices, 5.3 s, 80 tokens of prompts, 6 of answers");
        assert_eq!(took("bon", "bon; fault=trapped", &Value::Null), "bon: fault trapped");
        assert_eq!(took("proxy", "", &Value::Null), "proxy");
    }
}
