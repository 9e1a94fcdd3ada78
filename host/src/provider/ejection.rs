//! The health of one provider as a state machine: plain functions from state, event, chance and time to the next state.
//!
//! A provider is *admitted* until evidence against it *ejects* it: hard evidence and a refused key at once, soft
//! evidence when there is too much of it ([`Trail`]). An ejection lasts a second, and twice as long with each one in a
//! row. Then the provider is *probing*: an active check or one request is its trial. Until a request has gone well it
//! takes one at a time, so that a provider that has just come back does not get all requests at once. *Throttled*
//! ([`Throttles`]) is a separate, timed state: a provider that limits our rate is healthy. Ejection with a growing time
//! follows Envoy's outlier detection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

mod throttle;
mod trail;

use crate::routing::{Evidence, ModelKey, Outcome};
pub use throttle::{Scope, Throttles};
pub use trail::{Mark, Trail};

/// The length of the first ejection in a row, unless `cooldown` is shorter.
const FIRST_EJECTION: Duration = Duration::from_secs(1);
/// An ejection is longer by up to this share, so that those of many proxies do not end together.
const JITTER: f64 = 0.1;
/// While a provider does not answer its checks it is asked again after this time, so that its return is seen soon.
const WATCH: Duration = Duration::from_secs(1);
/// A provider that has never answered is checked again after this time, then after twice as long, and so on.
const FIRST_RECHECK: Duration = Duration::from_secs(1);

/// The standing of a provider by its health alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Takes requests.
    Admitted,
    /// Out for a while.
    Ejected,
    /// Its ejection is over, and it has yet to prove itself.
    Probing,
}

/// The number of requests that may go to a provider while others can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Any number of requests.
    Free,
    /// One at a time: it has yet to prove itself.
    OneAtATime,
    /// None.
    Closed,
}

/// The evidence on which a provider was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Requests failed.
    Requests,
    /// Checks alone failed; requests may go well all the same.
    Checks,
    /// Our key was refused.
    Key,
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    until: Instant,
    cause: Cause,
}

/// The health of one provider.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// `Some` while ejected or probing.
    ejection: Option<Ejection>,
    /// Ejections since the last request that went well.
    in_a_row: u32,
    /// Counts ejections over the provider's life; evidence from attempts of an earlier epoch is stale.
    epoch: u64,
    /// True when it is back, and no request has gone well since.
    on_trial: bool,
    /// True when the latest active check failed.
    check_failed: bool,
    /// True when a request or a check has gone well at some time.
    has_answered: bool,
    throttles: Throttles,
    /// The reason why it is or was last out, for `/health`.
    reason: Option<Arc<str>>,
}

/// The operator's configuration.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The longest ejection.
    pub cooldown: Duration,
    /// The number of soft failures in a row that eject.
    pub failures: u32,
    /// True when failed requests eject.
    pub track_errors: bool,
}

/// An attempt after its end.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The outcome of the attempt.
    pub outcome: Outcome,
    /// The evidence against the provider: the outcome's own weight, or nothing where the request itself is to blame.
    pub evidence: Evidence,
    /// The provider's epoch when it began.
    pub epoch: u64,
    /// Its number among the attempts at the provider, in the order in which they began.
    pub number: u32,
    /// The model that was asked for.
    pub model: ModelKey,
    /// True when a rate limit is about all models.
    pub limits_account: bool,
    /// The reason, where there is more to say, in the words of [`Permit::describe`](super::Permit::describe).
    pub reason: Option<&'a str>,
}

/// The result of an active check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It answers.
    Alive,
    /// It does not answer; with the reason, for `/health`.
    Down(String),
    /// It does not accept our key; with the reason, for `/health`.
    Refused(String),
    /// The check could not be made.
    Unknown,
}

impl Attempt<'_> {
    /// The reason in words.
    pub(super) fn why(&self) -> String {
        self.reason.map_or_else(|| self.outcome.to_string(), str::to_owned)
    }

    /// Its mark in the provider's [`Trail`]; `None` when it is not marked.
    pub fn mark(&self, policy: Policy) -> Option<Mark> {
        match self.evidence {
            Evidence::Good => None,
            Evidence::Soft | Evidence::Hard => policy.track_errors.then_some(Mark::Failed),
            Evidence::None | Evidence::Limit | Evidence::Key => Some(Mark::PassedOver),
        }
    }
}

impl Health {
    /// The standing of the provider at `now`, rate limits aside.
    pub fn standing(&self, now: Instant) -> Standing {
        match &self.ejection {
            None => Standing::Admitted,
            Some(ejection) if now < ejection.until => Standing::Ejected,
            Some(_) => Standing::Probing,
        }
    }

