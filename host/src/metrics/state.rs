//! What is not counted but looked at when somebody asks: gauges, and counters that others keep.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::sound;
use crate::routing::StrategyHealth;

/// The state at the time of a scrape.
#[derive(Debug, Default)]
pub struct State<'a> {
    /// The version of the binary.
    pub version: &'a str,
    /// The number of the generation in force.
    pub generation: u64,
    /// Since when it is, in seconds since 1970.
    pub since: f64,
    /// Whether the latest reload, if there was any, went well.
    pub reloaded_well: bool,
    /// Requests in flight, requests that wait, and the limits of both.
    pub queue: [usize; 4],
    /// In the order of the configuration.
    pub providers: Vec<ProviderState<'a>>,
    /// The strategy's name.
    pub strategy: &'a str,
    /// How it is.
    pub health: StrategyHealth,
}

/// One provider at the time of a scrape.
#[derive(Debug, Default)]
pub struct ProviderState<'a> {
    /// Its name.
    pub name: &'a str,
    /// One of [`STATES`].
    pub state: &'static str,
    /// Requests it works on.
    pub in_flight: u32,
    /// Its `max_concurrent`.
    pub slots: Option<u32>,
}

/// The states of a provider, as in `/health`.
pub const STATES: [&str; 4] = ["admitted", "throttled", "ejected", "probing"];

impl State<'_> {
    /// All of it as metrics.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        let registry = Registry::new();
        let register = |collector: Box<dyn Collector>| sound(registry.register(collector));
        let gauge = |name: &str, help: &str, value: usize| {
            let gauge = sound(IntGauge::new(name, help));
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            register(Box::new(gauge));
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let gauges = sound(IntGaugeVec::new(Opts::new(name, help), labels));
            register(Box::new(gauges.clone()));
            gauges
        };

        let build = gauges("pointsman_build_info", "The version that runs.", &["version"]);
        build.with_label_values(&[self.version]).set(1);
        let info = gauges("pointsman_config_info", "The strategy that is chosen.", &["strategy"]);
        info.with_label_values(&[self.strategy]).set(1);
        let generation = usize::try_from(self.generation).unwrap_or(usize::MAX);
        gauge("pointsman_config_generation", "Counts the configurations in force since the start, from 1.", generation);
        let since = sound(Gauge::new(
            "pointsman_config_last_reload_success_timestamp_seconds",
            "Since when the configuration is in force.",
        ));
        since.set(self.since);
        register(Box::new(since));
        gauge(
            "pointsman_config_last_reload_successful",
            "Whether the latest reload, if any, went well.",
            usize::from(self.reloaded_well),
        );

        let [in_flight, waiting, max_concurrent, max_waiting] = self.queue;
        gauge("pointsman_queue_in_flight", "Requests in flight.", in_flight);
        gauge("pointsman_queue_waiting", "Requests that wait for a slot.", waiting);
        gauge("pointsman_queue_max_concurrent", "How many requests may be in flight.", max_concurrent);
        gauge("pointsman_queue_max_waiting", "How many requests may wait.", max_waiting);

        let in_flight = gauges("pointsman_provider_in_flight", "Requests that a provider works on.", &["provider"]);
        let slots = gauges("pointsman_provider_max_concurrent", "The limit of a provider that has one.", &["provider"]);
        let states = gauges("pointsman_provider_state", "1 for the state a provider is in.", &["provider", "state"]);
        for provider in &self.providers {
            in_flight.with_label_values(&[provider.name]).set(provider.in_flight.into());
            if let Some(limit) = provider.slots {
                slots.with_label_values(&[provider.name]).set(limit.into());
            }
            for state in STATES {
                let here = i64::from(state == provider.state);
                states.with_label_values(&[provider.name, state]).set(here);
            }
        }
        self.gather_strategy(&register);
        registry.gather()
    }

    fn gather_strategy(&self, register: &dyn Fn(Box<dyn Collector>)) {
        let healthy = sound(GaugeVec::new(
            Opts::new("pointsman_strategy_healthy", "Whether the strategy decides; otherwise it is the default order."),
            &["strategy"],
        ));
        healthy.with_label_values(&[self.strategy]).set(if self.health.state == "healthy" { 1.0 } else { 0.0 });
        register(Box::new(healthy));
        let faults = sound(IntCounterVec::new(
            Opts::new("pointsman_strategy_faults_total", "Calls in which the strategy broke."),
            &["strategy", "kind"],
        ));
        for (kind, count) in &self.health.faults {
            faults.with_label_values(&[self.strategy, kind]).inc_by(*count);
        }
        register(Box::new(faults));
    }
}
