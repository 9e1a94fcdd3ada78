//! Asks a strategy the recorded questions again, and compares the answers of two strategies.
//!
//! A decision is a function of its inputs, so the same strategy must give the same answers; and the answers of another
//! one to the same traffic are known before it serves any.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;

use serde::Serialize;

mod answers;

use crate::strategy::blueprint::Blueprint;
use crate::strategy::instance::{Instance, Setup};
use crate::strategy::record::{FORMAT, Line, Question, Recorded, Start, reports};
use crate::wasm::engine::Engine;
use crate::wasm::load_error::LoadError;
use crate::wasm::output::Said;
use answers::{are_alike, in_words};

/// The number of examples of differences that are kept.
const EXAMPLES: usize = 5;

/// The longest line; a longer one is not of a record.
const LINE_BYTES: u64 = 16 << 20;

/// The strategy that is asked, or the record.
pub enum Respondent {
    /// The record itself, with the answers in it.
    Recorded,
    /// A strategy with this config. Without one it gets the config of the record if it is the recorded strategy, and
    /// otherwise none.
    Strategy {
        /// Its name in reports.
        name: String,
        /// Its compiled component.
        blueprint: Arc<Blueprint>,
        /// A JSON document.
        config: Option<String>,
    },
}

/// The reason why a record cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot be read")]
    Unreadable(#[from] std::io::Error),
    /// A line is not one of a record.
    #[error("line {number}: {why}")]
    Line {
        /// The number of the line, from 1.
        number: u64,
        /// The reason.
        why: String,
    },
    /// There is nothing to replay.
    #[error("holds no decision")]
    Empty,
    /// A strategy cannot be started with the setup in the record.
    #[error("line {line}: strategy `{name}` {error}")]
    Strategy {
        /// The line of the record with that setup; 0 if that does not matter.
        line: u64,
        /// The strategy.
        name: String,
        /// The reason.
        error: LoadError,
    },
}

/// The comparison of two respondents.
#[derive(Debug, Default, Serialize)]
pub struct Comparison {
    /// Their names.
    pub names: [String; 2],
    /// Decisions asked for.
    pub decisions: u64,
    /// Decisions among them with the same answer: the same order and, for the same strategy, the same reason.
    pub same: u64,
    /// Decisions among those that differ in which another provider comes first.
    pub other_first: u64,
    /// Differences after a gap in the record, or of an instance that had decided before it begins: what it remembered
    /// from then is not known, so they prove nothing. They are not among `other_first`.
    pub uncertain: u64,
    /// Lines that the record says are missing.
    pub missing: u64,
    /// Answers that are faults, of each respondent.
    pub faults: [u64; 2],
    /// Changes of the first provider, from one to the other, and how often each happens.
    pub moves: BTreeMap<String, u64>,
    /// The number of times that each provider came first, with each respondent.
    pub firsts: BTreeMap<String, [u64; 2]>,
    /// Differences from all over the record.
    pub examples: Vec<Example>,
    /// Decisions about which a strategy could not be asked, as it rejects the config that it would have had.
    pub skipped: u64,
    /// The first part that was skipped, and why.
    pub skipped_from: Option<Skipped>,
}

/// The reason why a strategy could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The line of the record.
    pub line: u64,
    /// The strategy that decided there.
    pub recorded: String,
    /// The one that could not be asked.
    pub strategy: String,
    /// The strategy's words about the config.
    pub why: String,
}

/// One difference.
#[derive(Debug, Serialize)]
pub struct Example {
    /// The line of the record.
    pub line: u64,
    /// The question.
    pub question: Question,
    /// The names of the providers that were offered.
    pub candidates: Vec<String>,
    /// The answers, in words.
    pub answers: [String; 2],
}

impl Comparison {
    /// Differences that count.
    pub fn differences(&self) -> u64 {
        self.decisions - self.same - self.uncertain
    }
}

impl Respondent {
    /// A strategy as a configuration would choose it.
    ///
    /// # Errors
    ///
    /// When it does not load.
    pub fn strategy(name: &str, component: &[u8], config: Option<String>) -> Result<Self, LoadError> {
        let blueprint = Arc::new(Blueprint::new(&*Engine::shared()?, component)?);
        Ok(Respondent::Strategy { name: name.to_owned(), blueprint, config })
    }
}

