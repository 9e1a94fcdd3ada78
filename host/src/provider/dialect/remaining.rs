//! What an answer says is left of its provider's limits, in all the forms in which providers say it.
//!
//! | who | headers |
//! | --- | --- |
//! | OpenAI, Azure, Groq, xAI | `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` |
//! | Anthropic | `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}` |
//! | Mistral, Cerebras | `x-ratelimit-{limit,remaining,reset}-{req,requests,tokens}-{minute,day,...}`, `ratelimitbysize-*` |
//! | Fireworks | `x-ratelimit-{limit,remaining}-tokens-{prompt,generated}` |
//! | OpenRouter, Together | `x-ratelimit-{limit,remaining,reset}`, `x-tokenlimit-{limit,remaining,reset}` |
//! | IETF | `ratelimit-{limit,remaining,reset}`; `ratelimit` with `ratelimit-policy` (draft-ietf-httpapi-ratelimit-headers) |
//!
//! Pure: the time of day is an argument, which is asked only by an answer that says when. Nothing is allocated, and an answer
//! without such headers costs a look at the beginning of each name.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use super::waits::until;
use crate::http1::fields::{Fields, text};

/// The longest time for which a figure holds, as for waits.
const MOST: Duration = Duration::from_secs(600);
/// The time for which a figure holds that says nothing about its end,
const UNSAID: Duration = Duration::from_secs(60);
/// and the time for which nothing is left, if that is all that is known.
const UNSAID_EMPTY: Duration = Duration::from_secs(1);
/// The most limits of one answer that are told apart.
const MOST_SERIES: usize = 8;

/// What is left of a provider's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// Of its requests.
    pub requests: Option<Left>,
    /// Of its tokens.
    pub tokens: Option<Left>,
    /// True when the limits are those of all models together: the headers name no unit, as only those of an account do.
    pub of_account: bool,
}

/// What is left of the limit that has the least left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The limit, if the provider names it.
    pub limit: Option<u64>,
    /// The part of it that is left.
    pub remaining: u64,
    /// The time for which this holds. Never zero.
    pub lasts: Duration,
}

impl Left {
    /// The part that is left in thousandths of the limit, 0 only for nothing; of an unknown limit all or nothing.
    pub fn permille(self) -> u32 {
        let Self { limit, remaining, .. } = self;
        permille(remaining, limit.unwrap_or(remaining))
    }
}

/// A part in thousandths of the whole, rounded up, at most 1000.
pub fn permille(part: u64, whole: u64) -> u32 {
    let share = (u128::from(part) * 1000).div_ceil(u128::from(whole.max(1)));
    u32::try_from(share.min(1000)).unwrap_or(1000)
}

/// Reads the headers of an answer; `None` when they say nothing of the kind.
pub fn read(headers: &Fields, now: impl Fn() -> SystemTime) -> Option<Remaining> {
    let mut said = AllSeries::default();
    let mut structured = false;
    for (name, value) in headers.iter() {
        let Some((rest, unit)) = known(name).and_then(|(rest, unit)| Some((text(rest)?, unit))) else { continue };
        if rest.is_empty() {
            structured = true;
            continue;
        }
        let Some((part, scope)) = Scope::read(rest, unit) else { continue };
        let Some(text) = text(value).map(str::trim) else { continue };
        let Some(series) = said.of(scope) else { continue };
        match part {
            Part::Limit => series.limit = number(text),
            // Azure says -1 where it does not count.
            Part::Remaining => series.remaining = number(text),
            Part::Reset => series.reset = until(text, now()),
        }
    }
    let mut remaining = said.least();
    if structured {
        structured_fields(headers, &mut remaining);
    }
    (remaining.requests.is_some() || remaining.tokens.is_some()).then_some(remaining)
}

/// The rest of a header's name behind the beginning that such headers have, and the unit that it implies; empty for the
/// structured field.
fn known(name: &[u8]) -> Option<(&[u8], u16)> {
    // Most names are ruled out by their first byte.
    match name.first()? {
        b'x' => match name.strip_prefix(b"x-ratelimit-") {
            Some(rest) => Some((rest, 0)),
            None => Some((name.strip_prefix(b"x-tokenlimit-")?, Scope::TOKENS)),
        },
        b'a' => Some((name.strip_prefix(b"anthropic-ratelimit-")?, 0)),
        b'r' => match name.strip_prefix(b"ratelimit")? {
            b"" => Some((b"", 0)),
            rest => match rest.strip_prefix(b"-") {
                Some(rest) => Some((rest, 0)),
                None => Some((rest.strip_prefix(b"bysize-")?, Scope::TOKENS)),
            },
        },
        _ => None,
    }
}

