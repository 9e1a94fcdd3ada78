//! Turns a provider's answer into the client's, and names the provider in its head.

use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use tokio::time::Instant;

use super::attempt::{Answered, Content, Passing};
use super::limits::Levels;
use super::reply::Reply;
use super::stream::{Kind, Relay, Ways};
use super::telling::Telling;
use super::whole::Whole;
use super::{REQUEST_ID, headers};
use crate::limits::Nano;
use crate::listener::{Answering as _, Written};
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

/// The header with the reason of a decision.
const DECISION: HeaderName = HeaderName::from_static("x-pointsman-decision");

/// The header with the provider's name of the request.
const THEIR_REQUEST_ID: HeaderName = HeaderName::from_static("x-pointsman-provider-request-id");

/// Turns a provider's answer into the client's.
pub(super) fn pass_on(answered: Answered, mut story: Telling, ways: Ways, closes: bool) -> Response<Reply> {
    let Answered { status, headers, content, outcome, usage, cost } = answered;
    let mut length = None;
    let (is_whole, is_stream) = match &content {
        Content::Whole(_) => (true, false),
        Content::Passing(passing) => (false, matches!(passing.kind, Kind::Events(_))),
        // Only a request for one is answered so, and goes another way.
        Content::Switched(_) => (true, false),
    };
    let now = Instant::now();
    let mut written = Written::default();
    let levels = story.levels(now).filter(|levels| !levels.are_none());
    headers::to_client(&headers, |name, value| {
        if name == CONTENT_LENGTH.as_str().as_bytes() {
            // Of a body that is known, or framed anew, the length follows from the body.
            length = if is_whole || is_stream { None } else { HeaderValue::from_bytes(value).ok() };
        } else if name == REQUEST_ID.as_str().as_bytes() {
            written.put(THEIR_REQUEST_ID.as_str().as_bytes(), value);
        } else if name != SET_COOKIE.as_str().as_bytes() && !(levels.is_some() && Levels::are_said_by(name)) {
            written.put(name, value);
        }
    });
    if is_stream {
        headers::letting_events_pass(|name| headers.has(name)).for_each(|(name, value)| written.put_text(&name, value));
    }
    written.put_text(&REQUEST_ID, story.id.as_str());
    describe(&story, |name, value| written.put_text(name, value));
    if let Some(levels) = levels {
        levels.say(|name, value| written.put_text(name, value));
    }
    if is_whole {
        story.paid(usage, cost);
        if let Some(cost) = story.explained_cost() {
            written.put_text(&COST, &cost.to_string());
        }
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
            Reply::Whole(Whole::new(bytes, story).below(written))
        }
        Content::Passing(passing) => {
            let Passing { held, source, kind, deadline, permit } = *passing;
            let mut relay = Relay::new(held, source, kind, deadline, permit, story, ways);
            relay.written = Some(written);
            Reply::Relay(Box::new(relay))
        }
        Content::Switched(_) => Reply::Whole(Whole::new(Bytes::new(), story).below(written)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    if closes {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Puts the whole head of an answer into its map of headers, for whoever reads it there.
pub(super) fn with_headers(mut response: Response<Reply>) -> Response<Reply> {
    if let Some(written) = response.body_mut().take_written() {
        written.add_to(response.headers_mut());
    }
    response
}

/// Writes the end of every answer's head.
pub(super) fn finish_head(headers: &mut HeaderMap, id: &str, closes: bool) {
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    if closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
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
    describe(story, |name, value| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name.clone(), value);
        }
    });
    if let Some(levels) = story.levels(now) {
        levels.write(headers);
    }
}

/// Calls `put` with each header that says how a request fared.
fn describe(story: &Telling, mut put: impl FnMut(&HeaderName, &str)) {
    if let Some(provider) = story.provider() {
        put(&PROVIDER, &provider.config.name);
    }
    if let Some(decision) = &story.decision {
        put(&DECISION, decision);
    }
    if let Some(route) = story.route.as_deref().filter(|route| route.is_named()) {
        put(&ROUTE, &route.name);
    }
    if let Some(model) = &story.instead {
        put(&MODEL, model);
    }
    if story.attempts.len() > 1 {
        put(&ATTEMPTS, itoa::Buffer::new().format(story.attempts.len()));
    }
}