/// Asks both about everything in `log`.
///
/// # Errors
///
/// [`ReplayError`]
pub fn compare(log: impl BufRead, respondents: [Respondent; 2]) -> Result<Comparison, ReplayError> {
    let engine = Engine::shared().map_err(|error| ReplayError::Strategy { line: 0, name: "any".to_owned(), error })?;
    let names = [0, 1].map(|side: usize| match &respondents[side] {
        Respondent::Recorded => "recorded".to_owned(),
        Respondent::Strategy { name, .. } => name.clone(),
    });
    let mut replay = Replay {
        engine,
        respondents,
        instances: BTreeMap::new(),
        known: [None, None],
        examples: Sampled::default(),
        comparison: Comparison { names, ..Comparison::default() },
    };
    let mut log = log;
    let (mut number, mut text) = (0, Vec::new());
    loop {
        text.clear();
        number += 1;
        if std::io::Read::take(&mut log, LINE_BYTES).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        let wrong = |why: String| ReplayError::Line { number, why };
        match serde_json::from_slice(&text) {
            Ok(line) => replay.line(number, line)?,
            // A process that is killed leaves its last line unfinished.
            Err(_) if number > 1 => replay.gap(1),
            Err(error) => return Err(wrong(format!("is not one of a record of decisions: {error}"))),
        }
    }
    let Replay { comparison, examples, .. } = replay;
    match comparison {
        Comparison { decisions: 0, skipped_from: Some(Skipped { line, strategy: name, why, .. }), .. } => {
            Err(ReplayError::Strategy { line, name, error: LoadError::Rejected(why) })
        }
        Comparison { decisions: 0, .. } => Err(ReplayError::Empty),
        comparison => Ok(Comparison { examples: examples.some(), ..comparison }),
    }
}

/// A few examples of many, from all over: one in a certain number. When there are too many, every other one is dropped
/// and the number doubles.
#[derive(Default)]
struct Sampled {
    seen: usize,
    stride: usize,
    kept: Vec<Example>,
}

impl Sampled {
    fn offer(&mut self, make: impl FnOnce() -> Example) {
        let stride = self.stride.max(1);
        if self.seen.is_multiple_of(stride) {
            self.kept.push(make());
        }
        self.seen += 1;
        if self.kept.len() >= 4 * EXAMPLES {
            let mut place = 0;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.stride = stride * 2;
        }
    }

    fn some(self) -> Vec<Example> {
        let (all, most) = (self.kept.len(), EXAMPLES.min(self.kept.len()));
        let wanted: Vec<usize> = (0..most).map(|number| (2 * number + 1) * all / (2 * most)).collect();
        let kept = self.kept.into_iter().enumerate();
        kept.filter(|(place, _)| wanted.contains(place)).map(|(_, example)| example).collect()
    }
}

struct Replay {
    engine: Arc<Engine>,
    respondents: [Respondent; 2],
    instances: BTreeMap<u64, Replayed>,
    /// The config with which the record has started each strategy, as far as it is among those that are asked.
    known: [Option<String>; 2],
    examples: Sampled,
    comparison: Comparison,
}

/// The instance that stands for one instance of the record.
struct Replayed {
    start: Start,
    /// `None` if the recorded answers are used.
    sides: [Option<Living>; 2],
    uncertain: bool,
    /// The reason why one of them cannot be asked.
    skipped: Option<Skipped>,
}

/// An instance, and how to make it anew when it breaks, as the host does.
struct Living {
    instance: Option<Instance>,
    setup: Setup,
}

impl Replay {
    fn line(&mut self, number: u64, line: Line) -> Result<(), ReplayError> {
        let wrong = |why: String| ReplayError::Line { number, why };
        match line {
            Line::Start(start) if !(1..=FORMAT).contains(&start.format) => {
                Err(wrong(format!("is of format {}, this program reads 1 to {FORMAT}", start.format)))
            }
            Line::Start(start) => self.start(number, start),
            Line::Gap { lines } => {
                self.gap(lines);
                Ok(())
            }
            Line::Outcomes { instance, outcomes } => {
                let reports = reports(&outcomes).map_err(wrong)?;
                let Some(replayed) = self.instances.get_mut(&instance) else { return Ok(()) };
                for (side, living) in replayed.sides.iter_mut().enumerate() {
                    let Some(living) = living else { continue };
                    if let Some(instance) = &mut living.instance
                        && instance.observes()
                        && instance.observe(&self.engine, &reports, &mut Said::default()).is_err()
                    {
                        living.instance = None;
                        self.comparison.faults[side] += 1;
                    }
                }
                Ok(())
            }
            Line::Decision { instance, question, answer } => {
                // Before its start, at the head of a file that was cut by hand.
                if !self.instances.contains_key(&instance) {
                    self.comparison.missing += 1;
                    return Ok(());
                }
                self.decision(number, instance, question, &answer).map_err(wrong)
            }
        }
    }

