//! The one trait of an approach.

use serde::de::DeserializeOwned;

use crate::{Answer, Llm, Problem, Request};

/// An approach: an algorithm that answers one request by asking the model. [`export!`](crate::export!) makes a
/// component of it.
///
/// Name, version and description come from the package's `Cargo.toml`; the description is one sentence with the source
/// of the algorithm.
pub trait Approach: Sized + 'static {
    /// The options that the operator writes under `approaches.NAME.config`, and over them those that the client sends
    /// of [`OPTIONS`](Self::OPTIONS); [`NoOptions`](crate::NoOptions) if nothing. Anything that serde can read; with
    /// `#[serde(deny_unknown_fields)]` a misspelt field is an error and not a surprise. [`Count`](crate::Count) and
    /// [`Temperature`](crate::Temperature) say their bounds.
    type Options: DeserializeOwned;

    /// The fields of [`Options`](Self::Options) that a client may send in its request, each with a sentence about it.
    /// An option that is missing here can be set by the operator alone, such as the models that are asked.
    const OPTIONS: &'static [(&'static str, &'static str)] = &[];

    /// True when it works with a client's tools: a choice that calls some is the answer, as it is. Without this the
    /// host refuses requests with tools.
    const TOOLS: bool = false;

    /// True when one run gives all of the [`n`](Request::n) answers that the client wants. If not, the host starts a
    /// run for each.
    const MANY: bool = false;

    /// Checks that the options suit each other, once each has been read.
    ///
    /// # Errors
    ///
    /// A sentence for whoever wrote them.
    fn check(options: &Self::Options) -> Result<(), String> {
        let _ = options;
        Ok(())
    }

    /// Answers one request. It may take minutes, nearly all of them in waiting for [`Llm`]; of processor time there are
    /// about two seconds. A panic is a 502.
    ///
    /// # Errors
    ///
    /// `?` on a [`Failure`](crate::Failure) makes it the cause, and the client gets what it would have got without an
    /// approach. An approach that has something to return by then returns it instead.
    fn run(request: &Request, options: Self::Options, llm: &Llm<'_>) -> Result<Answer, Problem>;
}
