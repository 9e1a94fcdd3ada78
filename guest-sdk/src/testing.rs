//! A test kit that runs a strategy natively, on the calls that the host would make.
//!
//! ```
//! # use pointsman_guest::{Candidates, Decision, NoConfig, Request, Setup, Strategy};
//! # struct Turns;
//! # impl Strategy for Turns {
//! #     type Config = NoConfig;
//! #     fn new(_: &Setup, _: NoConfig) -> Result<Self, String> { Ok(Self) }
//! #     fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
//! #         candidates.rotate(request.seq).into()
//! #     }
//! # }
//! use pointsman_guest::testing::{Harness, fixture};
//!
//! let mut strategy = Harness::<Turns>::new([fixture("a").max_concurrent(4), fixture("b"), fixture("c").weight(0.5)]);
//! assert_eq!(strategy.route(), ["a", "b", "c"]);
//! assert_eq!(strategy.route(), ["b", "c", "a"]);
//! strategy.offer(["a", "c"]);
//! strategy.assert_share("c", 0.5, 0.0, 1_000);
//! ```
//!
//! What is easier to say as data stands in JSON files, which [`play_fixtures`] plays here, and
//! `pointsman strategy test --fixtures` to the finished component.

#![expect(clippy::panic, reason = "a test kit reports by panicking")]

mod fixture;
#[cfg(not(target_family = "wasm"))]
mod played;

use std::collections::{BTreeMap, BTreeSet};

pub use fixture::{ProviderFixture, fixture};
#[cfg(not(target_family = "wasm"))]
pub use played::play_fixtures;

use crate::bindings::pointsman::strategy::types as wit;
use crate::export::Started;
use crate::{Decision, Outcome, Request, Strategy, Tier};

/// What the host measures of a candidate, to be set by a test. All 0 at first.
pub use crate::bindings::pointsman::strategy::types::Candidate as CandidateFacts;

/// A strategy with providers, a request to come and candidates that a test may change.
///
/// Every decision is checked against the contract; one that the host would refuse panics.
#[derive(Debug)]
pub struct Harness<S: Strategy> {
    started: Started<S>,
    names: Vec<String>,
    facts: Vec<CandidateFacts>,
    offered: Vec<wit::ProviderIndex>,
    reason: Option<&'static str>,
    /// The next request. [`route`](Self::route) counts `seq` up; the rest stays as it was set. At first all 0, of the
    /// primary tier, for the model `"model"`.
    pub request: Request,
}

impl<S: Strategy> Harness<S> {
    /// Starts the strategy without a config: `Harness::new(["a", "b"])`, `Harness::new([("a", 0.7), ("b", 0.3)])` with
    /// weights, or with a [`fixture()`] each.
    ///
    /// # Panics
    ///
    /// If the strategy refuses to start.
    #[track_caller]
    pub fn new(providers: impl IntoIterator<Item = impl Into<ProviderFixture>>) -> Self {
        Self::with_config(providers, "{}")
    }

    /// Starts the strategy with a config, as JSON.
    ///
    /// # Panics
    ///
    /// If the strategy refuses to start.
    #[track_caller]
    pub fn with_config(providers: impl IntoIterator<Item = impl Into<ProviderFixture>>, config: &str) -> Self {
        Self::start(providers, config).unwrap_or_else(|error| panic!("the strategy does not start: {error}"))
    }

    /// Starts the strategy with a config, as JSON.
    ///
    /// # Errors
    ///
    /// The text that the operator would see.
    pub fn start(
        providers: impl IntoIterator<Item = impl Into<ProviderFixture>>,
        config: &str,
    ) -> Result<Self, String> {
        let providers: Vec<_> = providers.into_iter().map(|provider| provider.into().into_provider()).collect();
        let names: Vec<_> = providers.iter().map(|provider| provider.name.clone()).collect();
        let offered: Vec<_> = (0..).take(names.len()).collect();
        let idle = |provider| CandidateFacts { provider, in_flight: 0, latency_us: 0, failure_permille: 0 };
        Ok(Self {
            started: Started::new(wit::Setup { providers, config: config.to_owned() })?,
            names,
            facts: offered.iter().copied().map(idle).collect(),
            offered,
            reason: None,
            request: Request {
                seq: 0,
                entropy: 0,
                now_ms: 0,
                tier: Tier::Primary,
                attempts: 0,
                model: "model".to_owned(),
                streaming: false,
                body_bytes: 0,
                affinity: 0,
            },
        })
    }

