//! The health of one provider as a state machine: plain functions from state, event and time to the next state.
//!
//! A provider is *admitted* until evidence against it *ejects* it. After its cool-down it is *probing*: an active check
//! or a trial request admits it or ejects it again, for twice as long, up to ten times the first cool-down. *Throttled*
//! is a separate, timed state: a provider that limits our rate is well. Ejection with a growing time follows Envoy's
//! outlier detection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::routing::{FailureKind, Outcome, OutcomeKind};

/// The longest cool-down, as a multiple of the first.
const MAX_COOLDOWN_FACTOR: u32 = 10;
/// The first wait after a rate limit without a figure of its own; doubles with each in a row.
const FIRST_THROTTLE: Duration = Duration::from_secs(1);
/// The longest wait that a provider without a figure of its own is given.
const MAX_GROWN_THROTTLE: Duration = Duration::from_secs(60);
/// The longest wait that is believed: a header gone wrong must not take a provider out for good.
const MAX_THROTTLE: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a provider stands, health alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Takes requests.
    Admitted,
    /// Out for a cool-down.
    Ejected,
    /// The cool-down is over; waits for proof.
    Probing,
}

/// The health of one provider.
#[derive(Clone, Debug)]
pub struct Health {
    /// `Some` while ejected or probing: the end of the cool-down.
    ejected_until: Option<Instant>,
    /// Ejections since the last request that went well.
    ejections: u32,
    /// Counts ejections over the provider's life; evidence from attempts of an earlier epoch is stale.
    epoch: u64,
    /// No requests before this instant.
    throttled_until: Option<Instant>,
    /// Rate limits without a figure since the last request that went well.
    throttles: u32,
    /// Why it was ejected last, for `/health`.
    reason: Option<Arc<str>>,
}

/// What the operator configured.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long the first ejection lasts.
    pub cooldown: Duration,
    /// Whether failed requests eject.
    pub track_errors: bool,
}

/// What an active check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It answers.
    Alive,
    /// It does not, or refuses our key; why, for `/health`.
    Down(String),
}

impl Default for Health {
    /// Admitted: a provider is trusted until there is evidence against it.
    fn default() -> Self {
        Self { ejected_until: None, ejections: 0, epoch: 0, throttled_until: None, throttles: 0, reason: None }
    }
}

impl Health {
    /// Where the provider stands at `now`, rate limits aside.
    pub fn standing(&self, now: Instant) -> Standing {
        match self.ejected_until {
            None => Standing::Admitted,
            Some(until) if now < until => Standing::Ejected,
            Some(_) => Standing::Probing,
        }
    }

    /// Whether nothing is held against it, whatever the time: neither ejected nor probing, and never throttled since.
    pub fn is_well(&self) -> bool {
        self.ejected_until.is_none() && self.throttled_until.is_none()
    }

    /// How long the provider is still throttled, if it is.
    pub fn throttled_for(&self, now: Instant) -> Option<Duration> {
        self.throttled_until.and_then(|until| until.checked_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// The end of the cool-down, while not admitted.
    pub fn ejected_until(&self) -> Option<Instant> {
        self.ejected_until
    }

    /// Names the period between two ejections; an attempt keeps it as evidence of when it began.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Why it is or was last out.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref().filter(|_| !self.is_well())
    }

    /// The same state, with `reason` for why it is out.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        let reason = if self.is_well() { None } else { Some(reason.into()) };
        Self { reason, ..self }
    }

    /// The state after an attempt that began in `epoch` ended with `outcome`; `None` when nothing changes, which is
    /// the case for nearly every request.
    pub fn after_attempt(&self, outcome: Outcome, epoch: u64, now: Instant, policy: Policy) -> Option<Self> {
        match outcome.kind() {
            OutcomeKind::Succeeded | OutcomeKind::Rejected | OutcomeKind::NotFound | OutcomeKind::Declined => {
                self.proven_well(epoch)
            }
            OutcomeKind::Throttled => {
                // Requests in flight together that all hit the limit are one reason to wait longer, not many.
                if outcome == (Outcome::Throttled { retry_after: None }) && self.throttled_for(now).is_some() {
                    return None;
                }
                let retry_after = match outcome {
                    Outcome::Throttled { retry_after } => retry_after,
                    _ => None,
                };
                let well = self.proven_well(epoch).unwrap_or_else(|| self.clone());
                Some(well.throttled(self.throttles, retry_after, now))
            }
            OutcomeKind::Unauthorized => self.evidence_against(epoch, now, policy, &outcome.to_string()),
            OutcomeKind::Failed | OutcomeKind::TimedOut | OutcomeKind::Interrupted => {
                // What is lacking on this machine says nothing of a provider.
                if !policy.track_errors || matches!(outcome, Outcome::Failed(FailureKind::Local(_))) {
                    return None;
                }
                self.evidence_against(epoch, now, policy, &outcome.to_string())
            }
            OutcomeKind::Cancelled => None,
        }
    }

