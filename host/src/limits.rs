//! PURE: what may be asked, and what it costs.
//!
//! Nothing here waits, reads a clock or knows a request: times come in as [`Moment`]s, and what has been spent is given
//! back by whoever reserved it.
//!
//! An [`Owner`], such as a client's key, has an [`Account`] with a [`Meter`] for each of its limits. A request takes a
//! [`Reservation`] of its likely [`Cost`] from all its owners at once, and settles it by the [`Charge`] that it has come
//! to. The [`Book`] keeps the accounts, whose counters outlive reloads.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

pub mod account;
pub mod book;
pub mod clock;
pub mod estimate;
pub mod gcra;
pub mod lease;
pub mod meter;
pub mod money;
pub mod price;
pub mod reservation;
pub mod round;
pub mod spend;
pub mod terms;
pub mod usage;
pub mod window;

pub use account::{Account, Owner};
pub use book::Book;
pub use clock::{Clock, Moment};
pub use meter::{Kept, Meter, Rule, Unit};
pub use money::Nano;
pub use price::Prices;
pub use reservation::{Charge, Cost, Reservation};
pub use spend::Spend;
pub use usage::Usage;

/// A limit does not allow a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whose limit it is.
    pub owner: Owner,
    /// What it counts.
    pub unit: Unit,
    /// Its key in the configuration, such as `rpm`; of a budget its time, such as `day`.
    pub name: Arc<str>,
    /// Its amount.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// What was asked for.
    pub asked: u64,
    /// Until when it refuses.
    pub until: Until,
}

/// Until when a limit refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until the engine was asked, which has the rest of a limit that replicas share.
    Ask,
    /// Until another request ends.
    Free,
    /// For this long, if nobody else takes what comes back.
    Wait(Duration),
    /// Until the window of the budget ends.
    End(Moment),
    /// For good: the request alone is larger than the limit.
    Never,
    /// Until the engine answers again, without which nothing is let in.
    Closed,
}

impl Until {
    /// By how long it lasts.
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |until: &Self| match until {
            Self::Ask => (0, 0),
            Self::Free => (1, 0),
            Self::Wait(wait) => (2, wait.as_nanos()),
            Self::End(end) => (3, u128::from(end.0)),
            Self::Never => (4, 0),
            Self::Closed => (5, 0),
        };
        rank(self).cmp(&rank(other))
    }
}
