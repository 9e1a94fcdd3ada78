//! A record of decisions: what a strategy was asked and what it answered, a line of JSON each, in the order in which it
//! happened.
//!
//! `monitoring.record` names the file. It holds all that a decision depends on, so that it can be replayed: no keys, of which
//! strategies know nothing, and prompts only of a strategy that was granted them. `recorder` writes it, off the path of requests.

use serde::{Deserialize, Serialize};

use super::contract::guest::Info;
use super::instance::{Answer, Setup};
use crate::routing::{Candidate, Decision, Facts, KeptFacts, Origin, Route, TargetFacts, Tier};

mod entry;
mod facts;
mod recorder;

pub use entry::Entry;
pub use facts::{outcomes, reports};
pub use recorder::{Recorder, Recording, Target};

/// The version of the format. Version 1 can be read as well: it has fewer fields.
pub const FORMAT: u32 = 2;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Line {
    /// An instance was started, or, at the beginning of a file, had been started before.
    Start(Start),
    /// It was told how attempts had ended.
    Outcomes {
        /// Which instance.
        instance: u64,
        /// Their outcomes.
        outcomes: Vec<Ended>,
    },
    /// It was asked for an order.
    Decision {
        /// Which instance.
        instance: u64,
        /// The question.
        #[serde(flatten)]
        question: Question,
        /// The answer.
        answer: Recorded,
    },
    /// Lines are missing here, because they came faster than they could be written.
    Gap {
        /// Their number.
        lines: u64,
    },
}

impl Line {
    /// The approximate bytes of memory that it takes, as far as these differ from line to line.
    pub(super) fn weight(&self) -> usize {
        let more = match self {
            Line::Start(start) => start.config.len() + start.providers.len() * 256,
            Line::Outcomes { outcomes, .. } => outcomes.len() * (size_of::<Ended>() + 16),
            Line::Decision { question, answer, .. } => {
                let answer = match answer {
                    Recorded::Order(order, _) => order.len() * size_of::<u32>(),
                    Recorded::Decided { order, reasons, excluded, .. } => {
                        (order.len() + reasons.len() + excluded.len()) * size_of::<u32>()
                    }
                    Recorded::Refused(text) | Recorded::Fault(text) => text.len(),
                    Recorded::Abstained => 0,
                };
                question.texts() + question.candidates.len() * size_of::<Measured>() + answer
            }
            Line::Gap { .. } => 0,
        };
        size_of::<Line>() + more
    }
}

/// The identity of an instance, and the setup that it was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// [`FORMAT`].
    pub format: u32,
    /// Counts the instances of a process.
    pub instance: u64,
    /// Its place among those of its strategy that are used at the same time. Not in the record.
    #[serde(skip)]
    pub place: usize,
    /// True when it had decided before its record begins: its memory of that time is not known.
    pub resumed: bool,
    /// The name in the configuration.
    pub strategy: String,
    /// The name that the component gives itself.
    pub component: String,
    /// The version that the component gives itself.
    pub version: String,
    /// The SHA-256 of the component.
    pub digest: String,
    /// The texts of its reasons.
    pub reasons: Vec<String>,
    /// The name of the route.
    #[serde(default = "everything")]
    pub route: String,
    /// The targets; all other lines name them by their position here.
    pub providers: Vec<Provider>,
    /// The names of the attributes that requests may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    /// True when the strategy was shown prompts, which are then in the record.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prompt: bool,
    /// `strategies.NAME.config`, as the strategy was given it.
    pub config: String,
}

fn everything() -> String {
    Route::EVERYTHING.to_owned()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The facts that a strategy knows of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    pub name: String,
    /// The provider, if its name is not that of the target.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    pub kind: String,
    pub weight: f64,
    pub fallback_only: bool,
    pub max_concurrent: u32,
    pub models: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub context: u32,
    /// The prices of a million tokens, of the request and of the answer.
    pub price: Option<(f64, f64)>,
    pub labels: Vec<(String, String)>,
}

