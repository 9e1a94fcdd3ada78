//! Figures of the requests that a ledger keeps, added up by what somebody asks for: how many, how many failed, how fast
//! they were, what they cost.
//!
//! A [`Tally`] takes one record after the other and holds a bounded number of groups; the [`Report`] is its result, as plain
//! data: what a server answers as JSON is what the command line reads. `forms` shows it as a table.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub mod fault;
pub mod forms;
mod histogram;
mod timeline;

use super::ledger::filter::Wrong;
use super::ledger::record::{Millis, Text};
use super::ledger::{Filter, Record, Time};
use crate::limits::Nano;
use histogram::Histogram;
use timeline::Steps;
pub use timeline::{Line, Timeline};

/// The most groups; what is beyond counts together.
const MOST_GROUPS: usize = 1000;
/// The time before now from which on requests count, unless another is asked for: a day.
const SINCE: std::time::Duration = std::time::Duration::from_secs(86_400);

/// What requests can be added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The client.
    Client,
    /// The client's group.
    Group,
    /// The route.
    Route,
    /// The provider of the last attempt.
    Provider,
    /// The model that was asked for.
    Model,
    /// The strategy of the route.
    Strategy,
    /// The approach that has answered; of a question, the one that asks.
    Approach,
    /// How it ended.
    Outcome,
    /// Whose fault it is that it failed: see [`fault::of`].
    Fault,
    /// The status of the answer.
    Status,
    /// The day on which it began, in UTC.
    Day,
    /// The hour in which it began, in UTC.
    Hour,
}

impl By {
    /// All of them, with their names.
    pub const ALL: [(&str, Self); 12] = [
        ("client", Self::Client),
        ("group", Self::Group),
        ("route", Self::Route),
        ("provider", Self::Provider),
        ("model", Self::Model),
        ("strategy", Self::Strategy),
        ("approach", Self::Approach),
        ("outcome", Self::Outcome),
        ("fault", Self::Fault),
        ("status", Self::Status),
        ("day", Self::Day),
        ("hour", Self::Hour),
    ];

    /// Its name in queries and reports.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, by)| *by == self).map_or("", |(name, _)| name)
    }

    /// True for a moment, so that rows follow each other in time.
    fn is_time(self) -> bool {
        matches!(self, Self::Day | Self::Hour)
    }

    /// The value of a record; empty if it has none.
    fn of(self, record: &Record) -> Text {
        let text = |text: &Option<Text>| text.clone().unwrap_or_default();
        let moment = |form: &str| {
            let moment = Timestamp::from_microsecond(record.time.0).unwrap_or_default();
            Text::from(moment.strftime(form).to_string())
        };
        match self {
            Self::Client => text(&record.client),
            Self::Group => text(&record.group),
            Self::Route => text(&record.route),
            Self::Provider => text(&record.provider),
            Self::Model => record.model.clone(),
            Self::Strategy => text(&record.strategy),
            Self::Approach => {
                let asks = record.inner.as_ref().map(|inner| inner.approach.clone());
                record.approach.as_ref().map(|approach| approach.name.clone()).or(asks).unwrap_or_default()
            }
            Self::Outcome => record.outcome.clone(),
            Self::Fault => fault::of(record).into(),
            Self::Status => record.status.map(|status| Text::from(status.to_string())).unwrap_or_default(),
            Self::Day => moment("%Y-%m-%d"),
            Self::Hour => moment("%Y-%m-%dT%H:00Z"),
        }
    }
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What to add up by.
    pub by: Vec<By>,
    /// The requests that count; `since` is always set.
    pub filter: Filter,
    /// True for figures over time as well.
    pub timeline: bool,
}

impl Asked {
    /// The names of the parameters of [`Asked::read`] beside those of [`Filter::set`].
    pub const PARAMETERS: [&str; 2] = ["by", "timeline"];

