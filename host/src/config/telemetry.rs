//! `telemetry:`, what is exported by OpenTelemetry's protocol (OTLP). Where the file is silent, OpenTelemetry's own
//! variables count, see [`variables`].

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

mod variables;

use super::network::existing_file;
use super::read::{Reader, Section, Zero};
use super::schema::{ALWAYS, OTLP, OTLP_METRICS, OTLP_TLS, TELEMETRY, TRACES};
use super::{Node, NodeKind, Place, ProviderTls, Secret};
use variables::{Signal, Variables};

/// OpenTelemetry's default for OTLP over HTTP, and that over gRPC.
const ENDPOINTS: [&str; 2] = ["http://localhost:4318", "http://localhost:4317"];
const TIMEOUT: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(60);
const SERVICE_NAME: &str = "pointsman";

/// What is exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// The name of this service.
    pub service_name: String,
    /// More attributes of its resource; names unique, without `service.name`.
    pub attributes: Vec<(String, String)>,
    /// Spans of requests.
    pub traces: Option<Traces>,
    /// The metrics.
    pub metrics: Option<MetricExport>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { service_name: SERVICE_NAME.to_owned(), attributes: Vec::new(), traces: None, metrics: None }
    }
}

/// One that takes what is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// The URL of each request, http or https.
    pub url: Url,
    /// The headers of each request; names in lower case, unique.
    pub headers: Vec<(String, Secret)>,
    /// The time that a request may take.
    pub timeout: Duration,
    /// True when bodies are compressed.
    pub gzip: bool,
    /// The certificates to trust, and the one to show.
    pub tls: ProviderTls,
    /// What it speaks.
    pub protocol: OtlpProtocol,
}

/// The protocols of collectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Protobuf in requests of HTTP.
    #[default]
    Http,
    /// gRPC, in binaries that are built with it.
    Grpc,
}

/// Spans of requests: where they go, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// Where they go.
    pub to: Collector,
    /// The share of traces that are exported, from 0 to 1, by their ids.
    pub ratio: f64,
    /// True when a client that sends a `traceparent` decides for its trace.
    pub follows_parent: bool,
    /// What is exported in any case.
    pub always: Always,
    /// True when providers get a `traceparent` of the attempt in place of the client's.
    pub propagate: bool,
    /// How the attributes of generative AI are called.
    pub names: GenAiNames,
}

/// The requests whose spans are exported in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Always {
    /// Those that failed.
    pub errors: bool,
    /// Those for which more than one provider was tried.
    pub failovers: bool,
    /// Those that took longer.
    pub slower_than: Option<Duration>,
}

/// The conventions for the names of attributes of generative AI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GenAiNames {
    /// Those of version 1.41, the last in the general conventions.
    #[default]
    V1_41,
    /// Those of the conventions of their own that came after it.
    Latest,
}

/// Where metrics go, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricExport {
    /// Where they go.
    pub to: Collector,
    /// The time between two exports.
    pub interval: Duration,
}

