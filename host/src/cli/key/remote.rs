//! Keys of a running server: requests to its listener for operators.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Wrong;
use crate::cli::report::say_json;
use crate::cli::{load, say};
use crate::config::{ProviderTls, environment};
use crate::provider::client::trust;

/// The most bytes of an answer that are read: a list of 100,000 keys.
const MAX_ANSWER: usize = 64 << 20;
/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The variable with the operators' key.
const ADMIN_KEY: &str = "POINTSMAN_ADMIN_KEY";

/// Where the server is.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Server {
    /// The listener for operators [default: `server.admin` of the configuration].
    #[arg(long)]
    url: Option<String>,
    /// Certificates to trust, in PEM, where the URL begins with https:// [default: those of the system].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The operators' key [default: $POINTSMAN_ADMIN_KEY, else `server.admin.api_key` of the configuration].
    #[arg(long, value_name = "KEY")]
    admin_key: Option<String>,
    /// The configuration [default: as for `serve`].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One key of a server.
#[derive(Debug, Args)]
pub(in crate::cli) struct One {
    /// The key's id, or its client's name.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    server: Server,
}

impl Server {
    pub(super) fn list(&self) -> Result<ExitCode, Wrong> {
        let answer = self.ask(Method::GET, "/admin/keys", None)?;
        if self.json {
            say_json(&answer);
            return Ok(ExitCode::SUCCESS);
        }
        let keys = answer["data"].as_array().cloned().unwrap_or_default();
        let rows: Vec<[String; 6]> = keys.iter().map(row).collect();
        say(&table(&rows));
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn create(&self, terms: &Map<String, Value>) -> Result<ExitCode, Wrong> {
        let answer = self.ask(Method::POST, "/admin/keys", Some(Value::Object(terms.clone())))?;
        self.show(&answer, "made");
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, answer: &Value, done: &str) {
        if self.json {
            return say_json(answer);
        }
        let text = |key: &str| answer[key].as_str().unwrap_or_default();
        say(&format!("The key {} ({}) was {done}.", text("name"), text("id")));
        if let Some(key) = answer["key"].as_str() {
            say(&format!("\nThe key, which is shown this once:\n\n  {key}"));
        }
        if let Some(until) = answer["old_key_until"].as_str() {
            say(&format!("\nThe old key goes on until {until}."));
        }
    }

    fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Wrong> {
        self.exchange("pointsman key", self.place()?, method, path, body)
    }

    /// True when a flag names the server.
    pub(in crate::cli) fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// The configuration that a flag names.
    pub(in crate::cli) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// True when JSON is to be printed.
    pub(in crate::cli) fn wants_json(&self) -> bool {
        self.json
    }

    /// What a running server answers to a request that changes nothing; `command` is who asks.
    pub(in crate::cli) fn read(&self, command: &str, path: &str) -> Result<Value, Wrong> {
        self.exchange(command, self.reading_place()?, Method::GET, path, None)
    }

    /// The same server, found for good: the configuration is not read again for each question.
    pub(in crate::cli) fn found(&self) -> Result<Self, Wrong> {
        let (url, admin_key) = self.reading_place()?;
        Ok(Self { url: Some(url), admin_key, ..self.clone() })
    }

    fn exchange(
        &self,
        command: &str,
        (url, key): (String, Option<String>),
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, Wrong> {
        let failed = |error: anyhow::Error| Wrong::Failed(format!("{command}: {error:#}"));
        let uri: Uri = format!("{}{path}", url.trim_end_matches('/'))
            .parse()
            .map_err(|_| Wrong::Usage(format!("{command}: {url} is not a URL")))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Wrong::Usage(format!("{command}: {url} must begin with http:// or https://")));
        }
        let tls = match (uri.scheme_str(), &self.ca) {
            (Some("https"), ca) => {
                let wanted = ProviderTls { ca: ca.clone(), ..ProviderTls::default() };
                let loaded = trust::load(&wanted).with_context(|| "TLS cannot be set up").map_err(failed)?;
                Some(Arc::new(loaded))
            }
            (_, Some(_)) => {
                return Err(Wrong::Usage(format!("{command}: --ca is for URLs that begin with https://")));
            }
            (_, None) => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.into()))?;
        let answer =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(&uri, tls, method, key, body)).await });
        runtime.shutdown_background();
        let answer = answer.map_err(|_elapsed| Wrong::Failed(format!("{command}: {url} did not answer in time")))?;
        let (status, answer) = answer.with_context(|| format!("{url} does not answer")).map_err(failed)?;
        if status.is_success() {
            return Ok(answer);
        }
        let said = answer["error"]["message"].as_str().unwrap_or("without a reason");
        Err(Wrong::Failed(format!("{command}: {url} answered {status}: {said}")))
    }

    /// The URL and the key to send.
    fn place(&self) -> Result<(String, Option<String>), Wrong> {
        let given = self.admin_key.clone().or_else(|| environment(ADMIN_KEY));
        if let Some(url) = &self.url {
            let url = if url.contains("://") { url.clone() } else { format!("http://{url}") };
            return Ok((url, given));
        }
        let problems = |problems| Wrong::Usage(format!("{problems}\nor name the server with --url"));
        let config = load(self.config.as_deref()).map_err(problems)?;
        let Some(admin) = &config.server.admin else {
            let text = "pointsman key: the configuration has no `server.admin`, by which keys are made at run time";
            return Err(Wrong::Usage(text.to_owned()));
        };
        let key = given.or_else(|| admin.api_key.as_ref().map(|key| key.reveal().to_owned()));
        Ok((format!("http://{}:{}", dialled(&admin.host), admin.port), key))
    }

    /// The same for what may be read by clients where there is no listener for operators.
    fn reading_place(&self) -> Result<(String, Option<String>), Wrong> {
        if self.url.is_some() {
            return self.place();
        }
        let problems = |problems| Wrong::Usage(format!("{problems}\nor name the server with --url"));
        let config = load(self.config.as_deref()).map_err(problems)?;
        if config.server.admin.is_some() {
            return self.place();
        }
        let given = self.admin_key.clone().or_else(|| environment(ADMIN_KEY));
        let key = given.or_else(|| config.server.api_keys.first().map(|key| key.reveal().to_owned()));
        Ok((format!("http://{}:{}", dialled(&config.server.host), config.server.port), key))
    }
}

