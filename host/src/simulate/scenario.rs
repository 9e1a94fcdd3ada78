//! What a user writes: traffic, a proxy, and how its providers behave.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::{self, Config, Env};

/// Longer is a mistake in the unit: ten weeks.
const MAX_DURATION: f64 = 6_048_000.0;
/// Requests of one simulation: what its percentiles need of memory is bounded.
pub const MAX_REQUESTS: f64 = 10_000_000.0;

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file it came from.
    pub file: PathBuf,
    /// What it says.
    pub script: Script,
}

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// A title.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub description: String,
    /// What all chance follows from.
    #[serde(default = "one")]
    pub seed: u64,
    /// For how many seconds requests come.
    pub duration: f64,
    /// What comes.
    pub traffic: Traffic,
    /// A configuration as for a server; `base_url` and `api_key` may be left out.
    pub proxy: Value,
    /// How the providers behave, by name.
    pub providers: BTreeMap<String, Behaviour>,
}

/// The requests that come.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Requests per second.
    pub rate: f64,
    /// Times at which it is another.
    #[serde(default)]
    pub bursts: Vec<Burst>,
    /// The model that is asked for.
    #[serde(default = "model")]
    pub model: String,
    /// The share of requests that want a stream, 0 to 1.
    #[serde(default = "all")]
    pub streaming: f64,
    /// Tokens of a request.
    #[serde(default = "input_tokens")]
    pub input_tokens: Spread,
    /// Tokens of an answer.
    #[serde(default = "output_tokens")]
    pub output_tokens: Spread,
    /// How many sessions the requests belong to; without it, to none.
    #[serde(default)]
    pub sessions: Option<u32>,
}

/// A while with another rate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// Seconds from the beginning.
    pub from: f64,
    /// Likewise.
    pub until: f64,
    /// Requests per second.
    pub rate: f64,
}

/// A log-normal distribution.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Half are below.
    pub median: f64,
    /// One in twenty is above.
    pub p95: f64,
}

/// How a provider behaves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// Seconds from the request to the first token.
    pub first_token: Spread,
    /// Tokens per second from then on.
    pub tokens_per_second: f64,
    /// Requests that it works on at once; others wait there.
    #[serde(default)]
    pub slots: Option<u32>,
    /// Beyond so many it answers 429; it saves up to a tenth of a minute.
    #[serde(default)]
    pub requests_per_minute: Option<f64>,
    /// The share of requests that it answers with 500, 0 to 1.
    #[serde(default)]
    pub errors: f64,
    /// It remembers what it has read.
    #[serde(default)]
    pub cache: Option<Cache>,
    /// Times at which it behaves differently.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// The beginnings of conversations that a provider need not read again.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// How many sessions it remembers, the latest.
    pub sessions: usize,
    /// What the time to the first token is multiplied by for one of them.
    pub factor: f64,
}

/// A while in which a provider behaves differently.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Seconds from the beginning.
    pub from: f64,
    /// Likewise.
    pub until: f64,
    /// It refuses connections.
    #[serde(default)]
    pub down: bool,
    /// What all its times are multiplied by.
    #[serde(default = "all")]
    pub slow: f64,
    /// The share of requests that it answers with 500.
    #[serde(default)]
    pub errors: Option<f64>,
}

fn one() -> u64 {
    1
}

fn all() -> f64 {
    1.0
}

fn model() -> String {
    "gpt-4o-mini".to_owned()
}

fn input_tokens() -> Spread {
    Spread { median: 500.0, p95: 3000.0 }
}

fn output_tokens() -> Spread {
    Spread { median: 200.0, p95: 800.0 }
}

/// Why a scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is no YAML.
    #[error("{0}")]
    Yaml(config::LoadError),
    /// A value is missing, or not what it must be.
    #[error("{file}: {key}{message}")]
    Value {
        /// The file.
        file: String,
        /// Where, with a colon behind it; or empty.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// Its `proxy` is no configuration.
    #[error("its `proxy` is not a valid configuration:\n{0}")]
    Proxy(config::LoadError),
}

