//! The beginning of a stream, held until it is clear whether to answer the client with it.
//!
//! That is clear with the first content. Until then only comments reach the client, so that the next provider can take
//! over from one that has sent no more than a role.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use tokio::time::Instant;

use super::{Opened, content_type, join, next_chunk, starts_with_ignoring_case};
use crate::http1::fields::Fields;
use crate::provider::Permit;
use crate::provider::client::{Answer, AttemptError};
use crate::provider::dialect::said::Said;
use crate::provider::words::Words;
use crate::proxy::stream::reader;
use crate::proxy::stream::signs::Signs;
use crate::proxy::stream::{Flow, Kind};
use crate::routing::{FailureKind, Phase};

/// The most bytes without content that are held; more are passed on as they are.
const MAX_HELD_BYTES: usize = 256 << 10;
/// The most pieces without content that are held, likewise.
const MAX_HELD_PIECES: usize = 64;

/// Waits for the first content of a stream, or for a sign that there will be none.
pub(super) async fn open_stream(
    answer: Answer,
    permit: &mut Permit,
    mut flow: Flow,
    first_event: Instant,
    signs: Option<&Signs>,
) -> Result<Opened, AttemptError> {
    let Answer { status, headers, mut body, .. } = answer;
    let (reader, idle) = (&mut flow.reader, flow.idle);
    if let Some(signs) = signs {
        signs.begun();
    }
    let mut held = VecDeque::new();
    let (mut size, mut began) = (0, false);
    let mut deadline = first_event;
    loop {
        let phase = if began { Phase::Idle } else { Phase::Request };
        let chunk = next_chunk(&mut body, deadline, phase).await?;
        let is_over = chunk.is_none();
        let whole = match chunk {
            None => reader.close().unwrap_or_default(),
            Some(chunk) => {
                let fed = reader.feed(chunk).map_err(|_oversized| AttemptError::failed(FailureKind::Malformed))?;
                if fed.moved {
                    began = true;
                    permit.first_event();
                    deadline = Instant::now() + idle;
                }
                if let Some(signs) = signs.filter(|_| fed.comments) {
                    signs.comments(&fed.whole);
                }
                fed.whole
            }
        };
        size += whole.len();
        if !whole.is_empty() {
            held.push_back(whole);
        }
        let progress = reader.progress();
        if progress.failed && !progress.content {
            let words = Words::of(&Said::read(reader.error()), &permit.provider().masks);
            return Err(AttemptError::failed(FailureKind::ErrorEvent).saying(words));
        }
        if !progress.content {
            if progress.ended || is_over {
                return Err(AttemptError::failed(FailureKind::Empty));
            }
            if size <= MAX_HELD_BYTES && held.len() <= MAX_HELD_PIECES {
                continue;
            }
            if !began {
                // Comments need not be kept: the client has seen them.
                (held, size) = (VecDeque::new(), 0);
                continue;
            }
        }
        if signs.is_some_and(Signs::are_shown) {
            held = without_comments(held);
        }
        let rest = Some((body, Kind::Events(flow), deadline));
        return Ok(Opened { status, headers, held, rest });
    }
}

/// The held pieces without the comments, which the client has seen.
fn without_comments(held: VecDeque<Bytes>) -> VecDeque<Bytes> {
    VecDeque::from([reader::select(&join(held), false)])
}

/// The reader of a stream. A stream that is encoded has none and is passed on as bytes.
pub(super) fn is_event_stream(headers: &Fields) -> bool {
    starts_with_ignoring_case(content_type(headers), "text/event-stream") && !headers.has(CONTENT_ENCODING)
}
