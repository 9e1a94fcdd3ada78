//! Takes the provider that promises the earliest answer: peak EWMA, as in Finagle and linkerd.
//!
//! Each provider has an average of the time to its first byte, which follows a rise at once and a fall with a half-life
//! of some seconds, so that a provider which becomes slow is left alone before it has spoilt many requests, and is tried
//! again after a while. That times the requests it has at this moment, and one more, is what a request must expect there;
//! of two providers drawn by chance the better one is taken. A failure counts as an answer that took twice as long as
//! usual, or as long as the failure did: to fail fast does not look fast.

use pointsman_guest::{
    Candidate, Candidates, Decision, NoConfig, Outcome, OutcomeKind, Request, Setup, Strategy, TargetIndex,
};

/// After so many milliseconds an average that is not confirmed has fallen to 1/e.
const DECAY_MS: f64 = 10_000.0;

/// The microseconds that the first failure of a provider counts as, if nothing else is known of it.
const FAILURE_US: f64 = 1_000_000.0;

/// No average is beyond this, in microseconds: ten minutes.
const MOST_US: f64 = 6e8;

/// The strategy `least_latency`.
#[derive(Debug)]
pub struct LeastLatency {
    peaks: Vec<Peak>,
    now_ms: u64,
}

/// The average of one provider.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    /// In microseconds; 0 when nothing is known.
    average: f64,
    /// When it was that.
    at_ms: u64,
}

impl Peak {
    /// The part of it that is left at `now_ms`.
    fn at(self, now_ms: u64) -> f64 {
        let passed = now_ms.saturating_sub(self.at_ms) as f64;
        self.average * (-passed / DECAY_MS).exp()
    }

    /// Takes in a sample, in microseconds. A higher one is the average from now on; a lower one pulls it down by as much as
    /// time has passed.
    fn take_in(&mut self, sample: f64, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.at_ms) as f64;
        let kept = (-passed / DECAY_MS).exp();
        let average = if self.average == 0.0 || sample > self.average {
            sample
        } else {
            self.average * kept + sample * (1.0 - kept)
        };
        *self = Self { average: average.min(MOST_US), at_ms: now_ms };
    }
}

const EARLIEST: &str = "the earlier answer of two";

impl Strategy for LeastLatency {
    type Config = NoConfig;

    const REASONS: &'static [&'static str] = &[EARLIEST];
    const OBSERVES: bool = true;

    fn new(setup: &Setup, _: NoConfig) -> Result<Self, String> {
        Ok(Self { peaks: vec![Peak::default(); setup.targets().len()], now_ms: 0 })
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        self.now_ms = self.now_ms.max(request.now_ms);
        candidates.best_of_two(request.entropy, |c| (c.is_full(), self.expected(c))).because(EARLIEST)
    }

    fn observe(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            let now_ms = self.now_ms;
            let Some(peak) = self.peak(outcome.target) else { continue };
            match outcome.kind {
                OutcomeKind::Succeeded => peak.take_in(f64::from(outcome.first_byte_us), now_ms),
                OutcomeKind::Failed | OutcomeKind::TimedOut | OutcomeKind::Interrupted => {
                    let twice = if peak.average > 0.0 { 2.0 * peak.average } else { FAILURE_US };
                    peak.take_in(twice.max(f64::from(outcome.total_us)), now_ms);
                }
                OutcomeKind::Rejected
                | OutcomeKind::Unauthorized
                | OutcomeKind::Declined
                | OutcomeKind::NotFound
                | OutcomeKind::Throttled
                | OutcomeKind::Cancelled => {}
            }
        }
    }
}

impl LeastLatency {
    fn peak(&mut self, provider: TargetIndex) -> Option<&mut Peak> {
        self.peaks.get_mut(usize::try_from(provider).ok()?)
    }

    /// The expected latency of a request there, in microseconds. It is 0 for a provider that nothing is known of, so
    /// that it is tried, and higher than any other's while the first requests to it are under way.
    fn expected(&mut self, candidate: Candidate<'_>) -> u64 {
        let now_ms = self.now_ms;
        let queue = f64::from(candidate.in_flight()) + 1.0;
        let Some(peak) = self.peak(candidate.index()) else { return u64::MAX };
        if peak.average == 0.0
            && let Some(latency) = candidate.latency()
        {
            // The host knows more than an instance that has just been made.
            peak.take_in(latency.as_micros() as f64, now_ms);
        }
        let known = peak.average > 0.0;
        let latency = if known { peak.at(now_ms) } else { MOST_US };
        if !known && candidate.in_flight() == 0 { 0 } else { (latency * queue) as u64 }
    }
}

pointsman_guest::export!(LeastLatency);

#[cfg(test)]
mod tests;
