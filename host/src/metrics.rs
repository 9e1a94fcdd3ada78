//! The counters and histograms for Prometheus.
//!
//! The counters of a request are looked up in advance, per provider and generation, so that counting is one atomic
//! addition. Values that can be read from the state at any time (slots, queue, health, strategies) are gathered at the
//! scrape instead, see [`state`]. Labels come from fixed sets and from the configuration, never from a request. Names
//! and units follow <https://prometheus.io/docs/practices/naming/>.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

mod approaches;
mod clients;
pub mod labelled;
mod limits;
mod money;
pub mod openmetrics;
mod otel;
mod process;
pub mod read;
pub mod state;
mod timed;
mod websockets;

use crate::routing::{OutcomeKind, Strategy};
pub use approaches::ApproachMetrics;
pub use clients::ClientMetrics;
pub use labelled::LabelledMetrics;
pub use limits::LimitMetrics;
pub use money::{MoneyMetrics, ProviderMoney};
pub use otel::OtelMetrics;
pub use prometheus::proto::MetricFamily;
use state::Scraped;
use timed::Timed;
pub use websockets::{OpenWebSocket, WebSocketMetrics};

/// Prometheus's text format.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Buckets in seconds for whole requests and attempts, which may be long because tokens take time.
const LONG: [f64; 15] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Buckets in seconds for the wait for a slot.
const WAITS: [f64; 12] = [0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Buckets in seconds for the proxy's own time.
const SHORT: [f64; 12] = [2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 0.005, 0.01, 0.025, 0.1, 0.5];
/// Buckets in seconds for a strategy's call, which ends after at most 15 ms unless the machine is busy.
const CALLS: [f64; 12] = [1e-6, 2e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 0.005, 0.015, 0.1];

/// All metrics that are counted as events happen.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    endpoints: &'static [&'static str],
    requests: IntCounterVec,
    /// Requests that the proxy has answered without a provider.
    alone: AtomicU64,
    durations: Vec<Histogram>,
    overhead: Histogram,
    queue_wait: Histogram,
    strategy_calls: HistogramVec,
    attempts: IntCounterVec,
    attempt_durations: HistogramVec,
    first_tokens: HistogramVec,
    failovers: IntCounterVec,
    hedges: IntCounterVec,
    ejections: IntCounterVec,
    tokens: IntCounterVec,
    connections: IntCounterVec,
    stale_connections: IntCounterVec,
    reloads: [IntCounter; 2],
    /// Those of approaches.
    pub approaches: ApproachMetrics,
    /// Those of money.
    pub money: MoneyMetrics,
    /// Those of clients.
    pub clients: ClientMetrics,
    /// Those of limits.
    pub limits: LimitMetrics,
    /// Those by labels that are asked for.
    pub labelled: LabelledMetrics,
    /// Those of what is exported to a collector.
    pub otel: OtelMetrics,
    /// Those of WebSockets.
    pub websockets: WebSocketMetrics,
    /// The providers that have time series.
    providers: Mutex<BTreeSet<String>>,
}

/// The metrics of one provider.
#[derive(Debug)]
pub struct ProviderMetrics {
    name: String,
    all: IntCounterVec,
    endpoints: &'static [&'static str],
    /// Requests by endpoint and outcome. All counters of an endpoint are made together at its first request, because
    /// Prometheus does not see an increase in a series that begins with its first failure.
    requests: Vec<OnceLock<[IntCounter; OutcomeKind::ALL.len()]>>,
    attempts: [IntCounter; OutcomeKind::ALL.len()],
    /// The time from sending a request to the end of its attempt.
    pub attempt_duration: Histogram,
    /// The time from sending a request to the first event of a stream.
    pub first_token: Histogram,
    /// Attempts here after another provider had been tried for the same request.
    pub failovers: IntCounter,
    /// Second attempts here beside a slow attempt at another provider.
    pub hedges: IntCounter,
    /// The number of its ejections.
    pub ejections: IntCounter,
    /// Tokens of prompts, as its answers report them.
    pub prompt_tokens: IntCounter,
    /// Tokens of completions, as its answers report them.
    pub completion_tokens: IntCounter,
    /// Those of the prompt's tokens that were read from a cache.
    pub cached_tokens: IntCounter,
    /// Those of the completion's tokens that are reasoning.
    pub reasoning_tokens: IntCounter,
    /// What its answers cost.
    pub money: ProviderMoney,
    /// The counters of connections to it.
    pub connections: ConnectionMetrics,
}

