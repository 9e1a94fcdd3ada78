//! Wraps a simulated strategy and counts the outcomes of its decisions, so that an author does not mistake the default
//! order, which replaces a broken strategy, for its decisions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::tally::Decided;
use crate::routing::{Candidate, Decision, Facts, Origin, Report, Strategy, StrategyHealth};
use crate::strategy::Succession;

/// Passes decisions through and counts them.
pub struct Watched {
    strategy: Arc<Succession>,
    /// True for the strategy under test, false for a route's own strategy.
    counts: bool,
    decisions: AtomicU64,
    faults: AtomicU64,
    refusals: AtomicU64,
    abstentions: AtomicU64,
}

impl Watched {
    /// A wrapper without any decisions yet.
    pub fn new(strategy: Arc<Succession>, counts: bool) -> Self {
        let zero = || AtomicU64::new(0);
        Self { strategy, counts, decisions: zero(), faults: zero(), refusals: zero(), abstentions: zero() }
    }

    /// The outcomes of all decisions of the strategy under test, on all routes.
    pub fn decided_by(all: &[Arc<Self>]) -> Decided {
        let mut counted = all.iter().filter(|watched| watched.counts).map(|watched| watched.decided());
        let mut sum = counted.next().unwrap_or_default();
        for more in counted {
            sum.decisions += more.decisions;
            sum.faults += more.faults;
            sum.refusals += more.refusals;
            sum.abstentions += more.abstentions;
            for (kind, count) in more.fault_kinds {
                *sum.fault_kinds.entry(kind).or_default() += count;
            }
            sum.last_fault = sum.last_fault.or(more.last_fault);
        }
        sum
    }

    /// The outcomes of all decisions.
    pub fn decided(&self) -> Decided {
        let faults = self.strategy.health().counters.faults;
        Decided {
            decisions: self.decisions.load(Relaxed),
            faults: self.faults.load(Relaxed),
            refusals: self.refusals.load(Relaxed),
            abstentions: self.abstentions.load(Relaxed),
            fault_kinds: faults.into_iter().filter(|(_, count)| *count > 0).collect(),
            last_fault: self.strategy.last_fault(),
        }
    }
}

impl Strategy for Watched {
    fn name(&self) -> &str {
        self.strategy.name()
    }

    fn decide(&self, facts: &Facts<'_>, candidates: &[Candidate]) -> Decision {
        let decision = self.strategy.decide(facts, candidates);
        self.decisions.fetch_add(1, Relaxed);
        let counter = match decision.origin {
            Origin::Strategy { .. } => return decision,
            Origin::Faulted => &self.faults,
            Origin::Refused => &self.refusals,
            Origin::Abstained => &self.abstentions,
        };
        counter.fetch_add(1, Relaxed);
        decision
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
}
