//! The course of one request through the loop: the targets that were tried, how that ended, and the answer in the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Job;
use crate::provider::{Excuse, Fleet};
use crate::proxy::attempt::{Answered, Failure};
use crate::proxy::endpoint::Class;
use crate::proxy::respond::{ProxyError, Tried};
use crate::proxy::stored;
use crate::proxy::telling::Telling;
use crate::routing::eligible::EligibleSet;
use crate::routing::unserved::Wanted;
use crate::routing::{Candidate, Evidence, ModelKey, Next, Outcome, Route};

/// The course of one request.
pub(super) struct Course<'a> {
    pub job: &'a Job,
    /// The model that is asked for in place of the client's, if any.
    pub instead: Option<String>,
    pub route: Arc<Route>,
    /// Those of its targets that serve the model.
    pub eligible: Arc<EligibleSet>,
    /// The model that is asked for.
    pub model: ModelKey,
    /// Targets that were tried, in order; since the first retry, those tried again.
    pub tried: Vec<u32>,
    /// Targets that the strategy has excluded, for good.
    pub excluded: Vec<u32>,
    /// Its reason for that, by number.
    pub excluded_because: u32,
    /// Attempts that are left, once every candidate has been tried and all have failed softly.
    pub retries: u32,
    /// True when the request is retried because every candidate has been tried.
    pub retrying: bool,
    pub failed: Vec<Tried>,
    /// Failures from before the present model was asked for.
    pub before: usize,
    /// The latest 404, in case there is nothing better.
    pub not_found: Option<Answered>,
    /// True when a healthy provider was offered.
    pub any_healthy: bool,
}

impl<'a> Course<'a> {
    /// The beginning of the course of a job to those targets of a route.
    pub fn new(job: &'a Job, route: Arc<Route>, eligible: Arc<EligibleSet>) -> Self {
        Self {
            job,
            instead: None,
            route,
            eligible,
            model: ModelKey::of(job.body.model()),
            tried: Vec::new(),
            excluded: Vec::new(),
            excluded_because: 0,
            retries: 0,
            retrying: false,
            failed: Vec::new(),
            before: 0,
            not_found: None,
            any_healthy: false,
        }
    }

    /// Asks for another model than the client's.
    pub fn ask_for(&mut self, model: &str) {
        self.model = ModelKey::of(model);
        self.instead = Some(model.to_owned());
    }

    /// Goes on with another model, on its own route.
    pub fn turn(&mut self, model: &str, route: &Arc<Route>, eligible: Arc<EligibleSet>) {
        (self.route, self.eligible) = (Arc::clone(route), eligible);
        self.ask_for(model);
        self.tried.clear();
        // Those exclusions were for targets of another route, whose strategy does not decide here.
        self.excluded.clear();
        (self.retrying, self.before) = (false, self.failed.len());
    }

    /// The model that is asked for now.
    pub fn asked(&self) -> &str {
        self.instead.as_deref().unwrap_or_else(|| self.job.body.model())
    }

    /// The time without content after which the next attempt gets a second one beside it; `None` is never.
    pub fn hedged_after(&self) -> Option<Duration> {
        let hedging = self.route.hedging.as_ref()?;
        // A stored thing must not be made twice.
        let may = !self.retrying && self.job.endpoint.class == Class::Generate && !stored::is_kept(self.job);
        may.then(|| hedging.begin())
    }

    /// Leaves out the candidates that the strategy has excluded before.
    pub fn leave_out(&self, candidates: &mut Vec<Candidate>) {
        if !self.excluded.is_empty() {
            candidates.retain(|candidate| !self.excluded.contains(&candidate.target));
        }
    }

    /// The error of a request when the strategy has excluded all targets that could serve it.
    fn nobody_is_left(&self) -> Option<ProxyError> {
        let is_excluded = |target: &u32| self.excluded.contains(target);
        let targets = self.eligible.targets();
        (!targets.is_empty() && targets.iter().all(is_excluded)).then(|| {
            let strategy = self.route.strategy();
            let reason = (self.excluded_because > 0).then(|| strategy.reason(self.excluded_because)).flatten();
            ProxyError::ExcludedByStrategy { strategy: strategy.name().to_owned(), reason }
        })
    }

    /// True when a 404 or 501 is about the models and endpoints of the provider, and not about one thing stored there.
    pub fn may_be_unserved(&self) -> bool {
        self.job.endpoint.class == Class::Generate
    }

