//! The substrate of all guests: components are read, compiled, kept and bounded here, whatever contract they speak.
//!
//! `artifact` reads the file of a component and tells what it is; `compile` lets a process of its own work on bytes of
//! strangers; `cache` keeps compiled code, under a component's `digest`; `engine` is the compiler and the clock of
//! deadlines. A guest finds itself in a `sandbox`, within `limits` and `overtime`; `output` takes what it prints, `fault`
//! tells how it broke, `load_error` and `remedy` why it did not load and what can be done about it.

pub(crate) mod artifact;
pub(crate) mod cache;
pub(crate) mod compile;
pub(crate) mod digest;
pub(crate) mod engine;
pub(crate) mod fault;
pub(crate) mod limits;
pub(crate) mod load_error;
pub(crate) mod output;
pub(crate) mod overtime;
pub(crate) mod remedy;
pub(crate) mod sandbox;

pub use cache::{cache_folder, use_cache};
pub use compile::{Compile, Errand, compile, compile_with};
pub use fault::{Fault, FaultKind};
pub use load_error::LoadError;