/// A request and its candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub seq: u32,
    pub entropy: u32,
    pub now_ms: u64,
    pub tier: String,
    pub attempts: u32,
    pub model: String,
    pub streaming: bool,
    pub body_bytes: u32,
    /// Hexadecimal, since not every reader of JSON has 64 bits; 0 is left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub affinity: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub prompt_tokens: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_tokens: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// Present only if the strategy was granted it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// The candidates.
    pub candidates: Vec<Measured>,
}

/// A candidate: the target, requests in flight, microseconds to the first byte, permille of failures; and, where anything is
/// known of it, permille of requests and of tokens that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Measured {
    /// With the shares that are left.
    Full(u32, u32, u32, u32, u32, u32),
    /// Without these, where they are not known.
    Short(u32, u32, u32, u32),
}

/// An attempt: the target, its kind of end, microseconds to the first byte (0: none) and to the end; and, where they are
/// known, tokens of the request and of the answer, and their cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ended {
    /// With tokens and cost.
    Full(u32, String, u32, u32, u32, u32, f64),
    /// Without.
    Short(u32, String, u32, u32),
}

/// The answer of an instance to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// An order, and the number of its reason. Candidates that the strategy had left out are at its end.
    Order(Vec<u32>, u32),
    /// The same with a reason for each entry of the order, or with exclusions.
    Decided {
        /// The order.
        order: Vec<u32>,
        /// The number of its reason.
        reason: u32,
        /// The numbers of the reasons of its entries.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<u32>,
        /// Those that must not be tried.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        excluded: Vec<u32>,
    },
    /// No opinion.
    Abstained,
    /// An error, in its words.
    Refused(String),
    /// It broke: the kind of fault.
    Fault(String),
}

/// A decision, in whichever form it stands in the record.
pub struct Decided<'a> {
    /// The order.
    pub order: &'a [u32],
    /// The number of its reason.
    pub reason: u32,
    /// The numbers of the reasons of its entries.
    pub reasons: &'a [u32],
    /// Those that must not be tried.
    pub excluded: &'a [u32],
}

impl Recorded {
    /// The instance's answer; of a fault its kind.
    pub fn of(answer: Result<&Answer, &'static str>) -> Self {
        match answer {
            Ok(Answer::Decided(Decision { origin: Origin::Strategy { reason }, order, reasons, excluded })) => {
                let (order, reason) = (order.clone(), *reason);
                if reasons.is_empty() && excluded.is_empty() {
                    Recorded::Order(order, reason)
                } else {
                    let (reasons, excluded) = (reasons.clone(), excluded.clone());
                    Recorded::Decided { order, reason, reasons, excluded }
                }
            }
            Ok(Answer::Decided(_)) => Recorded::Abstained,
            Ok(Answer::Refused(text)) => Recorded::Refused(text.clone()),
            Err(kind) => Recorded::Fault(kind.to_owned()),
        }
    }

    /// The decision; `None` for what has no order.
    pub fn decision(&self) -> Option<Decided<'_>> {
        match self {
            Recorded::Order(order, reason) => Some(Decided { order, reason: *reason, reasons: &[], excluded: &[] }),
            Recorded::Decided { order, reason, reasons, excluded } => {
                Some(Decided { order, reason: *reason, reasons, excluded })
            }
            Recorded::Abstained | Recorded::Refused(_) | Recorded::Fault(_) => None,
        }
    }

    /// The target that a request goes to first: of an answer without an order, the first candidate.
    pub fn first(&self, question: &Question) -> Option<u32> {
        match self {
            Recorded::Order(order, _) | Recorded::Decided { order, .. } => order.first().copied(),
            Recorded::Abstained | Recorded::Refused(_) | Recorded::Fault(_) => question.targets().next(),
        }
    }
}

