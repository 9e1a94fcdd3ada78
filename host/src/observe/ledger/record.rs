//! The record of a story, as it is kept, written to files and told: data alone, without the objects that a request held, so
//! that it outlives reloads.
//!
//! It holds no prompts, no answers and no keys. In JSON an absent field is one that is not known or does not apply;
//! times in milliseconds are numbers with up to three decimals.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use super::time::{Millis, Time};
use crate::observe::trace::{SpanId, Trace};

/// A text that many records share.
pub type Text = Arc<str>;

/// One request, from its head to the end of its answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The request's id, as the client sees it.
    pub request_id: Text,
    /// The moment when its head was read.
    pub time: Time,
    /// The number of the configuration that it began with; 0 if it was refused before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u64,
    /// The name of the client, if it showed a key that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    /// The client's group, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Text>,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The client's method.
    pub method: Text,
    /// The client's path, cut to 200 bytes.
    pub path: Text,
    /// The model that the client asked for.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub model: Text,
    /// The model that was requested instead, if a route fell back to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<Text>,
    /// The model that the last provider was asked for, as it calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_model: Option<Text>,
    /// Equal for requests that belong together, as `routing.affinity` has it; a number that means nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u32>,
    /// True when a stream was requested.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stream: bool,
    /// The route that it took, if it got that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Text>,
    /// The strategy of the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Text>,
    /// The provider of the last attempt; the answer comes from it if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Text>,
    /// How it ended: the outcome of the last attempt, or the code of the proxy's own error.
    pub outcome: Text,
    /// The status of the answer; none if the client left before the answer's head was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of the proxy's own error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Text>,
    /// The sentence of that error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Text>,
    /// The time until its end.
    pub duration_ms: Millis,
    /// The time until the head of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<Millis>,
    /// The time spent in the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<Millis>,
    /// The time spent on slots and accounts of providers.
    #[serde(default, skip_serializing_if = "Millis::is_zero")]
    pub slot_wait_ms: Millis,
    /// The part of the time until the head of the answer that the proxy itself took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_ms: Option<Millis>,
    /// The tokens of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// The tokens of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    /// Of the tokens of the prompt, those that the provider read from its cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// Of the tokens of the answer, those of reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
    /// Of the tokens of the prompt, those that the provider wrote to its cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// The tokens that it was charged with, if no answer has said how many it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_tokens: Option<u64>,
    /// What it cost, in billionths of a dollar, if there is a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano: Option<u64>,
    /// The approach that has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approach: Option<Approach>,
    /// For a question of an approach: which one asks, and for what step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner: Option<Inner>,
    /// Its place in a trace, where requests are traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// The course of its WebSocket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSocket>,
    /// The tiers that were offered, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
    /// All attempts; the answer comes from the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// The number of attempts beyond those in `attempts`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_attempts: u64,
}

/// The part of an approach in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approach {
    /// The approach, or the combination.
    pub name: Text,
    /// Questions to the model.
    pub calls: u32,
    /// The longest chain of questions that waited for each other.
    pub depth: u32,
}

/// The course of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSocket {
    /// Why it is over: `closed`, `left`, `idle`, `max_duration`, `drained`, `limited`, `refused`, `too_large`, `crowded`,
    /// `malformed`.
    pub ended: Text,
    /// The side that ended it: `client`, `provider` or `proxy`.
    pub by: Text,
    /// The code of the close, if it was closed with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Messages of the client.
    pub client_messages: u64,
    /// Bytes of the client.
    pub client_bytes: u64,
    /// Messages of the provider.
    pub provider_messages: u64,
    /// Bytes of the provider.
    pub provider_bytes: u64,
    /// Answers that the provider has ended.
    pub answers: u64,
}

/// The origin of a question of an approach; the client's request has the id that stands before the `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inner {
    /// The approach.
    pub approach: Text,
    /// What it asks for, in a word.
    pub step: Text,
}

