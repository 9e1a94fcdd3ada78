//! The time by which limits are kept: that of the calendar, but steady while the process runs.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// 2025-01-01T00:00:00Z, in seconds since 1970.
const ORIGIN_S: u64 = 1_735_689_600;

/// A point in time, in nanoseconds since the beginning of 2025, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment of a time in milliseconds since 1970; one before 2025 is the beginning of 2025.
    pub fn of_unix_ms(ms: u64) -> Self {
        Self(ms.saturating_sub(ORIGIN_S * 1000).saturating_mul(1_000_000))
    }

    /// The time in milliseconds since 1970.
    pub fn unix_ms(self) -> u64 {
        ORIGIN_S * 1000 + self.0 / 1_000_000
    }

    /// The time in microseconds since the beginning of 2025, as engines count.
    pub fn us(self) -> u64 {
        self.0 / 1000
    }

    /// A later moment.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time since `earlier`; zero when that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Turns instants into moments.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    /// The moment of `began`.
    origin: AtomicU64,
}

impl Clock {
    /// A clock that follows the system's calendar, read once.
    pub fn system() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::at(Instant::now(), Moment::of_unix_ms(0).after(now.saturating_sub(Duration::from_secs(ORIGIN_S))))
    }

    /// A clock on which it is `moment` at the instant `now`.
    pub fn at(now: Instant, moment: Moment) -> Self {
        Self { began: now, origin: AtomicU64::new(moment.0) }
    }

    /// The moment of an instant.
    pub fn moment(&self, now: Instant) -> Moment {
        Moment(self.origin.load(Relaxed)).after(now.saturating_duration_since(self.began))
    }

    /// Sets the clock so that it is `moment` at the instant `now`.
    pub fn set(&self, now: Instant, moment: Moment) {
        let ran = now.saturating_duration_since(self.began);
        let ran = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX);
        self.origin.store(moment.0.saturating_sub(ran), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_that_of_the_calendar_and_runs_with_the_instants() {
        let began = Instant::now();
        let clock = Clock::at(began, Moment::of_unix_ms(1_800_000_000_000));
        assert_eq!(clock.moment(began + Duration::from_millis(1500)).unix_ms(), 1_800_000_001_500);
        clock.set(began + Duration::from_secs(1), Moment::of_unix_ms(1_800_000_100_000));
        assert_eq!(clock.moment(began + Duration::from_secs(2)).unix_ms(), 1_800_000_101_000);
        assert_eq!(Moment::of_unix_ms(5), Moment(0));
    }
}
