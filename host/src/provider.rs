//! The providers: who they are, how they are, and who works on what.
//!
//! [`Fleet`] is all of one configuration. What must be seen together, their health, is one immutable [`Snapshot`]
//! behind one `ArcSwap` of the [`Board`]; counters are relaxed atomics; limits are slots that travel with the answer's
//! body.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arc_swap::Guard;
use http::HeaderValue;
use prometheus::Histogram;
use tokio::time::Instant;

pub mod board;
pub mod client;
pub mod dialect;
pub mod ejection;
pub mod eligible;
pub mod gauge;
pub mod health;
pub mod latency;
pub mod masking;
pub mod permit;
pub mod summary;
pub mod words;

use crate::config;
use crate::metrics::{Metrics, ProviderMetrics};
use crate::routing::{Candidate, Decision, Facts, Outcome, Phase, ProviderFacts, Report, Strategy, Tier};
use crate::slots::Slot;
pub use board::Snapshot;
use board::{Board, Record};
use client::{Client, Clients};
use ejection::{CheckResult, Health, Policy, Standing};
use eligible::{Eligible, EligibleSet};
use gauge::GaugeRef;
use masking::Masks;
pub use permit::Permit;
use words::Words;

/// One callable destination and what is known of it.
#[derive(Debug)]
pub struct Provider {
    /// Place in the order of the configuration.
    pub index: u32,
    /// What the operator wrote.
    pub config: config::Provider,
    /// Its name as a header names it, if one can.
    pub name_header: Option<HeaderValue>,
    /// Sends requests to it.
    pub client: Client,
    /// Takes its secrets out of what it says.
    pub masks: Masks,
    /// What is counted of it.
    pub metrics: ProviderMetrics,
    record: Arc<Record>,
}

/// All providers of one configuration.
pub struct Fleet {
    providers: Vec<Arc<Provider>>,
    /// One for each of them.
    places: Vec<Place>,
    clients: Clients,
    eligible: Eligible,
    /// Shared with the fleets before and after.
    board: Arc<Board>,
    policy: Policy,
    /// Whether latency is measured; otherwise strategies see none.
    track_latency: bool,
    /// Without active checks a trial request is the only way back.
    checks: bool,
    strategy: Arc<dyn Strategy>,
    strategy_calls: Histogram,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("providers", &self.providers.len()).finish_non_exhaustive()
    }
}

/// A provider could not be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// All its slots are taken.
    Saturated,
    /// It was ejected or throttled meanwhile, or another request is its trial.
    Out,
}

impl Provider {
    /// Requests it works on.
    pub fn in_flight(&self) -> u32 {
        self.record.gauge.in_flight()
    }

    /// Whether a slot is free right now.
    pub fn has_free_slot(&self) -> bool {
        self.record.slots.has_free()
    }

    /// What is known of it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its measured latency and failures.
    pub fn latency(&self) -> &latency::Latency {
        &self.record.gauge.latency
    }

    /// Why an attempt at it ended with `outcome`, in one line for client, log and `/health`.
    pub fn describe(&self, outcome: Outcome, words: Option<&Words>) -> String {
        let timeouts = &self.config.timeouts;
        if let Outcome::TimedOut { phase } = outcome {
            let (did, limit, key) = match phase {
                Phase::Connect => ("timed out connecting after", timeouts.connect, "connect"),
                Phase::Request => ("timed out after", timeouts.request, "request"),
                Phase::Idle => ("stalled for", timeouts.idle, "idle"),
            };
            let section = if self.config.own_timeouts.contains(&key) { "providers[].timeouts" } else { "timeouts" };
            return format!("{did} {} s ({section}.{key})", limit.as_secs_f64());
        }
        match words {
            Some(words) => format!("{outcome}: {words}"),
            None => outcome.to_string(),
        }
    }

    /// What strategies are told of it once.
    pub fn facts(config: &config::Provider) -> ProviderFacts {
        ProviderFacts {
            name: config.name.clone(),
            kind: match config.kind {
                config::ProviderKind::OpenAi => "openai",
                config::ProviderKind::Azure => "azure",
            },
            weight: config.weight,
            fallback_only: config.fallback_only,
            max_concurrent: config.max_concurrent.unwrap_or(0),
            models: config.models.clone(),
            price: config.price.map(|price| (price.input, price.output)),
            labels: config.labels.clone(),
        }
    }
}

/// What an offer must know of a provider, beside what it must know of the next one.
struct Place {
    seat: usize,
    gauge: GaugeRef,
}

impl Fleet {
    /// Makes the fleet of a configuration. Providers that are known, by name and destination, keep their record; all
    /// others start admitted. Nothing changes for the predecessor until [`Fleet::take_over`].
    ///
    /// # Errors
    ///
    /// [`client::SetupError`] when the TLS of outgoing connections cannot be set up.
    pub fn new(
        config: &config::Config,
        strategy: Arc<dyn Strategy>,
        metrics: &Metrics,
        predecessor: Option<&Fleet>,
    ) -> Result<Arc<Self>, client::SetupError> {
        let clients = predecessor.map(|fleet| fleet.clients.clone()).unwrap_or_default();
        Self::with_clients(config, strategy, metrics, predecessor, clients)
    }

