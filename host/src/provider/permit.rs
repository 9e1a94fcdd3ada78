//! The right to one attempt at one provider, and the duty to report how it ended.
//!
//! A permit holds the provider's slot. It reports the attempt's outcome exactly once: when told, or from `Drop`, which
//! means that the client left. There is no way to use a provider without one, so no slot and no outcome can be lost.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use tokio::time::Instant;

use super::account::Withdrawal;
use super::board::Seat;
use super::bounds::Bounds;
use super::dialect::remaining;
use super::ejection::Attempt;
use super::gauge::InFlight;
use super::words::Words;
use super::{Fleet, Provider};
use crate::http1::fields::Fields;
use crate::limits::{Nano, Usage};
use crate::routing::{Evidence, ModelKey, Observer, Outcome, Report};
use crate::slots::Slot;

/// One attempt's slot at its provider.
#[derive(Debug)]
pub struct Permit {
    fleet: Arc<Fleet>,
    provider: Arc<Provider>,
    /// These two are dropped after the outcome was reported, the slot first: when nothing is in flight any more, a slot
    /// is free.
    _slot: Slot,
    _in_flight: InFlight,
    /// True when this is the one trial of a probing provider.
    trial: bool,
    epoch: u64,
    number: u32,
    model: ModelKey,
    excuse: Excuse,
    limits_account: bool,
    bounds: Bounds,
    /// The observer of the attempt's end, and the target that the attempt is at.
    observer: Option<(Arc<dyn Observer>, u32)>,
    began: Instant,
    first_byte: Option<Instant>,
    streams: bool,
    /// Tokens of the request and of the answer, as far as the answer has said.
    tokens: (u32, u32),
    /// The cost of the answer.
    cost: Option<Nano>,
    /// What it has taken of the provider's account, if that has limits.
    withdrawal: Option<Box<Withdrawal>>,
    reported: bool,
}

/// The failures that a request has met before this attempt, for which it may itself be to blame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Excuse {
    /// True when the request timed out at another provider.
    pub timed_out: bool,
    /// True when the request failed at this provider before: one request is one piece of evidence.
    pub failed_here: bool,
}

impl Excuse {
    /// The weight of an outcome as evidence, after the excuse.
    fn weigh(self, outcome: Outcome) -> Evidence {
        match (outcome.evidence(), outcome) {
            (_, Outcome::TimedOut { .. }) if self.timed_out => Evidence::None,
            (Evidence::Soft, _) if self.failed_here => Evidence::None,
            (evidence, _) => evidence,
        }
    }
}

impl Permit {
    /// Starts an attempt for `model`: `slot` is the provider's; `trial` says whether its trial was claimed.
    pub(super) fn new(
        fleet: Arc<Fleet>,
        provider: Arc<Provider>,
        model: ModelKey,
        slot: Slot,
        trial: bool,
        began: Instant,
    ) -> Self {
        let epoch = fleet.snapshot().of(provider.seat()).epoch();
        let in_flight = InFlight::at(&provider.seat().gauge);
        let number = provider.seat().gauge.begin();
        let bounds = provider.bounds;
        Self {
            fleet,
            provider,
            _slot: slot,
            _in_flight: in_flight,
            trial,
            epoch,
            number,
            model,
            excuse: Excuse::default(),
            limits_account: false,
            bounds,
            observer: None,
            began,
            first_byte: None,
            streams: false,
            tokens: (0, 0),
            cost: None,
            withdrawal: None,
            reported: false,
        }
    }

    /// Settles what was taken of the provider's account, when the attempt ends.
    pub(super) fn paid_by(mut self, withdrawal: Option<Box<Withdrawal>>) -> Self {
        self.withdrawal = withdrawal;
        self
    }

    /// True when the tokens of the answer count, so that its text is to be counted where it does not name them.
    pub fn counts_tokens(&self) -> bool {
        self.withdrawal.is_some()
    }

    /// Notes how many bytes of text the answer has brought.
    pub fn brought(&mut self, text: u64) {
        if let Some(withdrawal) = &mut self.withdrawal {
            withdrawal.brought(text);
        }
    }

