//! The one trait of a strategy.

use serde::de::DeserializeOwned;

use crate::{Candidates, Decision, Outcome, Request, Setup};

/// A routing strategy. [`export!`](crate::export!) makes a component of it.
///
/// Name, version and description come from the package's `Cargo.toml`.
pub trait Strategy: Sized + 'static {
    /// The configuration under `strategies.NAME.config`: any type that serde can read, or [`NoConfig`](crate::NoConfig)
    /// for a strategy that has none. With `#[serde(deny_unknown_fields)]` a misspelt field is an error and not a
    /// surprise.
    type Config: DeserializeOwned;

    /// The texts that [`Decision::because`] may use. Add new ones at the end: reports tell them apart by position.
    const REASONS: &'static [&'static str] = &[];

    /// True when the host should report outcomes to [`observe`](Self::observe), which costs an additional call now and
    /// then.
    const OBSERVES: bool = false;

    /// True when no decision depends on an earlier call: what is not in `self` after [`new`](Self::new), in the request or in
    /// the candidates has no part in it. A cache that changes no decision does not matter. The host then makes an instance
    /// for each of its workers, as soon as requests would have to wait for each other's decisions; else there is one, which is
    /// asked about one request after the other. Without effect where [`OBSERVES`](Self::OBSERVES) is true.
    const STATELESS: bool = false;

    /// Called once, before anything else; may take its time (seconds).
    ///
    /// # Errors
    ///
    /// A sentence for the operator: the host shows it and refuses to start with this configuration.
    fn new(setup: &Setup, config: Self::Config) -> Result<Self, String>;

    /// Reasons that the config makes, such as one for each of its rules: [`Decision::because_own`] names them by
    /// number. They are asked for once, after [`new`](Self::new), and are numbered after [`REASONS`](Self::REASONS).
    fn reasons(&self) -> Vec<String> {
        Vec::new()
    }

    /// Puts the candidates of one request, of which there is at least one, in order of preference. Aim below 5
    /// microseconds; after about 15 milliseconds the host decides alone. After a panic the request goes on in the
    /// default order, and the strategy loses its memory.
    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision;

    /// Learns how past attempts ended, oldest first, from a few to 64 at once. Called only if [`OBSERVES`](Self::OBSERVES).
    /// Outcomes come late, and under overload some are dropped.
    fn observe(&mut self, outcomes: &[Outcome]) {
        let _ = outcomes;
    }
}
