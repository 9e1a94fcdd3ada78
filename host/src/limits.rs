//! PURE: what may be asked, and what it costs.
//!
//! Nothing here waits, reads a clock or knows a request: times come in as [`Moment`]s, and a request settles
//! the reservation that it has taken.
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
    /// The owner of the limit.
    pub owner: Owner,
    /// The unit that the limit counts.
    pub unit: Unit,
    /// Its key in the configuration, such as `rpm`; of a budget its time, such as `day`.
    pub name: Arc<str>,
    /// Its amount.
    pub limit: u64,
    /// The quantity that is left of the limit.
    pub remaining: u64,
    /// The quantity that was asked for.
    pub asked: u64,
    /// The event after which the limit may allow the request.
    pub until: Until,
}

/// The event after which a limit may allow a request that it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The engine is asked, which has the rest of a limit that replicas share.
    Ask,
    /// Another request ends.
    Free,
    /// This much time passes, and no other request takes the quantity that comes back meanwhile.
    Wait(Duration),
    /// The window of the budget ends.
    End(Moment),
    /// Never: the request alone is larger than the limit.
    Never,
    /// The engine answers again; without it the limit allows nothing (`on_outage: closed`).
    Closed,
}

impl Until {
    /// The order of refusals by the time that they last.
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
