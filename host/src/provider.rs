//! The providers: who they are, how they are, and who works on what.
//!
//! [`Fleet`] is all of them. What must be seen together, their health, is one immutable [`Snapshot`] behind one
//! `ArcSwap`; counters are relaxed atomics; limits are semaphores whose permits travel with the answer's body.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

pub mod client;
pub mod dialect;
pub mod ejection;
pub mod eligible;
pub mod health;
pub mod latency;
pub mod permit;

use crate::config;
use crate::routing::{Candidate, Outcome, ProviderFacts, Report, Strategy, Tier};
use client::Client;
use ejection::{CheckResult, Health, Policy, Standing};
use eligible::{Eligible, EligibleSet};
use latency::Latency;
pub use permit::Permit;

/// One callable destination and what is known of it.
#[derive(Debug)]
pub struct Provider {
    /// Place in the order of the configuration.
    pub index: u32,
    /// What the operator wrote.
    pub config: config::Provider,
    /// Sends requests to it.
    pub client: Client,
    slots: Option<Arc<Semaphore>>,
    in_flight: AtomicU32,
    /// Whether the one trial request of a probing provider is under way.
    trial: AtomicBool,
    latency: Latency,
    /// Wakes its active check when it was ejected.
    ejected: Notify,
}

/// All providers.
pub struct Fleet {
    providers: Vec<Arc<Provider>>,
    eligible: Eligible,
    snapshot: ArcSwap<Snapshot>,
    /// Serialises writers of the snapshot; readers never take it.
    writer: Mutex<()>,
    policy: Policy,
    /// Whether latency is measured; otherwise strategies see none.
    track_latency: bool,
    /// Without active checks a trial request is the only way back.
    checks: bool,
    strategy: Arc<dyn Strategy>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("providers", &self.providers.len()).finish_non_exhaustive()
    }
}

/// The health of all providers at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    health: Vec<Health>,
}

impl Snapshot {
    /// The health of one provider.
    pub fn of(&self, index: u32) -> &Health {
        &self.health[index as usize]
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
        self.in_flight.load(Relaxed)
    }

    /// Whether a slot is free right now.
    pub fn has_free_slot(&self) -> bool {
        self.slots.as_ref().is_none_or(|slots| slots.available_permits() > 0)
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
        }
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            provider: self.index,
            in_flight: self.in_flight(),
            latency_us: self.latency.first_byte_us(),
            failure_permille: self.latency.failure_permille(),
        }
    }
}