    /// The provider that this permit is for.
    pub fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// When the attempt began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// The time limits of the parts of the attempt.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Replaces the provider's bounds for this attempt.
    pub fn keep_to(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// The reason of the attempt's outcome, in one line for client, log and `/health`.
    pub fn describe(&self, outcome: Outcome, words: Option<&Words>) -> String {
        match (outcome, words) {
            (Outcome::TimedOut { phase }, _) => self.bounds.describe(phase),
            (outcome, Some(words)) => format!("{outcome}: {words}"),
            (outcome, None) => outcome.to_string(),
        }
    }

    /// Tells `observer` how the attempt at its `target` ends.
    pub fn observed_by(&mut self, observer: Arc<dyn Observer>, target: u32) {
        self.observer = Some((observer, target));
    }

    /// Notes the excuse that the provider has should the attempt fail.
    pub fn excuse(&mut self, excuse: Excuse) {
        self.excuse = excuse;
    }

    /// Notes that the rate limit which ends the attempt is about all models.
    pub fn limits_account(&mut self) {
        self.limits_account = true;
    }

    /// Notes that the answer's body began.
    pub fn first_byte(&mut self) {
        self.first_byte.get_or_insert_with(Instant::now);
    }

    /// Notes that the first event of a stream came.
    pub fn first_event(&mut self) {
        self.first_byte();
        self.streams = true;
    }

    /// Takes in what the head of the answer says is left of the provider's limits.
    pub fn told(&self, headers: &Fields) {
        if let Some(said) = remaining::read(headers, SystemTime::now) {
            let Seat { remainders, gauge, .. } = self.provider.seat();
            remainders.note(self.model, &said, Instant::now());
            gauge.limit();
        }
    }

    /// Notes how many tokens the answer says that request and answer have, and what they cost.
    pub fn used(&mut self, usage: Option<&Usage>, cost: Option<Nano>) {
        self.tokens = usage.map(Usage::tokens).unwrap_or_default();
        self.cost = cost;
        if let Some(withdrawal) = &mut self.withdrawal {
            withdrawal.used(usage);
        }
    }

    /// Reports the outcome and frees the slot.
    pub fn report(mut self, outcome: Outcome) {
        self.finish(outcome, None);
    }

    /// Reports the outcome with its reason, in the words of [`Permit::describe`]. True when a warning in the log gives
    /// the reason, because the provider is out for it.
    pub fn report_because(mut self, outcome: Outcome, reason: &str) -> bool {
        self.finish(outcome, Some(reason))
    }

    fn finish(&mut self, outcome: Outcome, reason: Option<&str>) -> bool {
        if std::mem::replace(&mut self.reported, true) {
            return false;
        }
        let now = Instant::now();
        let first_byte = self.first_byte.map(|at| at - self.began).unwrap_or_default();
        let target = self.observer.as_ref().map_or(0, |(_, target)| *target);
        let (input_tokens, output_tokens) = self.tokens;
        let report = Report::of(target, outcome.kind(), first_byte, now - self.began);
        let cost = self.cost.map(Nano::dollars).unwrap_or_default();
        let report = Report { input_tokens, output_tokens, cost, ..report };
        self.provider.metrics.attempt(report.kind, report.total);
        if self.streams {
            self.provider.metrics.first_token.observe(report.first_byte.as_secs_f64());
        }
        if let Some(withdrawal) = self.withdrawal.take() {
            withdrawal.settle(outcome, self.provider.config.billed_failures, now);
        }
        let attempt = Attempt {
            outcome,
            evidence: self.excuse.weigh(outcome),
            epoch: self.epoch,
            number: self.number,
            model: self.model,
            limits_account: self.limits_account,
            reason,
        };
        let is_told = self.fleet.learn(&self.provider, &attempt, report, now);
        if let Some((observer, _)) = &self.observer {
            observer.ended(report);
        }
        if self.trial {
            self.provider.seat.trial.store(false, Relaxed);
        }
        is_told
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.finish(Outcome::Cancelled, None);
    }
}