    /// What the host measures of `provider` from now on: `harness.candidate("a").in_flight = 3`.
    ///
    /// # Panics
    ///
    /// If there is no such provider.
    #[track_caller]
    pub fn candidate(&mut self, provider: &str) -> &mut CandidateFacts {
        let index = self.index_of(provider);
        &mut self.facts[index]
    }

    /// Offers only these providers from now on, in the order of the configuration, and starts `seq` afresh, as the host
    /// does for another set of providers.
    ///
    /// # Panics
    ///
    /// If there is no such provider.
    #[track_caller]
    pub fn offer<'n>(&mut self, providers: impl IntoIterator<Item = &'n str>) {
        let offered: BTreeSet<_> = providers.into_iter().map(|name| self.index_of(name) as u32).collect();
        self.offered = offered.into_iter().collect();
        self.request.seq = 0;
    }

    /// One decision, as names. Counts `request.seq` up.
    ///
    /// # Panics
    ///
    /// If the decision is illegal or an error, or its reason is not one of [`Strategy::REASONS`].
    #[track_caller]
    pub fn route(&mut self) -> Vec<String> {
        self.try_route().unwrap_or_else(|error| panic!("the strategy returned an error: {error}"))
    }

    /// One decision, as names. Counts `request.seq` up.
    ///
    /// # Errors
    ///
    /// The text of [`Decision::error`](crate::Decision::error).
    ///
    /// # Panics
    ///
    /// If the decision is illegal, or its reason is not one of [`Strategy::REASONS`].
    #[track_caller]
    pub fn try_route(&mut self) -> Result<Vec<String>, String> {
        let facts: Vec<_> = self.offered.iter().map(|index| self.facts[*index as usize]).collect();
        let decision = self.started.route(&self.request, &facts);
        self.request.seq = self.request.seq.wrapping_add(1);
        if let Err(illegal) = check_decision::<S>(&decision, &facts) {
            panic!("{illegal}");
        }
        self.reason = decision.reason;
        Ok(decision.order?.into_iter().map(|index| self.names[index as usize].clone()).collect())
    }

    /// The reason of the last decision.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// Reports outcomes, as the host does if [`Strategy::OBSERVES`].
    pub fn observe(&mut self, outcomes: &[Outcome]) {
        if S::OBSERVES {
            self.started.observe(outcomes);
        }
    }

    /// The share of each provider in the first place over the next `requests` requests. A decision that abstains
    /// counts for the first provider offered.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    #[track_caller]
    pub fn shares(&mut self, requests: u32) -> BTreeMap<String, f64> {
        let mut shares = BTreeMap::new();
        for _ in 0..requests {
            let first = self.route().into_iter().next();
            let first = first.unwrap_or_else(|| self.names[self.offered[0] as usize].clone());
            *shares.entry(first).or_insert(0.0) += 1.0 / f64::from(requests);
        }
        shares
    }

    /// Claims that over the next `requests` requests `provider` has `share` of the first places, give or take
    /// `tolerance`.
    ///
    /// # Panics
    ///
    /// If it has not; and as [`route`](Self::route).
    #[track_caller]
    pub fn assert_share(&mut self, provider: &str, share: f64, tolerance: f64, requests: u32) {
        let shares = self.shares(requests);
        let actual = shares.get(provider).copied().unwrap_or(0.0);
        // Sums of 1/n are off by a little more than nothing.
        assert!((actual - share).abs() <= tolerance + 1e-9, "{provider} has {actual} and not {share}: {shares:?}");
    }

    #[track_caller]
    fn index_of(&self, provider: &str) -> usize {
        let found = self.names.iter().position(|name| name == provider);
        found.unwrap_or_else(|| panic!("there is no provider {provider:?} among {:?}", self.names))
    }
}

/// Whether the host would take it; else what is wrong with it.
fn check_decision<S: Strategy>(decision: &Decision, offered: &[CandidateFacts]) -> Result<(), String> {
    if let Some(reason) = decision.reason.filter(|reason| !S::REASONS.contains(reason)) {
        return Err(format!("the reason {reason:?} is not one of REASONS: {:?}", S::REASONS));
    }
    let Ok(order) = &decision.order else { return Ok(()) };
    let mut seen = BTreeSet::new();
    for index in order {
        if !offered.iter().any(|candidate| candidate.provider == *index) {
            return Err(format!("provider {index} was not offered: {order:?}"));
        }
        if !seen.insert(index) {
            return Err(format!("provider {index} stands in the order twice: {order:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
