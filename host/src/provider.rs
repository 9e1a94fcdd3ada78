//! The providers: who they are, how they are, and who works on what.
//!
//! [`Fleet`] is all of one configuration. What must be seen together, their health, is one immutable [`Snapshot`]
//! behind one `ArcSwap` of the [`Board`]; counters are relaxed atomics; limits are slots that travel with the answer's
//! body.

use std::hash::{BuildHasher as _, RandomState};
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
pub mod homes;
pub mod latency;
pub mod listing;
pub mod masking;
pub mod permit;
pub mod summary;
pub mod unserved;
pub mod words;

use crate::config;
use crate::metrics::{Metrics, ProviderMetrics};
use crate::routing::{Candidate, Decision, Facts, Outcome, Phase, ProviderFacts, Report, Strategy, Tier};
use crate::slots::Slot;
pub use board::Snapshot;
use board::{Board, Record};
use client::{Client, Clients};
use ejection::{Admission, Attempt, CheckResult, Health, Mark, ModelKey, Policy, Trail};
use eligible::{Eligible, EligibleSet};
use gauge::GaugeRef;
use masking::Masks;
pub use permit::{Excuse, Permit};
use unserved::Unserved;
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
    /// Endpoints and models that providers have said they do not serve.
    pub unserved: Unserved,
    /// Shared with the fleets before and after.
    board: Arc<Board>,
    policy: Policy,
    /// The seed of all chance in health.
    seed: u64,
    /// Whether latency is measured; otherwise strategies see none.
    track_latency: bool,
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

    /// The provider's list of models.
    pub fn listing(&self) -> &listing::Listing {
        &self.record.listing
    }

    /// Its measured latency and failures.
    pub fn latency(&self) -> &latency::Latency {
        &self.record.gauge.latency
    }

    /// The reason of an attempt's outcome, in one line for client, log and `/health`.
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
        let seed = RandomState::new().hash_one(config.providers.len());
        Self::with_clients(config, strategy, metrics, predecessor, clients, seed)
    }

    /// Does what [`Fleet::new`] does, with these clients and this seed of all chance.
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
        seed: u64,
    ) -> Result<Arc<Self>, client::SetupError> {
        clients.next_round();
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
            unserved: Unserved::default(),
            providers,
            clients,
            board,
            policy: Policy {
                cooldown: config.health_check.cooldown,
                failures: config.health_check.failures,
                track_errors: config.monitoring.track_errors,
            },
            seed,
            track_latency: config.monitoring.track_latency,
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
            } else if known.is_some() {
                // A limit may have been lifted; a request or two find out.
                self.board.update(&provider.record, Health::unthrottled);
            }
        }
    }

    /// The provider of the same name at the same destination.
    fn same(&self, config: &config::Provider) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| {
            let theirs = &provider.config;
            theirs.name == config.name
                && theirs.base_url == config.base_url
                && theirs.kind == config.kind
                && theirs.way == config.way
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

    /// The table of stored things, which outlives reloads.
    pub fn homes(&self) -> &homes::Homes {
        &self.board.homes
    }

    /// The providers that serve whatever they are asked for: those without a list of models.
    pub fn unlisted(&self) -> &Arc<EligibleSet> {
        self.eligible.unlisted()
    }

    /// The providers that serve `model`; an empty name is a request without one, which all serve.
    pub fn eligible(&self, model: &str) -> Arc<EligibleSet> {
        self.eligible.of(model)
    }

    /// True when the health of a provider lets it be offered to a request for `model` in `tier`.
    fn is_offered(&self, tier: Tier, health: &Health, provider: &Provider, model: ModelKey, now: Instant) -> bool {
        match tier {
            Tier::Primary | Tier::Fallback => {
                match health.admission(model, provider.config.health_check.enabled, now) {
                    Admission::Free => true,
                    Admission::OneAtATime => !provider.record.trial.load(Relaxed),
                    Admission::Closed => false,
                }
            }
            Tier::LastResort => health.throttles().wait(model, now).is_none(),
        }
    }

    /// The candidates that `tier` offers of `eligible` for `model`, in the order of the configuration, less those in
    /// `tried`.
    pub fn offer(
        &self,
        tier: Tier,
        eligible: &EligibleSet,
        model: ModelKey,
        tried: &[u32],
        now: Instant,
    ) -> Vec<Candidate> {
        let snapshot = self.snapshot();
        let eligible = eligible.in_tier(tier);
        let mut candidates = Vec::with_capacity(eligible.len());
        candidates.extend(eligible.iter().filter_map(|&index| {
            let Place { seat, gauge } = &self.places[index as usize];
            let fits = snapshot.is_well(*seat) || {
                let provider = self.provider(index);
                self.is_offered(tier, snapshot.of(&provider.record), provider, model, now)
            };
            (fits && !tried.contains(&index)).then(|| Candidate {
                provider: index,
                in_flight: gauge.in_flight(),
                latency_us: gauge.latency.first_byte_us(),
                failure_permille: gauge.latency.failure_permille(),
            })
        }));
        candidates
    }

    /// The shortest wait until one of `eligible` may be asked for `model` again; `None` unless all are throttled.
    pub fn all_throttled_for(&self, eligible: &EligibleSet, model: ModelKey) -> Option<Duration> {
        let now = Instant::now();
        let snapshot = self.snapshot();
        let wait = |&index: &u32| snapshot.of(&self.provider(index).record).throttles().wait(model, now);
        eligible.providers().iter().map(wait).reduce(|shortest, wait| Some(shortest?.min(wait?))).flatten()
    }

    /// Takes a slot of a provider if one is free, for an attempt for `model` that begins `now`.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] says why it may not be used now.
    pub fn try_permit(
        self: &Arc<Self>,
        index: u32,
        tier: Tier,
        model: ModelKey,
        now: Instant,
    ) -> Result<Permit, Unavailable> {
        let slot = self.provider(index).record.slots.try_take().ok_or(Unavailable::Saturated)?;
        self.start(index, tier, model, slot, now).ok_or(Unavailable::Out)
    }

    /// Waits for a slot of a provider, first come first served; `None` when the provider is out by then.
    pub async fn permit(self: &Arc<Self>, index: u32, tier: Tier, model: ModelKey) -> Option<Permit> {
        let slot = self.provider(index).record.slots.take().await;
        self.start(index, tier, model, slot, Instant::now())
    }

    /// Looks again at the health of a provider whose slot was just taken, as it may have changed during the wait.
    fn start(self: &Arc<Self>, index: u32, tier: Tier, model: ModelKey, slot: Slot, now: Instant) -> Option<Permit> {
        let provider = self.provider(index);
        let snapshot = self.snapshot();
        let mut trial = false;
        if !snapshot.is_well(provider.record.seat()) {
            let health = snapshot.of(&provider.record);
            match tier {
                Tier::Primary | Tier::Fallback => {
                    match health.admission(model, provider.config.health_check.enabled, now) {
                        Admission::Free => {}
                        Admission::OneAtATime if !provider.record.trial.swap(true, Relaxed) => trial = true,
                        Admission::OneAtATime | Admission::Closed => return None,
                    }
                }
                Tier::LastResort if health.throttles().wait(model, now).is_some() => return None,
                Tier::LastResort => {}
            }
        }
        Some(Permit::new(Arc::clone(self), Arc::clone(provider), model, slot, trial, now))
    }

    /// Takes in the outcome of an attempt. Called by its permit alone.
    fn learn(&self, provider: &Provider, attempt: &Attempt<'_>, report: Report, now: Instant) {
        if self.track_latency {
            provider.record.gauge.latency.record(&report);
        }
        self.strategy.learn(report);
        let trail = match attempt.mark(self.policy) {
            Some(mark) => provider.record.mark(attempt.epoch, attempt.number, mark),
            None => Trail::default(),
        };
        let chance = self.chance(provider);
        self.update(provider, now, |health| health.after_attempt(attempt, trail, now, self.policy, chance));
    }

    /// Takes in the result of an active check.
    pub fn checked(&self, provider: &Provider, result: &CheckResult) {
        let now = Instant::now();
        let health = self.snapshot().of(&provider.record).clone();
        let trail = match health.mark_of(result, now).map(|failed| (failed, provider.record.gauge.begin())) {
            Some((true, number)) => provider.record.mark(health.epoch(), number, Mark::Failed),
            // One that went well only takes a number, as a request does.
            Some((false, _)) | None => provider.record.trail(),
        };
        let chance = self.chance(provider);
        self.update(provider, now, |health| health.after_check(result, trail, now, self.policy, chance));
    }

    /// The number that chance in a provider's health follows from.
    fn chance(&self, provider: &Provider) -> u64 {
        self.seed ^ (provider.record.seat() as u64) << 32
    }

    /// Applies one transition, if it changes anything.
    fn update(&self, provider: &Provider, now: Instant, transition: impl Fn(&Health) -> Option<Health>) {
        if let Some((before, after)) = self.board.update(&provider.record, transition) {
            if after.epoch() != before.epoch() {
                provider.record.begin(after.epoch());
                if after.ejected_until().is_some() {
                    provider.metrics.ejections.inc();
                }
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
        let seconds = after.ejected_until().map_or(0.0, |until| rounded(until - now));
        tracing::warn!(
            provider = name,
            reason,
            cooldown_s = seconds,
            "provider {name} was ejected for {seconds} s: {reason}"
        );
    } else if before.ejected_until().is_some() && after.ejected_until().is_none() {
        tracing::info!(provider = name, "provider {name} was admitted again");
    }
    let wait = after.throttles().longest(now);
    if let Some(wait) = wait
        && before.throttles().longest(now).is_none()
    {
        let seconds = rounded(wait);
        let reason = after.reason().unwrap_or_default();
        tracing::warn!(
            provider = name,
            wait_s = seconds,
            reason,
            "provider {name} was throttled for {seconds} s: {reason}"
        );
    }
}

/// Seconds for people.
fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100.0).round() / 100.0
}
