//! The global queue: at most `queue.max_concurrent` requests in flight, the others wait first come first served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Hands out the slots.
#[derive(Debug)]
pub struct Queue {
    /// Tokio's semaphore is fair: permits go to waiters in the order in which they came.
    slots: Arc<Semaphore>,
    capacity: usize,
    waiting: AtomicUsize,
}

/// A slot of the queue, held until the response body has ended.
#[derive(Debug)]
pub struct QueuePermit {
    _slot: OwnedSemaphorePermit,
}

/// No slot came free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueTimeout;

impl Queue {
    /// A queue with `capacity` slots.
    pub fn new(capacity: usize) -> Self {
        let slots = Arc::new(Semaphore::new(capacity.min(Semaphore::MAX_PERMITS)));
        Self { slots, capacity, waiting: AtomicUsize::new(0) }
    }

    /// Waits for a slot until `deadline`. Dropping the future leaves the queue.
    ///
    /// # Errors
    ///
    /// [`QueueTimeout`] when the deadline passes first.
    pub async fn enter(&self, deadline: Instant) -> Result<QueuePermit, QueueTimeout> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(QueuePermit { _slot: slot });
        }
        let _waiting = Waiting::new(&self.waiting);
        match timeout_at(deadline, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(QueuePermit { _slot: slot }),
            // The semaphore is never closed, so the inner error does not occur.
            Ok(Err(_)) | Err(_) => Err(QueueTimeout),
        }
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.capacity.saturating_sub(self.slots.available_permits())
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }
}

/// Counts a waiter for as long as it waits, however it stops.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
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

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_until_its_deadline_and_no_longer() {
        let queue = Queue::new(1);
        let _held = queue.enter(Instant::now()).await.expect("free");
        let deadline = Instant::now() + Duration::from_secs(5);
        assert_eq!(queue.enter(deadline).await.expect_err("full"), QueueTimeout);
        assert_eq!(Instant::now(), deadline);
        assert_eq!((queue.in_flight(), queue.waiting()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_frees_its_place() {
        let queue = Queue::new(1);
        let held = queue.enter(Instant::now()).await.expect("free");
        let deadline = Instant::now() + Duration::from_secs(5);
        tokio::time::timeout(Duration::from_secs(1), queue.enter(deadline)).await.expect_err("left");
        assert_eq!(queue.waiting(), 0);
        drop(held);
        queue.enter(deadline).await.expect("the slot was not lost");
    }
}
