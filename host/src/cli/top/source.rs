//! Reads a running server: `/health`, `/metrics`, `/admin/stories`, `/admin/report` and `/admin/events.json`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::series::Series;
use crate::cli::key::{Server, Wrong};
use crate::observe::ledger::Record;
use crate::observe::report::Report;
use crate::observe::why::Course;

/// The name of the command in error messages.
const COMMAND: &str = "pointsman top";
/// The time between two readings that are kept as marks. Rates count from the latest mark that is ten seconds old, percentiles
/// from the first one.
const MARK: Duration = Duration::from_secs(10);
/// The number of marks that are kept: those of the last minute.
const MARKS: usize = 6;
/// The time between two questions for reports, for which the server may have to read files.
const REPORTS: Duration = Duration::from_secs(5);
/// The number of latest requests that are shown.
const REQUESTS: usize = 200;

/// One reading of a server.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// `/health`.
    pub health: Value,
    /// `/metrics`.
    pub now: Series,
    /// `/metrics` ten seconds ago or a little more, and the seconds since.
    pub shortly_ago: Option<(Series, f64)>,
    /// `/metrics` a minute ago or less.
    pub minute_ago: Option<Series>,
    /// The latest requests.
    pub requests: Vec<Record>,
    /// The requests of the last hour by client, and of the last five minutes by route.
    pub reports: [Option<Report>; 2],
    /// `/admin/events.json`, the oldest first.
    pub events: Vec<Value>,
}

/// Reads a server again and again.
#[derive(Debug)]
pub(super) struct Source {
    server: Server,
    marks: VecDeque<(Instant, Series)>,
    reports: Option<(Instant, [Option<Report>; 2])>,
}

/// A list of requests.
#[derive(Debug, Deserialize)]
struct Listed {
    stories: Vec<Record>,
}

/// One request, with the questions that approaches have asked for it.
#[derive(Debug, Deserialize)]
struct Told {
    story: Record,
    questions: Vec<Arc<Record>>,
}

impl Source {
    /// A source that reads the server that the arguments name.
    pub fn of(server: &Server) -> Result<Self, Wrong> {
        Ok(Self { server: server.found()?, marks: VecDeque::new(), reports: None })
    }

    /// A reading.
    pub fn read(&mut self) -> Result<Reading, Wrong> {
        let health = self.server.read(COMMAND, "/health")?;
        let text = self.server.read(COMMAND, "/metrics")?;
        let (at, now) = (Instant::now(), Series::read(text.as_str().unwrap_or_default()));
        let requests = self.requests(None, REQUESTS)?;
        let events = self.server.read(COMMAND, "/admin/events.json?since=24h")?;
        let reports = self.reports(at);
        if self.marks.back().is_some_and(|(_, before)| has_begun_anew(before, &now)) {
            self.marks.clear();
        }
        let age = |then: Instant| at.saturating_duration_since(then);
        let short = self.marks.iter().rev().find(|(then, _)| age(*then) >= MARK).or(self.marks.front());
        let shortly_ago = short.map(|(then, series)| (series.clone(), age(*then).as_secs_f64()));
        let minute_ago = self.marks.front().map(|(_, series)| series.clone());
        if self.marks.back().is_none_or(|(then, _)| age(*then) >= MARK) {
            if self.marks.len() >= MARKS {
                self.marks.pop_front();
            }
            self.marks.push_back((at, now.clone()));
        }
        let events = events["events"].as_array().cloned().unwrap_or_default();
        Ok(Reading { health, now, shortly_ago, minute_ago, requests, reports, events })
    }

    /// The reports: the earlier ones while they are fresh, and none where the server has no ledger.
    fn reports(&mut self, now: Instant) -> [Option<Report>; 2] {
        if let Some((at, reports)) = &self.reports
            && now.saturating_duration_since(*at) < REPORTS
        {
            return reports.clone();
        }
        let read = |query: &str| {
            let answer = self.server.read(COMMAND, &format!("/admin/report?{query}")).ok()?;
            serde_json::from_value(answer).ok()
        };
        let reports = [read("by=client&since=1h"), read("by=route&since=5m")];
        self.reports = Some((now, reports.clone()));
        reports
    }

    /// The latest requests, with a property such as `("provider", "a")`.
    pub fn requests(&self, of: Option<(&str, &str)>, most: usize) -> Result<Vec<Record>, Wrong> {
        let filter = of.map(|(name, value)| format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        let path = format!("/admin/stories?limit={most}{}", filter.unwrap_or_default());
        let listed: Listed = understood(self.server.read(COMMAND, &path)?)?;
        Ok(listed.stories)
    }

    /// The course of a request, in words.
    pub fn why(&self, id: &str) -> Result<String, Wrong> {
        let path = format!("/admin/stories/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
        let told: Told = understood(self.server.read(COMMAND, &path)?)?;
        Ok(Course::of(&told.story, &told.questions).to_string())
    }
}

/// True when counters are lower than before, so that another process must have answered.
fn has_begun_anew(before: &Series, now: &Series) -> bool {
    let count = |series: &Series| series.sum("pointsman_requests_total", &[]).unwrap_or(0.0);
    count(now) < count(before)
}

fn understood<T: for<'de> Deserialize<'de>>(answer: Value) -> Result<T, Wrong> {
    let strange = |error| Wrong::Failed(format!("{COMMAND}: the server's answer is not understood: {error}"));
    serde_json::from_value(answer).map_err(strange)
}
