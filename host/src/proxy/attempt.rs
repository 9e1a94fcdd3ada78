//! One attempt at one provider: send, wait for what can be answered with, classify.
//!
//! An attempt is over for the dispatcher when it knows whether to answer with it. Until then nothing has reached the
//! client, so that everything that goes wrong here can be made good by the next provider.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::respond;
use super::stream::{Kind, events};
use crate::provider::Permit;
use crate::provider::client::{Answer, AnswerBody, AttemptError, Call};
use crate::routing::{FailureKind, Next, Outcome, Phase};

/// An answer that is no stream is held until it is whole, up to this size; so is an error text that is passed on.
const MAX_HELD: usize = 1 << 20;
/// A stream is held until its first event is whole, up to this size.
const MAX_HELD_EVENTS: usize = 256 << 10;

/// What is to be sent, the same for every attempt but for the provider's own model and body.
pub struct Plan<'a> {
    /// The call to make.
    pub call: Call<'a>,
    /// Whether an empty success is a failure, because the endpoint always answers with something.
    pub must_answer: bool,
    /// Whether a stream of this endpoint says when it is complete.
    pub marks_end: bool,
}

/// How an attempt looks to the dispatcher.
pub enum Attempted {
    /// Answer with this.
    Answered(Answered),
    /// Try the next provider, if there is one.
    Failed(Failure),
}

/// What the client gets.
pub struct Answered {
    /// The provider's status.
    pub status: StatusCode,
    /// The provider's headers, as they came.
    pub headers: HeaderMap,
    /// The body.
    pub content: Content,
    /// How the attempt ended, or is about to.
    pub outcome: Outcome,
}

/// The body of an answer.
#[expect(clippy::large_enum_variant, reason = "there is one per request, and it is moved twice")]
pub enum Content {
    /// All of it; the provider is done.
    Whole(Bytes),
    /// Its beginning, and where the rest comes from.
    Passing(Passing),
}

/// An answer that goes on.
pub struct Passing {
    /// What has been read.
    pub held: VecDeque<Bytes>,
    /// The rest.
    pub source: AnswerBody,
    /// Events or bytes.
    pub kind: Kind,
    /// When the next event, or the whole, must have come.
    pub deadline: Instant,
    /// The attempt's slot, until the end.
    pub permit: Permit,
}

/// An attempt that brought nothing to answer with.
pub struct Failure {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether bytes of the request may have reached the provider.
    pub sent: bool,
    /// The provider's own 404, should every provider answer so.
    pub not_found: Option<Answered>,
    /// The chain of causes, for the log.
    pub detail: Option<String>,
}

/// Makes one attempt. Dropping the future closes the provider's connection and reports `Cancelled`.
pub async fn attempt(mut permit: Permit, plan: Plan<'_>) -> Attempted {
    let timeouts = permit.provider().config.timeouts;
    let deadline = permit.began() + timeouts.request;
    let is_head = plan.call.method == Method::HEAD;
    let provider = permit.provider().clone();
    let mut answer = match timeout_at(deadline, provider.client.send(plan.call)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return fail(permit, error),
        Err(_elapsed) => return fail(permit, AttemptError::timed_out(Phase::Request)),
    };
    provider.masks.mask_headers(&mut answer.headers);
    let wait = if answer.status.is_success() { None } else { retry_after(&answer.headers) };
    let outcome = Outcome::of_status(answer.status.as_u16(), wait);
    if outcome == Outcome::Succeeded {
        let opened = if is_event_stream(&answer.headers) {
            open_stream(answer, &mut permit, deadline, timeouts.idle, plan.marks_end).await
        } else {
            let must_answer = plan.must_answer && !is_head;
            hold(answer, &mut permit, deadline, must_answer).await
        };
        return match opened {
            Ok(opened) => succeed(opened, permit),
            Err(error) => fail(permit, error),
        };
    }
    let passed_on = match outcome.next() {
        Next::Answer => true,
        Next::TryNext => outcome == Outcome::NotFound,
        Next::Stop => false,
    };
    if !passed_on {
        permit.report(outcome);
        return Attempted::Failed(Failure { outcome, sent: true, not_found: None, detail: None });
    }
    let answered = match error_text(answer, outcome, &permit, deadline).await {
        Ok(answered) => answered,
        Err(error) => return fail(permit, error),
    };
    permit.report(outcome);
    if outcome == Outcome::NotFound {
        Attempted::Failed(Failure { outcome, sent: true, not_found: Some(answered), detail: None })
    } else {
        Attempted::Answered(answered)
    }
}

/// A success whose body began, or is whole.
struct Opened {
    status: StatusCode,
    headers: HeaderMap,
    held: VecDeque<Bytes>,
    /// `None` when `held` is all of it.
    rest: Option<(AnswerBody, Kind, Instant)>,
}

fn succeed(opened: Opened, permit: Permit) -> Attempted {
    let Opened { status, headers, held, rest } = opened;
    let content = match rest {
        Some((source, kind, deadline)) => Content::Passing(Passing { held, source, kind, deadline, permit }),
        None => {
            permit.report(Outcome::Succeeded);
            Content::Whole(join(held))
        }
    };
    Attempted::Answered(Answered { status, headers, content, outcome: Outcome::Succeeded })
}

