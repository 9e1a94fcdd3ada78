//! From a story to its record: what the request held is let go of, and names that come again are kept once.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState as Hasher;
use tokio::time::Instant;

use super::record::{
    Absent, Approach, Attempt, Candidate, Inner, Millis, Offer, Record, Strategy, Text, Time, WebSocket,
};
use crate::limits::usage::Part;
use crate::observe::story::Full;
use crate::observe::{Story, count, story};
use crate::provider::Absence;
use crate::routing::{Decision, Origin, Route};

/// The most names that are kept; beyond it all are forgotten, as models are named by clients.
const MOST_NAMES: usize = 4096;
/// The most bytes of a path.
const MOST_PATH: usize = 200;
/// The most attempts of a record.
const MOST_ATTEMPTS: usize = 64;
/// What a strategy says of itself is asked for again after this time, as it may have been replaced.
const STRATEGY_AGE: Duration = Duration::from_secs(1);

/// Makes records.
#[derive(Debug, Default)]
pub struct Archive {
    names: HashSet<Text, Hasher>,
    /// What strategies say of themselves, by the names that they go by.
    strategies: Vec<(Text, Strategy, Instant)>,
    /// Mixes what tells which requests belong together, so that nobody can try out texts of prompts on it.
    salt: RandomState,
}

impl Archive {
    /// The one copy of a text.
    fn name(&mut self, text: &str) -> Text {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        if self.names.len() >= MOST_NAMES {
            self.names.clear();
        }
        let name = Text::from(text);
        self.names.insert(Arc::clone(&name));
        name
    }

    fn session(&self, affinity: u64) -> Option<u32> {
        (affinity != 0).then(|| self.salt.hash_one(affinity) as u32)
    }

    /// The record of a story; `now` is one moment by both clocks.
    pub fn record(&mut self, story: &Story, now: (Instant, Time)) -> Record {
        let age = now.0.saturating_duration_since(story.began);
        let usage = story.usage.unwrap_or_default();
        let path = &story.path[..story.path.floor_char_boundary(MOST_PATH)];
        let mapped = story.mapped().filter(|_| !story.model.is_empty());
        Record {
            request_id: story.id.as_str().into(),
            time: now.1.minus(age),
            generation: story.generation,
            client: story.client.as_ref().map(|client| self.name(&client.name)),
            group: story.client.as_ref().and_then(|client| client.group()).map(|group| self.name(group)),
            address: story.address,
            method: self.name(story.method.as_str()),
            path: self.name(path),
            model: self.name(&story.model),
            instead: story.instead.as_deref().map(|model| self.name(model)),
            provider_model: mapped.map(|model| self.name(&model)),
            session: self.session(story.affinity),
            stream: story.streaming,
            route: story.route.as_ref().map(|route| self.name(&route.name)),
            strategy: story.route.as_ref().map(|route| self.name(route.strategy().name())),
            provider: story.provider().map(|provider| self.name(&provider.config.name)),
            outcome: self.name(count::outcome(story)),
            status: story.status,
            error: story.error.map(|error| self.name(error)),
            message: story.sentence.as_deref().map(Text::from),
            duration_ms: Millis::of(story.took),
            first_byte_ms: story.first_byte.map(Millis::of),
            queue_ms: story.queued.map(Millis::of),
            slot_wait_ms: Millis::of(story.slots),
            overhead_ms: story.overhead.map(Millis::of),
            prompt_tokens: usage.prompt_tokens(),
            completion_tokens: usage.completion_tokens(),
            cached_tokens: usage.count(Part::CacheRead),
            reasoning_tokens: usage.count(Part::Reasoning),
            cache_write_tokens: usage.count(Part::CacheWrite) + usage.count(Part::CacheWriteHour),
            estimated_tokens: story.estimated,
            cost_nano: story.cost.map(|cost| cost.0),
            approach: story.approach.as_ref().map(|approach| Approach {
                name: self.name(&approach.name),
                calls: approach.calls,
                depth: approach.depth,
            }),
            inner: story
                .inner
                .as_ref()
                .map(|inner| Inner { approach: self.name(&inner.approach), step: self.name(&inner.step) }),
            trace: story.trace.as_deref().map(Into::into),
            websocket: story.websocket.as_deref().map(|websocket| WebSocket {
                ended: self.name(websocket.ended.name()),
                by: self.name(websocket.by),
                code: websocket.code,
                client_messages: websocket.from_client.messages,
                client_bytes: websocket.from_client.bytes,
                provider_messages: websocket.from_provider.messages,
                provider_bytes: websocket.from_provider.bytes,
                answers: websocket.answers,
            }),
            offers: self.offers(story, now.0),
            attempts: story.attempts.iter().take(MOST_ATTEMPTS).map(|attempt| self.attempt(attempt, story)).collect(),
            more_attempts: story.attempts.len().saturating_sub(MOST_ATTEMPTS) as u64,
        }
    }

