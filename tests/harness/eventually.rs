//! Waiting for a condition instead of sleeping.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// The time that a test waits for a condition: far longer than it ever takes, so that only a real fault exceeds it.
pub const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(4);

/// Asks until `condition` holds.
///
/// # Panics
///
/// When it does not hold within [`PATIENCE`]; the message says `what` was waited for.
#[track_caller]
pub fn eventually<C, F>(what: &str, mut condition: C) -> impl Future<Output = ()>
where
    C: FnMut() -> F,
    F: Future<Output = bool>,
{
    let caller = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        let mut tries = 0_u32;
        while !condition().await {
            tries += 1;
            assert!(began.elapsed() < PATIENCE, "{caller}: not after {PATIENCE:?} and {tries} tries: {what}");
            sleep(POLL).await;
        }
    }
}

/// Bounds a step of a test, so that a hang becomes a failure that says where.
///
/// # Panics
///
/// When `future` takes longer than [`PATIENCE`].
#[track_caller]
pub fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let outcome = timeout(PATIENCE, future).await;
        assert!(outcome.is_ok(), "{caller}: hung for {PATIENCE:?}: {what}");
        outcome.expect("just checked")
    }
}
