//! The active checks: `GET models`, at start and every interval, each provider on its own clock.
//!
//! A hung provider delays nobody else's check. A provider whose ejection ends is asked at once rather than at the next
//! interval, and one that does not answer is asked more often, see [`Health::next_check`](super::ejection::Health::next_check).
//! One that another replica has ejected is asked at once as well.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::Answer;
use super::ejection::CheckResult;
use super::{Fleet, Provider};
use crate::config::ProviderCheck;
use crate::patience;
use crate::routing::Evidence;

/// A check is moved by up to this share of the interval, so that checks of many proxies do not meet.
const JITTER: f64 = 0.1;
/// Two checks of one provider are at least this far apart, however short the cool-down.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// Starts the checks of all providers; they end when `stop` is cancelled. `seed` spreads them.
pub fn start(fleet: &Arc<Fleet>, tasks: &TaskTracker, stop: &CancellationToken, seed: u32) {
    for provider in fleet.providers().iter().filter(|provider| provider.config.health_check.enabled) {
        let (fleet, provider, stop) = (fleet.clone(), provider.clone(), stop.clone());
        tasks.spawn(async move {
            // Cancelled between checks and within one: a drain does not wait for a provider that hangs.
            stop.run_until_cancelled(check_forever(&fleet, &provider, seed)).await
        });
    }
}

async fn check_forever(fleet: &Fleet, provider: &Provider, seed: u32) {
    let mut jitter = Jitter::new(provider.index, seed);
    let settings = &provider.config.health_check;
    let mut failed = 0_u32;
    loop {
        let (result, list) = check(provider, settings).await;
        match &result {
            CheckResult::Down(reason) | CheckResult::Refused(reason) => {
                let name = provider.config.name.as_str();
                tracing::debug!(provider = name, reason, "the active check of provider {name} failed: {reason}");
                failed = failed.saturating_add(1);
            }
            CheckResult::Alive | CheckResult::Unknown => failed = 0,
        }
        fleet.checked(provider, &result);
        let last = Instant::now();
        if let Some(list) = list {
            provider.listing().take(list, &provider.config.name, settings.timeout).await;
        }
        let regular = last + settings.interval.mul_f64(1.0 + JITTER * jitter.next());
        loop {
            let now = Instant::now();
            let due = fleet.snapshot().of(provider.seat()).next_check(last, failed, regular, now);
            tokio::select! {
                biased;
                () = sleep_until(due.max(last + MIN_PAUSE)) => break,
                // Ejected by a request meanwhile.
                () = provider.seat.ejected.notified() => {}
                () = provider.seat.doubted.notified() => break,
            }
        }
    }
}

/// One check, bounded by its own timeout; beside its result the answer, if it is a list of models.
async fn check(provider: &Provider, settings: &ProviderCheck) -> (CheckResult, Option<Answer>) {
    let deadline = Instant::now() + settings.timeout;
    let result = match patience::until(deadline, provider.client.check(settings.path.as_deref())).await {
        Err(_elapsed) => CheckResult::Down("timed out (health_check.timeout)".to_owned()),
        Ok(Err(error)) if error.outcome.evidence() == Evidence::None => CheckResult::Unknown,
        Ok(Err(error)) => CheckResult::Down(error.to_string()),
        Ok(Ok(answer)) => {
            let result = found(answer.status.as_u16());
            let is_list = settings.path.is_none() && answer.status.is_success();
            return (result, is_list.then_some(answer));
        }
    };
    (result, None)
}

/// The result that follows from the status of a check's answer. A provider that answers is alive, even if it has no
/// list of models, expects another request for it, or limits our rate.
fn found(status: u16) -> CheckResult {
    match status {
        401 => CheckResult::Refused("did not accept the proxy's key (401)".to_owned()),
        501 => CheckResult::Alive,
        500..=599 => CheckResult::Down(format!("answered {status}")),
        _ => CheckResult::Alive,
    }
}

/// Spreads checks: a xorshift generator, which is random enough and needs no crate.
struct Jitter(u32);

impl Jitter {
    fn new(index: u32, seed: u32) -> Self {
        Self((seed ^ index.wrapping_mul(0x9E37_79B9)) | 1)
    }

    /// Between -1 and 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        f64::from(self.0) / f64::from(u32::MAX) * 2.0 - 1.0
    }
}