    fn attempt(&mut self, attempt: &story::Attempt, story: &Story) -> Attempt {
        let provider = &attempt.provider.config.name;
        // Attempts on a route before a fallback have targets of that one.
        let route = story.offers.iter().rev().find(|offer| offer.at <= attempt.began).map(|offer| &offer.route);
        let target = route.and_then(|route| route.targets().get(attempt.target as usize));
        let target = target.map(|target| target.name.as_str()).filter(|name| name != provider);
        // One that was given up with its request ended with it.
        let until_the_end = story.took.saturating_sub(attempt.began.saturating_duration_since(story.began));
        let took = if attempt.took.is_zero() { until_the_end } else { attempt.took };
        Attempt {
            provider: self.name(provider),
            target: target.map(|name| self.name(name)),
            at_ms: Millis::of(attempt.began.saturating_duration_since(story.began)),
            first_ms: attempt.first.map(Millis::of),
            took_ms: Millis::of(took),
            outcome: self.name(attempt.kind.name()),
            status: attempt.status,
            reason: attempt.reason.as_deref().map(Text::from),
            is_hedge: attempt.is_hedge,
            unsent: !attempt.sent,
            span: attempt.span,
        }
    }

    fn offers(&mut self, story: &Story, now: Instant) -> Vec<Offer> {
        let mut offers: Vec<Offer> = Vec::with_capacity(story.offers.len());
        for offer in &story.offers {
            offers.push(self.offer(offer, story, now));
        }
        for &(before, target, why) in &story.passed_over {
            // It belongs to the latest offer before the next attempt.
            let next = story.attempts.get(before).map(|attempt| attempt.began);
            let of = story.offers.iter().rposition(|offer| next.is_none_or(|next| offer.at <= next));
            if let Some((of, offer)) = of.and_then(|of| Some((of, offers.get_mut(of)?))) {
                let name = self.name(&story.offers[of].route.target(target).name);
                let why = self.name(match why {
                    Full::Slots => "slots",
                    Full::Account => "account",
                    Full::Out => "out",
                });
                offer.passed_over.push(Absent { name, why, for_ms: None, reason: None });
            }
        }
        offers
    }

    fn offer(&mut self, offer: &story::Offer, story: &Story, now: Instant) -> Offer {
        let route = &offer.route;
        let is_other = story.route.as_ref().is_some_and(|last| !Arc::ptr_eq(last, route));
        let decision = offer.decision.as_ref().map(|(decision, _)| decision);
        let origin = decision.map(|decision| match decision.origin {
            Origin::Strategy { .. } => "strategy",
            Origin::Abstained => "abstained",
            Origin::Refused => "refused",
            Origin::Faulted => "faulted",
        });
        let reason = match decision.map(|decision| decision.origin) {
            // 0 is no reason.
            Some(Origin::Strategy { reason }) if reason > 0 => route.strategy().reason(reason),
            Some(Origin::Strategy { .. } | Origin::Abstained | Origin::Refused | Origin::Faulted) | None => None,
        };
        Offer {
            tier: self.name(offer.tier.name()),
            route: is_other.then(|| self.name(&route.name)),
            at_ms: Millis::of(offer.at.saturating_duration_since(story.began)),
            is_last: offer.is_last,
            strategy: decision.is_some().then(|| self.strategy(route, now)),
            origin: origin.map(|origin| self.name(origin)),
            reason: reason.map(|reason| self.name(&reason)),
            took_ms: Millis::of(offer.decision.as_ref().map_or(Duration::ZERO, |(_, took)| *took)),
            candidates: self.candidates(offer, decision),
            more_candidates: offer.offered.saturating_sub(offer.candidates.len()) as u64,
            absent: self.absent(offer),
            passed_over: Vec::new(),
        }
    }

