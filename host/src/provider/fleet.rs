//! All providers of one configuration: their health, which of them may be asked now, and the results of their attempts.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::Guard;
use http::HeaderValue;
use tokio::time::Instant;

use super::account::Account;
use super::board::{Board, Snapshot};
use super::bounds::Bounds;
use super::client::{self, Clients};
use super::ejection::{Attempt, CheckResult, Health, Mark, Policy, Trail};
use super::gauge::GaugeRef;
use super::masking::Masks;
use super::{Provider, homes};
use crate::config;
use crate::limits::{Book, Clock, Owner};
use crate::metrics::Metrics;
use crate::routing::Report;

mod admission;

pub use admission::{Absence, Unavailable};

/// All providers of one configuration.
pub struct Fleet {
    providers: Vec<Arc<Provider>>,
    /// One place for each of them.
    places: Vec<Place>,
    clients: Clients,
    /// Shared with the fleets before and after.
    board: Arc<Board>,
    policy: Policy,
    /// The seed of all chance in health.
    seed: u64,
    /// True when latency is measured; otherwise strategies see none.
    track_latency: bool,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("providers", &self.providers.len()).finish_non_exhaustive()
    }
}

/// The data of a provider that an offer reads, side by side with those of the next one.
struct Place {
    seat: usize,
    gauge: GaugeRef,
}

impl Fleet {
    /// The clients for a configuration's providers, which go on with the connections of its predecessor.
    ///
    /// # Errors
    ///
    /// [`client::SetupError`] when one of them cannot be made.
    pub fn drafts(config: &config::Config, predecessor: Option<&Fleet>) -> Result<client::Drafts, client::SetupError> {
        Self::drafts_by(predecessor.map(|fleet| fleet.clients.clone()).unwrap_or_default(), config)
    }

    /// Does what [`Fleet::drafts`] does, with these clients.
    ///
    /// # Errors
    ///
    /// As [`Fleet::drafts`].
    pub fn drafts_by(clients: Clients, config: &config::Config) -> Result<client::Drafts, client::SetupError> {
        clients.next_round();
        let drafts = config.providers.iter().map(|provider| clients.draft_for(provider)).collect::<Result<_, _>>()?;
        Ok(client::Drafts { drafts, clients })
    }

    /// Makes the fleet of a configuration, from the drafts that were made for it. Providers that are known, by name and
    /// destination, keep their seat; all others start admitted. Nothing changes for the predecessor until
    /// [`Fleet::take_over`].
    pub fn new(
        config: &config::Config,
        drafts: client::Drafts,
        metrics: &Metrics,
        predecessor: Option<&Fleet>,
    ) -> Arc<Self> {
        let seed = RandomState::new().hash_one(config.providers.len());
        Self::seeded(config, drafts, metrics, predecessor, seed)
    }

    /// Does what [`Fleet::new`] does, with this seed of all chance.
    pub fn seeded(
        config: &config::Config,
        drafts: client::Drafts,
        metrics: &Metrics,
        predecessor: Option<&Fleet>,
        seed: u64,
    ) -> Arc<Self> {
        let client::Drafts { drafts, clients } = drafts;
        let board = predecessor.map_or_else(Arc::default, |fleet| Arc::clone(&fleet.board));
        let mut providers = Vec::with_capacity(config.providers.len());
        for ((index, provider), draft) in (0_u32..).zip(&config.providers).zip(drafts) {
            let counted = metrics.of_provider(&provider.name);
            providers.push(Arc::new(Provider {
                index,
                config: provider.clone(),
                name_header: HeaderValue::try_from(provider.name.as_str()).ok(),
                bounds: Bounds::of(provider),
                client: draft.counted_by(&counted.connections),
                masks: Masks::of(provider),
                metrics: counted,
                account: OnceLock::new(),
                seat: board.seat_of(provider),
            }));
        }
        let place =
            |provider: &Arc<Provider>| Place { seat: provider.seat.number(), gauge: provider.seat.gauge.clone() };
        Arc::new(Self {
            places: providers.iter().map(place).collect(),
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
        })
    }

    /// Closes connections to providers that nobody has needed for a while; to be called every second or so.
    pub fn close_idle_connections(&self) {
        self.clients.sweep();
    }

