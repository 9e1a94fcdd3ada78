//! Which providers may be asked now: the candidates that are offered to a strategy, and the permits that are given.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::{Fleet, Place};
use crate::limits::Refusal;
use crate::provider::Provider;
use crate::provider::account::{Demand, Withdrawal};
use crate::provider::board::Seat;
use crate::provider::ejection::{Admission, Health};
use crate::provider::gauge::Gauge;
use crate::provider::permit::Permit;
use crate::provider::remainder::ALL_LEFT;
use crate::routing::eligible::EligibleSet;
use crate::routing::{Candidate, ModelKey, Route, Tier};
use crate::slots::Slot;

/// A provider could not be taken now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// All its slots are taken.
    Saturated,
    /// Its account is used up.
    Limited(Box<Refusal>),
    /// It was ejected or throttled meanwhile, or another request is its trial.
    Out,
}

/// The reason why a target is no candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Its provider is ejected.
    Ejected {
        /// The end of the ejection.
        until: Instant,
        /// The reason.
        reason: Option<Arc<str>>,
    },
    /// Its provider limits our rate.
    Throttled {
        /// The end of the wait.
        until: Instant,
        /// The reason.
        reason: Option<Arc<str>>,
    },
    /// Its provider has yet to prove itself, and another request is its trial.
    OnTrial,
    /// Its provider has said that nothing is left of a limit, or its account has nothing left.
    NothingLeft,
    /// It was tried before in this request.
    Tried,
    /// The strategy has excluded it before in this request.
    Excluded,
}

impl Fleet {
    /// The targets of `tier` that are not among its `candidates`, and why; of many the first. `passed` are those that were
    /// tried, and those that the strategy has excluded.
    pub fn absent(
        &self,
        tier: Tier,
        (route, eligible): (&Route, &EligibleSet),
        model: ModelKey,
        (tried, excluded): (&[u32], &[u32]),
        candidates: &[Candidate],
        now: Instant,
    ) -> Vec<(u32, Absence)> {
        const KEPT: usize = 32;
        let snapshot = self.snapshot();
        let is_candidate = |index: u32| candidates.binary_search_by_key(&index, |candidate| candidate.target).is_ok();
        let others = eligible.in_tier(tier).iter().copied().filter(|&index| !is_candidate(index));
        let why = |index: u32| {
            if tried.contains(&index) {
                return Absence::Tried;
            }
            if excluded.contains(&index) {
                return Absence::Excluded;
            }
            let target = route.target(index);
            let provider = self.provider(target.provider);
            let health = snapshot.of(&provider.seat);
            let reason = health.reason().map(Arc::from);
            if let Some(wait) = health.throttles().wait(target.key(model), now) {
                return Absence::Throttled { until: now + wait, reason };
            }
            match health.admission(target.key(model), provider.config.health_check.enabled, now) {
                Admission::Closed => Absence::Ejected { until: health.ejected_until().unwrap_or(now), reason },
                Admission::OneAtATime => Absence::OnTrial,
                Admission::Free => Absence::NothingLeft,
            }
        };
        others.take(KEPT).map(|index| (index, why(index))).collect()
    }

    /// True when the health of a provider lets it be offered to a request for `model` in `tier`.
    fn is_offered(&self, tier: Tier, health: &Health, provider: &Provider, model: ModelKey, now: Instant) -> bool {
        match tier {
            Tier::Primary | Tier::Fallback => {
                match health.admission(model, provider.config.health_check.enabled, now) {
                    Admission::Free => true,
                    Admission::OneAtATime => !provider.seat.trial.load(Relaxed),
                    Admission::Closed => false,
                }
            }
            Tier::LastResort => health.throttles().wait(model, now).is_none(),
        }
    }

    /// The candidates that `tier` offers of the targets in `eligible` for `model`, in the order of the configuration, less
    /// those in `tried`.
    pub fn offer(
        &self,
        tier: Tier,
        (route, eligible): (&Route, &EligibleSet),
        model: ModelKey,
        tried: &[u32],
        now: Instant,
    ) -> Vec<Candidate> {
        let snapshot = self.snapshot();
        let (eligible, providers) = (eligible.in_tier(tier), route.providers());
        let mut candidates = Vec::with_capacity(eligible.len());
        candidates.extend(eligible.iter().filter_map(|&index| {
            let number = providers[index as usize];
            let Place { seat, gauge } = &self.places[number as usize];
            // Once: where the gauge lies takes longer to find than what it says to read.
            let gauge: &Gauge = gauge;
            let key = || route.target(index).key(model);
            let fits = snapshot.is_well(*seat) || {
                let provider = self.provider(number);
                self.is_offered(tier, snapshot.of(&provider.seat), provider, key(), now)
            };
            if !fits || !tried.is_empty() && tried.contains(&index) {
                return None;
            }
            let mut candidate = Candidate {
                target: index,
                in_flight: gauge.in_flight(),
                latency_us: gauge.latency.first_byte_us(),
                failure_permille: gauge.latency.failure_permille(),
                requests_left: 1000,
                tokens_left: 1000,
            };
            let fits = !gauge.is_limited() || self.measure(&mut candidate, tier, number, key(), now);
            fits.then_some(candidate)
        }));
        candidates
    }