/// The meaning of one header.
#[derive(Clone, Copy)]
enum Part {
    Limit,
    Remaining,
    Reset,
}

/// What a limit is about: the words of its headers' names that are not the part, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scope(u16);

impl Scope {
    const REQUESTS: u16 = 1;
    const TOKENS: u16 = 1 << 1;

    /// Reads the words; `None` for a name that is none of those that are known, such as one of images.
    fn read(words: &str, unit: u16) -> Option<(Part, Self)> {
        let (mut part, mut bits) = (None, unit);
        for word in words.split('-') {
            bits |= match word {
                "limit" | "remaining" | "reset" => {
                    part = Some(match word {
                        "limit" => Part::Limit,
                        "remaining" => Part::Remaining,
                        _ => Part::Reset,
                    });
                    0
                }
                "requests" | "req" => Self::REQUESTS,
                "tokens" => Self::TOKENS,
                "input" => 1 << 2,
                "output" => 1 << 3,
                "prompt" => 1 << 4,
                "generated" => 1 << 5,
                "project" => 1 << 6,
                "second" => 1 << 7,
                "minute" => 1 << 8,
                "hour" => 1 << 9,
                "day" => 1 << 10,
                "month" => 1 << 11,
                _ => return None,
            };
        }
        Some((part?, Self(bits)))
    }

    fn is_of_tokens(self) -> bool {
        self.0 & Self::TOKENS != 0
    }

    /// True when the headers name no unit.
    fn is_plain(self) -> bool {
        self.0 & (Self::REQUESTS | Self::TOKENS) == 0
    }

    /// The window that the name says, where no header says when the limit is reset.
    fn window(self) -> Option<Duration> {
        let seconds = match self.0 >> 7 {
            0 => return None,
            1 => 1,
            2 => 60,
            _ => 600,
        };
        Some(Duration::from_secs(seconds))
    }
}

/// The headers about one limit.
#[derive(Clone, Copy, Default)]
struct Series {
    scope: Scope,
    limit: Option<u64>,
    remaining: Option<u64>,
    reset: Option<Duration>,
}

impl Series {
    fn left(&self) -> Option<Left> {
        let remaining = self.remaining?;
        Some(left(self.limit, remaining, self.reset.or_else(|| self.scope.window())))
    }
}

/// All limits of an answer.
#[derive(Default)]
struct AllSeries {
    series: [Series; MOST_SERIES],
    count: usize,
}

impl AllSeries {
    /// The limit about this; `None` when there are too many.
    fn of(&mut self, scope: Scope) -> Option<&mut Series> {
        let known = self.series[..self.count].iter().position(|series| series.scope == scope);
        let at = known.unwrap_or(self.count);
        let series = self.series.get_mut(at)?;
        if known.is_none() {
            *series = Series { scope, ..Series::default() };
            self.count += 1;
        }
        Some(series)
    }

    /// What is left of those of each unit that have the least left.
    fn least(&self) -> Remaining {
        let mut remaining = Remaining { of_account: true, ..Remaining::default() };
        for series in &self.series[..self.count] {
            let Some(left) = series.left() else { continue };
            remaining.of_account &= series.scope.is_plain();
            remaining.take(series.scope.is_of_tokens(), left);
        }
        remaining
    }
}

impl Remaining {
    /// Takes in what is left of one more limit.
    fn take(&mut self, is_of_tokens: bool, left: Left) {
        let known = if is_of_tokens { &mut self.tokens } else { &mut self.requests };
        let least = |left: &Left| (left.permille(), Reverse(left.lasts));
        if known.as_ref().is_none_or(|known| least(&left) < least(known)) {
            *known = Some(left);
        }
    }
}

fn left(limit: Option<u64>, remaining: u64, lasts: Option<Duration>) -> Left {
    let unsaid = if remaining == 0 { UNSAID_EMPTY } else { UNSAID };
    Left { limit, remaining, lasts: lasts.unwrap_or(unsaid).min(MOST) }
}

/// Reads `ratelimit` and `ratelimit-policy` of the IETF's drafts, version 7 (`limit=100, remaining=50, reset=5`) and
/// later (`"name";r=50;t=5` beside `"name";q=100;w=60`).
fn structured_fields(headers: &Fields, remaining: &mut Remaining) {
    let texts = |name| headers.all(name).filter_map(text);
    for text in texts("ratelimit") {
        if !text.contains(";") {
            let (limit, rest, reset) = (item(text, "limit"), item(text, "remaining"), item(text, "reset"));
            if let Some(rest) = rest {
                remaining.take(false, left(limit, rest, seconds(reset)));
            }
            continue;
        }
        for said in text.split(',').take(MOST_SERIES) {
            let Some(rest) = parameter(said, "r").and_then(number) else { continue };
            let name = name_of(said);
            let policy =
                || texts("ratelimit-policy").flat_map(|text| text.split(',')).find(|policy| name_of(policy) == name);
            let limit = policy().and_then(|policy| parameter(policy, "q")).and_then(number);
            let unit = policy().and_then(|policy| parameter(policy, "qu")).map(|unit| unit.trim_matches('"'));
            let is_of_tokens = unit.is_some_and(|unit| unit.contains("token")) || name.contains("token");
            if is_of_tokens || unit.is_none_or(|unit| unit == "requests") {
                let reset = parameter(said, "t").and_then(number);
                remaining.take(is_of_tokens, left(limit, rest, seconds(reset)));
            }
        }
    }
}