impl Fleet {
    /// Makes the fleet of a configuration, all of it admitted.
    ///
    /// # Errors
    ///
    /// [`client::SetupError`] when the TLS of outgoing connections cannot be set up.
    pub fn new(config: &config::Config, strategy: Arc<dyn Strategy>) -> Result<Arc<Self>, client::SetupError> {
        let mut clients = client::Clients::default();
        let mut providers = Vec::with_capacity(config.providers.len());
        for (index, provider) in (0_u32..).zip(&config.providers) {
            let client = clients.client_for(provider)?;
            let slots = provider.max_concurrent.map(|slots| Arc::new(Semaphore::new(slots as usize)));
            providers.push(Arc::new(Provider {
                index,
                config: provider.clone(),
                client,
                slots,
                in_flight: AtomicU32::new(0),
                trial: AtomicBool::new(false),
                latency: Latency::default(),
                ejected: Notify::new(),
            }));
        }
        let snapshot = Snapshot { health: vec![Health::default(); providers.len()] };
        Ok(Arc::new(Self {
            eligible: Eligible::new(&config.providers),
            providers,
            snapshot: ArcSwap::from_pointee(snapshot),
            writer: Mutex::new(()),
            policy: Policy { cooldown: config.health_check.cooldown, track_errors: config.monitoring.track_errors },
            track_latency: config.monitoring.track_latency,
            checks: config.health_check.enabled,
            strategy,
        }))
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

    /// The health of all at this moment.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
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
            Standing::Probing => !self.checks && !provider.trial.load(Relaxed),
        }
    }

    /// The candidates that `tier` offers of `eligible`, in the order of the configuration, less those in `tried`.
    pub fn offer(&self, tier: Tier, eligible: &EligibleSet, tried: &[u32]) -> Vec<Candidate> {
        let now = Instant::now();
        let snapshot = self.snapshot();
        let offered = eligible.providers().iter().map(|&index| self.provider(index)).filter(|provider| {
            let health = snapshot.of(provider.index);
            let fits = match tier {
                Tier::Primary => !provider.config.fallback_only && self.is_available(health, provider, now),
                Tier::Fallback => provider.config.fallback_only && self.is_available(health, provider, now),
                Tier::LastResort => health.throttled_for(now).is_none(),
            };
            fits && !tried.contains(&provider.index)
        });
        offered.map(|provider| provider.candidate()).collect()
    }

    /// The shortest wait until one of `eligible` is no longer throttled; `None` unless all are throttled.
    pub fn all_throttled_for(&self, eligible: &EligibleSet) -> Option<Duration> {
        let now = Instant::now();
        let snapshot = self.snapshot();
        let waits = eligible.providers().iter().map(|&index| snapshot.of(index).throttled_for(now));
        waits.reduce(|shortest, wait| Some(shortest?.min(wait?))).flatten()
    }

    /// Takes a slot of a provider if one is free.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] says why it may not be used now.
    pub fn try_permit(self: &Arc<Self>, index: u32, tier: Tier) -> Result<Permit, Unavailable> {
        let slot = match &self.provider(index).slots {
            None => None,
            Some(slots) => Some(Arc::clone(slots).try_acquire_owned().map_err(|_full| Unavailable::Saturated)?),
        };
        self.start(index, tier, slot).ok_or(Unavailable::Out)
    }

    /// Waits for a slot of a provider, first come first served; `None` when the provider is out by then.
    pub async fn permit(self: &Arc<Self>, index: u32, tier: Tier) -> Option<Permit> {
        let slot = match &self.provider(index).slots {
            None => None,
            // The semaphore is never closed.
            Some(slots) => Some(Arc::clone(slots).acquire_owned().await.ok()?),
        };
        self.start(index, tier, slot)
    }

    /// Looks again at the health of a provider whose slot was just taken, as it may have changed during the wait.
    fn start(self: &Arc<Self>, index: u32, tier: Tier, slot: Option<OwnedSemaphorePermit>) -> Option<Permit> {
        let provider = self.provider(index);
        let now = Instant::now();
        let snapshot = self.snapshot();
        let health = snapshot.of(index);
        let mut trial = false;
        match tier {
            Tier::Primary | Tier::Fallback => {
                if !self.is_available(health, provider, now) {
                    return None;
                }
                if health.standing(now) == Standing::Probing {
                    if provider.trial.swap(true, Relaxed) {
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
        Some(Permit::new(Arc::clone(self), Arc::clone(provider), slot, trial))
    }

    /// Takes in the outcome of an attempt. Called by its permit alone.
    fn learn(&self, provider: &Provider, outcome: Outcome, epoch: u64, report: Report) {
        if self.track_latency {
            provider.latency.record(&report);
        }
        self.strategy.learn(report);
        self.update(provider, |health, now| health.after_attempt(outcome, epoch, now, self.policy));
    }

    /// Takes in the result of an active check.
    pub fn checked(&self, provider: &Provider, result: &CheckResult) {
        self.update(provider, |health, now| health.after_check(result, now, self.policy));
    }

    /// Applies one transition, if it changes anything, and publishes the new snapshot.
    fn update(&self, provider: &Provider, transition: impl Fn(&Health, Instant) -> Option<Health>) {
        let now = Instant::now();
        // Nearly every request changes nothing, and then nobody waits for the writers' lock.
        if transition(self.snapshot().of(provider.index), now).is_none() {
            return;
        }
        let writer = self.writer.lock();
        let snapshot = self.snapshot.load();
        let before = snapshot.of(provider.index);
        let Some(after) = transition(before, now) else { return };
        let mut health = snapshot.health.clone();
        health[provider.index as usize] = after.clone();
        self.snapshot.store(Arc::new(Snapshot { health }));
        drop(writer);
        if after.epoch() != before.epoch() {
            provider.ejected.notify_one();
        }
        log_transition(provider, before, &after, now);
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
        tracing::warn!(provider = name, wait_s = seconds, "provider {name} throttled for {seconds} s");
    }
}
