//! The providers, their health, and the requests that they work on.
//!
//! A [`Provider`] is one of them, the [`Fleet`] is all of one configuration. Their health must be seen together, so it
//! is one immutable [`Snapshot`] behind one `ArcSwap` of the [`Board`](board::Board); counters are relaxed atomics;
//! limits are slots that travel with the answer's body.

use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use tokio::time::Instant;

pub mod account;
pub mod board;
pub mod bounds;
pub mod checks;
pub mod client;
pub mod dialect;
pub mod ejection;
pub mod facts;
pub mod fleet;
pub mod gauge;
pub mod homes;
pub mod last_error;
pub mod latency;
pub mod listing;
pub mod masking;
pub mod permit;
pub mod remainder;
mod shared;
pub mod summary;
pub mod words;

use crate::config;
use crate::limits::Refusal;
use crate::metrics::ProviderMetrics;
use account::{Account, Demand};
use board::Seat;
pub use board::Snapshot;
use bounds::Bounds;
use client::Client;
pub use fleet::{Absence, Fleet, Unavailable};
use masking::Masks;
pub use permit::{Excuse, Permit};

/// One callable destination, with its state.
#[derive(Debug)]
pub struct Provider {
    /// Its position in the order of the configuration.
    pub index: u32,
    /// Its configuration.
    pub config: config::Provider,
    /// Its name as a header names it, if one can.
    pub name_header: Option<HeaderValue>,
    /// The time limits of an attempt, unless a route says otherwise.
    pub bounds: Bounds,
    /// Sends requests to it.
    pub client: Client,
    /// Takes its secrets out of what it says.
    pub masks: Masks,
    /// Its metrics.
    pub metrics: ProviderMetrics,
    /// Its account, if that has limits.
    account: OnceLock<Arc<Account>>,
    seat: Arc<Seat>,
}

impl Provider {
    /// The number of requests that it works on.
    pub fn in_flight(&self) -> u32 {
        self.seat.gauge.in_flight()
    }

    /// True when it has a slot free right now, and its account room for such a request.
    pub fn has_room(&self, demand: impl FnOnce() -> Demand, now: Instant) -> bool {
        self.seat.slots.has_free() && self.refusal(demand, now).is_none()
    }

    /// Why its account has no room for such a request.
    pub fn refusal(&self, demand: impl FnOnce() -> Demand, now: Instant) -> Option<Box<Refusal>> {
        self.account.get().and_then(|account| account.refusal(&demand(), now))
    }

    /// Its account, if that has limits.
    pub fn account(&self) -> Option<&Arc<Account>> {
        self.account.get()
    }

    /// Its seat on the board.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The provider's list of models.
    pub fn listing(&self) -> &listing::Listing {
        &self.seat.listing
    }

    /// What it has said is left of its own limits.
    pub fn remainders(&self) -> &remainder::Remainders {
        &self.seat.remainders
    }

    /// Its measured latency and failures.
    pub fn latency(&self) -> &latency::Latency {
        &self.seat.gauge.latency
    }
}