    /// True when nothing is held against the provider, whatever the time and the model.
    pub fn is_well(&self) -> bool {
        self.ejection.is_none() && !self.on_trial && self.throttles.is_empty()
    }

    /// The requests for `model` that it may be given while others can serve; `checks` says whether it is checked.
    pub fn admission(&self, model: ModelKey, checks: bool, now: Instant) -> Admission {
        if self.throttles.wait(model, now).is_some() {
            return Admission::Closed;
        }
        match &self.ejection {
            Some(ejection) if now < ejection.until => Admission::Closed,
            // The check is the trial, unless it is checks alone that speak against the provider.
            Some(ejection) if checks && ejection.cause != Cause::Checks => Admission::Closed,
            Some(_) => Admission::OneAtATime,
            None if self.on_trial || self.throttles.wants_trial(model, now) => Admission::OneAtATime,
            None => Admission::Free,
        }
    }

    /// The rate limits.
    pub fn throttles(&self) -> &Throttles {
        &self.throttles
    }

    /// The end of the ejection, while not admitted.
    pub fn ejected_until(&self) -> Option<Instant> {
        self.ejection.as_ref().map(|ejection| ejection.until)
    }

    /// Names the period between two ejections; an attempt keeps it as evidence of when it began.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The reason why it is out, or has yet to prove itself.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref().filter(|_| !self.is_well())
    }

    /// The state after an attempt, whose mark `trail` holds already; `chance` is what its jitter follows from.
    /// `None` when nothing changes, which is the case for nearly every request.
    pub fn after_attempt(
        &self,
        attempt: &Attempt<'_>,
        trail: Trail,
        now: Instant,
        policy: Policy,
        chance: u64,
    ) -> Option<Self> {
        let eject = |cause| {
            // A request that began before the ejection says nothing about the time after it.
            if attempt.epoch != self.epoch {
                return None;
            }
            self.ejected(cause, attempt.why(), now, policy, chance)
        };
        match attempt.evidence {
            Evidence::None => None,
            Evidence::Good => self.proven(attempt.epoch, attempt.model, now),
            Evidence::Limit => self.limited(attempt, now),
            Evidence::Key => eject(Cause::Key),
            Evidence::Soft | Evidence::Hard if !policy.track_errors => None,
            Evidence::Hard => eject(Cause::Requests),
            Evidence::Soft => {
                let on_trial = self.on_trial || self.ejection.is_some();
                (on_trial || trail.is_too_bad(policy.failures)).then(|| eject(Cause::Requests)).flatten()
            }
        }
    }

    /// An active check's place in the [`Trail`]: whether it failed; `None` when it has none.
    pub fn mark_of(&self, result: &CheckResult, now: Instant) -> Option<bool> {
        let admitted = self.standing(now) == Standing::Admitted;
        match result {
            CheckResult::Down(_) | CheckResult::Refused(_) => admitted.then_some(true),
            // It revokes what an earlier check found, and says nothing about requests.
            CheckResult::Alive => (admitted && self.check_failed).then_some(false),
            CheckResult::Unknown => None,
        }
    }

    /// The state after an active check, whose mark `trail` holds already; `None` when nothing changes.
    pub fn after_check(
        &self,
        result: &CheckResult,
        trail: Trail,
        now: Instant,
        policy: Policy,
        chance: u64,
    ) -> Option<Self> {
        let (reason, refused) = match result {
            CheckResult::Unknown => return None,
            CheckResult::Alive => return self.after_good_check(now),
            CheckResult::Down(reason) => (reason, false),
            CheckResult::Refused(reason) => (reason, true),
        };
        let failed = (!self.check_failed).then(|| Self { check_failed: true, ..self.clone() });
        let cause = match &self.ejection {
            Some(ejection) if now < ejection.until => return failed,
            // It had its trial by a check before it was ejected; now a request is the trial.
            Some(Ejection { cause: Cause::Checks, .. }) => return failed,
            Some(ejection) if !refused => ejection.cause,
            Some(_) => Cause::Key,
            None if trail.is_too_bad(policy.failures) => Cause::Checks,
            None => return failed,
        };
        let out = self.ejected(cause, format!("active check: {reason}"), now, policy, chance)?;
        Some(Self { check_failed: true, ..out })
    }

    fn after_good_check(&self, now: Instant) -> Option<Self> {
        let is_back = match &self.ejection {
            // A first answer after failed checks is news. If it answered all along it is no news, and the ejection runs
            // its time; a refused key stays refused whatever else is answered.
            Some(ejection) if now < ejection.until => self.check_failed && ejection.cause != Cause::Key,
            Some(_) => true,
            None => false,
        };
        let throttles = self.throttles.checked(now);
        if !is_back && !self.check_failed && self.has_answered && throttles.is_none() {
            return None;
        }
        Some(Self {
            ejection: self.ejection.filter(|_| !is_back),
            // The count of ejections stays: a provider that lists its models but fails its requests waits longer each
            // time.
            on_trial: self.on_trial || is_back,
            check_failed: false,
            has_answered: true,
            throttles: throttles.unwrap_or_else(|| self.throttles.clone()),
            reason: self.reason.clone(),
            ..*self
        })
    }

    /// The time at which the next active check is due, after one that ended at `last`, the latest of `failed` in a row;
    /// `regular` is when it would be due for a healthy provider.
    pub fn next_check(&self, last: Instant, failed: u32, regular: Instant, now: Instant) -> Instant {
        let due = match &self.ejection {
            Some(ejection) if self.check_failed && ejection.cause == Cause::Checks => last + WATCH,
            Some(ejection) if self.check_failed && ejection.cause != Cause::Key && now < ejection.until => {
                ejection.until.min(last + WATCH)
            }
            Some(ejection) => ejection.until,
            None if !self.has_answered && failed > 0 => last + FIRST_RECHECK.saturating_mul(1 << (failed - 1).min(16)),
            None => regular,
        };
        due.min(regular)
    }

    /// The state after the operator gave the provider another key: admitted, and results of attempts with the old key
    /// are stale.
    pub fn forgiven(&self) -> Self {
        Self { epoch: self.epoch + 1, has_answered: self.has_answered, ..Self::default() }
    }

    /// The state after the operator has loaded the configuration again: rate limits are tried out anew; `None` when
    /// there are none.
    pub fn unthrottled(&self) -> Option<Self> {
        (!self.throttles.is_empty()).then(|| Self { throttles: Throttles::default(), ..self.clone() })
    }

    /// A request went well enough to show that the provider works.
    fn proven(&self, epoch: u64, model: ModelKey, now: Instant) -> Option<Self> {
        let is_spotless = self.ejection.is_none() && self.in_a_row == 0 && !self.on_trial && self.has_answered;
        if epoch != self.epoch || (is_spotless && self.throttles.is_empty()) {
            return None;
        }
        let throttles = self.throttles.proven(model, now);
        if is_spotless && throttles.is_none() {
            return None;
        }
        Some(Self {
            ejection: None,
            in_a_row: 0,
            on_trial: false,
            has_answered: true,
            throttles: throttles.unwrap_or_else(|| self.throttles.clone()),
            reason: self.reason.clone(),
            ..*self
        })
    }

    /// Another replica has met a rate limit, with the same key.
    pub fn limited_elsewhere(&self, scope: Scope, wait: Duration, now: Instant) -> Option<Self> {
        let throttles = self.throttles.limited(scope, Some(wait), now)?;
        Some(Self { throttles, reason: Some("another replica has met its rate limit".into()), ..self.clone() })
    }

    /// A rate limit was met. A provider that limits our rate works; one that was out has still to prove itself.
    fn limited(&self, attempt: &Attempt<'_>, now: Instant) -> Option<Self> {
        let scope = if attempt.limits_account { Scope::Account } else { Scope::Model(attempt.model) };
        let Outcome::Throttled { retry_after } = attempt.outcome else { return None };
        let throttles = self.throttles.limited(scope, retry_after, now);
        let is_back = self.ejection.is_some() && attempt.epoch == self.epoch;
        if throttles.is_none() && !is_back {
            return None;
        }
        Some(Self {
            ejection: self.ejection.filter(|_| !is_back),
            on_trial: self.on_trial || is_back,
            has_answered: true,
            throttles: throttles.unwrap_or_else(|| self.throttles.clone()),
            reason: Some(attempt.why().into()),
            ..*self
        })
    }

    fn ejected(&self, cause: Cause, reason: String, now: Instant, policy: Policy, chance: u64) -> Option<Self> {
        // Failures at the same time count as one ejection.
        if self.standing(now) == Standing::Ejected {
            return None;
        }
        let grown = FIRST_EJECTION
            .saturating_mul(1 << self.in_a_row.min(24))
            .mul_f64(1.0 + JITTER * drawn(chance ^ self.epoch));
        let lasts = match cause {
            // A provider that refuses a key now will do so in a second.
            Cause::Key => policy.cooldown,
            Cause::Requests | Cause::Checks => grown.min(policy.cooldown),
        };
        Some(Self {
            ejection: Some(Ejection { until: now + lasts, cause }),
            in_a_row: self.in_a_row.saturating_add(1),
            epoch: self.epoch + 1,
            on_trial: false,
            reason: Some(reason.into()),
            ..self.clone()
        })
    }
}

/// Between 0 and 1: SplitMix64 (Steele, Lea, Flood 2014).
fn drawn(bits: u64) -> f64 {
    let mut z = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests;
