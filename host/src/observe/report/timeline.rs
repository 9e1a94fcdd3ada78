//! The figures of a report over time, in at most 120 steps of the same length.

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::{Record, Sums, Text, Time};
use crate::limits::Nano;

/// The most steps.
const MOST: i64 = 120;
/// The groups that have a line of their own.
const LINES: usize = 7;
/// The lengths that a step may have, in seconds; beyond the last whole multiples of it.
const LENGTHS: [i64; 12] = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 86_400];

/// Figures over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The beginning of the first step.
    pub since: Time,
    /// The length of a step.
    pub step_seconds: u64,
    /// Requests that began in each step.
    pub requests: Vec<u64>,
    /// Those that failed.
    pub failed: Vec<u64>,
    /// Their cost in dollars.
    pub cost: Vec<f64>,
    /// The median time until the head of the answer, in milliseconds; null where there was none.
    pub first_byte_p50_ms: Vec<Option<f64>>,
    /// The 95th percentile of it.
    pub first_byte_p95_ms: Vec<Option<f64>>,
    /// The groups with the most requests, and all others together.
    pub groups: Vec<Line>,
}

/// A group over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its values; null for all others together.
    pub group: Option<Vec<String>>,
    /// Its requests in each step.
    pub requests: Vec<u64>,
    /// Their cost in dollars.
    pub cost: Vec<f64>,
}

/// The steps under way.
#[derive(Debug)]
pub struct Steps {
    /// In microseconds since 1970, a multiple of `length`.
    since: i64,
    /// In microseconds.
    length: i64,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Default)]
struct Step {
    requests: u64,
    failed: u64,
    nano: u64,
    first_byte: Histogram,
}

impl Steps {
    /// The steps between two moments.
    pub fn new(since: Time, until: Time) -> Self {
        let seconds = until.0.saturating_sub(since.0).max(1) / 1_000_000 + 1;
        let longest = LENGTHS[LENGTHS.len() - 1];
        let whole = (seconds / longest / (MOST - 2) + 1).saturating_mul(longest);
        // One more, as the first step begins before.
        let length = LENGTHS.into_iter().find(|length| seconds / length < MOST - 1).unwrap_or(whole) * 1_000_000;
        let since = since.0.div_euclid(length) * length;
        let count = usize::try_from((until.0 - since).max(0) / length + 1).unwrap_or(1);
        Self { since, length, steps: vec![Step::default(); count] }
    }

    /// The number of steps.
    pub fn count(&self) -> usize {
        self.steps.len()
    }

    /// Adds a record; returns its step.
    pub fn add(&mut self, record: &Record, nano: u64) -> usize {
        let at = usize::try_from((record.time.0 - self.since) / self.length).unwrap_or(0);
        let at = at.min(self.steps.len() - 1);
        let step = &mut self.steps[at];
        step.requests += 1;
        step.failed += u64::from(record.failed());
        step.nano += nano;
        if let Some(first) = record.first_byte_ms {
            step.first_byte.add(first.0);
        }
        at
    }

    /// The figures, with lines for the first of these groups, which are in the order of the report.
    pub fn timeline(&self, groups: &[(Vec<Text>, Sums)], other: Option<&Sums>) -> Timeline {
        let mut by_size: Vec<usize> = (0..groups.len()).collect();
        by_size.sort_by_key(|at| std::cmp::Reverse(groups[*at].1.figures.requests));
        let (shown, rest) = by_size.split_at(by_size.len().min(LINES));
        let mut shown = shown.to_vec();
        shown.sort_unstable();
        let line = |group: Option<&Vec<Text>>, steps: &[(u32, u64)]| Line {
            group: group.map(|key| key.iter().map(ToString::to_string).collect()),
            requests: steps.iter().map(|(requests, _)| u64::from(*requests)).collect(),
            cost: steps.iter().map(|(_, nano)| Nano(*nano).dollars()).collect(),
        };
        let mut lines: Vec<Line> = shown.iter().map(|at| line(Some(&groups[*at].0), &groups[*at].1.steps)).collect();
        let rest = rest.iter().map(|at| &groups[*at].1).chain(other);
        let mut together = vec![(0_u32, 0_u64); self.count()];
        let mut is_any = false;
        for sums in rest {
            is_any = true;
            for (sum, more) in together.iter_mut().zip(&sums.steps) {
                *sum = (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1));
            }
        }
        if is_any {
            lines.push(line(None, &together));
        }
        let percentile = |share: f64| {
            let of =
                |step: &Step| (step.first_byte.total() > 0).then(|| step.first_byte.quantile(share) as f64 / 1000.0);
            self.steps.iter().map(of).collect()
        };
        Timeline {
            since: Time(self.since),
            step_seconds: u64::try_from(self.length / 1_000_000).unwrap_or(1),
            requests: self.steps.iter().map(|step| step.requests).collect(),
            failed: self.steps.iter().map(|step| step.failed).collect(),
            cost: self.steps.iter().map(|step| Nano(step.nano).dollars()).collect(),
            first_byte_p50_ms: percentile(0.5),
            first_byte_p95_ms: percentile(0.95),
            groups: lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_steps_than_a_chart_can_show() {
        for seconds in [0, 1, 59, 119, 3600, 86_400, 7 * 86_400, 400 * 86_400, 40_000 * 86_400_i64] {
            let since = Time(1_800_000_123_456_789);
            let steps = Steps::new(since, Time(since.0 + seconds * 1_000_000));
            assert!((1..=MOST as usize).contains(&steps.count()), "{seconds}: {}", steps.count());
            assert!(steps.since <= since.0 && since.0 - steps.since < steps.length, "{seconds}");
        }
        let day = Steps::new(Time(0), Time(86_400_000_000));
        assert_eq!((day.length, day.count()), (1_800_000_000, 49));
    }
}
