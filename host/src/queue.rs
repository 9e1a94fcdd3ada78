//! The global queue: at most `queue.max_concurrent` requests in flight, the others wait first come first served, and
//! of those at most `queue.max_waiting`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::time::{Instant, timeout_at};

use crate::config;
use crate::slots::{Slot, Slots};

/// Hands out the slots. It outlives reloads, which change its limits.
#[derive(Debug)]
pub struct Queue {
    slots: Arc<Slots>,
    waiting: AtomicUsize,
    max_waiting: AtomicUsize,
}

/// A slot of the queue, held until the response body has ended.
#[derive(Debug)]
pub struct QueuePermit {
    _slot: Slot,
}

/// The reason why a request got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSlot {
    /// No slot became free in time.
    TimedOut,
    /// The queue is full.
    Full,
}

impl Queue {
    /// A queue with the given limits.
    pub fn new(limits: &config::Queue) -> Self {
        Self {
            slots: Slots::new(Some(limits.max_concurrent)),
            waiting: AtomicUsize::new(0),
            max_waiting: AtomicUsize::new(limits.max_waiting),
        }
    }

    /// Changes the limits. Requests that have a slot keep it, and requests that wait go on waiting.
    pub fn resize(&self, limits: &config::Queue) {
        self.slots.resize(Some(limits.max_concurrent));
        self.max_waiting.store(limits.max_waiting, Relaxed);
    }

    /// Takes a slot if one is free and nobody waits for it.
    pub fn try_enter(&self) -> Option<QueuePermit> {
        self.slots.try_take().map(|slot| QueuePermit { _slot: slot })
    }

    /// Waits for a slot until `deadline`. Dropping the future leaves the queue.
    ///
    /// # Errors
    ///
    /// [`NoSlot`] when the deadline passes first, or at once when too many wait.
    pub async fn enter(&self, deadline: Instant) -> Result<QueuePermit, NoSlot> {
        if let Some(permit) = self.try_enter() {
            return Ok(permit);
        }
        let _waiting = Waiting::begin(&self.waiting, self.max_waiting.load(Relaxed))?;
        match timeout_at(deadline, self.slots.take()).await {
            Ok(slot) => Ok(QueuePermit { _slot: slot }),
            Err(_elapsed) => Err(NoSlot::TimedOut),
        }
    }

    /// Waits for one more slot for a request that has one; it does not count among those that wait. Dropping the future leaves
    /// the queue.
    pub async fn enter_beside(&self) -> QueuePermit {
        QueuePermit { _slot: self.slots.take().await }
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.slots.taken()
    }

    /// The most requests in flight.
    pub fn capacity(&self) -> usize {
        self.slots.limit()
    }

    /// The most requests that may wait.
    pub fn max_waiting(&self) -> usize {
        self.max_waiting.load(Relaxed)
    }

    /// The number of requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }
}

/// Counts a waiting request until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize, limit: usize) -> Result<Self, NoSlot> {
        let more = |waiting: usize| (waiting < limit).then_some(waiting + 1);
        count.fetch_update(Relaxed, Relaxed, more).map_err(|_full| NoSlot::Full)?;
        Ok(Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    fn queue(max_concurrent: usize, max_waiting: usize) -> Queue {
        let (timeout, slot_wait) = (Duration::ZERO, Duration::ZERO);
        Queue::new(&config::Queue { max_concurrent, max_waiting, timeout, slot_wait })
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_until_its_deadline_and_no_longer() {
        let queue = queue(1, 1);
        let _held = queue.enter(Instant::now()).await.expect("free");
        let deadline = Instant::now() + Duration::from_secs(5);
        assert_eq!(queue.enter(deadline).await.expect_err("full"), NoSlot::TimedOut);
        assert_eq!(Instant::now(), deadline);
        assert_eq!((queue.in_flight(), queue.waiting()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_frees_its_place() {
        let queue = queue(1, 1);
        let held = queue.enter(Instant::now()).await.expect("free");
        let deadline = Instant::now() + Duration::from_secs(5);
        tokio::time::timeout(Duration::from_secs(1), queue.enter(deadline)).await.expect_err("left");
        assert_eq!(queue.waiting(), 0);
        drop(held);
        queue.enter(deadline).await.expect("the slot was not lost");
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_than_may_wait_is_turned_away_at_once() {
        let queue = queue(1, 2);
        let _held = queue.enter(Instant::now()).await.expect("free");
        let (began, deadline) = (Instant::now(), Instant::now() + Duration::from_secs(5));
        let mut waiters = [Box::pin(queue.enter(deadline)), Box::pin(queue.enter(deadline))];
        for waiter in &mut waiters {
            assert!(waiter.now_or_never().is_none());
        }
        assert_eq!(queue.enter(deadline).await.expect_err("full"), NoSlot::Full);
        assert_eq!((Instant::now(), queue.waiting()), (began, 2));
    }
}
