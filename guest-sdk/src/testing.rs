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
//! Cases that are easier to write as data go into JSON files. [`play_fixtures`] plays them to the type, and `pointsman
//! strategy test --fixtures` to the finished component.

#![expect(clippy::panic, reason = "a test kit reports by panicking")]

mod fixture;
#[cfg(not(target_family = "wasm"))]
mod played;

use std::collections::{BTreeMap, BTreeSet};

#[expect(deprecated, reason = "the old name stays")]
pub use fixture::ProviderFixture;
pub use fixture::{TargetFixture, fixture};
#[cfg(not(target_family = "wasm"))]
pub use played::play_fixtures;

use crate::bindings::pointsman::strategy::types as wit;
use crate::decision::Reason;
use crate::export::Started;
use crate::{Decision, Outcome, Request, Strategy, Tier};

/// The host's measurements of a candidate, to be set by a test. At first it has no requests in flight and nothing is
/// known of it.
pub use crate::bindings::pointsman::strategy::types::Candidate as CandidateFacts;

/// A strategy with its targets, the next request and its candidates, all of which a test may change.
///
/// Every decision is checked against the contract; one that the host would refuse panics.
#[derive(Debug)]
pub struct Harness<S: Strategy> {
    started: Started<S>,
    names: Vec<String>,
    facts: Vec<CandidateFacts>,
    offered: Vec<wit::TargetIndex>,
    reason: Option<String>,
    excluded: Vec<String>,
    /// The next request. [`route`](Self::route) counts `seq` up; the rest stays as it was set. At first its numbers are
    /// 0, its tier is the primary one and its model is `"model"`.
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
    pub fn new(targets: impl IntoIterator<Item = impl Into<TargetFixture>>) -> Self {
        Self::with_config(targets, "{}")
    }

    /// Starts the strategy with a config, as JSON.
    ///
    /// # Panics
    ///
    /// If the strategy refuses to start.
    #[track_caller]
    pub fn with_config(targets: impl IntoIterator<Item = impl Into<TargetFixture>>, config: &str) -> Self {
        Self::start(targets, config).unwrap_or_else(|error| panic!("the strategy does not start: {error}"))
    }

    /// Starts the strategy with a config, as JSON.
    ///
    /// # Errors
    ///
    /// The text that the operator would see.
    pub fn start(targets: impl IntoIterator<Item = impl Into<TargetFixture>>, config: &str) -> Result<Self, String> {
        Self::start_granted(targets, config, &[], false)
    }

    /// Starts the strategy with a config, as JSON, and with what the operator grants: attributes, and the prompt.
    ///
    /// # Errors
    ///
    /// The text that the operator would see.
    pub fn start_granted(
        targets: impl IntoIterator<Item = impl Into<TargetFixture>>,
        config: &str,
        attributes: &[&str],
        prompt: bool,
    ) -> Result<Self, String> {
        let targets: Vec<_> = targets.into_iter().map(|target| target.into().into_target()).collect();
        let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
        let offered: Vec<_> = (0..).take(names.len()).collect();
        let attributes = attributes.iter().map(|name| (*name).to_owned()).collect();
        let (route, config) = (ROUTE.to_owned(), config.to_owned());
        Ok(Self {
            started: Started::new(wit::Setup { route, targets, attributes, prompt, config })?,
            names,
            facts: offered.iter().copied().map(idle).collect(),
            offered,
            reason: None,
            excluded: Vec::new(),
            request: request(),
        })
    }

    /// The measurements of `target` from now on: `harness.candidate("a").in_flight = 3`.
    ///
    /// # Panics
    ///
    /// If there is no such target.
    #[track_caller]
    pub fn candidate(&mut self, target: &str) -> &mut CandidateFacts {
        let index = self.index_of(target);
        &mut self.facts[index]
    }

    /// Sets an attribute of all later requests.
    pub fn attribute(&mut self, name: &str, value: &str) {
        self.request.attributes.retain(|(known, _)| known != name);
        self.request.attributes.push((name.to_owned(), value.to_owned()));
    }

