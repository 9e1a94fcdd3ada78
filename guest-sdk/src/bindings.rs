//! The Rust code generated from `wit/`. Private to the SDK: authors see its plain records under the names of `lib.rs`,
//! and never the generated functions, so that the contract can change beneath them.
//!
//! `wit` is a link to the repository's `wit/`, which `cargo package` follows: a published crate carries its contract.

wit_bindgen::generate!({
    world: "strategy-full-state",
    path: "wit",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "pointsman_guest::bindings",
});
