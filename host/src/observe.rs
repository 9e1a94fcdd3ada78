//! What is known of a request when it is over, and where that goes.
//!
//! A [`Story`] is data: it is filled while the request runs, and told once, at its end, to sinks that know nothing of each
//! other: `log` writes its line, `count` counts it.

pub mod count;
pub mod log;
pub mod story;

pub use story::{Attempt, Story, Usage};
