//! The configuration: what a user wrote, checked as a whole, as the rest of the program needs it.
//!
//! [`load`] reads a YAML file, interpolates the environment, checks everything and either returns a [`Config`] in
//! which every value is legal, or all problems at once.

mod address;
mod attribute;
mod check;
mod example;
mod file;
mod find;
mod interpolate;
mod json;
mod key;
mod litellm;
mod network;
mod node;
mod problem;
mod provider;
mod read;
mod route;
mod schema;
mod strategy;
#[cfg(test)]
mod tests;
mod vendor;
mod visitors;
mod wildcard;
mod written;
mod yaml;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use url::{Host, Url};

pub use address::listening_host;
pub use attribute::{Attribute, AttributeSource};
pub use find::{FindError, find};
pub use interpolate::{Env, environment};
pub use problem::{LoadError, Problem};
pub use route::{Fallbacks, Hedge, HedgeAfter, Route, RouteTimeouts, Target, TargetTier};
pub use wildcard::Wildcard;
pub use written::{Change, Written};

pub(crate) use key::is_no_key;
pub(crate) use node::{Node, NodeKind};
pub(crate) use problem::{Findings, Place, Reported, nearest};
pub(crate) use read::{Reader, Section};
pub(crate) use schema::Schema;
pub(crate) use wildcard::fits;

/// A file beyond this is not a configuration.
const MAX_FILE: u64 = 1 << 20;

/// Reads and checks a file. `builtins` are the names of the strategies inside the binary.
///
/// # Errors
/// Everything that is wrong with it at once; see [`Problem`].
pub fn load(file: &Path, env: &Env<'_>, builtins: &[&str]) -> Result<Config, LoadError> {
    let fail = |line, message: String, help: Option<&str>| {
        let mut findings = Findings::new(file);
        findings.problem(&Place { line, ..Place::file() }, message, help.map(str::to_owned));
        findings.conclude(|_| None)
    };
    let bytes = match file::read_bounded(file, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) => return fail(0, format!("cannot be read: {error}"), None),
    };
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return fail(0, "is larger than 1 MiB, too large for a configuration".to_owned(), None);
    }
    match str::from_utf8(&bytes) {
        Ok(text) => parse(text, file, env, builtins),
        Err(error) => {
            let line = 1 + bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
            fail(line, "is not UTF-8".to_owned(), Some("save the file in the encoding UTF-8"))
        }
    }
}

/// Checks a configuration that is already in memory. `file` is what problems call it, and its folder is what paths in
/// it are relative to; it need not exist.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, file: &Path, env: &Env<'_>, builtins: &[&str]) -> Result<Config, LoadError> {
    let mut findings = Findings::new(file);
    let root = yaml::read(text, &mut findings);
    let root = root.ok();
    let config = root.as_ref().and_then(|root| check::check(root.as_ref(), file, builtins, env, &mut findings));
    let written = root.map(|root| Written::of(root.as_ref(), env, &findings));
    let names = findings.names.clone();
    let written = written.unwrap_or_default();
    findings.conclude(|warnings| Some(Config { warnings, names, written, ..config? }))
}

/// The configuration that stands in a file of another kind, under `key`.
///
/// # Errors
/// Does what [`load`] does, with keys that begin with `key`.
pub(crate) fn within(
    root: &Node,
    key: &str,
    file: &Path,
    env: &Env<'_>,
    builtins: &[&str],
) -> Result<Config, LoadError> {
    let mut findings = Findings::new(file);
    let config = check::check(Some(root), file, builtins, env, &mut findings);
    let config = findings.conclude(|warnings| Some(Config { warnings, ..config? }));
    config.map_err(|mut error| {
        for problem in &mut error.problems {
            problem.key = if problem.key.is_empty() { key.to_owned() } else { format!("{key}.{}", problem.key) };
        }
        error
    })
}

/// The tree of a file of another kind than a configuration, within the same bounds; what is wrong with it as YAML is noted.
pub(crate) fn tree(text: &str, findings: &mut Findings) -> Result<Option<Node>, Reported> {
    yaml::read(text, findings)
}

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// In the order of the file; never empty, names unique.
    pub providers: Vec<Provider>,
    /// In the order of the file, names unique; empty is one route, of every model to every provider.
    pub routes: Vec<Route>,
    /// Which strategy routes where a route does not say.
    pub strategy: StrategyChoice,
    /// Strategies that see what it sees and decide nothing.
    pub shadows: Vec<StrategyChoice>,
    /// All strategies under `strategies`, in the order of the file.
    pub declared: Vec<StrategyChoice>,
    /// Active checks and ejection.
    pub health_check: HealthCheck,
    /// Attempts that a request is given after every candidate has failed softly.
    pub retries: u32,
    /// Which requests belong together.
    pub affinity: Affinity,
    /// What strategies are told of each request beside the facts, in the order of the file; names unique, 16 at most.
    pub attributes: Vec<Attribute>,
    /// The side whose name of the model stands in answers.
    pub model_names: ModelNames,
    /// The global queue and the wait for a provider's slot.
    pub queue: Queue,
    /// Logs and what is tracked.
    pub monitoring: Monitoring,
    /// The listener.
    pub server: Server,
    /// What is legal but deserves a line in the log at start, one sentence each.
    pub warnings: Vec<String>,
    /// The files that it names, whatever for.
    pub names: Vec<PathBuf>,
    /// The keys and values as they stand in the file.
    pub written: Written,
}

