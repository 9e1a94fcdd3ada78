//! Times in buckets that are as wide as a sixteenth of where they begin, so that a percentile is off by 3 % at most and a
//! histogram takes a few hundred bytes, however many times it holds.

/// Buckets for each doubling.
const PARTS: u64 = 16;

/// Times in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// The buckets that hold something, by their numbers.
    buckets: Vec<(u16, u32)>,
    total: u64,
    least: u64,
    most: u64,
}

impl Histogram {
    /// Adds a time.
    pub fn add(&mut self, micros: u64) {
        let number = number(micros);
        match self.buckets.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(1),
            Err(at) => self.buckets.insert(at, (number, 1)),
        }
        self.least = if self.total == 0 { micros } else { self.least.min(micros) };
        self.most = self.most.max(micros);
        self.total += 1;
    }

    /// The number of times.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The largest.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// The time below or at which this share of all is; 0 if there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = ((share * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        if wanted >= self.total {
            return self.most;
        }
        let mut below = 0;
        for (number, count) in &self.buckets {
            below += u64::from(*count);
            if below >= wanted {
                return middle(*number).clamp(self.least, self.most);
            }
        }
        self.most
    }
}

/// The number of the bucket of a time: below 16 the time itself, and then 16 for each doubling.
fn number(micros: u64) -> u16 {
    let doublings = u64::from(micros.max(PARTS).ilog2() - PARTS.ilog2());
    u16::try_from(doublings * PARTS + (micros >> doublings)).unwrap_or(u16::MAX)
}

/// The middle of a bucket.
fn middle(number: u16) -> u64 {
    let number = u64::from(number);
    let doublings = (number / PARTS).saturating_sub(1);
    let begin = (number - doublings * PARTS) << doublings;
    begin + (1 << doublings) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_a_bucket_whose_middle_is_near() {
        let mut last = 0;
        for micros in (0..5000)
            .chain((13..63).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + (1 << (power - 2))]))
        {
            let number = number(micros);
            assert!(number >= last || micros < 5000, "{micros}");
            last = number;
            let off = (middle(number) as f64 - micros as f64).abs();
            assert!(off <= 0.032 * micros as f64, "{micros}: {}", middle(number));
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), 0);
        histogram.add(12_345);
        assert_eq!([0.0, 0.5, 1.0].map(|share| histogram.quantile(share)), [12_345; 3]);
        let mut histogram = Histogram::default();
        for micros in (1..=10_000).rev() {
            histogram.add(micros);
        }
        assert_eq!((histogram.total(), histogram.most(), histogram.quantile(1.0)), (10_000, 10_000, 10_000));
        for (share, exact) in [(0.5, 5000.0), (0.95, 9500.0), (0.99, 9900.0)] {
            let told = histogram.quantile(share) as f64;
            assert!((told - exact).abs() / exact < 0.032, "{share}: {told}");
        }
    }
}
