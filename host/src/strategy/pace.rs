//! The average time of a strategy's calls, and the limit at which it is too long.
//!
//! A deadline ends a call that never returns. A strategy that takes some milliseconds for each call keeps every
//! deadline, and yet limits how many requests the proxy can serve, since calls of one instance wait for each other. Without this nobody
//! would see why.
//!
//! Plain functions over time as data. Most calls are not timed, because reading a clock is not free beside a call of a
//! microsecond.

use std::time::Duration;

/// One call in this many is timed, once enough times are known and calls are quick.
pub const EVERY: u64 = 16;

/// The number of times before a mean says anything.
const ENOUGH: u32 = 64;

/// The weight of a time in the mean: that of the last thousand calls, at one in [`EVERY`].
const WEIGHT: f64 = 1.0 / 64.0;

/// Seconds of a call above which a strategy is slow: a thousand requests a second at most.
const SLOW: f64 = 1e-3;

/// Seconds of a call below which a slow strategy counts as quick again.
const QUICK: f64 = 0.7e-3;

/// The longest time that counts in full: the rest is due to the machine, or a fault and counted as one.
const LONGEST: f64 = 0.05;

/// The change to be reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// It has become slow; with the seconds of a call.
    Slow(f64),
    /// It is quick again; likewise.
    Quick(f64),
}

/// The moving average.
#[derive(Debug, Default)]
pub struct Pace {
    known: u32,
    mean: f64,
    slow: bool,
}

impl Pace {
    /// Notes a call.
    pub fn took(&mut self, time: Duration) -> Option<Change> {
        let time = time.as_secs_f64().min(LONGEST);
        self.known = self.known.saturating_add(1);
        // The plain mean of the first ones, then the moving one.
        self.mean += (time - self.mean) * WEIGHT.max(1.0 / f64::from(self.known));
        if self.known < ENOUGH {
            return None;
        }
        if !self.slow && self.mean > SLOW {
            self.slow = true;
            return Some(Change::Slow(self.mean));
        }
        if self.slow && self.mean < QUICK {
            self.slow = false;
            return Some(Change::Quick(self.mean));
        }
        None
    }

    /// True when each call is to be noted.
    pub fn wants_all(&self) -> bool {
        self.known < ENOUGH || self.slow
    }

    /// Seconds of a call, once that is known.
    pub fn mean(&self) -> Option<f64> {
        (self.known >= ENOUGH).then_some(self.mean)
    }

    /// True when the strategy is slow.
    pub fn is_slow(&self) -> bool {
        self.slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(pace: &mut Pace, micros: u64, times: u32) -> Vec<Change> {
        (0..times).filter_map(|_| pace.took(Duration::from_micros(micros))).collect()
    }

    #[test]
    fn slow_calls_are_said_once_and_so_is_that_they_are_quick_again() {
        let mut pace = Pace::default();
        assert_eq!((note(&mut pace, 5000, 63), pace.mean()), (vec![], None));
        let [Change::Slow(mean)] = note(&mut pace, 5000, 1000)[..] else { panic!("once") };
        assert!((mean - 0.005).abs() < 1e-9 && pace.is_slow() && pace.wants_all());
        let [Change::Quick(mean)] = note(&mut pace, 10, 1000)[..] else { panic!("once") };
        assert!(mean < QUICK && !pace.is_slow() && !pace.wants_all());
    }

    #[test]
    fn a_call_now_and_then_that_the_machine_holds_up_makes_nobody_slow() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert!(note(&mut pace, 2, 63).is_empty() && note(&mut pace, 30_000, 1).is_empty());
        }
    }
}
