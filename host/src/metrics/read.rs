//! Counters and histograms, read for the charts of operators.

use std::sync::atomic::Ordering::Relaxed;

use prometheus::Histogram;
use prometheus::core::Metric as _;

use super::{LONG, Metrics, ProviderMetrics, SHORT, WAITS};
use crate::routing::OutcomeKind;

/// The most buckets of a histogram that is read, the one above all bounds included.
const BUCKETS: usize = 16;

/// The bounds of a histogram's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Of attempts and first tokens.
    Long,
    /// Of the wait for slots.
    Waits,
    /// Of the proxy's own time.
    Short,
}

impl Scale {
    fn bounds(self) -> &'static [f64] {
        match self {
            Self::Long => &LONG,
            Self::Waits => &WAITS,
            Self::Short => &SHORT,
        }
    }
}

/// The counts of a histogram's buckets. They wrap, as differences alone are of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u32; BUCKETS]);

impl Counts {
    /// Those of a histogram.
    pub fn of(histogram: &Histogram) -> Self {
        let read = histogram.metric();
        let read = read.get_histogram();
        let (mut counts, mut below) = ([0; BUCKETS], 0_u64);
        let buckets = read.get_bucket();
        for (count, bucket) in counts.iter_mut().zip(buckets) {
            *count = bucket.cumulative_count().wrapping_sub(below) as u32;
            below = bucket.cumulative_count();
        }
        if let Some(above) = counts.get_mut(buckets.len()) {
            *above = read.get_sample_count().wrapping_sub(below) as u32;
        }
        Self(counts)
    }

    /// What has come since.
    pub fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].wrapping_sub(earlier.0[at])))
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.wrapping_add(more);
        }
    }

    /// The number of observations.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// About the value below which this share of all is, in seconds: within a bucket as if all were spread evenly, as
    /// Prometheus's `histogram_quantile` has it; `None` without observations.
    pub fn quantile(&self, scale: Scale, share: f64) -> Option<f64> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let (wanted, mut below, mut from) = (share * total as f64, 0.0, 0.0);
        for (count, bound) in self.0.iter().zip(scale.bounds()) {
            let count = f64::from(*count);
            if below + count >= wanted && count > 0.0 {
                return Some(from + (bound - from) * ((wanted - below) / count).clamp(0.0, 1.0));
            }
            (below, from) = (below + count, *bound);
        }
        // Beyond the last bound, of which nothing more is known.
        Some(from)
    }
}

impl Metrics {
    /// Requests that have ended.
    pub fn ended(&self) -> u64 {
        self.durations.iter().map(Histogram::get_sample_count).sum()
    }

    /// Requests that the proxy has answered without a provider.
    pub fn alone(&self) -> u64 {
        self.alone.load(Relaxed)
    }

    /// The waits for a slot of the queue.
    pub fn queue_waits(&self) -> Counts {
        Counts::of(&self.queue_wait)
    }

    /// The proxy's own time of requests.
    pub fn overheads(&self) -> Counts {
        Counts::of(&self.overhead)
    }
}

impl ProviderMetrics {
    /// Attempts so far, and those of them that have failed by the provider's fault.
    pub fn tried(&self) -> [u64; 2] {
        let mut tried = [0, 0];
        for (kind, count) in OutcomeKind::ALL.into_iter().zip(self.attempts()) {
            tried[0] += count;
            let failed = match kind {
                OutcomeKind::Succeeded | OutcomeKind::Rejected | OutcomeKind::Cancelled => false,
                OutcomeKind::Unauthorized
                | OutcomeKind::Declined
                | OutcomeKind::NotFound
                | OutcomeKind::Throttled
                | OutcomeKind::Failed
                | OutcomeKind::TimedOut
                | OutcomeKind::Interrupted => true,
            };
            tried[1] += if failed { count } else { 0 };
        }
        tried
    }
}

#[cfg(test)]
mod tests {
    use prometheus::HistogramOpts;

    use super::*;

    fn histogram() -> Histogram {
        Histogram::with_opts(HistogramOpts::new("h", "h").buckets(LONG.to_vec())).unwrap()
    }

    #[test]
    fn percentiles_lie_within_the_bucket_of_their_share() {
        let histogram = histogram();
        assert_eq!(Counts::of(&histogram).quantile(Scale::Long, 0.5), None);
        for _ in 0..90 {
            histogram.observe(0.2);
        }
        for _ in 0..10 {
            histogram.observe(4.0);
        }
        let counts = Counts::of(&histogram);
        assert_eq!(counts.total(), 100);
        let [half, most, last] = [0.5, 0.9, 0.99].map(|share| counts.quantile(Scale::Long, share).unwrap());
        assert!((0.1..0.25).contains(&half), "{half}");
        assert!((most - 0.25).abs() < 1e-9, "{most}");
        assert!((2.5..=5.0).contains(&last), "{last}");
    }

    #[test]
    fn what_has_come_since_forgets_what_was_before() {
        let histogram = histogram();
        histogram.observe(100.0);
        let before = Counts::of(&histogram);
        histogram.observe(0.001);
        histogram.observe(1000.0);
        let since = Counts::of(&histogram).since(&before);
        assert_eq!(since.total(), 2);
        assert!(since.quantile(Scale::Long, 0.5).unwrap() <= 0.005);
        assert_eq!(since.quantile(Scale::Long, 1.0), Some(300.0), "no more is known of it");
    }
}