    fn start(&mut self, line: u64, start: Start) -> Result<(), ReplayError> {
        // A file that was put aside and its successor may be read as one: the instance lives on.
        if start.resumed && self.instances.contains_key(&start.instance) {
            return Ok(());
        }
        let (mut sides, mut skipped) = ([None, None], None);
        for (side, respondent) in self.respondents.iter().enumerate() {
            let Respondent::Strategy { name, blueprint, config } = respondent else { continue };
            let recorded = start.setup();
            // A config is meant for the strategy that it was recorded with.
            if *name == start.strategy || blueprint.digest.to_string() == start.digest {
                self.known[side] = Some(recorded.config.clone());
            }
            let config = config.clone().or_else(|| self.known[side].clone()).unwrap_or_else(|| "{}".to_owned());
            let setup = Setup { config, ..recorded };
            match Instance::start(&self.engine, blueprint, &setup, &mut Said::default()) {
                Ok(instance) => sides[side] = Some(Living { instance: Some(instance), setup }),
                // As in a record over a change of the strategy: its questions can be put to another one.
                Err(LoadError::Rejected(why)) => {
                    let recorded = start.strategy.clone();
                    skipped = Some(Skipped { line, recorded, strategy: name.clone(), why });
                }
                Err(error) => return Err(ReplayError::Strategy { line, name: name.clone(), error }),
            }
        }
        let uncertain = start.resumed;
        self.instances.insert(start.instance, Replayed { start, sides, uncertain, skipped });
        Ok(())
    }

    fn gap(&mut self, lines: u64) {
        self.comparison.missing += lines;
        self.instances.values_mut().for_each(|replayed| replayed.uncertain = true);
    }

    fn decision(&mut self, number: u64, of: u64, question: Question, recorded: &Recorded) -> Result<(), String> {
        let Some(replayed) = self.instances.get_mut(&of) else { return Ok(()) };
        let (kept, candidates) = question.facts(&replayed.start.route)?;
        let attributes = kept.attributes();
        let facts = kept.lend(&attributes);
        let known = replayed.start.providers.len();
        if let Some(target) = question.targets().find(|target| *target as usize >= known) {
            return Err(format!("there is no target {target} among {known}"));
        }
        if let Some(skipped) = &replayed.skipped {
            self.comparison.skipped += 1;
            self.comparison.skipped_from.get_or_insert_with(|| skipped.clone());
            return Ok(());
        }
        let mut answers = [recorded.clone(), recorded.clone()];
        let sides = replayed.sides.iter_mut().zip(&self.respondents).zip(&mut answers);
        for ((living, respondent), answer) in sides {
            let (Some(living), Respondent::Strategy { blueprint, .. }) = (living, respondent) else { continue };
            if living.instance.is_none() {
                let begun = Instance::start(&self.engine, blueprint, &living.setup, &mut Said::default());
                living.instance = begun.ok();
            }
            *answer = match &mut living.instance {
                None => Recorded::Fault("does not start".to_owned()),
                Some(instance) => match instance.route(&self.engine, &facts, &candidates, &mut Said::default()) {
                    Ok(answer) => Recorded::of(Ok(&answer)),
                    Err(broken) => {
                        if !broken.usable {
                            living.instance = None;
                        }
                        Recorded::Fault(broken.fault.kind().name().to_owned())
                    }
                },
            };
        }
        let comparison = &mut self.comparison;
        comparison.decisions += 1;
        let name =
            |index: u32| replayed.start.providers.get(index as usize).map_or("?", |known| &known.name).to_owned();
        let firsts = [0, 1].map(|side: usize| answers[side].first(&question).map(name).unwrap_or_default());
        for (side, first) in firsts.iter().enumerate() {
            comparison.firsts.entry(first.clone()).or_default()[side] += 1;
            comparison.faults[side] += u64::from(matches!(answers[side], Recorded::Fault(_)));
        }
        let [left, right] = &answers;
        if are_alike(left, right, comparison.names[0] == comparison.names[1] || comparison.names[0] == "recorded") {
            comparison.same += 1;
            return Ok(());
        }
        if replayed.uncertain {
            comparison.uncertain += 1;
            return Ok(());
        }
        if firsts[0] != firsts[1] {
            comparison.other_first += 1;
            *comparison.moves.entry(format!("{} -> {}", firsts[0], firsts[1])).or_default() += 1;
        }
        self.examples.offer(|| {
            let offered = question.targets().map(name).collect();
            let answers = [0, 1].map(|side: usize| in_words(&answers[side], &replayed.start, side, comparison, name));
            Example { line: number, question, candidates: offered, answers }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
