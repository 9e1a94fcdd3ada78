//! An answer that is no stream: held until it is whole, or passed on as it comes if it is large or media.

use std::collections::VecDeque;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use tokio::time::Instant;

use super::judged::judge;
use super::{Expected, MAX_HELD, Opened, content_type, join, next_chunk, starts_with_ignoring_case};
use crate::http1::fields::Fields;
use crate::provider::Permit;
use crate::provider::client::{Answer, AttemptError};
use crate::provider::dialect::said::Said;
use crate::provider::words::Words;
use crate::proxy::stream::{Kind, Raw};
use crate::routing::{FailureKind, Phase};

/// Waits for a whole answer, or for the beginning of one that is passed on as it comes.
pub(super) async fn hold(
    answer: Answer,
    permit: &mut Permit,
    deadline: Instant,
    expected: Expected,
) -> Result<Opened, AttemptError> {
    let Answer { status, headers, mut body, ends_with_connection } = answer;
    let passes = (is_media(&headers) && !expected.is_json())
        || content_length(&headers).is_some_and(|length| length > MAX_HELD as u64);
    let mut held = VecDeque::new();
    let mut size = 0;
    while let Some(chunk) = next_chunk(&mut body, deadline, Phase::Request).await? {
        permit.first_byte();
        size += chunk.len();
        held.push_back(chunk);
        if passes || size > MAX_HELD {
            let idle = permit.bounds().idle.limit;
            let kind = Kind::Bytes(Raw::new(&headers, idle));
            return Ok(Opened { status, headers, held, rest: Some((body, kind, Instant::now() + idle)) });
        }
    }
    if expected != Expected::Anything && size == 0 {
        return Err(AttemptError::failed(FailureKind::Empty));
    }
    // An answer that is encoded although identity was asked for is passed on unchanged, since it cannot be read here.
    let readable = !headers.has(CONTENT_ENCODING);
    if expected.is_json() && readable {
        let whole = join(held);
        judge(&whole, expected == Expected::Choices, status.as_u16()).map_err(|kind| {
            let is_page = kind == FailureKind::WebPage
                || kind == FailureKind::NotJson && starts_with_ignoring_case(content_type(&headers), "text/html");
            if is_page {
                return AttemptError::failed(FailureKind::WebPage);
            }
            // A body that was cut has only its beginning.
            let said = if kind == FailureKind::CutShort { Said::default() } else { Said::read(&whole) };
            AttemptError::failed(kind).saying(Words::of(&said, &permit.provider().masks))
        })?;
        held = VecDeque::from([whole]);
    } else if ends_with_connection && readable && is_json(&headers) {
        // If the end of the connection is the end of the answer, only the answer itself can show that it is whole.
        let whole = join(held);
        if serde_json::from_slice::<serde::de::IgnoredAny>(&whole).is_err() {
            return Err(AttemptError::failed(FailureKind::CutShort));
        }
        held = VecDeque::from([whole]);
    }
    Ok(Opened { status, headers, held, rest: None })
}

fn is_json(headers: &Fields) -> bool {
    starts_with_ignoring_case(content_type(headers), "application/json")
}

/// True for audio and the like, which clients play or save while it comes.
pub(super) fn is_media(headers: &Fields) -> bool {
    let (media, kind) =
        (["audio/", "image/", "video/", "application/octet-stream", "text/event-stream"], content_type(headers));
    media.iter().any(|media| starts_with_ignoring_case(kind, media))
}

fn content_length(headers: &Fields) -> Option<u64> {
    headers.text(CONTENT_LENGTH)?.parse().ok()
}
