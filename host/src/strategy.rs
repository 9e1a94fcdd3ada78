//! Strategies: WebAssembly components that order the candidates of a request.
//!
//! The only place that knows Wasmtime. The rest of the host sees a [`ComponentStrategy`], which is a
//! [`routing::Strategy`](crate::routing::Strategy) and always has an answer, whatever the guest does.
//!
//! A component goes from `component` (bytes, checked and compiled) over `instance` (one living guest, and the limits of
//! each call) to `call` (the lock, and what is done about faults). `cache` keeps compiled code, under a component's
//! `digest`. Beside them stand `engine` (the compiler and the
//! clock of deadlines), `wasi`, `limits` and `overtime` (the guest's
//! world and its bounds), `output` (what it says), `fault` and
//! `recovery` (how it breaks and comes back), `bindings` (the contract in Rust) and `builtin` (the components in the
//! binary).
//!
//! | what the guest does | what the request gets | what happens to the guest |
//! | --- | --- | --- |
//! | returns an order | that order | |
//! | returns an empty order, or an error | the default order | it lives on |
//! | names an index twice, or one that was not offered | the default order | a fault is counted; it lives on |
//! | traps, takes too long, or too much memory | the default order | a fault is counted; it is replaced |
//! | is replaced for the third time in a row | the default order | none is made for 0.5 s, then 1 s, up to 30 s |

use std::sync::Arc;

use crate::config::{StrategyChoice, StrategySource};
use crate::routing::ProviderFacts;

mod bindings;
mod builtin;
mod cache;
mod call;
mod component;
mod digest;
mod engine;
mod fault;
mod instance;
mod limits;
mod output;
mod overtime;
mod recovery;
mod wasi;

#[cfg(test)]
mod tests;

pub use cache::{cache_folder, use_cache};
pub use call::ComponentStrategy;
pub use component::LoadError;
pub use fault::{Fault, FaultKind, Stats};
pub use instance::Info;
pub use recovery::State;

/// The names of the strategies in the binary, sorted.
pub fn builtins() -> &'static [&'static str] {
    builtin::NAMES
}

/// Loads the chosen strategy and starts it with these providers, which are all of them in the order of the
/// configuration.
///
/// Compiles: takes from tens of milliseconds to seconds, and must not run on a Tokio worker that has other work.
///
/// # Errors
///
/// [`LoadError`], whose text follows the strategy's name.
pub fn load(choice: &StrategyChoice, providers: Vec<ProviderFacts>) -> Result<Arc<ComponentStrategy>, LoadError> {
    let engine = engine::Engine::shared()?;
    let config = if choice.config.is_null() { "{}".to_owned() } else { choice.config.to_string() };
    let setup = instance::Setup { providers, config };
    let start = |bytes: &[u8]| ComponentStrategy::start(&choice.name, engine, bytes, setup);
    let strategy = match &choice.source {
        StrategySource::BuiltIn(name) => {
            let not_built_in = || LoadError::NotBuiltIn { name: name.clone(), builtins: builtins() };
            start(builtin::find(name).ok_or_else(not_built_in)?)?
        }
        StrategySource::File(path) => start(&component::read(path)?)?,
    };
    Ok(Arc::new(strategy))
}
