//! Strategies: WebAssembly components that order the candidates of a request.
//!
//! The rest of the host sees a [`Succession`], which is a [`routing::Strategy`](crate::routing::Strategy) and always has an
//! answer, whatever the guest does. What strategies share with other guests is in [`wasm`](crate::wasm).
//!
//! A component goes from `blueprint` (checked, compiled and linked) over `instance` (one living guest, and the limits
//! of each call) and `call` (the locks, and what is done about faults) to `succession` (one component after the other,
//! from reload to reload). `contract` is the contract in Rust, and `builtin` holds the components in the binary.
//! `probe` tries a new strategy before it is used, `recovery` replaces a broken instance, `influence` and `pace` find
//! out what decisions depend on and how long they take, `shadow` shows them to other strategies, and `record` writes
//! them down.
//!
//! | what the guest does | what the request gets | what happens to the guest |
//! | --- | --- | --- |
//! | returns an order | that order | |
//! | returns an empty order, or an error | the default order | it lives on |
//! | names an index twice, or one that was not offered | the default order | a fault is counted; it lives on |
//! | traps, takes too long, or too much memory | the default order | a fault is counted; it is replaced |
//! | is replaced for the third time in a row | the default order | none is made for 0.5 s, then 1 s, up to 30 s |
//! | has its third fault in its first 10,000 calls after a reload | the default order | the previous one is back |
//! | has used three quarters of its memory | its order | it is renewed: another one is made, then takes its place |
//!
//! A guest that keeps no state may have an instance for each worker. When one of several is lost the others answer, and the pause
//! after the third fault is for all of them.

use std::sync::Arc;

use crate::config::{StrategyChoice, StrategyLimits};
use crate::routing::{RouteFacts, Strategy};
use crate::wasm::LoadError;
use crate::wasm::artifact;
use crate::wasm::engine::Engine;
use crate::wasm::output::Journal;

pub(crate) mod blueprint;
mod builtin;
mod call;
pub(crate) mod contract;
mod influence;
pub(crate) mod instance;
mod pace;
pub(crate) mod probe;
pub(crate) mod record;
mod recovery;
mod shadow;
mod succession;

#[cfg(test)]
pub(crate) mod tests;

pub use instance::Setup;
pub use record::{Recorder, Recording, Target};
pub use shadow::{Shadowed, Shadows};
pub use succession::Succession;

/// The names of the strategies in the binary, sorted.
pub fn builtins() -> &'static [&'static str] {
    builtin::NAMES
}

/// Starts a component that is in memory, without a predecessor and with no strategy standing by. `name` is its name in
/// logs.
///
/// # Errors
///
/// [`LoadError`], whose text follows the strategy's name.
pub fn load_component(
    name: &str,
    component: &[u8],
    config: &serde_json::Value,
    route: impl Into<RouteFacts>,
) -> Result<Arc<dyn Strategy>, LoadError> {
    let engine = Engine::shared()?;
    let blueprint = Arc::new(blueprint::Blueprint::new(&engine, component)?);
    let setup = Setup::new(route.into(), false, config.to_string());
    let strategy = call::ComponentStrategy::start(name, engine, blueprint, setup, Arc::default(), Arc::default())?;
    Ok(Arc::new(strategy))
}

/// Judges a component as a start and a reload do: its imports and exports with their types, whether it accepts this
/// setup, and whether it breaks over requests that nobody has sent.
///
/// # Errors
///
/// [`LoadError`], whose text follows the strategy's name.
pub fn try_component(name: &str, component: &[u8], setup: &Setup) -> Result<(), LoadError> {
    let engine = Engine::shared()?;
    let blueprint = blueprint::Blueprint::new(&engine, component)?;
    probe::probe(&engine, &blueprint, setup, &Journal::new(name))
}

/// Reads the file of a component.
///
/// # Errors
///
/// When the file cannot be read or is too large to be a component.
pub fn read_component(path: &std::path::Path) -> Result<Vec<u8>, LoadError> {
    artifact::read(path, StrategyLimits::default().max_bytes)
}

/// The component that a configuration chose.
///
/// # Errors
///
/// When there is none, or the file is too large to be one.
pub fn chosen_component(choice: &StrategyChoice) -> Result<std::borrow::Cow<'static, [u8]>, LoadError> {
    succession::read(choice)
}

/// The component of a built-in strategy, as its author would have built it.
pub fn builtin_component(name: &str) -> Option<&'static [u8]> {
    builtin::find(name)
}
