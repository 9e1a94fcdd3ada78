//! The reasons why a component does not load, as its operator and its author read them.

use std::io;
use std::path::PathBuf;

use super::fault::Fault;
use super::output::one_line;

/// Why a strategy could not be loaded. Lower case, to stand after the strategy's name.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No such strategy is built in.
    #[error("no strategy `{name}` is built in; there are {}", builtins.join(", "))]
    NotBuiltIn {
        /// What was asked for.
        name: String,
        /// What there is.
        builtins: &'static [&'static str],
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is larger than any strategy has to be.
    #[error("is larger than {} MiB, as `strategies.limits.max_bytes` has it", mebibytes(.0))]
    TooLarge(u64),
    /// It is machine code that Wasmtime has compiled before, which cannot be checked.
    #[error("is precompiled machine code (`.cwasm`), which is not accepted; give the `.wasm` component it was made of")]
    Precompiled,
    /// It is WebAssembly, but not a component.
    #[error(
        "is a core WebAssembly module, not a component; build it with `cargo build --target wasm32-wasip2 --release`"
    )]
    CoreModule,
    /// It is something else.
    #[error("is not WebAssembly")]
    NotWebAssembly,
    /// It is damaged, or uses proposals that this host does not have.
    #[error("is not a valid component: {0}")]
    Invalid(String),
    /// Compiling it takes more time or memory than it may.
    #[error("{0}")]
    Costly(String),
    /// Another file has taken its place before it was compiled.
    #[error("is not compiled any further, as a newer one has taken its place")]
    Superseded,
    /// It was not compiled, for reasons that are not its own.
    #[error("could not be compiled: {0}")]
    Uncompiled(String),
    /// It is a component for something else.
    #[error("is not a strategy: it does not export `pointsman:strategy/router`, but {}", list(exports))]
    NotAStrategy {
        /// What it exports.
        exports: Vec<String>,
    },
    /// It is a strategy for another version of Pointsman.
    #[error("speaks version {found} of pointsman:strategy, this host speaks {spoken}")]
    Version {
        /// The version that it exports.
        found: String,
        /// The versions that this host speaks, in words.
        spoken: String,
    },
    /// It needs what strategies do not have.
    #[error("imports what strategies do not have: {}", list(imports))]
    Forbidden {
        /// The names of the imports.
        imports: Vec<String>,
    },
    /// Its imports or exports are not as the contract has them.
    #[error("does not fit the contract: {0}")]
    Mismatch(String),
    /// It said no to its configuration.
    #[error("rejects its configuration: {0}")]
    Rejected(String),
    /// It broke before it could answer.
    #[error("broke in {during}: {fault}")]
    Broke {
        /// Where: `start`, `init` or `describe`.
        during: &'static str,
        /// How.
        fault: Fault,
    },
    /// It started, and broke when it was tried with requests that nobody had sent.
    #[error("fails when it is tried before use: {fault} (in {request})")]
    Unfit {
        /// What it was asked.
        request: String,
        /// How it broke.
        fault: Fault,
    },
    /// WebAssembly cannot be run on this machine.
    #[error("cannot run WebAssembly here: {0}")]
    Engine(String),
}

fn mebibytes(bytes: &u64) -> f64 {
    *bytes as f64 / f64::from(1 << 20)
}

/// The first of many names; they are the author's.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{}`", one_line(name))).collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
