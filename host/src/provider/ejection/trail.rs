//! How the latest attempts at a provider went, in one word that fits an atomic.
//!
//! It stands apart from [`Health`](super::Health), which is published to all readers when it changes: this changes with
//! every attempt after a failure, and with none at a provider whose latest attempts all went well.

/// The attempts that count.
const LENGTH: u64 = 20;
/// Fewer than so many say nothing about a share.
const FEWEST: u32 = 6;

const COUNT: u32 = 20;
const EPOCH: u32 = 32;
const MARKS: u64 = (1 << LENGTH) - 1;

/// Bits 0 to 19: a mark per attempt, 1 where it failed, the latest lowest. Bits 20 to 24: how many there are. Bits 32
/// to 63: the epoch that they belong to, as far as it fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trail(u64);

impl Trail {
    /// The trail that these bits are.
    pub fn of(bits: u64) -> Self {
        Self(bits)
    }

    /// As bits.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The trail after one more attempt, which began in `epoch`; `None` when it stays as it is: one more good attempt
    /// after twenty of them, or one from before the latest ejection.
    pub fn after(self, epoch: u64, failed: bool) -> Option<Self> {
        let epoch = epoch & u64::from(u32::MAX);
        let own = self.0 >> EPOCH;
        if epoch < own {
            return None;
        }
        let (marks, count) = if epoch > own { (0, 0) } else { (self.0 & MARKS, self.count()) };
        if !failed && marks == 0 && count == LENGTH {
            return None;
        }
        let marks = (marks << 1 | u64::from(failed)) & MARKS;
        Some(Self(epoch << EPOCH | (count + 1).min(LENGTH) << COUNT | marks))
    }

    /// Whether the provider has failed too often to be given more: `in_a_row` times, or in at least half of the latest
    /// twenty attempts, of which there must have been six.
    pub fn is_too_bad(self, in_a_row: u32) -> bool {
        let marks = self.0 & MARKS;
        let attempts = u32::try_from(self.count()).unwrap_or(u32::MAX);
        marks.trailing_ones() >= in_a_row || (attempts >= FEWEST && 2 * marks.count_ones() >= attempts)
    }

    fn count(self) -> u64 {
        self.0 >> COUNT & 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After attempts, of which `x` failed.
    fn trail(attempts: &str) -> Trail {
        attempts.chars().fold(Trail::default(), |trail, mark| trail.after(0, mark == 'x').unwrap_or(trail))
    }

    #[test]
    fn three_in_a_row_are_too_many_and_any_success_ends_the_row() {
        assert!(trail("xxx").is_too_bad(3));
        assert!(!trail("xx").is_too_bad(3));
        assert!(!trail("..........xx.xx").is_too_bad(3));
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
    fn a_provider_that_is_well_costs_no_write() {
        let well = trail(&".".repeat(20));
        assert_eq!(well.after(0, false), None);
        assert_eq!(
            trail(&format!("x{}", ".".repeat(20))),
            well,
            "nor one that has been well again for twenty attempts"
        );
    }

    #[test]
    fn an_ejection_starts_it_anew_and_what_began_before_is_stale() {
        let bad = trail("xx");
        let after = bad.after(1, true).expect("changes");
        assert!(!after.is_too_bad(2));
        assert_eq!(after.after(0, true), None);
    }
}
