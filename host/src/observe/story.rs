//! The one record of a request: identity, route, attempts, times, tokens. It is made once, and read when it is over.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::trace::{SpanId, Traced, Traceparent};
use super::websocket::WebSocket;
use crate::clients::Client;
use crate::limits::Nano;
pub use crate::limits::Usage;
use crate::provider::{Absence, Provider};
use crate::routing::eligible::EligibleSet;
use crate::routing::{Candidate, Decision, Outcome, OutcomeKind, Route, Target, Tier};

/// The most characters of a model's name that are kept.
const MOST_MODEL: usize = 200;

/// One request, from its head to the end of its answer.
#[derive(Debug)]
pub struct Story {
    /// The request's id, as the client sees it.
    pub id: String,
    /// When its head was read.
    pub began: Instant,
    /// The client's method.
    pub method: http::Method,
    /// The client's path.
    pub path: String,
    /// The index of its endpoint among the labels of metrics.
    pub endpoint: usize,
    /// The model that the client asked for, cut and without control characters.
    pub model: String,
    /// The model that was requested instead, if a route fell back to one.
    pub instead: Option<String>,
    /// True when a stream was requested.
    pub streaming: bool,
    /// The client's address, unless it has none.
    pub address: Option<IpAddr>,
    /// The client, if it showed a key that is known.
    pub client: Option<Arc<Client>>,
    /// The route that it took, if it got that far.
    pub route: Option<Arc<Route>>,
    /// The tiers that were offered to the strategy, and those that had nobody to offer.
    pub offers: Vec<Offer>,
    /// The targets that were passed over for want of room, each with the number of attempts before.
    pub passed_over: Vec<(usize, u32, Full)>,
    /// All attempts; the answer comes from the last one.
    pub attempts: Vec<Attempt>,
    /// The status of the answer; `None` if the client left before the answer's head was made.
    pub status: Option<u16>,
    /// The code of the proxy's own error.
    pub error: Option<&'static str>,
    /// The sentence of that error, as the client gets it.
    pub sentence: Option<String>,
    /// The number of the configuration that it began with; 0 if it was refused before.
    pub generation: u64,
    /// The time spent waiting for others: the client with its body, the queue, slots, providers.
    pub waited: Duration,
    /// The part of it spent in the queue.
    pub queued: Option<Duration>,
    /// The part of it spent on slots and accounts of providers.
    pub slots: Duration,
    /// The time until the head of the answer.
    pub first_byte: Option<Duration>,
    /// The part of it that the proxy itself took.
    pub overhead: Option<Duration>,
    /// The tokens that the answer reports.
    pub usage: Option<Usage>,
    /// What the answer cost, if there is a price; of a request that approaches answer, what their questions cost.
    pub cost: Option<Nano>,
    /// The tokens that it was charged with under limits, if no answer has said how many it took.
    pub estimated: Option<u64>,
    /// The decision, if answers name it.
    pub decision: Option<String>,
    /// The approach that has answered, and what that took.
    pub approach: Option<Approached>,
    /// For a question of an approach: whose it is.
    pub inner: Option<Inner>,
    /// Equal for requests that belong together; 0 when nothing is known.
    pub affinity: u64,
    /// Its place in a trace, where requests are traced.
    pub trace: Option<Box<Traced>>,
    /// The course of its WebSocket, once that is over.
    pub websocket: Option<Box<WebSocket>>,
    /// The time until its end, once that has come.
    pub took: Duration,
}

/// A tier of the route's targets, and what the strategy made of it.
#[derive(Debug)]
pub struct Offer {
    /// The tier.
    pub tier: Tier,
    /// The route whose targets they are; a fallback to another model may be on another one.
    pub route: Arc<Route>,
    /// Those of its targets that serve the model.
    pub eligible: Arc<EligibleSet>,
    /// The moment of the offer.
    pub at: Instant,
    /// The candidates as the strategy saw them; the first of them if they are many.
    pub candidates: Vec<Candidate>,
    /// The number of all of them.
    pub offered: usize,
    /// The decision, and the time that it took; `None` if nobody was asked.
    pub decision: Option<(Decision, Duration)>,
    /// The targets of the tier that were no candidates, the first of them if they are many.
    pub absent: Vec<(u32, Absence)>,
    /// True for those that have said that they do not serve this, and are tried last.
    pub is_last: bool,
}

