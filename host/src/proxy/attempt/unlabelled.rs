//! Examines an answer to a request for a stream whose label says that it is no stream.
//!
//! Servers and the gateways before them send events as `application/json`, as `text/plain` or without a type
//! (dify#4120, cloudflared#199), and lines of JSON (ollama#8991). A single JSON document is held like any other;
//! everything else is passed on as it comes, or its client would see nothing of it for as long as it lasts.

use bytes::BytesMut;
use http::header::CONTENT_ENCODING;
use tokio::time::Instant;

use super::{MAX_HELD, content_type, next_chunk, starts_with_ignoring_case};
use crate::http1::fields::Fields;
use crate::provider::Permit;
use crate::provider::client::{Answer, AttemptError};
use crate::routing::Phase;

/// The nature of an answer, as its beginning shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Events.
    Events,
    /// One JSON document, a page, or nothing: to be held.
    Document,
    /// Anything else that goes on: lines of JSON, text, encoded data.
    Bytes,
}

/// Reads as much of an answer as it takes to know what it is; these bytes can be read again.
pub(super) async fn look_into(
    answer: &mut Answer,
    permit: &mut Permit,
    deadline: Instant,
) -> Result<Nature, AttemptError> {
    if answer.headers.has(CONTENT_ENCODING) {
        return Ok(Nature::Bytes);
    }
    let is_lines = is_lines(&answer.headers);
    let mut read = BytesMut::new();
    let nature = loop {
        let Some(chunk) = next_chunk(&mut answer.body, deadline, Phase::Request).await? else {
            break Nature::Document;
        };
        permit.first_byte();
        read.extend_from_slice(&chunk);
        if let Some(nature) = nature_of(&read, is_lines) {
            break nature;
        }
        if read.len() > MAX_HELD {
            break Nature::Document;
        }
    };
    answer.body.unread(read.freeze());
    Ok(nature)
}

/// True for the labels of lines of JSON.
fn is_lines(headers: &Fields) -> bool {
    let labels = ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json"];
    labels.iter().any(|label| starts_with_ignoring_case(content_type(headers), label))
}

/// The nature of an answer that begins with `read`; `None` when more of it must be seen.
fn nature_of(read: &[u8], is_lines: bool) -> Option<Nature> {
    let text = read.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(read).trim_ascii_start();
    let first = *text.first()?;
    for field in [&b"data:"[..], b"event:", b"id:", b"retry:", b":"] {
        if text.starts_with(field) {
            return Some(Nature::Events);
        }
        if field.starts_with(text) {
            return None;
        }
    }
    match first {
        b'{' | b'[' if is_lines => Some(Nature::Bytes),
        // A line that is a document, with another one behind it.
        b'{' | b'[' => {
            let end = memchr::memchr(b'\n', text)?;
            let (line, rest) = text.split_at(end);
            if serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err() {
                return Some(Nature::Document);
            }
            (!rest.trim_ascii_start().is_empty()).then_some(Nature::Bytes)
        }
        b'<' | b'"' | b'-' | b'0'..=b'9' => Some(Nature::Document),
        _ => {
            let word = text.split(|byte| !byte.is_ascii_alphanumeric()).next().unwrap_or_default();
            let literals = [&b"null"[..], b"true", b"false"];
            if word.len() == text.len() && literals.iter().any(|literal| literal.starts_with(word)) {
                // It may go on with another line; if not, it is a document.
                return None;
            }
            Some(if literals.contains(&word) { Nature::Document } else { Nature::Bytes })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nature(text: &str) -> Option<Nature> {
        nature_of(text.as_bytes(), false)
    }

    #[test]
    fn events_are_known_by_their_first_field() {
        for events in ["data: {}", ": comment", "\n\ndata:", "\u{feff}event: x", "id:1", "retry: 1\n"] {
            assert_eq!(nature(events), Some(Nature::Events), "{events:?}");
        }
        for unclear in ["", " \n", "da", "data", "i", "retr"] {
            assert_eq!(nature(unclear), None, "{unclear:?}");
        }
    }

    #[test]
    fn one_document_or_a_page_is_held() {
        for document in ["{\n  \"id\": 1", "<!doctype html>", "\"text\"", "12", "null\n", "[\n1"] {
            assert_eq!(nature(document), Some(Nature::Document), "{document:?}");
        }
        for unclear in ["{\"id\": 1}", "{\"id\": 1}\n", "{\"id\": 1", "nul", "null"] {
            assert_eq!(nature(unclear), None, "{unclear:?}");
        }
    }

    #[test]
    fn lines_and_text_are_passed_on() {
        assert_eq!(nature("{\"done\":false}\n{\"d"), Some(Nature::Bytes));
        assert_eq!(nature_of(b"{\"done\":fal", true), Some(Nature::Bytes));
        assert_eq!(nature("Once upon"), Some(Nature::Bytes));
    }
}
