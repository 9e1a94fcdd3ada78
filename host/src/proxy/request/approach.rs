//! The approach that a request asks for.
//!
//! OptiLLM runs *approaches* such as `bon` or `moa` on top of a model. This proxy has only the two that forward the
//! request as it is; a request for another one is refused, since a plain answer would be worse without saying so.

use std::fmt;
use std::str::FromStr;

use super::error::BodyError;

/// OptiLLM's name for the way in which a request is processed. Both supported ones just forward it; they exist so that
/// OptiLLM's clients keep working.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approach {
    /// Through the configured providers.
    #[default]
    Proxy,
    /// OptiLLM's approach that does nothing, which is the same here.
    None,
}

impl Approach {
    /// The name in requests and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Approach::Proxy => "proxy",
            Approach::None => "none",
        }
    }

    /// The approach of this name.
    fn named(name: &str) -> Option<Self> {
        match name {
            "proxy" => Some(Approach::Proxy),
            "none" => Some(Approach::None),
            _ => None,
        }
    }

    /// The names of all, for a message.
    pub fn available() -> &'static str {
        "proxy, none"
    }
}

impl fmt::Display for Approach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Approach {
    type Err = UnknownApproach;

    fn from_str(name: &str) -> Result<Self, UnknownApproach> {
        Approach::named(name).ok_or_else(|| UnknownApproach(name.to_owned()))
    }
}

/// A name that belongs to no approach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown approach `{0}`, available are {available}", available = Approach::available())]
pub struct UnknownApproach(String);

/// The approaches and plugins of OptiLLM 0.3.12 that a model's name may begin with, less those that are available.
/// Any other first word is simply part of the name.
const ELSEWHERE: [&str; 34] = [
    "mcts",
    "bon",
    "moa",
    "rto",
    "self_consistency",
    "pvg",
    "z3",
    "rstar",
    "cot_reflection",
    "plansearch",
    "leap",
    "re2",
    "cepo",
    "mars",
    "memory",
    "deepthink",
    "longcepo",
    "spl",
    "coc",
    "router",
    "json",
    "readurls",
    "web_search",
    "deep_research",
    "privacy",
    "executecode",
    "mcp",
    "majority_voting",
    "genselect",
    "cot_decoding",
    "entropy_decoding",
    "thinkdeeper",
    "autothink",
    "deepconf",
];

/// The approach that a client named outright, in a tag or a field.
pub(super) struct Named<'a> {
    /// The name; whitespace around it does not count.
    pub(super) name: &'a str,
    /// The field or tag that named it.
    pub(super) param: &'static str,
}

/// The approach, and the model without its prefix.
///
/// The first entry of `named` that is not empty counts; they are in order of precedence. `auto` leaves the choice to
/// the model's prefix, as it does in OptiLLM. Without any choice it is `default`.
pub(super) fn resolve<'m>(
    named: impl IntoIterator<Item = Named<'m>>,
    model: &'m str,
    default: Approach,
) -> Result<(Approach, &'m str), BodyError> {
    let outright = match named.into_iter().find(|named| !named.name.trim().is_empty()) {
        Some(Named { name, param }) => match name.trim() {
            "auto" => None,
            name => Some(Approach::named(name).ok_or_else(|| BodyError::unavailable(name, param))?),
        },
        None => None,
    };
    let (prefix, model) = strip(model, outright.is_some())?;
    Ok((outright.or(prefix).unwrap_or(default), model))
}

/// The approach of the model's prefix, and the model without it.
///
/// As in OptiLLM, all leading words that are approaches go, and the first of them counts. Unlike there, something
/// always remains: `proxy-`, like `proxy` itself, is a model. With `chosen`, a prefix is only removed and does not
/// count.
fn strip(mut model: &str, chosen: bool) -> Result<(Option<Approach>, &str), BodyError> {
    let mut first = None;
    while let Some((word, rest)) = model.split_once('-')
        && !rest.is_empty()
    {
        match Approach::named(word) {
            Some(approach) => first = first.or(Some(approach)),
            None if word.contains(['&', '|']) => {
                if !word.split(['&', '|']).any(is_known) {
                    break;
                }
                if !chosen {
                    return Err(BodyError::unavailable(word, "model"));
                }
            }
            None if !is_known(word) => break,
            None => {
                if !chosen && first.is_none() {
                    return Err(BodyError::unavailable(word, "model"));
                }
            }
        }
        model = rest;
    }
    Ok((first, model))
}

/// True when OptiLLM has an approach of this name.
fn is_known(word: &str) -> bool {
    Approach::named(word).is_some() || ELSEWHERE.contains(&word)
}

/// Refuses to wrap an approach, which is what `proxy_wrap` and its two other names ask for; wrapping nothing is fine.
pub(super) fn refuse_wrap(name: &str, param: &'static str) -> Result<(), BodyError> {
    match name.trim() {
        "" | "none" | "proxy" => Ok(()),
        name => Err(BodyError::unavailable(name, param)),
    }
}
