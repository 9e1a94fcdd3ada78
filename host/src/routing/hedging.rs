//! Decides when a second attempt starts beside one that is slow to begin its answer (Dean and Barroso, The Tail at
//! Scale, CACM 56(2), 2013), and how many there may be.
//!
//! Plain functions over time as data, behind one short lock that only routes with `hedge` take.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::{Hedge, HedgeAfter};

/// The latest waits of which the percentile is taken.
const SAMPLES: usize = 256;
/// Waits that must be known before a percentile of them says anything.
const ENOUGH: usize = 20;
/// Practically for ever: the delay while the percentile is not known.
const NEVER: Duration = Duration::from_secs(86_400);
/// Second attempts that may be saved up in quiet times.
const SAVED: f64 = 10.0;

/// The hedging of one route.
#[derive(Debug)]
pub struct Hedging {
    after: HedgeAfter,
    at_most: f64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Second attempts that may be made now: a bucket that each request adds its share to.
    allowed: f64,
    /// The times of the latest first attempts to their first content.
    waits: VecDeque<Duration>,
    /// Their 95th percentile, once known.
    p95: Option<Duration>,
}

impl Hedging {
    /// The hedging of this configuration; it keeps what `predecessor` has learned.
    pub fn new(hedge: Hedge, predecessor: Option<&Hedging>) -> Self {
        let known = predecessor.map(|before| {
            let state = before.state.lock();
            State { allowed: state.allowed, waits: state.waits.clone(), p95: state.p95 }
        });
        Self { after: hedge.after, at_most: hedge.at_most, state: Mutex::new(known.unwrap_or_default()) }
    }

    /// Takes note of a request that begins, and returns the time without content after which it may have a second
    /// attempt.
    pub fn begin(&self) -> Duration {
        let mut state = self.state.lock();
        state.allowed = (state.allowed + self.at_most).min(SAVED.max(self.at_most));
        match self.after {
            HedgeAfter::Fixed(after) => after,
            HedgeAfter::P95 => state.p95.unwrap_or(NEVER),
        }
    }

    /// Takes the right to one second attempt, if there is one left.
    pub fn take(&self) -> bool {
        let mut state = self.state.lock();
        if state.allowed < 1.0 {
            return false;
        }
        state.allowed -= 1.0;
        true
    }

    /// Returns the right that [`Hedging::take`] gave, as there was nobody to ask.
    pub fn give_back(&self) {
        self.state.lock().allowed += 1.0;
    }

    /// Takes note of how long a first attempt took to its first content, or how long it had taken when the second was
    /// quicker.
    pub fn took(&self, wait: Duration) {
        if self.after != HedgeAfter::P95 {
            return;
        }
        let mut state = self.state.lock();
        if state.waits.len() == SAMPLES {
            state.waits.pop_front();
        }
        state.waits.push_back(wait);
        if state.waits.len() >= ENOUGH {
            let mut sorted: Vec<Duration> = state.waits.iter().copied().collect();
            let place = (sorted.len() * 95).div_ceil(100) - 1;
            let (_, at, _) = sorted.select_nth_unstable(place);
            state.p95 = Some(*at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hedging(after: HedgeAfter, at_most: f64) -> Hedging {
        Hedging::new(Hedge { after, at_most }, None)
    }

    #[test]
    fn second_attempts_stay_below_their_share_of_the_requests() {
        let hedging = hedging(HedgeAfter::Fixed(Duration::from_secs(1)), 0.05);
        let taken = (0..1000).filter(|_| hedging.begin() < NEVER && hedging.take()).count();
        assert_eq!(taken, 50);
        (0..100_000).for_each(|_| assert_eq!(hedging.begin().as_secs(), 1));
        let saved = (0..1000).filter(|_| hedging.take()).count();
        assert_eq!(saved, 10, "a quiet night does not save up a storm");
    }

    #[test]
    fn the_percentile_is_known_after_some_requests_and_follows_them() {
        let hedging = hedging(HedgeAfter::P95, 0.5);
        assert_eq!(hedging.begin(), NEVER);
        (1..=100).for_each(|millis| hedging.took(Duration::from_millis(millis)));
        assert_eq!(hedging.begin(), Duration::from_millis(95));
        (0..1000).for_each(|_| hedging.took(Duration::from_millis(7)));
        assert_eq!(hedging.begin(), Duration::from_millis(7));
        let next = Hedging::new(Hedge { after: HedgeAfter::P95, at_most: 0.5 }, Some(&hedging));
        assert_eq!(next.begin(), Duration::from_millis(7), "a reload forgets nothing");
    }
}
