//! Prefers the targets whose label `region` is the one in the config. They take turns, and so do the others after them.
//!
//! The policy is in `policy.rs`, in plain Rust, so that it is tested natively; `component.rs` puts it into the interfaces of
//! the contract, over the bindings that cargo-component writes to `bindings.rs`.

#[cfg(target_arch = "wasm32")]
#[rustfmt::skip]
mod bindings;
#[cfg(target_arch = "wasm32")]
mod component;
pub mod policy;