    /// Reads what is asked for from names and values, as they are in queries.
    ///
    /// # Errors
    ///
    /// The name of the parameter that is wrong, and what would be right.
    pub fn read(given: impl Iterator<Item = (String, String)>, now: Time) -> Result<Self, Wrong> {
        let mut asked = Self { by: Vec::new(), filter: Filter::default(), timeline: false };
        for (name, value) in given {
            match name.as_str() {
                "by" => asked.add(&value)?,
                "timeline" => asked.timeline = matches!(value.as_str(), "" | "1" | "true" | "yes"),
                _ if asked.filter.set(&name, &value, now)? => {}
                _ => {
                    let names = Self::PARAMETERS.into_iter().chain(Filter::PARAMETERS).map(|name| format!("`{name}`"));
                    return Err(("query", format!("may have {}", names.collect::<Vec<_>>().join(", "))));
                }
            }
        }
        let since = *asked.filter.since.get_or_insert(now.minus(SINCE));
        if asked.filter.until.is_some_and(|until| until < since) {
            return Err(("since", "must not be later than `until`".to_owned()));
        }
        Ok(asked)
    }

    fn add(&mut self, names: &str) -> Result<(), Wrong> {
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let Some((_, by)) = By::ALL.iter().find(|(known, _)| *known == name) else {
                let names = By::ALL.map(|(name, _)| name).join(", ");
                return Err(("by", format!("may have {names}, with commas between")));
            };
            if !self.by.contains(by) {
                self.by.push(*by);
            }
        }
        Ok(())
    }
}

/// The figures of a group of requests; those of time are `None` where no request has one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Requests.
    pub requests: u64,
    /// Those whose client got an error, an answer that broke, or left before there was one.
    pub failed: u64,
    /// Those for which more than one provider was tried.
    pub failovers: u64,
    /// Tokens of prompts, as answers report them.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// Those of prompts that a provider read from its cache.
    pub cached_tokens: u64,
    /// Those of answers that are reasoning.
    pub reasoning_tokens: u64,
    /// Tokens that requests were charged with, of which no answer has said how many they took.
    pub estimated_tokens: u64,
    /// The cost in dollars.
    pub cost: f64,
    /// The same in billionths of a dollar, exactly.
    pub nano_dollars: u64,
    /// Requests that took tokens and have no price.
    pub unpriced: u64,
    /// The time until the head of the answer, in milliseconds.
    pub first_byte_ms: Option<Spread>,
    /// The time until the end of the answer.
    pub duration_ms: Option<Spread>,
    /// The time in the queue.
    pub queue_ms: Option<Spread>,
    /// The part of the time until the head of the answer that the proxy itself took.
    pub own_ms: Option<Spread>,
}

/// Percentiles of a time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    fn of(histogram: &Histogram) -> Option<Self> {
        let millis = |micros: u64| Millis(micros).get();
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| millis(histogram.quantile(share)));
        (histogram.total() > 0).then(|| Self { p50, p95, p99, max: millis(histogram.most()) })
    }
}

/// One group of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What its requests have in common: a value for each name of `by`, null where they have none.
    pub group: Map<String, Value>,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Row {
    /// The values of its group; `None` where its requests have none.
    pub fn values(&self) -> impl Iterator<Item = Option<&str>> {
        self.group.values().map(Value::as_str)
    }
}

/// The result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The moment from which on requests count.
    pub since: Time,
    /// The moment up to which they count.
    pub until: Time,
    /// What they are added up by.
    pub by: Vec<By>,
    /// The groups: by their moments if it is added up by these first, else the dearest first.
    pub rows: Vec<Row>,
    /// The requests of groups beyond the first thousand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Figures>,
    /// All requests.
    pub total: Figures,
    /// The figures over time, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
}

/// Sums of a group under way.
#[derive(Clone, Debug, Default)]
struct Sums {
    figures: Figures,
    first_byte: Histogram,
    duration: Histogram,
    queue: Histogram,
    own: Histogram,
    /// Its requests and their cost over time.
    steps: Vec<(u32, u64)>,
}

