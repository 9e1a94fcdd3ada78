//! A second attempt beside one that is slow to begin its answer: the first content wins, and the other's connection is
//! closed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Dispatcher;
use super::course::Course;
use crate::provider::Permit;
use crate::proxy::attempt::{Attempted, Failure};
use crate::proxy::telling::Telling;
use crate::routing::hedging::Hedging;
use crate::routing::{Observer, Outcome, Tier};

/// The end of an attempt that may have had a second one beside it.
pub(super) struct Hedged {
    /// The end of the one that counts.
    pub attempted: Attempted,
    /// Its place among the attempts, and its target.
    pub last: (usize, u32),
    /// The other one, if it failed: its place, its target, and its failure.
    pub failed: Option<(usize, u32, Failure)>,
    /// The targets that were tried beside the first.
    pub tried: Vec<u32>,
}

impl Dispatcher<'_> {
    /// Makes an attempt. If it has no content after a while, makes a second one at the next of `pending` that has a
    /// slot.
    pub(super) async fn hedge(
        &self,
        (at, index, permit): (usize, u32, Permit),
        after: Duration,
        pending: &[u32],
        tier: Tier,
        course: &Course<'_>,
        story: &mut Telling,
    ) -> Hedged {
        let began = permit.began();
        let alone = |attempted| Hedged { attempted, last: (at, index), failed: None, tried: Vec::new() };
        let told = story.told(at);
        let Some(hedging) = &course.route.hedging else {
            return alone(self.attempt((index, permit), course, told).await);
        };
        let mut first = pin!(self.attempt((index, permit), course, told));
        let took = |attempted: &Attempted| {
            if matches!(attempted, Attempted::Answered(_)) {
                hedging.took(began.elapsed());
            }
        };
        if let Ok(attempted) = timeout_at(began + after, &mut first).await {
            took(&attempted);
            return alone(attempted);
        }
        let now = Instant::now();
        let Some((other, permit)) = self.second(hedging, pending, tier, course, now) else {
            let attempted = first.await;
            took(&attempted);
            return alone(attempted);
        };
        let beside = story.hedged(permit.provider().clone(), other, now);
        let mut second = pin!(self.attempt((other, permit), course, story.told(beside)));
        let (attempted, is_first) = tokio::select! {
            biased;
            attempted = &mut first => (attempted, true),
            attempted = &mut second => (attempted, false),
        };
        let tried = vec![other];
        let (mine, theirs) = if is_first { ((at, index), (beside, other)) } else { ((beside, other), (at, index)) };
        if is_first {
            took(&attempted);
        } else if matches!(attempted, Attempted::Answered(_)) {
            // The first one would have taken even longer.
            hedging.took(began.elapsed());
        }
        match attempted {
            Attempted::Answered(_) => {
                // The other one's connection is closed as its future is dropped.
                story.attempt_ended(theirs.0, Outcome::Cancelled, Instant::now());
                Hedged { attempted, last: mine, failed: None, tried }
            }
            Attempted::Failed(failure) => {
                let attempted = if is_first { second.await } else { first.await };
                Hedged { attempted, last: theirs, failed: Some((mine.0, mine.1, failure)), tried }
            }
        }
    }

    /// The right to a second attempt, and a slot for it that is free now.
    fn second(
        &self,
        hedging: &Hedging,
        pending: &[u32],
        tier: Tier,
        course: &Course<'_>,
        now: Instant,
    ) -> Option<(u32, Permit)> {
        if pending.is_empty() || !hedging.take() {
            return None;
        }
        let permit = pending.iter().find_map(|&index| {
            let target = course.route.target(index);
            let place = (target.provider, tier, target.key(course.model));
            let demand = || self.demand(index, course);
            Some((index, self.generation.fleet.try_permit(place, demand, now).ok()?))
        });
        let Some((index, mut permit)) = permit else {
            hedging.give_back();
            return None;
        };
        permit.observed_by(Arc::clone(&course.route) as Arc<dyn Observer>, index);
        if let Some(timeouts) = &course.route.timeouts {
            permit.keep_to(permit.bounds().on(timeouts));
        }
        permit.excuse(course.excuse(&permit.provider().config.name));
        Some((index, permit))
    }
}
