//! The history of reloads, for `/health`: the changes that each made, or the reason why it failed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::config::{Change, LoadError, Problem, Written};

/// The number of reloads that are remembered.
const REMEMBERED: usize = 20;

/// The number of lines that are remembered of each.
const LINES: usize = 50;

/// The place of a problem that is not in the configuration.
const ELSEWHERE: &str = "not in the configuration";

/// Tells where the details are that `/health` does not show to everybody.
const DETAILS: &str = "The log and the answer to POST /admin/reload say what is wrong there.";

/// A reload that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The time of the failure.
    pub at: SystemTime,
    /// Every problem, as the log has it.
    pub text: String,
    /// The place of each problem only: values of the configuration and words of a strategy are not for everybody.
    pub places: Vec<String>,
}

impl Failure {
    /// A failure that has just happened, with its problems.
    pub fn of(error: &anyhow::Error) -> Self {
        let places = match error.downcast_ref::<LoadError>() {
            Some(error) => error.problems.iter().map(Problem::place).collect(),
            None => vec![ELSEWHERE.to_owned()],
        };
        Self { at: SystemTime::now(), text: format!("{error:#}"), places }
    }
}

/// One reload, as operators may see it: with the values that `/health` does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The time.
    pub at: SystemTime,
    /// The cause.
    pub cause: String,
    /// In a word: `reloaded`, `unchanged`, `failed` or `superseded`.
    pub result: &'static str,
    /// The number of the configuration that was in force afterwards.
    pub generation: u64,
    /// Its changes, or the problems.
    pub lines: Vec<String>,
}

/// The history of reloads, which the reloader writes and `/health` reads, and what is in force.
#[derive(Debug, Default)]
pub struct Status(Mutex<History>);

#[derive(Debug, Default)]
struct History {
    succeeded: u64,
    failed: u64,
    /// The latest reload, if it failed.
    failure: Option<Failure>,
    /// The successful reloads, the latest last.
    latest: VecDeque<Value>,
    /// The same reloads, for operators.
    entries: VecDeque<Entry>,
    /// The keys and values of the configuration in force.
    in_force: Arc<Written>,
}

impl Status {
    /// Notes a successful reload, and its changes.
    pub fn succeeded(&self, cause: &str, generation: u64, changes: &[Change]) {
        let mut history = self.0.lock();
        history.succeeded += 1;
        history.failure = None;
        let result = if changes.is_empty() { "unchanged" } else { "reloaded" };
        let lines: Vec<String> = changes.iter().map(Change::public_line).collect();
        let details = changes.iter().map(Change::line).collect();
        history.remember(SystemTime::now(), cause, generation, result, ("changes", lines), details);
    }

    /// Notes a failed reload; `generation` stays in force.
    pub fn failed(&self, cause: &str, generation: u64, failure: Failure) {
        let mut history = self.0.lock();
        history.failed += 1;
        let details = failure.text.lines().map(str::to_owned).collect();
        history.remember(failure.at, cause, generation, "failed", ("problems", failure.places.clone()), details);
        history.failure = Some(failure);
    }

    /// Notes a reload that a newer one superseded before it took effect.
    pub fn superseded(&self, cause: &str, generation: u64) {
        let nothing = ("changes", Vec::new());
        self.0.lock().remember(SystemTime::now(), cause, generation, "superseded", nothing, Vec::new());
    }

    /// Notes the configuration that is in force from now on.
    pub fn put_in_force(&self, written: &Written) {
        self.0.lock().in_force = Arc::new(written.clone());
    }

    /// The keys and values of the configuration in force.
    pub fn in_force(&self) -> Arc<Written> {
        Arc::clone(&self.0.lock().in_force)
    }

    /// The latest reloads, the latest last, for operators.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().entries.iter().cloned().collect()
    }

    /// The latest reload.
    pub fn latest(&self) -> Option<Entry> {
        self.0.lock().entries.back().cloned()
    }

    /// True unless the latest reload failed.
    pub fn is_well(&self) -> bool {
        self.0.lock().failure.is_none()
    }

    /// The history as JSON for `/health`.
    pub fn shown(&self) -> Value {
        let history = self.0.lock();
        let mut shown = json!({
            "reloads": {"succeeded": history.succeeded, "failed": history.failed, "latest": history.latest},
        });
        if let Some(failure) = &history.failure {
            let problems: Vec<&String> = failure.places.iter().take(LINES).collect();
            let at = httpdate::fmt_http_date(failure.at);
            shown["last_error"] = json!({"at": at, "problems": problems, "details": DETAILS});
        }
        shown
    }
}

impl History {
    fn remember(
        &mut self,
        at: SystemTime,
        cause: &str,
        generation: u64,
        result: &'static str,
        (what, mut lines): (&str, Vec<String>),
        mut details: Vec<String>,
    ) {
        for lines in [&mut lines, &mut details] {
            let left_out = lines.len().saturating_sub(LINES);
            if left_out > 0 {
                lines.truncate(LINES);
                lines.push(format!("and {left_out} more"));
            }
        }
        if self.latest.len() >= REMEMBERED {
            self.latest.pop_front();
            self.entries.pop_front();
        }
        let mut entry =
            json!({"at": httpdate::fmt_http_date(at), "cause": cause, "result": result, "generation": generation});
        entry[what] = json!(lines);
        self.latest.push_back(entry);
        self.entries.push_back(Entry { at, cause: cause.to_owned(), result, generation, lines: details });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_reloads_are_remembered_each_with_a_bounded_number_of_lines() {
        let status = Status::default();
        let changes: Vec<Change> = (0..60).map(|key| Change::of(key.to_string(), "changed")).collect();
        for generation in 0..30 {
            status.succeeded("SIGHUP", generation, &changes);
        }
        status.failed("SIGHUP", 29, Failure::of(&anyhow::anyhow!("no")));
        let shown = status.shown();
        let latest = shown["reloads"]["latest"].as_array().unwrap();
        assert_eq!((latest.len(), latest[0]["generation"].as_u64()), (20, Some(11)));
        assert_eq!(latest[0]["changes"].as_array().unwrap().len(), 51);
        assert_eq!(
            (latest[19]["result"].as_str(), latest[19]["problems"][0].as_str()),
            (Some("failed"), Some(ELSEWHERE))
        );
        let entries = status.entries();
        assert_eq!((entries.len(), entries[0].generation, entries[0].lines.len()), (20, 11, 51));
        assert_eq!((status.latest().unwrap().result, entries[19].lines[0].as_str()), ("failed", "no"));
        assert_eq!((status.is_well(), shown["last_error"]["problems"][0].as_str()), (false, Some(ELSEWHERE)));
    }
}
