//! `routes[]`: which targets may serve which models, and how.
//!
//! The types here are plain data. [`read`] makes them from the file, `target` each of their targets, and `served` checks
//! what only all routes together can show: names that two of them claim, fallbacks that lead nowhere or in a circle.

pub(super) mod read;
mod served;
mod target;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use super::wildcard::{fits, star};
use super::{Price, StrategyChoice};

/// The models that are routed alike.
#[derive(Clone, Debug)]
pub struct Route {
    /// Unique among routes; without one of its own, the first of `models`. Legal as the bytes of a header value.
    pub name: String,
    /// The line of the file that begins it.
    pub line: usize,
    /// The names that clients ask for, each exact or with one `*`; never empty. The first route that fits is taken.
    pub models: Vec<String>,
    /// Who may serve them, in the order of the file; empty is every provider that serves the model.
    pub targets: Vec<Target>,
    /// What decides among the targets; `None` is `routing.strategy`.
    pub strategy: Option<StrategyChoice>,
    /// The timeouts of the route's own, which go before those of a provider.
    pub timeouts: RouteTimeouts,
    /// The models to ask for when no target could serve the request.
    pub fallbacks: Fallbacks,
    /// When a second attempt starts beside the first, if ever.
    pub hedge: Option<Hedge>,
}

/// A provider, and the model that it is asked for.
#[derive(Clone, Debug)]
pub struct Target {
    /// The provider's place in the list of providers.
    pub provider: usize,
    /// The provider's own name for the model, whatever its `model_map` says; a `*` in it takes what the `*` of the
    /// route's models stood for. `None` is what the provider's `model_map` says.
    pub model: Option<String>,
    /// Finite, above 0; the provider's unless the target has its own.
    pub weight: f64,
    /// When it is offered.
    pub tier: TargetTier,
    /// The provider's labels with the target's own laid over them; keys unique.
    pub labels: Vec<(String, String)>,
    /// The provider's price unless the target has its own.
    pub price: Option<Price>,
    /// The tokens that request and answer may have together, where the target or its provider says so.
    pub context: Option<u32>,
    /// The line of the file that begins it.
    pub line: usize,
}

/// When a target is offered to the strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetTier {
    /// At once.
    Primary,
    /// When no primary target could serve the request.
    Fallback,
}

/// The timeouts of a route; what is `None` holds as without the route.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RouteTimeouts {
    /// The whole exchange with one provider, or up to the first event of a stream.
    pub request: Option<Duration>,
    /// Connecting, TLS included.
    pub connect: Option<Duration>,
    /// The time to the first event of a stream, in place of `request`.
    pub first_token: Option<Duration>,
    /// Between two events of a stream.
    pub idle: Option<Duration>,
}

/// Models to ask for in place of the one that could not be served, by the reason; exact names that a route serves.
/// Those for one reason lead in no circle; through several reasons they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallbacks {
    /// When every target has failed.
    pub on_failure: Vec<String>,
    /// When the request is too long for the model.
    pub on_context_window: Vec<String>,
    /// When a provider's filter refuses the request.
    pub on_content_policy: Vec<String>,
    /// How many of them one request may go through; at least 1.
    pub max: u32,
}

impl Default for Fallbacks {
    fn default() -> Self {
        Self { on_failure: Vec::new(), on_context_window: Vec::new(), on_content_policy: Vec::new(), max: 2 }
    }
}

/// A second attempt beside one that is slow to begin its answer (Dean and Barroso, The Tail at Scale, 2013).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// How long the first attempt is waited for.
    pub after: HedgeAfter,
    /// The share of requests that may have a second attempt; above 0, at most 1.
    pub at_most: f64,
}

/// How long the first attempt is waited for before a second starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeAfter {
    /// As long as 95 of 100 requests take to their first content.
    P95,
    /// So long.
    Fixed(Duration),
}

impl Route {
    /// True when the route is for the model that a client asks for.
    pub fn fits(&self, asked: &str) -> bool {
        self.models.iter().any(|name| fits(name, asked))
    }

    /// What a `*` of the route's models stands for in the model that a client asks for: that of the first that fits.
    pub fn star<'m>(&self, asked: &'m str) -> Option<&'m str> {
        self.models.iter().find_map(|name| star(name, asked))
    }
}

impl Target {
    /// The provider's own name for the model that a client asks for, where the target says one. `star` is what
    /// [`Route::star`] found.
    pub fn model_for(&self, star: Option<&str>) -> Option<Cow<'_, str>> {
        let model = self.model.as_deref()?;
        Some(match star {
            Some(star) if model.contains('*') => Cow::Owned(model.replacen('*', star, 1)),
            _ => Cow::Borrowed(model),
        })
    }
}
