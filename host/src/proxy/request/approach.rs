//! The approach that a request asks for.
//!
//! OptiLLM runs *approaches* such as `bon` or `moa` on top of a model. Here they are components, of which a configuration
//! may have more or fewer: the [`Menu`]. `proxy` and `none` are no approaches: they pass the request on as it is. Whoever asks
//! for one that is not there is told so, since a plain answer would be a silently worse one.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

use super::error::BodyError;

/// The most approaches in one combination.
const MAX_APPROACHES: usize = 16;

/// Approaches that answer a request together: side by side (`|`), each of them one or several one after the other (`&`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expression {
    branches: Vec<Vec<Box<str>>>,
}

impl Expression {
    /// The sequences that run side by side; at least one, of which one without a name is the plain answer of the model.
    pub fn branches(&self) -> &[Vec<Box<str>>] {
        &self.branches
    }

    /// The names of its approaches, in the order in which they stand there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.branches.iter().flatten().map(AsRef::as_ref)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, branch) in self.branches.iter().enumerate() {
            let between = if place > 0 { "|" } else { "" };
            let names = if branch.is_empty() { "proxy".to_owned() } else { branch.join("&") };
            write!(f, "{between}{names}")?;
        }
        Ok(())
    }
}

/// The way in which a request is answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Approach {
    /// As it is, by one provider: `proxy`, and `none`, which here is the same.
    Plain,
    /// By approaches.
    Run(Arc<Expression>),
}

impl fmt::Display for Approach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("proxy"),
            Self::Run(expression) => expression.fmt(f),
        }
    }
}

/// A text that is no combination of approaches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an approach: expected a name such as `bon`, or names joined by & (one after the other) or | (side by side)"
)]
pub struct Malformed(pub String);

impl FromStr for Approach {
    type Err = Malformed;

    /// Reads names joined by `&` and `|`, of which `&` binds closer. `proxy` and `none` are dropped from a sequence.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed(text.to_owned());
        let mut branches = Vec::new();
        let mut count = 0;
        for sequence in text.split('|') {
            let mut names = Vec::new();
            for name in sequence.split('&').map(str::trim) {
                count += 1;
                if !is_name(name) || count > MAX_APPROACHES {
                    return Err(malformed());
                }
                if !is_neutral(name) {
                    names.push(Box::from(name));
                }
            }
            branches.push(names);
        }
        match &branches[..] {
            [only] if only.is_empty() => Ok(Self::Plain),
            _ => Ok(Self::Run(Arc::new(Expression { branches }))),
        }
    }
}

/// True for what can name an approach.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// True for the names that add nothing.
fn is_neutral(name: &str) -> bool {
    matches!(name, "proxy" | "none")
}

/// What requests can choose from.
#[derive(Clone, Debug, Default)]
pub struct Menu {
    available: BTreeSet<String>,
    forbidden: BTreeSet<String>,
    models: HashSet<String>,
    /// Those of the first two that OptiLLM does not have.
    own: HashSet<String>,
}

impl Menu {
    /// The approaches that are there and allowed, those that are there and not allowed, and the models that the configuration
    /// lists by name, which no prefix is cut from.
    pub fn new(available: BTreeSet<String>, forbidden: BTreeSet<String>, models: HashSet<String>) -> Self {
        let own = available.iter().chain(&forbidden).filter(|name| !WORDS.contains(name.as_str())).cloned().collect();
        Self { available, forbidden, models, own }
    }

    /// The approaches that are available, sorted.
    pub fn available(&self) -> impl Iterator<Item = &str> {
        self.available.iter().map(String::as_str)
    }

    /// Checks that every approach of a combination is there.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] about the first that is not.
    pub fn check(&self, approach: &Approach) -> Result<(), Unavailable> {
        let Approach::Run(expression) = approach else { return Ok(()) };
        match expression.names().find(|name| !self.available.contains(*name)) {
            Some(missing) => Err(self.unavailable(missing)),
            None => Ok(()),
        }
    }

    fn unavailable(&self, name: &str) -> Unavailable {
        let reason = match name {
            _ if self.forbidden.contains(name) => ": `approach.allow` leaves it out",
            "z3" | "coc" | "executecode" => ": it would run code that a model has written",
            "readurls" | "web_search" | "deep_research" | "mcp" => ": an approach has no network",
            "router" | "privacy" | "cot_decoding" | "entropy_decoding" | "thinkdeeper" | "autothink" | "deepconf" => {
                ": it needs a model in the process"
            }
            _ => "",
        };
        let available: Vec<&str> = self.available().chain(["proxy", "none"]).collect();
        Unavailable { asked: shorten(name), reason, available: available.join(", ") }
    }

