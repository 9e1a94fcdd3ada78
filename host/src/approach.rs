//! Approaches: WebAssembly components that answer a client's request by asking the model more than once.
//!
//! `talk` is the conversation between a run of such a component and its driver, as plain data: whoever drives a run needs
//! nothing else. The driver turns each [`Want`] into requests to providers, and answers it. A component goes from
//! `component` (compiled, checked, linked, and asked what it is) to `session` (one run of it, in an instance of its own);
//! `contract` is the contract in Rust, `guest` the host's side of it, `wasi` and `voice` the rest of what a guest sees;
//! `standing` counts faults; `record` writes runs down for whoever wants to play them again; `registry` has them all by name, and `builtin` the components in the binary.
//!
//! | what the guest does | what the run ends with |
//! | --- | --- |
//! | returns answers, or a problem | these |
//! | panics, overflows its stack, calls what it does not have | a fault, `trapped` |
//! | takes more than its memory, or its processor time | a fault, `out_of_memory` or `out_of_time` |
//! | returns nothing, or more than was wanted | a fault, `illegal` |
//! | asks what the contract does not allow | it gets a failure, and goes on |
//! | notes its progress without end | it waits until somebody has read the notes |
//! | computes without end | others get their turn every 5 ms, until its processor time is used up |

mod builtin;
mod component;
mod contract;
mod guest;
pub mod record;
mod registry;
mod session;
mod standing;
mod talk;
mod voice;
mod wasi;

#[cfg(test)]
mod tests;

pub use component::{Approach, Info, Source, is_granted, spoken};
pub use registry::{Component, Entry, Registry, Unavailable};
pub use session::{Session, Setting};
pub use standing::Standing;
pub use talk::{
    Answer, Budget, Call, Choice, ChoiceId, Desk, Ended, Failure, FailureKind, Fault, FaultKind, Final, Finish, Manner,
    Message, Problem, Request, Turn, Usage, Want,
};

/// The names of the approaches in the binary, sorted.
pub fn builtins() -> &'static [&'static str] {
    builtin::NAMES
}

/// The component of a built-in approach.
pub fn builtin_component(name: &str) -> Option<&'static [u8]> {
    builtin::find(name)
}
