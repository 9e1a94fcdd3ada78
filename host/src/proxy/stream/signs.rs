//! Signs of life for a client that waits for a stream while it is not yet known who will answer it.
//!
//! The attempts leave here what the client may see before the first content; [`super::early`] shows it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use parking_lot::Mutex;

use super::reader;

/// The most bytes of comments that are kept; more are dropped, as they are only signs of life.
const MAX_COMMENTS: usize = 16 << 10;

/// The signs of life from the attempts of one request to its client.
#[derive(Debug, Default)]
pub struct Signs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The provider that is being asked, and the number of the attempt.
    provider: Option<HeaderValue>,
    attempts: usize,
    begun: bool,
    shown: bool,
    comments: BytesMut,
}

impl Signs {
    /// Nothing has happened.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// An attempt begins at the provider of this name.
    pub fn asking(&self, provider: Option<HeaderValue>) {
        let mut state = self.0.lock();
        state.provider = provider;
        state.attempts += 1;
    }

    /// A provider has begun a stream.
    pub fn begun(&self) {
        self.0.lock().begun = true;
    }

    /// Keeps the comments in `events` for the client.
    pub fn comments(&self, events: &[u8]) {
        let comments = reader::select(events, true);
        let mut state = self.0.lock();
        if state.comments.len() + comments.len() <= MAX_COMMENTS {
            state.comments.extend_from_slice(&comments);
        }
    }

    /// True when a provider has begun a stream.
    pub fn have_begun(&self) -> bool {
        self.0.lock().begun
    }

    /// True when the client sees these signs.
    pub fn are_shown(&self) -> bool {
        self.0.lock().shown
    }

    /// The client sees these signs from now on. Returns the provider that is being asked, if a header can name it, and
    /// the number of attempts.
    pub fn show(&self) -> (Option<HeaderValue>, usize) {
        let mut state = self.0.lock();
        state.shown = true;
        (state.provider.clone(), state.attempts)
    }

    /// The comments since the last call.
    pub fn take_comments(&self) -> Option<Bytes> {
        let comments = self.0.lock().comments.split();
        (!comments.is_empty()).then(|| comments.freeze())
    }
}
