//! The configuration: what a user wrote, checked as a whole, as the rest of the program needs it.
//!
//! [`load`] reads a YAML file, interpolates the environment, checks everything and either returns a [`Config`] in
//! which every value is legal, or all problems at once.

mod address;
mod approach;
mod attribute;
mod check;
mod clients;
mod example;
mod file;
mod find;
mod image;
mod interpolate;
mod json;
mod key;
mod labels;
mod ledger;
mod limits;
mod litellm;
mod network;
mod node;
pub(crate) mod prices;
mod problem;
mod provider;
mod read;
mod route;
mod schema;
mod secret;
mod state;
mod strategy;
mod telemetry;
#[cfg(test)]
mod tests;
mod units;
mod vendor;
mod visitors;
mod wildcard;
mod written;
mod yaml;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use http::HeaderName;
use url::{Host, Url};

pub use address::listening_host;
pub use approach::{ApproachEntry, Approaches, FanOut, OnFault, Pipeline, Progress};
pub use attribute::{Attribute, AttributeSource};
pub use clients::{
    BASE32, BASE62, ClientGroup, ClientKey, Clients, Digest, Expiry, ID_LENGTH, KeyForm, KeyStore, SECRET_LENGTH,
    Unknown, compose, digest_of, form_of, terms as key_terms,
};
pub use find::{FindError, find};
pub use image::{Image, Registry, split as split_image};
pub use interpolate::{Env, environment};
pub use labels::MetricLabel;
pub use ledger::{Ledger, LedgerFolder};
pub use limits::{Budget, Counts, Limits, Period, Rate};
pub use prices::{FilePrice, ModelPrice, PriceFile, PriceTier, Prices, Rates, Unpriced};
pub use problem::{LoadError, Problem};
pub use route::{Fallbacks, Hedge, HedgeAfter, Route, RouteTimeouts, Target, TargetTier};
pub use state::{OnOutage, State, StatePlace, StateServer, StateServers, StateTls};
pub use telemetry::{Always, Collector, GenAiNames, MetricExport, OtlpProtocol, Telemetry, Traces};
pub use units::span;
pub use wildcard::Wildcard;
pub use written::{Change, Origin, Setting, Written, defaults};

pub(crate) use key::is_no_key;
pub(crate) use node::{Node, NodeKind};
pub(crate) use prices::file::{is_litellm_rate, litellm_rates};
pub(crate) use problem::{Findings, Place, Reported, nearest};
pub(crate) use read::{Reader, Section};
pub(crate) use schema::{Schema, json_schema};
pub(crate) use wildcard::fits;

/// A file beyond this is not a configuration: a hundred thousand keys of clients have 10 to 20 MiB.
const MAX_FILE: u64 = 32 << 20;

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
    let begun = SystemTime::now();
    let bytes = match file::read_bounded(file, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) => return fail(0, format!("cannot be read: {error}"), None),
    };
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return fail(0, "is larger than 32 MiB, too large for a configuration".to_owned(), None);
    }
    match str::from_utf8(&bytes) {
        Ok(text) => parse(text, file, env, builtins).map(|config| Config { begun, ..config }),
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
/// As [`load`]; the keys in problems begin with `key`.
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

/// The tree of a YAML file that is not a configuration, within the same bounds; YAML errors go to `findings`.
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
    /// The strategy of every route that names none.
    pub strategy: StrategyChoice,
    /// Strategies that see the same requests as the first one and decide nothing.
    pub shadows: Vec<StrategyChoice>,
    /// All strategies under `strategies`, in the order of the file.
    pub declared: Vec<StrategyChoice>,
    /// The approaches that clients may use.
    pub approaches: Approaches,
    /// The prices of tokens.
    pub prices: Prices,
    /// Active checks and ejection.
    pub health_check: HealthCheck,
    /// Attempts that a request is given after every candidate has failed softly.
    pub retries: u32,
    /// The rules for which requests belong together.
    pub affinity: Affinity,
    /// Parts of a request that strategies see besides the facts, in the order of the file; at most 16, names unique.
    pub attributes: Vec<Attribute>,
    /// Whose name for the model answers carry.
    pub model_names: ModelNames,
    /// The global queue and the wait for a provider's slot.
    pub queue: Queue,
    /// Logging and measuring.
    pub monitoring: Monitoring,
    /// What is exported to collectors. Boxed, as futures hold whole configurations.
    pub telemetry: Box<Telemetry>,
    /// The listener.
    pub server: Server,
    /// The engine that replicas share.
    pub state: Option<State>,
    /// The clients that may ask.
    pub clients: Clients,
    /// Settings that are legal but deserve a line in the log at start, one sentence each.
    pub warnings: Vec<String>,
    /// Every file that the configuration refers to.
    pub names: Vec<PathBuf>,
    /// The moment before the first of its files was read.
    pub begun: SystemTime,
    /// The keys and values exactly as they appear in the file.
    pub written: Written,
}