    /// True when the word would be an approach, here or in OptiLLM.
    fn knows(&self, word: &str) -> bool {
        WORDS.contains(word) || (!self.own.is_empty() && self.own.contains(word))
    }

    /// Reads what was chosen outright.
    fn read(&self, named: &Named<'_>) -> Result<Approach, BodyError> {
        let name = named.name.trim();
        let param = named.param;
        // One name that is none is a wrong name; a wrong combination is a wrong combination.
        if !name.contains(['&', '|']) && !is_name(name) {
            return Err(BodyError::ApproachUnavailable { why: self.unavailable(name), param });
        }
        let approach =
            name.parse().map_err(|Malformed(text)| BodyError::InvalidApproach { text: shorten(&text), param })?;
        self.check(&approach).map_err(|why| BodyError::ApproachUnavailable { why, param })?;
        Ok(approach)
    }
}

/// An approach that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The approach `{asked}` is not available here{reason}. Available approaches: {available}.")]
pub struct Unavailable {
    asked: String,
    reason: &'static str,
    available: String,
}

/// At most 64 characters, so that an error does not echo a body.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The approaches and plugins of OptiLLM 0.3.12 that a model's name may begin with. Where one is not there, the request is
/// refused. Any other first word is simply part of the name.
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

/// The same, and the names that add nothing. A set, since nearly every request asks whether its model begins with one.
static WORDS: LazyLock<HashSet<&str, RandomState>> =
    LazyLock::new(|| ELSEWHERE.into_iter().chain(["proxy", "none"]).collect());

/// The approach that a client named outright, in a tag or a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    /// The name; whitespace around it does not count.
    pub(super) name: &'a str,
    /// The field or tag that named it.
    pub(super) param: &'static str,
}

/// The approach that a request chooses, if it does, and the model without its prefix.
///
/// Of `named`, which is in order of precedence, the first that is not empty counts. `auto` leaves the choice to the
/// model's prefix, as it does in OptiLLM. `wrap` names the approach that `proxy` is to wrap, and counts beside `proxy` alone.
pub(super) fn resolve<'m>(
    named: impl IntoIterator<Item = Named<'m>>,
    wrap: Option<Named<'m>>,
    model: &'m str,
    menu: &Menu,
) -> Result<(Option<Approach>, &'m str), BodyError> {
    let outright = named.into_iter().find(|named| !named.name.trim().is_empty());
    let outright = match outright {
        Some(named) if named.name.trim() == "auto" => None,
        Some(named) => Some(menu.read(&named)?),
        None => None,
    };
    let (prefix, model) = strip(model, outright.is_some(), menu)?;
    let chosen = outright.or(prefix);
    let Some(wrap) = wrap.filter(|wrap| !wrap.name.trim().is_empty()) else { return Ok((chosen, model)) };
    match (menu.read(&wrap)?, chosen) {
        (Approach::Plain, chosen) => Ok((chosen, model)),
        (wrapped, None | Some(Approach::Plain)) => Ok((Some(wrapped), model)),
        (wrapped, Some(chosen)) => {
            let (chosen, wrapped) = (chosen.to_string(), wrapped.to_string());
            Err(BodyError::ApproachAmbiguous { first: chosen, second: wrapped, model: None, param: wrap.param })
        }
    }
}

/// The approach of the model's prefix, and the model without it.
///
/// All leading words that are approaches go. Unlike in OptiLLM something always remains (`proxy-`, like `proxy` itself, is a
/// model), and two approaches side by side are refused, where OptiLLM drops the second without a word. `chosen`: a prefix does
/// not count, and only goes.
fn strip<'m>(mut model: &'m str, chosen: bool, menu: &Menu) -> Result<(Option<Approach>, &'m str), BodyError> {
    const PARAM: &str = "model";
    let mut found = None;
    while let Some((word, rest)) = model.split_once('-')
        && !rest.is_empty()
    {
        let is_combined = word.contains(['&', '|']);
        let is_known = if is_combined { word.split(['&', '|']).any(|name| menu.knows(name)) } else { menu.knows(word) };
        if !is_known || menu.models.contains(model) {
            break;
        }
        if !chosen {
            match (menu.read(&Named { name: word, param: PARAM })?, &found) {
                (Approach::Plain, None) => found = Some(Approach::Plain),
                (Approach::Plain, Some(_)) => {}
                (approach, None | Some(Approach::Plain)) => found = Some(approach),
                (second, Some(first)) => {
                    let (first, second) = (first.to_string(), second.to_string());
                    let model = Some(shorten(rest));
                    return Err(BodyError::ApproachAmbiguous { first, second, model, param: PARAM });
                }
            }
        }
        model = rest;
    }
    Ok((found, model))
}
