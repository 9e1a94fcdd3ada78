//! The time for which a provider asks to be left alone, in all the forms that providers use.
//!
//! Pure: the time of day is an argument. Zero, the past and nonsense do not count as figures.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::RETRY_AFTER;

use super::said::Said;
use crate::http1::fields::{Fields, text};

/// A number of at least this is a time of day in seconds since 1970 rather than a wait in seconds,
const UNIX_SECONDS: f64 = 1e9;
/// and one of at least this is a time of day in milliseconds (OpenRouter).
const UNIX_MILLIS: f64 = 1e12;

/// The value of `Retry-After` or `retry-after-ms`, zero included, so that one can tell whether there was any.
pub fn retry_after(headers: &Fields, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.text(name).map(str::trim);
    // The SDKs of OpenAI look at the milliseconds first.
    if let Some(millis) = text("retry-after-ms").and_then(|value| value.parse::<f64>().ok())
        && let Ok(wait) = Duration::try_from_secs_f64(millis / 1000.0)
    {
        return Some(wait);
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    // RFC 9110, 10.2.3.
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The time for which the provider asks to be left alone: from `Retry-After`, else until an exhausted limit is reset,
/// else from the body. Never zero.
pub fn asked(headers: &Fields, said: &Said, now: SystemTime) -> Option<Duration> {
    let figure = |wait: &Duration| !wait.is_zero();
    let of_body = || said.wait.as_deref().and_then(duration).filter(figure);
    retry_after(headers, now).filter(figure).or_else(|| reset(headers, now)).or_else(of_body)
}

/// The time until an exhausted limit is reset: the longest of those whose header for the remainder says 0, or of those
/// without such a header. `x-ratelimit-reset-requests` (OpenAI, Groq, Azure), `anthropic-ratelimit-tokens-reset`
/// (Anthropic), `x-ratelimit-reset` (OpenRouter, Together), `ratelimit-reset` (IETF,
/// draft-ietf-httpapi-ratelimit-headers-07).
fn reset(headers: &Fields, now: SystemTime) -> Option<Duration> {
    let (mut used_up, mut unknown) = (None, None);
    for (name, value) in headers.iter() {
        let Some(name) = text(name) else { continue };
        if !(name.contains("ratelimit") && name.contains("reset")) {
            continue;
        }
        let Some(wait) = text(value).and_then(|value| until(value.trim(), now)) else { continue };
        let remaining = headers.text(name.replacen("reset", "remaining", 1));
        match remaining.and_then(|left| left.trim().parse::<f64>().ok()) {
            // Azure says -1 where it does not count.
            Some(left) if left != 0.0 => {}
            Some(_) => used_up = used_up.max(Some(wait)),
            None => unknown = unknown.max(Some(wait)),
        }
    }
    used_up.or(unknown)
}

/// A wait, or the time until a moment, in whatever form. `None` for zero and for the past.
pub(super) fn until(text: &str, now: SystemTime) -> Option<Duration> {
    let wait = if let Ok(number) = text.parse::<f64>() {
        if number < UNIX_SECONDS {
            Duration::try_from_secs_f64(number).ok()?
        } else {
            let seconds = if number < UNIX_MILLIS { number } else { number / 1000.0 };
            let moment = Duration::try_from_secs_f64(seconds).ok()?;
            moment.checked_sub(now.duration_since(UNIX_EPOCH).ok()?)?
        }
    } else if let Some(wait) = duration(text) {
        wait
    } else {
        let moment = rfc3339(text).or_else(|| httpdate::parse_http_date(text).ok())?;
        moment.duration_since(now).ok()?
    };
    (!wait.is_zero()).then_some(wait)
}

/// A duration as Go and protobuf write it: `6m0s`, `1.5s`, `20ms`, `1h2m3s`.
fn duration(text: &str) -> Option<Duration> {
    let (mut seconds, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let end = rest[unit..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| unit + length);
        let number: f64 = rest[..unit].parse().ok()?;
        seconds += number
            * match &rest[unit..end] {
                "d" => 86_400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" | "μs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[end..];
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(seconds).ok() }
}

/// A moment as RFC 3339 writes it: `2025-01-31T12:00:00Z`, with a fraction or an offset.
fn rfc3339(text: &str) -> Option<SystemTime> {
    let digits = |at: usize, count: usize| {
        let digits = text.get(at..at + count)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let is = |at: usize, among: &[u8]| text.as_bytes().get(at).is_some_and(|byte| among.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    if !((1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60) {
        return None;
    }
    let mut at = 19;
    if is(at, b".") {
        at += 1;
        while is(at, b"0123456789") {
            at += 1;
        }
    }
    let offset = match text.as_bytes().get(at)? {
        b'Z' | b'z' if text.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if text.len() == at + 6 && is(at + 3, b":") => {
            let minutes = digits(at + 1, 2)? * 60 + digits(at + 4, 2)?;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    // Days since 1970 (Howard Hinnant, days_from_civil), with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let days = era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + (minute - offset) * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2025-01-01T00:00:00Z.
    const NOW: u64 = 1_735_689_600;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn headers(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().copied().collect()
    }

    fn wait(pairs: &[(&'static str, &str)]) -> Option<f64> {
        asked(&headers(pairs), &Said::default(), now()).map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn reads_every_form_of_retry_after() {
        assert_eq!(wait(&[("retry-after", "7")]), Some(7.0));
        assert_eq!(wait(&[("retry-after", "0.5")]), Some(0.5));
        assert_eq!(wait(&[("retry-after-ms", "250"), ("retry-after", "600")]), Some(0.25));
        let later = httpdate::fmt_http_date(now() + Duration::from_secs(90));
        assert_eq!(wait(&[("retry-after", &later)]), Some(90.0));
    }

    #[test]
    fn zero_the_past_and_nonsense_are_no_figure() {
        let past = "Wed, 21 Oct 2015 07:28:00 GMT";
        for nonsense in ["0", "0.0", "-1", "soon", "NaN", "inf", "", "1e400", past] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(retry_after(&headers(&[("retry-after", "0")]), now()), Some(Duration::ZERO), "but it was said");
        assert_eq!(retry_after(&headers(&[("retry-after", past)]), now()), Some(Duration::ZERO), "so was this");
        for reset in ["0", "0s", "1735689600", "2024-12-31T23:59:59Z", "-5", "later", "6x", "m", "5", "1s1"] {
            let left = wait(&[("x-ratelimit-reset-requests", reset)]);
            assert_eq!(left, (reset == "5").then_some(5.0), "{reset}");
        }
    }

    #[test]
    fn reads_when_what_is_used_up_is_there_again() {
        let table: [(&str, f64); 9] = [
            ("6m0s", 360.0),
            ("1s", 1.0),
            ("20ms", 0.02),
            ("1h2m3.5s", 3723.5),
            ("2", 2.0),
            ("1735689630", 30.0),
            ("1735689630000", 30.0),
            ("2025-01-01T00:00:30Z", 30.0),
            ("2025-01-01T01:00:30.25+01:00", 30.0),
        ];
        for (value, expected) in table {
            assert_eq!(wait(&[("x-ratelimit-reset-requests", value)]), Some(expected), "{value}");
            let anthropic =
                [("anthropic-ratelimit-requests-reset", value), ("anthropic-ratelimit-requests-remaining", "0")];
            assert_eq!(wait(&anthropic), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_is_not_used_up_counts_for_nothing() {
        let both = [
            ("x-ratelimit-reset-requests", "6m0s"),
            ("x-ratelimit-remaining-requests", "17"),
            ("x-ratelimit-reset-tokens", "3s"),
            ("x-ratelimit-remaining-tokens", "0"),
        ];
        assert_eq!(wait(&both), Some(3.0));
        assert_eq!(wait(&both[..2]), None);
        assert_eq!(wait(&[both[0], both[2]]), Some(360.0), "nothing says what remains");
        let uncounted = [("x-ratelimit-reset-tokens", "9"), ("x-ratelimit-remaining-tokens", "-1")];
        assert_eq!(wait(&uncounted), None);
    }

    #[test]
    fn what_the_body_says_comes_last() {
        let said = Said { wait: Some("39s".to_owned()), ..Said::default() };
        assert_eq!(asked(&Fields::default(), &said, now()), Some(Duration::from_secs(39)));
        assert_eq!(asked(&headers(&[("retry-after", "7")]), &said, now()), Some(Duration::from_secs(7)));
        assert_eq!(asked(&headers(&[("retry-after", "0")]), &said, now()), Some(Duration::from_secs(39)));
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "\\PC{0,40}", figure in "[0-9.:TZ+smh-]{0,30}") {
            for text in [&text, &figure] {
                let _ = (until(text, now()), duration(text), rfc3339(text));
                let said = Said { wait: Some(text.clone()), ..Said::default() };
                prop_assert!(asked(&Fields::default(), &said, now()).is_none_or(|wait| !wait.is_zero()));
            }
        }

        #[test]
        fn a_duration_is_read_as_it_is_written(hours in 0_u64..99, minutes in 0_u64..60, seconds in 0_u64..60) {
            let text = format!("{hours}h{minutes}m{seconds}s");
            let expected = Duration::from_secs(hours * 3600 + minutes * 60 + seconds);
            prop_assert_eq!(duration(&text), Some(expected));
        }

        #[test]
        fn a_moment_is_read_as_http_dates_are(seconds in 0_u64..253_402_300_800) {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds);
            let date = httpdate::fmt_http_date(moment);
            let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
                .iter().position(|month| date.contains(month)).expect("a month") + 1;
            let text = format!("{}-{month:02}-{}T{}Z", &date[12..16], &date[5..7], &date[17..25]);
            prop_assert_eq!(rfc3339(&text), Some(moment));
        }
    }
}
