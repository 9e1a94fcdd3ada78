//! The reasons why a component does not load, in words for operators and authors.

use std::io;
use std::path::PathBuf;

use super::fault::Fault;
use super::output::one_line;

/// The reason why a strategy could not be loaded. Lower case, because it follows the strategy's name.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No such strategy is built in.
    #[error("no strategy `{name}` is built in; available: {}", builtins.join(", "))]
    NotBuiltIn {
        /// The name that was asked for.
        name: String,
        /// The names of the built-in strategies.
        builtins: &'static [&'static str],
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It is larger than the limit.
    #[error("is larger than {} MiB, the limit set by `strategies.limits.max_bytes`", mebibytes(.0))]
    TooLarge(u64),
    /// It is machine code that Wasmtime has precompiled, which cannot be checked.
    #[error("is precompiled machine code (`.cwasm`), which is not accepted; use the `.wasm` component it was made of")]
    Precompiled,
    /// It is WebAssembly, but not a component.
    #[error(
        "is a core WebAssembly module, not a component; build it with `cargo build --target wasm32-wasip2 --release`"
    )]
    CoreModule,
    /// It is not WebAssembly.
    #[error("is not WebAssembly")]
    NotWebAssembly,
    /// It is damaged, or uses proposals that this host does not support.
    #[error("is not a valid component: {0}")]
    Invalid(String),
    /// Its compilation takes more time or memory than it may.
    #[error("{0}")]
    Costly(String),
    /// A newer file replaced it before it was compiled.
    #[error("was not compiled to the end, because a newer one has replaced it")]
    Superseded,
    /// It could not be compiled, for reasons outside the component.
    #[error("could not be compiled: {0}")]
    Uncompiled(String),
    /// It is a component, but not a strategy.
    #[error("is not a strategy: it does not export `pointsman:strategy/router`, but {}", list(exports))]
    NotAStrategy {
        /// The names of its exports.
        exports: Vec<String>,
    },
    /// It is a strategy for another version of Pointsman.
    #[error("speaks version {found} of pointsman:strategy, but this host speaks {spoken}")]
    Version {
        /// The version that it exports.
        found: String,
        /// The versions that this host speaks, in words.
        spoken: String,
    },
    /// It imports interfaces that strategies do not get.
    #[error("imports what strategies do not have: {}", list(imports))]
    Forbidden {
        /// The names of the imports.
        imports: Vec<String>,
    },
    /// Its imports or exports do not match the contract.
    #[error("does not fit the contract: {0}")]
    Mismatch(String),
    /// It rejected its configuration.
    #[error("rejects its configuration: {0}")]
    Rejected(String),
    /// It broke while it started.
    #[error("broke in {during}: {fault}")]
    Broke {
        /// The call that broke: `start`, `init` or `describe`.
        during: &'static str,
        /// The fault.
        fault: Fault,
    },
    /// It started, but broke when it was tried with made-up requests.
    #[error("fails when it is tried before use: {fault} (in {request})")]
    Unfit {
        /// The request on which it broke.
        request: String,
        /// The fault.
        fault: Fault,
    },
    /// WebAssembly cannot be run on this machine.
    #[error("cannot run WebAssembly here: {0}")]
    Engine(String),
}

fn mebibytes(bytes: &u64) -> f64 {
    *bytes as f64 / f64::from(1 << 20)
}

/// The first of many names, which the author chose.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{}`", one_line(name))).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
