//! The pure core of routing: facts in, order out, and what an outcome means for the next step.
//!
//! Nothing here waits, reads a clock, or knows HTTP or WebAssembly, so that all of it can be tested with plain values
//! and reused by a simulation.

pub mod candidate;
pub mod decision;
pub mod outcome;
pub mod tier;

pub use candidate::{Candidate, Facts, ProviderFacts};
pub use decision::{Decision, IllegalDecision, Origin};
pub use outcome::{FailureKind, Next, Outcome, OutcomeKind, Phase, Report};
pub use tier::Tier;

/// What orders the candidates of a request. A component is one implementer, the fake of a test another.
pub trait Strategy: Send + Sync {
    /// The name it goes by in the configuration and in logs.
    fn name(&self) -> &str;

    /// Orders `candidates`, of which there is at least one, in the order of the configuration.
    ///
    /// Never fails and never waits longer than the strategy's deadline: whatever goes wrong inside is the default
    /// order and an [`Origin`] that says why. The order is always a permutation of the candidates' providers.
    fn decide(&self, facts: &Facts<'_>, candidates: &[Candidate]) -> Decision;

    /// Its text for a decision's reason, if it has one.
    fn reason(&self, reason: u32) -> Option<String>;

    /// How it is, for operators.
    fn health(&self) -> StrategyHealth;

    /// Takes note of how an attempt ended. Returns at once; may drop the report under load.
    fn learn(&self, report: Report);
}

/// How a strategy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StrategyHealth {
    /// In a word: `healthy` when it decides.
    pub state: &'static str,
    /// Faults since the start, by kind.
    pub faults: Vec<(&'static str, u64)>,
}
