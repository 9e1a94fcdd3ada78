//! The story of a request under way, with everything that the request holds.
//!
//! It moves from the handler into the response body, and the sinks get the story when it is dropped. So there is one
//! log line and one count per request whatever happens to it, and its queue slot is free exactly when the request is
//! over.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::endpoint::LABELS;
use crate::metrics::Metrics;
use crate::observe::story::Inner;
use crate::observe::{self, Story};
use crate::queue::QueuePermit;

/// One request under way.
#[derive(Debug)]
pub struct Telling {
    story: Story,
    queue: Option<QueuePermit>,
    metrics: Arc<Metrics>,
    /// Counted by a drain.
    _in_flight: TaskTrackerToken,
}

impl Telling {
    /// Begins the story of a request.
    pub fn new(
        id: String,
        method: http::Method,
        path: String,
        metrics: Arc<Metrics>,
        in_flight: TaskTrackerToken,
    ) -> Self {
        Self { story: Story::new(id, method, path, LABELS.len() - 1), queue: None, metrics, _in_flight: in_flight }
    }

    /// Keeps the slot of the queue until the request is over.
    pub fn hold(&mut self, permit: QueuePermit, wait: Duration) {
        self.metrics.queued(wait);
        self.story.waited(wait);
        self.story.queued = Some(wait);
        self.queue = Some(permit);
    }

    /// Notes that it is a question of an approach, on behalf of a client's request.
    pub fn belongs_to(&mut self, approach: &str, step: &str) {
        self.story.inner = Some(Inner { approach: approach.to_owned(), step: step.to_owned() });
    }

    /// Notes the status of the answer, and the code if it is an error of the proxy's own.
    pub fn answered(&mut self, status: http::StatusCode, error: Option<&'static str>, now: Instant) {
        let story = &mut self.story;
        story.status = Some(status.as_u16());
        story.error = error;
        let until_now = now - story.began;
        story.first_byte = Some(until_now);
        if !story.attempts.is_empty() && story.inner.is_none() {
            let own = until_now.saturating_sub(story.waited);
            story.overhead = Some(own);
            self.metrics.overhead(own);
        }
    }
}

impl Deref for Telling {
    type Target = Story;

    fn deref(&self) -> &Story {
        &self.story
    }
}

impl DerefMut for Telling {
    fn deref_mut(&mut self) -> &mut Story {
        &mut self.story
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let duration = self.story.began.elapsed();
        observe::count::count(&self.story, duration, &self.metrics);
        observe::log::write(&self.story, duration);
    }
}
