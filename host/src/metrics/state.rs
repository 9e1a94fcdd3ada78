//! Metrics that are read from the state at a scrape: gauges, and counters that other modules keep.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::sound;
use crate::routing::{ShadowHealth, StrategyCounters, StrategyHealth};

/// The state at the time of a scrape.
#[derive(Debug, Default)]
pub struct Scraped<'a> {
    /// The version of the binary.
    pub version: &'a str,
    /// The number of the generation in force.
    pub generation: u64,
    /// The time at which it came into force, in seconds since 1970.
    pub since: f64,
    /// True unless the latest reload failed.
    pub reloaded_well: bool,
    /// Requests in flight, requests that wait, and the limits of both.
    pub queue: [usize; 4],
    /// The numbers of open connections from clients, and of those that were turned away.
    pub connections: [u64; 2],
    /// The providers, in the order of the configuration.
    pub providers: Vec<ProviderState<'a>>,
    /// The limits of clients, groups and routes.
    pub limits: Vec<LimitState>,
    /// The number of log lines that were dropped because stderr was not read in time.
    pub log_lines_dropped: u64,
    /// Stories that are missing from the ledger, or from what listens to it.
    pub stories_lost: u64,
    /// True while the file of limits and spend cannot be written; none without one.
    pub state_file_fails: Option<bool>,
    /// The engine that replicas share, if there is one.
    pub state: Option<Shared>,
    /// The strategy's name.
    pub strategy: &'a str,
    /// The health of every route's strategy; that of the catch-all route comes first.
    pub strategies: Vec<StrategyHealth>,
}

/// The engine that replicas share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// True when it answers.
    pub up: bool,
    /// The replicas that were last seen.
    pub replicas: u64,
    /// Questions for more of limits, and to tell what was used.
    pub rounds: u64,
    /// Questions that failed.
    pub failures: u64,
    /// Requests that did not wait for an answer any longer.
    pub late: u64,
}

/// One provider at the time of a scrape.
#[derive(Debug, Default)]
pub struct ProviderState<'a> {
    /// Its name.
    pub name: &'a str,
    /// One of [`STATES`].
    pub state: &'static str,
    /// The number of requests that it works on.
    pub in_flight: u32,
    /// Its `max_concurrent`.
    pub slots: Option<u32>,
    /// What is left of limits on it.
    pub levels: Vec<Level>,
}

/// What is left of one limit on a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Who says so: `provider`, or `config` for a limit of the operator's.
    pub source: &'static str,
    /// Which limit it is, such as `requests`, `rpm` or `usd per day`.
    pub limit: String,
    /// The limit; none where a provider does not name it.
    pub most: Option<f64>,
    /// What is left of it.
    pub remaining: f64,
}

/// One limit at the time of a scrape.
#[derive(Debug)]
pub struct LimitState {
    /// Its owner, such as `r/chat`.
    pub owner: String,
    /// Its key in the configuration, such as `rpm`; of a budget such as `usd:day`.
    pub limit: String,
    /// Its amount: requests, tokens, dollars.
    pub most: f64,
    /// What is left of it.
    pub remaining: f64,
}

/// The states of a provider, as in `/health`.
pub const STATES: [&str; 4] = ["admitted", "throttled", "ejected", "probing"];

