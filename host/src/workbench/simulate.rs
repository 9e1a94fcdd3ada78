//! Simulates a strategy on hours of traffic in seconds, with a virtual clock and without providers.
//!
//! The proxy is the real one: queue, tiers, slots, health, failover, averages and the strategy's component are the code
//! that serves requests, on a Tokio runtime whose clock jumps from one event to the next. Only the providers behind
//! [`provider::client`](crate::provider::client) are simulated, and the requests are random. So a simulation is right
//! about the proxy; only its model of the providers can be wrong.
//!
//! `scenario` is the user's file, `actor` simulates a provider, `arrivals` generates requests, `drive` follows them, `fit` makes a
//! scenario of a ledger, `watched` counts the
//! strategy's own decisions, `tally` sums up, `report` and `page` present the result. All random numbers follow from
//! the seed: the same scenario gives the same bytes. The clock's step is a millisecond.

mod actor;
mod arrivals;
pub(super) mod dice;
mod drive;
mod fit;
mod page;
mod reading;
mod report;
mod scenario;
mod tally;
#[cfg(test)]
mod tests;
mod watched;

pub use drive::{SimulationError, simulate, simulate_into};
pub use fit::{Fitted, as_recorded, write};
pub use page::page;
pub use report::{table, warnings};
pub use scenario::{Scenario, ScenarioError};
pub use tally::{Decided, Report, Spread};
