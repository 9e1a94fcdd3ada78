//! The faults of one component, and when it is left alone because of them: each fault of an approach has cost calls to a
//! provider.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::talk::FaultKind;

/// Faults in a row before the host loses patience.
const PATIENCE: u32 = 3;

/// The first pause; each further fault doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The standing of an approach, over all its runs.
#[derive(Debug, Default)]
pub struct Standing(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    /// In the order of [`FaultKind::ALL`].
    faults: [u64; FaultKind::ALL.len()],
    in_a_row: u32,
    until: Option<Instant>,
}

impl Standing {
    /// Notes the end of a run: its fault, or `None` if it did not break. To be called once for each run, by its driver,
    /// but not for a run that was cancelled or that failed because of the providers.
    pub fn note(&self, fault: Option<FaultKind>) {
        let mut record = self.0.lock();
        let Some(kind) = fault else {
            record.in_a_row = 0;
            record.until = None;
            return;
        };
        if let Some(count) = record.faults.get_mut(kind as usize) {
            *count += 1;
        }
        let now = Instant::now();
        if record.until.is_some_and(|until| now < until) {
            // It began before the pause, beside those that brought it about.
            return;
        }
        record.in_a_row = record.in_a_row.saturating_add(1);
        if record.in_a_row >= PATIENCE {
            let doubled = 2_u32.saturating_pow(record.in_a_row - PATIENCE);
            let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
            record.until = Some(now + pause);
        }
    }

    /// The time for which it is still left alone; `None` if a run may begin. After a pause one fault is enough for the
    /// next, which is longer, and one good run clears the record.
    pub fn rests(&self) -> Option<Duration> {
        let until = self.0.lock().until?;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// The number of faults of each kind since it was loaded.
    pub fn faults(&self) -> [(FaultKind, u64); FaultKind::ALL.len()] {
        let faults = self.0.lock().faults;
        FaultKind::ALL.map(|kind| (kind, faults.get(kind as usize).copied().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_third_fault_in_a_row_begins_a_pause_that_doubles() {
        let standing = Standing::default();
        standing.note(Some(FaultKind::Trapped));
        standing.note(Some(FaultKind::Late));
        assert_eq!(standing.rests(), None);
        for millis in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let pause = Duration::from_millis(millis);
            standing.note(Some(FaultKind::Trapped));
            standing.note(Some(FaultKind::Trapped));
            assert_eq!(standing.rests(), Some(pause), "a fault within the pause does not prolong it");
            advance(pause).await;
            assert_eq!(standing.rests(), None);
        }
        assert_eq!(standing.faults()[FaultKind::Trapped as usize], (FaultKind::Trapped, 17));
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_run_clears_the_record() {
        let standing = Standing::default();
        for _ in 0..3 {
            standing.note(Some(FaultKind::Trapped));
            standing.note(Some(FaultKind::Trapped));
            standing.note(None);
        }
        assert_eq!(standing.rests(), None);
        standing.note(Some(FaultKind::Trapped));
        standing.note(Some(FaultKind::Trapped));
        standing.note(Some(FaultKind::Trapped));
        assert!(standing.rests().is_some());
        standing.note(None);
        assert_eq!(standing.rests(), None);
    }
}