/// A tier of the route's targets, and what the strategy made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The tier: `primary`, `fallback` or `last_resort`.
    pub tier: Text,
    /// The route, if it is not that of the request: a fallback to another model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Text>,
    /// The moment, from the beginning of the request.
    pub at_ms: Millis,
    /// True for those that have said that they do not serve this, and are tried last.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_last: bool,
    /// The strategy that decided, with the version that it gives itself and the digest of its component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The origin of the order: `strategy`, `abstained`, `refused` or `faulted`; none if nobody was offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Text>,
    /// The strategy's reason, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// The time that the decision took.
    #[serde(default, skip_serializing_if = "Millis::is_zero")]
    pub took_ms: Millis,
    /// The candidates, first choice first; of more than 32 the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// The number of candidates beyond those in `candidates`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_candidates: u64,
    /// The targets that were no candidates, and why; of more than 32 in the tier, and of more than 32 that do not serve the
    /// model, the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absent>,
    /// The targets that were passed over when their turn came, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<Absent>,
}

/// The strategy that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strategy {
    /// Its name, as the configuration has it.
    pub name: Text,
    /// The version that the component gives itself, or empty.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub version: Text,
    /// The first 12 hexadecimal digits of the component's SHA-256.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub digest: Text,
}

/// A candidate, as the strategy saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The name of the target.
    pub name: Text,
    /// Requests that its provider worked on.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub in_flight: u32,
    /// The moving average of its time to the first byte; 0 if it was not known.
    #[serde(default, skip_serializing_if = "Millis::is_zero")]
    pub latency_ms: Millis,
    /// The moving average of the share of failed attempts, in thousandths.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub failure_permille: u32,
    /// The share that was left of the requests that its provider grants, in thousandths; absent if it is all or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_left: Option<u32>,
    /// The same of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_left: Option<u32>,
    /// The strategy's reason for its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// True when the strategy has excluded it for this request.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_excluded: bool,
}

/// A target that was no candidate, or was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Its name.
    pub name: Text,
    /// In a word: `ejected`, `throttled`, `on_trial`, `nothing_left`, `tried`, `excluded`, `model`; for one that was passed
    /// over `slots`, `account` or `out`.
    pub why: Text,
    /// The time until the end of that, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<Millis>,
    /// The reason of its ejection or its limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
}

/// One try at one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The provider.
    pub provider: Text,
    /// The target, if it is called otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Text>,
    /// Its start, from the beginning of the request.
    pub at_ms: Millis,
    /// The time until there was something to answer with: all of a whole answer, the first content of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<Millis>,
    /// Its duration.
    pub took_ms: Millis,
    /// Its outcome.
    pub outcome: Text,
    /// The provider's status, where it is what decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The reason of a failure, with the provider's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// True if it began beside the one before it, because that was slow.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_hedge: bool,
    /// True if nothing of the request has reached the provider.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unsent: bool,
    /// Its span, where requests are traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanId>,
}

impl Record {
    /// The outcome of an answer that broke off.
    pub const INTERRUPTED: &str = "interrupted";

    /// True when more than one provider was tried, hedges aside.
    pub fn failed_over(&self) -> bool {
        self.attempts.iter().filter(|attempt| !attempt.is_hedge).count() > 1
    }

    /// True when the client got an error, or an answer that broke.
    pub fn failed(&self) -> bool {
        self.error.is_some() || self.status.is_none_or(|status| status >= 400) || *self.outcome == *Self::INTERRUPTED
    }

    /// The id of the client's request that it belongs to, if it is a question of an approach.
    pub fn parent(&self) -> Option<&str> {
        self.inner.as_ref()?;
        self.request_id.split_once('/').map(|(parent, _)| parent)
    }

    /// All tokens, or those that it was charged with.
    pub fn tokens(&self) -> u64 {
        match (self.prompt_tokens, self.completion_tokens) {
            (None, None) => self.estimated_tokens.unwrap_or(0),
            (prompt, completion) => prompt.unwrap_or(0) + completion.unwrap_or(0),
        }
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}
