//! The strategies in the binary: the components that `build.rs` has made of `strategies/*`.
//!
//! Only their names are known here, and only as text: nothing in the host depends on what a strategy is called.

include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// The component of this name.
pub fn find(name: &str) -> Option<&'static [u8]> {
    let index = NAMES.iter().position(|known| *known == name)?;
    COMPONENTS.get(index).copied()
}

/// True when these bytes are one of them.
pub fn holds(bytes: &[u8]) -> bool {
    COMPONENTS.contains(&bytes)
}
