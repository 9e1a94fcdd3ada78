//! The sink that counts requests for metrics.

use std::time::Duration;

use super::Story;
use crate::limits::usage::Part;
use crate::metrics::Metrics;
use crate::metrics::labelled::Request;
use crate::routing::OutcomeKind;

/// Counts a request and its duration.
pub fn count(story: &Story, duration: Duration, metrics: &Metrics) {
    if story.inner.is_some() {
        // The client's request counts, and not what approaches ask for it; but the provider's tokens do.
        return count_tokens(story, metrics);
    }
    metrics.request_took(story.endpoint, duration);
    match story.attempts.last() {
        Some(last) if story.approach.is_none() => {
            last.provider.metrics.request(story.endpoint, last.kind);
            count_tokens(story, metrics);
        }
        Some(_) | None => metrics.answered_alone(story.endpoint, outcome(story)),
    }
    if let Some(client) = &story.client {
        metrics.clients.request(&client.name, outcome(story));
    }
    if metrics.labelled.is_on() {
        count_by_labels(story, duration, metrics);
    }
}

/// Of a request that approaches answer, the tokens and the cost are the sums of its questions.
fn count_by_labels(story: &Story, took: Duration, metrics: &Metrics) {
    let usage = story.usage.unwrap_or_default();
    metrics.labelled.count(&Request {
        status: story.status,
        model: &story.model,
        client: story.client.as_ref().map_or("", |client| &*client.name),
        tokens: [
            usage.prompt_tokens().unwrap_or(0),
            usage.completion_tokens().unwrap_or(0),
            usage.count(Part::CacheRead),
            usage.count(Part::Reasoning),
        ],
        nano: story.cost.map_or(0, |cost| cost.0),
        took,
    });
}

/// The outcome of a request: that of its last attempt, or the code of the proxy's own error.
pub fn outcome(story: &Story) -> &'static str {
    match story.attempts.last() {
        Some(last) if story.approach.is_none() => last.kind.name(),
        Some(_) | None => story.error.unwrap_or_else(|| by_status(story).name()),
    }
}

/// The outcome of a request that no provider's answer ended.
fn by_status(story: &Story) -> OutcomeKind {
    match story.status {
        None => OutcomeKind::Cancelled,
        Some(429) if story.approach.is_some() => OutcomeKind::Throttled,
        Some(400..=499) if story.approach.is_some() => OutcomeKind::Rejected,
        Some(500..) if story.approach.is_some() => OutcomeKind::Failed,
        Some(_) => OutcomeKind::Succeeded,
    }
}

fn count_tokens(story: &Story, metrics: &Metrics) {
    let Some(last) = story.attempts.last() else { return };
    let provider = &last.provider.metrics;
    if let Some(usage) = &story.usage {
        let counts = [
            (&provider.prompt_tokens, usage.prompt_tokens().unwrap_or(0)),
            (&provider.completion_tokens, usage.completion_tokens().unwrap_or(0)),
            (&provider.cached_tokens, usage.count(Part::CacheRead)),
            (&provider.reasoning_tokens, usage.count(Part::Reasoning)),
        ];
        // Even to add nothing would take the counter's cache line from the core that has it.
        for (counter, tokens) in counts.into_iter().filter(|(_, tokens)| *tokens > 0) {
            counter.inc_by(tokens);
        }
    }
    if let Some(cost) = story.cost {
        provider.money.cost.inc_by(cost.dollars());
        let client = story.client.as_ref().map_or("", |client| &*client.name);
        metrics.money.spent(client, story.route.as_ref().map_or("", |route| &route.name), cost.dollars());
    }
}
