//! The beginning of a stream: held until it is known whether the client is answered with it.

use std::collections::VecDeque;
use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use tokio::time::Instant;

use super::{Opened, content_type, join, next_chunk, starts_with_ignoring_case};
use crate::provider::Permit;
use crate::provider::client::{Answer, AttemptError};
use crate::proxy::stream::{Kind, events};
use crate::routing::{FailureKind, Phase};

/// A stream is held until its first event is whole, up to this size.
const MAX_HELD_EVENTS: usize = 256 << 10;

/// Waits for the first real event of a stream and looks whether it is an error.
pub(super) async fn open_stream(
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

/// A stream that can be read along: one that is encoded is passed on as bytes.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    starts_with_ignoring_case(content_type(headers), "text/event-stream") && !headers.contains_key(CONTENT_ENCODING)
}
