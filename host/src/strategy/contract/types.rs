//! The interface `types` of the contract, written out so that candidates can be handed over in one piece.
//!
//! A component whose idea of these types differs does not load, as each is checked against the component's own.

use wasmtime::Result;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext};
use wasmtime::component::{ComponentType, HasData, Lift, Linker, Lower};

pub use unlinked::{Host, HostWithStore, add_to_linker};

#[expect(dead_code, reason = "the generated code names them in functions that the host does not call")]
mod unlinked {
    use super::{HasData, Linker, Result};

    pub trait Host {}
    pub trait HostWithStore<T>: HasData {}

    pub fn add_to_linker<T: 'static, D: HostWithStore<T>>(
        _: &mut Linker<T>,
        _: fn(&mut T) -> D::Data<'_>,
    ) -> Result<()> {
        Ok(())
    }
}

/// `setup`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct Setup<'a> {
    pub route: &'a str,
    pub targets: &'a [Target<'a>],
    pub attributes: &'a [&'a str],
    pub prompt: bool,
    pub config: &'a str,
}

/// `target`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct Target<'a> {
    pub name: &'a str,
    pub provider: &'a str,
    pub model: &'a str,
    pub kind: &'a str,
    pub weight: f64,
    #[component(name = "fallback-only")]
    pub fallback_only: bool,
    #[component(name = "max-concurrent")]
    pub max_concurrent: u32,
    pub models: &'a [&'a str],
    pub context: u32,
    pub price: Option<Price>,
    pub labels: &'a [(&'a str, &'a str)],
}

/// `price`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct Price {
    pub input: f64,
    pub output: f64,
}

/// `tier`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Tier {
    #[component(name = "primary")]
    Primary,
    #[component(name = "fallback")]
    Fallback,
    #[component(name = "last-resort")]
    LastResort,
}

pub use super::request::Request;

/// `candidate`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct FieldByField {
    target: u32,
    #[component(name = "in-flight")]
    in_flight: u32,
    #[component(name = "latency-us")]
    latency_us: u32,
    #[component(name = "failure-permille")]
    failure_permille: u32,
    #[component(name = "requests-left")]
    requests_left: u32,
    #[component(name = "tokens-left")]
    tokens_left: u32,
}

/// `candidate`; lists of it are written as bytes.
pub use crate::routing::Candidate;

/// Makes `$type` a record of `$count` `u32`, like `$derived`, but a list of it is written in one piece. Field by field,
/// as a derived type is, Wasmtime looks up the guest's memory for each field of each candidate, and that was most of
/// what a decision over many candidates cost. `$record` makes the derived type of it, `$fields` its fields in their
/// order.
macro_rules! plain_list {
    ($type:ty as $derived:ty, $count:literal, $record:expr, |$one:ident| $fields:expr) => {
        #[expect(unsafe_code, reason = "the trait is unsafe; all that it promises is what the derived type promises")]
        // SAFETY: the layout, the check against the component's type and the flat form are those of the derived type.
        unsafe impl ComponentType for $type {
            type Lower = <$derived as ComponentType>::Lower;
            const ABI: CanonicalAbiInfo = <$derived as ComponentType>::ABI;

            fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
                <$derived as ComponentType>::typecheck(ty, types)
            }
        }

        #[expect(
            unsafe_code,
            reason = "the trait is unsafe; what is written where is checked like everything in safe code"
        )]
        // SAFETY: everything except a list goes through the derived type; of a list exactly its bytes are written:
        // little-endian `u32` in the order of the fields are the canonical form of a record of as many `u32`.
        unsafe impl Lower for $type {
            fn linear_lower_to_flat<T>(
                &self,
                cx: &mut LowerContext<'_, T>,
                ty: InterfaceType,
                dst: &mut std::mem::MaybeUninit<Self::Lower>,
            ) -> Result<()> {
                ($record)(self).linear_lower_to_flat(cx, ty, dst)
            }

            fn linear_lower_to_memory<T>(
                &self,
                cx: &mut LowerContext<'_, T>,
                ty: InterfaceType,
                offset: usize,
            ) -> Result<()> {
                ($record)(self).linear_lower_to_memory(cx, ty, offset)
            }

            fn linear_store_list_to_memory<T>(
                cx: &mut LowerContext<'_, T>,
                _: InterfaceType,
                offset: usize,
                items: &[Self],
            ) -> Result<()> {
                const BYTES: usize = 4 * $count;
                let (places, _) = cx.as_slice_mut()[offset..][..items.len() * BYTES].as_chunks_mut::<BYTES>();
                for (place, item) in places.iter_mut().zip(items) {
                    let $one = ($record)(item);
                    let fields: [u32; $count] = $fields;
                    for (bytes, field) in place.as_chunks_mut::<4>().0.iter_mut().zip(fields) {
                        *bytes = field.to_le_bytes();
                    }
                }
                Ok(())
            }
        }
    };
}
pub(in crate::strategy::contract) use plain_list;

plain_list!(
    Candidate as FieldByField,
    6,
    |candidate: &Candidate| {
        let Candidate { target, in_flight, latency_us, failure_permille, requests_left, tokens_left } = *candidate;
        FieldByField { target, in_flight, latency_us, failure_permille, requests_left, tokens_left }
    },
    |f| [f.target, f.in_flight, f.latency_us, f.failure_permille, f.requests_left, f.tokens_left]
);

/// `decision`
#[derive(Clone, ComponentType, Lift)]
#[component(record)]
pub struct Decision {
    pub order: Vec<u32>,
    pub reason: u32,
    pub reasons: Vec<u32>,
    pub excluded: Vec<u32>,
}

/// `outcome-kind`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum OutcomeKind {
    #[component(name = "succeeded")]
    Succeeded,
    #[component(name = "rejected")]
    Rejected,
    #[component(name = "unauthorized")]
    Unauthorized,
    #[component(name = "declined")]
    Declined,
    #[component(name = "not-found")]
    NotFound,
    #[component(name = "throttled")]
    Throttled,
    #[component(name = "failed")]
    Failed,
    #[component(name = "timed-out")]
    TimedOut,
    #[component(name = "interrupted")]
    Interrupted,
    #[component(name = "cancelled")]
    Cancelled,
}

/// `outcome`
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct Outcome {
    pub target: u32,
    pub kind: OutcomeKind,
    #[component(name = "first-byte-us")]
    pub first_byte_us: u32,
    #[component(name = "total-us")]
    pub total_us: u32,
    #[component(name = "input-tokens")]
    pub input_tokens: u32,
    #[component(name = "output-tokens")]
    pub output_tokens: u32,
    pub cost: f64,
}
