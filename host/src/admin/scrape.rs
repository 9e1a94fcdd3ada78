//! What `/metrics` reads from the state at a scrape, beside what is counted as it happens.

use std::time::SystemTime;

use tokio::time::Instant;

use super::{Operations, levels, limits, state_word};
use crate::metrics::{self, MetricFamily, Metrics, state::ProviderState};
use crate::telemetry;

impl Operations {
    /// All metrics, for Prometheus.
    pub(super) fn metrics(&self) -> Vec<u8> {
        Metrics::encode(&self.families())
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
