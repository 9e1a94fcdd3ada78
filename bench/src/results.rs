//! All samples of a run, and access to the figures in them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::stats::{Series, Spread, paired};

/// One target under one measure in one round.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// From 0.
    pub round: usize,
    /// [`Target::name`](crate::targets::Target::name).
    pub target: &'static str,
    /// [`Measure::name`](crate::plan::Measure::name).
    pub measure: &'static str,
    /// The sample.
    pub figures: BTreeMap<&'static str, f64>,
    /// Milliseconds that fixed work took on the proxy's core just before.
    pub calibration_ms: f64,
    /// Cores' worth of CPU time that was not ours meanwhile, on the cores in use.
    pub foreign_cores: f64,
}

/// A run.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// In the order in which they were taken.
    pub records: Vec<Record>,
    /// The number of rounds.
    pub rounds: usize,
}

impl Results {
    /// A figure, by round.
    pub fn series(&self, target: &str, measure: &str, figure: &str) -> Series {
        let mut series = vec![None; self.rounds];
        for record in &self.records {
            if record.target == target && record.measure == measure {
                series[record.round] = record.figures.get(figure).copied();
            }
        }
        series
    }

    /// The ratio of a figure to the other target's, by round.
    pub fn ratio(&self, target: &str, other: &str, measure: &str, figure: &str) -> Option<Spread> {
        let (ours, theirs) = (self.series(target, measure, figure), self.series(other, measure, figure));
        spread(&paired(&ours, &theirs, |ours, theirs| ours / theirs))
    }

    /// The difference of a figure from the other target's, by round.
    pub fn difference(&self, target: &str, other: &str, measure: &str, figure: &str) -> Option<Spread> {
        let (ours, theirs) = (self.series(target, measure, figure), self.series(other, measure, figure));
        spread(&paired(&ours, &theirs, |ours, theirs| ours - theirs))
    }

    /// Median and range of a figure.
    pub fn spread(&self, target: &str, measure: &str, figure: &str) -> Option<Spread> {
        spread(&self.series(target, measure, figure))
    }

    /// The targets, in the order in which they first came.
    pub fn targets(&self) -> Vec<&'static str> {
        let mut targets = Vec::new();
        for record in &self.records {
            if !targets.contains(&record.target) {
                targets.push(record.target);
            }
        }
        targets
    }
}

fn spread(series: &Series) -> Option<Spread> {
    Spread::of(series.iter().copied().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_compared_within_their_round() {
        let record = |round, target, cpu| Record {
            round,
            target,
            measure: "1k",
            figures: BTreeMap::from([("cpu_us", cpu)]),
            calibration_ms: 20.0,
            foreign_cores: 0.0,
        };
        let records = vec![
            record(0, "nginx", 10.0),
            record(0, "pointsman", 15.0),
            record(1, "pointsman", 30.0),
            record(1, "nginx", 20.0),
            record(2, "pointsman", 40.0),
        ];
        let results = Results { records, rounds: 3 };
        let ratio = results.ratio("pointsman", "nginx", "1k", "cpu_us").unwrap();
        assert_eq!((ratio.median, ratio.samples), (1.5, 2));
        assert_eq!(results.difference("pointsman", "nginx", "1k", "cpu_us").unwrap().max, 10.0);
        assert_eq!(results.spread("pointsman", "1k", "cpu_us").unwrap().median, 30.0);
        assert_eq!(results.spread("envoy", "1k", "cpu_us"), None);
        assert_eq!(results.targets(), ["nginx", "pointsman"]);
    }
}
