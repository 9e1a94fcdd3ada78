//! Turns bytes into a strategy that is ready to be started, or says why that cannot be done.
//!
//! Everything that can be wrong with a file is found here, once, at the start; `instance` deals with what can go wrong
//! with a request.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};

use super::builtin;
use super::contract::guest::{self, Hooks, Indices, Version};
use crate::config::{StrategyChoice, StrategyLimits};
use crate::wasm::artifact::{chain, check_format};
use crate::wasm::cache;
use crate::wasm::compile::Input;
use crate::wasm::digest::Digest;
use crate::wasm::engine::Engine;
use crate::wasm::load_error::{GuestKind, LoadError};
use crate::wasm::output::one_line;
use crate::wasm::sandbox::{self, Sandbox};

pub const PACKAGE: &str = "pointsman:strategy/";

/// A component that has been compiled, checked and linked. Instances are made from it.
pub struct Blueprint {
    /// The digest of the component's bytes.
    pub digest: Digest,
    /// The component, linked and ready to be instantiated.
    pub pre: InstancePre<Sandbox>,
    /// The functions of the contract.
    pub guest: Indices,
}

impl Blueprint {
    /// Does what [`Blueprint::of`] does, with a component that has no source.
    ///
    /// # Errors
    ///
    /// Any fault that shows without running it.
    pub fn new(engine: &Engine, bytes: &[u8]) -> Result<Self, LoadError> {
        let digest = Digest::of([bytes]);
        let source = format!("the component {}", digest.short());
        let trusted = builtin::holds(bytes);
        let limits = StrategyLimits::default();
        Self::compiled(engine, &Input { source: &source, bytes, digest: &digest, trusted, limits })
    }

    /// Checks, compiles and links the component of a strategy. What has been compiled before comes from the cache, if there
    /// is one.
    ///
    /// # Errors
    ///
    /// Any fault that shows without running it.
    pub fn of(engine: &Engine, choice: &StrategyChoice, bytes: &[u8]) -> Result<Self, LoadError> {
        let (source, digest) = (choice.to_string(), Digest::of([bytes]));
        let trusted = builtin::holds(bytes);
        Self::compiled(engine, &Input { source: &source, bytes, digest: &digest, trusted, limits: choice.limits })
    }

    /// The same as [`Blueprint::of`], but made only once for all that use it at the same time.
    ///
    /// # Errors
    ///
    /// As [`Blueprint::of`].
    pub fn shared(engine: &Engine, choice: &StrategyChoice, bytes: &[u8]) -> Result<Arc<Self>, LoadError> {
        static MADE: Mutex<Vec<Weak<Blueprint>>> = Mutex::new(Vec::new());
        let digest = Digest::of([bytes]);
        let known = || MADE.lock().iter().filter_map(Weak::upgrade).find(|known| known.digest == digest);
        if let Some(known) = known() {
            return Ok(known);
        }
        let made = Arc::new(Self::of(engine, choice, bytes)?);
        let mut all = MADE.lock();
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&made));
        Ok(made)
    }

    fn compiled(engine: &Engine, input: &Input<'_>) -> Result<Self, LoadError> {
        check_format(input.bytes)?;
        let digest = *input.digest;
        let component = cache::compiled(engine, input)?;
        let (version, hooks) = check_exports(&component)?;
        check_imports(&component)?;

        let link = || {
            let mut linker = Linker::new(engine.wasm());
            guest::link(&mut linker)?;
            sandbox::link(&mut linker, &component)?;
            let pre = linker.instantiate_pre(&component)?;
            Ok(Blueprint { digest, guest: Indices::new(version, &pre, hooks)?, pre })
        };
        link().map_err(|error: wasmtime::Error| LoadError::Mismatch(chain(&error)))
    }
}

/// Checks that it is a strategy of a version that this host speaks, and returns that version and its optional
/// interfaces.
fn check_exports(component: &Component) -> Result<(Version, Hooks), LoadError> {
    let exports: Vec<String> =
        component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    let has = |interface, version| exports.iter().any(|name| version_of(name, interface) == Some(version));
    if let Some(version) = Version::ALL.into_iter().find(|version| has("router", *version)) {
        let state = version == Version::V0_3 && has("state", version);
        return Ok((version, Hooks { meta: has("meta", version), feedback: has("feedback", version), state }));
    }
    Err(not_a_strategy(&exports))
}

/// The reason why a component with these exports is no strategy, or none of a version that this host speaks.
pub fn not_a_strategy(exports: &[String]) -> LoadError {
    let wanted = GuestKind::Strategy;
    let other = exports.iter().find_map(|name| name.strip_prefix(PACKAGE)?.strip_prefix("router"));
    match other {
        Some("") => LoadError::Version { wanted, found: "without a number".to_owned(), spoken: spoken() },
        Some(version) => {
            LoadError::Version { wanted, found: one_line(version.trim_start_matches('@')), spoken: spoken() }
        }
        None => match GuestKind::of(exports) {
            Some(found) => LoadError::OtherKind { found, wanted },
            None => LoadError::NotAGuest { wanted, exports: exports.to_vec() },
        },
    }
}

