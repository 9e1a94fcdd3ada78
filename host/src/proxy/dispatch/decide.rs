//! The order in which the candidates of a tier are tried: one call of the route's strategy.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::course::Course;
use super::{Dispatcher, Job};
use crate::observe::Offer;
use crate::provider::Absence;
use crate::proxy::endpoint::Class;
use crate::proxy::telling::Telling;
use crate::routing::{Candidate, Decision, Facts, Origin, Route, Tier};

impl Dispatcher<'_> {
    /// The candidates in the order of the strategy, and behind them, in its order too, those that have said that they
    /// do not serve this. The course notes those that it excludes.
    pub(super) fn ordered(
        &self,
        tier: Tier,
        candidates: Vec<Candidate>,
        course: &mut Course<'_>,
        story: &mut Telling,
        now: Instant,
    ) -> (Vec<u32>, Instant) {
        let absent = self.absent(tier, &candidates, course, now);
        let unserved = &course.route.unserved;
        // Requests for stored things ask no strategy, and must not move its rotation on.
        let stored = course.job.endpoint.class == Class::Stored;
        let seq = if stored { 0 } else { course.eligible.next_seq(tier) };
        if unserved.is_empty() || !course.may_be_unserved() {
            return self.decide((tier, seq), candidates, absent, course, story, now);
        }
        let refused = unserved.by(course.wanted(), now);
        let (last, first): (Vec<Candidate>, Vec<Candidate>) =
            candidates.iter().partition(|candidate| refused.contains(&candidate.target));
        if first.is_empty() || last.is_empty() {
            return self.decide((tier, seq), candidates, absent, course, story, now);
        }
        // These are decided first, so that the explanation is about those that are tried first.
        let (last, now) = self.decide((tier, seq), last, Vec::new(), course, story, now);
        if let Some(offer) = story.offers.last_mut() {
            offer.is_last = true;
        }
        let (mut order, decided) = self.decide((tier, seq), first, absent, course, story, now);
        order.extend(last);
        (order, decided)
    }

    /// Asks the strategy, at `now`, for the order of the candidates; returns the order and the time of the answer.
    fn decide(
        &self,
        (tier, seq): (Tier, u32),
        candidates: Vec<Candidate>,
        absent: Vec<(u32, Absence)>,
        course: &mut Course<'_>,
        story: &mut Telling,
        now: Instant,
    ) -> (Vec<u32>, Instant) {
        let Job { endpoint, body, affinity, attributes, .. } = course.job;
        if endpoint.class == Class::Stored {
            // It must be the same provider each time, or a thing stored today is not found tomorrow.
            let decision = Decision::default_order(&candidates, Origin::Abstained);
            let order = decision.order.clone();
            story.offers.push(offer(course, tier, now, candidates, Some((decision, Duration::ZERO)), absent));
            return (order, now);
        }
        let strategy = course.route.strategy();
        let attributes: Vec<(&str, &str)> =
            attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let prompt = if strategy.wants_prompt() { body.prompt(Facts::PROMPT_BYTES) } else { String::new() };
        let client = story.client.clone();
        let facts = Facts {
            seq,
            entropy: self.entropy.bits(),
            now_ms: self.clock.now_ms(),
            tier,
            attempts: u32::try_from(story.attempts.len()).unwrap_or(u32::MAX),
            model: Facts::known(course.asked()),
            streaming: body.streaming(),
            body_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            route: &course.route.name,
            client: client.as_ref().map_or("", |client| &client.name),
            prompt_tokens: body.prompt_tokens(),
            max_tokens: body.max_tokens(),
            affinity: *affinity,
            attributes: &attributes,
            prompt: &prompt,
        };
        let decision = strategy.decide(&facts, &candidates);
        let decided = Instant::now();
        strategy.took(decided - now);
        if self.generation.explain {
            story.decision = Some(explain(&course.route, tier, &decision));
        }
        tracing::debug!(
            request_id = story.id.as_str(),
            tier = tier.name(),
            order = ?decision.order.iter().map(|&index| &course.route.target(index).name).collect::<Vec<_>>(),
            origin = ?decision.origin,
            "decided"
        );
        if !decision.excluded.is_empty() {
            if let Origin::Strategy { reason } = decision.origin {
                course.excluded_because = reason;
            }
            course.excluded.extend_from_slice(&decision.excluded);
        }
        let order = decision.order.clone();
        story.offers.push(offer(course, tier, now, candidates, Some((decision, decided - now)), absent));
        (order, decided)
    }

    /// Those of a tier that are no candidates, and why.
    fn absent(&self, tier: Tier, candidates: &[Candidate], course: &Course<'_>, now: Instant) -> Vec<(u32, Absence)> {
        if candidates.len() == course.eligible.in_tier(tier).len() {
            return Vec::new();
        }
        let passed = (&course.tried[..], &course.excluded[..]);
        self.generation.fleet.absent(tier, course.among(), course.model, passed, candidates, now)
    }

    /// Notes a tier that has nobody to offer, unless all were offered before.
    pub(super) fn note_nobody(&self, tier: Tier, course: &Course<'_>, story: &mut Telling, now: Instant) {
        let absent = self.absent(tier, &[], course, now);
        if absent.iter().any(|(_, why)| !matches!(why, Absence::Tried | Absence::Excluded)) {
            story.offers.push(offer(course, tier, now, Vec::new(), None, absent));
        }
    }
}