fn fail(permit: Permit, error: AttemptError) -> Attempted {
    let outcome = error.outcome;
    permit.report(outcome);
    let detail = std::error::Error::source(&error).map(respond::chain);
    Attempted::Failed(Failure { outcome, sent: error.sent, not_found: None, detail })
}

/// Waits for a whole answer, or for the beginning of one that is passed on as it comes.
async fn hold(
    answer: Answer,
    permit: &mut Permit,
    deadline: Instant,
    must_answer: bool,
) -> Result<Opened, AttemptError> {
    let Answer { status, headers, mut body, ends_with_connection } = answer;
    let passes = is_media(&headers) || content_length(&headers).is_some_and(|length| length > MAX_HELD as u64);
    let mut held = VecDeque::new();
    let mut size = 0;
    while let Some(chunk) = next_chunk(&mut body, deadline, Phase::Request).await? {
        permit.first_byte();
        size += chunk.len();
        held.push_back(chunk);
        if passes || size > MAX_HELD {
            return Ok(Opened { status, headers, held, rest: Some((body, Kind::Bytes, deadline)) });
        }
    }
    if must_answer && size == 0 {
        return Err(AttemptError::failed(FailureKind::Empty));
    }
    // Where the end of the connection is the end of the answer, only the answer itself can say that it is whole.
    if ends_with_connection && is_json(&headers) {
        let whole = join(held);
        if serde_json::from_slice::<serde::de::IgnoredAny>(&whole).is_err() {
            return Err(AttemptError::failed(FailureKind::CutShort));
        }
        held = VecDeque::from([whole]);
    }
    Ok(Opened { status, headers, held, rest: None })
}

/// Waits for the first real event of a stream and looks whether it is an error.
async fn open_stream(
    answer: Answer,
    permit: &mut Permit,
    first_event: Instant,
    idle: Duration,
    marks_end: bool,
) -> Result<Opened, AttemptError> {
    let Answer { status, headers, mut body, ends_with_connection } = answer;
    let must_complete = ends_with_connection && marks_end;
    let mut scanner =
        if must_complete { events::EventScanner::watching_finish() } else { events::EventScanner::default() };
    let mut held = VecDeque::new();
    let (mut size, mut began) = (0, false);
    let mut deadline = first_event;
    loop {
        let phase = if began { Phase::Idle } else { Phase::Request };
        let Some(chunk) = next_chunk(&mut body, deadline, phase).await? else {
            // The end came before the first event did.
            if !began {
                return Err(AttemptError::failed(FailureKind::Empty));
            }
            if events::is_error(&join(held.clone())[scanner.event_start()..]) {
                return Err(AttemptError::failed(FailureKind::ErrorEvent));
            }
            if must_complete && !scanner.is_complete() {
                return Err(AttemptError::failed(FailureKind::CutShort));
            }
            return Ok(Opened { status, headers, held, rest: None });
        };
        let seen = scanner.feed(&chunk);
        size += chunk.len();
        held.push_back(chunk);
        if seen.event {
            began = true;
            permit.first_event();
            deadline = Instant::now() + idle;
        }
        if let Some((start, end)) = seen.whole {
            if events::is_error(&join(held.clone())[start..end]) {
                return Err(AttemptError::failed(FailureKind::ErrorEvent));
            }
        } else if size <= MAX_HELD_EVENTS {
            continue;
        } else if !began {
            // A flood of comments is not an answer.
            return Err(AttemptError::failed(FailureKind::Malformed));
        }
        return Ok(Opened {
            status,
            headers,
            held,
            rest: Some((body, Kind::Events { scanner, idle, must_complete }, deadline)),
        });
    }
}

/// Reads the text of an error that is passed on, and masks the provider's key in it.
async fn error_text(
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

async fn next_chunk(body: &mut AnswerBody, deadline: Instant, phase: Phase) -> Result<Option<Bytes>, AttemptError> {
    match timeout_at(deadline, body.chunk()).await {
        Ok(chunk) => chunk.transpose(),
        Err(_elapsed) => Err(AttemptError::timed_out(phase)),
    }
}

/// The pieces as one; a single piece is not copied.
fn join(mut pieces: VecDeque<Bytes>) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().trim_start()
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A stream that can be read along: one that is encoded is passed on as bytes.
fn is_event_stream(headers: &HeaderMap) -> bool {
    starts_with_ignoring_case(content_type(headers), "text/event-stream") && !headers.contains_key(CONTENT_ENCODING)
}

fn is_json(headers: &HeaderMap) -> bool {
    starts_with_ignoring_case(content_type(headers), "application/json") && !headers.contains_key(CONTENT_ENCODING)
}

/// What clients play or save while it comes.
fn is_media(headers: &HeaderMap) -> bool {
    let (media, kind) =
        (["audio/", "image/", "video/", "application/octet-stream", "text/event-stream"], content_type(headers));
    media.iter().any(|media| starts_with_ignoring_case(kind, media))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// How long the provider asks to be left alone: `retry-after-ms` (the SDKs look there first), then `Retry-After` in
/// seconds or as a date (RFC 9110, 10.2.3). Negative figures and nonsense count as none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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
