//! The provider that a request goes to next: the first of the order that has room, or the first that comes to have it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::select_all;
use tokio::time::{Instant, timeout, timeout_at};

use super::course::Course;
use super::{Dispatcher, Job};
use crate::limits::{Refusal, Until};
use crate::observe::Full;
use crate::provider::account::{Demand, Tariff};
use crate::provider::{Permit, Unavailable};
use crate::proxy::endpoint::Class;
use crate::proxy::limits::Exhausted;
use crate::proxy::respond::ProxyError;
use crate::proxy::stream::protocol::Protocol;
use crate::proxy::telling::Telling;
use crate::routing::Tier;

impl Dispatcher<'_> {
    /// The next provider of the order that has a slot, and room in its account. Those that were ejected meanwhile are
    /// dropped from `pending`, and those whose account is too small; `None` when none is left.
    ///
    /// # Errors
    ///
    /// [`ProxyError::QueueTimeout`] when no slot comes free before the request's deadline, and
    /// [`ProxyError::ProvidersLimited`] when no account has room by then.
    pub(super) async fn next_permit(
        &self,
        pending: &mut Vec<u32>,
        tier: Tier,
        course: &Course<'_>,
        story: &mut Telling,
        mut now: Instant,
    ) -> Result<Option<(u32, Permit)>, ProxyError> {
        let (job, fleet) = (course.job, &self.generation.fleet);
        let at = |index: u32| {
            let target = course.route.target(index);
            (target.provider, tier, target.key(course.model))
        };
        let demand = |index: u32| move || self.demand(index, course);
        let mut place = 0;
        while place < pending.len() {
            let index = pending[place];
            let wait = self.generation.slot_wait.min(job.deadline.saturating_duration_since(now));
            let is_long = match fleet.try_permit(at(index), demand(index), now) {
                Ok(permit) => return Ok(Some((index, permit))),
                Err(Unavailable::Out) => {
                    story.passed_over(index, Full::Out);
                    pending.remove(place);
                    continue;
                }
                Err(Unavailable::Saturated) => {
                    story.passed_over(index, Full::Slots);
                    false
                }
                Err(Unavailable::Limited(refusal)) if refusal.until == Until::Never => {
                    story.passed_over(index, Full::Account);
                    pending.remove(place);
                    continue;
                }
                Err(Unavailable::Limited(refusal)) => {
                    story.passed_over(index, Full::Account);
                    !self.ends_by(&refusal, now + wait, now)
                }
            };
            // Prefer this one for a moment, but only while another one has a slot.
            let has_room = |&other: &u32| fleet.provider(at(other).0).has_room(demand(other), now);
            if !pending[place + 1..].iter().any(has_room) {
                break;
            }
            if is_long {
                place += 1;
                continue;
            }
            match timeout(wait, fleet.permit(at(index), demand(index))).await {
                Ok(Some(permit)) => return Ok(Some((index, permit))),
                Ok(None) => {
                    pending.remove(place);
                }
                Err(_elapsed) => place += 1,
            }
            now = Instant::now();
        }
        while !pending.is_empty() {
            let now = Instant::now();
            let refusal = |index: u32| fleet.provider(at(index).0).refusal(demand(index), now);
            let in_time = |&index: &u32| refusal(index).is_none_or(|refusal| self.ends_by(&refusal, job.deadline, now));
            let hopeful: Vec<u32> = pending.iter().copied().filter(in_time).collect();
            if hopeful.is_empty() {
                if !course.failed.is_empty() {
                    // The next tier is for those that have failed.
                    return Ok(None);
                }
                match self.limited(course, now) {
                    Some(error) => return Err(error),
                    None => continue,
                }
            }
            let waits = hopeful.iter().map(|&index| fleet.permit(at(index), demand(index)).boxed());
            let Ok((permit, position, _others)) = timeout_at(job.deadline, select_all(waits)).await else {
                let are_limited = hopeful.iter().all(|&index| refusal(index).is_some());
                let timed_out = ProxyError::QueueTimeout(self.generation.queue_timeout);
                return Err(self.limited(course, Instant::now()).filter(|_| are_limited).unwrap_or(timed_out));
            };
            let index = hopeful[position];
            pending.retain(|&other| other != index);
            if let Some(permit) = permit {
                return Ok(Some((index, permit)));
            }
        }
        Ok(None)
    }

    /// What an attempt at a target asks for, as far as it matters to the account of its provider.
    pub(super) fn demand(&self, index: u32, course: &Course<'_>) -> Demand {
        let Job { endpoint, body, .. } = course.job;
        if endpoint.class != Class::Generate {
            return Demand::default();
        }
        let target = course.route.target(index);
        let provider = self.generation.fleet.provider(target.provider);
        let is_priced = provider.account().is_some_and(|account| account.counts_money());
        let tariff = is_priced.then(|| {
            let asked = course.asked();
            Tariff {
                prices: Arc::clone(&self.generation.prices),
                provider: provider.config.name.clone(),
                model: target.model_for(&provider.config, asked, course.route.taken(asked)).into_owned(),
                target: target.price,
            }
        });
        Demand {
            model: target.key(course.model).number(),
            guess: body.prompt_tokens().into(),
            most: u64::from(body.max_tokens()).saturating_mul(body.choices().into()),
            choices: body.choices().into(),
            is_text: Protocol::of(&endpoint.path) != Protocol::Other,
            tariff,
        }
    }

    /// True when a refusal is over by `deadline`, as far as anybody knows.
    fn ends_by(&self, refusal: &Refusal, deadline: Instant, now: Instant) -> bool {
        let left = deadline.saturating_duration_since(now);
        match refusal.until {
            Until::Free | Until::Ask => true,
            Until::Wait(wait) => wait <= left,
            Until::End(end) => end.since(self.generation.fleet.clock().moment(now)) <= left,
            Until::Never | Until::Closed => false,
        }
    }

    /// The error of a request because of the accounts that have no room for it; `None` when every account has.
    pub(super) fn limited(&self, course: &Course<'_>, now: Instant) -> Option<ProxyError> {
        let fleet = &self.generation.fleet;
        let refusal = |&index: &u32| {
            let provider = fleet.provider(course.route.target(index).provider);
            let refusal = provider.refusal(|| self.demand(index, course), now)?;
            Some((provider.config.name.clone(), *refusal))
        };
        let refusals: Vec<_> = course.eligible.targets().iter().filter_map(refusal).collect();
        let at = fleet.clock().moment(now);
        (!refusals.is_empty()).then(|| ProxyError::ProvidersLimited(Box::new(Exhausted { refusals, at })))
    }
}
