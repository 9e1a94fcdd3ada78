//! Moving averages per provider: time to the first byte, and share of failures.
//!
//! Exponential averages in relaxed atomics: they inform a strategy, so a lost update between two threads does no harm,
//! while a lock would slow down every request.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::routing::{OutcomeKind, Report, micros};

/// A new sample counts 1/8, as in TCP's round-trip estimate (RFC 6298).
const SHIFT: u32 = 3;
/// Averages of permille are kept in 1/1000 of a permille, so that the integer average can reach 0 and 1000.
const SCALE: u32 = 1000;

/// The latency and the failures of one provider, as the host measures them.
#[derive(Debug, Default)]
pub struct Latency {
    first_byte_us: AtomicU32,
    failures: AtomicU32,
}

impl Latency {
    /// Takes in one finished attempt.
    pub fn record(&self, report: &Report) {
        let failed = match report.kind {
            OutcomeKind::Succeeded => false,
            OutcomeKind::Failed | OutcomeKind::TimedOut | OutcomeKind::Interrupted => true,
            OutcomeKind::Rejected
            | OutcomeKind::Unauthorized
            | OutcomeKind::Declined
            | OutcomeKind::NotFound
            | OutcomeKind::Throttled
            | OutcomeKind::Cancelled => return,
        };
        let sample = if failed { 1000 * SCALE } else { 0 };
        self.failures.store(average(self.failures.load(Relaxed), sample), Relaxed);
        if !failed {
            let sample = micros(report.first_byte).max(1);
            let before = self.first_byte_us.load(Relaxed);
            // The first sample is the average, or a fast provider would need dozens of requests to look fast.
            let now = if before == 0 { sample } else { average(before, sample).max(1) };
            self.first_byte_us.store(now, Relaxed);
        }
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.first_byte_us.store(0, Relaxed);
        self.failures.store(0, Relaxed);
    }

    /// Average time to the first body byte in µs; 0 before the first success.
    pub fn first_byte_us(&self) -> u32 {
        self.first_byte_us.load(Relaxed)
    }

    /// Average share of failures, 0 to 1000.
    pub fn failure_permille(&self) -> u32 {
        self.failures.load(Relaxed) / SCALE
    }
}

fn average(before: u32, sample: u32) -> u32 {
    before - (before >> SHIFT) + (sample >> SHIFT)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(kind: OutcomeKind, millis: u64) -> Report {
        let first_byte = Duration::from_millis(millis);
        Report::of(0, kind, first_byte, first_byte)
    }

    #[test]
    fn the_first_success_is_the_average_and_later_ones_move_it_by_an_eighth() {
        let latency = Latency::default();
        latency.record(&report(OutcomeKind::Succeeded, 80));
        assert_eq!(latency.first_byte_us(), 80_000);
        latency.record(&report(OutcomeKind::Succeeded, 160));
        assert_eq!(latency.first_byte_us(), 90_000);
    }

    #[test]
    fn failures_raise_the_share_and_do_not_look_fast() {
        let latency = Latency::default();
        latency.record(&report(OutcomeKind::Succeeded, 80));
        for _ in 0..100 {
            latency.record(&report(OutcomeKind::Failed, 0));
        }
        assert_eq!(latency.first_byte_us(), 80_000);
        assert!(latency.failure_permille() >= 998, "{}", latency.failure_permille());
    }

    #[test]
    fn the_clients_fault_is_not_counted() {
        let latency = Latency::default();
        latency.record(&report(OutcomeKind::Rejected, 80));
        latency.record(&report(OutcomeKind::Cancelled, 80));
        assert_eq!((latency.first_byte_us(), latency.failure_permille()), (0, 0));
    }
}
