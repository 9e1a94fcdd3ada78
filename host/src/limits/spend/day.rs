//! Days of the calendar, in UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::clock::Moment;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// A day, by its number since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub u32);

impl Day {
    /// The day of a moment.
    pub fn of(now: Moment) -> Self {
        Self(u32::try_from(now.unix_ms() / DAY_MS).unwrap_or(u32::MAX))
    }
}

/// As `2026-11-26`. The algorithm is `civil_from_days` of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = u64::from(self.0) + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// From `2026-11-26`; the error says what is wrong.
impl FromStr for Day {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "must be a day such as 2026-11-26";
        let shape: Vec<&str> = text.split('-').collect();
        let [year, month, day] = shape[..] else { return Err(WRONG) };
        let digits = |text: &str, count: usize| {
            let sane = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
            if sane { text.parse::<u64>().map_err(|_| WRONG) } else { Err(WRONG) }
        };
        let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(WRONG);
        }
        let shifted = if month <= 2 { year - 1 } else { year };
        let (era, of_era) = (shifted / 400, shifted % 400);
        let from_march = (month + 9) % 12;
        let of_year = (153 * from_march + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        let found = Self(u32::try_from(days.saturating_sub(719_468)).map_err(|_| WRONG)?);
        // A day that the month does not have is another one.
        if found.to_string() == text { Ok(found) } else { Err("is a day that there is not") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_day_is_that_of_the_calendar_in_utc() {
        for (ms, text) in [
            (1_735_689_600_000, "2025-01-01"),
            (1_735_689_599_999 + 86_400_000, "2025-01-01"),
            (1_795_651_200_000, "2026-11-26"),
            (1_835_395_200_000, "2028-02-29"),
        ] {
            assert_eq!(Day::of(Moment::of_unix_ms(ms)).to_string(), text);
            assert_eq!(text.parse(), Ok(Day::of(Moment::of_unix_ms(ms))));
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in
            ["", "2026", "2026-2-3", "2026-02-30", "2027-02-29", "2026-13-01", "1969-12-31", "+026-01-01", "2026-01-00"]
        {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_day_that_is_written_is_read_again(day in 0_u32..2_900_000) {
            prop_assert_eq!(Day(day).to_string().parse(), Ok(Day(day)));
        }
    }
}
