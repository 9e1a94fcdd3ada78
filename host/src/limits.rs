//! PURE: what may be asked, and what it costs.
//!
//! Nothing here waits, reads a clock or knows a request: times come in as [`Moment`]s, and what has been spent is given
//! back by whoever reserved it.

pub mod clock;

pub use clock::{Clock, Moment};