impl Sums {
    /// `is_paid_elsewhere` is true for a request whose questions count as well.
    fn add(&mut self, record: &Record, is_paid_elsewhere: bool) {
        let Self { figures, first_byte, duration, queue, own, .. } = self;
        figures.requests += 1;
        figures.failed += u64::from(record.failed());
        figures.failovers += u64::from(record.failed_over());
        if !is_paid_elsewhere {
            figures.prompt_tokens += record.prompt_tokens.unwrap_or(0);
            figures.completion_tokens += record.completion_tokens.unwrap_or(0);
            figures.cached_tokens += record.cached_tokens;
            figures.reasoning_tokens += record.reasoning_tokens;
            let is_known = record.prompt_tokens.is_some() || record.completion_tokens.is_some();
            figures.estimated_tokens += record.estimated_tokens.filter(|_| !is_known).unwrap_or(0);
            figures.nano_dollars = figures.nano_dollars.saturating_add(record.cost_nano.unwrap_or(0));
            figures.unpriced += u64::from(record.cost_nano.is_none() && record.tokens() > 0);
        }
        duration.add(record.duration_ms.0);
        for (histogram, time) in
            [(first_byte, record.first_byte_ms), (queue, record.queue_ms), (own, record.overhead_ms)]
        {
            if let Some(time) = time {
                histogram.add(time.0);
            }
        }
    }

    fn figures(&self) -> Figures {
        Figures {
            cost: Nano(self.figures.nano_dollars).dollars(),
            first_byte_ms: Spread::of(&self.first_byte),
            duration_ms: Spread::of(&self.duration),
            queue_ms: Spread::of(&self.queue),
            own_ms: Spread::of(&self.own),
            ..self.figures.clone()
        }
    }
}

/// Adds up records.
#[derive(Debug)]
pub struct Tally {
    by: Vec<By>,
    since: Time,
    until: Time,
    /// True when questions of approaches count too, and what they took is theirs.
    counts_questions: bool,
    groups: HashMap<Vec<Text>, Sums>,
    other: Option<Sums>,
    total: Sums,
    steps: Option<Steps>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(asked: &Asked, now: Time) -> Self {
        let (since, until) = (asked.filter.since.unwrap_or_default(), asked.filter.until.unwrap_or(now));
        Self {
            by: asked.by.clone(),
            since,
            until,
            counts_questions: asked.filter.inner,
            groups: HashMap::new(),
            other: None,
            total: Sums::default(),
            steps: asked.timeline.then(|| Steps::new(since, until)),
        }
    }

    /// Adds a record that the filter lets through, in any order.
    pub fn add(&mut self, record: &Record) {
        let is_paid_elsewhere = self.counts_questions && record.approach.is_some();
        self.total.add(record, is_paid_elsewhere);
        let cost = record.cost_nano.filter(|_| !is_paid_elsewhere).unwrap_or(0);
        let step = self.steps.as_mut().map(|steps| steps.add(record, cost));
        if self.by.is_empty() {
            return;
        }
        let key: Vec<Text> = self.by.iter().map(|by| by.of(record)).collect();
        let has_room = self.groups.len() < MOST_GROUPS;
        let sums = match self.groups.get_mut(&key) {
            Some(sums) => sums,
            None if has_room => self.groups.entry(key).or_default(),
            None => self.other.get_or_insert_default(),
        };
        sums.add(record, is_paid_elsewhere);
        if let (Some(step), Some(steps)) = (step, &self.steps) {
            sums.steps.resize(steps.count(), (0, 0));
            if let Some((requests, nano)) = sums.steps.get_mut(step) {
                *requests += 1;
                *nano += cost;
            }
        }
    }

    /// The result.
    pub fn report(self) -> Report {
        let Self { by, since, until, groups, other, total, steps, .. } = self;
        let mut groups: Vec<(Vec<Text>, Sums)> = groups.into_iter().collect();
        let is_by_time = by.first().is_some_and(|by| by.is_time());
        groups.sort_by(|(key, sums), (other_key, other)| {
            let weight = |sums: &Sums| (sums.figures.nano_dollars, sums.figures.requests);
            let by_weight = weight(other).cmp(&weight(sums));
            if is_by_time { key.cmp(other_key) } else { by_weight.then_with(|| key.cmp(other_key)) }
        });
        let timeline = steps.map(|steps| steps.timeline(&groups, other.as_ref()));
        let value = |text: &Text| if text.is_empty() { Value::Null } else { Value::from(&**text) };
        let named = |key: &[Text]| by.iter().zip(key).map(|(by, text)| (by.name().to_owned(), value(text))).collect();
        let rows = groups.iter().map(|(key, sums)| Row { group: named(key), figures: sums.figures() }).collect();
        Report { since, until, rows, other: other.map(|sums| sums.figures()), total: total.figures(), timeline, by }
    }
}

#[cfg(test)]
mod tests;
