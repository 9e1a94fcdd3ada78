//! `providers[]`: the keys that each must have, and the values that are legal on the wire.

use std::cell::Cell;
use std::collections::HashMap;

use http::{HeaderName, HeaderValue};
use url::Url;

mod account;
mod base_url;

use super::check::{Given, timeouts};
use super::example::MINIMAL;
use super::limits::limits;
use super::network::{self, Choice};
use super::node::Node;
use super::prices::price;
use super::problem::{Place, Reported, quoted};
use super::read::{Reader, Section, Text, Zero};
use super::schema::{PROVIDER, PROVIDER_CHECK, PROVIDER_TIMEOUTS};
use super::secret::{SecretKeys, secret_or_file};
use super::{
    HealthCheck, Limits, Provider, ProviderCheck, ProviderHttp, ProviderKind, Secret, Timeouts, Way, Wildcard,
};
use account::{Granted, granted, share};
use base_url::{base_url, is_azure};

/// Longer names do not fit a log line or a table.
const MAX_NAME: usize = 100;

/// No model takes more tokens by far.
const MAX_CONTEXT: u64 = 1_000_000_000;

/// The newest general version of Azure's data plane when this was written; `api_version` overrides it.
const AZURE_API_VERSION: &str = "2024-10-21";

/// Set from the connection and the request itself (RFC 9110 section 7.6.1); extra headers must not contradict them.
pub(super) const RESERVED_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The settings that hold for all providers.
pub(super) struct Around<'a> {
    /// `timeouts` at top level.
    pub timeouts: Given,
    /// `routing.health_check`.
    pub checks: &'a HealthCheck,
    /// `network.proxy`.
    pub proxy: Option<Choice>,
    /// True once the log has been warned that the environment's forward proxy is not used.
    pub warned: Cell<bool>,
}

/// All providers that could be read; at least one, or a problem.
pub(super) fn providers(reader: &mut Reader<'_>, top: &Section<'_>, around: &Around<'_>) -> Vec<Provider> {
    let at = top.place("providers");
    let items = reader.list(top, "providers");
    if items.is_empty() {
        // A value of another type has been reported already.
        if top.get("providers").is_none_or(|(_, node)| node.describe() == "a list") {
            reader.findings.problem(&at, "at least one provider is required", Some(MINIMAL.to_owned()));
        }
        return Vec::new();
    }
    let mut names: HashMap<String, Place> = HashMap::new();
    let (mut providers, mut places) = (Vec::new(), Vec::new());
    let number = items.len();
    for (index, (at, node)) in items.into_iter().enumerate() {
        let Ok(section) = reader.mapping(Some(node), at, Some(PROVIDER)) else { continue };
        let name = name(reader, &section, index, &mut names);
        let Granted { account, limits, at } = granted(reader, &section);
        let rest = provider(reader, &section, around);
        if let (Some(name), Some(provider)) = (name, rest) {
            let account = account.unwrap_or_else(|| name.clone());
            providers.push(Provider { name, account, limits, ..provider });
            places.push(at);
        }
    }
    share(reader, &mut providers, &places);
    if providers.len() == number && providers.iter().all(|provider| provider.fallback_only) {
        reader.findings.warn(&at, "all are `fallback_only`, so there is no primary provider");
    }
    providers
}

/// The provider in `section`, still without its name; `None` only after a problem.
fn provider(reader: &mut Reader<'_>, section: &Section<'_>, around: &Around<'_>) -> Option<Provider> {
    let base = required(reader, section, "base_url").ok().and_then(|text| base_url(reader, &text).ok());
    let (base_url, socket) = base.unzip();
    let way = match (socket.flatten(), &base_url) {
        (Some(socket), _) => Way::Socket(socket),
        (None, Some(url)) => network::way(reader, section, url, around),
        (None, None) => Way::Direct,
    };
    let tls = network::tls(reader, section, base_url.as_ref());
    let http = http(reader, section, &way, base_url.as_ref());
    let api_key = api_key(reader, section);
    let azure = base_url.as_ref().and_then(Url::host_str).is_some_and(is_azure);
    let kinds = [("openai", ProviderKind::OpenAi), ("azure", ProviderKind::Azure)];
    let detected = if azure { ProviderKind::Azure } else { ProviderKind::OpenAi };
    let kind = reader.one_of(section, "type", &kinds, false).unwrap_or(detected);
    let weight = reader.positive(section, "weight", 1.0);
    let fallback_only = reader.boolean(section, "fallback_only", false);
    let max_concurrent = reader.count(section, "max_concurrent");
    let (model_map, wildcards) = model_map(reader, section);
    let models = models(reader, section);
    let (price, reports_cost) = price(reader, section);
    let usage = [("auto", true), ("never", false)];
    let stream_usage = reader.one_of(section, "stream_usage", &usage, false).unwrap_or(true);
    let context = context(reader, section);
    let labels = labels(reader, section);
    let api_version = api_version(reader, section, kind);
    let headers = headers(reader, section, kind);
    let own = reader.section(section, "timeouts", Some(PROVIDER_TIMEOUTS));
    let own = timeouts(reader, &own);
    let timeouts: Timeouts = own.over(&around.timeouts).resolve();
    let health_check = health_check(reader, section, around.checks);
    Some(Provider {
        name: String::new(),
        base_url: base_url?,
        api_key: api_key.ok()?,
        weight,
        fallback_only,
        billed_failures: reader.boolean(section, "billed_failures", false),
        max_concurrent,
        account: String::new(),
        limits: Limits::default(),
        model_map,
        wildcards,
        models,
        price,
        reports_cost,
        stream_usage,
        context,
        labels,
        kind,
        api_version,
        headers,
        timeouts,
        own_timeouts: own.names(),
        health_check,
        way,
        http,
        tls,
    })
}

