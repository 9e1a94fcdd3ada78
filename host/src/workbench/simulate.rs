//! What a strategy does to a day of traffic, in seconds and without a provider: a simulation with a virtual clock.
//!
//! The proxy in it is the real one: queue, tiers, slots, health, failover, averages and the strategy's component are those
//! that serve requests, on a Tokio runtime whose clock jumps from one event to the next. Only what lies beyond
//! [`provider::client`](crate::provider::client) is played, and what comes from clients is drawn. So a simulation cannot
//! disagree with the proxy about the proxy; where it errs, it is about the providers.
//!
//! `scenario` is what a user writes, `actor` plays a provider, `drive` lets requests come and go, `watched` sees whether the
//! strategy decides at all, `tally` counts, `report` tells. Everything random follows from the seed: the same scenario gives the same bytes. The clock's step is a
//! millisecond.

mod actor;
mod dice;
mod drive;
mod page;
mod report;
mod scenario;
mod tally;
#[cfg(test)]
mod tests;
mod watched;

pub use drive::{SimulationError, simulate};
pub use page::page;
pub use report::{table, warnings};
pub use scenario::{Scenario, ScenarioError};
pub use tally::{Decided, Report, Spread};