impl Scenario {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`]
    pub fn load(file: &Path, env: &Env<'_>) -> Result<Self, ScenarioError> {
        let shown = file.display().to_string();
        let wrong = |key: &str, message: String| ScenarioError::Value {
            file: shown.clone(),
            key: if key.is_empty() || key == "." { String::new() } else { format!("{key}: ") },
            message,
        };
        let text = std::fs::read_to_string(file).map_err(|error| wrong("", format!("cannot be read: {error}")))?;
        let value = config::to_json(&text, file, env).map_err(ScenarioError::Yaml)?;
        let script: Script = serde_path_to_error::deserialize(value)
            .map_err(|error| wrong(&error.path().to_string(), error.inner().to_string()))?;
        match problems(&script) {
            Some((key, message)) => Err(wrong(&key, message)),
            None => Ok(Self { file: file.to_owned(), script }),
        }
    }

    /// The names of its proxy's strategy, if it names one.
    pub fn strategy(&self) -> Option<&str> {
        self.script.proxy.get("routing")?.get("strategy")?.as_str()
    }

    /// Says more of a strategy than the scenario does: the file it is in, and its config. A file for which there is no
    /// config takes that of the strategy which the scenario calls by the file's stem.
    pub fn declare(&mut self, strategy: &str, file: Option<&Path>, config: Option<Value>) {
        let stem = file.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
        // What is wrong with the proxy says `config`.
        let Some(proxy) = self.script.proxy.as_object_mut() else { return };
        let Some(known) = object_in(proxy, "strategies") else { return };
        let of_stem = stem.and_then(|stem| known.get(&stem)?.get("config").cloned());
        let Some(entry) = object_in(known, strategy) else { return };
        if let Some(file) = file {
            entry.insert("path".to_owned(), json!(file));
        }
        if let Some(config) = config {
            entry.insert("config".to_owned(), config);
        } else if let Some(config) = of_stem {
            entry.entry("config").or_insert(config);
        }
    }

    /// The configuration of its proxy, with this strategy.
    ///
    /// # Errors
    ///
    /// [`ScenarioError::Proxy`]
    pub fn config(&self, strategy: &str, env: &Env<'_>, builtins: &[&str]) -> Result<Config, ScenarioError> {
        let mut proxy = self.script.proxy.clone();
        if let Some(providers) = proxy.get_mut("providers").and_then(Value::as_array_mut) {
            for provider in providers.iter_mut().filter_map(Value::as_object_mut) {
                provider.entry("base_url").or_insert_with(|| json!("http://simulated.invalid/v1"));
                provider.entry("api_key").or_insert_with(|| json!("none"));
            }
        }
        if let Some(routing) = proxy.as_object_mut().and_then(|proxy| object_in(proxy, "routing")) {
            routing.insert("strategy".to_owned(), json!(strategy));
        }
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&proxy).unwrap_or_default();
        config::parse(&text, &self.file, env, builtins).map_err(ScenarioError::Proxy)
    }
}

/// The object under a key, which may be absent or empty; `None` when something else stands there.
fn object_in<'m>(map: &'m mut Map<String, Value>, key: &str) -> Option<&'m mut Map<String, Value>> {
    let value = map.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// What is wrong with a script: where, and what.
fn problems(script: &Script) -> Option<(String, String)> {
    let positive = |key: &str, value: f64, most: f64| {
        let wrong = !(value > 0.0 && value <= most);
        wrong.then(|| (key.to_owned(), format!("must be above 0 and at most {most}, not {value}")))
    };
    let share = |key: &str, value: f64| {
        (!(0.0..=1.0).contains(&value)).then(|| (key.to_owned(), format!("must be from 0 to 1, not {value}")))
    };
    let spread = |key: &str, spread: Spread| {
        positive(&format!("{key}.median"), spread.median, 1e9).or_else(|| {
            let wrong = !(spread.p95 >= spread.median && spread.p95 <= 1e9);
            wrong.then(|| {
                (format!("{key}.p95"), format!("must be at least the median, {}, not {}", spread.median, spread.p95))
            })
        })
    };
    let period = |key: &str, from: f64, until: f64| {
        let wrong = !(from >= 0.0 && until > from);
        wrong.then(|| {
            (key.to_owned(), format!("must be from 0 on and end after it begins, not from {from} until {until}"))
        })
    };
    let traffic = &script.traffic;
    let mut found = positive("duration", script.duration, MAX_DURATION)
        .or_else(|| positive("traffic.rate", traffic.rate, 1e6))
        .or_else(|| share("traffic.streaming", traffic.streaming))
        .or_else(|| spread("traffic.input_tokens", traffic.input_tokens))
        .or_else(|| spread("traffic.output_tokens", traffic.output_tokens));
    if traffic.sessions == Some(0) {
        found = found.or_else(|| Some(("traffic.sessions".to_owned(), "must be at least 1".to_owned())));
    }
    for (number, burst) in traffic.bursts.iter().enumerate() {
        let key = format!("traffic.bursts[{number}]");
        found = found.or_else(|| period(&key, burst.from, burst.until));
        found = found.or_else(|| positive(&format!("{key}.rate"), burst.rate, 1e6));
    }
    let requests = script.duration * traffic.rate
        + traffic.bursts.iter().map(|burst| (burst.until - burst.from) * burst.rate).sum::<f64>();
    if requests > MAX_REQUESTS {
        found = found
            .or_else(|| Some(("duration".to_owned(), format!("makes {requests} requests, more than {MAX_REQUESTS}"))));
    }
    for (name, behaviour) in &script.providers {
        let key = |rest: &str| format!("providers.{name}.{rest}");
        found = found
            .or_else(|| spread(&key("first_token"), behaviour.first_token))
            .or_else(|| positive(&key("tokens_per_second"), behaviour.tokens_per_second, 1e9))
            .or_else(|| share(&key("errors"), behaviour.errors))
            .or_else(|| positive(&key("requests_per_minute"), behaviour.requests_per_minute.unwrap_or(1.0), 1e9))
            .or_else(|| positive(&key("slots"), behaviour.slots.unwrap_or(1).into(), 1e6))
            .or_else(|| share(&key("cache.factor"), behaviour.cache.map_or(0.0, |cache| cache.factor)));
        for (number, event) in behaviour.events.iter().enumerate() {
            let key = key(&format!("events[{number}]"));
            found = found
                .or_else(|| period(&key, event.from, event.until))
                .or_else(|| positive(&format!("{key}.slow"), event.slow, 1e6))
                .or_else(|| share(&format!("{key}.errors"), event.errors.unwrap_or(0.0)));
        }
    }
    found.or_else(|| unmatched(script))
}

/// A provider of which only one half is there.
fn unmatched(script: &Script) -> Option<(String, String)> {
    let listed = script.proxy.get("providers").and_then(Value::as_array);
    let named: BTreeSet<&str> =
        listed.into_iter().flatten().filter_map(|provider| provider.get("name")?.as_str()).collect();
    if let Some(name) = script.providers.keys().find(|name| !named.contains(name.as_str())) {
        return Some((format!("providers.{name}"), "is not one of proxy.providers".to_owned()));
    }
    let missing = named.into_iter().find(|name| !script.providers.contains_key(*name))?;
    Some((format!("providers.{missing}"), "is missing: say how this provider behaves".to_owned()))
}
