//! `routes[]`: the targets that may serve a model, and the rules for it.
//!
//! The types here are plain data. [`read`] makes them from the file, `target` makes their targets, and `served` checks
//! all routes together: no two may claim the same name, and fallbacks may not lead nowhere or in a cycle.

pub(super) mod read;
mod served;
mod target;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use super::wildcard::{fits, star};
use super::{Limits, Price, StrategyChoice};

/// A group of models with common targets, strategy, timeouts and fallbacks.
#[derive(Clone, Debug)]
pub struct Route {
    /// Unique among routes; by default the first of `models`. Legal as a header value.
    pub name: String,
    /// The line of the file on which it begins.
    pub line: usize,
    /// The names that clients ask for, each exact or with one `*`; never empty. The first route that fits is taken.
    pub models: Vec<String>,
    /// The targets, in the order of the file; an empty list is every provider that serves the model.
    pub targets: Vec<Target>,
    /// The strategy that chooses among the targets; `None` is `routing.strategy`.
    pub strategy: Option<StrategyChoice>,
    /// The route's own timeouts, which override the provider's.
    pub timeouts: RouteTimeouts,
    /// The models to use instead when no target could serve the request.
    pub fallbacks: Fallbacks,
    /// The rule for starting a second attempt beside the first, if there is one.
    pub hedge: Option<Hedge>,
    /// The approach of its requests that choose none, and the line that says so.
    pub approach: Option<(String, usize)>,
    /// What all its requests together may use.
    pub limits: Limits,
}

/// A provider and the model that is requested from it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The index of the provider in the list of providers.
    pub provider: usize,
    /// The provider's own name for the model, whatever its `model_map` says; a `*` in it is replaced by the text
    /// that the `*` of the route's models matched. `None` means that `model_map` decides.
    pub model: Option<String>,
    /// Finite, above 0; by default the provider's weight.
    pub weight: f64,
    /// The tier in which it is offered.
    pub tier: TargetTier,
    /// The provider's labels, overridden by the target's own; keys unique.
    pub labels: Vec<(String, String)>,
    /// The price of its tokens; by default the provider's.
    pub price: Option<Price>,
    /// The context window in tokens, request and answer together, if the target or its provider names one.
    pub context: Option<u32>,
    /// The line of the file that begins it.
    pub line: usize,
}

/// The tier in which a target is offered to the strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetTier {
    /// Offered first.
    Primary,
    /// Offered when no primary target could serve the request.
    Fallback,
}

/// The timeouts of a route; `None` leaves the provider's timeout in force.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RouteTimeouts {
    /// The whole exchange with one provider, or for a stream the time to its first event.
    pub request: Option<Duration>,
    /// Connecting, TLS included.
    pub connect: Option<Duration>,
    /// The time to the first event of a stream, in place of `request`.
    pub first_token: Option<Duration>,
    /// Between two events of a stream.
    pub idle: Option<Duration>,
}

/// Models to use in place of one that could not be served, by the reason of the failure. Each is an exact name that a
/// route serves. The fallbacks for one reason form no cycle; those for different reasons may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallbacks {
    /// Used when every target has failed.
    pub on_failure: Vec<String>,
    /// Used when the request is too long for the model.
    pub on_context_window: Vec<String>,
    /// Used when a provider's content filter refuses the request.
    pub on_content_policy: Vec<String>,
    /// The most fallbacks that one request may go through; at least 1.
    pub max: u32,
}

impl Default for Fallbacks {
    fn default() -> Self {
        Self { on_failure: Vec::new(), on_context_window: Vec::new(), on_content_policy: Vec::new(), max: 2 }
    }
}

/// Hedging: a second attempt beside one that is slow to begin its answer (Dean and Barroso, The Tail at Scale, 2013).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// The wait for the first attempt.
    pub after: HedgeAfter,
    /// The share of requests that may have a second attempt; above 0, at most 1.
    pub at_most: f64,
}

/// The time for which the first attempt is waited for before a second one starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeAfter {
    /// The 95th percentile of the time to the first content.
    P95,
    /// A fixed time.
    Fixed(Duration),
}

impl Route {
    /// True when the route serves the model that a client asks for.
    pub fn fits(&self, asked: &str) -> bool {
        self.models.iter().any(|name| fits(name, asked))
    }

    /// The part of the client's model name that a `*` matches, in the first of the route's models that fits.
    pub fn star<'m>(&self, asked: &'m str) -> Option<&'m str> {
        self.models.iter().find_map(|name| star(name, asked))
    }
}

impl Target {
    /// The provider's own name for the model that a client asks for, if the target names one. `star` is the result of
    /// [`Route::star`].
    pub fn model_for(&self, star: Option<&str>) -> Option<Cow<'_, str>> {
        let model = self.model.as_deref()?;
        Some(match star {
            Some(star) if model.contains('*') => Cow::Owned(model.replacen('*', star, 1)),
            _ => Cow::Borrowed(model),
        })
    }
}