impl Offer {
    /// The most candidates, and the most absent targets, of which it keeps the facts.
    pub const KEPT: usize = 32;
}

/// The reason why a target was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All slots of its provider were taken.
    Slots,
    /// Its provider's account had no room.
    Account,
    /// It was ejected or throttled since the decision, or another request was its trial.
    Out,
}

impl Full {
    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Slots => "all its slots were taken",
            Self::Account => "its account had no room",
            Self::Out => "it had been ejected or throttled meanwhile",
        }
    }
}

/// The part of approaches in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approached {
    /// The approach, or the combination.
    pub name: String,
    /// Questions to the model.
    pub calls: u32,
    /// Answers that were asked for.
    pub choices: u32,
    /// The longest chain of questions that waited for each other.
    pub depth: u32,
}

/// A question to the model that an approach asks for a client's request, whose id is that of the question before the `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inner {
    /// The approach.
    pub approach: String,
    /// What it asks for, in a word.
    pub step: String,
}

/// One try at one provider.
#[derive(Debug)]
pub struct Attempt {
    /// The provider.
    pub provider: Arc<Provider>,
    /// The index among the targets of the route.
    pub target: u32,
    /// False if it is known that nothing of the request has reached the provider.
    pub sent: bool,
    /// True if it began beside the one before it, because that was slow.
    pub is_hedge: bool,
    /// Its outcome; cancelled until it is known.
    pub kind: OutcomeKind,
    /// The provider's status, if it is what decided.
    pub status: Option<u16>,
    /// The reason of a failure, with the provider's own words.
    pub reason: Option<String>,
    /// Its start.
    pub began: Instant,
    /// The time until there was something to answer with: all of a whole answer, the first content of a stream.
    pub first: Option<Duration>,
    /// Its duration, once it has ended.
    pub took: Duration,
    /// Its span, where requests are traced.
    pub span: Option<SpanId>,
}

impl Story {
    /// Begins the story of a request; `endpoint` is the label of unknown endpoints.
    pub fn new(id: String, method: http::Method, path: String, endpoint: usize) -> Self {
        Self {
            id,
            began: Instant::now(),
            method,
            path,
            endpoint,
            model: String::new(),
            instead: None,
            streaming: false,
            address: None,
            client: None,
            route: None,
            offers: Vec::new(),
            passed_over: Vec::new(),
            attempts: Vec::new(),
            status: None,
            error: None,
            sentence: None,
            generation: 0,
            waited: Duration::ZERO,
            queued: None,
            slots: Duration::ZERO,
            first_byte: None,
            overhead: None,
            usage: None,
            cost: None,
            estimated: None,
            decision: None,
            approach: None,
            inner: None,
            affinity: 0,
            trace: None,
            websocket: None,
            took: Duration::ZERO,
        }
    }

    /// Notes the client's address.
    pub fn came_from(&mut self, address: IpAddr) {
        self.address = Some(address.to_canonical());
    }

    /// Notes the route that it takes.
    pub fn routed(&mut self, route: &Arc<Route>) {
        self.route = Some(Arc::clone(route));
    }

    /// Notes the model that was asked for, and whether as a stream.
    pub fn asked_for(&mut self, model: &str, streaming: bool) {
        self.streaming = streaming;
        // The text comes from a client, so it is cut and stripped of characters that could break a line.
        let is_plain = model.len() <= MOST_MODEL && model.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        self.model = match is_plain {
            true => model.to_owned(),
            false => model.chars().filter(|c| !c.is_control()).take(MOST_MODEL).collect(),
        };
    }

    /// Notes that another model is requested, on its own route.
    pub fn fell_back(&mut self, model: &str, route: &Arc<Route>) {
        self.routed(route);
        self.instead = Some(model.to_owned());
    }

    /// Notes a wait for somebody else.
    pub fn waited(&mut self, wait: Duration) {
        self.waited += wait;
    }

    /// Notes that an attempt began at `began`, and returns its index among the attempts; its outcome is noted by
    /// [`Story::ended`].
    pub fn attempted(&mut self, provider: Arc<Provider>, target: u32, began: Instant) -> usize {
        if !self.attempts.is_empty() {
            provider.metrics.failovers.inc();
        }
        self.begin(provider, target, began, false)
    }