    /// The state after an active check.
    pub fn after_check(&self, result: &CheckResult, now: Instant, policy: Policy) -> Option<Self> {
        match (result, self.standing(now)) {
            (CheckResult::Alive, Standing::Probing) => {
                // The count of ejections stays: a provider that lists its models but fails its requests waits longer
                // each time.
                Some(Self { ejected_until: None, ..self.clone() })
            }
            (CheckResult::Alive, Standing::Admitted | Standing::Ejected)
            | (CheckResult::Down(_), Standing::Ejected) => None,
            (CheckResult::Down(reason), Standing::Admitted | Standing::Probing) => {
                self.evidence_against(self.epoch, now, policy, &format!("active check: {reason}"))
            }
        }
    }

    /// The state after the operator gave the provider another key: admitted, and what attempts with the old key bring
    /// is stale.
    pub fn forgiven(&self) -> Self {
        Self { epoch: self.epoch + 1, ..Self::default() }
    }

    /// A request went well enough to show that the provider works.
    fn proven_well(&self, epoch: u64) -> Option<Self> {
        // A request that began before the ejection proves nothing about the time after it.
        if epoch != self.epoch || (self.ejected_until.is_none() && self.ejections == 0 && self.throttles == 0) {
            return None;
        }
        Some(Self { ejected_until: None, ejections: 0, throttles: 0, reason: None, ..self.clone() })
    }

    fn throttled(mut self, throttles: u32, retry_after: Option<Duration>, now: Instant) -> Self {
        let wait = match retry_after {
            Some(wait) => wait.min(MAX_THROTTLE),
            None => {
                self.throttles = throttles.saturating_add(1);
                FIRST_THROTTLE.saturating_mul(1 << throttles.min(16)).min(MAX_GROWN_THROTTLE)
            }
        };
        self.reason = Some(Outcome::Throttled { retry_after }.to_string().into());
        // Requests in flight together each bring a figure; the longest holds.
        let until = now + wait;
        self.throttled_until = Some(self.throttled_until.map_or(until, |already| already.max(until)));
        self
    }