    /// As [`Fleet::new`], with these clients.
    ///
    /// # Errors
    ///
    /// As [`Fleet::new`].
    pub fn with_clients(
        config: &config::Config,
        strategy: Arc<dyn Strategy>,
        metrics: &Metrics,
        predecessor: Option<&Fleet>,
        clients: Clients,
    ) -> Result<Arc<Self>, client::SetupError> {
        let board = predecessor.map_or_else(Arc::default, |fleet| Arc::clone(&fleet.board));
        let mut providers = Vec::with_capacity(config.providers.len());
        for (index, provider) in (0_u32..).zip(&config.providers) {
            let counted = metrics.of_provider(&provider.name);
            providers.push(Arc::new(Provider {
                index,
                config: provider.clone(),
                name_header: HeaderValue::try_from(provider.name.as_str()).ok(),
                client: clients.client_for(provider, &counted.connections)?,
                masks: Masks::of(provider),
                metrics: counted,
                record: board.record_of(provider),
            }));
        }
        let place =
            |provider: &Arc<Provider>| Place { seat: provider.record.seat(), gauge: provider.record.gauge.clone() };
        Ok(Arc::new(Self {
            places: providers.iter().map(place).collect(),
            eligible: Eligible::new(&config.providers, predecessor.map(|fleet| &fleet.eligible)),
            providers,
            clients,
            board,
            policy: Policy { cooldown: config.health_check.cooldown, track_errors: config.monitoring.track_errors },
            track_latency: config.monitoring.track_latency,
            checks: config.health_check.enabled,
            strategy_calls: metrics.strategy_calls(strategy.name()),
            strategy,
        }))
    }

    /// Closes connections to providers that nobody has needed for a while; to be called every second or so.
    pub fn close_idle_connections(&self) {
        self.clients.sweep();
    }

    /// Puts the limits of this configuration in force. Called once, when requests begin to use it.
    pub fn take_over(&self, predecessor: Option<&Fleet>) {
        for provider in &self.providers {
            provider.record.slots.resize(provider.config.max_concurrent.map(|slots| slots as usize));
            let credentials = |config: &config::Provider| (config.api_key.clone(), config.headers.clone());
            let known = predecessor.and_then(|fleet| fleet.same(&provider.config));
            if known.is_some_and(|known| credentials(&known.config) != credentials(&provider.config)) {
                // What was held against it may have been held against its old key.
                self.board.update(&provider.record, |health| Some(health.forgiven()));
            }
        }
    }

