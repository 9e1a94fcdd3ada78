//! Write routing strategies for Pointsman, the LLM proxy whose choice of provider is a WebAssembly component.
//!
//! For each request the host offers the *candidates*, the targets that may be tried now, and a strategy puts them in
//! order. A target is a provider, or one of several models at a provider. A strategy does nothing else: the host takes
//! care of queueing, health, timeouts and failover. A strategy is one type that implements [`Strategy`], and one line that
//! turns it into a component:
//!
//! ```
//! use pointsman_guest::{Candidates, Decision, NoConfig, Request, Setup, Strategy};
//!
//! /// Sends each request to the provider with the least to do; ties take turns.
//! struct LeastBusy;
//!
//! impl Strategy for LeastBusy {
//!     type Config = NoConfig;
//!
//!     fn new(_: &Setup, _: NoConfig) -> Result<Self, String> {
//!         Ok(Self)
//!     }
//!
//!     fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
//!         candidates.rotate(request.seq).sort_by_key(|c| c.in_flight()).into()
//!     }
//! }
//!
//! pointsman_guest::export!(LeastBusy);
//!
//! // In `#[cfg(test)]`, natively, without a WebAssembly runtime:
//! use pointsman_guest::testing::Harness;
//!
//! let mut strategy = Harness::<LeastBusy>::new(["a", "b"]);
//! strategy.candidate("a").in_flight = 3;
//! assert_eq!(strategy.route(), ["b", "a"]);
//! ```
//!
//! `Cargo.toml` needs `crate-type = ["cdylib", "rlib"]` under `[lib]`, this crate, and `serde` with its derives if the
//! strategy has a config of its own. `cargo build --release --target wasm32-wasip2` then writes the component. The
//! host's log names it by the package's name, version and description.
//!
//! # Putting candidates in order
//!
//! [`Candidates`] starts an [`Order`] ([`in_order`](Candidates::in_order), [`rotate`](Candidates::rotate),
//! [`weighted`](Candidates::weighted), [`rendezvous`](Candidates::rendezvous),
//! [`sort_by_key`](Candidates::sort_by_key)), and an [`Order`] is refined by [`sort_by_key`](Order::sort_by_key),
//! [`prefer`](Order::prefer) and [`then`](Order::then). [`Candidates::split`] makes two groups, which are put in order
//! separately and joined with [`then`](Order::then). [`Candidates::filter`] leaves out for good those that must not be
//! tried. Sorting and preferring are stable, so preferences compose from the last to the first: an earlier order breaks
//! the ties of a later one.
//!
//! # The rules
//!
//! A strategy has no clock, no randomness, no files and no network: `request.now_ms`, `request.entropy` and
//! `request.seq` are its time, its dice and its counter; [`request.uniform()`](Request::uniform) is one draw for all requests that
//! belong together. A decision that follows from its inputs alone can be tested
//! and replayed. It is allowed a few milliseconds and should take a few microseconds. If it panics or takes too long,
//! the request goes out in the order of the configuration and the strategy starts afresh: what it remembers is a
//! cache, never the truth. One that remembers nothing says so ([`Strategy::STATELESS`]), and then no request waits for the
//! decision of another.

#[doc(hidden)]
pub mod bindings;
mod candidate;
mod config;
mod decision;
mod draw;
mod export;
pub mod log;
#[cfg(any(test, all(target_family = "wasm", feature = "memory")))]
mod memory;
mod order;
mod rendezvous;
mod request;
mod setup;
mod strategy;
pub mod testing;

pub use bindings::pointsman::strategy::types::{Outcome, OutcomeKind, Price, Request, Target, TargetIndex, Tier};
pub use candidate::{Candidate, Candidates};
pub use config::NoConfig;
pub use decision::Decision;
pub use order::Order;
pub use setup::Setup;
pub use strategy::Strategy;

/// The name of [`Target`] before 0.3 of the contract.
#[deprecated(note = "a strategy chooses among targets, of which several may be at one provider: `Target`")]
pub type Provider = Target;

/// The name of [`TargetIndex`] before 0.3 of the contract.
#[deprecated(note = "a strategy chooses among targets, of which several may be at one provider: `TargetIndex`")]
pub type ProviderIndex = TargetIndex;

/// The code that [`export!`] expands to. Not part of the interface: it changes without notice.
#[doc(hidden)]
pub mod hidden {
    pub use crate::bindings;
    pub use crate::export::Running;
}
