//! OpenTelemetry's variables (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>). One
//! that cannot be understood is a warning, and ignored, as that text wants it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{GenAiNames, OtlpProtocol};
use crate::config::read::Reader;
use crate::config::{Place, ProviderTls, Secret};

/// What a collector gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// The environment, and the place that warnings about it name.
pub(super) struct Variables {
    at: Place,
    /// Those that a warning is about.
    told: RefCell<BTreeSet<String>>,
}

impl Variables {
    pub fn new(at: &Place) -> Self {
        Self { at: at.clone(), told: RefCell::default() }
    }

    /// True when they say where anything is to go.
    pub fn name_a_collector(&self, reader: &Reader<'_>) -> bool {
        [Signal::Traces, Signal::Metrics].iter().any(|signal| self.of(reader, *signal, "ENDPOINT").is_some())
    }

    /// A variable that is not empty; an empty one is as good as none.
    fn get(&self, reader: &Reader<'_>, name: &str) -> Option<String> {
        reader.variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// `OTEL_EXPORTER_OTLP_TRACES_WHAT`, or `OTEL_EXPORTER_OTLP_WHAT`: its name and value.
    fn of(&self, reader: &Reader<'_>, signal: Signal, what: &str) -> Option<(String, String)> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.name().to_ascii_uppercase());
        let names = [own, format!("OTEL_EXPORTER_OTLP_{what}")];
        names.into_iter().find_map(|name| self.get(reader, &name).map(|value| (name, value)))
    }

    fn ignored(&self, reader: &mut Reader<'_>, name: &str, why: &str) {
        if self.told.borrow_mut().insert(name.to_owned()) {
            let message = format!("the environment variable {name} is ignored: it {why}");
            reader.findings.warn(&self.at, &message);
        }
    }

    /// The URL for a signal. That of a single signal is taken as it is.
    pub fn endpoint(&self, reader: &mut Reader<'_>, signal: Signal, protocol: OtlpProtocol) -> Option<Url> {
        let (name, value) = self.of(reader, signal, "ENDPOINT")?;
        match super::url(&value) {
            Ok(url) if name == "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(super::below(&url, signal, protocol)),
            Ok(url) => Some(url),
            Err((wrong, _)) => {
                self.ignored(reader, &name, wrong);
                None
            }
        }
    }

    pub fn headers(&self, reader: &mut Reader<'_>, signal: Signal) -> Vec<(String, Secret)> {
        let Some((name, value)) = self.of(reader, signal, "HEADERS") else { return Vec::new() };
        let mut headers: Vec<(String, Secret)> = Vec::new();
        for (key, value) in pairs(&value) {
            let key = HeaderName::from_bytes(key.as_bytes()).ok();
            match key.filter(|_| HeaderValue::from_str(&value).is_ok()) {
                Some(key) => {
                    headers.retain(|(other, _)| other != key.as_str());
                    headers.push((key.as_str().to_owned(), Secret::new(value)));
                }
                // Not shown, because its value is a secret.
                None => self.ignored(reader, &name, "has a part that is no header"),
            }
        }
        headers
    }

    /// A number of milliseconds, as all of OpenTelemetry's times.
    fn millis(&self, reader: &mut Reader<'_>, name: &str, value: &str) -> Option<Duration> {
        let millis = value.parse::<u64>().ok().filter(|millis| (1..=86_400_000).contains(millis));
        if millis.is_none() {
            self.ignored(reader, name, "is no number of milliseconds above 0");
        }
        millis.map(Duration::from_millis)
    }

    pub fn timeout(&self, reader: &mut Reader<'_>, signal: Signal) -> Option<Duration> {
        let (name, value) = self.of(reader, signal, "TIMEOUT")?;
        self.millis(reader, &name, &value)
    }

    pub fn interval(&self, reader: &mut Reader<'_>) -> Option<Duration> {
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        let value = self.get(reader, name)?;
        self.millis(reader, name, &value)
    }

    /// The files of certificates. Whether they can be read is known when they are.
    pub fn tls(&self, reader: &mut Reader<'_>, signal: Signal) -> ProviderTls {
        let mut file = |what: &str| {
            let (name, value) = self.of(reader, signal, what)?;
            let path = std::path::PathBuf::from(value);
            if !path.is_file() {
                self.ignored(reader, &name, "names no file");
                return None;
            }
            Some(path)
        };
        let (ca, cert, key) = (file("CERTIFICATE"), file("CLIENT_CERTIFICATE"), file("CLIENT_KEY"));
        ProviderTls { ca, cert, key, ..ProviderTls::default() }
    }

    pub fn gzip(&self, reader: &mut Reader<'_>, signal: Signal) -> Option<bool> {
        let (name, value) = self.of(reader, signal, "COMPRESSION")?;
        match value.as_str() {
            "gzip" => Some(true),
            "none" => Some(false),
            _ => {
                self.ignored(reader, &name, "is neither gzip nor none");
                None
            }
        }
    }

    pub fn protocol(&self, reader: &mut Reader<'_>) -> OtlpProtocol {
        let Some((name, value)) = self.of(reader, Signal::Traces, "PROTOCOL") else { return OtlpProtocol::Http };
        match value.as_str() {
            "http/protobuf" => OtlpProtocol::Http,
            "grpc" if cfg!(feature = "otlp-grpc") => OtlpProtocol::Grpc,
            "grpc" => {
                let why =
                    "is grpc, which is not in this binary; http/protobuf is spoken, which collectors take at port 4318";
                self.ignored(reader, &name, why);
                OtlpProtocol::Http
            }
            _ => {
                self.ignored(reader, &name, "is neither http/protobuf nor grpc");
                OtlpProtocol::Http
            }
        }
    }

    pub fn service_name(&self, reader: &Reader<'_>) -> Option<String> {
        self.get(reader, "OTEL_SERVICE_NAME")
    }

    pub fn attributes(&self, reader: &Reader<'_>) -> Vec<(String, String)> {
        let mut attributes: Vec<(String, String)> = Vec::new();
        for (key, value) in pairs(&self.get(reader, "OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default()) {
            attributes.retain(|(other, _)| *other != key);
            attributes.push((key, value));
        }
        attributes
    }

    /// The share of traces, and whether clients decide for theirs.
    pub fn sampler(&self, reader: &mut Reader<'_>) -> (f64, bool) {
        let name = "OTEL_TRACES_SAMPLER";
        let Some(value) = self.get(reader, name) else { return (1.0, true) };
        let (follows_parent, root) = match value.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, value.as_str()),
        };
        match root {
            "always_on" => (1.0, follows_parent),
            "always_off" => (0.0, follows_parent),
            "traceidratio" => (self.ratio(reader), follows_parent),
            _ => {
                self.ignored(reader, name, "is no sampler that is known here");
                (1.0, true)
            }
        }
    }

