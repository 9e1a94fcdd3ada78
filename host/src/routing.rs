//! The pure core of routing: facts in, order out, and what an outcome means for the next step.
//!
//! Nothing here waits, reads a clock, or knows HTTP or WebAssembly, so that all of it can be tested with plain values
//! and reused by a simulation.

use std::time::Duration;

pub mod candidate;
pub mod decision;
pub mod eligible;
pub mod hedging;
pub mod model_key;
pub mod outcome;
pub mod route;
pub mod tier;
pub mod unserved;

pub use candidate::{Candidate, Facts, KeptFacts, RouteFacts, TargetFacts};
pub use decision::{Decision, Given, IllegalDecision, Origin};
pub use model_key::ModelKey;
pub use outcome::{Evidence, FailureKind, Lack, Next, Outcome, OutcomeKind, Phase, Report, TlsFault, micros};
pub use route::{Route, Routes, Target};
pub use tier::Tier;

/// The strategy that orders the candidates of a request. A component is one implementer, the fake of a test another.
pub trait Strategy: Send + Sync {
    /// The name of the strategy that decides now, as the configuration and logs have it. After a roll-back that is the
    /// previous one.
    fn name(&self) -> &str;

    /// Orders `candidates`, of which there is at least one, in the order of the configuration.
    ///
    /// Never fails and never waits longer than the strategy's deadline: when anything goes wrong inside, the result is
    /// the default order and an [`Origin`] that says why. The order is always a permutation of the candidates, less
    /// those that it excludes.
    fn decide(&self, facts: &Facts<'_>, candidates: &[Candidate]) -> Decision;

    /// The text of a decision's reason, in its own words; `None` for a number that it has no words for.
    fn reason(&self, reason: u32) -> Option<String>;

    /// Its health, for operators.
    fn health(&self) -> StrategyHealth;

    /// True when it is shown prompts. Only then do [`Facts`] need one.
    fn wants_prompt(&self) -> bool;

    /// Takes note of how an attempt ended. Returns at once; may drop the report under load.
    fn learn(&self, report: Report);

    /// Takes note of how long a decision took, the wait for its turn included, as the caller measured it.
    fn took(&self, _: Duration) {}
}

/// An observer of how attempts end.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// Takes note of how the attempt at one of its targets ended.
    fn ended(&self, report: Report);
}

/// The health of a strategy, for operators and metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StrategyHealth {
    /// The name of the one that decides, as [`Strategy::name`]; the label of its counters.
    pub name: String,
    /// In a word: `healthy` when it decides, `rebuilding` while a broken instance is replaced, `backing_off` after too
    /// many faults in a row.
    pub state: &'static str,
    /// True while it is new, and the previous one stands by until it has proved itself.
    pub on_trial: bool,
    /// The reason why the one that the configuration names does not decide, if the previous one was brought back.
    pub rolled_back: Option<String>,
    /// The name that the component gives itself, or empty.
    pub component: String,
    /// The version that the component gives itself, or empty.
    pub version: String,
    /// The first 12 hexadecimal digits of the component's SHA-256.
    pub digest: String,
    /// The counters of this name.
    pub counters: StrategyCounters,
    /// The counters of other names that strategies of this process went by, so that metrics lose nothing when a reload
    /// chooses another one.
    pub former: Vec<(String, StrategyCounters)>,
    /// The health of its shadows, which see what it sees and decide nothing.
    pub shadows: Vec<ShadowHealth>,
    /// The state of the record of its decisions, if there is one.
    pub record: Option<RecordHealth>,
    /// Seconds of a call, on a moving average; `None` before it is known.
    pub mean_call: Option<f64>,
    /// True when that is so long that it limits the number of requests that can be served.
    pub slow: bool,
}

/// The state of the record of decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordHealth {
    /// The file that it is written to.
    pub path: std::path::PathBuf,
    /// The reason why nothing is written at present, such as a full disk.
    pub failing: Option<String>,
    /// Lines that are missing from it because they came faster than they could be written.
    pub missing: u64,
}

/// The health of a shadow: a strategy that sees what the live one sees and decides nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShadowHealth {
    /// Its health as a strategy.
    pub strategy: StrategyHealth,
    /// Decisions that it has seen.
    pub decisions: u64,
    /// Decisions among them in which it would have tried the same provider first.
    pub same_first: u64,
    /// Decisions among them in which its whole order was the same.
    pub same_order: u64,
    /// Time that it has taken for them.
    pub seconds: f64,
    /// Decisions that it and the other shadows have missed, because they came faster than shadows can follow.
    pub dropped: u64,
}

/// Counts of events under a strategy's name since the process started, over all reloads. None ever falls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StrategyCounters {
    /// Decisions asked for.
    pub calls: u64,
    /// Errors that it returned.
    pub refusals: u64,
    /// Empty orders that it returned.
    pub abstentions: u64,
    /// Faults by kind; every kind is there.
    pub faults: Vec<(&'static str, u64)>,
    /// Decisions that had to wait for another one to end.
    pub lock_waits: u64,
    /// Decisions that did not wait any longer, and got the default order.
    pub lock_timeouts: u64,
    /// Instances made to replace a broken one.
    pub rebuilds: u64,
    /// Instances made to replace one whose memory had come near its limit.
    pub renewals: u64,
    /// Reports of attempts that it wanted and did not get.
    pub reports_dropped: u64,
}
