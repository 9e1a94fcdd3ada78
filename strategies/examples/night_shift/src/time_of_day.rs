//! Times of day in UTC, to the minute.

use std::fmt;

use serde::Deserialize;

/// Minutes since midnight, below 1440. Written `HH:MM`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// The time of day at an instant, in milliseconds since 1970.
    pub fn at(now_ms: u64) -> Self {
        let minute = now_ms / 60_000 % (24 * 60);
        Self(u16::try_from(minute).expect("a day has fewer minutes than 65536"))
    }

    /// True when it lies in the shift from `from` until just before `until`, over midnight if `until` is the earlier
    /// one.
    pub fn is_within(self, from: Self, until: Self) -> bool {
        if from < until { (from..until).contains(&self) } else { self >= from || self < until }
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let two_digits = |part: &str, below: u16| {
            let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|number| digits && *number < below)
        };
        let minutes = text.split_once(':').and_then(|(hours, minutes)| {
            let (hours, minutes): (u16, u16) = (two_digits(hours, 24)?, two_digits(minutes, 60)?);
            Some(hours * 60 + minutes)
        });
        minutes
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a time of day; write it as \"HH:MM\", up to \"23:59\""))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}