    fn ratio(&self, reader: &mut Reader<'_>) -> f64 {
        let name = "OTEL_TRACES_SAMPLER_ARG";
        let Some(value) = self.get(reader, name) else { return 1.0 };
        let ratio = value.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        if ratio.is_none() {
            self.ignored(reader, name, "is no share from 0 to 1");
        }
        ratio.unwrap_or(1.0)
    }

    /// Whether a signal is to be exported by OTLP, if they say so.
    pub fn exporter(&self, reader: &mut Reader<'_>, signal: Signal) -> Option<bool> {
        let name = format!("OTEL_{}_EXPORTER", signal.name().to_ascii_uppercase());
        let value = self.get(reader, &name)?;
        match value.as_str() {
            "none" => Some(false),
            value if value.split(',').any(|one| one.trim() == "otlp") => Some(true),
            // Metrics are served for Prometheus as well.
            "prometheus" if signal == Signal::Metrics => Some(false),
            _ => {
                self.ignored(reader, &name, "is neither otlp nor none");
                None
            }
        }
    }

    pub fn names(&self, reader: &Reader<'_>) -> GenAiNames {
        let opted = self.get(reader, "OTEL_SEMCONV_STABILITY_OPT_IN").unwrap_or_default();
        if opted.split(',').any(|one| one.trim() == "gen_ai_latest_experimental") {
            GenAiNames::Latest
        } else {
            GenAiNames::V1_41
        }
    }

    pub fn are_disabled(&self, reader: &Reader<'_>) -> bool {
        self.get(reader, "OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// The pairs of a list such as `a=1,b=%20`.
fn pairs(list: &str) -> Vec<(String, String)> {
    let pair = |one: &str| {
        let (key, value) = one.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned();
        Some((key.trim().to_owned(), value)).filter(|(key, _)| !key.is_empty())
    };
    list.split(',').filter_map(pair).collect()
}
