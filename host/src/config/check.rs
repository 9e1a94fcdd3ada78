//! The sections of the file and their defaults; the checked sections become a [`Config`].

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::address::listening_host;
use super::approach::approaches;
use super::attribute::{self, attributes};
use super::clients::{Shown, advise, clients, keep_secret};
use super::image::registries;
use super::interpolate::Env;
use super::labels::labels;
use super::ledger::ledger;
use super::litellm;
use super::network::network;
use super::node::Node;
use super::prices::prices;
use super::problem::{Findings, Place};
use super::provider::{Around, providers, required};
use super::read::{Reader, Section, Zero};
use super::route::read::routes;
use super::schema::{ADMIN, AFFINITY, HEALTH_CHECK, MONITORING, QUEUE, ROUTING, SERVER, TIMEOUTS, TLS, TOP, WEBSOCKET};
use super::secret::secret;
use super::state::state;
use super::strategy::{Sources, Strategies, choose, known};
use super::telemetry::telemetry;
use super::visitors;
use super::{
    Admin, Affinity, Clients, Config, HealthCheck, LogFormat, LogLevel, ModelNames, Monitoring, Queue, Record, Server,
    StreamUsage, Timeouts, TlsFiles, WebSocket, Written,
};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HEALTH_INTERVAL: Duration = Duration::from_secs(30);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of soft failures in a row that ejects a provider.
const FAILURES: u32 = 3;
/// The largest legal value of `failures`, because only that many attempts are remembered.
const MAX_FAILURES: u64 = 20;
const RETRIES: u64 = 2;
/// More retries would only keep a client waiting.
const MAX_RETRIES: u64 = 10;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);
const QUEUE_SLOTS: u32 = 100;
const MAX_WAITING: u64 = 1000;
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than the 60 s for which common load balancers keep their connections, so that they close them and not we.
const CLIENT_IDLE_TIMEOUT: Duration = Duration::from_secs(75);
const MAX_CONNECTIONS: u32 = 20_000;
const MAX_HEADER_BYTES: u64 = 32 << 10;
/// Requests at once on a connection with HTTP/2: above the 100 that RFC 9113 (6.5.2) recommends as the least, since some clients open
/// one connection only.
const STREAMS: u64 = 250;
const MOST_STREAMS: u64 = 10_000;
const SLOT_WAIT: Duration = Duration::from_millis(500);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Shorter than the 60 s after which common load balancers give up a silent connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A person may think for as long, and the place of a session that nobody uses any more is free again in time.
const WEBSOCKET_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Longer than the hour that OpenAI gives one, so that the provider ends it and says so.
const WEBSOCKET_MAX_DURATION: Duration = Duration::from_secs(7200);
const MAX_BODY_BYTES: u64 = 32 << 20;
const RECORD_BYTES: u64 = 64 << 20;
const HOST: &str = "127.0.0.1";
const PORT: u16 = 8000;

/// A body limit beyond this is a mistake in the unit.
const LARGEST_BODY: u64 = 1 << 40;

/// Headers that carry credentials: neither strategies nor providers get them from a client.
pub(super) const SECRET_HEADERS: [&str; 5] = ["api-key", "authorization", "cookie", "x-api-key", "x-goog-api-key"];

