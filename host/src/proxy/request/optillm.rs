//! OptiLLM's own keys in a JSON body, at its top level or in an `extra_body` that a client sent literally: their
//! values, and the edits that remove them.
//!
//! Python's SDK merges `extra_body` into the top level; with `curl`, and in the specification's examples, it arrives.

use std::ops::Range;

use super::error::BodyError;
use super::scan::Members;
use super::splice::{Removal, Removed};
use super::text;

/// OptiLLM's own keys, which no provider must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptiKey {
    /// `optillm_approach`: the approach, by name.
    Approach,
    /// `proxy_wrap`: the approach whose calls go through the proxy.
    ProxyWrap,
    /// `wrapped_approach`: another name for it.
    WrappedApproach,
    /// `wrap`: a third name for it.
    Wrap,
    /// An option of an approach, which OptiLLM takes out of every request.
    Option(&'static str),
}

/// The options of OptiLLM's approaches, each with its name in an `extra_body`.
const OPTIONS: [(&str, &str); 7] = [
    ("best_of_n", "extra_body.best_of_n"),
    ("mcts_simulations", "extra_body.mcts_simulations"),
    ("mcts_exploration", "extra_body.mcts_exploration"),
    ("mcts_depth", "extra_body.mcts_depth"),
    ("rstar_max_depth", "extra_body.rstar_max_depth"),
    ("rstar_num_rollouts", "extra_body.rstar_num_rollouts"),
    ("rstar_c", "extra_body.rstar_c"),
];

impl OptiKey {
    /// The key of this name.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"optillm_approach" => Some(OptiKey::Approach),
            b"proxy_wrap" => Some(OptiKey::ProxyWrap),
            b"wrapped_approach" => Some(OptiKey::WrappedApproach),
            b"wrap" => Some(OptiKey::Wrap),
            // The cheapest question that tells nearly every other key from these.
            [b'b' | b'm' | b'r', ..] => {
                OPTIONS.iter().find(|(option, _)| option.as_bytes() == name).map(|(option, _)| OptiKey::Option(option))
            }
            _ => None,
        }
    }

    /// Its name in errors.
    pub(super) fn param(self, in_extra_body: bool) -> &'static str {
        match (self, in_extra_body) {
            (OptiKey::Approach, false) => "optillm_approach",
            (OptiKey::Approach, true) => "extra_body.optillm_approach",
            (OptiKey::ProxyWrap, false) => "proxy_wrap",
            (OptiKey::ProxyWrap, true) => "extra_body.proxy_wrap",
            (OptiKey::WrappedApproach, false) => "wrapped_approach",
            (OptiKey::WrappedApproach, true) => "extra_body.wrapped_approach",
            (OptiKey::Wrap, false) => "wrap",
            (OptiKey::Wrap, true) => "extra_body.wrap",
            (OptiKey::Option(name), false) => name,
            (OptiKey::Option(name), true) => {
                OPTIONS.iter().find(|(option, _)| *option == name).map_or(name, |(_, param)| param)
            }
        }
    }
}

/// The values of OptiLLM's keys in one object.
#[derive(Default)]
pub(super) struct OptiKeys {
    /// The approach chosen, if one is.
    pub(super) approach: Option<String>,
    /// The approach that `proxy` is to wrap, and the key that names it.
    pub(super) wrap: Option<(String, &'static str)>,
    /// The options of approaches, with where their values stand.
    pub(super) options: Vec<(&'static str, Range<usize>)>,
}

impl OptiKeys {
    /// The keys in the `extra_body` whose value begins at `at`, and the edits that remove them; none if it is not an
    /// object.
    pub(super) fn in_extra_body(bytes: &[u8], at: usize) -> Result<(Self, Removed), BodyError> {
        let mut opti = OptiKeys::default();
        let mut removal = Removal::default();
        let mut seen = Vec::new();
        if let Some(mut members) = Members::at(bytes, at) {
            while let Some(member) = members.next()? {
                match OptiKey::named(&text::unescape(&bytes[member.key.clone()])) {
                    Some(key) if seen.contains(&key) => return Err(BodyError::duplicate(key.param(true).as_bytes())),
                    Some(key) => {
                        seen.push(key);
                        opti.take(key, bytes, &member.value, true)?;
                        removal.remove(&member);
                    }
                    None => removal.keep(&member),
                }
            }
        }
        Ok((opti, removal.finish()))
    }

    /// Takes note of a key's value; null is as good as no key.
    pub(super) fn take(
        &mut self,
        key: OptiKey,
        bytes: &[u8],
        value: &Range<usize>,
        in_extra_body: bool,
    ) -> Result<(), BodyError> {
        let raw = &bytes[value.clone()];
        let param = key.param(in_extra_body);
        if raw == b"null" {
            return Ok(());
        }
        match key {
            OptiKey::Approach => {
                let name = text::within(bytes, value).ok_or(BodyError::NotAString { param })?;
                self.approach = Some(text::read(&bytes[name]).into_owned());
                Ok(())
            }
            OptiKey::ProxyWrap | OptiKey::WrappedApproach | OptiKey::Wrap => {
                let name = text::within(bytes, value).ok_or(BodyError::NotAString { param })?;
                self.wrap.get_or_insert_with(|| (text::read(&bytes[name]).into_owned(), param));
                Ok(())
            }
            OptiKey::Option(name) => {
                self.options.push((name, value.clone()));
                Ok(())
            }
        }
    }
}
