//! The sink that counts requests for metrics.

use std::time::Duration;

use super::Story;
use crate::metrics::Metrics;
use crate::routing::OutcomeKind;

/// Counts a request and its duration.
pub fn count(story: &Story, duration: Duration, metrics: &Metrics) {
    if story.inner.is_some() {
        // The client's request counts, and not what approaches ask for it; but the provider's tokens do.
        return count_tokens(story);
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
    count_tokens(story);
}

fn count_tokens(story: &Story) {
    if let (Some(usage), Some(last)) = (story.usage, story.attempts.last()) {
        let provider = &last.provider.metrics;
        provider.prompt_tokens.inc_by(usage.prompt_tokens().unwrap_or(0));
        provider.completion_tokens.inc_by(usage.completion_tokens().unwrap_or(0));
    }
}