/// Checks the whole tree; returns `None` exactly when a problem was reported.
pub(super) fn check(
    root: Option<&Node>,
    file: &Path,
    builtins: &[&str],
    env: &Env<'_>,
    findings: &mut Findings,
) -> Option<Config> {
    litellm::recognise(root, findings).ok()?;
    let mut reader = Reader::new(findings, env);
    let top = reader.mapping(root, Place::file(), Some(TOP)).ok()?;
    let global = reader.section(&top, "timeouts", Some(TIMEOUTS));
    let global = timeouts(&mut reader, &global);
    let folder = file.parent().unwrap_or(Path::new(""));
    let routing = reader.section(&top, "routing", Some(ROUTING));
    let health_check = health_check(&mut reader, &routing);
    let proxy = network(&mut reader, &top);
    let around = Around { timeouts: global, checks: &health_check, proxy, warned: Cell::new(false) };
    let providers = providers(&mut reader, &top, &around);
    let registries = registries(&mut reader, &top);
    let strategies = known(&mut reader, &top, Sources { folder, builtins, registries: &registries });
    let strategy = choose(&mut reader, &routing, &strategies);
    let routes = routes(&mut reader, &top, &providers, &strategies);
    let approaches = approaches(&mut reader, &top, folder, &registries);
    let prices = prices(&mut reader, &top, &providers);
    let wanted = "a number of attempts, 0 or more";
    let retries = reader.integer(&routing, "retries", wanted, 0, MAX_RETRIES).unwrap_or(RETRIES);
    let affinity = affinity(&mut reader, &routing);
    let attributes = attributes(&mut reader, &routing);
    let names = [("provider", ModelNames::Provider), ("client", ModelNames::Client)];
    let model_names = reader.one_of(&routing, "model_names", &names, false).unwrap_or(ModelNames::Provider);
    let queue = queue(&mut reader, &top);
    let monitoring = monitoring(&mut reader, &top, folder);
    let telemetry = Box::new(telemetry(&mut reader, &top));
    let state = state(&mut reader, &top);
    let clients = clients(&mut reader, &top);
    let server = server(&mut reader, &top, &clients);
    let shown = Shown {
        attributes: attributes.iter().filter_map(|attribute| attribute.header()).collect(),
        affinity: affinity.header.as_ref(),
        forwarded: &server.forward_headers,
    };
    advise(&mut reader, &top, &clients, server.admin.is_some());
    keep_secret(&mut reader, &top, clients.header.as_ref(), &shown);
    (!providers.is_empty()).then_some(())?;
    let Strategies { chosen: strategy, shadows, declared } = strategy?;
    Some(Config {
        file: file.to_owned(),
        providers,
        routes,
        strategy,
        shadows,
        declared,
        approaches,
        prices,
        health_check,
        retries: u32::try_from(retries).unwrap_or(u32::MAX),
        affinity,
        attributes,
        model_names,
        queue,
        monitoring,
        telemetry,
        server,
        state,
        clients,
        warnings: Vec::new(),
        names: Vec::new(),
        begun: SystemTime::now(),
        written: Written::default(),
    })
}

/// The timeouts that the file sets, before any default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given {
    request: Option<Duration>,
    connect: Option<Duration>,
    idle: Option<Duration>,
}

impl Given {
    /// These timeouts where they are set, otherwise those in `other`.
    pub fn over(self, other: &Self) -> Self {
        Self {
            request: self.request.or(other.request),
            connect: self.connect.or(other.connect),
            idle: self.idle.or(other.idle),
        }
    }

    /// The names of the timeouts that are set.
    pub fn names(&self) -> Vec<&'static str> {
        let given = [("request", self.request), ("connect", self.connect), ("idle", self.idle)];
        given.into_iter().filter_map(|(name, given)| given.map(|_| name)).collect()
    }

    /// All timeouts, with defaults for the missing ones; the default of `idle` is `request`.
    pub fn resolve(self) -> Timeouts {
        let request = self.request.unwrap_or(REQUEST_TIMEOUT);
        Timeouts { request, connect: self.connect.unwrap_or(CONNECT_TIMEOUT), idle: self.idle.unwrap_or(request) }
    }
}

/// The timeouts of one section, either the global one or a provider's.
pub(super) fn timeouts(reader: &mut Reader<'_>, section: &Section<'_>) -> Given {
    Given {
        request: reader.seconds(section, "request", Zero::Illegal),
        connect: reader.seconds(section, "connect", Zero::Illegal),
        idle: reader.seconds(section, "idle", Zero::Illegal),
    }
}

fn health_check(reader: &mut Reader<'_>, routing: &Section<'_>) -> HealthCheck {
    let section = reader.section(routing, "health_check", Some(HEALTH_CHECK));
    let interval = reader.seconds(&section, "interval", Zero::Illegal).unwrap_or(HEALTH_INTERVAL);
    let failures = reader.integer(&section, "failures", "a positive integer", 1, MAX_FAILURES);
    HealthCheck {
        enabled: reader.boolean(&section, "enabled", true),
        interval,
        timeout: reader.seconds(&section, "timeout", Zero::Illegal).unwrap_or(HEALTH_TIMEOUT),
        cooldown: reader.seconds(&section, "cooldown", Zero::Illegal).unwrap_or(interval),
        failures: failures.and_then(|failures| u32::try_from(failures).ok()).unwrap_or(FAILURES),
    }
}

fn affinity(reader: &mut Reader<'_>, routing: &Section<'_>) -> Affinity {
    let section = reader.section(routing, "affinity", Some(AFFINITY));
    let header = attribute::header(reader, &section, "such as x-session-id");
    let wanted = "a number of bytes from 1 to 1048576";
    let mut body = Vec::new();
    for (at, node) in reader.list(&section, "body") {
        let Ok(found) = reader.text_at(node, at, false) else { continue };
        attribute::is_body_key(reader, &found, "such as prompt_cache_key, or metadata.user_id for one in an object");
        body.push(found.text);
    }
    let prefix = reader.integer(&section, "prompt_prefix", wanted, 1, 1 << 20);
    Affinity { header, body, prompt_prefix: prefix.and_then(|prefix| usize::try_from(prefix).ok()) }
}

