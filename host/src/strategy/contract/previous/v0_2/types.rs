//! The interface `types` of version 0.2, as far as it differs from today's.

use wasmtime::Result;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext};
use wasmtime::component::{ComponentType, Lift, Lower};

pub use super::super::super::types::{Host, HostWithStore, OutcomeKind, Price, Tier, add_to_linker};
use crate::strategy::contract::types::plain_list;

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
    pub price: Option<Price>,
    pub labels: &'a [(&'a str, &'a str)],
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
    pub affinity: u64,
}

/// `candidate`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct FieldByField {
    provider: u32,
    #[component(name = "in-flight")]
    in_flight: u32,
    #[component(name = "latency-us")]
    latency_us: u32,
    #[component(name = "failure-permille")]
    failure_permille: u32,
}

/// `candidate`, of which lists are written as bytes, as today's are.
#[derive(Clone, Copy)]
pub struct Candidate(crate::routing::Candidate);

impl From<&crate::routing::Candidate> for Candidate {
    fn from(candidate: &crate::routing::Candidate) -> Self {
        Self(*candidate)
    }
}

plain_list!(
    Candidate as FieldByField,
    4,
    |candidate: &Candidate| {
        let crate::routing::Candidate { target, in_flight, latency_us, failure_permille, .. } = candidate.0;
        FieldByField { provider: target, in_flight, latency_us, failure_permille }
    },
    |fields| [fields.provider, fields.in_flight, fields.latency_us, fields.failure_permille]
);

/// `decision`
#[derive(Clone, ComponentType, Lift)]
#[component(record)]
pub struct Decision {
    pub order: Vec<u32>,
    pub reason: u32,
}

/// `outcome`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct Outcome {
    pub provider: u32,
    pub kind: OutcomeKind,
    #[component(name = "first-byte-us")]
    pub first_byte_us: u32,
    #[component(name = "total-us")]
    pub total_us: u32,
}
