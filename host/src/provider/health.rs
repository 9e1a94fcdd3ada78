//! The active checks: `GET models`, at start and every interval, each provider on its own clock.
//!
//! A hung provider delays nobody else's check, and a provider whose cool-down ends is asked at once rather than at the
//! next interval.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ejection::CheckResult;
use super::{Fleet, Provider};
use crate::config::HealthCheck;
use crate::routing::{FailureKind, Outcome};

/// A check is moved by up to this share of the interval, so that checks of many proxies do not meet.
const JITTER: f64 = 0.1;
/// Two checks of one provider are at least this far apart, however short the cool-down.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// Starts the checks of all providers; they end when `stop` is cancelled. `seed` spreads them.
pub fn start(fleet: &Arc<Fleet>, settings: &HealthCheck, tasks: &TaskTracker, stop: &CancellationToken, seed: u32) {
    if !settings.enabled {
        return;
    }
    for provider in fleet.providers() {
        let (fleet, provider, settings, stop) = (fleet.clone(), provider.clone(), settings.clone(), stop.clone());
        tasks.spawn(async move {
            // Cancelled between checks and within one: a drain does not wait for a provider that hangs.
            stop.run_until_cancelled(check_forever(&fleet, &provider, &settings, seed)).await
        });
    }
}

async fn check_forever(fleet: &Fleet, provider: &Provider, settings: &HealthCheck, seed: u32) {
    let mut jitter = Jitter::new(provider.index, seed);
    loop {
        if let Some(result) = check(provider, settings.timeout).await {
            if let CheckResult::Down(reason) = &result {
                tracing::debug!(provider = provider.config.name, reason, "active check failed");
            }
            fleet.checked(provider, &result);
        }
        let regular = Instant::now() + settings.interval.mul_f64(1.0 + JITTER * jitter.next());
        // Whether ejected by this check or by a request meanwhile: the end of the cool-down comes first.
        loop {
            let until = fleet.snapshot().of(provider.record()).ejected_until();
            let next = until.map_or(regular, |until| regular.min(until.max(Instant::now() + MIN_PAUSE)));
            tokio::select! {
                biased;
                () = sleep_until(next) => break,
                () = provider.record.ejected.notified() => {}
            }
        }
    }
}

/// One check, bounded by `limit`; `None` when it could not be made for want of something on this machine.
async fn check(provider: &Provider, limit: Duration) -> Option<CheckResult> {
    Some(match timeout(limit, provider.client.list_models()).await {
        Err(_elapsed) => CheckResult::Down("timed out".to_owned()),
        Ok(Err(error)) if matches!(error.outcome, Outcome::Failed(FailureKind::Local(_))) => return None,
        Ok(Err(error)) => CheckResult::Down(error.to_string()),
        Ok(Ok(answer)) => match answer.status.as_u16() {
            // 403 and 404: the key or the provider has no list of models, which says nothing about requests. 429: it
            // works, only not for us right now.
            200..=299 | 403 | 404 | 405 | 429 => CheckResult::Alive,
            status @ (401 | 402) => CheckResult::Down(format!("did not accept the proxy's key ({status})")),
            status => CheckResult::Down(format!("answered {status}")),
        },
    })
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