/// The host by which a listener on this host is reached from this machine.
fn dialled(host: &str) -> String {
    match host {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.to_owned(),
    }
}

impl One {
    pub(super) fn act(&self, action: &str, body: Option<Value>) -> Result<ExitCode, Wrong> {
        let answer = self.server.ask(Method::POST, &format!("{}/{action}", self.path()), body)?;
        let done = match action {
            "block" => "blocked",
            "unblock" => "unblocked",
            _ => "given a new text",
        };
        self.server.show(&answer, done);
        Ok(ExitCode::SUCCESS)
    }

    pub(super) fn delete(&self) -> Result<ExitCode, Wrong> {
        let answer = self.server.ask(Method::DELETE, &self.path(), None)?;
        self.server.show(&answer, "deleted");
        Ok(ExitCode::SUCCESS)
    }

    fn path(&self) -> String {
        format!("/admin/keys/{}", utf8_percent_encode(&self.id, NON_ALPHANUMERIC))
    }
}

/// Asks over TLS, if it is given.
async fn ask(
    uri: &Uri,
    tls: Option<Arc<rustls::ClientConfig>>,
    method: Method,
    key: Option<String>,
    body: Option<Value>,
) -> anyhow::Result<(http::StatusCode, Value)> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await?;
    match tls {
        None => exchange(stream, uri, method, key, body).await,
        Some(tls) => {
            let name = rustls::pki_types::ServerName::try_from(host.to_owned())?;
            let stream = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await?;
            exchange(stream, uri, method, key, body).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &Uri,
    method: Method,
    key: Option<String>,
    body: Option<Value>,
) -> anyhow::Result<(http::StatusCode, Value)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, uri.authority().map_or("", http::uri::Authority::as_str))
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header(AUTHORIZATION, format!("Bearer {key}"));
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let bytes = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        anyhow::Ok((head.status, json_or_text(&bytes.to_bytes())))
    };
    let ((), answered) = tokio::join!(async { drop(connection.await) }, answered);
    answered
}

/// What is no JSON, as the metrics are, is a text.
fn json_or_text(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// One key in a line of the list.
fn row(key: &Value) -> [String; 6] {
    let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
    let state = if key["blocked"] == true { "blocked".to_owned() } else { text("expires") };
    let from = if key["source"] == "file" { text("place") } else { "store".to_owned() };
    let id = if key["source"] == "file" { String::new() } else { text("id") };
    [text("name"), id, text("group"), limits(key), state, from]
}

/// The limits of a key, such as `rpm 600, 50 dollars/day`.
fn limits(key: &Value) -> String {
    let rates = key["limits"].as_object().into_iter().flatten().map(|(name, amount)| format!("{name} {amount}"));
    let budgets = match &key["budget"] {
        Value::Array(budgets) => budgets.as_slice(),
        Value::Null => &[],
        one => std::slice::from_ref(one),
    };
    let budget = |budget: &Value| {
        let usd = budget["usd"].as_f64().unwrap_or_default();
        format!("{usd} dollars/{}", budget["per"].as_str().unwrap_or_default())
    };
    rates.chain(budgets.iter().map(budget)).collect::<Vec<_>>().join(", ")
}

/// Rows below their headings.
fn table(rows: &[[String; 6]]) -> String {
    let heads = ["NAME", "ID", "GROUP", "LIMITS", "EXPIRES", "FROM"].map(str::to_owned);
    let all: Vec<&[String; 6]> = std::iter::once(&heads).chain(rows).collect();
    let mut widths = [0; 6];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(*row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &all {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(*row) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.trim_end().to_owned()
}
