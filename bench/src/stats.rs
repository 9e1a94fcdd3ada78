//! Medians, spreads, and ratios of measurements in the same round.

use serde::{Deserialize, Serialize};

/// A median and its range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// The number of values.
    pub samples: usize,
}

impl Spread {
    /// Of `values`; `None` when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let samples = values.len();
        let median = f64::midpoint(values[(samples - 1) / 2], values[samples / 2]);
        Some(Self { median, min, max, samples })
    }
}

/// Percentiles of times, in µs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half took no longer.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Quantiles {
    /// Of `values`; `None` when there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let max = *values.last()?;
        // The nearest rank.
        let at = |percent: usize| values[(values.len() * percent).div_ceil(100) - 1];
        Some(Self { p50: at(50), p99: at(99), max })
    }
}

/// One figure of one target, by round; not every round need have it.
pub type Series = Vec<Option<f64>>;

/// `combine` of what both series have, round by round. The machine changes over minutes, so two figures are compared
/// within a round, and the median is taken of the comparisons.
pub fn paired(one: &Series, other: &Series, combine: impl Fn(f64, f64) -> f64) -> Series {
    one.iter().zip(other).map(|(one, other)| Some(combine((*one)?, (*other)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_middle_two() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 8.0]), Some(Spread { median: 3.0, min: 1.0, max: 8.0, samples: 3 }));
        assert_eq!(Spread::of([4.0, 1.0, 8.0, 2.0]).unwrap().median, 3.0);
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert_eq!(Quantiles::of(vec![]), None);
        assert_eq!(Quantiles::of(vec![7.0]), Some(Quantiles { p50: 7.0, p99: 7.0, max: 7.0 }));
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(Quantiles::of(hundred), Some(Quantiles { p50: 50.0, p99: 99.0, max: 100.0 }));
    }

    #[test]
    fn a_ratio_is_taken_within_a_round_before_the_median() {
        // A machine that was half as fast in the second round: the ratio of medians would be 1.5.
        let (ours, theirs) = (vec![Some(12.0), Some(24.0), Some(12.0)], vec![Some(10.0), Some(20.0), None]);
        let ratios = paired(&ours, &theirs, |ours, theirs| ours / theirs);
        assert_eq!(ratios, [Some(1.2), Some(1.2), None]);
        assert_eq!(Spread::of(ratios.into_iter().flatten()).unwrap().median, 1.2);
    }
}
