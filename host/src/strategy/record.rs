//! A record of decisions: what a strategy was asked and what it answered, a line of JSON each, in the order in which it
//! happened.
//!
//! `monitoring.record` names the file. It holds all that a decision depends on, so that it can be replayed, and neither
//! keys nor prompts, of which strategies know nothing. `recorder` writes it, off the path of requests.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::contract::guest::Info;
use super::instance::{Answer, Setup};
use crate::routing::{Candidate, Decision, Facts, Origin, OutcomeKind, Report, TargetFacts, Tier, micros};

mod entry;
mod recorder;

pub use entry::Entry;
pub use recorder::{Recorder, Recording, Target};

/// The version of the format.
pub const FORMAT: u32 = 1;

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
        /// Provider, kind, microseconds to the first byte (0: none) and to the end.
        outcomes: Vec<(u32, String, u32, u32)>,
    },
    /// It was asked for an order.
    Decision {
        /// Which instance.
        instance: u64,
        /// What it was asked.
        #[serde(flatten)]
        question: Question,
        /// What it answered.
        answer: Recorded,
    },
    /// Lines are missing here, because they came faster than they could be written.
    Gap {
        /// How many.
        lines: u64,
    },
}

impl Line {
    /// About how many bytes of memory it takes, of what differs from line to line.
    pub(super) fn weight(&self) -> usize {
        let more = match self {
            Line::Start(start) => start.config.len() + start.providers.len() * 256,
            Line::Outcomes { outcomes, .. } => outcomes.len() * (size_of::<(u32, String, u32, u32)>() + 16),
            Line::Decision { question, answer, .. } => {
                let answer = match answer {
                    Recorded::Order(order, _) => order.len() * size_of::<u32>(),
                    Recorded::Refused(text) | Recorded::Fault(text) => text.len(),
                    Recorded::Abstained => 0,
                };
                question.model.len() + question.candidates.len() * size_of::<[u32; 4]>() + answer
            }
            Line::Gap { .. } => 0,
        };
        size_of::<Line>() + more
    }
}

/// What an instance is and was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// [`FORMAT`].
    pub format: u32,
    /// Counts the instances of a process.
    pub instance: u64,
    /// Whether it had decided before the record of it begins: what it remembers from then is not known.
    pub resumed: bool,
    /// The name in the configuration.
    pub strategy: String,
    /// What the component calls itself.
    pub component: String,
    /// And its version.
    pub version: String,
    /// The SHA-256 of the component.
    pub digest: String,
    /// The texts of its reasons.
    pub reasons: Vec<String>,
    /// The providers; all other lines name them by their position here.
    pub providers: Vec<Provider>,
    /// `strategies.NAME.config`, as the strategy was given it.
    pub config: String,
}

/// What a strategy knows of a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    pub name: String,
    pub kind: String,
    pub weight: f64,
    pub fallback_only: bool,
    pub max_concurrent: u32,
    pub models: Vec<String>,
    /// Of the request and of the answer.
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
    /// Provider, requests in flight, microseconds to the first byte, permille of failures.
    pub candidates: Vec<(u32, u32, u32, u32)>,
}

/// What an instance made of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// An order, and the number of its reason. Candidates that the strategy had left out are at its end.
    Order(Vec<u32>, u32),
    /// No opinion.
    Abstained,
    /// An error, in its words.
    Refused(String),
    /// It broke: the kind of fault.
    Fault(String),
}

impl Recorded {
    /// What the instance answered; of a fault its kind.
    pub fn of(answer: Result<&Answer, &'static str>) -> Self {
        match answer {
            Ok(Answer::Decided(Decision { origin: Origin::Strategy { reason }, order, .. })) => {
                Recorded::Order(order.clone(), *reason)
            }
            Ok(Answer::Decided(_)) => Recorded::Abstained,
            Ok(Answer::Refused(text)) => Recorded::Refused(text.clone()),
            Err(kind) => Recorded::Fault(kind.to_owned()),
        }
    }

    /// The provider that a request goes to first: of an answer without an order, the first candidate.
    pub fn first(&self, question: &Question) -> Option<u32> {
        match self {
            Recorded::Order(order, _) => order.first().copied(),
            Recorded::Abstained | Recorded::Refused(_) | Recorded::Fault(_) => {
                question.candidates.first().map(|(provider, ..)| *provider)
            }
        }
    }
}

