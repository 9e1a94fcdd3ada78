//! The latest error of a provider, for operators.
//!
//! It decides nothing, so it stands apart from the provider's health: one failure among successes ejects no provider,
//! and yet whoever looks at `/health` wants to see it.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The latest error, if there was any.
#[derive(Debug, Default)]
pub struct LastError(Mutex<Option<(Box<str>, Instant)>>);

impl LastError {
    /// Replaces the error before. `reason` is one line, masked.
    pub(super) fn note(&self, reason: String, now: Instant) {
        *self.0.lock() = Some((reason.into(), now));
    }

    /// Its reason, and how long ago it was.
    pub fn get(&self, now: Instant) -> Option<(Box<str>, Duration)> {
        self.0.lock().as_ref().map(|(reason, at)| (reason.clone(), now.saturating_duration_since(*at)))
    }
}