    /// The provider of the same name at the same destination.
    fn same(&self, config: &config::Provider) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| {
            let theirs = &provider.config;
            theirs.name == config.name && theirs.base_url == config.base_url && theirs.kind == config.kind
        })
    }

    /// All providers in the order of the configuration.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// The provider at an index that came out of a decision.
    pub fn provider(&self, index: u32) -> &Arc<Provider> {
        &self.providers[index as usize]
    }

    /// The strategy that orders the candidates.
    pub fn strategy(&self) -> &dyn Strategy {
        self.strategy.as_ref()
    }

    /// Asks the strategy at `now`, times it, and says when it had answered.
    pub fn decide(&self, facts: &Facts<'_>, candidates: &[Candidate], now: Instant) -> (Decision, Instant) {
        let decision = self.strategy.decide(facts, candidates);
        let decided = Instant::now();
        self.strategy_calls.observe((decided - now).as_secs_f64());
        (decision, decided)
    }

    /// The health of all at this moment, also of those that other configurations named.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.board.snapshot()
    }

    /// The providers that serve `model`; an empty name is a request without one, which all serve.
    pub fn eligible(&self, model: &str) -> &Arc<EligibleSet> {
        self.eligible.of(model)
    }

    /// Whether a provider may be offered in the tiers of the healthy.
    pub fn is_available(&self, health: &Health, provider: &Provider, now: Instant) -> bool {
        if health.throttled_for(now).is_some() {
            return false;
        }
        match health.standing(now) {
            Standing::Admitted => true,
            Standing::Ejected => false,
            Standing::Probing => !self.checks && !provider.record.trial.load(Relaxed),
        }
    }

    /// Whether the health of a provider lets it be offered in `tier`.
    fn is_offered(&self, tier: Tier, snapshot: &Snapshot, provider: &Provider, now: Instant) -> bool {
        let health = snapshot.of(&provider.record);
        match tier {
            Tier::Primary | Tier::Fallback => self.is_available(health, provider, now),
            Tier::LastResort => health.throttled_for(now).is_none(),
        }
    }

    /// The candidates that `tier` offers of `eligible`, in the order of the configuration, less those in `tried`.
    pub fn offer(&self, tier: Tier, eligible: &EligibleSet, tried: &[u32], now: Instant) -> Vec<Candidate> {
        let snapshot = self.snapshot();
        let eligible = eligible.in_tier(tier);
        let mut candidates = Vec::with_capacity(eligible.len());
        candidates.extend(eligible.iter().filter_map(|&index| {
            let Place { seat, gauge } = &self.places[index as usize];
            let fits = snapshot.is_well(*seat) || self.is_offered(tier, &snapshot, self.provider(index), now);
            (fits && !tried.contains(&index)).then(|| Candidate {
                provider: index,
                in_flight: gauge.in_flight(),
                latency_us: gauge.latency.first_byte_us(),
                failure_permille: gauge.latency.failure_permille(),
            })
        }));
        candidates
    }

    /// The shortest wait until one of `eligible` is no longer throttled; `None` unless all are throttled.
    pub fn all_throttled_for(&self, eligible: &EligibleSet) -> Option<Duration> {
        let now = Instant::now();
        let snapshot = self.snapshot();
        let waits =
            eligible.providers().iter().map(|&index| snapshot.of(&self.provider(index).record).throttled_for(now));
        waits.reduce(|shortest, wait| Some(shortest?.min(wait?))).flatten()
    }

    /// Takes a slot of a provider if one is free, for an attempt that begins `now`.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] says why it may not be used now.
    pub fn try_permit(self: &Arc<Self>, index: u32, tier: Tier, now: Instant) -> Result<Permit, Unavailable> {
        let slot = self.provider(index).record.slots.try_take().ok_or(Unavailable::Saturated)?;
        self.start(index, tier, slot, now).ok_or(Unavailable::Out)
    }

    /// Waits for a slot of a provider, first come first served; `None` when the provider is out by then.
    pub async fn permit(self: &Arc<Self>, index: u32, tier: Tier) -> Option<Permit> {
        let slot = self.provider(index).record.slots.take().await;
        self.start(index, tier, slot, Instant::now())
    }

    /// Looks again at the health of a provider whose slot was just taken, as it may have changed during the wait.
    fn start(self: &Arc<Self>, index: u32, tier: Tier, slot: Slot, now: Instant) -> Option<Permit> {
        let provider = self.provider(index);
        let snapshot = self.snapshot();
        let health = snapshot.of(&provider.record);
        let mut trial = false;
        match tier {
            Tier::Primary | Tier::Fallback => {
                if !self.is_available(health, provider, now) {
                    return None;
                }
                if health.standing(now) == Standing::Probing {
                    if provider.record.trial.swap(true, Relaxed) {
                        return None;
                    }
                    trial = true;
                }
            }
            Tier::LastResort => {
                if health.throttled_for(now).is_some() {
                    return None;
                }
            }
        }
        Some(Permit::new(Arc::clone(self), Arc::clone(provider), slot, trial, now))
    }

    /// Takes in the outcome of an attempt, and why it ended so where there is more to say. Called by its permit alone.
    fn learn(
        &self,
        provider: &Provider,
        (outcome, reason): (Outcome, Option<&str>),
        epoch: u64,
        report: Report,
        now: Instant,
    ) {
        if self.track_latency {
            provider.record.gauge.latency.record(&report);
        }
        self.strategy.learn(report);
        self.update(provider, now, |health| {
            let after = health.after_attempt(outcome, epoch, now, self.policy)?;
            Some(match reason {
                Some(reason) => after.because(reason),
                None => after,
            })
        });
    }

    /// Takes in the result of an active check.
    pub fn checked(&self, provider: &Provider, result: &CheckResult) {
        let now = Instant::now();
        self.update(provider, now, |health| health.after_check(result, now, self.policy));
    }

    /// Applies one transition, if it changes anything.
    fn update(&self, provider: &Provider, now: Instant, transition: impl Fn(&Health) -> Option<Health>) {
        if let Some((before, after)) = self.board.update(&provider.record, transition) {
            if after.epoch() != before.epoch() && after.ejected_until().is_some() {
                provider.metrics.ejections.inc();
            }
            log_transition(provider, &before, &after, now);
        }
    }
}

/// One line per change that an operator would want to know of.
fn log_transition(provider: &Provider, before: &Health, after: &Health, now: Instant) {
    let name = provider.config.name.as_str();
    if after.epoch() != before.epoch() {
        let reason = after.reason().unwrap_or_default();
        let seconds = after.ejected_until().map_or(0.0, |until| (until - now).as_secs_f64());
        tracing::warn!(
            provider = name,
            reason,
            cooldown_s = seconds,
            "provider {name} ejected for {seconds} s: {reason}"
        );
    } else if before.ejected_until().is_some() && after.ejected_until().is_none() {
        tracing::info!(provider = name, "provider {name} admitted again");
    }
    if let Some(wait) = after.throttled_for(now)
        && before.throttled_for(now).is_none()
    {
        let seconds = wait.as_secs_f64();
        let reason = after.reason().unwrap_or_default();
        tracing::warn!(
            provider = name,
            wait_s = seconds,
            reason,
            "provider {name} throttled for {seconds} s: {reason}"
        );
    }
}
