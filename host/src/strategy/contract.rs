//! `wit/strategy.wit` in Rust, and the translation from and to [`crate::routing`]. The differences of earlier versions
//! are in `previous`; `guest` speaks all of them.
//!
//! The functions are generated from the contract itself, so that a host that has drifted from it does not compile.

pub mod guest;
pub mod previous;
mod request;
pub mod types;

use crate::routing;
use crate::wasm::output::Level;
use crate::wasm::sandbox::Sandbox;

wasmtime::component::bindgen!({
    path: "../wit",
    world: "strategy-full-state",
    // Parameters are borrowed: a call copies the model's name into the guest, not into a `String` first.
    ownership: Borrowing { duplicate_if_necessary: false },
    with: { "pointsman:strategy/types": types },
});

pub use self::pointsman::strategy::host_log;
pub use exports::pointsman::strategy::{feedback, meta, router, state};

impl host_log::Host for Sandbox {
    fn log(&mut self, level: host_log::Level, message: String) {
        let level = match level {
            host_log::Level::Debug => Level::Debug,
            host_log::Level::Info => Level::Info,
            host_log::Level::Warn => Level::Warn,
            host_log::Level::Error => Level::Error,
        };
        self.output.log(level, &message);
    }
}

/// The log of an older version, which is today's.
macro_rules! log_of {
    ($($version:ident),*) => {$(
        impl previous::$version::host_log::Host for Sandbox {
            fn log(&mut self, level: previous::$version::host_log::Level, message: String) {
                use previous::$version::host_log::Level as Previous;
                let level = match level {
                    Previous::Debug => host_log::Level::Debug,
                    Previous::Info => host_log::Level::Info,
                    Previous::Warn => host_log::Level::Warn,
                    Previous::Error => host_log::Level::Error,
                };
                host_log::Host::log(self, level, message);
            }
        }
    )*};
}

log_of!(v0_1, v0_2);

impl From<routing::Tier> for types::Tier {
    fn from(tier: routing::Tier) -> Self {
        match tier {
            routing::Tier::Primary => types::Tier::Primary,
            routing::Tier::Fallback => types::Tier::Fallback,
            routing::Tier::LastResort => types::Tier::LastResort,
        }
    }
}

impl<'a> From<&routing::Facts<'a>> for types::Request<'a> {
    fn from(facts: &routing::Facts<'a>) -> Self {
        types::Request {
            seq: facts.seq,
            entropy: facts.entropy,
            now_ms: facts.now_ms,
            tier: facts.tier.into(),
            attempts: facts.attempts,
            route: facts.route,
            client: facts.client,
            model: facts.model,
            streaming: facts.streaming,
            body_bytes: facts.body_bytes,
            prompt_tokens: facts.prompt_tokens,
            max_tokens: facts.max_tokens,
            affinity: facts.affinity,
            attributes: facts.attributes,
            prompt: facts.prompt,
        }
    }
}

impl From<&routing::Report> for types::Outcome {
    fn from(report: &routing::Report) -> Self {
        use crate::routing::OutcomeKind as Kind;
        use types::OutcomeKind;
        let micros = |time: std::time::Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        types::Outcome {
            target: report.target,
            kind: match report.kind {
                Kind::Succeeded => OutcomeKind::Succeeded,
                Kind::Rejected => OutcomeKind::Rejected,
                Kind::Unauthorized => OutcomeKind::Unauthorized,
                Kind::Declined => OutcomeKind::Declined,
                Kind::NotFound => OutcomeKind::NotFound,
                Kind::Throttled => OutcomeKind::Throttled,
                Kind::Failed => OutcomeKind::Failed,
                Kind::TimedOut => OutcomeKind::TimedOut,
                Kind::Interrupted => OutcomeKind::Interrupted,
                Kind::Cancelled => OutcomeKind::Cancelled,
            },
            first_byte_us: micros(report.first_byte),
            total_us: micros(report.total),
            input_tokens: report.input_tokens,
            output_tokens: report.output_tokens,
            cost: report.cost,
        }
    }
}