    fn evidence_against(&self, epoch: u64, now: Instant, policy: Policy, reason: &str) -> Option<Self> {
        // Ten requests that fail together are one strike, and an old request says nothing about a provider that has
        // been out and back since.
        if epoch != self.epoch || self.standing(now) == Standing::Ejected {
            return None;
        }
        let factor = 1_u32.checked_shl(self.ejections).unwrap_or(u32::MAX).min(MAX_COOLDOWN_FACTOR);
        Some(Self {
            ejected_until: Some(now + policy.cooldown.saturating_mul(factor)),
            ejections: self.ejections.saturating_add(1),
            epoch: self.epoch + 1,
            reason: Some(reason.into()),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::Phase;

    const POLICY: Policy = Policy { cooldown: Duration::from_secs(30), track_errors: true };
    const FAILED: Outcome = Outcome::Failed(FailureKind::Status(500));

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn ejected(now: Instant) -> Health {
        Health::default().after_attempt(FAILED, 0, now, POLICY).expect("a failure ejects")
    }

    #[test]
    fn one_strike_ejects_for_the_cooldown_and_then_probes() {
        let now = Instant::now();
        let health = ejected(now);
        assert_eq!(health.standing(now + seconds(29)), Standing::Ejected);
        assert_eq!(health.standing(now + seconds(30)), Standing::Probing);
        assert_eq!(health.reason(), Some("answered 500"));
    }

    #[test]
    fn the_clients_fault_and_a_client_that_leaves_change_nothing() {
        let now = Instant::now();
        for outcome in [Outcome::Rejected(400), Outcome::Cancelled, Outcome::Declined(403), Outcome::NotFound] {
            assert!(Health::default().after_attempt(outcome, 0, now, POLICY).is_none(), "{outcome:?}");
        }
    }

    #[test]
    fn errors_that_are_not_tracked_never_eject_but_a_refused_key_does() {
        let now = Instant::now();
        let policy = Policy { track_errors: false, ..POLICY };
        for outcome in [FAILED, Outcome::TimedOut { phase: Phase::Request }, Outcome::Interrupted] {
            assert!(Health::default().after_attempt(outcome, 0, now, policy).is_none(), "{outcome:?}");
        }
        let health = Health::default().after_attempt(Outcome::Unauthorized(401), 0, now, policy).expect("ejected");
        assert_eq!(health.standing(now), Standing::Ejected);
    }

    #[test]
    fn failures_in_flight_together_are_one_strike() {
        let now = Instant::now();
        assert!(ejected(now).after_attempt(FAILED, 0, now, POLICY).is_none());
        assert!(ejected(now).after_attempt(FAILED, 1, now, POLICY).is_none(), "nor does the last resort add any");
    }

    #[test]
    fn the_cooldown_doubles_with_each_ejection_in_a_row_up_to_ten_times() {
        let mut now = Instant::now();
        let mut health = Health::default();
        for expected in [30, 60, 120, 240, 300, 300] {
            health = health.after_attempt(FAILED, health.epoch(), now, POLICY).expect("ejected again");
            let until = health.ejected_until().expect("ejected");
            assert_eq!(until - now, seconds(expected));
            now = until;
        }
        let well = health.after_attempt(Outcome::Succeeded, health.epoch(), now, POLICY).expect("admitted");
        let again = well.after_attempt(FAILED, well.epoch(), now, POLICY).expect("ejected");
        assert_eq!(again.ejected_until().expect("ejected") - now, seconds(30), "a success starts the count anew");
    }

    #[test]
    fn a_success_from_before_the_ejection_does_not_admit_but_one_from_after_it_does() {
        let now = Instant::now();
        let health = ejected(now);
        assert!(health.after_attempt(Outcome::Succeeded, 0, now, POLICY).is_none());
        let admitted = health.after_attempt(Outcome::Succeeded, 1, now, POLICY).expect("admitted");
        assert_eq!(admitted.standing(now), Standing::Admitted);
    }

    #[test]
    fn a_check_admits_only_after_the_cooldown() {
        let now = Instant::now();
        let health = ejected(now);
        assert!(health.after_check(&CheckResult::Alive, now + seconds(29), POLICY).is_none());
        let admitted = health.after_check(&CheckResult::Alive, now + seconds(30), POLICY).expect("admitted");
        assert_eq!(admitted.standing(now + seconds(30)), Standing::Admitted);
    }

    #[test]
    fn a_check_that_fails_ejects_and_lengthens_only_after_the_cooldown() {
        let now = Instant::now();
        let down = CheckResult::Down("timed out".to_owned());
        let health = Health::default().after_check(&down, now, POLICY).expect("ejected");
        assert_eq!(health.reason(), Some("active check: timed out"));
        assert!(health.after_check(&down, now + seconds(10), POLICY).is_none());
        let longer = health.after_check(&down, now + seconds(30), POLICY).expect("ejected again");
        assert_eq!(longer.ejected_until().expect("ejected"), now + seconds(90));
    }

    #[test]
    fn a_throttled_provider_is_out_for_its_own_figure_and_not_ejected() {
        let now = Instant::now();
        let throttled = Outcome::Throttled { retry_after: Some(seconds(7)) };
        let health = Health::default().after_attempt(throttled, 0, now, POLICY).expect("throttled");
        assert_eq!(health.standing(now), Standing::Admitted);
        assert_eq!(health.throttled_for(now + seconds(2)), Some(seconds(5)));
        assert_eq!(health.throttled_for(now + seconds(7)), None);
    }

    #[test]
    fn a_throttle_without_a_figure_grows_until_a_request_goes_well() {
        let mut now = Instant::now();
        let throttled = Outcome::Throttled { retry_after: None };
        let mut health = Health::default();
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            health = health.after_attempt(throttled, 0, now, POLICY).expect("throttled");
            assert_eq!(health.throttled_for(now), Some(seconds(expected)));
            now += seconds(expected);
        }
        let well = health.after_attempt(Outcome::Succeeded, 0, now, POLICY).expect("the count starts anew");
        let again = well.after_attempt(throttled, 0, now, POLICY).expect("throttled");
        assert_eq!(again.throttled_for(now), Some(seconds(1)));
    }

    #[test]
    fn rate_limits_in_flight_together_grow_the_wait_once() {
        let now = Instant::now();
        let throttled = Outcome::Throttled { retry_after: None };
        let health = Health::default().after_attempt(throttled, 0, now, POLICY).expect("throttled");
        assert!(health.after_attempt(throttled, 0, now, POLICY).is_none());
    }

    #[test]
    fn a_rate_limit_answered_to_a_trial_admits_and_throttles() {
        let now = Instant::now();
        let after = now + seconds(30);
        let throttled = Outcome::Throttled { retry_after: Some(seconds(7)) };
        let health = ejected(now).after_attempt(throttled, 1, after, POLICY).expect("changed");
        assert_eq!(health.standing(after), Standing::Admitted);
        assert_eq!(health.throttled_for(after), Some(seconds(7)));
    }
}
