//! Write approaches for Pointsman, the LLM proxy whose policies are WebAssembly components.
//!
//! An *approach* answers one request of a client by asking the model, several times or in another way. Its questions go
//! through the proxy's queue, strategy, failover and limits as any request does. It is one type that implements
//! [`Approach`], and one line that turns it into a component:
//!
//! ```
//! use pointsman_approach::{Answer, Approach, Llm, NoOptions, Problem, Request};
//!
//! /// Lets the model look at its own answer once more.
//! struct SecondLook;
//!
//! impl Approach for SecondLook {
//!     type Options = NoOptions;
//!
//!     fn run(request: &Request, _: NoOptions, llm: &Llm<'_>) -> Result<Answer, Problem> {
//!         let first = llm.ask(request.ask().step("first"))?;
//!         let again = request.ask().after(first.one()).user("Correct it, and give all of it again.");
//!         match llm.deliver(again.step("second")) {
//!             Ok(_) => Ok(Answer::delivered()),
//!             Err(_) => Ok(first.one().into()),
//!         }
//!     }
//! }
//!
//! pointsman_approach::export!(SecondLook);
//!
//! // In `#[cfg(test)]`, natively, without a WebAssembly runtime:
//! use pointsman_approach::testing::{Harness, Script};
//!
//! let run = Harness::<SecondLook>::new().question("2+2?").run(Script::new().reply("5").reply("4"));
//! assert_eq!((run.text(), run.calls(), run.depth()), ("4", 2, 2));
//! ```
//!
//! `Cargo.toml` needs `crate-type = ["cdylib", "rlib"]` under `[lib]`, this crate, and `serde` with its derives if the
//! approach has options of its own. `cargo build --release --target wasm32-wasip2` then writes the component.
//!
//! # Asking
//!
//! [`Request::ask`] begins a question with the client's conversation, which [`question`](Call::question),
//! [`instruct`](Call::instruct), [`after`](Call::after) and [`user`](Call::user) change and continue; [`Call::new`]
//! begins an empty one. [`aside`](Call::aside) is for questions whose answer the client does not get, such as ratings.
//! [`Llm::ask`] asks one question for [`n`](Call::n) choices, [`Llm::ask_all`] many at once, [`Llm::gather`] many of
//! which some may fail. [`Llm::deliver`] gives the client the answer while it comes. [`text`] reads what comes back,
//! [`vote`](fn@vote) and [`Dice`] decide.
//!
//! # The rules
//!
//! - An approach has no clock, no randomness and no network: `request.now_ms` and `request.entropy` are its time and
//!   its dice. What follows from the request and the model's answers alone can be tested and replayed.
//! - What fails in part goes on with the rest: a rating that fails is no rating. What fails as a whole returns the
//!   failure, by `?`. Once there is an answer, an approach returns that or a better one, whatever fails later: also
//!   when the budget is used up, which is a [`Failure`] of the kind [`Exhausted`](FailureKind::Exhausted).
//! - A choice that calls tools is the answer, as it is: [`Choices::settled`].
//! - A reasoning model's thoughts are neither judged nor compared: [`Choice::visible`].
//!
//! [`testing::battery`] tries all this.

mod answer;
mod approach;
#[doc(hidden)]
pub mod bindings;
mod call;
mod dice;
mod export;
mod host;
mod llm;
pub mod log;
mod options;
mod request;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod text;
mod vote;

pub use answer::{Answer, Choices};
pub use approach::Approach;
pub use bindings::pointsman::approach::types::{
    Budget, Choice, ChoiceId, Failure, FailureKind, Finish, Manner, Message, Problem, Request, Usage,
};
pub use call::Call;
pub use dice::Dice;
pub use llm::{Form, Llm, Reply};
pub use options::{Count, NoOptions, Temperature, json};
pub use vote::{Vote, vote};

/// The functions that [`export!`] calls. Not part of the interface: it changes without notice.
#[doc(hidden)]
pub mod hidden {
    pub use crate::export::{check, describe, run};
}
