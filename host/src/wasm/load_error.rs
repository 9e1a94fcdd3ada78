//! The reasons why a component does not load, in words for operators and authors.

use std::io;
use std::path::PathBuf;

use super::fault::Fault;
use super::output::one_line;
use crate::images::ImageError;

/// The kind of guest that a component is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestKind {
    /// `pointsman:strategy`
    Strategy,
    /// `pointsman:approach`
    Approach,
}

impl GuestKind {
    /// `strategy` or `approach`.
    pub fn name(self) -> &'static str {
        match self {
            GuestKind::Strategy => "strategy",
            GuestKind::Approach => "approach",
        }
    }

    /// `strategies` or `approaches`.
    pub fn plural(self) -> &'static str {
        match self {
            GuestKind::Strategy => "strategies",
            GuestKind::Approach => "approaches",
        }
    }

    /// The interface that makes a component one of this kind, without a version.
    pub fn interface(self) -> &'static str {
        match self {
            GuestKind::Strategy => "pointsman:strategy/router",
            GuestKind::Approach => "pointsman:approach/runner",
        }
    }

    /// The kind that a component with these exports is of, whatever its version.
    pub fn of(exports: &[String]) -> Option<Self> {
        let has = |kind: &GuestKind| exports.iter().any(|name| name.split('@').next() == Some(kind.interface()));
        [GuestKind::Strategy, GuestKind::Approach].into_iter().find(has)
    }

    /// `a strategy` or `an approach`.
    pub fn one(self) -> &'static str {
        match self {
            GuestKind::Strategy => "a strategy",
            GuestKind::Approach => "an approach",
        }
    }
}

/// The reason why a strategy or an approach could not be loaded. Lower case, because it follows its name.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No such strategy or approach is built in.
    #[error("no {} `{name}` is built in; available: {}", wanted.name(), builtins.join(", "))]
    NotBuiltIn {
        /// The kind that is wanted.
        wanted: GuestKind,
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
    /// It does not come from its registry.
    #[error(transparent)]
    NotFetched(#[from] ImageError),
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
    /// It is a component, but no guest of this host.
    #[error("is not {}: it does not export `{}`, but {}", wanted.one(), wanted.interface(), list(exports))]
    NotAGuest {
        /// The kind that is wanted.
        wanted: GuestKind,
        /// The names of its exports.
        exports: Vec<String>,
    },
    /// It is a guest of another kind.
    #[error("is {}, not {}", found.one(), wanted.one())]
    OtherKind {
        /// The kind that it is of.
        found: GuestKind,
        /// The kind that is wanted.
        wanted: GuestKind,
    },
    /// It was built for another version of Pointsman.
    #[error("speaks version {found} of pointsman:{}, but this host speaks {spoken}", wanted.name())]
    Version {
        /// The kind of guest that it is.
        wanted: GuestKind,
        /// The version that it exports.
        found: String,
        /// The versions that this host speaks, in words.
        spoken: String,
    },
    /// It imports interfaces that its kind does not get.
    #[error("imports what {} do not have: {}", wanted.plural(), list(imports))]
    Forbidden {
        /// The kind of guest that it is.
        wanted: GuestKind,
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
