//! How far limits are used up, in the headers by which OpenAI says it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::{Account, Level, Moment, Unit};

/// The headers of one unit: limit, remaining, reset.
type Names = [HeaderName; 3];

const REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// The most used rates of requests and of tokens that a request is under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    requests: Option<Level>,
    tokens: Option<Level>,
}

impl Levels {
    /// Those of these accounts.
    pub fn of<'a>(accounts: impl Iterator<Item = &'a Arc<Account>>, now: Moment) -> Self {
        let mut levels = Self::default();
        for account in accounts {
            for (least, unit) in [(&mut levels.requests, Unit::Requests), (&mut levels.tokens, Unit::Tokens)] {
                let level = account.level(unit, now);
                let rank = |level: Level| (level.remaining, level.limit);
                if let Some(level) = level.filter(|level| least.is_none_or(|least| rank(*level) < rank(least))) {
                    *least = Some(level);
                }
            }
        }
        levels
    }

    /// Writes them in the place of what a provider has said of its own.
    pub fn write(&self, headers: &mut HeaderMap) {
        if self.requests.is_none() && self.tokens.is_none() {
            return;
        }
        for (names, level) in [(REQUESTS, self.requests), (TOKENS, self.tokens)] {
            for (place, name) in names.into_iter().enumerate() {
                headers.remove(&name);
                let Some(Level { limit, remaining, reset }) = level else { continue };
                let value = match place {
                    0 => HeaderValue::from(limit),
                    1 => HeaderValue::from(remaining),
                    _ => HeaderValue::try_from(in_words(reset)).unwrap_or(HeaderValue::from_static("0s")),
                };
                headers.insert(name, value);
            }
        }
    }
}

/// A time as OpenAI writes it: `1s`, `6m0s`, `120ms`.
fn in_words(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    let (seconds, rest) = (millis / 1000, millis % 1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) if rest > 0 => format!("{rest}ms"),
        (0, 0, seconds) if rest > 0 => format!("{seconds}.{rest:03}s"),
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_openai_does() {
        for (millis, text) in [
            (0, "0s"),
            (120, "120ms"),
            (1_000, "1s"),
            (1_250, "1.250s"),
            (59_999, "59.999s"),
            (360_000, "6m0s"),
            (86_400_000, "24h0m0s"),
        ] {
            assert_eq!(in_words(Duration::from_millis(millis)), text);
        }
        assert_eq!(in_words(Duration::from_nanos(1)), "1ms");
    }

    #[test]
    fn what_a_provider_says_of_its_own_gives_way() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining-tokens", HeaderValue::from_static("7"));
        Levels::default().write(&mut headers);
        assert_eq!(headers["x-ratelimit-remaining-tokens"], "7");
        let requests = Some(Level { limit: 60, remaining: 59, reset: Duration::from_secs(1) });
        Levels { requests, tokens: None }.write(&mut headers);
        assert!(headers.get("x-ratelimit-remaining-tokens").is_none());
        assert_eq!(headers["x-ratelimit-limit-requests"], "60");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "59");
        assert_eq!(headers["x-ratelimit-reset-requests"], "1s");
    }
}