/// What is exported, by the file and by the environment.
pub(super) fn telemetry(reader: &mut Reader<'_>, top: &Section<'_>) -> Telemetry {
    let section = reader.section(top, "telemetry", Some(TELEMETRY));
    let otlp = reader.section(&section, "otlp", Some(OTLP));
    let variables = Variables::new(&section.at);
    let is_wanted = top.get("telemetry").is_some();
    if !is_wanted && !variables.name_a_collector(reader) {
        return Telemetry::default();
    }
    let protocol = protocol(reader, &otlp, &variables);
    let base = endpoint(reader, &otlp);
    let headers = otlp.get("headers").is_some().then(|| headers(reader, &otlp));
    let timeout = reader.seconds(&otlp, "timeout", Zero::Illegal);
    let compressions = [("none", false), ("gzip", true)];
    let gzip = reader.one_of(&otlp, "compression", &compressions, false);
    let tls = tls(reader, &otlp, protocol);
    let to = |reader: &mut Reader<'_>, signal: Signal| {
        let own = base.as_ref().map(|base| below(base, signal, protocol));
        let named = own.or_else(|| variables.endpoint(reader, signal, protocol));
        let default = || Url::parse(ENDPOINTS[protocol as usize]).ok().map(|base| below(&base, signal, protocol));
        let url = named.or_else(|| is_wanted.then(default).flatten())?;
        let headers = headers.clone().unwrap_or_else(|| variables.headers(reader, signal));
        let timeout = timeout.or_else(|| variables.timeout(reader, signal)).unwrap_or(TIMEOUT);
        let gzip = gzip.or_else(|| variables.gzip(reader, signal)).unwrap_or(false);
        let tls = tls.clone().unwrap_or_else(|| variables.tls(reader, signal));
        Some(Collector { url, headers, timeout, gzip, tls, protocol })
    };
    let traces = traces(reader, &section, &to, &variables);
    let metrics = metrics(reader, &section, &to, &variables);
    let mut attributes = variables.attributes(reader);
    for (at, name, node) in reader.section(&otlp, "attributes", None).entries() {
        let Ok(found) = reader.text_at(node, at, false) else { continue };
        attributes.retain(|(other, _)| other != name);
        attributes.push((name.to_owned(), found.text));
    }
    let named = attributes.iter().position(|(name, _)| name == "service.name").map(|at| attributes.remove(at).1);
    let own = reader.text(&otlp, "service_name").ok().flatten().and_then(|found| {
        let is_empty = found.text.is_empty();
        if is_empty {
            reader.findings.problem(&found.at, "must not be empty", None);
        }
        (!is_empty).then_some(found.text)
    });
    let service_name = own.or_else(|| variables.service_name(reader)).or(named);
    let service_name = service_name.unwrap_or_else(|| SERVICE_NAME.to_owned());
    if variables.are_disabled(reader) {
        if is_wanted {
            let message = "nothing is exported, because the environment variable OTEL_SDK_DISABLED is true";
            reader.findings.warn(&section.at, message);
        }
        return Telemetry { service_name, attributes, traces: None, metrics: None };
    }
    Telemetry { service_name, attributes, traces, metrics }
}

/// The URL of a signal below that of a collector.
fn below(base: &Url, signal: Signal, protocol: OtlpProtocol) -> Url {
    let mut url = base.clone();
    if protocol == OtlpProtocol::Http {
        url.set_path(&format!("{}/v1/{}", base.path().trim_end_matches('/'), signal.name()));
    }
    url
}