    /// Offers only these targets from now on, in the order of the configuration, and starts `seq` afresh, as the host
    /// does for another set of targets.
    ///
    /// # Panics
    ///
    /// If there is no such target.
    #[track_caller]
    pub fn offer<'n>(&mut self, targets: impl IntoIterator<Item = &'n str>) {
        let offered: BTreeSet<_> = targets.into_iter().map(|name| self.index_of(name) as u32).collect();
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
        let decision = self.started.route(&self.request, &facts).listed(&facts);
        self.request.seq = self.request.seq.wrapping_add(1);
        if let Err(illegal) = check_decision(&self.started, &decision, &facts) {
            panic!("{illegal}");
        }
        self.reason = decision.reason.and_then(|reason| self.started.text_of(reason).ok()).map(str::to_owned);
        self.excluded = decision.excluded.iter().map(|index| self.names[*index as usize].clone()).collect();
        Ok(decision.order?.into_iter().map(|index| self.names[index as usize].clone()).collect())
    }

    /// The targets that the last decision excluded.
    pub fn excluded(&self) -> &[String] {
        &self.excluded
    }

    /// The reason of the last decision.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Reports outcomes, as the host does if [`Strategy::OBSERVES`].
    pub fn observe(&mut self, outcomes: &[Outcome]) {
        if S::OBSERVES {
            self.started.observe(outcomes);
        }
    }

    /// The share of each target in the first place over the next `requests` requests. A decision that abstains counts
    /// for the first target offered, one that excludes all for none.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    #[track_caller]
    pub fn shares(&mut self, requests: u32) -> BTreeMap<String, f64> {
        let mut shares = BTreeMap::new();
        for _ in 0..requests {
            let first = self.route().into_iter().next();
            let untouched = |index: &&u32| !self.excluded.contains(&self.names[**index as usize]);
            let first_offered = || self.offered.iter().find(untouched).map(|index| self.names[*index as usize].clone());
            if let Some(first) = first.or_else(first_offered) {
                *shares.entry(first).or_insert(0.0) += 1.0 / f64::from(requests);
            }
        }
        shares
    }

    /// Asserts that over the next `requests` requests `target` has `share` of the first places, give or take
    /// `tolerance`.
    ///
    /// # Panics
    ///
    /// If it has not; and as [`route`](Self::route).
    #[track_caller]
    pub fn assert_share(&mut self, target: &str, share: f64, tolerance: f64, requests: u32) {
        let shares = self.shares(requests);
        let actual = shares.get(target).copied().unwrap_or(0.0);
        // Sums of 1/n have a small rounding error.
        assert!((actual - share).abs() <= tolerance + 1e-9, "{target} has {actual} and not {share}: {shares:?}");
    }

    #[track_caller]
    fn index_of(&self, target: &str) -> usize {
        let found = self.names.iter().position(|name| name == target);
        found.unwrap_or_else(|| panic!("there is no target {target:?} among {:?}", self.names))
    }
}

/// The name of the route in tests, which is that of a configuration without routes.
const ROUTE: &str = "default";

/// A request of which nothing is known, for the model `"model"`.
pub(crate) fn request() -> Request {
    Request {
        seq: 0,
        entropy: 0,
        now_ms: 0,
        tier: Tier::Primary,
        attempts: 0,
        route: ROUTE.to_owned(),
        client: String::new(),
        model: "model".to_owned(),
        streaming: false,
        body_bytes: 0,
        prompt_tokens: 0,
        max_tokens: 0,
        affinity: 0,
        attributes: Vec::new(),
        prompt: String::new(),
    }
}

/// A candidate that has no requests in flight and of which nothing is known.
pub(crate) fn idle(target: wit::TargetIndex) -> CandidateFacts {
    CandidateFacts { target, in_flight: 0, latency_us: 0, failure_permille: 0, requests_left: 1000, tokens_left: 1000 }
}

/// Checks that the host would take the decision; otherwise says what is wrong with it.
fn check_decision<S: Strategy>(
    started: &Started<S>,
    decision: &Decision,
    offered: &[CandidateFacts],
) -> Result<(), String> {
    let each = decision.reasons.iter().map(|text| Reason::Declared(text));
    for reason in decision.reason.into_iter().chain(each) {
        started.text_of(reason)?;
    }
    let Ok(order) = &decision.order else { return Ok(()) };
    let mut seen = BTreeSet::new();
    for (indices, place) in [(order, "order"), (&decision.excluded, "list of those excluded")] {
        for index in indices {
            if !offered.iter().any(|candidate| candidate.target == *index) {
                return Err(format!("target {index} was not offered: {indices:?}"));
            }
            if !seen.insert(index) {
                let twice = if indices.iter().filter(|other| *other == index).count() > 1 {
                    format!("stands in the {place} twice: {indices:?}")
                } else {
                    format!("stands in the order and is excluded: {order:?}, {indices:?}")
                };
                return Err(format!("target {index} {twice}"));
            }
        }
    }
    if !decision.reasons.is_empty() && decision.reasons.len() != order.len() {
        return Err(format!("there are {} reasons for an order of {}", decision.reasons.len(), order.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
