//! Every known key with its type, its default and what it is for, by section; any other key is a problem.
//!
//! This is the one table of the configuration. The help for unknown keys, the JSON Schema ([`json`]), the reference of the
//! documentation (`reference`) and the defaults that `pointsman config show` tells all come from it. The readers of the
//! sections do not: they check more than a table can say, so tests hold the table against them.

mod components;
mod json;
mod providers;
#[cfg(test)]
mod reference;
mod routes;
mod server;
#[cfg(test)]
mod tests;
mod watching;

use super::problem::nearest;

pub(super) use components::{APPROACH, APPROACH_ENTRY, REGISTRY, STRATEGY, STRATEGY_LIMITS};
pub(crate) use json::json_schema;
pub(super) use providers::{
    BUDGET, LIMITS, PRICE, PROVIDER, PROVIDER_CHECK, PROVIDER_TIMEOUTS, PROVIDER_TLS, TIMEOUTS,
};
pub(super) use routes::{
    AFFINITY, ATTRIBUTE, FALLBACKS, HEALTH_CHECK, HEDGE, MODEL_PRICE, PRICE_TIER, PRICES, ROUTE, ROUTE_TIMEOUTS,
    ROUTING, TARGET,
};
pub(super) use server::{
    ADMIN, CLIENT_GROUP, CLIENT_KEY, CLIENT_STORE, CLIENTS, CORS, KEY_TERMS, NETWORK, QUEUE, SENTINEL, SERVER, STATE,
    STATE_TLS, TLS, WEBSOCKET,
};
pub(super) use watching::{ALWAYS, LEDGER, MONITORING, OTLP, OTLP_METRICS, OTLP_TLS, TELEMETRY, TRACES};

/// The legal keys of one mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schema {
    /// Its key path, for help texts.
    pub path: &'static str,
    /// Its keys, in the order in which the documentation has them.
    pub rows: &'static [Row],
    /// Keys of which one must be there; empty if none has to be.
    pub either: &'static [&'static str],
    /// Keys of which nothing more is said here, because the mapping is no part of the configuration.
    pub names: &'static [&'static str],
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub key: &'static str,
    pub kind: Kind,
    pub absent: Absent,
    /// The purpose of the key: a sentence, in one line.
    pub text: &'static str,
}

