//! Requests, tokens and cost by the labels that `monitoring.labels` asks for. They may change with a reload, which prometheus's
//! own vectors cannot, so the sums are kept here and made into families at the scrape.
//!
//! The values of labels are bounded: classes of statuses, models that the configuration names, and of all combinations
//! `MOST`; what is beyond counts as `OTHER`.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, Opts};

use super::sound;
use crate::config::MetricLabel;

/// The most combinations of values.
const MOST: usize = 1000;
/// The label of models that the configuration does not name, and of all combinations beyond.
const OTHER: &str = "other";
/// Between the values of a combination; no name has it.
const BETWEEN: char = '\0';
/// The kinds of tokens, in the order of [`Request::tokens`].
const KINDS: [&str; 4] = ["prompt", "completion", "cached", "reasoning"];

/// A request that has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'r> {
    /// The status of its answer; `None` if the client left before there was one.
    pub status: Option<u16>,
    /// The model that it asked for; empty if it named none.
    pub model: &'r str,
    /// Its client; empty if it showed no key that is known.
    pub client: &'r str,
    /// Its tokens: of the prompt, of the answer, of the prompt those from a cache, of the answer those of reasoning.
    pub tokens: [u64; 4],
    /// What it cost, in billionths of a dollar.
    pub nano: u64,
    /// Its duration.
    pub took: Duration,
}

/// The metrics by labels that are asked for.
#[derive(Debug, Default)]
pub struct LabelledMetrics {
    /// False while none are asked for.
    is_on: AtomicBool,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    labels: Vec<MetricLabel>,
    models: HashSet<String>,
    /// By the values of the labels.
    sums: HashMap<String, Sums>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    requests: u64,
    seconds: f64,
    tokens: [u64; 4],
    nano: u64,
}

impl LabelledMetrics {
    /// Sets the labels, and the models that are named. Other labels than before begin anew.
    pub fn configure(&self, labels: &[MetricLabel], models: HashSet<String>) {
        let mut counted = self.counted.lock();
        if counted.labels != labels {
            counted.labels = labels.to_vec();
            counted.sums.clear();
        }
        counted.models = models;
        self.is_on.store(!labels.is_empty(), Relaxed);
    }

    /// True when requests are to be counted here.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Counts a request.
    pub fn count(&self, request: &Request<'_>) {
        let counted = &mut *self.counted.lock();
        let mut key = String::with_capacity(64);
        for (place, label) in counted.labels.iter().enumerate() {
            if place > 0 {
                key.push(BETWEEN);
            }
            key.push_str(match label {
                MetricLabel::Status => class(request.status),
                MetricLabel::Model if request.model.is_empty() || counted.models.contains(request.model) => {
                    request.model
                }
                MetricLabel::Model => OTHER,
                MetricLabel::Client => request.client,
            });
        }
        if counted.sums.len() >= MOST && !counted.sums.contains_key(&key) {
            key = vec![OTHER; counted.labels.len()].join(&BETWEEN.to_string());
        }
        let sums = counted.sums.entry(key).or_default();
        sums.requests += 1;
        sums.seconds += request.took.as_secs_f64();
        sums.nano = sums.nano.saturating_add(request.nano);
        for (sum, more) in sums.tokens.iter_mut().zip(request.tokens) {
            *sum += more;
        }
    }

