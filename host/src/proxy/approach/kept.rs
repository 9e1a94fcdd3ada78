//! What a run has received so far: choices, failures, and the tokens that they took.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::completion::{self, Choice};
use crate::approach::{self, Budget, ChoiceId, Failure, FailureKind};
use crate::proxy::respond::ProxyError;

/// The answer that a call got in place of choices: what the client gets if the approach gives up because of it.
#[derive(Debug)]
pub enum Refused {
    /// The proxy's own.
    Own(Box<ProxyError>),
    /// A provider's.
    Theirs(Box<Theirs>),
    /// The budget is used up; with the sentence about it.
    Budget(String),
    /// The time is over.
    Time,
    /// The approach has broken the contract.
    Contract(String),
}

/// A provider's answer that is none of the model.
#[derive(Debug)]
pub struct Theirs {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Everything that the runs of one request have received.
#[derive(Debug, Default)]
pub struct Kept {
    /// Each with the run that it belongs to: a run knows of its own alone.
    choices: Mutex<Vec<(u32, Choice)>>,
    failures: Mutex<Vec<(u32, Option<Refused>)>>,
    usage: Mutex<Map<String, Value>>,
    /// Questions that went to the model.
    calls: AtomicU32,
    /// Choices that were asked for.
    asked: AtomicU32,
    tokens: AtomicU64,
}

impl Kept {
    /// Keeps a choice of a run; gives what the approach learns of it.
    pub fn keep(&self, run: u32, choice: Choice) -> approach::Choice {
        let (text, finish, tool_calls) = (choice.text(), choice.finish(), choice.tool_calls());
        let mut choices = self.choices.lock();
        let id = ChoiceId::try_from(choices.len()).unwrap_or(ChoiceId::MAX);
        choices.push((run, choice));
        approach::Choice { id, text, finish, tool_calls }
    }

    /// A choice of a run.
    pub fn choice(&self, run: u32, id: ChoiceId) -> Option<Choice> {
        let choices = self.choices.lock();
        let (of, choice) = choices.get(usize::try_from(id).ok()?)?;
        (*of == run).then(|| choice.clone())
    }

    /// Keeps a failure of a run; gives what the approach learns of it.
    pub fn fail(&self, run: u32, kind: FailureKind, message: String, refused: Refused) -> Failure {
        let mut failures = self.failures.lock();
        let id = u32::try_from(failures.len()).unwrap_or(u32::MAX);
        failures.push((run, Some(refused)));
        Failure { kind, message, id }
    }

    /// Takes out a failure of a run.
    pub fn take_failure(&self, run: u32, id: u32) -> Option<Refused> {
        let mut failures = self.failures.lock();
        let (of, refused) = failures.get_mut(usize::try_from(id).ok()?)?;
        if *of == run { refused.take() } else { None }
    }

    /// Counts a question that goes to the model.
    pub fn called(&self) -> u32 {
        self.calls.fetch_add(1, Relaxed) + 1
    }

    /// Adds the usage of an answer; gives its tokens of question and answer.
    pub fn used(&self, usage: Option<Map<String, Value>>) -> approach::Usage {
        let Some(usage) = usage else { return approach::Usage::default() };
        let (prompt, completion) =
            (completion::tokens(&usage, "prompt_tokens"), completion::tokens(&usage, "completion_tokens"));
        self.tokens.fetch_add(u64::from(prompt) + u64::from(completion), Relaxed);
        completion::add(&mut self.usage.lock(), &usage);
        approach::Usage { prompt, completion }
    }

    /// The sums of all usage; empty if no provider has told any.
    pub fn usage(&self) -> Map<String, Value> {
        self.usage.lock().clone()
    }

    /// Questions, and the choices that were asked for.
    pub fn counts(&self) -> (u32, u32) {
        (self.calls.load(Relaxed), self.asked.load(Relaxed))
    }
}

/// What one request may spend.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Choices.
    pub calls: u32,
    /// Tokens; `None` is without limit.
    pub tokens: Option<u32>,
    /// When the time is over.
    pub deadline: Instant,
}

impl Limits {
    /// What is left.
    pub fn left(&self, kept: &Kept) -> Budget {
        let spent = kept.tokens.load(Relaxed);
        let tokens = self
            .tokens
            .map_or(u32::MAX, |most| u32::try_from(u64::from(most).saturating_sub(spent)).unwrap_or(u32::MAX));
        let time = self.deadline.saturating_duration_since(Instant::now());
        Budget {
            calls: self.calls.saturating_sub(kept.asked.load(Relaxed)),
            tokens,
            millis: u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
        }
    }

    /// Takes `n` choices from the budget.
    ///
    /// # Errors
    ///
    /// The sentence about what is used up.
    pub fn take(&self, kept: &Kept, n: u32) -> Result<(), String> {
        if self.left(kept).tokens == 0 {
            return Err(format!("the tokens of this request are used up ({})", self.tokens.unwrap_or(u32::MAX)));
        }
        let taken = kept
            .asked
            .fetch_update(Relaxed, Relaxed, |asked| asked.checked_add(n).filter(|asked| *asked <= self.calls));
        taken.map(drop).map_err(|asked| {
            format!("the request may ask for {} answers, has asked for {asked}, and this would be {n} more", self.calls)
        })
    }
}