/// The values that a key may have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Anything, such as the configuration of a strategy.
    Any,
    /// Any mapping, which may hold secrets.
    Object,
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// A text that the regular expression describes to programs, and the words to people.
    Formed(&'static str, &'static str),
    /// One of these texts.
    Word(&'static [&'static str]),
    /// One of these texts, in upper or lower case.
    AnyCase(&'static [&'static str]),
    Boolean,
    /// From and to, both included.
    Integer(u64, u64),
    /// From and to, both included.
    Number(f64, f64),
    /// Above, and up to.
    Above(f64, f64),
    /// A number of seconds above 0.
    Seconds,
    /// A number of seconds, 0 or more.
    SecondsOrZero,
    /// A number with a unit, or without one, that the regular expression describes to programs and the words to people.
    Measured(&'static str, &'static str),
    Section(&'static Schema),
    /// A mapping whose keys are the user's own, but for those in the list.
    Map(&'static Kind, &'static [Row]),
    List(&'static Kind),
    OneOf(&'static [Kind]),
}

/// The meaning of a key that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It must not be.
    Required,
    /// Nothing: there is none.
    Nothing,
    /// The default is this value, written as in the file.
    Is(&'static str),
    /// The default is what these words say.
    As(&'static str),
    /// A section: the default of each key in it.
    Each,
}

impl Kind {
    /// The kind that a mapping has, where there is a choice.
    pub fn of_mappings(&'static self) -> Option<&'static Self> {
        match self {
            Self::Section(_) | Self::Map(..) => Some(self),
            Self::OneOf(kinds) => kinds.iter().find_map(Self::of_mappings),
            _ => None,
        }
    }

    /// The kind that the elements of a list have.
    pub fn of_items(&'static self) -> Option<&'static Self> {
        match self {
            Self::List(each) => Some(each),
            Self::OneOf(kinds) => kinds.iter().find_map(Self::of_items),
            _ => None,
        }
    }

    /// The kind of the value under a key of a mapping.
    pub fn within(&'static self, key: &str) -> Option<&'static Self> {
        match self {
            Self::Section(schema) => schema.row(key).map(|row| &row.kind),
            Self::Map(each, fixed) => Some(fixed.iter().find(|row| row.key == key).map_or(*each, |row| &row.kind)),
            _ => None,
        }
    }
}

impl Schema {
    /// A mapping with these keys.
    pub const fn new(path: &'static str, rows: &'static [Row]) -> Self {
        Self { path, rows, either: &[], names: &[] }
    }

    /// The same, where one of the keys in `either` must be there.
    const fn with(path: &'static str, either: &'static [&'static str], rows: &'static [Row]) -> Self {
        Self { either, ..Self::new(path, rows) }
    }

    /// A mapping with these keys in a file of another kind.
    pub const fn of_names(path: &'static str, names: &'static [&'static str]) -> Self {
        Self { names, ..Self::new(path, &[]) }
    }

    /// True when `key` is one of its keys.
    pub fn has(&self, key: &str) -> bool {
        self.row(key).is_some() || self.names.contains(&key)
    }

    /// The row of `key`, if the table has one.
    pub fn row(&self, key: &str) -> Option<&'static Row> {
        self.rows.iter().find(|row| row.key == key)
    }

    /// Its keys.
    pub fn keys(&self) -> Vec<&'static str> {
        self.rows.iter().map(|row| row.key).chain(self.names.iter().copied()).collect()
    }
}

/// One key of the table.
const fn row(key: &'static str, kind: Kind, absent: Absent, text: &'static str) -> Row {
    Row { key, kind, absent, text }
}

/// Limits on numbers of requests stay below this, which a semaphore can hold on every platform.
pub(super) const MAX_COUNT: u64 = 100_000_000;
/// A positive integer that counts requests or the like.
const COUNT: Kind = Kind::Integer(1, MAX_COUNT);
/// Texts.
const TEXTS: Kind = Kind::List(&Kind::Text);
/// A list of models, as names or with one `*` each.
const MODELS: Kind = TEXTS;
/// The path of a file.
const PATH: Kind = Kind::Text;

pub(super) const TOP: Schema = Schema::new(
    "the top level",
    &[
        row("providers", Kind::List(&Kind::Section(&PROVIDER)), Absent::Required, "Where requests go; at least one."),
        row(
            "routes",
            Kind::List(&Kind::Section(&ROUTE)),
            Absent::As("every provider may serve every model that it has"),
            "Who serves which models: the first route that fits is taken, and a model that none fits is refused.",
        ),
        row(
            "routing",
            Kind::Section(&ROUTING),
            Absent::Each,
            "Which provider is tried first, and what follows a failure.",
        ),
        row(
            "strategies",
            Kind::Map(&Kind::Section(&STRATEGY), &[components::LIMITS_OF_STRATEGIES]),
            Absent::Nothing,
            "Strategies with a configuration or from a file, by the name that chooses them.",
        ),
        row(
            "registries",
            Kind::Map(&Kind::Section(&REGISTRY), &[]),
            Absent::Nothing,
            "Registries that want a password, or are asked without TLS, by host and port.",
        ),
        row("timeouts", Kind::Section(&TIMEOUTS), Absent::Each, "How long an attempt at a provider may take."),
        row(
            "queue",
            Kind::Section(&QUEUE),
            Absent::Each,
            "How many requests are worked on at once, and how many may wait.",
        ),
        row(
            "monitoring",
            Kind::Section(&MONITORING),
            Absent::Each,
            "The log, what is measured, and what is kept of requests.",
        ),
        row(
            "telemetry",
            Kind::Section(&TELEMETRY),
            Absent::As("none, or what OTEL_EXPORTER_OTLP_ENDPOINT and its kin say"),
            "What is exported by OpenTelemetry's protocol.",
        ),
        row("server", Kind::Section(&SERVER), Absent::Each, "The listener for clients, and the one for operators."),
        row("clients", Kind::Section(&CLIENTS), Absent::Each, "Who may ask, under which names, and for which models."),
        row("network", Kind::Section(&NETWORK), Absent::Each, "The way to all providers."),
        row(
            "approach",
            Kind::Section(&APPROACH),
            Absent::Each,
            "Algorithms that ask the model more than once: which, and within which bounds.",
        ),
        row(
            "approaches",
            Kind::Map(&Kind::Section(&APPROACH_ENTRY), &[]),
            Absent::Nothing,
            "Approaches with a configuration or from a file, by the name that chooses them.",
        ),
        row("prices", Kind::Section(&PRICES), Absent::Each, "What tokens cost, in dollars for a million of them."),
        row(
            "state",
            Kind::Section(&STATE),
            Absent::As("none: limits are those of this process"),
            "The Valkey or Redis that replicas share.",
        ),
    ],
);

pub(super) const ALL: &[&Schema] = &[
    &TOP,
    &PROVIDER,
    &PRICE,
    &PROVIDER_CHECK,
    &PROVIDER_TIMEOUTS,
    &PROVIDER_TLS,
    &LIMITS,
    &BUDGET,
    &ROUTING,
    &AFFINITY,
    &ATTRIBUTE,
    &HEALTH_CHECK,
    &ROUTE,
    &TARGET,
    &ROUTE_TIMEOUTS,
    &FALLBACKS,
    &HEDGE,
    &STRATEGY,
    &REGISTRY,
    &STRATEGY_LIMITS,
    &TIMEOUTS,
    &QUEUE,
    &MONITORING,
    &LEDGER,
    &TELEMETRY,
    &OTLP,
    &OTLP_TLS,
    &TRACES,
    &ALWAYS,
    &OTLP_METRICS,
    &SERVER,
    &TLS,
    &CORS,
    &WEBSOCKET,
    &ADMIN,
    &NETWORK,
    &CLIENTS,
    &CLIENT_GROUP,
    &CLIENT_KEY,
    &CLIENT_STORE,
    &APPROACH,
    &APPROACH_ENTRY,
    &PRICES,
    &MODEL_PRICE,
    &PRICE_TIER,
    &STATE,
    &SENTINEL,
    &STATE_TLS,
];

/// Help for a key that `schema` does not have: a similar key, the section where it belongs, or the whole list.
pub(super) fn help_for_unknown(key: &str, schema: Schema) -> String {
    if let Some(near) = nearest(key, &schema.keys()) {
        return format!("did you mean `{near}`?");
    }
    let homes: Vec<&str> = ALL.iter().filter(|other| other.has(key)).map(|other| other.path).collect();
    if homes.is_empty() {
        format!("known keys: {}", schema.keys().join(", "))
    } else {
        format!("it belongs to {}", homes.join(" or "))
    }
}
