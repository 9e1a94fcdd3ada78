//! The content of an answer on its way to the client: events that are understood, or bytes.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};

use super::reader::Reader;
use super::surplus::Surplus;
use crate::http1::fields::Fields;
use crate::proxy::naming::Naming;

/// The type of JSON, as it begins.
const JSON: &[u8] = b"application/json";

/// The content that is passed on.
pub enum Kind {
    /// Events.
    Events(Flow),
    /// Anything else.
    Bytes(Raw),
}

/// Events that are passed on.
pub struct Flow {
    /// The reader that follows the events.
    pub reader: Reader,
    /// `timeouts.idle`: between two events.
    pub idle: Duration,
    /// Takes out the chunk that the client has not asked for, if it was asked for in its place.
    pub surplus: Option<Surplus>,
}

impl Flow {
    /// Whole events as the client gets them.
    pub(super) fn shown(&mut self, events: Bytes, naming: Option<&Naming>) -> Bytes {
        let events = match &mut self.surplus {
            Some(surplus) => surplus.taken_out(events),
            None => events,
        };
        match naming {
            Some(naming) => naming.events(events),
            None => events,
        }
    }
}

/// Bytes that are passed on.
pub struct Raw {
    /// The bytes still to come, if the answer announced its length.
    left: Option<u64>,
    /// `timeouts.idle`: between two pieces.
    pub(super) idle: Duration,
    /// True when it is JSON, which may say how many tokens it took.
    pub(super) is_json: bool,
}

impl Raw {
    /// The body of an answer with these headers.
    pub fn new(headers: &Fields, idle: Duration) -> Self {
        let left = headers.text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let kind = headers.get(CONTENT_TYPE).unwrap_or_default();
        let is_json = kind.get(..JSON.len()).is_some_and(|start| start.eq_ignore_ascii_case(JSON))
            && !headers.has(CONTENT_ENCODING);
        Self { left, idle, is_json }
    }

    /// Takes note of a piece; true when it was the last one.
    pub(super) fn take(&mut self, piece: &Bytes) -> bool {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(piece.len() as u64);
        }
        self.left == Some(0)
    }
}
