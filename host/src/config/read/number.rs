//! The getters for numbers: each reports a number that is out of bounds or has a unit, and goes on.

use std::time::Duration;

use super::{Reader, Section, Text};
use crate::config::example;
use crate::config::node::Meaning;
use crate::config::problem::Reported;

/// The longest duration, ten years: far from overflowing any clock.
const MAX_SECONDS: f64 = 315_360_000.0;

/// The shortest duration above 0; anything below is a mistake in the unit.
const MIN_SECONDS: f64 = 0.001;

/// Limits on numbers of requests stay below this, which a semaphore can hold on every platform.
const MAX_COUNT: u64 = 100_000_000;

/// Says whether a duration may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zero {
    Legal,
    Illegal,
}

impl Reader<'_> {
    /// The finite decimal number under `key`, as [`Text`] that parses as one.
    fn number(&mut self, section: &Section<'_>, key: &str, wanted: &str) -> Result<Option<Text>, Reported> {
        let Some((at, found)) = self.scalar(section, key, wanted)? else { return Ok(None) };
        let unsigned = found.text.trim_start_matches(['-', '+']);
        // 010 is 8 for some parsers and 10 for others; nobody writes 0x10 or .inf in a configuration on purpose.
        let octal = unsigned.len() > 1 && unsigned.starts_with('0') && !unsigned.starts_with("0.");
        if found.meaning == Meaning::Number && !octal && unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        {
            return Ok(Some(Text { at, text: found.text, shown: found.shown, written: false, stray: false }));
        }
        let help = match found.meaning {
            Meaning::Number if octal => Some("write it without leading zeros".to_owned()),
            _ => found.help.or_else(|| example::without_unit(&found.text, wanted)),
        };
        Err(self.not(&at, wanted, &found.shown, help))
    }

    /// The number under `key`, if `legal` accepts it; `wanted` describes the legal numbers.
    pub fn number_that(
        &mut self,
        section: &Section<'_>,
        key: &str,
        wanted: &str,
        legal: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let found = self.number(section, key, wanted).ok()??;
        match found.text.parse() {
            Ok(value) if legal(value) => Some(value),
            _ => {
                self.not(&found.at, wanted, &found.shown, None);
                None
            }
        }
    }

    /// The positive number under `key`.
    pub fn positive(&mut self, section: &Section<'_>, key: &str, default: f64) -> f64 {
        let wanted = "a positive number";
        let Ok(Some(found)) = self.number(section, key, wanted) else { return default };
        // The upper bound keeps sums of weights finite.
        match found.text.parse() {
            Ok(value) if value > 0.0 && value <= 1e12 => value,
            Ok(value) if value > 0.0 => {
                self.not(&found.at, "at most 1000000000000", &found.shown, None);
                default
            }
            _ => {
                self.not(&found.at, wanted, &found.shown, None);
                default
            }
        }
    }

    /// The number of 0 or more under `key`, an amount of money.
    pub fn amount(&mut self, section: &Section<'_>, key: &str) -> Option<f64> {
        let wanted = "a number, 0 or more";
        let found = self.number(section, key, wanted).ok()??;
        let wanted = match found.text.parse::<f64>() {
            Ok(value) if (0.0..=1e12).contains(&value) => return Some(value),
            Ok(value) if value > 1e12 => "at most 1000000000000",
            _ => wanted,
        };
        self.not(&found.at, wanted, &found.shown, None);
        None
    }

    /// The positive integer under `key`, a number of requests.
    pub fn count(&mut self, section: &Section<'_>, key: &str) -> Option<u32> {
        let count = self.integer(section, key, "a positive integer", 1, MAX_COUNT)?;
        u32::try_from(count).ok()
    }

    /// The integer from `min` to `max` under `key`.
    pub fn integer(&mut self, section: &Section<'_>, key: &str, wanted: &str, min: u64, max: u64) -> Option<u64> {
        let found = self.number(section, key, wanted).ok()??;
        let wanted = match found.text.parse::<u64>() {
            Ok(value) if (min..=max).contains(&value) => return Some(value),
            _ if found.text.parse::<f64>().is_ok_and(|value| value > max as f64) => format!("at most {max}"),
            _ => wanted.to_owned(),
        };
        self.not(&found.at, &wanted, &found.shown, None);
        None
    }

    /// The number with a unit under `key`, if `read` understands it; `wanted` describes what that is.
    pub fn measured<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        wanted: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let (at, found) = self.scalar(section, key, wanted).ok()??;
        let value = read(&found.text).filter(|_| matches!(found.meaning, Meaning::Number | Meaning::Text));
        if value.is_none() {
            self.not(&at, wanted, &found.shown, None);
        }
        value
    }

    /// The duration under `key`, in seconds.
    pub fn seconds(&mut self, section: &Section<'_>, key: &str, zero: Zero) -> Option<Duration> {
        let wanted = match zero {
            Zero::Legal => "a number of seconds, 0 or more",
            Zero::Illegal => "a number of seconds above 0",
        };
        let found = self.number(section, key, wanted).ok()??;
        let seconds = found.text.parse::<f64>().unwrap_or(f64::NAN);
        let wanted = match zero {
            Zero::Legal if seconds == 0.0 => return Some(Duration::ZERO),
            _ if (MIN_SECONDS..=MAX_SECONDS).contains(&seconds) => return Duration::try_from_secs_f64(seconds).ok(),
            _ if seconds > 0.0 && seconds < MIN_SECONDS => "at least 0.001 seconds",
            _ if seconds > MAX_SECONDS => "at most 315360000 seconds (ten years)",
            _ => wanted,
        };
        self.not(&found.at, wanted, &found.shown, None);
        None
    }
}
