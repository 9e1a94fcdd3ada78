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

/// What one run has received. Its numbers do not depend on other runs.
#[derive(Debug, Default)]
pub struct Received {
    choices: Mutex<Vec<Choice>>,
    failures: Mutex<Vec<Option<Refused>>>,
}

impl Received {
    /// Keeps a choice; gives what the approach learns of it.
    pub fn keep(&self, choice: Choice) -> approach::Choice {
        let (text, finish, tool_calls) = (choice.text(), choice.finish(), choice.tool_calls());
        let mut choices = self.choices.lock();
        let id = ChoiceId::try_from(choices.len()).unwrap_or(ChoiceId::MAX);
        choices.push(choice);
        approach::Choice { id, text, finish, tool_calls }
    }

    /// A choice.
    pub fn choice(&self, id: ChoiceId) -> Option<Choice> {
        self.choices.lock().get(usize::try_from(id).ok()?).cloned()
    }

    /// Keeps a failure; gives what the approach learns of it.
    pub fn fail(&self, kind: FailureKind, message: String, refused: Refused) -> Failure {
        let mut failures = self.failures.lock();
        let id = u32::try_from(failures.len()).unwrap_or(u32::MAX);
        failures.push(Some(refused));
        Failure { kind, message, id }
    }

    /// Takes out a failure.
    pub fn take_failure(&self, id: u32) -> Option<Refused> {
        self.failures.lock().get_mut(usize::try_from(id).ok()?)?.take()
    }
}

/// Choices that may be asked for.
#[derive(Debug)]
pub struct Purse {
    most: u32,
    spent: AtomicU32,
}

impl Purse {
    /// For so many choices.
    pub fn new(most: u32) -> Self {
        Self { most, spent: AtomicU32::new(0) }
    }

    /// The number of choices that were asked for.
    pub fn spent(&self) -> u32 {
        self.spent.load(Relaxed)
    }

    /// The number of choices that may still be asked for.
    pub fn left(&self) -> u32 {
        self.most.saturating_sub(self.spent())
    }

    /// Takes `n` choices.
    ///
    /// # Errors
    ///
    /// The number of those that were taken before, if there are not as many left.
    pub fn take(&self, n: u32) -> Result<(), u32> {
        let more = |spent: u32| spent.checked_add(n).filter(|spent| *spent <= self.most);
        self.spent.fetch_update(Relaxed, Relaxed, more).map(drop)
    }

    /// Puts `n` choices back that were not asked for after all.
    pub fn put_back(&self, n: u32) {
        self.spent.fetch_sub(n, Relaxed);
    }
}

/// What all runs of one request have spent.
#[derive(Debug)]
pub struct Kept {
    usage: Mutex<Map<String, Value>>,
    /// Questions that went to the model.
    calls: AtomicU32,
    purse: Purse,
    tokens: AtomicU64,
}

impl Kept {
    /// Nothing yet, of at most so many choices.
    pub fn new(choices: u32) -> Self {
        let purse = Purse::new(choices);
        Self { usage: Mutex::default(), calls: AtomicU32::new(0), purse, tokens: AtomicU64::new(0) }
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
        (self.calls.load(Relaxed), self.purse.spent())
    }
}

/// What one request may spend, beside choices.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Tokens; `None` is without limit.
    pub tokens: Option<u32>,
    /// When the time is over.
    pub deadline: Instant,
}

impl Limits {
    /// What is left for an approach with a purse of its own.
    pub fn left(&self, kept: &Kept, own: &Purse) -> Budget {
        let spent = kept.tokens.load(Relaxed);
        let tokens = self
            .tokens
            .map_or(u32::MAX, |most| u32::try_from(u64::from(most).saturating_sub(spent)).unwrap_or(u32::MAX));
        let time = self.deadline.saturating_duration_since(Instant::now());
        Budget {
            calls: kept.purse.left().min(own.left()),
            tokens,
            millis: u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
        }
    }

    /// Takes `n` choices from the budget of the request and from that of the approach `name`.
    ///
    /// # Errors
    ///
    /// The sentence about what is used up.
    pub fn take(&self, kept: &Kept, (name, own): (&str, &Purse), n: u32) -> Result<(), String> {
        if self.left(kept, own).tokens == 0 {
            let most = self.tokens.unwrap_or(u32::MAX);
            return Err(format!("the request may take {most} tokens, and has taken them (approach.max_tokens)"));
        }
        let used_up = |who: &str, key: &str, most: u32, spent: u32| {
            format!("{who} may ask for {most} answers, has asked for {spent}, and this would be {n} more ({key})")
        };
        own.take(n).map_err(|spent| {
            used_up(&format!("the approach `{name}`"), &format!("approaches.{name}.max_calls"), own.most, spent)
        })?;
        kept.purse.take(n).map_err(|spent| {
            own.put_back(n);
            used_up("the request", "approach.max_calls", kept.purse.most, spent)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_request_cannot_pay_stays_with_the_approach() {
        let (kept, own) = (Kept::new(4), Purse::new(3));
        let limits = Limits { tokens: Some(10), deadline: Instant::now() + Duration::from_secs(1) };
        let take = |n| limits.take(&kept, ("bon", &own), n);
        assert_eq!((take(2), limits.left(&kept, &own).calls), (Ok(()), 1));
        let error = take(2).expect_err("two of three are gone");
        assert!(error.starts_with("the approach `bon` may ask for 3 answers, has asked for 2"), "{error}");
        let other = Purse::new(u32::MAX);
        let error = limits.take(&kept, ("moa", &other), 3).expect_err("two of four are gone");
        assert!(error.ends_with("(approach.max_calls)") && other.spent() == 0, "{error}");
        assert_eq!((take(1), kept.counts()), (Ok(()), (0, 3)));
        let usage: Map<String, Value> =
            serde_json::from_str(r#"{"prompt_tokens":8,"completion_tokens":2}"#).expect("a usage");
        kept.used(Some(usage));
        assert!(limits.take(&kept, ("moa", &other), 1).expect_err("no tokens").contains("max_tokens"));
    }

    #[test]
    fn numbers_count_within_a_run_and_a_failure_is_given_once() {
        let (one, other) = (Received::default(), Received::default());
        let fail = |received: &Received| received.fail(FailureKind::Rejected, String::new(), Refused::Time).id;
        assert_eq!((fail(&one), fail(&one), fail(&other)), (0, 1, 0));
        assert!(one.take_failure(1).is_some() && one.take_failure(1).is_none() && one.take_failure(7).is_none());
        assert!(one.choice(0).is_none());
    }
}