/// One callable destination.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Unique, at most 100 characters, none of them control characters; legal as the bytes of a header value.
    pub name: String,
    /// http or https, without query, fragment or user. Its path has no trailing slash, but a bare host's is `/`.
    pub base_url: Url,
    /// Never empty; printable ASCII.
    pub api_key: Secret,
    /// Finite, above 0.
    pub weight: f64,
    /// Held back until the primaries have failed.
    pub fallback_only: bool,
    /// Requests at once; `None` is without limit.
    pub max_concurrent: Option<u32>,
    /// Maps the client's name of a model to the provider's; exact names. [`Provider::model_for`] looks at both maps.
    pub model_map: HashMap<String, String>,
    /// The keys of the map that have a `*`, the most specific first.
    pub wildcards: Vec<Wildcard>,
    /// The models that it serves, each with one `*` at most; empty is any. [`Provider::serves`] knows them all.
    pub models: Vec<String>,
    /// What it costs, for strategies.
    pub price: Option<Price>,
    /// The tokens that a request and its answer may have together, for strategies.
    pub context: Option<u32>,
    /// What else strategies may know of it, in the order of the file; keys unique.
    pub labels: Vec<(String, String)>,
    /// Its dialect.
    pub kind: ProviderKind,
    /// Azure's `api-version`.
    pub api_version: String,
    /// Extra request headers; names are legal and lower case.
    pub headers: Vec<(String, Secret)>,
    /// The global timeouts with this provider's own laid over them.
    pub timeouts: Timeouts,
    /// The names of those timeouts that are its own.
    pub own_timeouts: Vec<&'static str>,
    /// The global settings of active checks with this provider's own laid over them.
    pub health_check: ProviderCheck,
    /// The way to the provider: straight, through a forward proxy, or to a socket.
    pub way: Way,
    /// The certificates to trust, where the provider's URL begins with https.
    pub tls: ProviderTls,
}

/// The active check of one provider.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderCheck {
    /// True when the provider is checked at all.
    pub enabled: bool,
    /// The path that is asked for: below the base URL, or below the server's root if it begins with a slash; `None` is
    /// the list of models.
    pub path: Option<String>,
    /// Between two checks.
    pub interval: Duration,
    /// Bounds one check.
    pub timeout: Duration,
}

/// The way to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// The host and port of its URL.
    Direct,
    /// Through a forward proxy.
    Proxy(ForwardProxy),
    /// A socket in the file system; the URL's host is `localhost`.
    Socket(PathBuf),
}

/// A forward proxy that speaks HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForwardProxy {
    /// Its host.
    pub host: Host<String>,
    /// Its port.
    pub port: u16,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<Secret>,
}

/// The certificates to trust in a provider, and the one to show to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProviderTls {
    /// Certificates of those whom to trust, in place of the system's.
    pub ca: Option<PathBuf>,
    /// The chain of a client certificate; with `key` or not at all.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The name that its certificate must have, in place of the URL's host.
    pub server_name: Option<String>,
    /// The line of the file that begins it, for problems found when reading its files.
    pub line: usize,
}

/// What a million tokens cost, in the operator's currency; finite, 0 or more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Of a request.
    pub input: f64,
    /// Of an answer.
    pub output: f64,
}

/// How the host knows which requests belong together. Without either it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Requests with the same value of this header do.
    pub header: Option<HeaderName>,
    /// Without that header those with the same value of the first of these keys that the body has; dots lead into objects.
    pub body: Vec<String>,
    /// Without either those do whose conversations begin alike; how many bytes of the beginning count.
    pub prompt_prefix: Option<usize>,
}

/// The side whose name of the model stands in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelNames {
    /// The name that the provider gives.
    Provider,
    /// The name that the client asked for.
    Client,
}

/// The dialect of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// `{base}/chat/completions`, `Authorization: Bearer`.
    OpenAi,
    /// `{base}/openai/deployments/{model}/...?api-version=`, `api-key`.
    Azure,
}

/// Which strategy routes, as far as the file system and the configuration can say.
#[derive(Clone, Debug)]
pub struct StrategyChoice {
    /// The name for logs: what stands under `routing.strategy`.
    pub name: String,
    /// Where the component comes from.
    pub source: StrategySource,
    /// `strategies.NAME.config` as JSON; an empty object when absent.
    pub config: serde_json::Value,
    /// What it is shown beyond facts.
    pub grants: Grants,
    /// The bounds on loading the strategy.
    pub limits: StrategyLimits,
    /// The line of the file that chose it, for problems found when loading it; 0 when it is the default.
    pub line: usize,
}

