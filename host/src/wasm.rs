//! The host of all WebAssembly guests: it reads, compiles, caches and limits components, whatever contract they speak.
//!
//! `artifact` reads the file of a component and identifies it; `compile` compiles untrusted components in a process of
//! their own; `cache` keeps compiled code under a component's `digest`, and `carried` is that of built-in ones in the program itself; `engine` has the compiler and the clock of
//! deadlines. A strategy runs in a `sandbox`, an approach in wasmtime's WASI; both roll `dice`, within `limits` and `overtime`; `output` collects its log lines, `fault`
//! classifies its failures, `load_error` and `remedy` explain why it did not load and what to do about it.

pub(crate) mod artifact;
pub(crate) mod cache;
pub(crate) mod carried;
pub(crate) mod compile;
pub(crate) mod dice;
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
pub use carried::{PrecompileError, Unfit, carried_by, number_carried, precompile};
pub use compile::{Compile, Errand, compile, compile_with};
pub use fault::{Fault, FaultKind};
pub use load_error::{GuestKind, LoadError};
