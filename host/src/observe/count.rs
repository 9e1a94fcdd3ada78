//! The sink that counts requests for metrics.

use std::time::Duration;

use super::Story;
use crate::limits::usage::Part;
use crate::metrics::Metrics;
use crate::routing::OutcomeKind;

/// Counts a request and its duration.
pub fn count(story: &Story, duration: Duration, metrics: &Metrics) {
    if story.inner.is_some() {
        // The client's request counts, and not what approaches ask for it; but the provider's tokens do.
        return count_tokens(story, metrics);
    }
    metrics.request_took(story.endpoint, duration);
    if story.approach.is_some() {
        let outcome = match story.status {
            None => OutcomeKind::Cancelled,
            Some(429) => OutcomeKind::Throttled,
            Some(400..=499) => OutcomeKind::Rejected,
            Some(500..) => OutcomeKind::Failed,
            Some(_) => OutcomeKind::Succeeded,
        };
        metrics.answered_alone(story.endpoint, story.error.unwrap_or(outcome.name()));
        return;
    }
    let Some(last) = story.attempts.last() else {
        let outcome = if story.status.is_some() { "succeeded" } else { OutcomeKind::Cancelled.name() };
        return metrics.answered_alone(story.endpoint, story.error.unwrap_or(outcome));
    };
    let provider = &last.provider.metrics;
    provider.request(story.endpoint, last.kind);
    count_tokens(story, metrics);
}

fn count_tokens(story: &Story, metrics: &Metrics) {
    let Some(last) = story.attempts.last() else { return };
    let provider = &last.provider.metrics;
    if let Some(usage) = &story.usage {
        provider.prompt_tokens.inc_by(usage.prompt_tokens().unwrap_or(0));
        provider.completion_tokens.inc_by(usage.completion_tokens().unwrap_or(0));
        provider.cached_tokens.inc_by(usage.count(Part::CacheRead));
        provider.reasoning_tokens.inc_by(usage.count(Part::Reasoning));
    }
    if let Some(cost) = story.cost {
        provider.money.cost.inc_by(cost.dollars());
        let client = story.client.as_ref().map_or("", |client| client.name.as_str());
        metrics.money.spent(client, story.route.as_ref().map_or("", |route| &route.name), cost.dollars());
    }
}