    /// Tells a candidate what is left of its provider's limits, those that the provider has told and those of its account;
    /// false when the provider has said that nothing is, so that it is kept for the last resort.
    fn measure(&self, candidate: &mut Candidate, tier: Tier, target: u32, model: ModelKey, now: Instant) -> bool {
        let provider = self.provider(target);
        let [requests, tokens] = provider.remainders().left(model, now);
        let own = provider.account().map_or(ALL_LEFT, |account| account.left(now));
        (candidate.requests_left, candidate.tokens_left) = (requests.min(own[0]), tokens.min(own[1]));
        tier == Tier::LastResort || requests > 0 && tokens > 0
    }

    /// The shortest wait until one of the targets in `eligible` may be asked for `model` again; `None` unless all are
    /// throttled.
    pub fn all_throttled_for(&self, (route, eligible): (&Route, &EligibleSet), model: ModelKey) -> Option<Duration> {
        let now = Instant::now();
        let snapshot = self.snapshot();
        let wait = |&index: &u32| {
            let target = route.target(index);
            snapshot.of(&self.provider(target.provider).seat).throttles().wait(target.key(model), now)
        };
        eligible.targets().iter().map(wait).reduce(|shortest, wait| Some(shortest?.min(wait?))).flatten()
    }

    /// Takes a slot of a provider if one is free, and what the attempt is likely to cost from its account, for an attempt
    /// for `model` that begins `now`.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] says why it may not be used now.
    pub fn try_permit(
        self: &Arc<Self>,
        (index, tier, model): (u32, Tier, ModelKey),
        demand: impl FnOnce() -> Demand,
        now: Instant,
    ) -> Result<Permit, Unavailable> {
        let provider = self.provider(index);
        let slot = provider.seat.slots.try_take().ok_or(Unavailable::Saturated)?;
        let taken = provider.account().map(|account| account.try_take(demand(), now));
        let withdrawal = taken.transpose().map_err(Unavailable::Limited)?;
        self.start((index, tier, model), slot, withdrawal, now).ok_or(Unavailable::Out)
    }

    /// Waits for a slot of a provider and then for room in its account, both first come first served; `None` when the
    /// provider is out by then, or its account never has room for this.
    pub async fn permit(
        self: &Arc<Self>,
        (index, tier, model): (u32, Tier, ModelKey),
        demand: impl FnOnce() -> Demand,
    ) -> Option<Permit> {
        let provider = self.provider(index);
        let slot = provider.seat.slots.take().await;
        let withdrawal = match provider.account() {
            // Boxed: few providers have limits.
            Some(account) => Some(Box::pin(account.take(demand())).await.ok()?),
            None => None,
        };
        self.start((index, tier, model), slot, withdrawal, Instant::now())
    }

    /// Looks again at the health of a provider whose slot was just taken, as it may have changed during the wait.
    fn start(
        self: &Arc<Self>,
        (index, tier, model): (u32, Tier, ModelKey),
        slot: Slot,
        withdrawal: Option<Box<Withdrawal>>,
        now: Instant,
    ) -> Option<Permit> {
        let provider = self.provider(index);
        let snapshot = self.snapshot();
        let mut trial = false;
        let Seat { gauge, remainders, .. } = provider.seat();
        if tier != Tier::LastResort && gauge.is_limited() && remainders.is_used_up(model, now) {
            return None;
        }
        if !snapshot.is_well(provider.seat.number()) {
            let health = snapshot.of(&provider.seat);
            match tier {
                Tier::Primary | Tier::Fallback => {
                    match health.admission(model, provider.config.health_check.enabled, now) {
                        Admission::Free => {}
                        Admission::OneAtATime if !provider.seat.trial.swap(true, Relaxed) => trial = true,
                        Admission::OneAtATime | Admission::Closed => return None,
                    }
                }
                Tier::LastResort if health.throttles().wait(model, now).is_some() => return None,
                Tier::LastResort => {}
            }
        }
        let permit = Permit::new(Arc::clone(self), Arc::clone(provider), model, slot, trial, now);
        Some(permit.paid_by(withdrawal))
    }
}
