//! The model that an evaluation plays: how often it is right, how well it judges, and what it takes.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A played model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The probability that an answer is right.
    pub accuracy: f64,
    /// The probability that a judgement is right: of one answer, or among several.
    pub judge: f64,
    /// Seconds of each request.
    pub latency: f64,
    /// Tokens of an answer.
    pub tokens: u32,
    /// The probability that an answer is cut off before its end.
    pub truncate: f64,
    /// The seed of all chance.
    pub seed: u64,
    /// The prices of a million tokens of prompts and of answers.
    pub price: Option<(f64, f64)>,
}

impl Default for Profile {
    fn default() -> Self {
        Self { accuracy: 0.6, judge: 0.8, latency: 0.0, tokens: 300, truncate: 0.0, seed: 1, price: None }
    }
}

impl Profile {
    /// The time of a request.
    pub fn latency(&self) -> Duration {
        Duration::from_secs_f64(self.latency)
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut profile = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("`{part}` has no `=`"))?;
            let not = |wanted: &str| format!("{key} must be {wanted}, not `{value}`");
            let within = |text: &str, most: f64| text.parse().ok().filter(|value| (0.0..=most).contains(value));
            let share = || within(value, 1.0).ok_or_else(|| not("a number from 0 to 1"));
            match key {
                "accuracy" => profile.accuracy = share()?,
                "judge" => profile.judge = share()?,
                "truncate" => profile.truncate = share()?,
                "latency" => {
                    let (number, unit) = match value.strip_suffix("ms") {
                        Some(number) => (number, 1e-3),
                        None => (value.strip_suffix('s').unwrap_or(value), 1.0),
                    };
                    let number = within(number, 1e6).ok_or_else(|| not("a time such as 2s or 300ms"))?;
                    profile.latency = number * unit;
                }
                "tokens" => {
                    let tokens = value.parse().ok().filter(|tokens| (1..=1_000_000).contains(tokens));
                    profile.tokens = tokens.ok_or_else(|| not("a number from 1 to 1000000"))?;
                }
                "seed" => profile.seed = value.parse().map_err(|_| not("a whole number"))?,
                "price" => {
                    let prices =
                        value.split_once('/').and_then(|(input, output)| within(input, 1e9).zip(within(output, 1e9)));
                    profile.price = Some(prices.ok_or_else(|| not("two prices of a million tokens, such as 2.5/10"))?);
                }
                _ => {
                    return Err(format!(
                        "`{key}` is none of accuracy, judge, latency, tokens, truncate, seed and price"
                    ));
                }
            }
        }
        Ok(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_from_a_line() {
        let text = "accuracy=0.5, judge=1,latency=300ms,tokens=20,truncate=0.02,seed=7,price=2.5/10";
        let profile: Profile = text.parse().expect("sound");
        let expected = Profile {
            accuracy: 0.5,
            judge: 1.0,
            latency: 0.3,
            tokens: 20,
            truncate: 0.02,
            seed: 7,
            price: Some((2.5, 10.0)),
        };
        assert_eq!(profile, expected);
        assert_eq!("latency=2s".parse::<Profile>().expect("sound").latency(), Duration::from_secs(2));
        for (text, wrong) in [
            ("accuracy=2", "accuracy must be a number from 0 to 1, not `2`"),
            ("speed=1", "`speed` is none of"),
            ("judge", "`judge` has no `=`"),
            ("tokens=0", "tokens must be"),
            ("latency=x", "latency must be"),
        ] {
            let error = text.parse::<Profile>().expect_err(text);
            assert!(error.starts_with(wrong), "{error}");
        }
    }
}