    /// The families; none while no labels are asked for.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        let counted = self.counted.lock();
        if counted.labels.is_empty() {
            return Vec::new();
        }
        let names: Vec<&str> = counted.labels.iter().map(|label| label.name()).collect();
        let counters = |name: &str, help: &str, labels: &[&str]| sound(CounterVec::new(Opts::new(name, help), labels));
        let requests = counters(
            "pointsman_labelled_requests_total",
            "Requests that have ended, by the labels of monitoring.labels; status is none if the client left before an answer.",
            &names,
        );
        let seconds = counters(
            "pointsman_labelled_request_seconds_total",
            "The time from their heads to the ends of their answers, added up.",
            &names,
        );
        let cost = counters("pointsman_labelled_cost_dollars_total", "What they have cost, in dollars.", &names);
        let with_kind: Vec<&str> = names.iter().copied().chain(["kind"]).collect();
        let tokens = counters(
            "pointsman_labelled_tokens_total",
            "Their tokens: of prompts, of which some are cached, and of completions, of which some are reasoning.",
            &with_kind,
        );
        for (key, sums) in &counted.sums {
            let mut values: Vec<&str> = key.split(BETWEEN).collect();
            requests.with_label_values(&values).inc_by(sums.requests as f64);
            seconds.with_label_values(&values).inc_by(sums.seconds);
            cost.with_label_values(&values).inc_by(sums.nano as f64 / 1e9);
            for (kind, count) in KINDS.into_iter().zip(sums.tokens) {
                values.push(kind);
                tokens.with_label_values(&values).inc_by(count as f64);
                values.pop();
            }
        }
        [requests, seconds, cost, tokens].iter().flat_map(|family| family.collect()).collect()
    }
}

fn class(status: Option<u16>) -> &'static str {
    match status.map(|status| status / 100) {
        None => "none",
        Some(1) => "1xx",
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(_) => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::metrics::state::Scraped;

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(Metrics::encode(&metrics.gather(&Scraped::default()))).expect("text")
    }

    fn request<'r>(model: &'r str, client: &'r str) -> Request<'r> {
        Request {
            status: Some(200),
            model,
            client,
            tokens: [10, 5, 4, 0],
            nano: 500_000_000,
            took: Duration::from_secs(2),
        }
    }

    #[test]
    fn requests_count_by_the_labels_that_are_asked_for() {
        let metrics = Metrics::new(&["chat/completions"]);
        assert!(!metrics.labelled.is_on() && !text(&metrics).contains("labelled"));
        metrics.labelled.configure(&[MetricLabel::Model, MetricLabel::Status], HashSet::from(["m".to_owned()]));
        assert!(metrics.labelled.is_on());
        metrics.labelled.count(&request("m", "a"));
        metrics.labelled.count(&request("m", "b"));
        metrics.labelled.count(&request("made up", "a"));
        metrics.labelled.count(&Request { status: None, ..request("", "a") });
        let shown = text(&metrics);
        for line in [
            r#"pointsman_labelled_requests_total{model="m",status="2xx"} 2"#,
            r#"pointsman_labelled_requests_total{model="other",status="2xx"} 1"#,
            r#"pointsman_labelled_requests_total{model="",status="none"} 1"#,
            r#"pointsman_labelled_request_seconds_total{model="m",status="2xx"} 4"#,
            r#"pointsman_labelled_cost_dollars_total{model="m",status="2xx"} 1"#,
            r#"pointsman_labelled_tokens_total{kind="cached",model="m",status="2xx"} 8"#,
        ] {
            assert!(shown.lines().any(|other| other == line), "{line} is missing in\n{shown}");
        }
        metrics.labelled.configure(&[MetricLabel::Client], HashSet::new());
        metrics.labelled.count(&request("m", "a"));
        let shown = text(&metrics);
        assert!(
            shown.contains(r#"pointsman_labelled_requests_total{client="a"} 1"#) && !shown.contains("model="),
            "{shown}"
        );
    }

    #[test]
    fn labels_are_bounded_whatever_clients_there_are() {
        let metrics = Metrics::new(&["chat/completions"]);
        metrics.labelled.configure(&MetricLabel::ALL, HashSet::new());
        for number in 0..MOST + 20 {
            metrics.labelled.count(&request(&format!("model {number}"), &format!("client {number}")));
        }
        let shown = text(&metrics);
        let series = shown.lines().filter(|line| line.starts_with("pointsman_labelled_requests_total{"));
        assert_eq!(series.count(), MOST + 1);
        let rest = r#"pointsman_labelled_requests_total{client="other",model="other",status="other"} 20"#;
        assert!(shown.contains(rest) && !shown.contains("model 7"), "{shown}");
    }
}
