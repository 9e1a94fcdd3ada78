//! Approaches: WebAssembly components that answer a client's request by asking the model more than once.
//!
//! `talk` is the conversation between a run of such a component and its driver, as plain data: whoever drives a run needs
//! nothing else. The driver turns each [`Want`] into requests to providers, and answers it.

mod talk;

pub use talk::{
    Answer, Budget, Call, Choice, ChoiceId, Desk, Ended, Failure, FailureKind, Fault, FaultKind, Final, Finish, Manner,
    Message, Problem, Request, Turn, Usage, Want,
};
