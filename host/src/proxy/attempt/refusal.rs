//! An answer that is an error: its meaning, the provider's words, and its text if that is passed on.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Method};
use tokio::time::Instant;

use super::{Answered, Attempted, Content, Failure, MAX_HELD, fail, join, next_chunk};
use crate::http1::fields::Fields;
use crate::provider::Permit;
use crate::provider::client::{Answer, AnswerBody, AttemptError};
use crate::provider::dialect::peculiarities;
use crate::provider::dialect::said::{LOOKED_AT, Said};
use crate::provider::words::Words;
use crate::proxy::respond;
use crate::routing::{Next, Outcome, Phase};

/// The longest wait for an error's text when only its words are needed, since the next provider waits.
const WORDS_WAIT: Duration = Duration::from_millis(500);

/// The parts of the request that texts about its end name.
pub(super) struct Asked<'a> {
    /// The method.
    pub method: Method,
    /// The endpoint.
    pub endpoint: &'a str,
    /// The provider's name of the model.
    pub model: &'a str,
}

/// Turns an error's status, headers and body into the result of the attempt.
pub(super) async fn refused(answer: Answer, mut permit: Permit, deadline: Instant, asked: &Asked<'_>) -> Attempted {
    let Answer { status, mut headers, mut body, .. } = answer;
    let provider = permit.provider().clone();
    let by_status = Outcome::of_status(status.as_u16(), None);
    let text = if is_passed_on(by_status) {
        match whole(&mut body, deadline).await {
            Ok(text) => text,
            Err(error) => return fail(permit, error),
        }
    } else {
        Some(beginning(&mut body, deadline.min(Instant::now() + WORDS_WAIT)).await)
    };
    // A body that goes on is dropped, and the connection of one that has ended is back in its pool.
    drop(body);
    let encoded = is_encoded(&headers);
    let said = match &text {
        Some(text) if !encoded => Said::read(text),
        Some(_) | None => Said::default(),
    };
    let outcome = peculiarities::outcome(status.as_u16(), &headers, &said, SystemTime::now());
    let words = Words::of(&said, &provider.masks);
    let mut reason = permit.describe(outcome, words.as_deref());
    if outcome == Outcome::NotFound {
        // A path that does not exist suggests that the base URL is wrong.
        let path = provider.client.path(asked.endpoint, asked.model);
        let words = words.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
        reason = format!("{outcome} to {} {path}{words}", asked.method);
    }
    if peculiarities::is_about_the_account(&said) {
        permit.limits_account();
    }
    let is_told = permit.report_because(outcome, &reason);
    if !is_passed_on(outcome) {
        return Attempted::Failed(Failure {
            outcome,
            sent: true,
            not_found: None,
            reason,
            words,
            detail: None,
            is_told,
        });
    }
    let content = match text {
        Some(text) if !encoded => provider.masks.mask_text(text),
        replaced => {
            headers.insert(CONTENT_TYPE, &HeaderValue::from_static("application/json"));
            headers.remove(CONTENT_ENCODING);
            let why = if replaced.is_some() { "that is encoded" } else { "too large to pass on" };
            respond::unreadable_error(&provider.config.name, status.as_u16(), why)
        }
    };
    let answered = Answered { status, headers, content: Content::Whole(content), outcome, usage: None, cost: None };
    if outcome == Outcome::NotFound {
        let not_found = Some(answered);
        Attempted::Failed(Failure { outcome, sent: true, not_found, reason, words, detail: None, is_told })
    } else {
        Attempted::Answered(answered)
    }
}

/// True when the client may get the provider's own text.
fn is_passed_on(outcome: Outcome) -> bool {
    match outcome.next() {
        Next::Answer => true,
        Next::TryNext => outcome == Outcome::NotFound,
        Next::Stop => false,
    }
}

/// The whole text; `None` when it is too large to be searched.
async fn whole(body: &mut AnswerBody, deadline: Instant) -> Result<Option<Bytes>, AttemptError> {
    let (mut held, mut size) = (VecDeque::new(), 0);
    while let Some(chunk) = next_chunk(body, deadline, Phase::Request).await? {
        size += chunk.len();
        if size > MAX_HELD {
            return Ok(None);
        }
        held.push_back(chunk);
    }
    Ok(Some(join(held)))
}

/// The part of the text that comes in time, up to the bytes that are read.
async fn beginning(body: &mut AnswerBody, deadline: Instant) -> Bytes {
    let (mut held, mut size) = (VecDeque::new(), 0);
    while size < LOOKED_AT
        && let Ok(Some(chunk)) = next_chunk(body, deadline, Phase::Request).await
    {
        size += chunk.len();
        held.push_back(chunk);
    }
    join(held)
}

/// True when the text is encoded although identity was asked for, so that it cannot be searched for the key.
fn is_encoded(headers: &Fields) -> bool {
    headers.all(CONTENT_ENCODING).any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"))
}
