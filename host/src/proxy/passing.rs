//! Turns a provider's answer into the client's, and names the provider in its head.

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use tokio::time::Instant;

use super::attempt::{Answered, Content, Passing};
use super::limits::HEADERS;
use super::reply::Reply;
use super::stream::{Kind, Relay, Ways};
use super::telling::Telling;
use super::whole::Whole;
use super::{REQUEST_ID, headers};
use crate::limits::Nano;
use crate::routing::Outcome;

/// The header that names the provider that answered.
pub(super) const PROVIDER: HeaderName = HeaderName::from_static("x-pointsman-provider");

/// The header that names the route of the request.
const ROUTE: HeaderName = HeaderName::from_static("x-pointsman-route");

/// The header that names the model that was asked for, where it is not the client's.
const MODEL: HeaderName = HeaderName::from_static("x-pointsman-model");

/// The header with the number of attempts.
pub(super) const ATTEMPTS: HeaderName = HeaderName::from_static("x-pointsman-attempts");

/// The header with the cost of an answer, in dollars.
const COST: HeaderName = HeaderName::from_static("x-pointsman-cost");

/// The headers for which an answer is given room at once: those that nearly every one gets. Its table would otherwise grow in
/// several steps, each of which moves all of it.
const ADDED: usize = 4;

/// Turns a provider's answer into the client's.
pub(super) fn pass_on(answered: Answered, mut story: Telling, ways: Ways, closes: bool) -> Response<Reply> {
    let Answered { status, mut headers, content, outcome, usage, cost } = answered;
    let (is_whole, is_stream) = match &content {
        Content::Whole(_) => (true, false),
        Content::Passing(passing) => (false, matches!(passing.kind, Kind::Events(_))),
        // Only a request for one is answered so, and goes another way.
        Content::Switched(_) => (true, false),
    };
    headers.reserve(ADDED + if story.is_limited() { HEADERS } else { 0 });
    headers::to_client(&mut headers);
    headers.remove(SET_COOKIE);
    if is_whole || is_stream {
        headers.remove(CONTENT_LENGTH);
    }
    if is_stream {
        headers::let_events_pass(&mut headers);
    }
    if let Some(theirs) = headers.remove(REQUEST_ID) {
        headers.insert("x-pointsman-provider-request-id", theirs);
    }
    let now = Instant::now();
    finish_head(&mut headers, story.id.as_str(), closes);
    name_attempts(&mut headers, &story, now);
    if is_whole {
        story.paid(usage, cost);
        name_cost(&mut headers, story.explained_cost());
    }
    story.answered(status, None, now);
    let body = match content {
        Content::Whole(bytes) => {
            if outcome == Outcome::Succeeded && story.usage.is_none() {
                story.deliver(&bytes);
            }
            story.ended(outcome, now);
            let bytes = match ways.naming.filter(|_| outcome == Outcome::Succeeded) {
                Some(naming) => naming.answer(bytes),
                None => bytes,
            };
            Reply::Whole(Whole::new(bytes, story))
        }
        Content::Passing(passing) => {
            let Passing { held, source, kind, deadline, permit } = *passing;
            Reply::Relay(Box::new(Relay::new(held, source, kind, deadline, permit, story, ways)))
        }
        Content::Switched(_) => Reply::Whole(Whole::new(Bytes::new(), story)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Writes the end of every answer's head.
pub(super) fn finish_head(headers: &mut HeaderMap, id: &str, closes: bool) {
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    if closes {
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Writes what a whole answer cost, if answers are to be explained. The head of a stream goes out before that is known.
pub(super) fn name_cost(headers: &mut HeaderMap, cost: Option<Nano>) {
    if let Some(Ok(cost)) = cost.map(|cost| HeaderValue::try_from(cost.to_string())) {
        headers.insert(COST, cost);
    }
}

/// Writes which provider answered, or failed last, and after how many attempts.
pub(super) fn name_attempts(headers: &mut HeaderMap, story: &Telling, now: Instant) {
    if let Some(name) = story.provider().and_then(|provider| provider.name_header.clone()) {
        headers.insert(PROVIDER, name);
    }
    if let Some(Ok(decision)) = story.decision.as_deref().map(HeaderValue::try_from) {
        headers.insert("x-pointsman-decision", decision);
    }
    if let Some(levels) = story.levels(now) {
        levels.write(headers);
    }
    let text = |text: &str| HeaderValue::try_from(text).ok();
    if let Some(route) = story.route.as_deref().filter(|route| route.is_named()).and_then(|route| text(&route.name)) {
        headers.insert(ROUTE, route);
    }
    if let Some(model) = story.instead.as_deref().and_then(text) {
        headers.insert(MODEL, model);
    }
    if story.attempts.len() > 1 {
        headers.insert(ATTEMPTS, HeaderValue::from(story.attempts.len()));
    }
}