/// What a strategy is shown beyond facts, because the configuration says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The last message of the user.
    pub prompt: bool,
}

/// Bounds on loading a strategy: its author, or whoever puts a file into a folder, must not be able to bring the proxy
/// down with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StrategyLimits {
    /// Bytes of a component's file.
    pub max_bytes: u64,
    /// Bytes of memory to compile it.
    pub compile_memory: u64,
    /// Time to compile it.
    pub compile_timeout: Duration,
}

impl Default for StrategyLimits {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, compile_memory: 2 << 30, compile_timeout: Duration::from_secs(300) }
    }
}

/// As problems name it: the file if there is one.
impl fmt::Display for StrategyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            StrategySource::BuiltIn(name) => write!(f, "strategy `{name}`"),
            StrategySource::File(path) => write!(f, "strategy `{}` ({})", self.name, path.display()),
        }
    }
}

/// Where a strategy's component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StrategySource {
    /// One of those built into the binary, by its name there.
    BuiltIn(String),
    /// A `.wasm` file that existed when the configuration was checked.
    File(PathBuf),
}

/// Active checks and ejection.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// Whether active checks are sent at all.
    pub enabled: bool,
    /// Between two checks of one provider.
    pub interval: Duration,
    /// Bounds one check.
    pub timeout: Duration,
    /// The longest ejection; a refused key waits for so long at once.
    pub cooldown: Duration,
    /// The number of soft failures in a row that eject a provider.
    pub failures: u32,
}

/// What bounds an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// The whole exchange, or with streaming the time to the first event.
    pub request: Duration,
    /// Connecting, TLS included.
    pub connect: Duration,
    /// Between two events of a stream.
    pub idle: Duration,
}

/// The global queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Requests in flight at once.
    pub max_concurrent: usize,
    /// Requests that may wait for their turn; more are turned away at once.
    pub max_waiting: usize,
    /// How long a request may wait for its turn.
    pub timeout: Duration,
    /// How long it waits for a slot of one provider before it looks at the next.
    pub slot_wait: Duration,
}

/// Logs, and what is tracked.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitoring {
    /// The lowest level that is logged.
    pub log_level: LogLevel,
    /// How a line looks.
    pub log_format: LogFormat,
    /// Whether latency is measured and logged.
    pub track_latency: bool,
    /// True when failed requests eject their provider.
    pub track_errors: bool,
    /// Between two summaries of latency in the log.
    pub interval: Duration,
    /// Whether answers name the decision behind them.
    pub explain: bool,
    /// Where decisions are recorded, if they are.
    pub record: Option<Record>,
}

/// The record of decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The file.
    pub path: PathBuf,
    /// How large it becomes before it is put aside as `FILE.1`.
    pub max_bytes: u64,
    /// The line of the configuration that names it, for problems found when opening it.
    pub line: usize,
}

/// The lowest level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The listener.
#[derive(Clone, Debug)]
pub struct Server {
    /// Host name or address to bind.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
    /// Keys that clients must show one of; empty lets everyone in.
    pub api_keys: Vec<Secret>,
    /// Web pages whose scripts may send requests, as browsers name them; `*` is any.
    pub cors_origins: Vec<String>,
    /// Names of this machine beside `localhost` and its addresses.
    pub hosts: Vec<String>,
    /// Headers about clients that providers get all the same; none of them carries a credential.
    pub forward_headers: Vec<HeaderName>,
    /// Larger request bodies are refused.
    pub max_body_bytes: usize,
    /// The bodies of all requests together may hold so much; `None` is a quarter of the memory.
    pub max_buffered_bytes: Option<usize>,
    /// Larger request heads are refused.
    pub max_header_bytes: usize,
    /// More connections at once are turned away.
    pub max_connections: usize,
    /// The head of a request must come within this time of its first byte, and a TLS handshake within the same.
    pub header_timeout: Duration,
    /// A connection without a request is closed after this time.
    pub idle_timeout: Duration,
    /// The time for which the server goes on accepting after it was asked to end, not ready any more, before it drains.
    pub drain_delay: Duration,
    /// How long a drain waits for requests in flight.
    pub drain_timeout: Duration,
    /// After how long without a byte a stream gets a comment; `None` is never.
    pub keep_alive: Option<Duration>,
    /// Whether changes of the files are followed by a reload.
    pub watch: bool,
    /// The certificate of the listener; without one it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The second listener, for operators.
    pub admin: Option<Admin>,
}

/// A certificate and its key, as PEM files that existed when the configuration was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The line of the file that names them, for problems found when reading them.
    pub line: usize,
}

/// The second listener, which serves `/metrics` and `/admin`, and then the first does not.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Host name or address to bind.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
    /// The key that its clients must show; without one everybody is let in who can connect.
    pub api_key: Option<Secret>,
}

/// A text that is never printed: its `Debug` is `***` and it has no `Display`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends or compares it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