impl Start {
    /// The beginning of an instance's record.
    pub fn new(instance: u64, resumed: bool, strategy: &str, info: &Info, digest: String, setup: &Setup) -> Self {
        Self {
            format: FORMAT,
            instance,
            resumed,
            strategy: strategy.to_owned(),
            component: info.name.clone(),
            version: info.version.clone(),
            digest,
            reasons: info.reasons.clone(),
            providers: setup.providers.iter().map(Provider::from).collect(),
            config: setup.config.clone(),
        }
    }

    /// What an instance is started with to be like this one.
    pub fn setup(&self) -> Setup {
        Setup { providers: self.providers.iter().map(TargetFacts::from).collect(), config: self.config.clone() }
    }
}

impl From<&TargetFacts> for Provider {
    fn from(facts: &TargetFacts) -> Self {
        Self {
            name: facts.name.clone(),
            kind: facts.kind.to_owned(),
            weight: facts.weight,
            fallback_only: facts.fallback_only,
            max_concurrent: facts.max_concurrent,
            models: facts.models.clone(),
            price: facts.price,
            labels: facts.labels.clone(),
        }
    }
}

impl From<&Provider> for TargetFacts {
    fn from(provider: &Provider) -> Self {
        Self {
            name: provider.name.clone(),
            provider: provider.name.clone(),
            model: String::new(),
            context: 0,
            kind: if provider.kind == "azure" { "azure" } else { "openai" },
            weight: provider.weight,
            fallback_only: provider.fallback_only,
            max_concurrent: provider.max_concurrent,
            models: provider.models.clone(),
            price: provider.price,
            labels: provider.labels.clone(),
        }
    }
}

impl Question {
    /// What is asked.
    pub fn new(facts: &Facts<'_>, candidates: &[Candidate]) -> Self {
        let candidate = |c: &Candidate| (c.target, c.in_flight, c.latency_us, c.failure_permille);
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
            candidates: candidates.iter().map(candidate).collect(),
        }
    }

    /// The same as the host asks it.
    ///
    /// # Errors
    ///
    /// What is not as [`Question::new`] writes it.
    pub fn facts(&self) -> Result<(Facts<'_>, Vec<Candidate>), String> {
        let tier = Tier::ALL.into_iter().find(|tier| tier.name() == self.tier);
        let affinity = if self.affinity.is_empty() { Some(0) } else { u64::from_str_radix(&self.affinity, 16).ok() };
        let facts = Facts {
            seq: self.seq,
            entropy: self.entropy,
            now_ms: self.now_ms,
            tier: tier.ok_or_else(|| format!("there is no tier `{}`", self.tier))?,
            attempts: self.attempts,
            model: &self.model,
            streaming: self.streaming,
            body_bytes: self.body_bytes,
            affinity: affinity.ok_or_else(|| format!("`{}` is not a hexadecimal number", self.affinity))?,
            ..Facts::NOTHING
        };
        let ascending = self.candidates.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if self.candidates.is_empty() || !ascending {
            return Err("candidates must be at least one, in the order of the configuration".to_owned());
        }
        let candidate = |&(target, in_flight, latency_us, failure_permille): &(u32, u32, u32, u32)| Candidate {
            in_flight,
            latency_us,
            failure_permille,
            ..Candidate::idle(target)
        };
        Ok((facts, self.candidates.iter().map(candidate).collect()))
    }
}

/// Reports as they are written.
pub fn outcomes(reports: &[Report]) -> Vec<(u32, String, u32, u32)> {
    let line = |report: &Report| {
        (report.target, report.kind.name().to_owned(), micros(report.first_byte), micros(report.total))
    };
    reports.iter().map(line).collect()
}

/// Reports as they were written.
///
/// # Errors
///
/// When a kind is none.
pub fn reports(outcomes: &[(u32, String, u32, u32)]) -> Result<Vec<Report>, String> {
    let report = |(target, kind, first_byte, total): &(u32, String, u32, u32)| {
        let known = OutcomeKind::ALL.into_iter().find(|known| known.name() == kind);
        let micros = |micros: &u32| Duration::from_micros((*micros).into());
        let known = known.ok_or_else(|| format!("no attempt ends `{kind}`"))?;
        Ok(Report::of(*target, known, micros(first_byte), micros(total)))
    };
    outcomes.iter().map(report).collect()
}
