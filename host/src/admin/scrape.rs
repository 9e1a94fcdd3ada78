//! What `/metrics` reads from the state at a scrape, beside what is counted as it happens.

use std::time::{Duration, SystemTime};

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Method};
use tokio::time::Instant;

use super::{Operations, levels, limits, state_word};
use crate::metrics::openmetrics::{self, Exemplar, Exemplars, Of};
use crate::metrics::{self, MetricFamily, Metrics, state::ProviderState};
use crate::proxy::endpoint::{Endpoint, LABELS};
use crate::telemetry;

impl Operations {
    /// All metrics, for Prometheus: the type of the answer, and the answer.
    pub(super) fn metrics(&self, headers: &HeaderMap) -> ([(HeaderName, &'static str); 1], Vec<u8>) {
        let accept = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
        let families = self.families();
        if accept.into_iter().any(openmetrics::is_accepted) {
            return ([(CONTENT_TYPE, openmetrics::CONTENT_TYPE)], openmetrics::write(&families, &self.exemplars()));
        }
        ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], Metrics::encode(&families))
    }

    /// The latest request of each bucket, as far as they are kept.
    fn exemplars(&self) -> Exemplars {
        let mut exemplars = Exemplars::default();
        // Nearly all are of one path.
        let mut endpoint: (String, String, &str) = (String::new(), String::new(), "");
        self.proxy.ledger().glance(&mut |glimpse| {
            if endpoint.0 != glimpse.method || endpoint.1 != glimpse.path {
                endpoint = (glimpse.method.to_owned(), glimpse.path.to_owned(), label(glimpse.method, glimpse.path));
            }
            let made = |took: Duration| {
                let at = Duration::from_micros(u64::try_from(glimpse.began.plus(glimpse.took).0).unwrap_or(0));
                let trace_id = glimpse.trace.map(|trace| trace.to_string());
                let (value, at) = (took.as_secs_f64(), at.as_secs_f64());
                Exemplar { request_id: glimpse.id.to_owned(), trace_id, value, at }
            };
            if !glimpse.is_inner {
                exemplars.offer(Of::Requests, endpoint.2, glimpse.took.as_secs_f64(), || made(glimpse.took));
            }
            if let Some((provider, took)) = glimpse.last {
                exemplars.offer(Of::Attempts, provider, took.as_secs_f64(), || made(took));
            }
        });
        exemplars
    }

    /// The same, not yet written down.
    pub fn families(&self) -> Vec<MetricFamily> {
        let generation = self.proxy.generation();
        let (fleet, queue) = (&generation.fleet, self.proxy.queue());
        let snapshot = fleet.snapshot();
        let now = Instant::now();
        self.proxy.metrics().keep_clients(|named| self.proxy.clients().gone(named));
        let providers = fleet.providers().iter().map(|provider| ProviderState {
            name: &provider.config.name,
            state: state_word(snapshot.of(provider.seat()), now),
            in_flight: provider.in_flight(),
            slots: provider.config.max_concurrent,
            levels: levels::levels(provider, now),
        });
        let since = generation.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.proxy.metrics().gather(&metrics::state::Scraped {
            version: env!("CARGO_PKG_VERSION"),
            generation: generation.number,
            since: since.as_secs_f64(),
            reloaded_well: self.status.is_well(),
            queue: [queue.in_flight(), queue.waiting(), queue.capacity(), queue.max_waiting()],
            connections: [self.traffic.open() as u64, self.traffic.turned_away()],
            providers: providers.collect(),
            limits: limits::states(&self.proxy),
            log_lines_dropped: telemetry::dropped_lines(),
            stories_lost: self.proxy.ledger().lost(),
            state_file_fails: self.engines.file_fails(),
            state: self.engines.valkey().map(|valkey| {
                let counts = valkey.counts();
                metrics::state::Shared {
                    up: valkey.facts().up,
                    replicas: valkey.replicas(),
                    rounds: counts.rounds,
                    failures: counts.failures,
                    late: counts.late,
                }
            }),
            strategy: generation.routes.everything().strategy().name(),
            strategies: generation.routes.all().iter().rev().map(|route| route.strategy().health()).collect(),
        })
    }
}

/// The label of the endpoint at a path.
fn label(method: &str, path: &str) -> &'static str {
    let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
    let label = Endpoint::of(&method, path).map_or(LABELS.len() - 1, |endpoint| endpoint.label());
    LABELS[label]
}
