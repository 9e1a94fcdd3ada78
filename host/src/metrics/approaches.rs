//! The metrics of approaches. Their names come from the configuration and from what is built in, combinations from clients:
//! of those no more are counted than [`COMBINATIONS`].

use std::collections::BTreeSet;

use parking_lot::Mutex;
use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tokio::time::Instant;

use super::{LONG, sound};

/// The most combinations that have series of their own; what is beyond counts as `other`.
const COMBINATIONS: usize = 100;

/// All metrics of approaches.
#[derive(Debug)]
pub struct ApproachMetrics {
    runs: IntCounterVec,
    calls: IntCounterVec,
    tokens: IntCounterVec,
    faults: IntCounterVec,
    seconds: HistogramVec,
    running: GaugeVec,
    known: Mutex<BTreeSet<String>>,
}

impl ApproachMetrics {
    /// Registers them.
    pub(super) fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = sound(IntCounterVec::new(Opts::new(name, help), labels));
            sound(registry.register(Box::new(counters.clone())));
            counters
        };
        let options = HistogramOpts::new("pointsman_approach_seconds", "The time of a run.").buckets(LONG.to_vec());
        let seconds = sound(HistogramVec::new(options, &["approach"]));
        sound(registry.register(Box::new(seconds.clone())));
        let running = Opts::new("pointsman_approach_running", "Runs under way.");
        let running = sound(GaugeVec::new(running, &["approach"]));
        sound(registry.register(Box::new(running.clone())));
        Self {
            runs: counters(
                "pointsman_approach_runs_total",
                "Runs of approaches that have ended: succeeded, failed (because of a call or the request), broke or cancelled.",
                &["approach", "result"],
            ),
            calls: counters(
                "pointsman_approach_calls_total",
                "Questions of approaches to the model that have ended.",
                &["approach", "result"],
            ),
            tokens: counters(
                "pointsman_approach_tokens_total",
                "Tokens of requests that approaches have answered, by approach or combination.",
                &["approach", "kind"],
            ),
            faults: counters("pointsman_approach_faults_total", "Faults of approaches.", &["approach", "kind"]),
            seconds,
            running,
            known: Mutex::default(),
        }
    }

    /// The label of an approach or a combination.
    fn label<'n>(&self, name: &'n str) -> &'n str {
        let mut known = self.known.lock();
        if known.contains(name) {
            return name;
        }
        if known.len() >= COMBINATIONS {
            return "other";
        }
        known.insert(name.to_owned());
        name
    }

    /// A run begins. It has ended when what is returned is told so, or dropped: then it was cancelled.
    pub fn begins<'m>(&'m self, approach: &str) -> RunUnderWay<'m> {
        let label = self.label(approach).to_owned();
        let running = self.running.with_label_values(&[&label]);
        running.inc();
        RunUnderWay { metrics: self, label, running, began: Instant::now(), result: "cancelled" }
    }

    /// Counts a question to the model.
    pub fn called(&self, approach: &str, result: &str) {
        self.calls.with_label_values(&[self.label(approach), result]).inc();
    }

    /// Counts a fault.
    pub fn fault(&self, approach: &str, kind: &str) {
        self.faults.with_label_values(&[self.label(approach), kind]).inc();
    }

    /// Counts the tokens of a request.
    pub fn spent(&self, expression: &str, prompt: Option<u64>, completion: Option<u64>) {
        let label = self.label(expression);
        for (kind, count) in [("prompt", prompt), ("completion", completion)] {
            if let Some(count) = count {
                self.tokens.with_label_values(&[label, kind]).inc_by(count);
            }
        }
    }
}

/// A run that counts as under way.
#[derive(Debug)]
pub struct RunUnderWay<'m> {
    metrics: &'m ApproachMetrics,
    label: String,
    running: Gauge,
    began: Instant,
    result: &'static str,
}

impl RunUnderWay<'_> {
    /// It has ended with this result.
    pub fn ends(mut self, result: &'static str) {
        self.result = result;
    }
}

impl Drop for RunUnderWay<'_> {
    fn drop(&mut self) {
        self.running.dec();
        self.metrics.runs.with_label_values(&[self.label.as_str(), self.result]).inc();
        self.metrics.seconds.with_label_values(&[self.label.as_str()]).observe(self.began.elapsed().as_secs_f64());
    }
}
