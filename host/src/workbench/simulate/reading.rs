//! Reads answers to their end in the place of a client.

use tokio::time::Instant;

use crate::proxy::attempt::Passing;
use crate::proxy::telling::Telling;
use crate::proxy::usage::UsageScanner;
use crate::routing::Outcome;

/// Reads an answer to its end, as the body of a client's answer does; true when it is whole.
pub(super) async fn pass(mut passing: Passing, story: &mut Telling) -> bool {
    let mut usage = UsageScanner::default();
    passing.held.iter().for_each(|piece| usage.feed(piece));
    let outcome = loop {
        match passing.source.chunk().await {
            Some(Ok(piece)) => usage.feed(&piece),
            Some(Err(_)) => break Outcome::Interrupted,
            None => break Outcome::Succeeded,
        }
    };
    story.ended(outcome, Instant::now());
    story.used(usage.found());
    passing.permit.used(story.usage.as_ref(), story.cost);
    passing.permit.report(outcome);
    outcome == Outcome::Succeeded
}