impl Config {
    /// True when clients must show a known key.
    pub fn refuses_unknown(&self) -> bool {
        self.clients.refuse_unknown(!self.server.api_keys.is_empty())
    }
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
    /// True when it bills the prompt of a request that it has failed to answer.
    pub billed_failures: bool,
    /// Requests at once; `None` is without limit.
    pub max_concurrent: Option<u32>,
    /// The account at its vendor, by a name of the operator's choice; that of the provider where the file names none.
    pub account: String,
    /// The limits of all providers of the account together.
    pub limits: Limits,
    /// Maps the client's name of a model to the provider's; exact names. [`Provider::model_for`] looks at both maps.
    pub model_map: HashMap<String, String>,
    /// The keys of the map that have a `*`, the most specific first.
    pub wildcards: Vec<Wildcard>,
    /// The models that it serves, each with one `*` at most; empty is any. [`Provider::serves`] knows them all.
    pub models: Vec<String>,
    /// The price of its tokens, for strategies, and for everything where [`Config::prices`] has none.
    pub price: Option<Price>,
    /// True when the cost that its answers name counts: `price: reported`.
    pub reports_cost: bool,
    /// True when a stream's client that says nothing about its usage may be asked for it on the client's behalf.
    pub stream_usage: bool,
    /// The context window: how many tokens a request and its answer may have together. For strategies.
    pub context: Option<u32>,
    /// Labels that strategies can read, in the order of the file; keys unique.
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
    /// The version of HTTP.
    pub http: ProviderHttp,
    /// The certificates to trust, where the provider's URL begins with https.
    pub tls: ProviderTls,
}

/// The active check of one provider.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderCheck {
    /// True when the provider is checked at all.
    pub enabled: bool,
    /// The path to request: below the base URL, or below the server's root if it begins with a slash; `None` is
    /// the list of models.
    pub path: Option<String>,
    /// Between two checks.
    pub interval: Duration,
    /// Bounds one check.
    pub timeout: Duration,
}

/// The version of HTTP that a provider is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProviderHttp {
    /// HTTP/1.1.
    #[default]
    One,
    /// HTTP/2: over TLS by ALPN, otherwise with prior knowledge.
    Two,
    /// Over TLS whatever the provider prefers; otherwise HTTP/1.1.
    Auto,
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
    /// Certificates of the authorities to trust, in place of the system's.
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

/// The price of a million tokens, in the operator's currency; finite, 0 or more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Of a request.
    pub input: f64,
    /// Of an answer.
    pub output: f64,
}

/// The parts of a request by which the host tells which requests belong together; with no field set, it does not try
/// to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Requests with the same value of this header belong together.
    pub header: Option<HeaderName>,
    /// For requests without that header: the first of these keys that the body has. Dots lead into objects.
    pub body: Vec<String>,
    /// For requests without either: conversations that begin with the same bytes belong together; how many bytes count.
    pub prompt_prefix: Option<usize>,
}

/// Whose name for the model answers carry.
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

/// A strategy as the configuration names it, before its component is loaded.
#[derive(Clone, Debug)]
pub struct StrategyChoice {
    /// The name under which the configuration chooses it, also used in logs.
    pub name: String,
    /// The origin of the component.
    pub source: StrategySource,
    /// `strategies.NAME.config` as JSON; an empty object when absent.
    pub config: serde_json::Value,
    /// The additional data that it may see.
    pub grants: Grants,
    /// The bounds on loading the strategy.
    pub limits: StrategyLimits,
    /// The line of the file that chose it, for problems found when loading it; 0 when it is the default.
    pub line: usize,
}

/// Data beyond the facts that the configuration allows a strategy to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The last user message.
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

/// The name used in problems, with the file if there is one.
impl fmt::Display for StrategyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            StrategySource::BuiltIn(name) => write!(f, "strategy `{name}`"),
            StrategySource::File(path) => write!(f, "strategy `{}` ({})", self.name, path.display()),
            StrategySource::Image(image) => write!(f, "strategy `{}` ({image})", self.name),
        }
    }
}