impl Scraped<'_> {
    /// Registers all of it as metrics.
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

        let build = gauges("pointsman_build_info", "The running version.", &["version"]);
        build.with_label_values(&[self.version]).set(1);
        let info = gauges("pointsman_config_info", "The configured strategy.", &["strategy"]);
        info.with_label_values(&[self.strategy]).set(1);
        let generation = usize::try_from(self.generation).unwrap_or(usize::MAX);
        gauge("pointsman_config_generation", "Counts the configurations in force since the start, from 1.", generation);
        let since = sound(Gauge::new(
            "pointsman_config_last_reload_success_timestamp_seconds",
            "The time since which the configuration is in force.",
        ));
        since.set(self.since);
        register(Box::new(since));
        gauge(
            "pointsman_config_last_reload_successful",
            "1 unless the latest reload failed.",
            usize::from(self.reloaded_well),
        );

        let [in_flight, waiting, max_concurrent, max_waiting] = self.queue;
        gauge("pointsman_queue_in_flight", "Requests in flight.", in_flight);
        gauge("pointsman_queue_waiting", "Requests that wait for a slot.", waiting);
        gauge("pointsman_queue_max_concurrent", "The most requests that may be in flight.", max_concurrent);
        gauge("pointsman_queue_max_waiting", "The most requests that may wait.", max_waiting);

        let [open, turned_away] = self.connections;
        gauge("pointsman_connections", "Open connections from clients.", usize::try_from(open).unwrap_or(usize::MAX));
        let refused = sound(IntCounter::new(
            "pointsman_connections_turned_away_total",
            "Connections that were turned away because of server.max_connections.",
        ));
        refused.inc_by(turned_away);
        register(Box::new(refused));
        let dropped = sound(IntCounter::new(
            "pointsman_log_lines_dropped_total",
            "Log lines that were dropped because stderr was not read in time.",
        ));
        dropped.inc_by(self.log_lines_dropped);
        register(Box::new(dropped));
        let lost = sound(IntCounter::new(
            "pointsman_stories_lost_total",
            "Stories of requests that came faster than they could be kept or passed on.",
        ));
        lost.inc_by(self.stories_lost);
        register(Box::new(lost));

        let in_flight = gauges("pointsman_provider_in_flight", "Requests that a provider works on.", &["provider"]);
        let slots = gauges(
            "pointsman_provider_max_concurrent",
            "The limit on a provider's requests, if it has one.",
            &["provider"],
        );
        let states =
            gauges("pointsman_provider_state", "1 for the state that a provider is in.", &["provider", "state"]);
        let measured = |name: &str, help: &str| {
            let gauges = sound(GaugeVec::new(Opts::new(name, help), &["provider", "source", "limit"]));
            register(Box::new(gauges.clone()));
            gauges
        };
        let most = measured(
            "pointsman_provider_limit",
            "The limits on a provider, as its answers name them and as the configuration does.",
        );
        let remaining = measured("pointsman_provider_limit_remaining", "What is left of the limits on a provider.");
        for provider in &self.providers {
            for level in &provider.levels {
                let labels = [provider.name, level.source, level.limit.as_str()];
                remaining.with_label_values(&labels).set(level.remaining);
                if let Some(limit) = level.most {
                    most.with_label_values(&labels).set(limit);
                }
            }
            in_flight.with_label_values(&[provider.name]).set(provider.in_flight.into());
            if let Some(limit) = provider.slots {
                slots.with_label_values(&[provider.name]).set(limit.into());
            }
            for state in STATES {
                let here = i64::from(state == provider.state);
                states.with_label_values(&[provider.name, state]).set(here);
            }
        }
        let measured = |name: &str, help: &str| {
            let gauges = sound(GaugeVec::new(Opts::new(name, help), &["owner", "limit"]));
            register(Box::new(gauges.clone()));
            gauges
        };
        let most = measured("pointsman_limit", "The limits of clients, groups and routes: requests, tokens, dollars.");
        let remaining =
            measured("pointsman_limit_remaining", "What is left of the limits of clients, groups and routes.");
        for limit in &self.limits {
            let labels = [limit.owner.as_str(), limit.limit.as_str()];
            most.with_label_values(&labels).set(limit.most);
            remaining.with_label_values(&labels).set(limit.remaining);
        }
        self.gather_state(&register);
        super::process::gather(&register);
        self.gather_strategy(&register);
        self.gather_shadows(&register);
        registry.gather()
    }

    fn gather_state(&self, register: &dyn Fn(Box<dyn Collector>)) {
        let gauge = |name: &str, help: &str, value: u64| {
            let gauge = sound(IntGauge::new(name, help));
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            register(Box::new(gauge));
        };
        let counter = |name: &str, help: &str, value: u64| {
            let counter = sound(IntCounter::new(name, help));
            counter.inc_by(value);
            register(Box::new(counter));
        };
        if let Some(fails) = self.state_file_fails {
            let help = "1 while limits, spend and keys cannot be written to the file.";
            gauge("pointsman_state_file_failing", help, fails.into());
        }
        let Some(state) = self.state else { return };
        gauge("pointsman_state_up", "1 when the engine that replicas share answers.", state.up.into());
        gauge("pointsman_state_replicas", "The replicas that share limits, as last seen.", state.replicas);
        counter("pointsman_state_rounds_total", "Questions to the engine about limits.", state.rounds);
        counter("pointsman_state_failures_total", "Questions that it did not answer, or not in time.", state.failures);
        counter("pointsman_state_late_total", "Requests that did not wait for its answer any longer.", state.late);
    }

    fn gather_shadows(&self, register: &dyn Fn(Box<dyn Collector>)) {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = sound(CounterVec::new(Opts::new(format!("pointsman_shadow_{name}_total"), help), labels));
            register(Box::new(counters.clone()));
            counters
        };
        let faults = counters("faults", "Calls in which a shadow broke.", &["strategy", "kind"]);
        type Read = fn(&ShadowHealth) -> f64;
        let simple: [(&str, &str, Read); 5] = [
            ("decisions", "Decisions that a shadow has seen.", |shadow| shadow.decisions as f64),
            ("same_first", "Decisions in which a shadow would have tried the same provider first.", |shadow| {
                shadow.same_first as f64
            }),
            ("same_order", "Decisions in which a shadow's whole order was the same.", |shadow| {
                shadow.same_order as f64
            }),
            ("call_seconds", "Time that a shadow has taken to decide.", |shadow| shadow.seconds),
            ("missed", "Decisions and outcomes that came too fast for a shadow to see.", |shadow| {
                shadow.dropped as f64
            }),
        ];
        let families = simple.map(|(name, help, read)| (counters(name, help, &["strategy"]), read));
        for shadow in self.strategies.iter().flat_map(|health| &health.shadows) {
            let name = shadow.strategy.name.as_str();
            for (kind, count) in &shadow.strategy.counters.faults {
                faults.with_label_values(&[name, kind]).inc_by(*count as f64);
            }
            for (family, read) in &families {
                family.with_label_values(&[name]).inc_by(read(shadow));
            }
        }
    }

    fn gather_strategy(&self, register: &dyn Fn(Box<dyn Collector>)) {
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let gauges = sound(IntGaugeVec::new(Opts::new(name, help), labels));
            register(Box::new(gauges.clone()));
            gauges
        };
        let info = gauges(
            "pointsman_strategy_info",
            "The component that decides.",
            &["strategy", "component", "version", "sha256"],
        );
        let mean = sound(GaugeVec::new(
            Opts::new("pointsman_strategy_call_mean_seconds", "The moving average of the time of a call."),
            &["strategy"],
        ));
        register(Box::new(mean.clone()));
        for health in &self.strategies {
            info.with_label_values(&[&health.name, &health.component, &health.version, &health.digest]).set(1);
            if let Some(seconds) = health.mean_call {
                mean.with_label_values(&[&health.name]).set(seconds);
            }
        }
        // Several routes may have strategies with the same name; a problem of any of them shows.
        type Is = fn(&StrategyHealth) -> bool;
        let signs: [(&str, &str, Is, bool); 4] = [
            (
                "healthy",
                "1 when the strategy decides, 0 when the default order is used.",
                |health| health.state == "healthy",
                true,
            ),
            ("on_trial", "1 when the strategy is new and the previous one stands by.", |health| health.on_trial, false),
            (
                "rolled_back",
                "1 when the previous strategy was brought back.",
                |health| health.rolled_back.is_some(),
                false,
            ),
            (
                "slow",
                "1 when the strategy is so slow that it limits the rate of requests.",
                |health| health.slow,
                false,
            ),
        ];
        for (name, help, is, usual) in signs {
            let gauges = gauges(&format!("pointsman_strategy_{name}"), help, &["strategy"]);
            for health in &self.strategies {
                let same = self.strategies.iter().filter(|other| other.name == health.name);
                let unusual = same.map(is).any(|is| is != usual);
                gauges.with_label_values(&[&health.name]).set(i64::from(usual != unusual));
            }
        }
        let Some(health) = self.strategies.first() else { return };
        if let Some(record) = &health.record {
            let gauge = |name: &str, help: &str, value: u64| {
                let gauge = sound(IntGauge::new(name, help));
                gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
                register(Box::new(gauge));
            };
            let failing = u64::from(record.failing.is_some());
            gauge("pointsman_record_failing", "1 when the record of decisions cannot be written at present.", failing);
            gauge("pointsman_record_missing", "Lines that came too fast to be recorded.", record.missing);
        }
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters =
                sound(IntCounterVec::new(Opts::new(format!("pointsman_strategy_{name}_total"), help), labels));
            register(Box::new(counters.clone()));
            counters
        };
        let faults = counters("faults", "Calls in which the strategy broke.", &["strategy", "kind"]);
        type Read = fn(&StrategyCounters) -> u64;
        let simple: [(&str, &str, Read); 8] = [
            ("calls", "Decisions that the strategy was asked for.", |counters| counters.calls),
            ("refusals", "Errors that the strategy returned.", |counters| counters.refusals),
            ("abstentions", "Empty orders that the strategy returned.", |counters| counters.abstentions),
            ("lock_waits", "Decisions that waited for another call to end.", |counters| counters.lock_waits),
            ("lock_timeouts", "Decisions that waited too long, and got the default order.", |counters| {
                counters.lock_timeouts
            }),
            ("rebuilds", "Instances made to replace a broken one.", |counters| counters.rebuilds),
            ("renewals", "Instances made to replace one near its memory limit.", |counters| counters.renewals),
            ("reports_dropped", "Reports of attempts that the strategy requested and did not get.", |counters| {
                counters.reports_dropped
            }),
        ];
        let families = simple.map(|(name, help, read)| (counters(name, help, &["strategy"]), read));
        let here = (&health.name, &health.counters);
        for (name, counts) in health.former.iter().map(|(name, counts)| (name, counts)).chain([here]) {
            for (kind, count) in &counts.faults {
                faults.with_label_values(&[name.as_str(), kind]).inc_by(*count);
            }
            for (family, read) in &families {
                family.with_label_values(&[name]).inc_by(read(counts));
            }
        }
    }
}