/// The version of HTTP; 1.1 and 2 look like numbers.
fn http(reader: &mut Reader<'_>, section: &Section<'_>, way: &Way, url: Option<&Url>) -> ProviderHttp {
    let versions = |text: &str| match text {
        "auto" => Some(ProviderHttp::Auto),
        "1.1" => Some(ProviderHttp::One),
        "2" | "2.0" => Some(ProviderHttp::Two),
        _ => None,
    };
    let http = reader.measured(section, "http", "auto, 1.1 or 2", versions).unwrap_or_default();
    if http == ProviderHttp::Two && matches!(way, Way::Proxy(_)) && url.is_some_and(|url| url.scheme() == "http") {
        let help = "a forward proxy passes on HTTP/2 inside of TLS alone: write https:// in base_url, or http: 1.1";
        reader.findings.problem(&section.place("http"), "cannot be 2 here", Some(help.to_owned()));
    }
    http
}

/// The provider's own settings of its active check, over the global ones.
fn health_check(reader: &mut Reader<'_>, section: &Section<'_>, global: &HealthCheck) -> ProviderCheck {
    let section = reader.section(section, "health_check", Some(PROVIDER_CHECK));
    let path = reader.text(&section, "path").ok().flatten().and_then(|found| {
        let legal = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        if !found.text.is_empty() && found.text.bytes().all(legal) {
            return Some(found.text);
        }
        let help = "such as models, below base_url, or /health, below the server's root";
        reader.not(&found.at, "a path", &found.shown, Some(help.to_owned()));
        None
    });
    ProviderCheck {
        enabled: reader.boolean(&section, "enabled", global.enabled),
        path,
        interval: reader.seconds(&section, "interval", Zero::Illegal).unwrap_or(global.interval),
        timeout: reader.seconds(&section, "timeout", Zero::Illegal).unwrap_or(global.timeout),
    }
}

/// The key itself, or the content of the file that is named instead.
fn api_key(reader: &mut Reader<'_>, section: &Section<'_>) -> Result<Secret, Reported> {
    let empty = "if the server needs no key, any text will do, such as `none`";
    secret_or_file(reader, section, &SecretKeys { text: "api_key", file: "api_key_file", empty: Some(empty) })
}

/// A text that must be there.
pub(super) fn required(reader: &mut Reader<'_>, section: &Section<'_>, key: &str) -> Result<Text, Reported> {
    match reader.text(section, key)? {
        Some(text) => Ok(text),
        None => Err(reader.findings.problem(&section.place(key), "is required", None)),
    }
}

fn name(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    index: usize,
    names: &mut HashMap<String, Place>,
) -> Option<String> {
    let (name, at) = match reader.text(section, "name").ok()? {
        Some(Text { text, at, .. }) => (text, at),
        None => {
            let name = format!("provider_{index}");
            reader.findings.warn(&section.at, &format!("has no name and is called {name}"));
            (name, section.at.clone())
        }
    };
    if let Some(wrong) = illegal_name(&name) {
        reader.findings.problem(&at, wrong, None);
        return None;
    }
    if let Some(other) = names.get(&name) {
        let message = format!("must be unique, but {} on line {} is {} too", other.key, other.line, quoted(&name));
        reader.findings.problem(&at, message, None);
        return None;
    }
    names.insert(name.clone(), at);
    Some(name)
}

