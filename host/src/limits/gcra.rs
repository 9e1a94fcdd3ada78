//! A rate as one number: the generic cell rate algorithm (ITU-T I.371), weighted.
//!
//! The number is the moment at which the whole amount will be available again, the "theoretical arrival time". Taking moves
//! it ahead, giving back moves it back, and a debt is a moment that lies further ahead than taking alone could move
//! it. Times are nanoseconds since 2025, all arithmetic is in integers, and rounding is always against the taker: no
//! series of takes can have more than the amount in a window.

use std::time::Duration;

/// An amount that comes back evenly over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    amount: u64,
    window: u64,
    /// How far ahead of now the number may lie: the window, and less than the share of one unit more, so that the
    /// rounding of each take does not cost the last one.
    burst: u64,
}

/// More was asked for than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// The quantity will be available after so many nanoseconds, if nobody else takes it.
    For(u64),
    /// The quantity is larger than the amount, so it is never available.
    Never,
}

impl Gcra {
    /// A rate of `amount` in each `window`; an amount of 0 allows nothing.
    pub fn new(amount: u64, window: Duration) -> Self {
        let window = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX / 4);
        let slack = match amount {
            0 => 0,
            amount => amount.min(window.saturating_sub(1) / amount),
        };
        Self { amount, window, burst: window.saturating_add(slack) }
    }

    /// The amount of a window.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// The time in which the whole amount comes back.
    pub fn window(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.window)
    }

    /// The number after a quantity that was used without being asked for; never further ahead than the burst.
    pub fn charge(&self, number: u64, quantity: u64, now: u64) -> u64 {
        number.max(now).saturating_add(self.share(quantity)).min(now.saturating_add(self.burst))
    }

    /// The quantity that was taken and has not come back yet; at most the amount.
    pub fn outstanding(&self, number: u64, now: u64) -> u64 {
        self.amount.saturating_sub(self.free(number, now))
    }

    /// The time in which a quantity comes back, rounded up.
    pub fn share(&self, quantity: u64) -> u64 {
        if self.amount == 0 {
            return if quantity == 0 { 0 } else { u64::MAX };
        }
        match quantity.checked_mul(self.window) {
            Some(product) => product.div_ceil(self.amount),
            None => {
                let product = u128::from(quantity) * u128::from(self.window);
                u64::try_from(product.div_ceil(u128::from(self.amount))).unwrap_or(u64::MAX)
            }
        }
    }

    /// The number after a take at `now`, if there is enough.
    ///
    /// # Errors
    ///
    /// [`Short`] when there is not.
    pub fn take(&self, number: u64, quantity: u64, now: u64) -> Result<u64, Short> {
        let share = self.share(quantity);
        if share > self.burst {
            return Err(Short::Never);
        }
        let next = number.max(now).saturating_add(share);
        let ahead = next.saturating_sub(now);
        if ahead <= self.burst { Ok(next) } else { Err(Short::For(ahead - self.burst)) }
    }

    /// The number after a quantity that was taken is replaced by another one.
    pub fn correct(&self, number: u64, taken: u64, actual: u64, now: u64) -> u64 {
        let (taken, actual) = (self.share(taken), self.share(actual));
        if actual > taken {
            number.max(now).saturating_add(actual - taken)
        } else {
            number.saturating_sub(taken - actual)
        }
    }

    /// The quantity that is available at `now`.
    pub fn free(&self, number: u64, now: u64) -> u64 {
        let free = self.burst.saturating_sub(number.saturating_sub(now));
        let free = match free.checked_mul(self.amount) {
            Some(product) => product / self.window.max(1),
            None => {
                let free = u128::from(free) * u128::from(self.amount) / u128::from(self.window.max(1));
                u64::try_from(free).unwrap_or(u64::MAX)
            }
        };
        free.min(self.amount)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn exactly_the_amount_goes_in_a_burst_and_then_one_after_each_share() {
        for amount in [1, 2, 3, 7, 59, 600, 1_000, 77_777, 245_000] {
            let gcra = Gcra::new(amount, MINUTE);
            let mut number = 0;
            for taken in 0..amount {
                assert_eq!(gcra.free(number, 1_000), amount - taken, "{amount}");
                number = gcra.take(number, 1, 1_000).unwrap();
            }
            let Err(Short::For(wait)) = gcra.take(number, 1, 1_000) else { panic!("one more than {amount}") };
            assert!(wait <= gcra.share(1));
            assert!(gcra.take(number, 1, 1_000 + wait - 1).is_err());
            assert!(gcra.take(number, 1, 1_000 + wait).is_ok());
        }
    }

    #[test]
    fn more_than_the_amount_never_goes_and_nothing_always_does() {
        let gcra = Gcra::new(100, MINUTE);
        assert_eq!(gcra.take(0, 101, 5), Err(Short::Never));
        assert!(gcra.take(0, 100, 5).is_ok());
        assert_eq!(Gcra::new(0, MINUTE).take(0, 1, 5), Err(Short::Never));
        assert!(Gcra::new(0, MINUTE).take(0, 0, 5).is_ok());
    }

    #[test]
    fn a_debt_is_waited_for() {
        let gcra = Gcra::new(60, MINUTE);
        let number = gcra.take(0, 30, 0).unwrap();
        // 90 instead of 30: the window is overdrawn by half of it.
        let number = gcra.correct(number, 30, 90, 0);
        let Err(Short::For(wait)) = gcra.take(number, 1, 0) else { panic!("there is a debt") };
        assert_eq!(wait.div_ceil(1_000_000_000), 31);
        assert_eq!(gcra.free(number, 0), 0);
    }

    #[test]
    fn large_amounts_lose_no_precision() {
        let gcra = Gcra::new(10_000_000_000, MINUTE);
        let mut number = 0;
        for _ in 0..1_000 {
            number = gcra.take(number, 9_999_999, 0).unwrap();
        }
        assert_eq!(gcra.free(number, 0), 10_000_000_000 - 9_999_999_000);
        let money = Gcra::new(9_000_000_000_000_000, Duration::from_secs(86_400 * 30));
        let number = money.take(0, 8_999_999_999_000_000, 0).unwrap();
        assert!(money.free(number, 0) >= 999_000);
    }

    /// The same as a bucket of exact fractions: what is missing, in units times the window.
    struct Bucket {
        amount: u128,
        window: u128,
        missing: u128,
        at: u64,
    }

    impl Bucket {
        fn run(&mut self, now: u64) {
            self.missing = self.missing.saturating_sub(u128::from(now - self.at) * self.amount);
            self.at = now;
        }

        fn take(&mut self, quantity: u64) -> bool {
            let next = self.missing + u128::from(quantity) * self.window;
            let fits = next <= self.amount * self.window;
            if fits {
                self.missing = next;
            }
            fits
        }
    }

    proptest! {
        #[test]
        fn it_never_gives_more_than_a_bucket_and_less_by_rounding_alone(
            amount in 1_u64..100_000,
            takes in prop::collection::vec((0_u64..5_000_000_000, 0_u64..2_000), 1..200),
        ) {
            let gcra = Gcra::new(amount, MINUTE);
            let mut number = 0;
            let mut now = 1_000_000_000;
            let mut bucket = Bucket { amount: amount.into(), window: MINUTE.as_nanos(), missing: 0, at: now };
            for (pause, quantity) in takes {
                now += pause;
                bucket.run(now);
                match gcra.take(number, quantity, now) {
                    Ok(next) => {
                        prop_assert!(bucket.take(quantity), "{quantity} at {now}");
                        number = next;
                    }
                    Err(short) => {
                        // It may only be refused where the bucket has no more than a thousandth of a unit beyond it.
                        let fits = bucket.missing + u128::from(quantity) * bucket.window + bucket.window / 1000
                            <= bucket.amount * bucket.window;
                        prop_assert!(!fits, "{quantity} at {now}: {short:?}");
                    }
                }
                prop_assert!(gcra.free(number, now) <= amount);
            }
        }

        #[test]
        fn giving_back_restores(
            amount in 1_u64..10_000_000_000,
            before in 0_u64..100_000_000_000,
            quantity in 0_u64..10_000_000_000,
            now in 50_000_000_000_u64..60_000_000_000,
        ) {
            let gcra = Gcra::new(amount, MINUTE);
            if let Ok(next) = gcra.take(before, quantity, now) {
                let back = gcra.correct(next, quantity, 0, now);
                prop_assert_eq!(back.max(now), before.max(now));
                prop_assert_eq!(gcra.free(back, now), gcra.free(before, now));
            }
        }

        #[test]
        fn the_wait_is_exact(amount in 1_u64..1_000_000, ahead in 0_u64..120_000_000_000, quantity in 1_u64..1_000) {
            let gcra = Gcra::new(amount, MINUTE);
            if let Err(Short::For(wait)) = gcra.take(ahead, quantity, 0) {
                prop_assert!(gcra.take(ahead, quantity, wait).is_ok());
                prop_assert!(gcra.take(ahead, quantity, wait - 1).is_err());
            }
        }
    }
}
