//! The story of a request, which is told to sinks when the request is over.
//!
//! A [`Story`] is data: it is filled while the request runs, and told once, at its end, to sinks that know nothing of each
//! other: `log` writes its line, `count` counts it.

pub mod count;
pub mod log;
pub mod story;

pub use story::{Attempt, Story, Usage};