/// The origin of a strategy's component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StrategySource {
    /// One of those built into the binary, by its name there.
    BuiltIn(String),
    /// A `.wasm` file that existed when the configuration was checked.
    File(PathBuf),
    /// A component in a registry.
    Image(Box<Image>),
}

/// Active checks and ejection.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// True when active checks are sent at all.
    pub enabled: bool,
    /// Between two checks of one provider.
    pub interval: Duration,
    /// Bounds one check.
    pub timeout: Duration,
    /// The longest ejection; a provider that refuses its key is ejected for this long at once.
    pub cooldown: Duration,
    /// The number of soft failures in a row that eject a provider.
    pub failures: u32,
}

/// The time limits of an attempt.
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
    /// The longest time that a request may wait for its turn.
    pub timeout: Duration,
    /// The time for which a request waits for a slot of one provider before it tries the next one.
    pub slot_wait: Duration,
}

/// Logging and measuring.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitoring {
    /// The lowest level that is logged.
    pub log_level: LogLevel,
    /// The format of a log line.
    pub log_format: LogFormat,
    /// True when latency is measured and logged.
    pub track_latency: bool,
    /// True when failed requests eject their provider.
    pub track_errors: bool,
    /// Between two summaries of latency in the log.
    pub interval: Duration,
    /// True when answers name the decision behind them.
    pub explain: bool,
    /// When providers are asked for the usage of a stream on behalf of a client that does not say.
    pub usage: StreamUsage,
    /// The record of decisions, if one is kept.
    pub record: Option<Record>,
    /// The stories of requests that are kept.
    pub ledger: Ledger,
    /// By what requests, tokens and cost are counted in metrics besides.
    pub labels: Vec<MetricLabel>,
}

/// When providers are asked for the usage of a stream on behalf of a client that does not say whether it wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    /// Only where a limit, a budget or a price needs it.
    Auto,
    /// Always.
    Always,
}

/// A record: of decisions, or of runs of approaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The file.
    pub path: PathBuf,
    /// The size in bytes at which it is renamed to `FILE.1` and a new file begins.
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

/// The format of a log line.
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
    /// A client must send one of these keys; an empty list lets everyone in.
    pub api_keys: Vec<Secret>,
    /// Web pages whose scripts may send requests, as browsers name them; `*` is any.
    pub cors_origins: Vec<String>,
    /// Names of this machine beside `localhost` and its addresses.
    pub hosts: Vec<String>,
    /// Headers about clients that are forwarded to providers nevertheless; none of them carries a credential.
    pub forward_headers: Vec<HeaderName>,
    /// Larger request bodies are refused.
    pub max_body_bytes: usize,
    /// The most bytes that all request bodies together may hold; `None` is a quarter of the memory.
    pub max_buffered_bytes: Option<usize>,
    /// Larger request heads are refused.
    pub max_header_bytes: usize,
    /// Connections beyond this number are turned away.
    pub max_connections: usize,
    /// The head of a request must come within this time of its first byte, and a TLS handshake within the same.
    pub header_timeout: Duration,
    /// A connection without a request is closed after this time.
    pub idle_timeout: Duration,
    /// The time between the request to end and the drain: the server goes on accepting, but says that it is not ready.
    pub drain_delay: Duration,
    /// The longest time that a drain waits for requests in flight.
    pub drain_timeout: Duration,
    /// The silence after which a stream gets a comment line, so that it stays open; `None` is never.
    pub keep_alive: Option<Duration>,
    /// The time limits of WebSockets.
    pub websocket: WebSocket,
    /// True when a change of the files causes a reload.
    pub watch: bool,
    /// True when clients may speak HTTP/2 as well as HTTP/1.1.
    pub http2: bool,
    /// The most requests at once on a connection with HTTP/2.
    pub max_streams: u32,
    /// The certificate of the listener; without one it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The second listener, for operators.
    pub admin: Option<Admin>,
}

/// The time limits of WebSockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// The time without a message either way after which one is closed; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// The longest time that one is open; `None` is without end.
    pub max_duration: Option<Duration>,
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

/// The second listener. Where it exists, it serves `/metrics` and `/admin` and the first listener does not.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Host name or address to bind.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
    /// The key that its clients must send; without one, everybody who can connect is let in.
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