/// The reason why `name` cannot be the name of a provider or a route, if there is one.
pub(super) fn illegal_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("must not be empty")
    } else if name.chars().count() > MAX_NAME {
        Some("must have at most 100 characters")
    } else if name.chars().any(char::is_control) {
        Some("must not contain control characters")
    } else if name.trim() != name {
        Some("must not begin or end with white space")
    } else {
        None
    }
}

/// The exact names, and those with a `*`.
fn model_map(reader: &mut Reader<'_>, section: &Section<'_>) -> (HashMap<String, String>, Vec<Wildcard>) {
    let (mut models, mut wildcards) = (HashMap::new(), Vec::new());
    for (at, from, node) in reader.section(section, "model_map", None).entries() {
        let Ok(to) = model(reader, node, at.clone()) else { continue };
        let stars = (from.matches('*').count(), to.matches('*').count());
        match stars {
            (0, 0) => drop(models.insert(from.to_owned(), to)),
            (1, 0 | 1) => wildcards.extend(Wildcard::new(from, to)),
            (0, _) => {
                let help = "with `gpt-*: vendor/*`, the text that the first `*` matches replaces the second".to_owned();
                reader.findings.problem(&at, "has a `*`, but its key before the colon has none", Some(help));
            }
            _ => drop(several_stars(reader, &at)),
        }
    }
    Wildcard::sort(&mut wildcards);
    (models, wildcards)
}

pub(super) fn several_stars(reader: &mut Reader<'_>, at: &Place) -> Reported {
    reader.findings.problem(at, "may have one `*`, not several", Some("a `*` stands for any text".to_owned()))
}

/// The names under `models`, each exact or with one `*`.
pub(super) fn models(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<String> {
    let mut models = Vec::new();
    for (at, node) in reader.list(section, "models") {
        match model(reader, node, at.clone()) {
            Ok(name) if name.matches('*').count() > 1 => drop(several_stars(reader, &at)),
            Ok(name) => models.push(name),
            Err(Reported) => {}
        }
    }
    models
}

/// The tokens that a request and its answer may have together.
pub(super) fn context(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<u32> {
    let context = reader.integer(section, "context", "a number of tokens, 1 or more", 1, MAX_CONTEXT)?;
    u32::try_from(context).ok()
}

pub(super) fn labels(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for (at, key, node) in reader.section(section, "labels", None).entries() {
        if let Ok(found) = reader.text_at(node, at, false) {
            labels.push((key.to_owned(), found.text));
        }
    }
    labels
}

fn model(reader: &mut Reader<'_>, node: &Node, at: Place) -> Result<String, Reported> {
    let Text { at, text, .. } = reader.text_at(node, at, false)?;
    if text.is_empty() {
        return Err(reader.findings.problem(&at, "must not be empty", None));
    }
    Ok(text)
}

fn api_version(reader: &mut Reader<'_>, section: &Section<'_>, kind: ProviderKind) -> String {
    let Ok(Some(found)) = reader.text(section, "api_version") else { return AZURE_API_VERSION.to_owned() };
    if found.text.is_empty() || !found.text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
        let help = Some(format!("such as {AZURE_API_VERSION}"));
        reader.not(&found.at, "a version of Azure's API", &found.shown, help);
    } else if kind == ProviderKind::OpenAi {
        reader.findings.warn(&found.at, "has no effect, because the provider's type is openai");
    }
    found.text
}

fn headers(reader: &mut Reader<'_>, section: &Section<'_>, kind: ProviderKind) -> Vec<(String, Secret)> {
    let key_header = match kind {
        ProviderKind::OpenAi => "authorization",
        ProviderKind::Azure => "api-key",
    };
    let mut headers: Vec<(String, Secret)> = Vec::new();
    for (at, written, node) in reader.section(section, "headers", None).entries() {
        let name = HeaderName::from_bytes(written.as_bytes()).map(|name| name.as_str().to_owned());
        let wrong = match name.as_deref() {
            Err(_) => Some("is not a legal header name"),
            Ok(name) if RESERVED_HEADERS.contains(&name) => Some("is a header that belongs to the connection"),
            Ok(name) if name == key_header => Some("is the header that carries `api_key`"),
            Ok(name) if headers.iter().any(|(other, _)| other == name) => {
                Some("is given twice; header names ignore upper and lower case")
            }
            Ok(_) => None,
        };
        if let Some(wrong) = wrong {
            reader.findings.problem(&at, wrong, None);
        }
        let Ok(Text { at, text, .. }) = reader.text_at(node, at, true) else { continue };
        if HeaderValue::from_str(&text).is_err() {
            let help = text.ends_with('\n').then(|| "it ends in a newline".to_owned());
            reader.findings.problem(&at, "must not contain control characters", help);
        }
        headers.extend(name.ok().map(|name| (name, Secret::new(text))));
    }
    headers
}
