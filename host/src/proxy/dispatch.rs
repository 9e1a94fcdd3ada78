//! THE loop: from a request to an answer, through tiers and attempts.
//!
//! Offer a tier, let the strategy order it, attempt in that order, and go on as `routing::outcome` says. Each provider
//! is tried at most once, and once more where all have failed softly and some of `routing.retries` is left; nothing
//! reaches the client before an attempt has succeeded.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::select_all;
use http::{HeaderMap, Method};
use tokio::time::{Instant, sleep, timeout, timeout_at};

mod course;

use super::access::Entry;
use super::attempt::{Answered, Attempted, Expected, Plan, attempt};
use super::endpoint::{Class, Endpoint};
use super::entropy::Entropy;
use super::generation::Generation;
use super::intake::budget::Reserved;
use super::request::RequestBody;
use super::respond::ProxyError;
use super::stored;
use super::stream::protocol::Protocol;
use super::stream::signs::Signs;
use crate::provider::client::Call;
use crate::provider::ejection::ModelKey;
use crate::provider::eligible::EligibleSet;
use crate::provider::{Fleet, Permit, Unavailable};
use crate::routing::{Candidate, Decision, Facts, Origin, Tier};
use course::Course;

/// The pause before the first retry; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A pause is moved by up to this share, so that clients that failed together do not come back together.
const JITTER: f64 = 0.1;

/// What a client wants, read and checked.
pub struct Order {
    /// The client's method.
    pub method: Method,
    /// Where it goes.
    pub endpoint: Endpoint,
    /// The client's query.
    pub query: Option<String>,
    /// The client's headers, as far as they are forwarded.
    pub headers: HeaderMap,
    /// The client's body.
    pub body: RequestBody,
    /// The memory that it was given.
    pub reserved: Option<Reserved>,
    /// Equal for requests that belong together; 0 when nothing is known.
    pub affinity: u64,
    /// When it was given its slot of the queue.
    pub admitted: Instant,
    /// The end of its wait for slots.
    pub deadline: Instant,
    /// The signs of life for a client that waits for a stream.
    pub signs: Option<Arc<Signs>>,
}

/// What the loop works with.
pub struct Dispatcher<'a> {
    /// The configuration that the request began with.
    pub generation: &'a Generation,
    /// Random bits for the strategy.
    pub entropy: &'a Entropy,
    /// The time of day for the strategy.
    pub clock: Clock,
}

/// The time of day.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The system's.
    System,
    /// A simulation's: milliseconds since 1970 when it began.
    Simulated {
        /// When it began.
        began: Instant,
        /// What time of day that was.
        epoch_ms: u64,
    },
}

impl Clock {
    fn now_ms(self) -> u64 {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match self {
            Clock::System => millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Clock::Simulated { began, epoch_ms } => epoch_ms.saturating_add(millis(began.elapsed())),
        }
    }
}

/// The end of a round through the tiers.
#[expect(clippy::large_enum_variant, reason = "nearly all are answers, and each is moved once")]
enum Round {
    /// Somebody answered.
    Answered(Answered),
    /// Nobody did, and there is nobody left to ask.
    Failed,
    /// Nobody did, and nobody else may be asked.
    Ended,
}

