//! The counters of limits.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::sound;

/// Refusals and estimates. The labels are from fixed sets.
#[derive(Debug)]
pub struct LimitMetrics {
    refusals: IntCounterVec,
    /// Requests whose usage nobody has reported, so that it was estimated.
    pub estimated: IntCounter,
    /// Budgets that have come near their end.
    notices: IntCounterVec,
}

impl LimitMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = sound(IntCounterVec::new(Opts::new(name, help), labels));
            sound(registry.register(Box::new(counters.clone())));
            counters
        };
        let estimated = sound(IntCounter::new(
            "pointsman_estimated_usage_total",
            "Requests under limits whose tokens no provider has reported, so that they were estimated.",
        ));
        sound(registry.register(Box::new(estimated.clone())));
        Self {
            refusals: counters(
                "pointsman_limit_refusals_total",
                "Requests that a limit has refused, by the kind of its owner and by what it counts.",
                &["owner", "limit"],
            ),
            estimated,
            notices: counters(
                "pointsman_budget_notices_total",
                "Budgets of which a window was used up to the share at which that is told, by the kind of their owner.",
                &["owner"],
            ),
        }
    }

    /// Counts a request that a limit has refused.
    pub fn refused(&self, owner: &str, unit: &str) {
        self.refusals.with_label_values(&[owner, unit]).inc();
    }

    /// Counts a budget that has come near its end.
    pub fn noticed(&self, owner: &str) {
        self.notices.with_label_values(&[owner]).inc();
    }
}