/// The counters of connections to one provider.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    /// Connections that were opened.
    pub opened: IntCounter,
    /// Requests that were sent on an existing connection.
    pub reused: IntCounter,
    /// Connections that ended before a byte of the answer came, so that the request was sent again.
    pub stale: IntCounter,
}

impl Metrics {
    /// Metrics of requests for these endpoints.
    pub fn new(endpoints: &'static [&'static str]) -> Self {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = sound(IntCounterVec::new(Opts::new(name, help), labels));
            sound(registry.register(Box::new(counters.clone())));
            counters
        };
        let histograms = |name: &str, help: &str, buckets: &[f64], labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histograms = sound(HistogramVec::new(options, labels));
            sound(registry.register(Box::new(histograms.clone())));
            histograms
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let histogram = sound(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())));
            sound(registry.register(Box::new(histogram.clone())));
            histogram
        };
        let durations = histograms(
            "pointsman_request_duration_seconds",
            "The time from a request's head to the end of its answer.",
            &LONG,
            &["endpoint"],
        );
        let reloads = counters("pointsman_config_reloads_total", "Reloads of the configuration.", &["result"]);
        Self {
            endpoints,
            requests: counters(
                "pointsman_requests_total",
                "Requests that have ended, by outcome and the last provider tried (none if the proxy answered without one).",
                &["endpoint", "provider", "outcome"],
            ),
            alone: AtomicU64::new(0),
            durations: endpoints.iter().map(|endpoint| durations.with_label_values(&[endpoint])).collect(),
            overhead: histogram(
                "pointsman_overhead_seconds",
                "The proxy's own time per request that a provider answered, up to the head of the answer: without \
                 the waits for the client's body, for slots and for providers.",
                &SHORT,
            ),
            queue_wait: histogram("pointsman_queue_wait_seconds", "The wait for a slot of the queue.", &WAITS),
            strategy_calls: histograms(
                "pointsman_strategy_call_duration_seconds",
                "The time of a decision, including the wait for its turn.",
                &CALLS,
                &["strategy"],
            ),
            attempts: counters(
                "pointsman_attempts_total",
                "Attempts at a provider that have ended.",
                &["provider", "outcome"],
            ),
            attempt_durations: histograms(
                "pointsman_attempt_duration_seconds",
                "The time from sending a request to a provider to the end of the attempt.",
                &LONG,
                &["provider"],
            ),
            first_tokens: histograms(
                "pointsman_time_to_first_token_seconds",
                "The time from sending a request to a provider to the first event of its stream.",
                &LONG,
                &["provider"],
            ),
            failovers: counters(
                "pointsman_failovers_total",
                "Attempts at a provider after another one had been tried for the same request.",
                &["provider"],
            ),
            hedges: counters(
                "pointsman_hedges_total",
                "Second attempts at a provider, beside one that was slow to begin its answer.",
                &["provider"],
            ),
            ejections: counters("pointsman_ejections_total", "Ejections of a provider.", &["provider"]),
            tokens: counters(
                "pointsman_tokens_total",
                "Tokens, as far as answers report them: of prompts, of which some are cached, and of completions, of which \
                 some are reasoning.",
                &["provider", "kind"],
            ),
            connections: counters(
                "pointsman_provider_connections_total",
                "Connections to a provider that were opened, and requests that were sent on an existing connection.",
                &["provider", "kind"],
            ),
            stale_connections: counters(
                "pointsman_stale_connections_total",
                "Connections that a provider closed just as a request was sent, so that it was sent again on a new one.",
                &["provider"],
            ),
            reloads: [reloads.with_label_values(&["succeeded"]), reloads.with_label_values(&["failed"])],
            providers: Mutex::default(),
            approaches: ApproachMetrics::new(&registry),
            money: MoneyMetrics::new(&registry),
            clients: ClientMetrics::new(&registry),
            limits: LimitMetrics::new(&registry),
            labelled: LabelledMetrics::default(),
            otel: OtelMetrics::new(&registry),
            websockets: WebSocketMetrics::new(&registry),
            registry,
        }
    }

    /// The counters of one provider.
    pub fn of_provider(&self, name: &str) -> ProviderMetrics {
        self.providers.lock().insert(name.to_owned());
        let one = [name];
        let made = ProviderMetrics {
            name: name.to_owned(),
            all: self.requests.clone(),
            endpoints: self.endpoints,
            requests: std::iter::repeat_with(OnceLock::new).take(self.endpoints.len()).collect(),
            attempts: OutcomeKind::ALL.map(|kind| self.attempts.with_label_values(&[name, kind.name()])),
            attempt_duration: self.attempt_durations.with_label_values(&one),
            first_token: self.first_tokens.with_label_values(&one),
            failovers: self.failovers.with_label_values(&one),
            hedges: self.hedges.with_label_values(&one),
            ejections: self.ejections.with_label_values(&one),
            prompt_tokens: self.tokens.with_label_values(&[name, "prompt"]),
            completion_tokens: self.tokens.with_label_values(&[name, "completion"]),
            cached_tokens: self.tokens.with_label_values(&[name, "cached"]),
            reasoning_tokens: self.tokens.with_label_values(&[name, "reasoning"]),
            money: self.money.of_provider(name),
            connections: ConnectionMetrics {
                opened: self.connections.with_label_values(&[name, "opened"]),
                reused: self.connections.with_label_values(&[name, "reused"]),
                stale: self.stale_connections.with_label_values(&one),
            },
        };
        // Made in advance for the endpoint that nearly every provider serves.
        made.requests_at(0);
        made
    }

    /// Drops the series of clients that `gone` finds to be gone: keys come and go while a server runs.
    pub fn keep_clients(&self, gone: impl FnOnce(Vec<String>) -> Vec<String>) {
        let mut named = self.clients.named();
        named.extend(self.money.clients());
        for client in gone(named) {
            self.clients.forget(&client);
            self.money.forget_client(&client);
        }
    }

    /// Drops the series of providers that are not among `names`; otherwise every reload could add series forever.
    pub fn keep(&self, names: &[&str]) {
        let mut known = self.providers.lock();
        let gone: Vec<String> = known.iter().filter(|name| !names.contains(&name.as_str())).cloned().collect();
        for name in gone {
            known.remove(&name);
            // An error means that there was no such series.
            let name = name.as_str();
            let one = [name];
            for endpoint in self.endpoints {
                for kind in OutcomeKind::ALL {
                    let _ = self.requests.remove_label_values(&[*endpoint, name, kind.name()]);
                }
            }
            for kind in OutcomeKind::ALL {
                let _ = self.attempts.remove_label_values(&[name, kind.name()]);
            }
            let _ = self.attempt_durations.remove_label_values(&one);
            let _ = self.first_tokens.remove_label_values(&one);
            let _ = self.failovers.remove_label_values(&one);
            let _ = self.hedges.remove_label_values(&one);
            let _ = self.ejections.remove_label_values(&one);
            for kind in ["prompt", "completion", "cached", "reasoning"] {
                let _ = self.tokens.remove_label_values(&[name, kind]);
            }
            self.money.forget(name);
            let _ = self.connections.remove_label_values(&[name, "opened"]);
            let _ = self.connections.remove_label_values(&[name, "reused"]);
            let _ = self.stale_connections.remove_label_values(&one);
        }
    }

    /// Counts a request that the proxy answered without any provider; `code` is its error's, from a fixed set.
    pub fn answered_alone(&self, endpoint: usize, code: &'static str) {
        self.alone.fetch_add(1, Relaxed);
        self.requests.with_label_values(&[self.endpoints[endpoint], "", code]).inc();
    }

    /// Records the time of a request.
    pub fn request_took(&self, endpoint: usize, time: Duration) {
        self.durations[endpoint].observe(time.as_secs_f64());
    }

    /// Records the proxy's own time for a request.
    pub fn overhead(&self, time: Duration) {
        self.overhead.observe(time.as_secs_f64());
    }

    /// Records the wait for a slot of the queue.
    pub fn queued(&self, time: Duration) {
        self.queue_wait.observe(time.as_secs_f64());
    }

    /// Wraps a strategy so that the time of its decisions is recorded here.
    pub fn timed(&self, strategy: Arc<dyn Strategy>) -> Arc<dyn Strategy> {
        let calls = self.strategy_calls.with_label_values(&[strategy.name()]);
        Arc::new(Timed { strategy, calls })
    }

    /// Counts a reload.
    pub fn reloaded(&self, well: bool) {
        self.reloads[usize::from(!well)].inc();
    }

    /// All metrics and `state`, by name.
    pub fn gather(&self, state: &Scraped<'_>) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        families.extend(state.gather());
        families.extend(self.labelled.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        families
    }

    /// Metrics in Prometheus's text format.
    pub fn encode(families: &[MetricFamily]) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 << 10);
        // Writing to memory does not fail, and `gather` leaves out families without samples.
        if let Err(error) = TextEncoder::new().encode(families, &mut text) {
            tracing::error!(%error, "the metrics cannot be encoded: {error}");
        }
        text
    }
}

