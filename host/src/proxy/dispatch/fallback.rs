//! Fallback models for one that could not be served, as the routes name them.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::Dispatcher;
use super::course::Course;
use crate::proxy::attempt::Answered;
use crate::proxy::limits::{Share, Wanted};
use crate::proxy::respond::ProxyError;
use crate::proxy::telling::Telling;
use crate::routing::{Outcome, Route};

/// The models that a route names for the way in which a request ended, and that way in words; `None` when it ended
/// well, or in a way for which the route names none.
fn instead<'r>(route: &'r Route, answered: Option<&Answered>) -> Option<(&'r [String], &'static str)> {
    match answered.map(|answered| answered.outcome) {
        None => Some((&route.fallbacks.on_failure, "all of its targets failed")),
        Some(Outcome::ContextWindow(_)) => Some((&route.fallbacks.on_context_window, "the request is too long for it")),
        Some(Outcome::ContentPolicy(_)) => Some((&route.fallbacks.on_content_policy, "a filter refuses the request")),
        Some(_) => None,
    }
}

/// The next model that the client may use; those that it may not are never asked for, and do not count.
fn next(waiting: &mut VecDeque<String>, seen: &mut Vec<String>, story: &Telling) -> Option<String> {
    loop {
        let model = waiting.pop_front()?;
        if story.client.as_ref().is_none_or(|client| client.may_use(&model)) {
            return Some(model);
        }
        let request_id = story.id.as_str();
        tracing::debug!(request_id, "the request does not fall back to model {model}, which its client may not use");
        seen.push(model);
    }
}

impl Dispatcher<'_> {
    /// Tries the models that the route names for the end of a course, each on its own route, and then those that their
    /// routes name. If none of them does better, an answer that caused this stays, such as a filter's refusal.
    ///
    /// # Errors
    ///
    /// [`ProxyError`] when no slot came free in time.
    pub(super) async fn fall_back(
        &self,
        mut answered: Option<Answered>,
        course: &mut Course<'_>,
        story: &mut Telling,
    ) -> Result<Option<Answered>, ProxyError> {
        let most = course.route.fallbacks.max;
        let mut seen = vec![course.asked().to_owned()];
        let (mut waiting, mut refused) = (VecDeque::new(), None);
        for _ in 0..most {
            let Some((models, why)) = instead(&course.route, answered.as_ref()) else { return Ok(answered) };
            let new = models.iter().filter(|model| !seen.contains(model) && !waiting.contains(*model));
            let new: Vec<String> = new.cloned().collect();
            new.into_iter().rev().for_each(|model| waiting.push_front(model));
            if let Some(answered) = answered.take() {
                story.ended(answered.outcome, Instant::now());
                refused = refused.or(Some(answered));
            }
            let Some(model) = next(&mut waiting, &mut seen, story) else { break };
            let routes = &self.generation.routes;
            let Some((route, eligible)) = routes.of(&model).map(|route| (route, route.eligible(&model))) else {
                continue;
            };
            let (endpoint, body) = (&course.job.endpoint, &course.job.body);
            let share = if story.inner.is_some() { Share::Question } else { Share::Whole };
            let wanted = Wanted { endpoint, body, route, eligible: &eligible, model: &model, share };
            let taken = match story.taken() {
                Some(taken) => taken.turn(self.generation, &wanted).await,
                None => self.means.take(self.generation, &wanted, Instant::now(), story).await,
            };
            if let Err(error) = taken {
                let (request_id, why) = (story.id.as_str(), error.sentence());
                tracing::info!(request_id, "the request does not fall back to model {model}: {why}");
                seen.push(model);
                continue;
            }
            let from = course.asked();
            tracing::info!(
                request_id = story.id.as_str(),
                "the request falls back from model {from} to model {model}, as {why}"
            );
            story.fell_back(&model, route);
            course.turn(&model, route, eligible);
            course.retries = self.retries(course.job, waiting.make_contiguous());
            seen.push(model);
            answered = self.follow(course, story, Instant::now()).await?;
        }
        Ok(answered.or(refused))
    }
}