/// The note of an offer; of many candidates the first.
fn offer(
    course: &Course<'_>,
    tier: Tier,
    at: Instant,
    mut candidates: Vec<Candidate>,
    mut decision: Option<(Decision, Duration)>,
    absent: Vec<(u32, Absence)>,
) -> Offer {
    let offered = candidates.len();
    if offered > Offer::KEPT {
        candidates = candidates[..Offer::KEPT].to_vec();
        if let Some((Decision { order, reasons, excluded, .. }, _)) = &mut decision {
            for indices in [order, reasons, excluded] {
                *indices = indices[..indices.len().min(Offer::KEPT)].to_vec();
            }
        }
    }
    let (route, eligible) = (Arc::clone(&course.route), Arc::clone(&course.eligible));
    Offer { tier, route, eligible, at, candidates, offered, decision, absent, is_last: false }
}

/// The explanation of a decision.
fn explain(route: &Route, tier: Tier, decision: &Decision) -> String {
    let text = |reason: u32| route.strategy().reason(reason).unwrap_or_else(|| format!("reason {reason}"));
    let of_each = |place: usize| decision.reasons.get(place).map(|&reason| format!("({})", text(reason)));
    let order = names(route, &decision.order, |place| of_each(place).unwrap_or_default());
    let excluded = match &decision.excluded[..] {
        [] => String::new(),
        excluded => format!("; excluded={}", names(route, excluded, |_| String::new())),
    };
    let reason = match decision.origin {
        Origin::Strategy { reason } => text(reason),
        Origin::Abstained => "no opinion: default order".to_owned(),
        Origin::Refused => "no order for this request: default order".to_owned(),
        Origin::Faulted => "the strategy broke: default order".to_owned(),
    };
    let (strategy, tier) = (route.strategy().name(), tier.name());
    format!("strategy={strategy}; tier={tier}; order={order}{excluded}; reason={reason}")
}

/// The names of some targets, each with its explanation, if there is one.
fn names(route: &Route, targets: &[u32], remark: impl Fn(usize) -> String) -> String {
    const SHOWN: usize = 10;
    let name = |(place, &index): (usize, &u32)| format!("{}{}", route.target(index).name, remark(place));
    let shown: Vec<String> = targets.iter().enumerate().take(SHOWN).map(name).collect();
    let more = targets.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(",+{more}") } else { String::new() };
    format!("{}{more}", shown.join(","))
}
