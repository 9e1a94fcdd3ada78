//! For each reason why a component does not load: a stable code, and a remedy.

use super::load_error::{GuestKind, LoadError};

impl LoadError {
    /// A code for programs; it never changes.
    pub fn code(&self) -> &'static str {
        match self {
            LoadError::NotBuiltIn { .. } => "not-built-in",
            LoadError::Unreadable { .. } => "unreadable",
            LoadError::NotFetched(_) => "not-fetched",
            LoadError::TooLarge(_) => "too-large",
            LoadError::Precompiled => "precompiled",
            LoadError::CoreModule => "core-module",
            LoadError::NotWebAssembly => "not-wasm",
            LoadError::Invalid(_) => "invalid",
            LoadError::Costly(_) => "too-costly",
            LoadError::Superseded => "superseded",
            LoadError::Uncompiled(_) => "not-compiled",
            LoadError::NotAGuest { wanted: GuestKind::Strategy, .. } => "not-a-strategy",
            LoadError::NotAGuest { wanted: GuestKind::Approach, .. } => "not-an-approach",
            LoadError::OtherKind { .. } => "other-kind",
            LoadError::Version { .. } => "version",
            LoadError::Forbidden { .. } => "forbidden-import",
            LoadError::Mismatch(_) => "mismatch",
            LoadError::Rejected(_) => "rejects-config",
            LoadError::Broke { .. } => "broke",
            LoadError::Unfit { .. } => "unfit",
            LoadError::Engine(_) => "engine",
        }
    }

    /// The remedy, in a sentence or two.
    pub fn remedy(&self) -> String {
        let text = match self {
            LoadError::NotBuiltIn { wanted: GuestKind::Strategy, .. } => {
                "choose a built-in strategy, or give the path of a .wasm file"
            }
            LoadError::NotBuiltIn { wanted: GuestKind::Approach, .. } => {
                "choose a built-in approach, or give the path of a .wasm file"
            }
            LoadError::Unreadable { .. } => "give the path of a .wasm file that this user may read",
            LoadError::NotFetched(_) => "see whether `pointsman strategy pull` gives it; docs/registries.md",
            LoadError::TooLarge(_) => {
                "make it smaller: strip debug information, and check which files were packed into it"
            }
            LoadError::Precompiled => "give the .wasm file that it was compiled from",
            LoadError::CoreModule => {
                "build a component: in Rust with `--target wasm32-wasip2`, in other languages with componentize-js, componentize-py \
                 or `wasm-tools component new`"
            }
            LoadError::NotWebAssembly => "give the .wasm file that the build has written; text formats are not read",
            LoadError::Invalid(_) => {
                "rebuild it with a current toolchain; if it was copied, check that the copy is complete and was made in binary mode"
            }
            LoadError::Costly(_) => {
                "make the component smaller; if it must be so large, raise `strategies.limits` in the proxy's configuration"
            }
            LoadError::Superseded => "nothing to do: the newer one is being loaded",
            LoadError::Uncompiled(_) => {
                "make sure that this user may start processes and that there is memory for one; the message quotes the system's error"
            }
            LoadError::OtherKind { found: GuestKind::Approach, .. } => "declare it under `approaches`",
            LoadError::OtherKind { found: GuestKind::Strategy, .. } => "declare it under `strategies`",
            LoadError::NotAGuest { wanted: GuestKind::Approach, .. } => {
                "export `runner` of the contract: in Rust by `pointsman_approach::export!(...)`; else build for the world `approach` \
                 of the WIT that `pointsman approach new` puts into a project"
            }
            LoadError::NotAGuest { wanted: GuestKind::Strategy, .. } => {
                "export `router` of the contract: in Rust by `pointsman_guest::export!(...)`; else build for the world `strategy` of \
                 the WIT that `pointsman strategy new` puts into a project"
            }
            LoadError::Version { .. } => {
                "build it against a version of the contract that this program speaks, or use a program that speaks its version"
            }
            LoadError::Forbidden { wanted, imports } => return forbidden(*wanted, imports),
            LoadError::Mismatch(_) => {
                "rebuild it against the unchanged WIT of this program, which `pointsman strategy new` and `pointsman approach new` \
                 write"
            }
            LoadError::Rejected(_) => "correct `strategies.NAME.config` as the message says",
            LoadError::Broke { .. } => {
                "make sure that it neither panics nor loops while it starts; for mistakes that an operator can correct, return an error"
            }
            LoadError::Unfit { .. } => {
                "call it with the same request in a test of your own, and find out why it breaks"
            }
            LoadError::Engine(_) => {
                "run it on a machine on which Wasmtime can compile, x86-64 or aarch64, with memory that may be executed, and with \
                 address space for it (`ulimit -v`)"
            }
        };
        text.to_owned()
    }
}

/// The remedy for imports that are not granted.
fn forbidden(wanted: GuestKind, imports: &[String]) -> String {
    let any = |start: &str| imports.iter().any(|import| import.starts_with(start));
    let plural = wanted.plural();
    let mut text = format!("{plural} have no access to the network or to files: remove the code that needs it");
    if any("wasi:http") {
        text.push_str("; with componentize-js, `disableFeatures` must include `http` and `fetch-event`");
    }
    if any("wasi:sockets") {
        text.push_str("; with componentize-py, give `--stub-wasi`");
    }
    if imports.iter().any(|import| import.starts_with("wasi:") && import.contains("@0.3")) {
        text.push_str("; WASI 0.3 is not supported, so build for WASI 0.2");
    }
    text
}
