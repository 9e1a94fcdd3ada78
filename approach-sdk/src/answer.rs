//! The model's answers, and the one that the client gets.

use std::collections::BTreeSet;
use std::ops::Deref;

use crate::bindings::pointsman::approach::types as wit;
use crate::text::visible;
use crate::{Choice, Failure, Finish, Usage};

impl Choice {
    /// Its text without what a reasoning model thought aloud: [`visible`].
    pub fn visible(&self) -> &str {
        visible(&self.text)
    }

    /// True when it says something, and to its end.
    pub fn is_whole(&self) -> bool {
        self.says_something() && !matches!(self.finish, Finish::Length | Finish::ContentFilter)
    }

    /// True when there is something to read in it, cut off or not.
    pub fn says_something(&self) -> bool {
        !self.visible().is_empty()
    }

    /// True when it calls tools.
    pub fn calls_tools(&self) -> bool {
        self.tool_calls > 0
    }
}

/// The choices that came of a question, or of several: at least one, in order. A slice of [`Choice`].
#[derive(Clone, Debug)]
pub struct Choices {
    choices: Vec<Choice>,
    /// The tokens that they took, as far as the provider says.
    pub usage: Usage,
}

impl Choices {
    /// The choices as the host gave them; `None` if it gave none, which the contract does not allow.
    pub(crate) fn new(answer: wit::Answer) -> Option<Self> {
        let wit::Answer { choices, usage } = answer;
        (!choices.is_empty()).then_some(Self { choices, usage })
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.choices.extend(other.choices);
        self.usage.prompt = self.usage.prompt.saturating_add(other.usage.prompt);
        self.usage.completion = self.usage.completion.saturating_add(other.usage.completion);
    }

    /// The first one.
    pub fn one(&self) -> &Choice {
        &self.choices[0]
    }

    /// The choice that is the answer without another question: the first that calls tools, or the only one that is
    /// [`usable`](Self::usable) when equal ones count once.
    pub fn settled(&self) -> Option<&Choice> {
        let calls = self.iter().find(|choice| choice.calls_tools());
        calls.or_else(|| match self.distinct()[..] {
            [only] => Some(only),
            _ => None,
        })
    }

    /// Those worth a comparison: the ones that are whole. If none is, those that say something; if none does, all.
    pub fn usable(&self) -> Vec<&Choice> {
        let those = |wanted: fn(&Choice) -> bool| self.iter().filter(|choice| wanted(choice)).collect::<Vec<_>>();
        let mut usable = those(Choice::is_whole);
        if usable.is_empty() {
            usable = those(Choice::says_something);
        }
        if usable.is_empty() { self.iter().collect() } else { usable }
    }

    /// The [`usable`](Self::usable) ones, and of those that say the same only the first.
    pub fn distinct(&self) -> Vec<&Choice> {
        let mut seen = BTreeSet::new();
        let mut distinct = self.usable();
        distinct.retain(|choice| seen.insert(choice.visible()));
        distinct
    }

    /// The first of the [`usable`](Self::usable) ones.
    pub fn first_usable(&self) -> &Choice {
        self.usable().first().copied().unwrap_or_else(|| self.one())
    }
}

impl Deref for Choices {
    type Target = [Choice];

    fn deref(&self) -> &[Choice] {
        &self.choices
    }
}

/// The result of a run for the client: one answer, or several where [`MANY`](crate::Approach::MANY) says so.
///
/// From a [`Choice`] it is that, with its tool calls, log probabilities and finish reason.
#[derive(Clone, Debug)]
pub struct Answer(Vec<wit::Final>);

impl Answer {
    /// The choice with another text, such as a part of its own. Its finish reason and model stay.
    pub fn excerpt(choice: &Choice, text: impl Into<String>) -> Self {
        Self(vec![wit::Final::Excerpt((choice.id, text.into()))])
    }

    /// A text of the approach's own.
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![wit::Final::Text(text.into())])
    }

    /// The answer that the client already has, through [`deliver`](crate::Llm::deliver) or [`emit`](crate::Llm::emit).
    pub fn delivered() -> Self {
        Self(vec![wit::Final::Delivered])
    }

    /// Several answers, in order.
    pub fn several(answers: impl IntoIterator<Item = impl Into<Answer>>) -> Self {
        Self(answers.into_iter().flat_map(|answer| answer.into().0).collect())
    }

    pub(crate) fn into_finals(self) -> Vec<wit::Final> {
        self.0
    }
}

impl From<&Choice> for Answer {
    fn from(choice: &Choice) -> Self {
        Self(vec![wit::Final::Choice(choice.id)])
    }
}

impl From<Choice> for Answer {
    fn from(choice: Choice) -> Self {
        Self::from(&choice)
    }
}

impl From<Failure> for crate::Problem {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.id)
    }
}
