//! The sink that counts requests for metrics.

use std::time::Duration;

use super::Story;
use crate::metrics::Metrics;
use crate::routing::OutcomeKind;

/// Counts a request and its duration.
pub fn count(story: &Story, duration: Duration, metrics: &Metrics) {
    metrics.request_took(story.endpoint, duration);
    let Some(last) = story.attempts.last() else {
        let outcome = if story.status.is_some() { "succeeded" } else { OutcomeKind::Cancelled.name() };
        return metrics.answered_alone(story.endpoint, story.error.unwrap_or(outcome));
    };
    let provider = &last.provider.metrics;
    provider.request(story.endpoint, last.kind);
    if let Some(usage) = story.usage {
        provider.prompt_tokens.inc_by(usage.prompt_tokens.unwrap_or(0));
        provider.completion_tokens.inc_by(usage.completion_tokens.unwrap_or(0));
    }
}