/// Checks that everything it imports is either of the contract or inert.
fn check_imports(component: &Component) -> Result<(), LoadError> {
    let mut forbidden = Vec::new();
    for (name, import) in component.component_type().imports(component.engine()) {
        let is_interface = matches!(import.ty, ComponentItem::ComponentInstance(_));
        let allowed = is_ours(name, "host-log") || is_ours(name, "types") || sandbox::is_inert(name);
        if !(is_interface && allowed) {
            forbidden.push(name.to_owned());
        }
    }
    if forbidden.is_empty() {
        Ok(())
    } else {
        Err(LoadError::Forbidden { wanted: GuestKind::Strategy, imports: forbidden })
    }
}

/// The version of this interface of the contract that `name` names, if it is that and the host speaks it.
pub fn version_of(name: &str, interface: &str) -> Option<Version> {
    Version::of(name.strip_prefix(PACKAGE)?.strip_prefix(interface)?.strip_prefix('@')?)
}

/// True when `name` is this interface of the contract in a version that this host speaks.
pub fn is_ours(name: &str, interface: &str) -> bool {
    version_of(name, interface).is_some()
}

/// The versions of the contract that this host speaks, in words.
fn spoken() -> String {
    Version::ALL.map(|version| format!("{}x", version.prefix())).join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> LoadError {
        let engine = Engine::shared().expect("an engine");
        Blueprint::new(&engine, bytes).err().expect("should be refused")
    }

    /// A component's preamble, and a section of this number with this content.
    fn component(section: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.extend([section, u8::try_from(content.len()).expect("short")]);
        bytes.extend(content);
        bytes
    }

    #[test]
    fn tells_what_is_not_a_component() {
        for text in [&b""[..], b"\0asm", b"(component)", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01\0"] {
            assert!(matches!(refusal(text), LoadError::NotWebAssembly), "{text:?}");
        }
        let core = refusal(b"\0asm\x01\0\0\0");
        assert!(matches!(core, LoadError::CoreModule));
        assert!(core.to_string().contains("cargo build --target wasm32-wasip2 --release"));
        assert!(matches!(refusal(b"\0asm\x0d\0\x01\0\xff\xff\xff"), LoadError::Invalid(_)));
    }

    #[test]
    fn refuses_machine_code() {
        let engine = Engine::shared().expect("an engine");
        let cwasm = engine.wasm().precompile_component(b"\0asm\x0d\0\x01\0").expect("compiles");
        assert!(matches!(refusal(&cwasm), LoadError::Precompiled));
    }

    #[test]
    fn names_what_another_component_exports() {
        let error = refusal(b"\0asm\x0d\0\x01\0");
        assert!(error.to_string().ends_with("does not export `pointsman:strategy/router`, but nothing"), "{error}");
    }

    #[test]
    fn only_versions_that_are_spoken_are_ours() {
        assert!(is_ours("pointsman:strategy/router@0.1.0", "router"));
        assert!(is_ours("pointsman:strategy/router@0.1.7", "router"));
        assert_eq!(version_of("pointsman:strategy/router@0.2.0", "router"), Some(Version::V0_2));
        assert_eq!(version_of("pointsman:strategy/router@0.3.0", "router"), Some(Version::V0_3));
        for other in ["router", "router@0.4.0", "router@1.0.0", "router@0.10.0", "router-x@0.1.0", "meta@0.1.0"] {
            assert!(!is_ours(&format!("pointsman:strategy/{other}"), "router"), "{other}");
        }
    }

    #[test]
    fn sockets_and_http_are_not_inert() {
        for name in ["wasi:cli/stdout@0.2.0", "wasi:io/poll@0.2.12", "wasi:filesystem/types@0.2.6"] {
            assert!(sandbox::is_inert(name), "{name}");
        }
        for name in
            ["wasi:sockets/tcp@0.2.0", "wasi:http/types@0.2.0", "wasi:cli/stdout@0.3.0", "wasi:cli/stdout", "log"]
        {
            assert!(!sandbox::is_inert(name), "{name}");
        }
    }

    #[test]
    fn forbidden_imports_are_listed_by_name() {
        // A type section with one empty instance type, then an import of it.
        let mut bytes = component(7, &[1, 0x42, 0]);
        let name = b"wasi:sockets/tcp@0.2.0";
        let mut import = vec![1, 0, u8::try_from(name.len()).expect("short")];
        import.extend(name);
        import.extend([5, 0]);
        bytes.extend(&component(10, &import)[8..]);
        let engine = Engine::shared().expect("an engine");
        let component = Component::from_binary(engine.wasm(), &bytes).expect("valid");
        let error = check_imports(&component).expect_err("forbidden");
        assert_eq!(error.to_string(), "imports what strategies do not have: `wasi:sockets/tcp@0.2.0`");
    }
}
