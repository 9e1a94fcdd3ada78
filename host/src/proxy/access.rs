//! The log entry of one request, which is also what the request holds while it lasts.
//!
//! It travels from the handler into the response body and is written when it is dropped, so there is one line and one
//! count per request whatever happens to it, and its queue slot is free exactly when the request is over.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::endpoint::LABELS;
use super::usage::Usage;
use crate::metrics::Metrics;
use crate::provider::Provider;
use crate::queue::QueuePermit;
use crate::routing::{Outcome, OutcomeKind, Route, Target};
use crate::telemetry;

/// One request, from its head to the end of its answer.
#[derive(Debug)]
pub struct Entry {
    id: String,
    began: Instant,
    method: http::Method,
    path: String,
    /// The place of its endpoint among the labels.
    endpoint: usize,
    model: String,
    streaming: bool,
    /// The client's address, unless it has none.
    client: Option<IpAddr>,
    /// The route that it took.
    route: Option<Arc<Route>>,
    /// The model that was asked for in place of the client's.
    instead: Option<String>,
    attempts: Vec<Attempt>,
    /// `None` until the answer's head was made: a client that left before it.
    status: Option<u16>,
    /// The code of the proxy's own error.
    error: Option<&'static str>,
    /// What others took: the client with its body, the queue, slots, providers.
    waited: Duration,
    queued: Option<Duration>,
    /// Until the head of the answer.
    first_byte: Option<Duration>,
    /// Of that, what the proxy itself took.
    overhead: Option<Duration>,
    usage: Option<Usage>,
    decision: Option<String>,
    queue: Option<QueuePermit>,
    metrics: Arc<Metrics>,
    /// Counted by a drain.
    _in_flight: TaskTrackerToken,
}

#[derive(Debug)]
struct Attempt {
    provider: Arc<Provider>,
    /// Among the targets of the route.
    target: u32,
    kind: OutcomeKind,
    began: Instant,
    took: Duration,
}

impl Entry {
    /// Begins the entry of a request.
    pub fn new(
        id: String,
        method: http::Method,
        path: String,
        metrics: Arc<Metrics>,
        in_flight: TaskTrackerToken,
    ) -> Self {
        Self {
            id,
            began: Instant::now(),
            method,
            path,
            endpoint: LABELS.len() - 1,
            model: String::new(),
            streaming: false,
            client: None,
            route: None,
            instead: None,
            attempts: Vec::new(),
            status: None,
            error: None,
            waited: Duration::ZERO,
            queued: None,
            first_byte: None,
            overhead: None,
            usage: None,
            decision: None,
            queue: None,
            metrics,
            _in_flight: in_flight,
        }
    }

    /// The request's id, as the client sees it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the request's head was read.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Notes who asks.
    pub fn came_from(&mut self, client: IpAddr) {
        self.client = Some(client.to_canonical());
    }

    /// Notes the route that it takes.
    pub fn routed(&mut self, route: &Arc<Route>) {
        self.route = Some(Arc::clone(route));
    }

    /// Notes the endpoint by its place among the labels.
    pub fn at(&mut self, endpoint: usize) {
        self.endpoint = endpoint;
    }

    /// Notes the model that was asked for, and whether as a stream.
    pub fn asked_for(&mut self, model: &str, streaming: bool) {
        self.streaming = streaming;
        // A client's text: bounded, and without anything that could break a line.
        self.model = model.chars().filter(|c| !c.is_control()).take(200).collect();
    }

    /// Notes that somebody else was waited for.
    pub fn waited(&mut self, wait: Duration) {
        self.waited += wait;
    }

    /// Keeps the queue's slot, which was waited for, until the request is over.
    pub fn hold(&mut self, permit: QueuePermit, wait: Duration) {
        self.metrics.queued(wait);
        self.waited += wait;
        self.queued = Some(wait);
        self.queue = Some(permit);
    }

    /// Notes the decision, for an answer that is to name it.
    pub fn decided(&mut self, decision: String) {
        self.decision = Some(decision);
    }

    /// The latest decision that was noted.
    pub fn decision(&self) -> Option<&str> {
        self.decision.as_deref()
    }

    /// Notes that an attempt began at `began`, and gives its place among the attempts; its outcome is noted by
    /// [`Entry::ended`].
    pub fn attempted(&mut self, provider: Arc<Provider>, target: u32, began: Instant) -> usize {
        if !self.attempts.is_empty() {
            provider.metrics.failovers.inc();
        }
        self.begin(provider, target, began)
    }

    /// Notes that a second attempt began beside the latest one, as [`Entry::attempted`] does.
    pub fn hedged(&mut self, provider: Arc<Provider>, target: u32, began: Instant) -> usize {
        provider.metrics.hedges.inc();
        self.begin(provider, target, began)
    }

    fn begin(&mut self, provider: Arc<Provider>, target: u32, began: Instant) -> usize {
        let (kind, took) = (OutcomeKind::Cancelled, Duration::ZERO);
        self.attempts.push(Attempt { provider, target, kind, began, took });
        self.attempts.len() - 1
    }

    /// Notes how the attempt in this place ended.
    pub fn attempt_ended(&mut self, at: usize, outcome: Outcome, now: Instant) {
        if let Some(attempt) = self.attempts.get_mut(at) {
            attempt.kind = outcome.kind();
            attempt.took = now - attempt.began;
        }
    }

