//! The time limits of the parts of an attempt, and the keys of the configuration that set them.

use std::time::Duration;

use crate::config::{self, RouteTimeouts};
use crate::routing::Phase;

/// The bounds of one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connecting, TLS included.
    pub connect: Bound,
    /// The whole exchange, or up to the first event of a stream.
    pub request: Bound,
    /// Between two events or pieces.
    pub idle: Bound,
    /// Up to the first event of a stream, where the route bounds that on its own.
    first_token: Option<Bound>,
}

/// A duration, and the key that sets it.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The duration.
    pub limit: Duration,
    /// The key.
    key: &'static str,
}

impl Bounds {
    /// Those of a provider.
    pub fn of(provider: &config::Provider) -> Self {
        let bound = |limit, name: &str, own, general| {
            let key = if provider.own_timeouts.contains(&name) { own } else { general };
            Bound { limit, key }
        };
        let timeouts = &provider.timeouts;
        Self {
            connect: bound(timeouts.connect, "connect", "providers[].timeouts.connect", "timeouts.connect"),
            request: bound(timeouts.request, "request", "providers[].timeouts.request", "timeouts.request"),
            idle: bound(timeouts.idle, "idle", "providers[].timeouts.idle", "timeouts.idle"),
            first_token: None,
        }
    }

    /// The same on a route with timeouts of its own, which go before a provider's.
    pub fn on(self, route: &RouteTimeouts) -> Self {
        let own = |limit: Option<Duration>, key| limit.map(|limit| Bound { limit, key });
        Self {
            connect: own(route.connect, "routes[].timeouts.connect").unwrap_or(self.connect),
            request: own(route.request, "routes[].timeouts.request").unwrap_or(self.request),
            idle: own(route.idle, "routes[].timeouts.idle").unwrap_or(self.idle),
            first_token: own(route.first_token, "routes[].timeouts.first_token").or(self.first_token),
        }
    }

    /// The same for an attempt that waits for a stream.
    pub fn of_stream(self) -> Self {
        Self { request: self.first_token.unwrap_or(self.request), ..self }
    }

    /// An attempt that ran out of its time in `phase`, in words.
    pub fn describe(&self, phase: Phase) -> String {
        let (did, Bound { limit, key }) = match phase {
            Phase::Connect => ("timed out connecting after", self.connect),
            Phase::Request => ("timed out after", self.request),
            Phase::Idle => ("stalled for", self.idle),
        };
        format!("{did} {} s ({key})", limit.as_secs_f64())
    }
}