/// Why a text is no URL of a collector, and a remedy.
fn url(text: &str) -> Result<Url, (&'static str, &'static str)> {
    let such_as = "such as http://localhost:4318";
    let Ok(url) = Url::parse(text) else { return Err(("must be a URL", such_as)) };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(("must be a URL that begins with http:// or https://", such_as));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(("must not contain a user or password", "credentials go under `headers`"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(("must have neither a query nor a fragment", such_as));
    }
    Ok(url)
}

fn endpoint(reader: &mut Reader<'_>, otlp: &Section<'_>) -> Option<Url> {
    let (at, node) = otlp.get("endpoint")?;
    // It may hold a password, by mistake.
    let found = reader.text_at(node, at, true).ok()?;
    match url(&found.text) {
        Ok(url) => Some(url),
        Err((wrong, help)) => {
            reader.findings.problem(&found.at, wrong, Some(help.to_owned()));
            None
        }
    }
}

fn protocol(reader: &mut Reader<'_>, otlp: &Section<'_>, variables: &Variables) -> OtlpProtocol {
    let names = [("http", OtlpProtocol::Http), ("grpc", OtlpProtocol::Grpc)];
    let Some(protocol) = reader.one_of(otlp, "protocol", &names, false) else { return variables.protocol(reader) };
    if protocol == OtlpProtocol::Grpc && !cfg!(feature = "otlp-grpc") {
        let help = "http, which collectors take at port 4318; or a binary built with `--features otlp-grpc`";
        reader.findings.problem(&otlp.place("protocol"), "grpc is not in this binary", Some(help.to_owned()));
        return OtlpProtocol::Http;
    }
    protocol
}

fn headers(reader: &mut Reader<'_>, otlp: &Section<'_>) -> Vec<(String, Secret)> {
    let mut headers: Vec<(String, Secret)> = Vec::new();
    for (at, written, node) in reader.section(otlp, "headers", None).entries() {
        let name = HeaderName::from_bytes(written.as_bytes()).map(|name| name.as_str().to_owned());
        let wrong = match name.as_deref() {
            Err(_) => Some("is not a legal header name"),
            Ok("host" | "content-type" | "content-length" | "content-encoding" | "transfer-encoding") => {
                Some("is a header that belongs to the request itself")
            }
            Ok(name) if headers.iter().any(|(other, _)| other == name) => {
                Some("is given twice; header names ignore upper and lower case")
            }
            Ok(_) => None,
        };
        if let Some(wrong) = wrong {
            reader.findings.problem(&at, wrong, None);
        }
        let Ok(found) = reader.text_at(node, at, true) else { continue };
        if HeaderValue::from_str(&found.text).is_err() {
            let help = found.text.ends_with('\n').then(|| "it ends in a newline".to_owned());
            reader.findings.problem(&found.at, "must not contain control characters", help);
        }
        headers.extend(name.ok().map(|name| (name, Secret::new(found.text))));
    }
    headers
}

/// The certificates that the file names.
fn tls(reader: &mut Reader<'_>, otlp: &Section<'_>, protocol: OtlpProtocol) -> Option<ProviderTls> {
    otlp.get("tls")?;
    let section = reader.section(otlp, "tls", Some(OTLP_TLS));
    let mut file = |key| existing_file(reader, &section, key).ok().flatten();
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    for (given, missing) in [("cert", "key"), ("key", "cert")] {
        if section.get(given).is_some() && section.get(missing).is_none() {
            reader.findings.problem(&section.place(missing), format!("is required beside `{given}`"), None);
        }
    }
    if protocol == OtlpProtocol::Grpc {
        let help = Some("leave it out: the system's certificates are used".to_owned());
        reader.findings.problem(&section.at, "cannot be set where `protocol` is grpc", help);
    }
    Some(ProviderTls { ca, cert, key, server_name: None, line: section.at.line })
}

/// Finds the collector of a signal.
type To<'a> = &'a dyn Fn(&mut Reader<'_>, Signal) -> Option<Collector>;

fn traces(reader: &mut Reader<'_>, telemetry: &Section<'_>, to: To<'_>, variables: &Variables) -> Option<Traces> {
    let section = reader.section(telemetry, "traces", Some(TRACES));
    let wanted = "a share from 0 to 1";
    let ratio = reader.number_that(&section, "ratio", wanted, |share| (0.0..=1.0).contains(&share));
    let always = always(reader, &section);
    let propagate = reader.boolean(&section, "propagate", true);
    if telemetry.get("traces").is_none() && variables.exporter(reader, Signal::Traces) == Some(false) {
        return None;
    }
    let to = to(reader, Signal::Traces)?;
    let (ratio, follows_parent) = ratio.map_or_else(|| variables.sampler(reader), |ratio| (ratio, true));
    let names = variables.names(reader);
    Some(Traces { to, ratio, follows_parent, always, propagate, names })
}

fn always(reader: &mut Reader<'_>, traces: &Section<'_>) -> Always {
    let mut always = Always::default();
    for (at, node) in reader.list(traces, "always") {
        if matches!(node.kind, NodeKind::Map(_)) {
            let Ok(section) = reader.mapping(Some(node), at, Some(ALWAYS)) else { continue };
            if section.get("slower_than").is_none() {
                let help = "such as {slower_than: 10}".to_owned();
                reader.findings.problem(&section.at, "must say slower than what", Some(help));
            }
            always.slower_than = reader.seconds(&section, "slower_than", Zero::Illegal).or(always.slower_than);
            continue;
        }
        word(reader, node, at, &mut always);
    }
    always
}

fn word(reader: &mut Reader<'_>, node: &Node, at: Place, always: &mut Always) {
    let Ok(found) = reader.text_at(node, at, false) else { return };
    match found.text.as_str() {
        "errors" => always.errors = true,
        "failovers" => always.failovers = true,
        _ => {
            let wanted = "errors, failovers or {slower_than: SECONDS}";
            reader.not(&found.at, wanted, &found.shown, None);
        }
    }
}

fn metrics(
    reader: &mut Reader<'_>,
    telemetry: &Section<'_>,
    to: To<'_>,
    variables: &Variables,
) -> Option<MetricExport> {
    let section = reader.section(telemetry, "metrics", Some(OTLP_METRICS));
    let interval = reader.seconds(&section, "interval", Zero::Illegal);
    let is_wanted = telemetry.get("metrics").is_some() || variables.exporter(reader, Signal::Metrics) == Some(true);
    let to = is_wanted.then(|| to(reader, Signal::Metrics)).flatten()?;
    if to.protocol == OtlpProtocol::Grpc {
        let help = Some("leave it out, and let the collector scrape /metrics".to_owned());
        reader.findings.problem(&telemetry.place("metrics"), "are exported by HTTP alone, not by gRPC", help);
    }
    let interval = interval.or_else(|| variables.interval(reader)).unwrap_or(INTERVAL);
    Some(MetricExport { to, interval })
}

#[cfg(test)]
mod tests;
