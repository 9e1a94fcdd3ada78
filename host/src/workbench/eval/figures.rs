//! The statistics of an evaluation: how sure a share is, and whether two differ.

use serde::{Deserialize, Serialize};

/// The 97.5th percentile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's interval of a share, at 95 % (Wilson 1927): unlike the usual one it is right for few questions, and near 0 and 1.
pub fn wilson(right: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (of as f64, right as f64 / of as f64);
    let square = Z * Z;
    let centre = (share + square / (2.0 * n)) / (1.0 + square / n);
    let half = Z * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt() / (1.0 + square / n);
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// Two approaches over the same questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Questions that both were asked.
    pub questions: usize,
    /// Those that this one has right and the first one wrong.
    pub gained: usize,
    /// Those that the first one has right and this one wrong.
    pub lost: usize,
    /// The difference of the shares, -1 to 1.
    pub difference: f64,
    /// Its interval at 95 %.
    pub interval: (f64, f64),
    /// The probability of so large a difference, or a larger one, if there is none.
    pub p: f64,
}

impl Difference {
    /// Compares by pairs: `(first, this)`.
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let (mut questions, mut gained, mut lost) = (0, 0, 0);
        for pair in pairs {
            questions += 1;
            match pair {
                (false, true) => gained += 1,
                (true, false) => lost += 1,
                _ => {}
            }
        }
        let (up, down) = (gained as f64, lost as f64);
        let difference = (up - down) / questions.max(1) as f64;
        // Half a pair more of each kind: right for few pairs, and not empty when none differ (Agresti and Min 2005).
        let (n, up, down) = (questions as f64 + 2.0, up + 0.5, down + 0.5);
        let half = Z * (up + down - (up - down) * (up - down) / n).sqrt() / n;
        let centre = (up - down) / n;
        let interval = ((centre - half).max(-1.0), (centre + half).min(1.0));
        Self { questions, gained, lost, difference, interval, p: mcnemar(gained, lost) }
    }
}

/// McNemar's test in its exact form: of the pairs that differ, half would go either way.
fn mcnemar(gained: usize, lost: usize) -> f64 {
    let n = gained + lost;
    let mut log = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=gained.min(lost) {
        if k > 0 {
            log += ((n - k + 1) as f64).ln() - (k as f64).ln();
        }
        tail += log.exp();
    }
    (2.0 * tail).min(1.0)
}

/// The value below which so large a share of them lies; 0 of none.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_wilsons() {
        // 15 of 20: 0.531 to 0.888 by the formula, computed by hand.
        let (low, high) = wilson(15, 20);
        assert!((low - 0.5313).abs() < 1e-3 && (high - 0.8881).abs() < 1e-3, "{low} {high}");
        let (low, high) = wilson(0, 10);
        assert!(low.abs() < 1e-12 && (high - 0.2775).abs() < 1e-3, "{high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn a_difference_is_tested_by_the_pairs_that_differ() {
        let pairs = |both, gained, lost| {
            std::iter::repeat_n((true, true), both)
                .chain(std::iter::repeat_n((false, true), gained))
                .chain(std::iter::repeat_n((true, false), lost))
        };
        // 2 * (1 + 6) / 2^6
        let found = Difference::of(pairs(14, 5, 1));
        assert!((found.p - 0.21875).abs() < 1e-9 && (found.difference - 0.2).abs() < 1e-9, "{found:?}");
        assert!((Difference::of(pairs(10, 0, 0)).p - 1.0).abs() < 1e-12);
        assert!((Difference::of(pairs(0, 10, 0)).p - 2.0 / 1024.0).abs() < 1e-9);
        assert!(Difference::of(pairs(0, 3000, 2000)).p < 1e-9);
        let (low, high) = found.interval;
        assert!(low < 0.2 && 0.2 < high);
        let (low, high) = Difference::of(pairs(20, 0, 0)).interval;
        assert!((-0.1..-0.05).contains(&low) && (low + high).abs() < 1e-12, "{low} {high}");
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        assert!((percentile(&mut [3.0, 1.0, 2.0], 0.5) - 2.0).abs() < 1e-12);
        assert!((percentile(&mut [3.0, 1.0, 2.0], 0.95) - 3.0).abs() < 1e-12);
        assert!(percentile(&mut [], 0.5).abs() < 1e-12);
    }
}
