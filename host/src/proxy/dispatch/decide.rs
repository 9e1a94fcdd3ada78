//! The order in which the candidates of a tier are tried: one call of the route's strategy.

use tokio::time::Instant;

use super::course::Course;
use super::{Dispatcher, Order};
use crate::proxy::endpoint::Class;
use crate::proxy::telling::Telling;
use crate::routing::{Candidate, Decision, Facts, Origin, Route, Tier};

impl Dispatcher<'_> {
    /// The candidates in the order of the strategy, and behind them those that have said that they do not serve this.
    pub(super) fn ordered(
        &self,
        tier: Tier,
        candidates: Vec<Candidate>,
        course: &Course<'_>,
        story: &mut Telling,
        now: Instant,
    ) -> (Vec<u32>, Instant) {
        let unserved = &course.route.unserved;
        if unserved.is_empty() || !course.may_be_unserved() {
            return self.decide(tier, &candidates, course, story, now);
        }
        let refused = unserved.by(course.wanted(), now);
        let (last, first): (Vec<Candidate>, Vec<Candidate>) =
            candidates.iter().partition(|candidate| refused.contains(&candidate.target));
        if first.is_empty() {
            return self.decide(tier, &candidates, course, story, now);
        }
        let (mut order, decided) = self.decide(tier, &first, course, story, now);
        order.extend(last.iter().map(|candidate| candidate.target));
        (order, decided)
    }

    /// Asks the strategy, at `now`, for the order of the candidates, and says when it had answered.
    fn decide(
        &self,
        tier: Tier,
        candidates: &[Candidate],
        course: &Course<'_>,
        story: &mut Telling,
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
            attempts: u32::try_from(story.attempts.len()).unwrap_or(u32::MAX),
            model: Facts::known(course.asked()),
            streaming: body.streaming(),
            body_bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            affinity: *affinity,
            ..Facts::NOTHING
        };
        let strategy = course.route.strategy();
        let decision = strategy.decide(&facts, candidates);
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
        (decision.order, decided)
    }
}

/// The decision for whoever wants to know why.
fn explain(route: &Route, tier: Tier, decision: &Decision) -> String {
    const SHOWN: usize = 10;
    let names = decision.order.iter().map(|&index| route.target(index).name.as_str());
    let shown: Vec<&str> = names.take(SHOWN).collect();
    let more = decision.order.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(",+{more}") } else { String::new() };
    let reason = match decision.origin {
        Origin::Strategy { reason } => route.strategy().reason(reason).unwrap_or_else(|| format!("reason {reason}")),
        Origin::Abstained => "no opinion: default order".to_owned(),
        Origin::Refused => "no order for this request: default order".to_owned(),
        Origin::Faulted => "the strategy broke: default order".to_owned(),
    };
    let (strategy, tier) = (route.strategy().name(), tier.name());
    format!("strategy={strategy}; tier={tier}; order={}{more}; reason={reason}", shown.join(","))
}
