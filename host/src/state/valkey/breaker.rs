//! When an engine counts as out of reach: after three failures within a second, until it has answered a question of our
//! own.

use std::time::Duration;

use tokio::time::Instant;

/// As many failures.
const FAILURES: usize = 3;
/// Within this time.
const WITHIN: Duration = Duration::from_secs(1);
/// Questions that fail at the same time have failed for one reason, and count once.
const SAME: Duration = Duration::from_millis(20);

/// Counts failures.
#[derive(Debug, Default)]
pub struct Breaker {
    /// The latest failures, oldest first.
    failures: [Option<Instant>; FAILURES],
    open: Option<Instant>,
}

impl Breaker {
    /// True while nothing is to be asked.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Counts the failure of a question; true when it is the one that opens.
    pub fn failed(&mut self, now: Instant) -> bool {
        let is_same = self.failures[FAILURES - 1].is_some_and(|last| now.duration_since(last) < SAME);
        !is_same && self.failed_again(now)
    }

    /// Counts a failure, whatever came just before.
    pub fn failed_again(&mut self, now: Instant) -> bool {
        self.failures.rotate_left(1);
        self.failures[FAILURES - 1] = Some(now);
        let within = self.failures[0].is_some_and(|first| now.duration_since(first) <= WITHIN);
        within && self.trip(now)
    }

    /// Opens it; true when it was closed.
    pub fn trip(&mut self, now: Instant) -> bool {
        let trips = self.open.is_none();
        self.open.get_or_insert(now);
        trips
    }

    /// Closes it; says for how long it was open, if it was.
    pub fn close(&mut self, now: Instant) -> Option<Duration> {
        self.failures = [None; FAILURES];
        self.open.take().map(|since| now.duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_within_a_second_open_it_and_an_answer_closes_it() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!breaker.failed(at(0)) && !breaker.failed(at(600)) && !breaker.failed(at(1200)));
        assert!(!breaker.is_open());
        assert!(breaker.failed(at(1500)) && breaker.is_open());
        assert!(!breaker.failed(at(1600)), "only once");
        assert_eq!(breaker.close(at(3500)), Some(Duration::from_secs(2)));
        assert!(!breaker.failed(at(3501)) && !breaker.is_open());
        assert_eq!(breaker.close(at(3502)), None);
    }

    #[test]
    fn questions_that_fail_together_count_once() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!((0..50).all(|n| !breaker.failed(at(n / 4))));
        assert!(!breaker.failed(at(25)) && breaker.failed(at(50)));
        let mut connecting = Breaker::default();
        assert!(!connecting.failed_again(at(0)) && !connecting.failed_again(at(0)) && connecting.failed_again(at(1)));
    }
}
