//! The sink that writes the line of a request into the log.

use std::time::Duration;

use tracing::field::{DisplayValue, display};

use super::Story;
use super::story::Inner;
use crate::limits::Nano;
use crate::telemetry;

/// Writes the line of a request with its duration.
pub fn write(story: &Story, duration: Duration) {
    if let Some(inner) = &story.inner {
        return write_inner(story, inner, duration);
    }
    if !tracing::enabled!(tracing::Level::INFO) {
        return;
    }
    // 499: the client left before there was an answer, as nginx counts it.
    let status = story.status.unwrap_or(499);
    let (method, path) = (&story.method, &story.path);
    let usage = story.usage.unwrap_or_default();
    let route = story.route.as_ref();
    let mapped = story.mapped().filter(|mapped| *mapped != story.model);
    // In the text format they come last.
    let structured = telemetry::is_structured();
    let (number, plain) = cost(story);
    let websocket = story.websocket.as_deref();
    tracing::info!(
        request_id = story.id,
        client = story.client.as_ref().map(|client| &*client.name),
        address = story.address.map(tracing::field::display),
        method = structured.then(|| method.as_str()),
        path = structured.then_some(path.as_str()),
        model = story.model,
        provider_model = mapped.as_deref(),
        stream = story.streaming.then_some(true),
        route = route.filter(|route| route.is_named()).map(|route| route.name.as_str()),
        strategy = route.map(|route| route.strategy().name()),
        provider = story.provider().map(|provider| provider.config.name.as_str()),
        attempts = story.attempts_in_words(),
        status,
        error = story.error,
        duration_ms = rounded(duration),
        first_byte_ms = story.first_byte.map(rounded),
        queue_ms = story.queued.map(rounded),
        overhead_ms = story.overhead.map(rounded),
        prompt_tokens = usage.prompt_tokens(),
        completion_tokens = usage.completion_tokens(),
        cost = told(&number, &plain, structured),
        estimated_tokens = story.estimated,
        decision = story.decision,
        approach = story.approach.as_ref().map(|approach| approach.name.as_str()),
        calls = story.approach.as_ref().map(|approach| approach.calls),
        depth = story.approach.as_ref().map(|approach| approach.depth),
        ended = websocket.map(|websocket| websocket.ended.name()),
        closed_by = websocket.map(|websocket| websocket.by),
        close_code = websocket.and_then(|websocket| websocket.code),
        client_messages = websocket.map(|websocket| websocket.from_client.messages),
        client_bytes = websocket.map(|websocket| websocket.from_client.bytes),
        provider_messages = websocket.map(|websocket| websocket.from_provider.messages),
        provider_bytes = websocket.map(|websocket| websocket.from_provider.bytes),
        answers = websocket.map(|websocket| websocket.answers),
        unread_messages = websocket.map(|websocket| websocket.unread).filter(|unread| *unread > 0),
        "{method} {path} {status} in {:.1} ms",
        millis(duration)
    );
}

/// Writes the line of a question of an approach.
fn write_inner(story: &Story, inner: &Inner, duration: Duration) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let usage = story.usage.unwrap_or_default();
    let (approach, step) = (&inner.approach, &inner.step);
    let (number, plain) = cost(story);
    tracing::debug!(
        request_id = story.id,
        approach = approach.as_str(),
        step = step.as_str(),
        model = story.model,
        provider = story.provider().map(|provider| provider.config.name.as_str()),
        attempts = story.attempts_in_words(),
        status = story.status,
        error = story.error,
        prompt_tokens = usage.prompt_tokens(),
        completion_tokens = usage.completion_tokens(),
        cost = told(&number, &plain, telemetry::is_structured()),
        "{approach} asked for {step} in {:.1} ms",
        millis(duration)
    );
}

/// The cost in dollars: as a number for programs, and as a plain decimal number for people.
fn cost(story: &Story) -> (Option<f64>, Option<DisplayValue<Nano>>) {
    (story.cost.map(Nano::dollars), story.cost.map(display))
}

/// The form of the cost that belongs to the format of the log.
fn told<'v>(
    number: &'v Option<f64>,
    plain: &'v Option<DisplayValue<Nano>>,
    structured: bool,
) -> Option<&'v dyn tracing::Value> {
    match structured {
        true => number.as_ref().map(|number| number as &dyn tracing::Value),
        false => plain.as_ref().map(|plain| plain as &dyn tracing::Value),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Rounds to microseconds, which is precise enough for the log.
fn rounded(duration: Duration) -> f64 {
    (millis(duration) * 1000.0).round() / 1000.0
}