    /// The targets to choose among.
    pub fn among(&self) -> (&Route, &EligibleSet) {
        (&self.route, &self.eligible)
    }

    pub fn wanted(&self) -> Wanted {
        Wanted::new(&self.job.endpoint.path, self.model)
    }

    /// True when every failure so far may go away in another try.
    pub fn failed_softly(&self) -> bool {
        let failed = &self.failed[self.before..];
        !failed.is_empty() && failed.iter().all(|tried| tried.outcome.evidence() == Evidence::Soft)
    }

    /// The failures for which this request may itself be to blame at this provider.
    pub fn excuse(&self, provider: &str) -> Excuse {
        let timed_out = |tried: &Tried| matches!(tried.outcome, Outcome::TimedOut { .. });
        Excuse {
            timed_out: self.failed.iter().any(timed_out),
            failed_here: self.failed.iter().any(|tried| tried.provider == provider),
        }
    }

    /// The answer when nothing worked.
    pub fn end(mut self, fleet: &Fleet) -> Result<Answered, ProxyError> {
        if let Some(error) = self.nobody_is_left() {
            return Err(error);
        }
        let outcomes = || self.failed.iter().map(|tried| tried.outcome);
        if outcomes().all(|outcome| matches!(outcome, Outcome::Throttled { .. })) {
            let wait = fleet.all_throttled_for(self.among(), self.model);
            let wait = wait.or_else(|| outcomes().filter_map(asked_to_wait).min());
            let wait = wait.unwrap_or(Duration::from_secs(1));
            let tried = if self.failed.is_empty() { self.limited(fleet) } else { self.failed };
            return Err(ProxyError::AllThrottled { wait, tried });
        }
        if outcomes().all(|outcome| outcome == Outcome::NotFound)
            && let Some(answered) = self.not_found.take()
        {
            return Ok(answered);
        }
        if outcomes().all(|outcome| matches!(outcome, Outcome::TimedOut { .. })) {
            return Err(ProxyError::AllTimedOut(self.failed));
        }
        Err(ProxyError::AllFailed { tried: self.failed, any_healthy: self.any_healthy })
    }

    /// The rate limits because of which nobody was asked: the latest reasons of a few providers.
    pub fn limited(&self, fleet: &Fleet) -> Vec<Tried> {
        const SHOWN: usize = 5;
        let snapshot = fleet.snapshot();
        let limited = self.eligible.targets().iter().filter_map(|&index| {
            let provider = fleet.provider(self.route.target(index).provider);
            let reason = snapshot.of(provider.seat()).reason()?.to_owned();
            let outcome = Outcome::Throttled { retry_after: None };
            Some(Tried { provider: provider.config.name.clone(), outcome, reason, words: None })
        });
        limited.take(SHOWN).collect()
    }

    /// Notes a failed attempt; logs a warning for failures that an operator can fix.
    pub fn note(&mut self, (at, index): (usize, u32), failure: Failure, story: &mut Telling, now: Instant) {
        let Failure { outcome, sent, not_found, reason, words, detail, is_told } = failure;
        if self.may_be_unserved() {
            self.route.unserved.note(index, self.wanted(), outcome, now);
        }
        story.attempt_ended(at, outcome, now);
        story.failed_because(at, &reason);
        if !sent {
            story.unsent(at);
        }
        let (request_id, attempt) = (story.id.as_str(), at + 1);
        let Some(provider) = story.provider_of(at) else { return };
        let detail = detail.as_deref();
        match outcome.next() {
            // One warning is enough, and the one about the ejection also says how long it lasts.
            Next::TryNext if is_told => {
                tracing::info!(request_id, provider, attempt, detail, "provider {provider} {reason}")
            }
            Next::TryNext => tracing::warn!(request_id, provider, attempt, detail, "provider {provider} {reason}"),
            Next::Answer | Next::Stop => {
                tracing::debug!(request_id, provider, attempt, detail, "provider {provider} {reason}")
            }
        }
        self.not_found = not_found.or(self.not_found.take());
        // A retry that ends like the attempt before it says nothing new.
        let is_known = |tried: &Tried| tried.provider == provider && tried.outcome == outcome;
        if !self.failed.iter().any(is_known) {
            self.failed.push(Tried { provider: provider.to_owned(), outcome, reason, words });
        }
    }
}

fn asked_to_wait(outcome: Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Throttled { retry_after } => retry_after,
        _ => None,
    }
}
