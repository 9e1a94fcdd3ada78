//! A strategy whose decisions are timed.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Histogram;

use crate::routing::{Candidate, Decision, Facts, Report, Strategy, StrategyHealth};

/// A strategy, and the histogram for the time of its decisions.
pub(super) struct Timed {
    pub strategy: Arc<dyn Strategy>,
    pub calls: Histogram,
}

impl Strategy for Timed {
    fn name(&self) -> &str {
        self.strategy.name()
    }

    fn decide(&self, facts: &Facts<'_>, candidates: &[Candidate]) -> Decision {
        self.strategy.decide(facts, candidates)
    }

    fn reason(&self, reason: u32) -> Option<String> {
        self.strategy.reason(reason)
    }

    fn health(&self) -> StrategyHealth {
        self.strategy.health()
    }

    fn wants_prompt(&self) -> bool {
        self.strategy.wants_prompt()
    }

    fn learn(&self, report: Report) {
        self.strategy.learn(report);
    }

    fn took(&self, time: Duration) {
        self.calls.observe(time.as_secs_f64());
    }
}
