//! A limit on concurrency, which a reload may change at any time.
//!
//! Waiters get slots first come, first served. When the limit is lowered below the number of taken slots, nothing is
//! interrupted: the excess is owed, and slots that are returned are not handed out again until it is paid.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hands out slots.
#[derive(Debug)]
pub struct Slots {
    /// Tokio's semaphore is fair: permits go to waiters in the order in which they came.
    semaphore: Arc<Semaphore>,
    taken: AtomicUsize,
    /// The number of slots to remove when they are returned.
    owed: AtomicUsize,
    /// The limit; locked while it is changed.
    limit: Mutex<usize>,
}

/// A slot, which is returned when it is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// Makes `limit` slots; `None` means no limit.
    pub fn new(limit: Option<usize>) -> Arc<Self> {
        let limit = bounded(limit);
        let semaphore = Arc::new(Semaphore::new(limit));
        Arc::new(Self { semaphore, taken: AtomicUsize::new(0), owed: AtomicUsize::new(0), limit: Mutex::new(limit) })
    }

    /// Takes a slot if one is free and nobody waits for it.
    pub fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let permit = Arc::clone(&self.semaphore).try_acquire_owned().ok()?;
        Some(self.slot(permit))
    }

    /// Waits for a slot. Dropping the future leaves the queue.
    pub async fn take(self: &Arc<Self>) -> Slot {
        loop {
            // The semaphore is never closed, so this returns a permit.
            if let Ok(permit) = Arc::clone(&self.semaphore).acquire_owned().await {
                return self.slot(permit);
            }
        }
    }

    fn slot(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        self.taken.fetch_add(1, Relaxed);
        Slot { slots: Arc::clone(self), permit: Some(permit) }
    }

    /// True when a slot is free right now.
    pub fn has_free(&self) -> bool {
        self.semaphore.available_permits() > 0
    }

    /// The number of taken slots.
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Changes the limit.
    pub fn resize(&self, limit: Option<usize>) {
        let new = bounded(limit);
        let mut limit = self.limit.lock();
        let old = std::mem::replace(&mut *limit, new);
        if new >= old {
            // First cancel the debt: those slots still exist, and requests hold them.
            let mut more = new - old;
            while more > 0 && self.pay_one() {
                more -= 1;
            }
            self.semaphore.add_permits(more);
        } else {
            let fewer = old - new;
            let gone = self.semaphore.forget_permits(fewer);
            self.owed.fetch_add(fewer - gone, SeqCst);
            self.settle();
        }
    }

    /// The limit; without one, the largest size of the semaphore.
    pub fn limit(&self) -> usize {
        *self.limit.lock()
    }

    /// Pays one owed slot; false if none was owed.
    fn pay_one(&self) -> bool {
        self.owed.fetch_update(SeqCst, SeqCst, |owed| owed.checked_sub(1)).is_ok()
    }

    /// Pays owed slots with free ones.
    fn settle(&self) {
        while self.owed.load(SeqCst) > 0 && self.pay_one() {
            if self.semaphore.forget_permits(1) == 0 {
                self.owed.fetch_add(1, SeqCst);
                return;
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.fetch_sub(1, Relaxed);
        let Some(permit) = self.permit.take() else { return };
        if self.slots.owed.load(SeqCst) > 0 && self.slots.pay_one() {
            return permit.forget();
        }
        drop(permit);
        // The limit may have been lowered between the check and the return.
        self.slots.settle();
    }
}

fn bounded(limit: Option<usize>) -> usize {
    limit.unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_lower_limit_interrupts_nothing_and_holds_once_enough_have_ended() {
        let slots = Slots::new(Some(3));
        let mut taken: Vec<Slot> = (0..3).map(|_| slots.try_take().expect("free")).collect();
        slots.resize(Some(1));
        assert_eq!(slots.taken(), 3);
        taken.pop();
        taken.pop();
        assert!(slots.try_take().is_none(), "one is taken, and one is the limit");
        taken.pop();
        let _one = slots.try_take().expect("free again");
        assert!(slots.try_take().is_none());
    }

    #[test]
    fn a_limit_that_is_raised_before_it_was_reached_forgives_what_is_owed() {
        let slots = Slots::new(Some(4));
        let taken: Vec<Slot> = (0..4).map(|_| slots.try_take().expect("free")).collect();
        slots.resize(Some(1));
        slots.resize(Some(5));
        let fifth = slots.try_take().expect("one more than before");
        assert!(slots.try_take().is_none());
        drop((taken, fifth));
        let all: Vec<Slot> = std::iter::from_fn(|| slots.try_take()).take(10).collect();
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn a_limit_counts_what_was_taken_without_one() {
        let slots = Slots::new(None);
        let taken: Vec<Slot> = (0..7).map(|_| slots.try_take().expect("no limit")).collect();
        slots.resize(Some(2));
        assert!(!slots.has_free());
        drop(taken);
        let two = [slots.try_take(), slots.try_take()];
        assert!(two.iter().all(Option::is_some) && slots.try_take().is_none());
        slots.resize(None);
        assert!(slots.try_take().is_some());
    }

    #[tokio::test]
    async fn whoever_waits_is_served_when_the_limit_rises() {
        let slots = Slots::new(Some(1));
        let _held = slots.try_take().expect("free");
        let mut waiting = Box::pin(slots.take());
        assert!((&mut waiting).now_or_never().is_none());
        slots.resize(Some(2));
        waiting.now_or_never().expect("a slot of the new limit");
    }
}
