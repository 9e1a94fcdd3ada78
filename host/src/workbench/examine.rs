//! Examines a file without compiling or running it, which is quick enough for every save of an author.

use wasmparser::{ComponentExternalKind, Parser, Payload, Validator, WasmFeatures};

use crate::approach;
use crate::strategy::blueprint::{PACKAGE, is_ours, not_a_strategy, version_of};
use crate::strategy::contract::guest::Version;
use crate::wasm::artifact::check_format;
use crate::wasm::digest::Digest;
use crate::wasm::load_error::{GuestKind, LoadError};
use crate::wasm::output::one_line;
use crate::wasm::sandbox;

/// The findings about a file.
#[derive(Debug)]
pub struct Examined {
    /// Its length in bytes.
    pub bytes: usize,
    /// The SHA-256, in hexadecimal.
    pub sha256: String,
    /// The version of the contract that it speaks, such as `0.2.x`.
    pub contract: Option<String>,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// Its imports.
    pub imports: Vec<Import>,
    /// The reasons why it is not of the kind that is wanted; empty if it is.
    pub problems: Vec<LoadError>,
}

/// One import.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// Its treatment by the host.
    pub class: Class,
}

/// The treatment of an import by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It works: it belongs to the contract, or to the WASI that approaches have.
    Granted,
    /// It belongs to WASI: it exists, and does nothing.
    Inert,
    /// It prevents the component from being loaded.
    Forbidden,
}

impl Class {
    /// The word for reports.
    pub fn name(self) -> &'static str {
        match self {
            Class::Granted => "granted",
            Class::Inert => "inert",
            Class::Forbidden => "forbidden",
        }
    }

    fn of(wanted: GuestKind, import: &str, is_interface: bool) -> Self {
        if !is_interface {
            Class::Forbidden
        } else if wanted == GuestKind::Approach {
            if approach::is_granted(import) { Class::Granted } else { Class::Forbidden }
        } else if is_ours(import, "host-log") || is_ours(import, "types") {
            Class::Granted
        } else if sandbox::is_inert(import) {
            Class::Inert
        } else {
            Class::Forbidden
        }
    }
}

/// Examines the bytes of a file that is meant to be a guest of this kind.
pub fn examine(wanted: GuestKind, bytes: &[u8]) -> Examined {
    let mut examined = Examined {
        bytes: bytes.len(),
        sha256: Digest::of([bytes]).to_string(),
        contract: None,
        exports: Vec::new(),
        imports: Vec::new(),
        problems: Vec::new(),
    };
    if let Err(problem) = check_format(bytes) {
        examined.problems.push(problem);
        return examined;
    }
    let mut validator = Validator::new_with_features(features());
    let read = validator.validate_all(bytes).map(drop).and_then(|()| surface(wanted, bytes, &mut examined));
    if let Err(error) = read {
        examined.problems.push(LoadError::Invalid(one_line(&error.to_string())));
        return examined;
    }
    match contract(wanted, &examined.exports) {
        Ok(contract) => examined.contract = Some(contract),
        Err(problem) => examined.problems.push(problem),
    }
    let forbidden = examined.imports.iter().filter(|import| import.class == Class::Forbidden);
    let forbidden: Vec<String> = forbidden.map(|import| import.name.clone()).collect();
    // One of another kind imports what that kind has.
    let is_other = matches!(examined.problems.first(), Some(LoadError::OtherKind { .. }));
    if !forbidden.is_empty() && !is_other {
        examined.problems.push(LoadError::Forbidden { wanted, imports: forbidden });
    }
    examined
}

/// The version of the contract that a component with these exports speaks.
fn contract(wanted: GuestKind, exports: &[String]) -> Result<String, LoadError> {
    match wanted {
        GuestKind::Strategy => {
            let has = |version: &Version| exports.iter().any(|name| version_of(name, "router") == Some(*version));
            let spoken = Version::ALL.into_iter().find(has).ok_or_else(|| not_a_strategy(exports))?;
            Ok(format!("{}x", spoken.prefix()))
        }
        GuestKind::Approach => approach::spoken(exports),
    }
}

/// The proposals that the engine has, as Wasmtime is built here: no garbage collection, no exceptions, no threads.
fn features() -> WasmFeatures {
    let more = WasmFeatures::TAIL_CALL
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::MEMORY64
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL;
    (WasmFeatures::WASM2 | more).difference(WasmFeatures::GC_TYPES)
}

/// Reads what the outermost component imports and exports; those of components inside it do not matter.
fn surface(wanted: GuestKind, bytes: &[u8], examined: &mut Examined) -> Result<(), wasmparser::BinaryReaderError> {
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import?;
                    let is_interface = import.ty.kind() == ComponentExternalKind::Instance;
                    let name = import.name.name.to_owned();
                    let class = Class::of(wanted, &name, is_interface);
                    examined.imports.push(Import { name, class });
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    examined.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl Examined {
    /// True when it is a strategy that exports this optional interface, in the version that it speaks.
    pub fn has(&self, interface: &str) -> bool {
        let Some(contract) = self.contract.as_deref().and_then(Version::of) else { return false };
        self.exports.iter().any(|name| version_of(name, interface) == Some(contract))
    }

    /// Exports that are not of the contract.
    pub fn foreign_exports(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().map(String::as_str).filter(|name| !name.starts_with(PACKAGE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component around a core module of one function type and one function, whose body is this.
    fn around(body: &[u8]) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a".to_vec();
        let length = u8::try_from(body.len()).expect("short");
        module.extend([length + 2, 1, length]);
        module.extend(body);
        let mut component = b"\0asm\x0d\0\x01\0\x01".to_vec();
        component.push(u8::try_from(module.len()).expect("short"));
        component.extend(module);
        component
    }

    /// The loader must not refuse as invalid a file that `check` lets pass, nor the other way round.
    #[test]
    fn proposals_are_those_of_the_engine() {
        let engine = crate::wasm::engine::Engine::shared().expect("an engine");
        let bodies: [&[u8]; 4] = [
            &[0, 0x0b],
            // ref.null func, drop; ref.null extern, drop; try_table without a catch.
            &[0, 0xd0, 0x70, 0x1a, 0x0b],
            &[0, 0xd0, 0x6f, 0x1a, 0x0b],
            &[0, 0x1f, 0x40, 0, 0x0b, 0x0b],
        ];
        for body in bodies {
            let component = around(body);
            let examined =
                examine(GuestKind::Strategy, &component).problems.iter().any(|problem| problem.code() == "invalid");
            let loaded =
                crate::strategy::blueprint::Blueprint::new(&engine, &component).err().map(|error| error.code());
            assert_eq!(examined, loaded == Some("invalid"), "{body:x?}: {loaded:?}");
        }
    }
}
