//! The approaches in the binary: the components that `build.rs` has made of `approaches/*`.
//!
//! Only their names are known here, and only as text: nothing in the host depends on what an approach is called.

include!(concat!(env!("OUT_DIR"), "/approaches.rs"));

/// The component of this name.
pub fn find(name: &str) -> Option<&'static [u8]> {
    let index = NAMES.iter().position(|known| *known == name)?;
    COMPONENTS.get(index).copied()
}
