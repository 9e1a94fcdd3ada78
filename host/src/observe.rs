//! The story of a request, which is told to sinks when the request is over.
//!
//! A [`Story`] is data: it is filled while the request runs, and told once, at its end, to sinks that know nothing of each
//! other: `log` writes its line, `count` counts it, the `ledger` keeps it. `why` tells the course of a request from what is
//! kept, and `report` adds requests up; `otel` exports them, under the names that `trace` has given them at the beginning.

pub mod count;
pub mod ledger;
pub mod log;
pub mod otel;
pub mod report;
pub mod story;
pub mod trace;
pub mod websocket;
pub mod why;

pub use ledger::Ledger;
pub use story::{Attempt, Full, Offer, Story, Usage};
pub use websocket::WebSocket;
