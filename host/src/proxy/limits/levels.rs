//! How far limits are used up, in the headers by which OpenAI says it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limits::{Account, Meter, Moment, Unit};

/// The headers of one unit: limit, remaining, reset.
type Names = [HeaderName; 3];

static REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
static TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// The room for a time in the longest form that nanoseconds in a word can have, `5124095h34m33s`.
const ROOM: usize = 14;

/// How far a limit is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    limit: u64,
    /// What is left of it.
    remaining: u64,
    /// After what time all of it is there again, if nobody takes any.
    reset: Duration,
}

/// The most used rates of requests and of tokens that a request is under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    requests: Option<Level>,
    tokens: Option<Level>,
}

impl Levels {
    /// Those of these accounts.
    pub fn of<'a>(accounts: impl Iterator<Item = &'a Arc<Account>>, now: Moment) -> Self {
        let mut least: [Option<((u64, u64), &Meter)>; 2] = [None, None];
        for meter in accounts.flat_map(|account| account.meters()) {
            let least = match meter.unit {
                Unit::Requests => &mut least[0],
                Unit::Tokens => &mut least[1],
                Unit::Money | Unit::Parallel => continue,
            };
            let rank = (meter.remaining(now), meter.amount());
            if least.is_none_or(|(least, _)| rank < least) {
                *least = Some((rank, meter));
            }
        }
        let level = |((remaining, limit), meter): ((u64, u64), &Meter)| {
            let reset = meter.full(now).since(now);
            Level { limit, remaining, reset }
        };
        let [requests, tokens] = least.map(|least| least.map(level));
        Self { requests, tokens }
    }

    /// True when there is none.
    pub fn are_none(&self) -> bool {
        self.requests.is_none() && self.tokens.is_none()
    }

    /// True for a header by which they are said: what a provider says of its own gives way to them.
    pub fn are_said_by(name: &[u8]) -> bool {
        name.starts_with(b"x-ratelimit-") && REQUESTS.iter().chain(&TOKENS).any(|said| said.as_str().as_bytes() == name)
    }

    /// Calls `put` with each header and its value.
    pub fn say(&self, mut put: impl FnMut(&HeaderName, &str)) {
        for (names, level) in [(&REQUESTS, self.requests), (&TOKENS, self.tokens)] {
            let Some(Level { limit, remaining, reset }) = level else { continue };
            let [limit_name, remaining_name, reset_name] = names;
            put(limit_name, itoa::Buffer::new().format(limit));
            put(remaining_name, itoa::Buffer::new().format(remaining));
            let mut text = Text::default();
            text.time(reset);
            put(reset_name, text.as_str());
        }
    }

    /// Writes them in the place of what a provider has said of its own.
    pub fn write(&self, headers: &mut HeaderMap) {
        if self.are_none() {
            return;
        }
        REQUESTS.iter().chain(&TOKENS).for_each(|name| drop(headers.remove(name)));
        self.say(|name, value| {
            // Digits and letters are always legal.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name.clone(), value);
            }
        });
    }
}

/// A time in words.
struct Text {
    bytes: [u8; ROOM],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }
}

impl Text {
    fn as_str(&self) -> &str {
        // Digits and letters are put in, and nothing else.
        self.bytes.get(..self.length).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    fn word(&mut self, word: &str) {
        let end = self.length + word.len();
        // There is room for the longest values.
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(word.as_bytes());
            self.length = end;
        }
    }

    fn number(&mut self, number: u64) {
        self.word(itoa::Buffer::new().format(number));
    }

    /// A time as OpenAI writes it: `1s`, `6m0s`, `120ms`.
    fn time(&mut self, time: Duration) {
        let millis = time.as_secs().saturating_mul(1000) + u64::from(time.subsec_nanos().div_ceil(1_000_000));
        let (seconds, rest) = (millis / 1000, millis % 1000);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if seconds == 0 && rest > 0 {
            self.number(rest);
            return self.word("ms");
        }
        if hours > 0 {
            self.number(hours);
            self.word("h");
        }
        if seconds >= 60 {
            self.number(minutes);
            self.word("m");
        }
        self.number(seconds % 60);
        if seconds < 60 && rest > 0 {
            self.word(match rest {
                0..10 => ".00",
                10..100 => ".0",
                _ => ".",
            });
            self.number(rest);
        }
        self.word("s");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_words(time: Duration) -> String {
        let mut text = Text::default();
        text.time(time);
        text.as_str().to_owned()
    }

    #[test]
    fn times_are_written_as_openai_does() {
        for (millis, text) in [
            (0, "0s"),
            (120, "120ms"),
            (1_000, "1s"),
            (1_001, "1.001s"),
            (1_020, "1.020s"),
            (1_250, "1.250s"),
            (59_999, "59.999s"),
            (60_001, "1m0s"),
            (360_000, "6m0s"),
            (3_600_000, "1h0m0s"),
            (86_400_000, "24h0m0s"),
        ] {
            assert_eq!(in_words(Duration::from_millis(millis)), text);
        }
        assert_eq!(in_words(Duration::from_nanos(1)), "1ms");
        assert_eq!(in_words(Duration::from_nanos(u64::MAX)), "5124095h34m33s");
    }

    #[test]
    fn there_is_room_for_the_longest_values() {
        let level = Some(Level { limit: u64::MAX, remaining: u64::MAX, reset: Duration::from_nanos(u64::MAX) });
        let mut headers = HeaderMap::new();
        Levels { requests: level, tokens: level }.write(&mut headers);
        assert_eq!(headers.len(), 6);
        for unit in ["requests", "tokens"] {
            assert_eq!(headers[format!("x-ratelimit-limit-{unit}")], u64::MAX.to_string());
            assert_eq!(headers[format!("x-ratelimit-remaining-{unit}")], u64::MAX.to_string());
            assert_eq!(headers[format!("x-ratelimit-reset-{unit}")], "5124095h34m33s");
        }
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