    /// Gives the providers their accounts, whose counters are in this book; those of accounts that are gone are forgotten.
    /// Called once.
    pub fn grant(&self, book: &Book) {
        let mut accounts: HashMap<&str, Arc<Account>> = HashMap::new();
        for provider in self.providers.iter().filter(|provider| !provider.config.limits.is_empty()) {
            let config::Provider { account: name, limits, .. } = &provider.config;
            let account = accounts.entry(name).or_insert_with(|| {
                let granted = book.account(Owner::Account(name.as_str().into()), limits);
                let Board { clock, estimates, .. } = &*self.board;
                Arc::new(Account::new(granted, self.board.line_for(name), Arc::clone(clock), Arc::clone(estimates)))
            });
            provider.seat.gauge.limit();
            // It was not set before.
            let _ = provider.account.set(Arc::clone(account));
        }
        book.retain(|owner| !matches!(owner, Owner::Account(name) if !accounts.contains_key(&**name)));
    }

    /// The time by which limits are kept.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.board.clock
    }

    /// Puts the limits of this configuration in force. Called once, when requests begin to use it.
    pub fn take_over(&self, predecessor: Option<&Fleet>) {
        for provider in &self.providers {
            provider.seat.slots.resize(provider.config.max_concurrent.map(|slots| slots as usize));
            let credentials = |config: &config::Provider| (config.api_key.clone(), config.headers.clone());
            let known = predecessor.and_then(|fleet| fleet.same(&provider.config));
            if known.is_some_and(|known| credentials(&known.config) != credentials(&provider.config)) {
                // The evidence against it may be due to its old key.
                self.board.update(&provider.seat, |health| Some(health.forgiven()));
            } else if known.is_some() {
                // A limit may have been lifted; a request or two will find out.
                self.board.update(&provider.seat, Health::unthrottled);
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

    /// The present health of all providers, including those of earlier configurations.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.board.snapshot()
    }

    /// The table of stored things, which outlives reloads.
    pub fn homes(&self) -> &homes::Homes {
        &self.board.homes
    }

    /// Takes in the outcome of an attempt. Called only by its permit. True when a warning in the log gives the reason
    /// of its end.
    pub(super) fn learn(&self, provider: &Provider, attempt: &Attempt<'_>, report: Report, now: Instant) -> bool {
        if self.track_latency {
            provider.seat.gauge.latency.record(&report);
        }
        if attempt.outcome.is_error() {
            provider.seat.last_error.note(attempt.why(), now);
        }
        let trail = match attempt.mark(self.policy) {
            Some(mark) => provider.seat.mark(attempt.epoch, attempt.number, mark),
            None => Trail::default(),
        };
        let chance = self.chance(provider);
        self.update(provider, now, |health| health.after_attempt(attempt, trail, now, self.policy, chance))
    }

    /// Takes in the result of an active check.
    pub fn checked(&self, provider: &Provider, result: &CheckResult) {
        let now = Instant::now();
        if let CheckResult::Down(reason) | CheckResult::Refused(reason) = result {
            provider.seat.last_error.note(format!("active check: {reason}"), now);
        }
        let health = self.snapshot().of(&provider.seat).clone();
        let trail = match health.mark_of(result, now).map(|failed| (failed, provider.seat.gauge.begin())) {
            Some((true, number)) => provider.seat.mark(health.epoch(), number, Mark::Failed),
            // A check that went well only takes a number, as a request does.
            Some((false, _)) | None => provider.seat.trail(),
        };
        let chance = self.chance(provider);
        self.update(provider, now, |health| health.after_check(result, trail, now, self.policy, chance));
    }

    /// The seed of chance in a provider's health.
    fn chance(&self, provider: &Provider) -> u64 {
        self.seed ^ (provider.seat.number() as u64) << 32
    }

    /// Applies one transition, if it changes anything. True when a warning in the log gives the reason.
    pub(super) fn update(
        &self,
        provider: &Provider,
        now: Instant,
        transition: impl Fn(&Health) -> Option<Health>,
    ) -> bool {
        let changed = self.board.update(&provider.seat, transition);
        changed.is_some_and(|(before, after)| {
            if after.epoch() != before.epoch() {
                provider.seat.begin(after.epoch());
                if after.ejected_until().is_some() {
                    provider.metrics.ejections.inc();
                }
            }
            log_transition(provider, &before, &after, now)
        })
    }
}

/// Logs a line for each change that an operator would want to know of; true when it is a warning, which gives the
/// reason.
fn log_transition(provider: &Provider, before: &Health, after: &Health, now: Instant) -> bool {
    let name = provider.config.name.as_str();
    let mut has_warned = false;
    if after.epoch() != before.epoch() {
        let reason = after.reason().unwrap_or_default();
        let seconds = after.ejected_until().map_or(0.0, |until| rounded(until - now));
        tracing::warn!(
            provider = name,
            reason,
            cooldown_s = seconds,
            "provider {name} was ejected for {seconds} s: {reason}"
        );
        has_warned = true;
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
        has_warned = true;
    }
    has_warned
}

/// Seconds, rounded for people.
fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100.0).round() / 100.0
}
