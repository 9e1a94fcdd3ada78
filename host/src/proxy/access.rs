//! The log entry of one request, which is also what the request holds while it lasts.
//!
//! It travels from the handler into the response body and is written when it is dropped, so there is one line per
//! request whatever happens to it, and its queue slot is free exactly when the request is over.

use std::fmt::Write as _;

use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::queue::QueuePermit;
use crate::routing::{Outcome, OutcomeKind};

/// One request, from its head to the end of its answer.
#[derive(Debug)]
pub struct Entry {
    id: String,
    began: Instant,
    method: http::Method,
    path: String,
    model: String,
    attempts: Vec<(String, OutcomeKind)>,
    /// `None` until the answer's head was made: a client that left before it.
    status: Option<u16>,
    queue: Option<QueuePermit>,
    /// Counted by a drain.
    _in_flight: TaskTrackerToken,
}

impl Entry {
    /// Begins the entry of a request.
    pub fn new(id: String, method: http::Method, path: String, in_flight: TaskTrackerToken) -> Self {
        let (model, attempts) = (String::new(), Vec::new());
        let began = Instant::now();
        Self { id, began, method, path, model, attempts, status: None, queue: None, _in_flight: in_flight }
    }

    /// The request's id, as the client sees it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the request's head was read.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Notes the model that was asked for.
    pub fn asked_for(&mut self, model: &str) {
        // A client's text: bounded, and without anything that could break a line.
        self.model = model.chars().filter(|c| !c.is_control()).take(200).collect();
    }

    /// Keeps the queue's slot until the request is over.
    pub fn hold(&mut self, permit: QueuePermit) {
        self.queue = Some(permit);
    }

    /// Notes that an attempt began; its outcome is noted by [`Entry::ended`].
    pub fn attempted(&mut self, provider: &str) {
        self.attempts.push((provider.to_owned(), OutcomeKind::Cancelled));
    }

    /// Notes how the latest attempt ended.
    pub fn ended(&mut self, outcome: Outcome) {
        if let Some((_, kind)) = self.attempts.last_mut() {
            *kind = outcome.kind();
        }
    }

    /// How many attempts there were.
    pub fn attempts(&self) -> usize {
        self.attempts.len()
    }

    /// The provider of the latest attempt.
    pub fn provider(&self) -> Option<&str> {
        self.attempts.last().map(|(provider, _)| provider.as_str())
    }

    /// Notes the status of the answer.
    pub fn answered(&mut self, status: http::StatusCode) {
        self.status = Some(status.as_u16());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        let mut attempts = String::new();
        for (provider, kind) in &self.attempts {
            let comma = if attempts.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(attempts, "{comma}{provider}: {}", kind.name());
        }
        // 499: the client left before there was an answer, as nginx counts it.
        let status = self.status.unwrap_or(499);
        let duration_ms = self.began.elapsed().as_secs_f64() * 1000.0;
        let (method, path) = (&self.method, &self.path);
        tracing::info!(
            request_id = self.id,
            model = self.model,
            attempts,
            status,
            duration_ms,
            "{method} {path} {status} in {duration_ms:.1} ms"
        );
    }
}
