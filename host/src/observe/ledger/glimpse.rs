//! A look at the latest requests that makes no records of them.

use std::time::Duration;

use tokio::time::Instant;

use super::{Ledger, Record, Story, Time};
use crate::observe::trace::TraceId;

/// The stories that are looked at under one lock, which requests may wait for.
const AT_ONCE: usize = 256;

/// What a glimpse shows of a request that is over.
#[derive(Clone, Copy, Debug)]
pub struct Glimpse<'a> {
    /// Its id.
    pub id: &'a str,
    /// The id of its trace, where requests are traced.
    pub trace: Option<TraceId>,
    /// The client's method.
    pub method: &'a str,
    /// The client's path.
    pub path: &'a str,
    /// True for a question of an approach.
    pub is_inner: bool,
    /// When it began.
    pub began: Time,
    /// Its duration.
    pub took: Duration,
    /// The provider of its last attempt, and the duration of that.
    pub last: Option<(&'a str, Duration)>,
}

impl Ledger {
    /// Shows the requests in memory, the latest end first.
    pub fn glance(&self, see: &mut dyn FnMut(Glimpse<'_>)) {
        let now = (Instant::now(), Time::now());
        let mut until = u64::MAX;
        loop {
            let pending = self.pending.lock();
            let end = usize::try_from(until.saturating_sub(pending.first)).unwrap_or(usize::MAX);
            let end = end.min(pending.stories.len());
            if end == 0 {
                break;
            }
            let start = end.saturating_sub(AT_ONCE);
            pending.stories.range(start..end).rev().for_each(|story| see(Glimpse::of_story(story, now)));
            until = pending.first + start as u64;
        }
        // Stories that have become records meanwhile are shown again.
        self.kept.lock().ring.iter().rev().for_each(|(record, _)| see(Glimpse::of_record(record)));
    }
}

impl<'a> Glimpse<'a> {
    fn of_story(story: &'a Story, now: (Instant, Time)) -> Self {
        Self {
            id: &story.id,
            trace: story.trace.as_ref().map(|trace| trace.trace),
            method: story.method.as_str(),
            path: &story.path,
            is_inner: story.inner.is_some(),
            began: now.1.minus(now.0.saturating_duration_since(story.began)),
            took: story.took,
            last: story.attempts.last().map(|last| (last.provider.config.name.as_str(), last.took)),
        }
    }

    fn of_record(record: &'a Record) -> Self {
        Self {
            id: &record.request_id,
            trace: record.trace.map(|trace| trace.id),
            method: &record.method,
            path: &record.path,
            is_inner: record.inner.is_some(),
            began: record.time,
            took: record.duration_ms.duration(),
            last: record.attempts.last().map(|last| (&*last.provider, last.took_ms.duration())),
        }
    }
}
