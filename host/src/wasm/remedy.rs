//! For each reason why a strategy does not load: a code that never changes, and what to do.

use super::load_error::LoadError;

impl LoadError {
    /// A code for programs; it never changes.
    pub fn code(&self) -> &'static str {
        match self {
            LoadError::NotBuiltIn { .. } => "not-built-in",
            LoadError::Unreadable { .. } => "unreadable",
            LoadError::TooLarge(_) => "too-large",
            LoadError::Precompiled => "precompiled",
            LoadError::CoreModule => "core-module",
            LoadError::NotWebAssembly => "not-wasm",
            LoadError::Invalid(_) => "invalid",
            LoadError::Costly(_) => "too-costly",
            LoadError::Superseded => "superseded",
            LoadError::Uncompiled(_) => "not-compiled",
            LoadError::NotAStrategy { .. } => "not-a-strategy",
            LoadError::Version { .. } => "version",
            LoadError::Forbidden { .. } => "forbidden-import",
            LoadError::Mismatch(_) => "mismatch",
            LoadError::Rejected(_) => "rejects-config",
            LoadError::Broke { .. } => "broke",
            LoadError::Unfit { .. } => "unfit",
            LoadError::Engine(_) => "engine",
        }
    }

    /// What to do about it, in a sentence or two.
    pub fn remedy(&self) -> String {
        let text = match self {
            LoadError::NotBuiltIn { .. } => "choose one of those, or give the path of a .wasm file",
            LoadError::Unreadable { .. } => "give the path of a .wasm file that this user may read",
            LoadError::TooLarge(_) => {
                "leave out what is not needed: strip debug information, and check what was packed into it"
            }
            LoadError::Precompiled => "give the .wasm file that it was compiled from",
            LoadError::CoreModule => {
                "build a component: in Rust with `--target wasm32-wasip2`, in other languages with componentize-js, componentize-py \
                 or `wasm-tools component new`"
            }
            LoadError::NotWebAssembly => "give the .wasm file that the build has written; text formats are not read",
            LoadError::Invalid(_) => {
                "build it anew with a current toolchain; if it was copied, see that the copy is whole and binary"
            }
            LoadError::Costly(_) => {
                "leave out of it what is not needed; if it must be so large, raise `strategies.limits` of the proxy's configuration"
            }
            LoadError::Superseded => "nothing: the newer one is being loaded",
            LoadError::Uncompiled(_) => {
                "see that this user may start processes, and that there is memory for one; the text says what the system said"
            }
            LoadError::NotAStrategy { .. } => {
                "export `router` of the contract: in Rust by `pointsman_guest::export!(...)`; else build for the world `strategy` of \
                 the WIT that `pointsman strategy new` puts into a project"
            }
            LoadError::Version { .. } => {
                "build it against a version of the contract that this program speaks, or take a program that speaks its own"
            }
            LoadError::Forbidden { imports } => return forbidden(imports),
            LoadError::Mismatch(_) => {
                "build it anew against the WIT of this program, unchanged: `pointsman strategy new` writes it"
            }
            LoadError::Rejected(_) => "correct `strategies.NAME.config` as the text says",
            LoadError::Broke { .. } => {
                "see that it neither panics nor loops where it starts; an error is for what an operator can correct"
            }
            LoadError::Unfit { .. } => "call it with that very request in a test of your own, and see why it breaks",
            LoadError::Engine(_) => {
                "run it on a machine on which Wasmtime can compile, x86-64 or aarch64, with memory that may be executed, and with \
                 address space for it (`ulimit -v`)"
            }
        };
        text.to_owned()
    }
}

/// What to do about imports that nobody grants.
fn forbidden(imports: &[String]) -> String {
    let any = |start: &str| imports.iter().any(|import| import.starts_with(start));
    let mut text = "strategies have neither network nor files of their own: take out what needs it".to_owned();
    if any("wasi:http") {
        text.push_str("; with componentize-js, `disableFeatures` must include `http` and `fetch-event`");
    }
    if any("wasi:sockets") {
        text.push_str("; with componentize-py, give `--stub-wasi`");
    }
    if imports.iter().any(|import| import.starts_with("wasi:") && import.contains("@0.3")) {
        text.push_str("; WASI 0.3 is not granted, build for 0.2");
    }
    text
}