    /// What the strategy that decides says of itself.
    fn strategy(&mut self, route: &Route, now: Instant) -> Strategy {
        let name = route.strategy().name();
        let is_fresh = |asked: Instant| now.saturating_duration_since(asked) < STRATEGY_AGE;
        let known = self.strategies.iter().find(|(known, _, asked)| **known == *name && is_fresh(*asked));
        if let Some((_, known, _)) = known {
            return known.clone();
        }
        let health = route.strategy().health();
        let (name, version, digest) = (self.name(name), self.name(&health.version), self.name(&health.digest));
        let strategy = Strategy { name: Text::clone(&name), version, digest };
        self.strategies.retain(|(known, _, asked)| *known != name && is_fresh(*asked));
        self.strategies.push((name, strategy.clone(), now));
        strategy
    }

    /// The candidates in the order of the decision, and behind them those that it excludes.
    fn candidates(&mut self, offer: &story::Offer, decision: Option<&Decision>) -> Vec<Candidate> {
        let Some(decision) = decision else { return Vec::new() };
        let route = &offer.route;
        let facts = |index: u32| offer.candidates.iter().find(|candidate| candidate.target == index);
        let order = decision.order.iter().enumerate().map(|(place, &index)| (index, decision.reasons.get(place)));
        let excluded = decision.excluded.iter().map(|&index| (index, None));
        let mut candidates = Vec::with_capacity(decision.order.len() + decision.excluded.len());
        for (index, reason) in order.chain(excluded) {
            let facts = facts(index);
            let left = |left: u32| Some(left).filter(|left| *left < 1000);
            let reason = reason.and_then(|&reason| route.strategy().reason(reason));
            candidates.push(Candidate {
                name: self.name(&route.target(index).name),
                in_flight: facts.map_or(0, |facts| facts.in_flight),
                latency_ms: Millis(facts.map_or(0, |facts| facts.latency_us.into())),
                failure_permille: facts.map_or(0, |facts| facts.failure_permille),
                requests_left: facts.and_then(|facts| left(facts.requests_left)),
                tokens_left: facts.and_then(|facts| left(facts.tokens_left)),
                reason: reason.map(|reason| self.name(&reason)),
                is_excluded: decision.excluded.contains(&index),
            });
        }
        candidates
    }

    /// Those that were no candidates: for their health, and because they do not serve the model.
    fn absent(&mut self, offer: &story::Offer) -> Vec<Absent> {
        let (route, mut absent) = (&offer.route, Vec::new());
        for (index, absence) in &offer.absent {
            let (why, until, reason) = match absence {
                Absence::Ejected { until, reason } => ("ejected", Some(*until), reason.as_ref()),
                Absence::Throttled { until, reason } => ("throttled", Some(*until), reason.as_ref()),
                Absence::OnTrial => ("on_trial", None, None),
                Absence::NothingLeft => ("nothing_left", None, None),
                Absence::Tried => ("tried", None, None),
                Absence::Excluded => ("excluded", None, None),
            };
            absent.push(Absent {
                name: self.name(&route.target(*index).name),
                why: self.name(why),
                for_ms: until.map(|until| Millis::of(until.saturating_duration_since(offer.at))),
                reason: reason.map(|reason| self.name(reason)),
            });
        }
        let serves = offer.eligible.targets();
        if serves.len() < route.targets().len() {
            let others = (0..).zip(route.targets()).filter(|(index, _)| serves.binary_search(index).is_err());
            for (_, target) in others.take(story::Offer::KEPT) {
                let (name, why) = (self.name(&target.name), self.name("model"));
                absent.push(Absent { name, why, for_ms: None, reason: None });
            }
        }
        absent
    }
}
