//! The contract in `wit/approach` in Rust, generated from it, and its translation from and to [`talk`].
//!
//! A host that has drifted from the contract does not compile.

use super::talk;
use crate::wasm::output::one_line;

wasmtime::component::bindgen!({
    path: "../wit/approach",
    world: "approach-full",
    imports: {
        "pointsman:approach/llm.chat": async,
        "pointsman:approach/llm.chat-many": async,
        "pointsman:approach/llm.open": async,
        "pointsman:approach/llm.[method]reply.next": async,
        "pointsman:approach/llm.[method]reply.whole": async,
        "pointsman:approach/llm.[drop]reply": async,
        "pointsman:approach/client.deliver": async,
        "pointsman:approach/client.emit": async,
        "pointsman:approach/client.progress": async,
    },
    exports: { default: async },
    with: { "pointsman:approach/llm.reply": Reply },
});

pub use self::pointsman::approach::{client, host_log, llm, types};
pub use exports::pointsman::approach::{meta, runner};

/// The type of `llm.reply`: its representation is the number that the driver has given it.
pub struct Reply;

/// The package, up to the name of an interface.
pub const PACKAGE: &str = "pointsman:approach/";

/// The versions of the contract that this host speaks, up to the part that does not matter.
pub const VERSION: &str = "0.1.";

/// True when `name` is this interface of the contract, in a version that this host speaks.
pub fn is_ours(name: &str, interface: &str) -> bool {
    let version = name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix(interface)?.strip_prefix('@'));
    version.is_some_and(|version| version.starts_with(VERSION))
}

impl From<talk::Request> for types::Request {
    fn from(request: talk::Request) -> Self {
        let talk::Request { messages, question, model, config, n, streaming, entropy, now_ms, budget } = request;
        let message = |talk::Message { role, text, more }| types::Message { role, text, more };
        let messages = messages.into_iter().map(message).collect();
        types::Request { messages, question, model, config, n, streaming, entropy, now_ms, budget: budget.into() }
    }
}

impl From<talk::Budget> for types::Budget {
    fn from(talk::Budget { calls, tokens, millis }: talk::Budget) -> Self {
        types::Budget { calls, tokens, millis }
    }
}

impl From<types::Turn> for talk::Turn {
    fn from(turn: types::Turn) -> Self {
        match turn {
            types::Turn::Original(index) => talk::Turn::Original(index),
            types::Turn::Rewritten(types::Rewritten { index, text }) => talk::Turn::Rewritten { index, text },
            types::Turn::Answered(id) => talk::Turn::Answered(id),
            types::Turn::Said(types::Said { role, text }) => talk::Turn::Said { role, text },
            types::Turn::Json(json) => talk::Turn::Json(json),
        }
    }
}

impl From<types::Call> for talk::Call {
    fn from(call: types::Call) -> Self {
        let types::Call { messages, manner, model, n, temperature, max_tokens, extra, step } = call;
        let messages = messages.into_iter().map(talk::Turn::from).collect();
        let manner = match manner {
            types::Manner::Answer => talk::Manner::Answer,
            types::Manner::Aside => talk::Manner::Aside,
        };
        talk::Call { messages, manner, model, n, temperature, max_tokens, extra, step }
    }
}

impl From<talk::Choice> for types::Choice {
    fn from(talk::Choice { id, text, finish, tool_calls }: talk::Choice) -> Self {
        let finish = match finish {
            talk::Finish::Stop => types::Finish::Stop,
            talk::Finish::Length => types::Finish::Length,
            talk::Finish::ToolCalls => types::Finish::ToolCalls,
            talk::Finish::ContentFilter => types::Finish::ContentFilter,
            talk::Finish::Other(name) => types::Finish::Other(name),
        };
        types::Choice { id, text, finish, tool_calls }
    }
}

impl From<talk::Answer> for types::Answer {
    fn from(talk::Answer { choices, usage }: talk::Answer) -> Self {
        let talk::Usage { prompt, completion } = usage;
        let choices = choices.into_iter().map(types::Choice::from).collect();
        types::Answer { choices, usage: types::Usage { prompt, completion } }
    }
}

impl From<talk::Failure> for types::Failure {
    fn from(talk::Failure { kind, message, id }: talk::Failure) -> Self {
        let kind = match kind {
            talk::FailureKind::Rejected => types::FailureKind::Rejected,
            talk::FailureKind::TooLong => types::FailureKind::TooLong,
            talk::FailureKind::Throttled => types::FailureKind::Throttled,
            talk::FailureKind::Unavailable => types::FailureKind::Unavailable,
            talk::FailureKind::Exhausted => types::FailureKind::Exhausted,
            talk::FailureKind::Illegal => types::FailureKind::Illegal,
        };
        types::Failure { kind, message, id }
    }
}

impl From<types::Final> for talk::Final {
    fn from(given: types::Final) -> Self {
        match given {
            types::Final::Choice(id) => talk::Final::Choice(id),
            types::Final::Excerpt((id, text)) => talk::Final::Excerpt(id, text),
            types::Final::Text(text) => talk::Final::Text(text),
            types::Final::Delivered => talk::Final::Delivered,
        }
    }
}

impl From<types::Problem> for talk::Problem {
    fn from(problem: types::Problem) -> Self {
        match problem {
            types::Problem::Failed(id) => talk::Problem::Failed(id),
            types::Problem::Unsuitable(text) => talk::Problem::Unsuitable(one_line(&text)),
            types::Problem::Broken(text) => talk::Problem::Broken(one_line(&text)),
        }
    }
}
