//! An answer that is an error: its text for the client, and how long the provider asks to be left alone.

use std::collections::VecDeque;
use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use tokio::time::Instant;

use super::{Answered, Content, MAX_HELD, join, next_chunk};
use crate::provider::Permit;
use crate::provider::client::{Answer, AttemptError};
use crate::proxy::respond;
use crate::routing::{Outcome, Phase};

/// Reads the text of an error that is passed on, and masks the provider's key in it.
pub(super) async fn error_text(
    answer: Answer,
    outcome: Outcome,
    permit: &Permit,
    deadline: Instant,
) -> Result<Answered, AttemptError> {
    let Answer { status, mut headers, mut body, .. } = answer;
    let provider = &permit.provider().config;
    let mut held = VecDeque::new();
    let mut size = 0;
    while let Some(chunk) = next_chunk(&mut body, deadline, Phase::Request).await? {
        size += chunk.len();
        if size > MAX_HELD {
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
            headers.remove(CONTENT_ENCODING);
            let content = Content::Whole(respond::oversized_error(&provider.name, status.as_u16()));
            return Ok(Answered { status, headers, content, outcome });
        }
        held.push_back(chunk);
    }
    let text = permit.provider().masks.mask_text(join(held));
    Ok(Answered { status, headers, content: Content::Whole(text), outcome })
}

/// How long the provider asks to be left alone: `retry-after-ms` (the SDKs look there first), then `Retry-After` in
/// seconds or as a date (RFC 9110, 10.2.3). Negative figures and nonsense count as none.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|value| value.parse::<f64>().ok())
        && let Ok(wait) = Duration::try_from_secs_f64(millis / 1000.0)
    {
        return Some(wait);
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(std::time::SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let value = http::HeaderValue::try_from(value).expect("a legal value");
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value)])
    }

    #[test]
    fn reads_every_form_of_retry_after() {
        assert_eq!(retry_after(&headers("retry-after", "7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("retry-after", "0.5")), Some(Duration::from_millis(500)));
        assert_eq!(retry_after(&headers("retry-after-ms", "250")), Some(Duration::from_millis(250)));
        let later = std::time::SystemTime::now() + Duration::from_secs(90);
        let wait = retry_after(&headers("retry-after", &httpdate::fmt_http_date(later))).expect("a date");
        assert!((88..=90).contains(&wait.as_secs()), "{wait:?}");
        let past = retry_after(&headers("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"));
        assert_eq!(past, Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_in_retry_after_counts_as_none() {
        for nonsense in ["-1", "soon", "NaN", "inf", "", "1e400"] {
            assert_eq!(retry_after(&headers("retry-after", nonsense)), None, "{nonsense}");
        }
    }
}