fn name_of(member: &str) -> &str {
    member.split(';').next().unwrap_or_default().trim().trim_matches('"')
}

/// The value of an item's parameter.
fn parameter<'t>(member: &'t str, key: &str) -> Option<&'t str> {
    let mut pairs = member.split(';').skip(1).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// The number of a dictionary's member.
fn item(text: &str, key: &str) -> Option<u64> {
    let mut pairs = text.split(',').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == key).and_then(|(_, value)| number(value))
}

fn seconds(reset: Option<u64>) -> Option<Duration> {
    reset.filter(|reset| *reset > 0).map(Duration::from_secs)
}

/// The number at the beginning of a value such as `100, 100;w=60` or `59.0`; `None` for what is negative or no number.
fn number(text: &str) -> Option<u64> {
    let first = text.split([',', ';']).next().unwrap_or_default().trim();
    if let Ok(number) = first.parse::<u64>() {
        return Some(number);
    }
    let number = first.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)?;
    Some(number as u64)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    /// 2025-01-01T00:00:00Z.
    const NOW: u64 = 1_735_689_600;

    fn said(pairs: &[(&str, &str)]) -> Option<Remaining> {
        read(&pairs.iter().copied().collect(), || UNIX_EPOCH + Duration::from_secs(NOW))
    }

    fn left(limit: u64, remaining: u64, seconds: f64) -> Option<Left> {
        Some(Left { limit: Some(limit), remaining, lasts: Duration::from_secs_f64(seconds) })
    }

    #[test]
    fn reads_what_openai_azure_and_groq_say() {
        let openai = said(&[
            ("content-type", "application/json"),
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "75000"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        let openai = openai.expect("headers");
        assert_eq!((openai.requests, openai.tokens), (left(60, 59, 1.0), left(150_000, 75_000, 360.0)));
        assert!(!openai.of_account);
        assert_eq!((openai.requests.map(Left::permille), openai.tokens.map(Left::permille)), (Some(984), Some(500)));
        let azure = said(&[("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-remaining-tokens", "9000")]);
        let azure = azure.expect("headers");
        assert_eq!((azure.requests, azure.tokens.map(Left::permille)), (None, Some(1000)));
    }

    #[test]
    fn reads_what_anthropic_says_and_the_tightest_limit_counts() {
        let anthropic = said(&[
            ("anthropic-ratelimit-requests-limit", "1000"),
            ("anthropic-ratelimit-requests-remaining", "999"),
            ("anthropic-ratelimit-requests-reset", "2025-01-01T00:00:30Z"),
            ("anthropic-ratelimit-tokens-limit", "480000"),
            ("anthropic-ratelimit-tokens-remaining", "470000"),
            ("anthropic-ratelimit-tokens-reset", "2025-01-01T00:00:01Z"),
            ("anthropic-ratelimit-output-tokens-limit", "80000"),
            ("anthropic-ratelimit-output-tokens-remaining", "8000"),
            ("anthropic-ratelimit-output-tokens-reset", "2025-01-01T00:00:50Z"),
            ("anthropic-ratelimit-unified-5h-status", "allowed"),
            ("anthropic-priority-input-tokens-remaining", "0"),
        ]);
        let anthropic = anthropic.expect("headers");
        assert_eq!((anthropic.requests, anthropic.tokens), (left(1000, 999, 30.0), left(80_000, 8000, 50.0)));
    }

    #[test]
    fn a_window_in_the_name_stands_for_the_reset_that_is_missing() {
        let mistral = said(&[
            ("x-ratelimit-limit-req-minute", "720"),
            ("x-ratelimit-remaining-req-minute", "717"),
            ("x-ratelimit-limit-tokens-minute", "500"),
            ("x-ratelimit-remaining-tokens-minute", "0"),
            ("x-ratelimit-limit-tokens-month", "1000"),
            ("x-ratelimit-remaining-tokens-month", "0"),
            ("x-ratelimit-tokens-query-cost", "52"),
        ]);
        let mistral = mistral.expect("headers");
        assert_eq!((mistral.requests, mistral.tokens), (left(720, 717, 60.0), left(1000, 0, 600.0)));
        let cerebras = said(&[
            ("x-ratelimit-limit-requests-day", "14400"),
            ("x-ratelimit-remaining-requests-day", "13693"),
            ("x-ratelimit-reset-requests-day", "11726.28"),
            ("x-ratelimit-limit-tokens-minute", "60000"),
            ("x-ratelimit-remaining-tokens-minute", "0"),
            ("x-ratelimit-reset-tokens-minute", "26.5"),
        ]);
        let cerebras = cerebras.expect("headers");
        assert_eq!((cerebras.requests, cerebras.tokens), (left(14400, 13693, 600.0), left(60_000, 0, 26.5)));
    }

    #[test]
    fn reads_what_openrouter_together_and_fireworks_say() {
        let openrouter = said(&[
            ("x-ratelimit-limit", "20"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1735689630000"),
            ("x-tokenlimit-limit", "1000"),
            ("x-tokenlimit-remaining", "250"),
        ]);
        let openrouter = openrouter.expect("headers");
        assert_eq!((openrouter.requests, openrouter.tokens), (left(20, 0, 30.0), left(1000, 250, 60.0)));
        assert!(said(&[("x-ratelimit-remaining", "3")]).expect("a header").of_account);
        let fireworks = said(&[
            ("x-ratelimit-limit-tokens-prompt", "7200000"),
            ("x-ratelimit-remaining-tokens-prompt", "7193993"),
            ("x-ratelimit-limit-tokens-generated", "72000"),
            ("x-ratelimit-remaining-tokens-generated", "36000"),
            ("x-ratelimit-limit-tokens-cache-adjusted-prompt", "1"),
        ]);
        assert_eq!(fireworks.expect("headers").tokens, left(72_000, 36_000, 60.0));
    }

    #[test]
    fn reads_all_drafts_of_the_ietf() {
        let early =
            said(&[("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "50"), ("ratelimit-reset", "5")]);
        let seventh = said(&[("ratelimit", "limit=100, remaining=50, reset=5"), ("ratelimit-policy", "100;w=60")]);
        let later = said(&[("ratelimit", "\"a\";r=50;t=5"), ("ratelimit-policy", "\"b\";q=7;w=1, \"a\";q=100;w=60")]);
        for remaining in [early, seventh, later] {
            let remaining = remaining.expect("headers");
            assert_eq!((remaining.requests, remaining.tokens, remaining.of_account), (left(100, 50, 5.0), None, true));
        }
        let units = said(&[
            ("ratelimit", "\"req\";r=0;t=9, \"tok\";r=10;t=5, \"bytes\";r=0"),
            ("ratelimit-policy", "\"req\";q=100, \"tok\";q=20;qu=\"tokens\", \"bytes\";q=10;qu=\"content-bytes\""),
        ]);
        let units = units.expect("headers");
        assert_eq!((units.requests, units.tokens), (left(100, 0, 9.0), left(20, 10, 5.0)));
    }

    #[test]
    fn what_is_no_figure_says_nothing() {
        for pairs in [
            &[][..],
            &[("retry-after", "7")],
            &[("x-ratelimit-limit-requests", "60"), ("x-ratelimit-reset-requests", "1s")],
            &[("x-ratelimit-remaining-requests", "many"), ("x-ratelimit-remaining-images", "3")],
            &[("x-ratelimit-remaining-requests", "NaN"), ("ratelimit", "soon")],
        ] {
            assert_eq!(said(pairs), None, "{pairs:?}");
        }
    }

    #[test]
    fn nothing_left_without_an_end_holds_for_a_moment() {
        let empty = said(&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "0s")]);
        let empty = empty.and_then(|said| said.requests).expect("a figure");
        assert_eq!((empty.permille(), empty.lasts), (0, Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn any_headers_can_be_read(
            values in prop::collection::vec("[0-9a-z\"=;,. :TZ-]{0,24}", 10),
            words in prop::collection::vec("(limit|remaining|reset|tokens|requests|day|x|-){1,4}", 10),
        ) {
            let names = words.iter().map(|word| format!("x-ratelimit-{word}"));
            let names: Vec<String> = names.chain(["ratelimit", "ratelimit-policy"].map(str::to_owned)).collect();
            let pairs: Vec<(&str, &str)> =
                names.iter().rev().map(String::as_str).zip(values.iter().map(|value| value.trim())).collect();
            let all = said(&pairs).unwrap_or_default();
            for left in [all.requests, all.tokens].into_iter().flatten() {
                prop_assert!(left.permille() <= 1000 && !left.lasts.is_zero() && left.lasts <= MOST);
                prop_assert_eq!(left.permille() == 0, left.remaining == 0);
            }
        }
    }
}
