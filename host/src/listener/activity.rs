//! The phases of a connection and their deadlines: pure state and time, no sockets.
//!
//! A connection is idle (no request), receives a head, or is busy with a request. The first two phases have a deadline.
//! So does an answer that the client does not read, because it holds slots and a provider's connection. The phase is
//! set by the code that sees it change: whoever reads and writes sees bytes, and [`InProgress`] lives as long as a
//! request. With HTTP/1.1 all of it runs in the connection's single task, so the phase is never out of date; with HTTP/2 requests
//! have tasks of their own, and only the connection's looks at deadlines.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The bit of `Activity::mark` that says that a head has begun.
const HEAD: u64 = 1;

/// The present phase of one connection.
#[derive(Debug)]
pub struct Activity {
    opened: Instant,
    /// Requests in progress; HTTP/1.1 has one at a time, but the body of one may be dropped after the next has begun. HTTP/2 has
    /// many.
    busy: AtomicU32,
    /// The start of an idle phase or of a head: milliseconds from `opened`, shifted left by one, and [`HEAD`].
    mark: AtomicU64,
    /// True when `mark` is to be set to now. The next reader does so, and reads the clock only once.
    marks_now: AtomicBool,
    /// The moment since which the client has not taken waiting bytes: milliseconds from `opened`, plus one; else 0.
    stalled: AtomicU64,
}

/// A request in progress, from its head to the end of its answer.
#[derive(Debug)]
pub struct InProgress(Arc<Activity>);

/// The deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// No request came in time.
    Idle,
    /// A head was not complete in time.
    Head,
    /// An answer was not read in time.
    Unread,
}

/// The time limit of each phase.
#[derive(Clone, Copy, Debug)]
pub struct PhaseLimits {
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// The time without a request, and the time without reading an answer that waits.
    pub idle: Duration,
}

