//! The record `request` of the contract, which is written in one piece.
//!
//! A derived type writes field by field, and Wasmtime looks up the guest's memory and the place of the field for each.
//! Besides, the derived type asks the guest for memory even for a text without bytes, which takes a call into the guest.

use std::mem::MaybeUninit;

use wasmtime::Result;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext, bad_type_info};
use wasmtime::component::{ComponentType, Lower};

use super::types::Tier;

/// `request`
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub seq: u32,
    pub entropy: u32,
    pub now_ms: u64,
    pub tier: Tier,
    pub attempts: u32,
    pub route: &'a str,
    pub client: &'a str,
    pub model: &'a str,
    pub streaming: bool,
    pub body_bytes: u32,
    pub prompt_tokens: u32,
    pub max_tokens: u32,
    pub affinity: u64,
    pub attributes: &'a [(&'a str, &'a str)],
    pub prompt: &'a str,
}

/// The same with derived code.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub struct FieldByField<'a> {
    seq: u32,
    entropy: u32,
    #[component(name = "now-ms")]
    now_ms: u64,
    tier: Tier,
    attempts: u32,
    route: &'a str,
    client: &'a str,
    model: &'a str,
    streaming: bool,
    #[component(name = "body-bytes")]
    body_bytes: u32,
    #[component(name = "prompt-tokens")]
    prompt_tokens: u32,
    #[component(name = "max-tokens")]
    max_tokens: u32,
    affinity: u64,
    attributes: &'a [(&'a str, &'a str)],
    prompt: &'a str,
}

impl<'a> From<Request<'a>> for FieldByField<'a> {
    fn from(request: Request<'a>) -> Self {
        Self {
            seq: request.seq,
            entropy: request.entropy,
            now_ms: request.now_ms,
            tier: request.tier,
            attempts: request.attempts,
            route: request.route,
            client: request.client,
            model: request.model,
            streaming: request.streaming,
            body_bytes: request.body_bytes,
            prompt_tokens: request.prompt_tokens,
            max_tokens: request.max_tokens,
            affinity: request.affinity,
            attributes: request.attributes,
            prompt: request.prompt,
        }
    }
}

/// The fields that are texts or lists, as their places in the record and in memory.
mod place {
    pub const ROUTE: usize = 24;
    pub const CLIENT: usize = 32;
    pub const MODEL: usize = 40;
    pub const ATTRIBUTES: (usize, usize) = (13, 72);
    pub const PROMPT: usize = 80;
}

/// The bytes of the record, after the rules of the canonical ABI: each field at the next multiple of its alignment; a text or
/// a list is an address and a length.
const BYTES: usize = 88;

const _: () = {
    let derived = <FieldByField<'static> as ComponentType>::ABI;
    assert!(derived.size32 as usize == BYTES && derived.align32 == 8, "the layout is that of the derived type");
};

impl Request<'_> {
    /// The record with every text and list empty: an address that is aligned, and the length 0.
    fn without_texts(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut word = |place: usize, value: u32| bytes[place..][..4].copy_from_slice(&value.to_le_bytes());
        word(0, self.seq);
        word(4, self.entropy);
        word(16, self.tier as u32);
        word(20, self.attempts);
        word(48, self.streaming.into());
        word(52, self.body_bytes);
        word(56, self.prompt_tokens);
        word(60, self.max_tokens);
        for empty in [place::ROUTE, place::CLIENT, place::MODEL, place::PROMPT] {
            word(empty, 1);
        }
        word(place::ATTRIBUTES.1, 4);
        bytes[8..16].copy_from_slice(&self.now_ms.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.affinity.to_le_bytes());
        bytes
    }
}

#[expect(unsafe_code, reason = "the trait is unsafe; all that it promises is what the derived type promises")]
// SAFETY: the layout, the check against the component's type and the flat form are those of the derived type.
unsafe impl ComponentType for Request<'_> {
    type Lower = <FieldByField<'static> as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <FieldByField<'static> as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <FieldByField<'static> as ComponentType>::typecheck(ty, types)
    }
}

#[expect(unsafe_code, reason = "the trait is unsafe; what is written where is checked like everything in safe code")]
// SAFETY: the flat form goes through the derived type. In memory exactly the bytes of the record are written, little-endian as
// the canonical form is; and texts and lists that are not empty are written by their own types.
unsafe impl Lower for Request<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        FieldByField::from(*self).linear_lower_to_flat(cx, ty, dst)
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        cx.as_slice_mut()[offset..][..BYTES].copy_from_slice(&self.without_texts());
        let texts = [
            (place::ROUTE, self.route),
            (place::CLIENT, self.client),
            (place::MODEL, self.model),
            (place::PROMPT, self.prompt),
        ];
        for (place, text) in texts {
            if !text.is_empty() {
                text.linear_lower_to_memory(cx, InterfaceType::String, offset + place)?;
            }
        }
        if !self.attributes.is_empty() {
            let InterfaceType::Record(record) = ty else { bad_type_info() };
            let (field, place) = place::ATTRIBUTES;
            let list = cx.types[record].fields[field].ty;
            self.attributes.linear_lower_to_memory(cx, list, offset + place)?;
        }
        Ok(())
    }
}