impl ProviderMetrics {
    /// Counts a request whose last attempt was here.
    pub fn request(&self, endpoint: usize, outcome: OutcomeKind) {
        self.requests_at(endpoint)[outcome as usize].inc();
    }

    fn requests_at(&self, endpoint: usize) -> &[IntCounter; OutcomeKind::ALL.len()] {
        let label = self.endpoints[endpoint];
        let made = |kind: OutcomeKind| self.all.with_label_values(&[label, self.name.as_str(), kind.name()]);
        self.requests[endpoint].get_or_init(|| OutcomeKind::ALL.map(made))
    }

    /// Counts an attempt.
    pub fn attempt(&self, outcome: OutcomeKind, time: Duration) {
        self.attempts[outcome as usize].inc();
        self.attempt_duration.observe(time.as_secs_f64());
    }

    /// Attempts so far, by outcome, in the order of [`OutcomeKind::ALL`].
    pub fn attempts(&self) -> [u64; OutcomeKind::ALL.len()] {
        self.attempts.each_ref().map(IntCounter::get)
    }
}

/// The library refuses invalid and duplicate names. Ours are literals, and a test scrapes them.
fn sound<T>(made: prometheus::Result<T>) -> T {
    made.expect("the names of metrics are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINTS: [&str; 2] = ["chat/completions", "other"];

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(Metrics::encode(&metrics.gather(&Scraped::default()))).expect("text")
    }

    #[test]
    fn a_request_counts_once_for_its_provider_endpoint_and_outcome() {
        let metrics = Metrics::new(&ENDPOINTS);
        let provider = metrics.of_provider("a \"b\"");
        provider.request(0, OutcomeKind::Succeeded);
        provider.request(0, OutcomeKind::Succeeded);
        provider.request(1, OutcomeKind::Interrupted);
        metrics.answered_alone(1, "queue_full");
        let text = text(&metrics);
        for line in [
            r#"pointsman_requests_total{endpoint="chat/completions",outcome="succeeded",provider="a \"b\""} 2"#,
            r#"pointsman_requests_total{endpoint="other",outcome="interrupted",provider="a \"b\""} 1"#,
            r#"pointsman_requests_total{endpoint="other",outcome="queue_full",provider=""} 1"#,
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn outcomes_stand_where_their_numbers_say() {
        for (place, kind) in OutcomeKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }

    #[test]
    fn providers_that_are_gone_leave_no_series_behind() {
        let metrics = Metrics::new(&ENDPOINTS);
        for name in ["stays", "goes"] {
            let provider = metrics.of_provider(name);
            provider.request(0, OutcomeKind::Failed);
            provider.attempt(OutcomeKind::Failed, Duration::ZERO);
        }
        metrics.keep(&["stays"]);
        let text = text(&metrics);
        assert!(text.contains("\"stays\"") && !text.contains("\"goes\""), "{text}");
    }
}