impl Activity {
    /// A connection that has just become able to carry requests.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            busy: AtomicU32::new(0),
            mark: AtomicU64::new(0),
            marks_now: AtomicBool::new(false),
            stalled: AtomicU64::new(0),
        })
    }

    /// Bytes came from the client. Bytes of a body, or of a next request that comes early, change nothing.
    pub fn received(&self) {
        if !self.is_busy() && self.mark.load(Relaxed) & HEAD == 0 {
            self.mark.store(HEAD, Relaxed);
            self.marks_now.store(true, Relaxed);
        }
    }

    /// Bytes wait for the client, and it does not take them.
    pub fn stalled(&self) {
        if self.stalled.load(Relaxed) == 0 {
            self.stalled.store((self.now() >> 1) + 1, Relaxed);
        }
    }

    /// Bytes went to the client. A connection that sends the rest of an answer is not idle.
    pub fn sent(&self) {
        self.flowed();
        if !self.is_busy() {
            self.marks_now.store(true, Relaxed);
        }
    }

    /// A head has begun, or none is open any more: for HTTP/2, where bytes are mostly no part of one.
    pub fn in_head(&self, open: bool) {
        if (self.mark.load(Relaxed) & HEAD != 0) != open {
            self.mark.store(if open { HEAD } else { 0 }, Relaxed);
            self.marks_now.store(true, Relaxed);
        }
    }

    /// Bytes went to the client, of whatever kind.
    pub fn flowed(&self) {
        if self.stalled.load(Relaxed) != 0 {
            self.stalled.store(0, Relaxed);
        }
    }

    /// A head is complete.
    pub fn begin(self: &Arc<Self>) -> InProgress {
        self.busy.fetch_add(1, Relaxed);
        InProgress(Arc::clone(self))
    }

    /// True while a request is in progress.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Relaxed) > 0
    }

    fn now(&self) -> u64 {
        // Overflows after 292 million years, and then the connection may be closed.
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX >> 1) << 1
    }

    /// The deadline of the present phase; `None` while a request is in progress and its answer is read.
    fn deadline(&self, limits: &PhaseLimits) -> Option<(Instant, Overdue)> {
        if let Some(since) = self.stalled.load(Relaxed).checked_sub(1) {
            return Some((self.opened + Duration::from_millis(since) + limits.idle, Overdue::Unread));
        }
        if self.is_busy() {
            return None;
        }
        let mut mark = self.mark.load(Relaxed);
        if self.marks_now.swap(false, Relaxed) {
            mark = self.now() | mark & HEAD;
            self.mark.store(mark, Relaxed);
        }
        let since = self.opened + Duration::from_millis(mark >> 1);
        Some(if mark & HEAD == 0 { (since + limits.idle, Overdue::Idle) } else { (since + limits.head, Overdue::Head) })
    }

    /// Ready when the present phase has lasted too long. Must be polled after each poll of the connection.
    ///
    /// The timer is set again only when it is later than the deadline, or has fired. A connection that carries one
    /// request after another, each with its whole head at once, sets it once per `limits.idle`.
    pub fn poll_overdue(
        &self,
        limits: &PhaseLimits,
        mut timer: Pin<&mut Sleep>,
        context: &mut Context<'_>,
    ) -> Poll<Overdue> {
        loop {
            let Some((deadline, overdue)) = self.deadline(limits) else { return Poll::Pending };
            if timer.is_elapsed() || timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(context));
            if Instant::now() >= deadline {
                return Poll::Ready(overdue);
            }
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.mark.store(0, Relaxed);
        self.0.marks_now.store(true, Relaxed);
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, sleep, sleep_until};

    use super::*;

    const LIMITS: PhaseLimits = PhaseLimits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

    /// The deadline, in seconds from `began`, if nothing more happens.
    async fn overdue(activity: &Activity, timer: Pin<&mut Sleep>, began: Instant) -> (Overdue, u64) {
        let mut timer = timer;
        let overdue = poll_fn(|context| activity.poll_overdue(&LIMITS, timer.as_mut(), context)).await;
        (overdue, began.elapsed().as_secs())
    }

    /// Polls once, as the connection does after it has made progress.
    async fn look(activity: &Activity, timer: Pin<&mut Sleep>) -> Option<Overdue> {
        let mut timer = timer;
        poll_fn(|context| match activity.poll_overdue(&LIMITS, timer.as_mut(), context) {
            Poll::Ready(overdue) => Poll::Ready(Some(overdue)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_overdue_after_the_idle_timeout() {
        let (activity, began) = (Activity::new(), Instant::now());
        let mut timer = std::pin::pin!(sleep(LIMITS.idle));
        assert_eq!(overdue(&activity, timer.as_mut(), began).await, (Overdue::Idle, 75));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_overdue_after_the_head_timeout_from_its_first_byte() {
        let (activity, began) = (Activity::new(), Instant::now());
        let mut timer = std::pin::pin!(sleep(LIMITS.idle));
        assert_eq!(look(&activity, timer.as_mut()).await, None);
        advance(Duration::from_secs(70)).await;
        for _ in 0..9 {
            activity.received();
            assert_eq!(look(&activity, timer.as_mut()).await, None);
            advance(Duration::from_secs(1)).await;
        }
        activity.received();
        assert_eq!(overdue(&activity, timer.as_mut(), began).await, (Overdue::Head, 80));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_progress_is_never_overdue_and_idleness_counts_from_its_end() {
        let (activity, began) = (Activity::new(), Instant::now());
        let mut timer = std::pin::pin!(sleep(LIMITS.idle));
        activity.received();
        assert_eq!(look(&activity, timer.as_mut()).await, None);
        let request = activity.begin();
        for _ in 0..10 {
            advance(Duration::from_secs(100)).await;
            activity.received();
            activity.sent();
            assert_eq!(look(&activity, timer.as_mut()).await, None);
        }
        drop(request);
        assert_eq!(overdue(&activity, timer.as_mut(), began).await, (Overdue::Idle, 1075));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_dropped_after_the_next_request_has_begun_does_not_make_it_idle() {
        let activity = Activity::new();
        let first = activity.begin();
        let second = activity.begin();
        drop(first);
        assert!(activity.deadline(&LIMITS).is_none());
        drop(second);
        assert_eq!(activity.deadline(&LIMITS).map(|(_, overdue)| overdue), Some(Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_are_no_part_of_a_head_do_not_keep_a_connection_without_requests() {
        let (activity, began) = (Activity::new(), Instant::now());
        let mut timer = std::pin::pin!(sleep(LIMITS.idle));
        for _ in 0..7 {
            advance(Duration::from_secs(10)).await;
            activity.in_head(false);
            activity.flowed();
            assert_eq!(look(&activity, timer.as_mut()).await, None);
        }
        activity.in_head(true);
        assert_eq!(look(&activity, timer.as_mut()).await, None);
        advance(Duration::from_secs(4)).await;
        activity.in_head(true);
        assert_eq!(overdue(&activity, timer.as_mut(), began).await, (Overdue::Head, 80));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_an_answer_that_is_still_being_sent_is_not_idleness() {
        let (activity, began) = (Activity::new(), Instant::now());
        let mut timer = std::pin::pin!(sleep(LIMITS.idle));
        drop(activity.begin());
        for _ in 0..5 {
            advance(Duration::from_secs(60)).await;
            activity.sent();
            assert_eq!(look(&activity, timer.as_mut()).await, None);
        }
        assert_eq!(overdue(&activity, timer.as_mut(), began).await, (Overdue::Idle, 375));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_is_overdue_from_the_last_byte_that_was() {
        let (activity, began) = (Activity::new(), Instant::now());
        let mut timer = std::pin::pin!(sleep(LIMITS.idle));
        let _request = activity.begin();
        for _ in 0..10 {
            advance(Duration::from_secs(60)).await;
            activity.stalled();
            assert_eq!(look(&activity, timer.as_mut()).await, None);
            advance(Duration::from_secs(40)).await;
            activity.sent();
            assert_eq!(look(&activity, timer.as_mut()).await, None);
        }
        activity.stalled();
        activity.stalled();
        assert_eq!(overdue(&activity, timer.as_mut(), began).await, (Overdue::Unread, 1075));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_whose_heads_come_at_once_leave_the_timer_alone() {
        let activity = Activity::new();
        let mut timer = std::pin::pin!(sleep_until(Instant::now() + LIMITS.idle));
        let set = timer.deadline();
        for _ in 0..70 {
            activity.received();
            drop(activity.begin());
            assert_eq!(look(&activity, timer.as_mut()).await, None);
            assert_eq!(timer.deadline(), set);
            advance(Duration::from_secs(1)).await;
        }
        advance(Duration::from_secs(10)).await;
        assert_eq!(look(&activity, timer.as_mut()).await, None);
        assert!(timer.deadline() > set, "it fired and was set for what is left");
    }
}
