//! The text of a scenario that was fitted to a ledger.

use std::fmt::Write as _;
use std::path::Path;

use serde_yaml::{Mapping, Value};

use super::super::scenario::{Behaviour, Event, Spread};
use super::{Fitted, Seen};
use crate::observe::ledger::Time;

/// The sections of a configuration that matter to a simulation.
const KEPT: [&str; 7] = ["providers", "routing", "routes", "strategies", "timeouts", "queue", "prices"];
/// The keys of a provider that matter to a simulation; the others name places and keys.
const KEPT_OF_PROVIDERS: [&str; 17] = [
    "name",
    "weight",
    "fallback_only",
    "billed_failures",
    "max_concurrent",
    "account",
    "limits",
    "budget",
    "model_map",
    "type",
    "timeouts",
    "models",
    "price",
    "context",
    "labels",
    "health_check",
    "stream_usage",
];

/// Writes a scenario. `config` is the configuration that was in force, if it is known; of it nothing is taken that names a
/// place or a key. With `ledger` its requests are played as they came, else they are drawn at the rates that were seen.
pub fn write(fitted: &Fitted, config: Option<&Value>, ledger: Option<&Path>) -> String {
    let mut text = String::new();
    let (began, ended) = (fitted.began, fitted.ended);
    // Writing to a String cannot fail.
    let _ = write!(text, "Fitted to {} requests.", fitted.requests);
    let unknown = unseen(fitted, config);
    for doubt in fitted.doubts.iter().chain(&unknown.0) {
        let _ = write!(text, " Mind: {doubt}.");
    }
    let mut top = Mapping::new();
    let mut put = |key: &str, value: Value| drop(top.insert(key.into(), value));
    put("name", format!("Traffic from {} to {} UTC", minute(began), minute(ended)).into());
    put("description", text.into());
    put("duration", (ended.since(began).as_secs() + 1).into());
    put("traffic", traffic(fitted, ledger));
    put("proxy", proxy(fitted, config));
    let providers = fitted.providers.iter().map(|(name, seen)| (name.as_str(), behaviour(&seen.behaviour)));
    let unknown = unknown.1.iter().map(|name| (name.as_str(), behaviour(&usual(fitted))));
    put("providers", map(providers.chain(unknown)));
    serde_yaml::to_string(&Value::Mapping(top)).unwrap_or_default()
}

/// A moment for people, without its seconds.
fn minute(time: Time) -> String {
    time.to_string().chars().take(16).collect::<String>().replace('T', " ")
}

/// A doubt about each provider of the configuration that was never asked, and their names.
fn unseen(fitted: &Fitted, config: Option<&Value>) -> (Vec<String>, Vec<String>) {
    let providers = config.and_then(|config| config.get("providers")).and_then(Value::as_sequence);
    let names = providers.into_iter().flatten().filter_map(|provider| provider.get("name")?.as_str());
    let names: Vec<String> = names.filter(|name| !fitted.providers.contains_key(*name)).map(str::to_owned).collect();
    let doubt = |name: &String| format!("{name} was never asked, and is played like the one that was asked most");
    (names.iter().map(doubt).collect(), names)
}

/// The behaviour of the provider that was asked most, without its bad times.
fn usual(fitted: &Fitted) -> Behaviour {
    let most = fitted.providers.values().max_by_key(|seen| seen.attempts);
    let none = Spread { median: 1.0, p95: 1.0 };
    let behaviour = most.map(|seen| seen.behaviour.clone());
    let behaviour = behaviour.unwrap_or(Behaviour { first_token: none, tokens_per_second: 50.0, ..Behaviour::NONE });
    Behaviour { events: Vec::new(), requests_per_minute: None, ..behaviour }
}

fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    Value::Mapping(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

/// A number with four digits that matter.
fn number(value: f64) -> Value {
    let digits = if value == 0.0 { 0 } else { (3 - value.abs().log10().floor() as i32).clamp(0, 9) };
    let factor = 10_f64.powi(digits);
    Value::from((value * factor).round() / factor)
}

fn spread(spread: Spread) -> Value {
    map([("median", number(spread.median)), ("p95", number(spread.p95.max(spread.median)))])
}

fn traffic(fitted: &Fitted, ledger: Option<&Path>) -> Value {
    let mut traffic = Vec::new();
    if let Some(ledger) = ledger {
        let moments = [("since", fitted.began), ("until", fitted.ended)].map(|(key, at)| (key, at.to_string().into()));
        let ledger = ("ledger", ledger.display().to_string().into());
        traffic.push(("recorded", map([ledger].into_iter().chain(moments))));
    } else {
        let length = fitted.ended.since(fitted.began).as_secs_f64().max(1.0);
        let piece = length / fitted.rates.len() as f64;
        let mean = fitted.requests as f64 / length;
        let burst = |(place, rate): (usize, &f64)| {
            // A rate of nothing is not legal, and hardly differs from one that is low.
            let rate = rate.max(mean / 1000.0);
            let (from, until) = (place as f64 * piece, (place + 1) as f64 * piece);
            map([("from", Value::from(from)), ("until", Value::from(until)), ("rate", number(rate))])
        };
        traffic.push(("rate", number(mean)));
        traffic.push(("bursts", fitted.rates.iter().enumerate().map(burst).collect::<Vec<_>>().into()));
        traffic.push(("model", fitted.models.first().map_or("any", |(model, _)| model).into()));
    }
    traffic.push(("streaming", number(fitted.streaming)));
    traffic.push(("input_tokens", spread(fitted.tokens[0])));
    traffic.push(("output_tokens", spread(fitted.tokens[1])));
    if let Some(sessions) = fitted.sessions.filter(|_| ledger.is_none()) {
        traffic.push(("sessions", sessions.into()));
    }
    map(traffic)
}

fn behaviour(behaviour: &Behaviour) -> Value {
    let Behaviour { first_token, tokens_per_second, models, requests_per_minute, errors, events, .. } = behaviour;
    let mut entries = vec![("first_token", spread(*first_token)), ("tokens_per_second", number(*tokens_per_second))];
    if !models.is_empty() {
        let models = models.iter().map(|(name, model)| {
            let speed = number(model.tokens_per_second);
            (name.as_str(), map([("first_token", spread(model.first_token)), ("tokens_per_second", speed)]))
        });
        entries.push(("models", map(models)));
    }
    if let Some(limit) = requests_per_minute {
        entries.push(("requests_per_minute", number(limit.max(1.0))));
    }
    if *errors > 0.0 {
        entries.push(("errors", number(*errors)));
    }
    if !events.is_empty() {
        let event = |Event { from, until, down, slow, errors }: &Event| {
            let mut event = vec![("from", Value::from(*from)), ("until", Value::from(*until))];
            event.extend(down.then(|| ("down", true.into())));
            event.extend((*slow != 1.0).then(|| ("slow", number(*slow))));
            event.extend(errors.map(|errors| ("errors", number(errors))));
            map(event)
        };
        entries.push(("events", events.iter().map(event).collect::<Vec<_>>().into()));
    }
    map(entries)
}

/// The configuration of the proxy: what is kept of the one in force, or the providers and the strategy that were seen.
fn proxy(fitted: &Fitted, config: Option<&Value>) -> Value {
    let mut proxy = Mapping::new();
    for key in KEPT {
        if let Some(value) = config.and_then(|config| config.get(key)) {
            proxy.insert(key.into(), value.clone());
        }
    }
    let known = proxy.get("providers").and_then(Value::as_sequence).cloned();
    let mut providers: Vec<Value> = known.map_or_else(
        || fitted.providers.keys().map(|name| map([("name", name.as_str().into())])).collect(),
        |providers| providers.iter().map(kept).collect(),
    );
    // The price of some alone would make a sum that means nothing.
    let has_prices = proxy.contains_key("prices") || fitted.providers.values().any(|seen| seen.price.is_none());
    for provider in &mut providers {
        let name = provider.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let price = fitted.providers.get(&name).and_then(|Seen { price, .. }| *price);
        if let (Some((input, output)), Some(provider)) = (price, provider.as_mapping_mut())
            && !has_prices
            && !provider.contains_key("price")
        {
            provider.insert("price".into(), map([("input", number(input)), ("output", number(output))]));
        }
    }
    proxy.insert("providers".into(), providers.into());
    if !proxy.contains_key("routing")
        && let Some(strategy) = &fitted.strategy
    {
        proxy.insert("routing".into(), map([("strategy", strategy.as_str().into())]));
    }
    Value::Mapping(proxy)
}

fn kept(provider: &Value) -> Value {
    let kept = KEPT_OF_PROVIDERS.iter().filter_map(|key| Some((*key, provider.get(*key)?.clone())));
    map(kept)
}
