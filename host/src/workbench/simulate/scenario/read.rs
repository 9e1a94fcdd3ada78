//! Reads a scenario from its tree, or reports all its mistakes.

use std::collections::BTreeMap;
use std::path::Path;

use super::clients;
use super::{Behaviour, Burst, Cache, DEFAULT, Event, MAX_REQUESTS, Script, Spread, Traffic, choose};
use crate::config::{self, Env, Findings, Node, NodeKind, Place, Reader, Schema, Section, nearest};
use crate::strategy::builtins;

mod fitted;

/// The longest time, ten weeks; a longer one is a mistake in the unit.
const MAX_DURATION: f64 = 6_048_000.0;

const SCENARIO: Schema =
    Schema::of_names("a scenario", &["name", "description", "seed", "duration", "traffic", "proxy", "providers"]);
const TRAFFIC: Schema = Schema::of_names(
    "`traffic`",
    &["recorded", "rate", "bursts", "client", "model", "streaming", "input_tokens", "output_tokens", "sessions"],
);
const BURST: Schema = Schema::of_names("`traffic.bursts[]`", &["from", "until", "rate", "client"]);
const SPREAD: Schema = Schema::of_names("a spread", &["median", "p95"]);
const BEHAVIOUR: Schema = Schema::of_names(
    "`providers.NAME`",
    &[
        "first_token",
        "tokens_per_second",
        "models",
        "slots",
        "requests_per_minute",
        "tokens_per_minute",
        "tells_limits",
        "errors",
        "check",
        "cache",
        "events",
    ],
);
const CACHE: Schema = Schema::of_names("`providers.NAME.cache`", &["sessions", "factor"]);
const EVENT: Schema = Schema::of_names("`providers.NAME.events[]`", &["from", "until", "down", "slow", "errors"]);

/// The remedy for a plain configuration in place of a scenario.
const AROUND: &str = "a scenario has the configuration under `proxy`, and beside it the traffic and the behaviour of the providers:\n\
    name: a try\n\
    duration: 600\n\
    traffic: {rate: 5}\n\
    proxy: {providers: [{name: a}, {name: b}]}\n\
    providers:\n\
    \x20 a: {first_token: {median: 0.4, p95: 1}, tokens_per_second: 60}\n\
    \x20 b: {first_token: {median: 0.8, p95: 2}, tokens_per_second: 40}\n\
    more of them are in the folder `scenarios` of the source";

/// The scenario and its proxy; `None` exactly when a problem was reported.
pub(super) fn read(root: Option<&Node>, file: &Path, env: &Env<'_>, findings: &mut Findings) -> Option<(Script, Node)> {
    if let Some(root) = root
        && matches!(root.get("providers"), Some(Node { kind: NodeKind::List(_), .. }))
    {
        findings.problem(&Place::file(), "is the configuration of a proxy, not a scenario", Some(AROUND.to_owned()));
        return None;
    }
    let mut reader = Reading(Reader::new(findings, env));
    let top = reader.0.mapping(root, Place::file(), Some(SCENARIO)).ok()?;
    let name = reader.text(&top, "name");
    if name.is_none() && top.get("name").is_none() {
        reader.missing(&top, "name", "give it a short title");
    }
    let description = reader.text(&top, "description").unwrap_or_default();
    let seed = match top.get("seed") {
        Some(_) => reader.0.integer(&top, "seed", "an integer, 0 or more", 0, u64::MAX >> 11),
        None => Some(1),
    };
    let duration = reader.required(&top, "duration", |reader| reader.time(&top, "duration", MAX_DURATION));
    let traffic = reader.traffic(&top, file.parent().unwrap_or(Path::new("")));
    let mut behaviours = BTreeMap::new();
    let providers = reader.0.section(&top, "providers", None);
    for (at, name, node) in providers.entries() {
        if let Ok(section) = reader.0.mapping(Some(node), at, Some(BEHAVIOUR)) {
            behaviours.insert(name.to_owned(), reader.behaviour(&section));
        }
    }
    let proxy = reader.proxy(&top, &providers, file, env);
    if let (Some(traffic), Some(duration)) = (&traffic, duration) {
        let bursts = traffic.bursts.iter().map(|burst| (burst.until - burst.from) * burst.rate).sum::<f64>();
        let requests = duration * traffic.rate + bursts;
        if traffic.recorded.is_none() && requests > MAX_REQUESTS {
            let message = format!("makes {requests:.0} requests, more than {MAX_REQUESTS}");
            reader.0.findings.problem(&top.place("duration"), message, None);
        }
    }
    let providers = behaviours.into_iter().map(|(name, behaviour)| Some((name, behaviour?))).collect::<Option<_>>();
    let script =
        Script { name: name?, description, seed: seed?, duration: duration?, traffic: traffic?, providers: providers? };
    Some((script, proxy?))
}