    /// Notes that a second attempt began beside the latest one, as [`Story::attempted`] does.
    pub fn hedged(&mut self, provider: Arc<Provider>, target: u32, began: Instant) -> usize {
        provider.metrics.hedges.inc();
        self.begin(provider, target, began, true)
    }

    fn begin(&mut self, provider: Arc<Provider>, target: u32, began: Instant, is_hedge: bool) -> usize {
        let (kind, took) = (OutcomeKind::Cancelled, Duration::ZERO);
        let (status, reason, first) = (None, None, None);
        let span = self.trace.as_ref().map(|trace| trace.attempt(self.attempts.len()));
        self.attempts.push(Attempt {
            provider,
            target,
            sent: true,
            is_hedge,
            kind,
            status,
            reason,
            began,
            first,
            took,
            span,
        });
        self.attempts.len() - 1
    }

    /// Notes the outcome of the attempt with this index.
    pub fn attempt_ended(&mut self, at: usize, outcome: Outcome, now: Instant) {
        if let Some(attempt) = self.attempts.get_mut(at) {
            attempt.kind = outcome.kind();
            attempt.status = outcome.status();
            attempt.took = now - attempt.began;
        }
    }

    /// Notes why the attempt with this index failed.
    pub fn failed_because(&mut self, at: usize, reason: &str) {
        if let Some(attempt) = self.attempts.get_mut(at) {
            attempt.reason = Some(reason.to_owned());
        }
    }

    /// Notes that a target was passed over before the next attempt.
    pub fn passed_over(&mut self, target: u32, why: Full) {
        let pass = (self.attempts.len(), target, why);
        if self.passed_over.len() < Offer::KEPT && !self.passed_over.contains(&pass) {
            self.passed_over.push(pass);
        }
    }

    /// Notes that nothing of the request has reached the provider of the attempt with this index.
    pub fn unsent(&mut self, at: usize) {
        if let Some(attempt) = self.attempts.get_mut(at) {
            attempt.sent = false;
        }
    }

    /// Notes the outcome of the latest attempt.
    pub fn ended(&mut self, outcome: Outcome, now: Instant) {
        self.attempt_ended(self.attempts.len().wrapping_sub(1), outcome, now);
    }

    /// Moves the attempt with this index behind the others, because the answer comes from it since `now`.
    pub fn won(&mut self, at: usize, now: Instant) {
        if let Some(attempt) = self.attempts.get_mut(at) {
            attempt.first = Some(now - attempt.began);
        }
        if at + 1 == self.attempts.len() {
            return;
        }
        let attempt = self.attempts.remove(at);
        self.attempts.push(attempt);
    }

    /// What the provider of the attempt with this index is told of its span, if it is to be told.
    pub fn told(&self, at: usize) -> Option<Traceparent> {
        self.trace.as_ref()?.told(self.attempts.get(at)?.span?)
    }

    /// The name of the provider of the attempt with this index.
    pub fn provider_of(&self, at: usize) -> Option<&str> {
        self.attempts.get(at).map(|attempt| attempt.provider.config.name.as_str())
    }

    /// The provider of the latest attempt.
    pub fn provider(&self) -> Option<&Provider> {
        self.attempts.last().map(|attempt| &*attempt.provider)
    }

    /// The target of the latest attempt.
    pub fn target(&self) -> Option<&Target> {
        Some(self.route.as_ref()?.target(self.attempts.last()?.target))
    }

    /// The model name that was sent to the latest provider.
    pub fn mapped(&self) -> Option<Cow<'_, str>> {
        let (route, last) = (self.route.as_ref()?, self.attempts.last()?);
        let asked = self.instead.as_deref().unwrap_or(&self.model);
        Some(route.target(last.target).model_for(&last.provider.config, asked, route.taken(asked)))
    }

    /// All attempts in one text, such as `a: failed (12.5 ms), b: succeeded (80.1 ms)`.
    pub fn attempts_in_words(&self) -> String {
        let mut text = String::new();
        for Attempt { provider, kind, took, .. } in &self.attempts {
            let comma = if text.is_empty() { "" } else { ", " };
            let millis = took.as_secs_f64() * 1000.0;
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{}: {} ({millis:.1} ms)", provider.config.name, kind.name());
        }
        text
    }
}
