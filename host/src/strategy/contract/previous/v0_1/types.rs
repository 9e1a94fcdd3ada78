//! The interface `types` of version 0.1, as far as it differs from that of 0.2.

use wasmtime::component::{ComponentType, Lower};

pub use super::super::v0_2::types::{Candidate, Decision, Host, HostWithStore, Outcome, Tier, add_to_linker};

/// `setup`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct Setup<'a> {
    pub providers: &'a [Provider<'a>],
    pub config: &'a str,
}

/// `provider`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct Provider<'a> {
    pub name: &'a str,
    pub kind: &'a str,
    pub weight: f64,
    #[component(name = "fallback-only")]
    pub fallback_only: bool,
    #[component(name = "max-concurrent")]
    pub max_concurrent: u32,
    pub models: &'a [&'a str],
}

/// `request`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct Request<'a> {
    pub seq: u32,
    pub entropy: u32,
    #[component(name = "now-ms")]
    pub now_ms: u64,
    pub tier: Tier,
    pub attempts: u32,
    pub model: &'a str,
    pub streaming: bool,
    #[component(name = "body-bytes")]
    pub body_bytes: u32,
}
