//! Writes the configuration: its parts in order, with the comments above them.

use std::fmt::Write as _;

use serde::Serialize;
use serde_yaml::{Mapping, Number, Value};

use super::deployment::{Endpoint, Limits};
use super::report::{About, Report, Status};

/// The columns of a comment.
const WIDTH: usize = 118;

/// A provider.
#[derive(Debug, Serialize)]
pub(super) struct ProviderOut {
    pub name: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    pub base_url: String,
    pub api_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Mapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Mapping>,
    /// The vendor's prefix.
    #[serde(skip)]
    pub vendor: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Mapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TimeoutsOut>,
}

/// A route, named after its model group.
#[derive(Debug, Serialize)]
pub(super) struct RouteOut {
    #[serde(skip)]
    pub group: String,
    pub models: Vec<String>,
    pub targets: Vec<TargetOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TimeoutsOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallbacks: Option<FallbacksOut>,
}

/// A target of a route.
#[derive(Debug, Serialize)]
pub(super) struct TargetOut {
    /// The index of its endpoint, until providers have names.
    #[serde(skip)]
    pub endpoint: usize,
    pub provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The weight in LiteLLM; 0 means the tier fallback.
    #[serde(skip)]
    pub amount: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// All rates, for `prices`.
    #[serde(skip)]
    pub rates: Option<Mapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Mapping>,
}

/// The price of a million tokens.
#[derive(Debug, Serialize)]
pub(super) struct Price {
    pub input: Value,
    pub output: Value,
}

/// Timeouts of a route or a provider, in seconds.
#[derive(Debug, Serialize)]
pub(super) struct TimeoutsOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token: Option<Value>,
}

/// Fallbacks of a route.
#[derive(Debug, Default, Serialize)]
pub(super) struct FallbacksOut {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_failure: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_context_window: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_content_policy: Vec<String>,
    pub max: u32,
}

/// A number as people write it: an integer without a fraction.
pub(super) fn figure(number: f64) -> Value {
    let whole = number.fract() == 0.0 && number.abs() < 1e15;
    Value::Number(if whole { Number::from(number as i64) } else { Number::from(number) })
}

/// The providers of the endpoints, named after their vendors; several of one vendor also have their hosts or numbers.
pub(super) fn providers(endpoints: Vec<Endpoint>) -> Vec<ProviderOut> {
    let mut names: Vec<String> = Vec::new();
    let vendors: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.vendor).collect();
    let named = |endpoint: Endpoint| {
        let several = vendors.iter().filter(|vendor| **vendor == endpoint.vendor).count() > 1;
        let host = url::Url::parse(&endpoint.base_url).ok().and_then(|url| match url.host() {
            Some(url::Host::Domain(name)) => name.split('.').next().map(str::to_owned),
            _ => None,
        });
        let vendor = endpoint.vendor;
        let base = match host.filter(|host| several && !matches!(host.as_str(), "api" | "localhost" | "www")) {
            Some(host) if host != vendor => format!("{vendor}-{host}"),
            _ => vendor.to_owned(),
        };
        let counted = (2..).map(|number| format!("{base}-{number}"));
        let free = std::iter::once(base.clone()).chain(counted).find(|name| !names.contains(name));
        let name = free.unwrap_or(base);
        names.push(name.clone());
        let Limits { rpm, tpm, budget } = endpoint.limits;
        let limits =
            [("rpm", rpm), ("tpm", tpm)].into_iter().filter_map(|(key, amount)| Some((key.into(), amount?.into())));
        let limits: Mapping = limits.collect();
        let headers = endpoint.headers.into_iter().map(|(name, value)| (name.into(), value.into()));
        let headers: Mapping = headers.collect();
        ProviderOut {
            name,
            kind: endpoint.azure.then_some("azure"),
            base_url: endpoint.base_url,
            api_key: endpoint.api_key,
            api_version: endpoint.api_version,
            max_concurrent: endpoint.max_concurrent,
            account: None,
            limits: (!limits.is_empty()).then_some(limits),
            budget: budget.map(|budget| budget.written(None)),
            vendor,
            headers: (!headers.is_empty()).then_some(headers),
            timeouts: endpoint.request.map(|seconds| TimeoutsOut { request: Some(figure(seconds)), first_token: None }),
        }
    };
    endpoints.into_iter().map(named).collect()
}

/// The whole file.
pub(super) fn write(
    head: &[String],
    providers: &[ProviderOut],
    routes: &[RouteOut],
    sections: &[(&'static str, Mapping)],
    report: &Report,
) -> Result<String, serde_yaml::Error> {
    let mut text = String::new();
    for line in head {
        comment(&mut text, "", line);
    }
    lines(&mut text, "", report, &About::File);
    text.push_str("\nproviders:\n");
    for provider in providers {
        block(&mut text, &[provider])?;
    }
    text.push_str("\nroutes:\n");
    for route in routes {
        lines(&mut text, "  ", report, &About::Group(route.group.clone()));
        block(&mut text, &[route])?;
    }
    for (name, section) in sections {
        text.push('\n');
        lines(&mut text, "", report, &About::Section(name));
        text.push_str(&serde_yaml::to_string(&Mapping::from_iter([(
            Value::from(*name),
            Value::from(section.clone()),
        )]))?);
    }
    Ok(text)
}

/// An element of a list, indented under its key.
fn block(text: &mut String, item: &impl Serialize) -> Result<(), serde_yaml::Error> {
    for line in serde_yaml::to_string(item)?.lines() {
        let _ = writeln!(text, "  {line}");
    }
    Ok(())
}

/// The lines of the report about one part: exact keys in one comment for each entry, all others in their own.
fn lines(text: &mut String, indent: &str, report: &Report, about: &About) {
    let mut exact: Vec<(String, Vec<&str>)> = Vec::new();
    let own = || report.lines.iter().filter(|line| line.about == *about);
    for line in own().filter(|line| line.status == Status::Exact) {
        let (entry, key) = entry(&line.key);
        match exact.iter_mut().find(|(known, _)| known == entry) {
            Some((_, keys)) => keys.push(key),
            None => exact.push((entry.to_owned(), vec![key])),
        }
    }
    for (entry, keys) in exact {
        let colon = if entry.is_empty() { "" } else { ": " };
        comment(text, indent, &format!("exact: {entry}{colon}{}", keys.join(", ")));
    }
    for line in own().filter(|line| line.status != Status::Exact) {
        let (entry, key) = entry(&line.key);
        let colon = if entry.is_empty() || key.is_empty() { "" } else { ": " };
        comment(text, indent, &format!("{}: {entry}{colon}{key}: {}", line.status, line.note));
    }
}

/// The list element or section of a key, and the rest of its path.
fn entry(key: &str) -> (&str, &str) {
    let end = match key.split_once('.') {
        Some((first, _)) => first.len(),
        None => return ("", key),
    };
    let (entry, rest) = key.split_at(end);
    let rest = rest.trim_start_matches('.');
    (entry, rest.strip_prefix("litellm_params.").unwrap_or(rest))
}

/// A comment, wrapped to several lines.
fn comment(text: &mut String, indent: &str, words: &str) {
    let mut line = format!("{indent}#");
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH && line.trim() != "#" {
            text.push_str(&line);
            text.push('\n');
            line = format!("{indent}#  ");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