impl Start {
    /// The beginning of the record of an instance, whose number and place among those of its strategy come first.
    pub fn new(
        (instance, place): (u64, usize),
        resumed: bool,
        strategy: &str,
        info: &Info,
        digest: String,
        setup: &Setup,
    ) -> Self {
        Self {
            format: FORMAT,
            instance,
            place,
            resumed,
            strategy: strategy.to_owned(),
            component: info.name.clone(),
            version: info.version.clone(),
            digest,
            reasons: info.reasons.clone(),
            route: setup.route.clone(),
            providers: setup.targets.iter().map(Provider::from).collect(),
            attributes: setup.attributes.clone(),
            prompt: setup.prompt,
            config: setup.config.clone(),
        }
    }

    /// The setup that starts an instance like this one.
    pub fn setup(&self) -> Setup {
        Setup {
            route: self.route.clone(),
            targets: self.providers.iter().map(TargetFacts::from).collect(),
            attributes: self.attributes.clone(),
            prompt: self.prompt,
            config: self.config.clone(),
        }
    }
}

impl Question {
    /// The question about a request and its candidates.
    pub fn new(facts: &Facts<'_>, candidates: &[Candidate]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            seq: facts.seq,
            entropy: facts.entropy,
            now_ms: facts.now_ms,
            tier: facts.tier.name().to_owned(),
            attempts: facts.attempts,
            model: facts.model.to_owned(),
            streaming: facts.streaming,
            body_bytes: facts.body_bytes,
            affinity: if facts.affinity == 0 { String::new() } else { format!("{:x}", facts.affinity) },
            client: facts.client.to_owned(),
            prompt_tokens: facts.prompt_tokens,
            max_tokens: facts.max_tokens,
            attributes: facts.attributes.iter().map(owned).collect(),
            prompt: facts.prompt.to_owned(),
            candidates: candidates.iter().map(Measured::from).collect(),
        }
    }

    /// The positions of the targets that could be chosen.
    pub fn targets(&self) -> impl Iterator<Item = u32> {
        self.candidates.iter().map(|measured| Candidate::from(*measured).target)
    }

    /// The bytes of its texts.
    fn texts(&self) -> usize {
        let pair = |(name, value): &(String, String)| size_of::<(String, String)>() + name.len() + value.len();
        let attributes: usize = self.attributes.iter().map(pair).sum();
        self.model.len() + self.client.len() + self.prompt.len() + attributes
    }

    /// The question as the host asks it, on this route.
    ///
    /// # Errors
    ///
    /// A sentence about the first part that [`Question::new`] would not write so.
    pub fn facts(&self, route: &str) -> Result<(KeptFacts, Vec<Candidate>), String> {
        let tier = Tier::ALL.into_iter().find(|tier| tier.name() == self.tier);
        let affinity = if self.affinity.is_empty() { Some(0) } else { u64::from_str_radix(&self.affinity, 16).ok() };
        let attributes: Vec<(&str, &str)> =
            self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let facts = Facts {
            seq: self.seq,
            entropy: self.entropy,
            now_ms: self.now_ms,
            tier: tier.ok_or_else(|| format!("there is no tier `{}`", self.tier))?,
            attempts: self.attempts,
            route,
            client: &self.client,
            model: &self.model,
            streaming: self.streaming,
            body_bytes: self.body_bytes,
            prompt_tokens: self.prompt_tokens,
            max_tokens: self.max_tokens,
            affinity: affinity.ok_or_else(|| format!("`{}` is not a hexadecimal number", self.affinity))?,
            attributes: &attributes,
            prompt: &self.prompt,
        };
        let candidates: Vec<Candidate> = self.candidates.iter().copied().map(Candidate::from).collect();
        if candidates.is_empty() || !candidates.is_sorted_by(|one, next| one.target < next.target) {
            return Err("candidates must be at least one, in the order of the configuration".to_owned());
        }
        Ok((KeptFacts::of(&facts), candidates))
    }
}