    /// Puts the attempt in this place behind the others: it is what the answer comes from.
    pub fn won(&mut self, at: usize) {
        if at + 1 == self.attempts.len() {
            return;
        }
        let attempt = self.attempts.remove(at);
        self.attempts.push(attempt);
    }

    /// The name of the provider of the attempt in this place.
    pub fn provider_of(&self, at: usize) -> Option<&str> {
        self.attempts.get(at).map(|attempt| attempt.provider.config.name.as_str())
    }

    /// Notes that another model is asked for, on its own route.
    pub fn fell_back(&mut self, model: &str, route: &Arc<Route>) {
        self.routed(route);
        self.instead = Some(model.to_owned());
    }

    /// The model that was asked for in place of the client's.
    pub fn instead(&self) -> Option<&str> {
        self.instead.as_deref()
    }

    /// The target of the latest attempt.
    pub fn target(&self) -> Option<&Target> {
        Some(self.route.as_ref()?.target(self.attempts.last()?.target))
    }

    /// The route that it took.
    pub fn route(&self) -> Option<&Route> {
        self.route.as_deref()
    }

    /// Notes how the latest attempt ended.
    pub fn ended(&mut self, outcome: Outcome, now: Instant) {
        self.attempt_ended(self.attempts.len().wrapping_sub(1), outcome, now);
    }

    /// How many attempts there were.
    pub fn attempts(&self) -> usize {
        self.attempts.len()
    }

    /// The provider of the latest attempt.
    pub fn provider(&self) -> Option<&Provider> {
        self.attempts.last().map(|attempt| &*attempt.provider)
    }

    /// Notes the figures that the answer names.
    pub fn used(&mut self, usage: Option<Usage>) {
        self.usage = usage;
    }

    /// Notes the status of the answer, and the code if it is an error of the proxy's own.
    pub fn answered(&mut self, status: http::StatusCode, error: Option<&'static str>, now: Instant) {
        self.status = Some(status.as_u16());
        self.error = error;
        let until_now = now - self.began;
        self.first_byte = Some(until_now);
        if !self.attempts.is_empty() {
            let own = until_now.saturating_sub(self.waited);
            self.overhead = Some(own);
            self.metrics.overhead(own);
        }
    }

    /// The name by which the latest provider was asked for the model.
    fn mapped(&self) -> Option<Cow<'_, str>> {
        let (route, last) = (self.route.as_ref()?, self.attempts.last()?);
        let asked = self.instead.as_deref().unwrap_or(&self.model);
        Some(route.target(last.target).model_for(&last.provider.config, asked, route.taken(asked)))
    }

    fn count(&self, duration: Duration) {
        self.metrics.request_took(self.endpoint, duration);
        let Some(last) = self.attempts.last() else {
            let outcome = if self.status.is_some() { "succeeded" } else { OutcomeKind::Cancelled.name() };
            return self.metrics.answered_alone(self.endpoint, self.error.unwrap_or(outcome));
        };
        let provider = &last.provider.metrics;
        provider.request(self.endpoint, last.kind);
        if let Some(usage) = self.usage {
            provider.prompt_tokens.inc_by(usage.prompt_tokens.unwrap_or(0));
            provider.completion_tokens.inc_by(usage.completion_tokens.unwrap_or(0));
        }
    }

    /// All attempts in one text, such as `a: failed (12.5 ms), b: succeeded (80.1 ms)`.
    fn story(&self) -> String {
        let mut story = String::new();
        for Attempt { provider, kind, took, .. } in &self.attempts {
            let comma = if story.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(story, "{comma}{}: {} ({:.1} ms)", provider.config.name, kind.name(), millis(*took));
        }
        story
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// As logged: microseconds are enough.
fn rounded(duration: Duration) -> f64 {
    (millis(duration) * 1000.0).round() / 1000.0
}

impl Drop for Entry {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        self.count(duration);
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        // 499: the client left before there was an answer, as nginx counts it.
        let status = self.status.unwrap_or(499);
        let (method, path) = (&self.method, &self.path);
        let usage = self.usage.unwrap_or_default();
        let strategy = self.route.as_ref().map(|route| route.strategy().name());
        let mapped = self.mapped().filter(|mapped| *mapped != self.model);
        // In a line for people they stand at its end.
        let structured = telemetry::is_structured();
        tracing::info!(
            request_id = self.id,
            client = self.client.map(tracing::field::display),
            method = structured.then(|| method.as_str()),
            path = structured.then_some(path.as_str()),
            model = self.model,
            provider_model = mapped.as_deref(),
            stream = self.streaming.then_some(true),
            route = self.route.as_ref().filter(|route| route.is_named()).map(|route| route.name.as_str()),
            strategy,
            provider = self.provider().map(|provider| provider.config.name.as_str()),
            attempts = self.story(),
            status,
            error = self.error,
            duration_ms = rounded(duration),
            first_byte_ms = self.first_byte.map(rounded),
            queue_ms = self.queued.map(rounded),
            overhead_ms = self.overhead.map(rounded),
            prompt_tokens = usage.prompt_tokens,
            completion_tokens = usage.completion_tokens,
            decision = self.decision,
            "{method} {path} {status} in {:.1} ms",
            millis(duration)
        );
    }
}