/// Reads the values of a scenario.
struct Reading<'a>(Reader<'a>);

impl Reading<'_> {
    fn missing(&mut self, section: &Section<'_>, key: &str, help: &str) {
        self.0.findings.problem(&section.place(key), "is missing", Some(help.to_owned()));
    }

    /// The value that `read` finds under a required key.
    fn required<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        if section.get(key).is_none() {
            self.0.findings.problem(&section.place(key), "is missing", None);
            return None;
        }
        read(self)
    }

    fn text(&mut self, section: &Section<'_>, key: &str) -> Option<String> {
        self.0.text(section, key).ok().flatten().map(|text| text.text)
    }

    /// A number above 0.
    fn positive(&mut self, section: &Section<'_>, key: &str, most: f64) -> Option<f64> {
        let wanted = format!("a number above 0 and at most {most}");
        self.0.number_that(section, key, &wanted, |value| value > 0.0 && value <= most)
    }

    fn share(&mut self, section: &Section<'_>, key: &str) -> Option<f64> {
        self.0.number_that(section, key, "a number from 0 to 1", |value| (0.0..=1.0).contains(&value))
    }

    /// A time above 0, in seconds.
    fn time(&mut self, section: &Section<'_>, key: &str, most: f64) -> Option<f64> {
        self.has_no_unit(section, key)?;
        let wanted = format!("a number of seconds above 0 and at most {most}");
        self.0.number_that(section, key, &wanted, |value| value > 0.0 && value <= most)
    }

    /// A moment, in seconds from the beginning.
    fn moment(&mut self, section: &Section<'_>, key: &str) -> Option<f64> {
        self.has_no_unit(section, key)?;
        self.0.number_that(section, key, "a number of seconds from the beginning, 0 or more", |value| value >= 0.0)
    }

    /// Reports a time that has a unit.
    fn has_no_unit(&mut self, section: &Section<'_>, key: &str) -> Option<()> {
        let Some((at, node)) = section.get(key) else { return Some(()) };
        let Some((text, seconds)) = node.as_text().and_then(|text| Some((text, in_seconds(text)?))) else {
            return Some(());
        };
        let help = format!("write it in seconds: {seconds}");
        self.0.findings.problem(&at, format!("must be a number of seconds, not {text:?}"), Some(help));
        None
    }

    /// `from` and `until`.
    fn period(&mut self, section: &Section<'_>) -> Option<(f64, f64)> {
        let from = self.required(section, "from", |reader| reader.moment(section, "from"));
        let until = self.required(section, "until", |reader| reader.moment(section, "until"));
        let (from, until) = (from?, until?);
        if until <= from {
            let message = format!("must be later than `from`, {from}, not {until}");
            self.0.findings.problem(&section.place("until"), message, None);
            return None;
        }
        Some((from, until))
    }

    fn spread(&mut self, section: &Section<'_>, key: &str, is_time: bool) -> Option<Spread> {
        let (at, node) = section.get(key)?;
        if let NodeKind::Scalar(scalar) = &node.kind {
            let help = format!("{key}: {{median: {}, p95: ...}}", scalar.text);
            self.0.findings.problem(&at, "must be a mapping with the median and the 95th percentile", Some(help));
            return None;
        }
        let spread = self.0.mapping(Some(node), at, Some(SPREAD)).ok()?;
        let one = |reader: &mut Self, key: &str| {
            reader.required(&spread, key, |reader| match is_time {
                true => reader.time(&spread, key, 1e9),
                false => reader.positive(&spread, key, 1e9),
            })
        };
        let (median, p95) = (one(self, "median"), one(self, "p95"));
        let (median, p95) = (median?, p95?);
        if p95 < median {
            let message = format!("must be at least the median, {median}, not {p95}");
            self.0.findings.problem(&spread.place("p95"), message, None);
            return None;
        }
        Some(Spread { median, p95 })
    }

    /// `None` when a problem was reported.
    fn traffic(&mut self, top: &Section<'_>, folder: &Path) -> Option<Traffic> {
        if top.get("traffic").is_none() {
            self.missing(top, "traffic", "give the number of requests per second: {rate: 5}");
            return None;
        }
        let section = self.0.section(top, "traffic", Some(TRAFFIC));
        let recorded = self.optional(&section, "recorded", |reader| reader.recorded(&section, folder));
        let rate = match section.get("recorded") {
            Some(_) => self
                .optional(&section, "rate", |reader| reader.positive(&section, "rate", 1e6))
                .map(|rate| rate.unwrap_or(1.0)),
            None => self.required(&section, "rate", |reader| reader.positive(&section, "rate", 1e6)),
        };
        let mut bursts = Some(Vec::new());
        for (at, node) in self.0.list(&section, "bursts") {
            let burst = self.0.mapping(Some(node), at, Some(BURST)).ok().and_then(|section| {
                let period = self.period(&section);
                let rate = self.required(&section, "rate", |reader| reader.positive(&section, "rate", 1e6));
                let client = self.optional(&section, "client", |reader| reader.text(&section, "client"));
                let (from, until) = period?;
                Some(Burst { from, until, rate: rate?, client: client? })
            });
            bursts = bursts.zip(burst).map(|(mut bursts, burst)| {
                bursts.push(burst);
                bursts
            });
        }
        let client = self.optional(&section, "client", |reader| reader.text(&section, "client"));
        let model =
            if section.get("model").is_some() { self.text(&section, "model") } else { Some("gpt-4o-mini".into()) };
        let streaming = if section.get("streaming").is_some() { self.share(&section, "streaming") } else { Some(1.0) };
        let mut tokens = |key: &str, usual: Spread| match section.get(key) {
            Some(_) => self.spread(&section, key, false),
            None => Some(usual),
        };
        let input_tokens = tokens("input_tokens", Spread { median: 500.0, p95: 3000.0 });
        let output_tokens = tokens("output_tokens", Spread { median: 200.0, p95: 800.0 });
        let sessions = self.optional(&section, "sessions", |reader| reader.0.count(&section, "sessions"));
        Some(Traffic {
            recorded: recorded?,
            rate: rate?,
            bursts: bursts?,
            client: client?,
            model: model?,
            streaming: streaming?,
            input_tokens: input_tokens?,
            output_tokens: output_tokens?,
            sessions: sessions?,
        })
    }

    /// An empty value if the key is absent; `None` when a problem was reported.
    fn optional<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        match section.get(key) {
            None => Some(None),
            Some(_) => read(self).map(Some),
        }
    }

    /// `None` when a problem was reported.
    fn behaviour(&mut self, section: &Section<'_>) -> Option<Behaviour> {
        let first_token = self.required(section, "first_token", |reader| reader.spread(section, "first_token", true));
        let tokens_per_second =
            self.required(section, "tokens_per_second", |reader| reader.positive(section, "tokens_per_second", 1e9));
        let models = self.models(section);
        let slots = self.optional(section, "slots", |reader| reader.0.count(section, "slots"));
        let requests_per_minute = self
            .optional(section, "requests_per_minute", |reader| reader.positive(section, "requests_per_minute", 1e9));
        let tokens_per_minute =
            self.optional(section, "tokens_per_minute", |reader| reader.positive(section, "tokens_per_minute", 1e12));
        let tells_limits = self.0.boolean(section, "tells_limits", false);
        let errors = self.optional(section, "errors", |reader| reader.share(section, "errors"));
        let check = self.optional(section, "check", |reader| reader.time(section, "check", 1e6));
        let cache = self.optional(section, "cache", |reader| {
            let cache = reader.0.section(section, "cache", Some(CACHE));
            let sessions = reader.required(&cache, "sessions", |reader| reader.0.count(&cache, "sessions"));
            let factor = reader.required(&cache, "factor", |reader| reader.share(&cache, "factor"));
            Some(Cache { sessions: sessions? as usize, factor: factor? })
        });
        let mut events = Some(Vec::new());
        for (at, node) in self.0.list(section, "events") {
            let event = self.0.mapping(Some(node), at, Some(EVENT)).ok().and_then(|section| self.event(&section));
            events = events.zip(event).map(|(mut events, event)| {
                events.push(event);
                events
            });
        }
        Some(Behaviour {
            first_token: first_token?,
            tokens_per_second: tokens_per_second?,
            models: models?,
            slots: slots?,
            requests_per_minute: requests_per_minute?,
            tokens_per_minute: tokens_per_minute?,
            tells_limits,
            errors: errors?.unwrap_or(0.0),
            check: check?,
            cache: cache?,
            events: events?,
        })
    }

    fn event(&mut self, section: &Section<'_>) -> Option<Event> {
        let period = self.period(section);
        let down = self.0.boolean(section, "down", false);
        let slow = self.optional(section, "slow", |reader| reader.positive(section, "slow", 1e6));
        let errors = self.optional(section, "errors", |reader| reader.share(section, "errors"));
        let (from, until) = period?;
        Some(Event { from, until, down, slow: slow?.unwrap_or(1.0), errors: errors? })
    }

    /// The configuration under `proxy`, with missing values filled in; its providers must be those of the scenario.
    fn proxy(&mut self, top: &Section<'_>, behaviours: &Section<'_>, file: &Path, env: &Env<'_>) -> Option<Node> {
        let Some((at, node)) = top.get("proxy") else {
            self.missing(top, "proxy", "give the configuration of a proxy: {providers: [{name: a}, {name: b}]}");
            return None;
        };
        if !matches!(node.kind, NodeKind::Map(_)) {
            self.0.not(&at, "the configuration of a proxy", node.describe(), None);
            return None;
        }
        let mut proxy = node.clone();
        if let Some(Node { kind: NodeKind::List(providers), .. }) = proxy.entry("providers") {
            for provider in providers {
                for (key, value) in [("base_url", "http://simulated.invalid/v1"), ("api_key", "none")] {
                    if let Some(missing) = provider.entry(key).filter(|node| node.is_null()) {
                        *missing = Node::text(value);
                    }
                }
            }
        }
        clients::give_keys(&mut proxy);
        let mut judged = proxy.clone();
        choose(&mut judged, DEFAULT);
        let config = match config::within(&judged, "proxy", file, env, builtins()) {
            Ok(config) => config,
            Err(error) => {
                self.0.findings.adopt(error);
                return None;
            }
        };
        clients::check(&mut self.0, top, &config);
        let names: Vec<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
        for (at, name, _) in behaviours.entries().filter(|(_, name, _)| !names.contains(name)) {
            let help = match nearest(name, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("those are: {}", names.join(", ")),
            };
            self.0.findings.problem(&at, "is not one of the providers under `proxy`", Some(help));
        }
        let known: Vec<&str> = behaviours.entries().map(|(_, name, _)| name).collect();
        for name in names.into_iter().filter(|name| !known.contains(name)) {
            let help = "{first_token: {median: 0.4, p95: 1}, tokens_per_second: 60}";
            let at = behaviours.place(name);
            self.0.findings.problem(
                &at,
                "is missing: describe how this provider behaves",
                Some(format!("{name}: {help}")),
            );
        }
        Some(proxy)
    }
}

/// The seconds of a duration with a unit.
fn in_seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "ms" => 0.001,
        "s" | "sec" | "seconds" => 1.0,
        "m" | "min" | "minutes" => 60.0,
        "h" | "hours" => 3600.0,
        "d" | "days" => 86_400.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * unit)
}
