//! The results of the latest attempts at a provider, in the order in which they began.
//!
//! It stands apart from [`Health`](super::Health), which is published to all readers when it changes: this changes with
//! every attempt that fails, and with none that goes well.
//!
//! Attempts are numbered as they begin, and only failures are marked. An error is often answered in milliseconds where
//! a success takes seconds, so that in the order of their ends the failures of a busy provider would come in rows
//! though one request in twenty fails. An attempt that is still under way counts as one that goes well until it has
//! failed.

/// The attempts that count.
const LENGTH: u32 = 20;
/// Fewer attempts than these say nothing about a share.
const FEWEST: u32 = 6;
/// The attempts that are remembered, so that twenty are left when some are passed over.
const KEPT: u32 = 64;

/// A bit for each of the latest attempts up to the latest marked one, which is the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// The period between two ejections that the attempts belong to.
    epoch: u64,
    /// The number of the attempt after the latest marked one.
    end: u32,
    /// Attempts of the epoch up to there, as far as they are remembered.
    count: u32,
    failed: u64,
    passed_over: u64,
}

/// The mark that an attempt leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It failed.
    Failed,
    /// It says nothing: the client left, or the request itself was to blame. The attempts before and after it count as
    /// adjacent.
    PassedOver,
}

impl Trail {
    /// The trail of a new epoch, whose first attempt will have the number `next`.
    pub fn anew(epoch: u64, next: u32) -> Self {
        Self { epoch, end: next, ..Self::default() }
    }

    /// The trail with a mark at attempt `number`, which began in `epoch`. One from before the latest ejection changes
    /// nothing, and neither does one that is too far behind.
    pub fn after(self, epoch: u64, number: u32, mark: Mark) -> Self {
        let mut trail = match epoch.cmp(&self.epoch) {
            std::cmp::Ordering::Less => return self,
            std::cmp::Ordering::Equal => self,
            std::cmp::Ordering::Greater => Self::anew(epoch, number),
        };
        let behind = trail.end.wrapping_sub(1).wrapping_sub(number);
        // Numbers wrap around; half of them lie ahead.
        let place = if behind <= u32::MAX / 2 {
            behind
        } else {
            let ahead = number.wrapping_sub(trail.end).saturating_add(1);
            trail.failed = trail.failed.checked_shl(ahead).unwrap_or(0);
            trail.passed_over = trail.passed_over.checked_shl(ahead).unwrap_or(0);
            trail.count = trail.count.saturating_add(ahead).min(KEPT);
            trail.end = number.wrapping_add(1);
            0
        };
        if place < trail.count {
            match mark {
                Mark::Failed => trail.failed |= 1 << place,
                Mark::PassedOver => trail.passed_over |= 1 << place,
            }
        }
        trail
    }

    /// True when the provider has failed too often to be given more: `in_a_row` times, or in at least half of the
    /// latest twenty attempts, of which there must have been six.
    pub fn is_too_bad(self, in_a_row: u32) -> bool {
        let (mut row, mut attempts, mut failures) = (0, 0, 0);
        for place in (0..self.count).filter(|place| self.passed_over >> place & 1 == 0).take(LENGTH as usize) {
            let failed = self.failed >> place & 1 == 1;
            row = if failed { row + 1 } else { 0 };
            if row >= in_a_row {
                return true;
            }
            attempts += 1;
            failures += u32::from(failed);
        }
        attempts >= FEWEST && 2 * failures >= attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After attempts, of which `x` failed and `-` is passed over.
    fn trail(attempts: &str) -> Trail {
        (0..).zip(attempts.chars()).fold(Trail::default(), |trail, (number, mark)| match mark {
            'x' => trail.after(0, number, Mark::Failed),
            '-' => trail.after(0, number, Mark::PassedOver),
            _ => trail,
        })
    }

    #[test]
    fn three_in_a_row_are_too_many_and_any_success_ends_the_row() {
        assert!(trail("xxx").is_too_bad(3));
        assert!(!trail("xx").is_too_bad(3));
        assert!(!trail("..........xx.xx").is_too_bad(3));
        assert!(trail("..........x-x--x").is_too_bad(3), "what says nothing ends no row");
    }

    #[test]
    fn half_of_the_latest_are_too_many_once_there_were_six() {
        assert!(!trail(".x.x.").is_too_bad(3));
        assert!(trail(".x.x.x").is_too_bad(3));
        assert!(!trail("......x.x.x").is_too_bad(3), "three of eleven");
        assert!(trail(&format!("{}{}", ".".repeat(300), ".x".repeat(10))).is_too_bad(3), "ten of the latest twenty");
        assert!(!trail(&format!("{}{}", ".".repeat(300), ".x".repeat(9))).is_too_bad(3), "nine of them");
    }

    #[test]
    fn failures_that_end_before_the_successes_that_began_with_them_are_no_row() {
        let quick = [3, 24, 41, 60, 83, 99, 130].into_iter();
        let trail = quick.fold(Trail::default(), |trail, number| trail.after(0, number, Mark::Failed));
        assert!(!trail.is_too_bad(3));
    }

    #[test]
    fn the_order_of_ends_makes_no_difference() {
        let numbers = [4, 2, 3];
        let trail = numbers.into_iter().fold(Trail::default(), |trail, number| trail.after(0, number, Mark::Failed));
        assert!(trail.is_too_bad(3));
        let late = trail.after(0, 900, Mark::Failed);
        assert_eq!(late.after(0, 5, Mark::Failed), late, "too far behind to count");
    }

    #[test]
    fn numbers_may_wrap_around() {
        let trail = Trail::anew(0, u32::MAX - 1);
        let row = [u32::MAX - 1, u32::MAX, 0];
        assert!(row.into_iter().fold(trail, |trail, number| trail.after(0, number, Mark::Failed)).is_too_bad(3));
    }

    #[test]
    fn an_ejection_starts_it_anew_and_what_began_before_is_stale() {
        let bad = trail("xx");
        let after = bad.after(1, 2, Mark::Failed);
        assert!(!after.is_too_bad(2));
        assert_eq!(after.after(0, 1, Mark::Failed), after);
    }
}