fn queue(reader: &mut Reader<'_>, top: &Section<'_>) -> Queue {
    let section = reader.section(top, "queue", Some(QUEUE));
    let max_concurrent = reader.count(&section, "max_concurrent").unwrap_or(QUEUE_SLOTS);
    let wanted = "a number of requests, 0 or more";
    let max_waiting = reader.integer(&section, "max_waiting", wanted, 0, u32::MAX.into()).unwrap_or(MAX_WAITING);
    Queue {
        max_concurrent: usize::try_from(max_concurrent).unwrap_or(usize::MAX >> 3),
        max_waiting: usize::try_from(max_waiting).unwrap_or(usize::MAX),
        timeout: reader.seconds(&section, "timeout", Zero::Legal).unwrap_or(QUEUE_TIMEOUT),
        slot_wait: reader.seconds(&section, "slot_wait", Zero::Legal).unwrap_or(SLOT_WAIT),
    }
}

fn monitoring(reader: &mut Reader<'_>, top: &Section<'_>, folder: &Path) -> Monitoring {
    let section = reader.section(top, "monitoring", Some(MONITORING));
    let levels = [
        ("TRACE", LogLevel::Trace),
        ("DEBUG", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("WARNING", LogLevel::Warning),
        ("WARN", LogLevel::Warning),
        ("ERROR", LogLevel::Error),
        // Python's highest level, which an OptiLLM user may have written.
        ("CRITICAL", LogLevel::Error),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let usages = [("auto", StreamUsage::Auto), ("always", StreamUsage::Always)];
    Monitoring {
        log_level: reader.one_of(&section, "log_level", &levels, true).unwrap_or(LogLevel::Info),
        log_format: reader.one_of(&section, "log_format", &formats, false).unwrap_or(LogFormat::Text),
        track_latency: reader.boolean(&section, "track_latency", true),
        track_errors: reader.boolean(&section, "track_errors", true),
        interval: reader.seconds(&section, "interval", Zero::Illegal).unwrap_or(SUMMARY_INTERVAL),
        explain: reader.boolean(&section, "explain", false),
        usage: reader.one_of(&section, "usage", &usages, false).unwrap_or(StreamUsage::Auto),
        record: record(reader, &section, folder, "such as decisions.ndjson"),
        ledger: ledger(reader, &section, folder),
        labels: labels(reader, &section),
    }
}

/// The file of a record. Whether it can be written is only known when it is opened.
pub(super) fn record(reader: &mut Reader<'_>, section: &Section<'_>, folder: &Path, such_as: &str) -> Option<Record> {
    let wanted = "a number of bytes from 1048576 to 1099511627776";
    let max_bytes = reader.integer(section, "record_max_bytes", wanted, 1 << 20, 1 << 40).unwrap_or(RECORD_BYTES);
    let found = reader.text(section, "record").ok()??;
    if found.text.is_empty() {
        reader.findings.problem(&found.at, "must not be empty", Some(such_as.to_owned()));
    }
    Some(Record { path: folder.join(&found.text), max_bytes, line: found.at.line })
}

fn server(reader: &mut Reader<'_>, top: &Section<'_>, clients: &Clients) -> Server {
    let section = reader.section(top, "server", Some(SERVER));
    let (host, port) = address(reader, &section);
    let keys = reader.list(&section, "api_keys");
    let api_keys: Vec<_> = keys.into_iter().filter_map(|(at, node)| secret(reader, node, at, None).ok()).collect();
    let wanted = "a positive number of bytes";
    let body = reader.integer(&section, "max_body_bytes", wanted, 1, LARGEST_BODY).unwrap_or(MAX_BODY_BYTES);
    let wanted = "a positive number of bytes";
    let buffered = reader.integer(&section, "max_buffered_bytes", wanted, 1, LARGEST_BODY);
    let wanted = "a number of bytes from 8192 to 1048576";
    let head = reader.integer(&section, "max_header_bytes", wanted, 8 << 10, 1 << 20).unwrap_or(MAX_HEADER_BYTES);
    let wanted_streams = "a number of requests from 1 to 10000";
    let connections = reader.count(&section, "max_connections").unwrap_or(MAX_CONNECTIONS);
    Server {
        host: host.unwrap_or_else(|| HOST.to_owned()),
        port: port.unwrap_or(PORT),
        cors_origins: visitors::origins(reader, &section, clients.refuse_unknown(!api_keys.is_empty())),
        api_keys,
        hosts: visitors::hosts(reader, &section),
        forward_headers: visitors::forward_headers(reader, &section),
        max_body_bytes: usize::try_from(body).unwrap_or(usize::MAX),
        max_buffered_bytes: buffered.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        max_header_bytes: usize::try_from(head).unwrap_or(usize::MAX),
        max_connections: usize::try_from(connections).unwrap_or(usize::MAX),
        header_timeout: reader.seconds(&section, "header_timeout", Zero::Illegal).unwrap_or(HEADER_TIMEOUT),
        idle_timeout: reader.seconds(&section, "idle_timeout", Zero::Illegal).unwrap_or(CLIENT_IDLE_TIMEOUT),
        drain_delay: reader.seconds(&section, "drain_delay", Zero::Legal).unwrap_or_default(),
        drain_timeout: reader.seconds(&section, "drain_timeout", Zero::Legal).unwrap_or(DRAIN_TIMEOUT),
        keep_alive: Some(reader.seconds(&section, "keep_alive", Zero::Legal).unwrap_or(KEEP_ALIVE))
            .filter(|pause| !pause.is_zero()),
        websocket: websocket(reader, &section),
        watch: reader.boolean(&section, "watch", true),
        http2: http(reader, &section),
        max_streams: u32::try_from(
            reader.integer(&section, "max_streams", wanted_streams, 1, MOST_STREAMS).unwrap_or(STREAMS),
        )
        .unwrap_or(u32::MAX),
        tls: tls(reader, &section),
        admin: admin(reader, &section),
    }
}

/// The time limits of WebSockets.
fn websocket(reader: &mut Reader<'_>, server: &Section<'_>) -> WebSocket {
    let section = reader.section(server, "websocket", Some(WEBSOCKET));
    let mut limit = |key: &str, default: Duration| {
        Some(reader.seconds(&section, key, Zero::Legal).unwrap_or(default)).filter(|limit| !limit.is_zero())
    };
    WebSocket {
        idle_timeout: limit("idle_timeout", WEBSOCKET_IDLE_TIMEOUT),
        max_duration: limit("max_duration", WEBSOCKET_MAX_DURATION),
    }
}

/// True unless `http` allows HTTP/1.1 alone.
fn http(reader: &mut Reader<'_>, server: &Section<'_>) -> bool {
    let versions = |text: &str| match text {
        "auto" => Some(true),
        "1.1" => Some(false),
        _ => None,
    };
    reader.measured(server, "http", "auto or 1.1", versions).unwrap_or(true)
}

/// `host` and `port` of a listener.
fn address(reader: &mut Reader<'_>, section: &Section<'_>) -> (Option<String>, Option<u16>) {
    let host = reader.text(section, "host").ok().flatten().and_then(|found| match listening_host(&found.text) {
        Ok(host) => Some(host.to_owned()),
        Err((wrong, help)) => {
            reader.findings.problem(&found.at, format!("{wrong}, not {}", found.shown), help.map(str::to_owned));
            None
        }
    });
    let wanted = "a port from 0 to 65535";
    let port = reader.integer(section, "port", wanted, 0, u16::MAX.into()).and_then(|port| u16::try_from(port).ok());
    (host, port)
}

/// The files of `server.tls`; the listener checks their content.
fn tls(reader: &mut Reader<'_>, server: &Section<'_>) -> Option<TlsFiles> {
    server.get("tls")?;
    let section = reader.section(server, "tls", Some(TLS));
    let mut file = |key| {
        let found = required(reader, &section, key).ok()?;
        let path = reader.findings.names(&found.text);
        if found.text.is_empty() {
            reader.findings.problem(&found.at, "must not be empty", None);
        } else if !path.is_file() {
            reader.findings.problem(&found.at, format!("there is no file {}", path.display()), None);
        }
        Some(path)
    };
    let (cert, key) = (file("cert"), file("key"));
    Some(TlsFiles { cert: cert?, key: key?, line: section.at.line })
}

/// The second listener.
fn admin(reader: &mut Reader<'_>, server: &Section<'_>) -> Option<Admin> {
    server.get("admin")?;
    let section = reader.section(server, "admin", Some(ADMIN));
    let (host, port) = address(reader, &section);
    if section.get("port").is_none() {
        reader.findings.problem(&section.place("port"), "is required", Some("such as 9090".to_owned()));
    }
    let api_key = section.get("api_key").and_then(|(at, node)| secret(reader, node, at, None).ok());
    Some(Admin { host: host.unwrap_or_else(|| HOST.to_owned()), port: port?, api_key })
}
