//! The memory that the bodies of all requests together may hold. A body that does not fit waits, first come first
//! served, and is not read from the socket until it fits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::proxy::respond::ProxyError;

/// The bytes of one unit in which memory is counted.
const UNIT: usize = 1 << 10;
/// The bytes that a body of unknown length reserves at first. When it outgrows them, it reserves the most that it may
/// have.
const FIRST: usize = 256 << 10;

/// The memory that all bodies share.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    total: u32,
}

/// The share of it that one body holds, until it is dropped.
#[derive(Debug)]
pub struct Reserved {
    permit: OwnedSemaphorePermit,
    budget: Budget,
    /// The time at which a wait is given up.
    deadline: Instant,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Self {
        let total = units(bytes).max(1);
        Self { units: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits for the room that a body takes: of its announced length, else `FIRST`. One that is larger than the whole
    /// budget takes all of it.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Crowded`] when there is no room within `patience`.
    pub async fn reserve(&self, announced: Option<u64>, patience: Duration) -> Result<Reserved, ProxyError> {
        let bytes = announced.map_or(FIRST, |length| usize::try_from(length).unwrap_or(usize::MAX));
        let deadline = Instant::now() + patience;
        let permit = self.take(units(bytes).min(self.total), deadline).await?;
        Ok(Reserved { permit, budget: self.clone(), deadline })
    }

    async fn take(&self, units: u32, deadline: Instant) -> Result<OwnedSemaphorePermit, ProxyError> {
        match timeout_at(deadline, Arc::clone(&self.units).acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            // It is never closed; too long a wait is the usual case.
            Ok(Err(_)) | Err(_) => Err(ProxyError::Crowded),
        }
    }
}

impl Reserved {
    /// Makes room for `bytes` in all; when that is more than it holds, for as much as `limit`, so that it waits once.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Crowded`] when there is none in time.
    pub async fn grow(&mut self, bytes: usize, limit: usize) -> Result<(), ProxyError> {
        let held = u32::try_from(self.permit.num_permits()).unwrap_or(u32::MAX);
        if units(bytes) <= held || held >= self.budget.total {
            return Ok(());
        }
        let more = units(limit).min(self.budget.total).saturating_sub(held);
        self.permit.merge(self.budget.take(more, self.deadline).await?);
        Ok(())
    }

    /// Returns the memory that a body of `bytes` does not need.
    pub fn shrink(&mut self, bytes: usize) {
        let spare = self.permit.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.permit.split(spare));
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(u32::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_waits_its_turn() {
        let budget = Budget::new(100 << 10);
        let first = budget.reserve(Some(60 << 10), PATIENCE).await.expect("free");
        let mut second = Box::pin(budget.reserve(Some(60 << 10), PATIENCE));
        assert!(second.as_mut().now_or_never().is_none());
        let mut small = Box::pin(budget.reserve(Some(1 << 10), PATIENCE));
        assert!(small.as_mut().now_or_never().is_none(), "first come, first served");
        drop(first);
        let _second = second.await.expect("free again");
        assert!(small.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_larger_than_the_budget_gets_all_of_it() {
        let budget = Budget::new(10 << 10);
        let mut large = budget.reserve(Some(u64::MAX), PATIENCE).await.expect("all of it");
        large.grow(1 << 30, 1 << 30).await.expect("no more to have");
        assert!(matches!(budget.reserve(Some(1), PATIENCE).await, Err(ProxyError::Crowded)));
        large.shrink(1);
        assert!(budget.reserve(Some(9 << 10), PATIENCE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_unknown_length_takes_more_when_it_has_outgrown_the_first() {
        let budget = Budget::new(4 << 20);
        let mut chunked = budget.reserve(None, PATIENCE).await.expect("free");
        chunked.grow(FIRST, 3 << 20).await.expect("it holds that");
        assert_eq!(chunked.permit.num_permits(), FIRST / UNIT);
        chunked.grow(FIRST + 1, 3 << 20).await.expect("free");
        assert_eq!(chunked.permit.num_permits(), (3 << 20) / UNIT);
        chunked.shrink(300 << 10);
        assert_eq!(chunked.permit.num_permits(), 300);
    }
}
