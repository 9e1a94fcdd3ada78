//! What has happened to the server, for operators who ask what changed at 14:05: the latest lines of the log that are about
//! more than one request. All warnings and errors, and from the modules below what they say at INFO.
//!
//! The log itself may be far away, or at a level that leaves them out. They are kept in memory alone.

use std::collections::VecDeque;
use std::fmt;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::layer::Context;

/// The most events that are kept.
const MOST: usize = 1000;
/// The most characters of a message.
const LONGEST: usize = 4000;
/// The most characters of a field, and the most fields.
const LONGEST_FIELD: usize = 500;
const MOST_FIELDS: usize = 16;

/// The modules whose lines at INFO are events, and what they are about; the first prefix that fits counts.
const KINDS: [(&str, &str); 11] = [
    ("pointsman::app::reload", "reload"),
    ("pointsman::app", "server"),
    ("pointsman::cli", "server"),
    ("pointsman::drain", "server"),
    (super::LISTENING, "server"),
    ("pointsman::admin::keys", "keys"),
    ("pointsman::provider::fleet", "provider"),
    ("pointsman::strategy", "strategy"),
    ("pointsman::approach", "approach"),
    ("pointsman::state", "state"),
    ("pointsman::observe::ledger", "ledger"),
];
/// Modules whose lines are never events: what guests print.
const NEVER: [&str; 1] = ["pointsman::wasm::output"];
/// The field of lines about one request.
const OF_REQUEST: &str = "request_id";

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Counts the events of the process, from 1.
    pub number: u64,
    /// The moment.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// `INFO`, `WARN` or `ERROR`.
    pub level: &'static str,
    /// What it is about, in a word: `reload`, `provider`, `strategy`, `server`, ...
    pub kind: String,
    /// What has happened, in words.
    pub message: String,
    /// The fields of the line.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

/// The latest events, the oldest first.
#[derive(Debug, Default)]
pub struct Events(Mutex<(u64, VecDeque<Event>)>);

impl Events {
    /// None.
    pub const fn new() -> Self {
        Self(Mutex::new((0, VecDeque::new())))
    }

    /// Those that have happened since and until, the oldest first.
    pub fn between(&self, since: Timestamp, until: Timestamp) -> Vec<Event> {
        let kept = self.0.lock();
        kept.1.iter().filter(|event| (since..=until).contains(&event.time)).cloned().collect()
    }

    fn keep(&self, mut event: Event) {
        let (number, kept) = &mut *self.0.lock();
        *number += 1;
        event.number = *number;
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back(event);
    }
}

/// Keeps lines of the log in these events.
pub struct Keeper(pub &'static Events);

impl Keeper {
    /// The lines that may be events.
    pub fn filter() -> FilterFn {
        let is_kept: fn(&Metadata<'_>) -> bool = |line| is_event(line.target(), line.level());
        filter_fn(is_kept).with_max_level_hint(LevelFilter::INFO)
    }
}

fn is_event(target: &str, level: &Level) -> bool {
    let is_below = |prefix: &str| target.starts_with(prefix);
    *level <= Level::INFO
        && !NEVER.into_iter().any(is_below)
        && (*level <= Level::WARN || KINDS.into_iter().any(|(prefix, _)| is_below(prefix)))
}

/// What a line is about: as the table has it, else the room that it comes from.
fn kind(target: &str) -> &str {
    let known = KINDS.into_iter().find(|(prefix, _)| target.starts_with(prefix));
    let room = || target.strip_prefix("pointsman::").and_then(|rest| rest.split("::").next());
    known.map(|(_, kind)| kind).or_else(room).unwrap_or("library")
}

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, line: &tracing::Event<'_>, _context: Context<'_, S>) {
        let mut read = Read::default();
        line.record(&mut read);
        if read.is_of_request {
            return;
        }
        let about: &Metadata<'_> = line.metadata();
        let (level, kind) = (about.level().as_str(), kind(about.target()).to_owned());
        self.0.keep(Event {
            number: 0,
            time: Timestamp::now(),
            level,
            kind,
            message: read.message,
            fields: read.fields,
        });
    }
}

/// The fields of a line.
#[derive(Default)]
struct Read {
    message: String,
    fields: Map<String, Value>,
    is_of_request: bool,
}

impl Read {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        match field.name() {
            OF_REQUEST => self.is_of_request = true,
            _ if self.fields.len() >= MOST_FIELDS => {}
            name => drop(self.fields.insert(name.to_owned(), value.into())),
        }
    }

    fn text(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            self.message = text.chars().take(LONGEST).collect();
        } else {
            self.put(field, text.chars().take(LONGEST_FIELD).collect::<String>());
        }
    }
}

impl Visit for Read {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn lines_about_more_than_one_request_are_kept_with_their_fields() {
        static EVENTS: Events = Events::new();
        let subscriber = tracing_subscriber::registry().with(Keeper(&EVENTS).with_filter(Keeper::filter()));
        tracing::subscriber::with_default(subscriber, || {
            let (provider, reason) = ("a", "answered 500");
            tracing::warn!(target: "pointsman::provider::fleet", provider, reason, "provider {provider} was ejected");
            tracing::info!(target: "pointsman::provider::fleet", provider, "provider {provider} was admitted again");
            tracing::info!(target: "pointsman::provider::summary", provider, attempts = 3, "a summary");
            tracing::info!(target: "pointsman::observe::log", request_id = "req_1", "POST /v1 200");
            tracing::warn!(target: "pointsman::proxy::dispatch", request_id = "req_1", "answered 500");
            tracing::warn!(target: "pointsman::wasm::output", strategy = "s", "printed");
            tracing::debug!(target: "pointsman::app::reload", "looked");
            tracing::warn!(target: "pointsman::listener", turned_away = 7_u64, "turned away");
            tracing::error!(target: "hyper", "broke");
        });
        let kept = EVENTS.between(Timestamp::MIN, Timestamp::MAX);
        let told: Vec<_> =
            kept.iter().map(|event| (event.number, event.level, &*event.kind, &*event.message)).collect();
        assert_eq!(
            told,
            [
                (1, "WARN", "provider", "provider a was ejected"),
                (2, "INFO", "provider", "provider a was admitted again"),
                (3, "WARN", "listener", "turned away"),
                (4, "ERROR", "library", "broke"),
            ]
        );
        assert_eq!((&kept[0].fields["reason"], &kept[2].fields["turned_away"]), (&"answered 500".into(), &7.into()));
        assert!(EVENTS.between(Timestamp::MIN, kept[0].time).len() < 4);
    }

    #[test]
    fn the_oldest_make_room_and_long_texts_are_cut() {
        static EVENTS: Events = Events::new();
        let subscriber = tracing_subscriber::registry().with(Keeper(&EVENTS).with_filter(Keeper::filter()));
        tracing::subscriber::with_default(subscriber, || {
            let long = "x".repeat(2 * LONGEST);
            for _ in 0..MOST + 5 {
                tracing::warn!(target: "pointsman::app", long, "{long}");
            }
        });
        let kept = EVENTS.between(Timestamp::MIN, Timestamp::MAX);
        assert_eq!((kept.len(), kept[0].number), (MOST, 6));
        assert_eq!(kept[0].message.len(), LONGEST);
        assert_eq!(kept[0].fields["long"].as_str().map(str::len), Some(LONGEST_FIELD));
    }
}
