//! `track_latency`: logs once per interval a line for each provider that had requests: its share, its successes, its
//! latency.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Fleet, Provider};
use crate::config::Monitoring;
use crate::routing::OutcomeKind;

/// Starts the summaries, if latency is tracked; they end when `stop` is cancelled.
pub fn start(fleet: &Arc<Fleet>, settings: &Monitoring, tasks: &TaskTracker, stop: &CancellationToken) {
    if !settings.track_latency {
        return;
    }
    let (fleet, interval, stop) = (Arc::clone(fleet), settings.interval, stop.clone());
    tasks.spawn(async move { stop.run_until_cancelled(summarise(&fleet, interval)).await });
}

async fn summarise(fleet: &Fleet, interval: Duration) {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Vec<Counts> = fleet.providers().iter().map(|provider| Counts::of(provider)).collect();
    loop {
        ticks.tick().await;
        let now: Vec<Counts> = fleet.providers().iter().map(|provider| Counts::of(provider)).collect();
        let since: Vec<Counts> = now.iter().zip(&before).map(|(now, before)| now.since(before)).collect();
        let all: u64 = since.iter().map(Counts::attempts).sum();
        for (provider, counts) in fleet.providers().iter().zip(&since).filter(|(_, counts)| counts.attempts() > 0) {
            let name = provider.config.name.as_str();
            let (attempts, share, success) = (counts.attempts(), counts.share_of(all), counts.success());
            let mean_ms = counts.mean_ms();
            let first_byte_us = provider.latency().first_byte_us();
            let first_byte_ms = (first_byte_us > 0).then(|| tenths(f64::from(first_byte_us) / 1000.0));
            let to_first_byte = first_byte_ms.map(|ms| format!(", {ms:.1} ms to the first byte")).unwrap_or_default();
            let plural = if attempts == 1 { "" } else { "s" };
            tracing::info!(
                provider = name,
                attempts,
                share_percent = tenths(share),
                success_percent = tenths(success),
                mean_ms = tenths(mean_ms),
                first_byte_ms,
                "provider {name}: {attempts} attempt{plural} ({share:.1} % of all), {success:.1} % succeeded, \
                 {mean_ms:.1} ms on average{to_first_byte}"
            );
        }
        before = now;
    }
}

/// The counts of a provider, up to some time or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    outcomes: [u64; OutcomeKind::ALL.len()],
    seconds: f64,
}

impl Counts {
    fn of(provider: &Provider) -> Self {
        let seconds = provider.metrics.attempt_duration.get_sample_sum();
        Self { outcomes: provider.metrics.attempts(), seconds }
    }

    fn since(&self, before: &Self) -> Self {
        let mut outcomes = self.outcomes;
        for (now, before) in outcomes.iter_mut().zip(before.outcomes) {
            *now = now.saturating_sub(before);
        }
        Self { outcomes, seconds: self.seconds - before.seconds }
    }

    fn attempts(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// The share in percent.
    fn share_of(&self, all: u64) -> f64 {
        percent(self.attempts(), all)
    }

    /// The successes in percent of the attempts that the client waited for.
    fn success(&self) -> f64 {
        let cancelled = self.outcomes[OutcomeKind::Cancelled as usize];
        percent(self.outcomes[OutcomeKind::Succeeded as usize], self.attempts() - cancelled)
    }

    fn mean_ms(&self) -> f64 {
        self.seconds * 1000.0 / self.attempts().max(1) as f64
    }
}

/// The number as it is logged.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelled_attempts_are_work_but_no_failures() {
        let mut counts = Counts::default();
        for (kind, count) in [(OutcomeKind::Succeeded, 3), (OutcomeKind::Failed, 1), (OutcomeKind::Cancelled, 4)] {
            counts.outcomes[kind as usize] = count;
        }
        counts.seconds = 2.0;
        assert_eq!((counts.attempts(), counts.success(), counts.share_of(32)), (8, 75.0, 25.0));
        assert!((counts.mean_ms() - 250.0).abs() < 1e-9);
    }

    #[test]
    fn an_interval_is_what_came_since_the_one_before() {
        let (mut before, mut now) = (Counts::default(), Counts::default());
        before.outcomes[0] = 2;
        now.outcomes[0] = 5;
        (before.seconds, now.seconds) = (1.0, 4.0);
        assert_eq!((now.since(&before).attempts(), now.since(&before).seconds), (3, 3.0));
        assert!(Counts::default().mean_ms().abs() < 1e-9);
    }
}
