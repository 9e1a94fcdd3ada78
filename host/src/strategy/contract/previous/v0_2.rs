//! Version 0.2 of the contract: providers in place of targets, and no routes, clients, tokens, attributes, prompts and
//! exclusion.

pub mod types;

use crate::routing;

wasmtime::component::bindgen!({
    path: "../wit/previous/0.2.0",
    world: "strategy-full",
    ownership: Borrowing { duplicate_if_necessary: false },
    with: { "pointsman:strategy/types": types },
});

pub use self::pointsman::strategy::host_log;
pub use exports::pointsman::strategy::{feedback, meta, router};

impl<'a> From<&routing::Facts<'a>> for types::Request<'a> {
    fn from(facts: &routing::Facts<'a>) -> Self {
        types::Request {
            seq: facts.seq,
            entropy: facts.entropy,
            now_ms: facts.now_ms,
            tier: facts.tier.into(),
            attempts: facts.attempts,
            model: facts.model,
            streaming: facts.streaming,
            body_bytes: facts.body_bytes,
            affinity: facts.affinity,
        }
    }
}