impl Dispatcher<'_> {
    /// Finds a provider that answers, or says why none does.
    ///
    /// # Errors
    ///
    /// [`ProxyError`]: nothing could be answered with.
    pub async fn dispatch(&self, order: &Order, entry: &mut Entry) -> Result<Answered, ProxyError> {
        let fleet = &self.generation.fleet;
        let eligible = match stored::home(order, fleet) {
            Some(home) => Arc::new(EligibleSet::alone(home)),
            None => eligible(fleet, &order.method, &order.endpoint, &order.body),
        };
        let model = ModelKey::of(order.body.model());
        let mut course = Course {
            order,
            eligible,
            model,
            tried: Vec::new(),
            retries: if order.endpoint.class == Class::Stored { 0 } else { self.generation.retries },
            retrying: false,
            failed: Vec::new(),
            not_found: None,
            any_healthy: false,
        };
        // The clock is read where time has passed, and nowhere else.
        let mut now = order.admitted;
        let mut pause = FIRST_PAUSE;
        loop {
            let attempts = entry.attempts();
            let mut round = self.round(&mut course, entry, now).await;
            if course.retrying && entry.attempts() == attempts && !course.tried.is_empty() {
                // All that can be asked have been asked in this retry and those before it: from the beginning.
                course.tried.clear();
                round = self.round(&mut course, entry, now).await;
            }
            match round {
                Ok(Round::Answered(answered)) => {
                    if let Some(provider) = entry.provider() {
                        stored::learn(order, &answered, &provider.config.name, fleet);
                    }
                    return Ok(answered);
                }
                Ok(Round::Ended) => break,
                Ok(Round::Failed) => {}
                // It waited for a slot to try again with, and what it is told is how it failed.
                Err(_) if course.retrying => break,
                Err(error) => return Err(error),
            }
            now = Instant::now();
            let wait = pause.mul_f64(1.0 + JITTER * (f64::from(self.entropy.bits()) / f64::from(u32::MAX) * 2.0 - 1.0));
            if course.retries == 0 || !course.failed_softly() || now + wait >= order.deadline {
                break;
            }
            if !std::mem::replace(&mut course.retrying, true) {
                course.tried.clear();
            }
            course.retries -= 1;
            sleep(wait).await;
            let until = Instant::now();
            entry.waited(until - now);
            (now, pause) = (until, pause * 2);
        }
        course.end(&self.generation.fleet)
    }

    /// One round through the tiers, from `now` on; of a retry, up to its one attempt.
    async fn round(&self, course: &mut Course<'_>, entry: &mut Entry, mut now: Instant) -> Result<Round, ProxyError> {
        let (fleet, order) = (&self.generation.fleet, course.order);
        for tier in Tier::ALL {
            let candidates = fleet.offer(tier, &course.eligible, course.model, &course.tried, now);
            if candidates.is_empty() {
                continue;
            }
            course.any_healthy |= tier != Tier::LastResort;
            let (mut pending, decided) = self.ordered(tier, candidates, course, entry, now);
            now = decided;
            loop {
                let permit = self.next_permit(&mut pending, tier, course, now).await;
                let began = match &permit {
                    Ok(Some(permit)) => permit.began(),
                    Ok(None) | Err(_) => Instant::now(),
                };
                entry.waited(began - now);
                now = began;
                let Some(mut permit) = permit? else { break };
                let index = permit.provider().index;
                pending.retain(|&other| other != index);
                course.tried.push(index);
                permit.excuse(course.excuse(&permit.provider().config.name));
                let attempted = self.attempt(permit, course, entry).await;
                now = Instant::now();
                entry.waited(now - began);
                let failure = match attempted {
                    Attempted::Answered(answered) => return Ok(Round::Answered(answered)),
                    Attempted::Failed(failure) => failure,
                };
                let sent = failure.sent;
                if course.may_be_unserved() {
                    fleet.unserved.note(index, course.wanted(), failure.outcome, now);
                }
                course.note(&fleet.provider(index).config.name, failure, entry, now);
                // What is stored at one provider is not at another, and must not be done twice.
                if order.endpoint.class == Class::Stored && sent {
                    return Ok(Round::Ended);
                }
                if course.retrying {
                    return Ok(Round::Failed);
                }
            }
        }
        Ok(Round::Failed)
    }

    /// The candidates in the order of the strategy, and behind them those that have said that they do not serve this.
    fn ordered(
        &self,
        tier: Tier,
        candidates: Vec<Candidate>,
        course: &Course<'_>,
        entry: &mut Entry,
        now: Instant,
    ) -> (Vec<u32>, Instant) {
        let unserved = &self.generation.fleet.unserved;
        if unserved.is_empty() || !course.may_be_unserved() {
            return self.decide(tier, &candidates, course, entry, now);
        }
        let refused = unserved.by(course.wanted(), now);
        let (last, first): (Vec<Candidate>, Vec<Candidate>) =
            candidates.iter().partition(|candidate| refused.contains(&candidate.provider));
        if first.is_empty() {
            return self.decide(tier, &candidates, course, entry, now);
        }
        let (mut order, decided) = self.decide(tier, &first, course, entry, now);
        order.extend(last.iter().map(|candidate| candidate.provider));
        (order, decided)
    }

    /// Asks the strategy, at `now`, for the order of the candidates, and says when it had answered.
    fn decide(
        &self,
        tier: Tier,
        candidates: &[Candidate],
        course: &Course<'_>,
        entry: &mut Entry,
        now: Instant,
    ) -> (Vec<u32>, Instant) {
        let Order { endpoint, body, affinity, .. } = course.order;
        if endpoint.class == Class::Stored {
            // The same provider each time, or what was stored today is not found tomorrow.
            return (Decision::default_order(candidates, Origin::Abstained).order, now);
        }
        let facts = Facts {
            seq: course.eligible.next_seq(tier),
            entropy: self.entropy.bits(),
            now_ms: self.clock.now_ms(),
            tier,
            attempts: u32::try_from(entry.attempts()).unwrap_or(u32::MAX),
            model: Facts::known(body.model()),
            streaming: body.streaming(),
            body_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            affinity: *affinity,
        };
        let (decision, decided) = self.generation.fleet.decide(&facts, candidates, now);
        if self.generation.explain {
            entry.decided(self.explain(tier, &decision));
        }
        tracing::debug!(
            request_id = entry.id(),
            tier = tier.name(),
            order = ?decision.order.iter().map(|&index| &self.generation.fleet.provider(index).config.name).collect::<Vec<_>>(),
            origin = ?decision.origin,
            "decided"
        );
        (decision.order, decided)
    }

    /// The decision for whoever wants to know why.
    fn explain(&self, tier: Tier, decision: &Decision) -> String {
        const SHOWN: usize = 10;
        let fleet = &self.generation.fleet;
        let names = decision.order.iter().map(|&index| fleet.provider(index).config.name.as_str());
        let shown: Vec<&str> = names.take(SHOWN).collect();
        let more = decision.order.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(",+{more}") } else { String::new() };
        let reason = match decision.origin {
            Origin::Strategy { reason } => {
                fleet.strategy().reason(reason).unwrap_or_else(|| format!("reason {reason}"))
            }
            Origin::Abstained => "no opinion: default order".to_owned(),
            Origin::Refused => "no order for this request: default order".to_owned(),
            Origin::Faulted => "the strategy broke: default order".to_owned(),
        };
        let (strategy, tier) = (fleet.strategy().name(), tier.name());
        format!("strategy={strategy}; tier={tier}; order={}{more}; reason={reason}", shown.join(","))
    }

    /// The next provider of the order that has a slot. Those that went out meanwhile are dropped from `pending`; `None`
    /// when none is left.
    ///
    /// # Errors
    ///
    /// [`ProxyError::QueueTimeout`] when no slot comes free before the request's deadline.
    async fn next_permit(
        &self,
        pending: &mut Vec<u32>,
        tier: Tier,
        course: &Course<'_>,
        mut now: Instant,
    ) -> Result<Option<Permit>, ProxyError> {
        let (order, model) = (course.order, course.model);
        let timed_out = || ProxyError::QueueTimeout(self.generation.queue_timeout);
        let mut at = 0;
        while at < pending.len() {
            let index = pending[at];
            match self.generation.fleet.try_permit(index, tier, model, now) {
                Ok(permit) => return Ok(Some(permit)),
                Err(Unavailable::Out) => {
                    pending.remove(at);
                    continue;
                }
                Err(Unavailable::Saturated) => {}
            }
            // Prefer this one for a moment, but only while another one could be had instead.
            let another_is_free =
                pending[at + 1..].iter().any(|&other| self.generation.fleet.provider(other).has_free_slot());
            if !another_is_free {
                break;
            }
            let wait = self.generation.slot_wait.min(order.deadline.saturating_duration_since(Instant::now()));
            match timeout(wait, self.generation.fleet.permit(index, tier, model)).await {
                Ok(Some(permit)) => return Ok(Some(permit)),
                Ok(None) => {
                    pending.remove(at);
                }
                Err(_elapsed) => at += 1,
            }
            now = Instant::now();
        }
        while !pending.is_empty() {
            let waits = pending.iter().map(|&index| self.generation.fleet.permit(index, tier, model).boxed());
            let (permit, position, _others) =
                timeout_at(order.deadline, select_all(waits)).await.map_err(|_elapsed| timed_out())?;
            if permit.is_some() {
                return Ok(permit);
            }
            pending.remove(position);
        }
        Ok(None)
    }

    async fn attempt(&self, permit: Permit, course: &Course<'_>, entry: &mut Entry) -> Attempted {
        let Order { method, endpoint, query, headers, body, signs, .. } = course.order;
        let provider = permit.provider().clone();
        if let Some(signs) = signs {
            signs.asking(provider.name_header.clone());
        }
        let asked = body.model();
        let model = provider.config.model_for(asked);
        let call = Call {
            method: method.clone(),
            endpoint: &endpoint.path,
            query: query.as_deref(),
            model: &model,
            headers,
            body: body.with_model(&model),
            once: endpoint.class == Class::Stored,
        };
        let plan = Plan {
            call,
            expected: Expected::of(endpoint),
            protocol: Protocol::of(&endpoint.path),
            streaming: body.streaming(),
            signs: signs.as_deref(),
        };
        entry.attempted(Arc::clone(&provider), permit.began());
        attempt(permit, plan).await
    }
}

/// The providers that may serve a request. One that names no model and wants something made goes to those alone that list
/// none, where some do: it could otherwise reach a provider with any model, or with none of those that it lists.
pub fn eligible(fleet: &Fleet, method: &Method, endpoint: &Endpoint, body: &RequestBody) -> Arc<EligibleSet> {
    let makes =
        (method == Method::POST || method == Method::PUT || method == Method::PATCH) && endpoint.class != Class::Stored;
    if makes && body.model().is_empty() { Arc::clone(fleet.unlisted()) } else { fleet.eligible(body.model()) }
}
