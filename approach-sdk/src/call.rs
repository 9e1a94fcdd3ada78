//! A question to the model, put together step by step.

use crate::bindings::pointsman::approach::types as wit;
use crate::{Choice, Manner, Request};

/// A question to the model. [`Request::ask`] begins with the client's conversation, [`Call::new`] with none.
///
/// ```
/// # use pointsman_approach::{Answer, Approach, Llm, NoOptions, Problem, Request};
/// # struct Twice;
/// # impl Approach for Twice {
/// #     type Options = NoOptions;
/// #     fn run(request: &Request, _: NoOptions, llm: &Llm<'_>) -> Result<Answer, Problem> {
/// let drafts = llm.ask(request.ask().n(3).temperature(1.0).step("drafts"))?;
/// let better = request.ask().after(drafts.one()).user("Now say it in half as many words.").step("shorter");
/// # llm.deliver(better)?; Ok(Answer::delivered())
/// #     }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Call {
    messages: Vec<wit::Turn>,
    /// The text of the message that comes last, if it is one of the user's in which more can be written.
    open: Option<Open>,
    /// The number of the client's system messages at the beginning.
    preamble: usize,
    system: Option<(u32, String)>,
    question: Option<u32>,
    manner: Manner,
    model: Option<String>,
    n: u32,
    temperature: Option<f64>,
    max_tokens: Option<u32>,
    extra: String,
    step: String,
}

/// The most bytes of a question into which more is written. A longer one is not copied into each of many calls: a
/// guest's memory is small, and so is what it may hand over at once.
const MERGED: usize = 128 << 10;

/// The most choices of one question, as the contract has it.
const MOST_CHOICES: u32 = 128;

/// A text of the user's at the end of a conversation.
#[derive(Clone, Debug)]
struct Open {
    /// The client's message that it belongs to; if none, it is new.
    index: Option<u32>,
    text: String,
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}

impl Call {
    /// An empty conversation, in the manner [`aside`](Self::aside).
    pub fn new() -> Self {
        Self {
            messages: Vec::new(),
            open: None,
            preamble: 0,
            system: None,
            question: None,
            manner: Manner::Aside,
            model: None,
            n: 1,
            temperature: None,
            max_tokens: None,
            extra: "{}".to_owned(),
            step: "answer".to_owned(),
        }
    }

    pub(crate) fn of(request: &Request) -> Self {
        let messages = (0..).take(request.messages.len()).map(wit::Turn::Original).collect::<Vec<_>>();
        let is_system = |message: &&wit::Message| matches!(message.role.as_str(), "system" | "developer");
        let preamble = request.messages.iter().take_while(is_system).count();
        let system = request.messages.first().filter(is_system).map(|message| (0, message.text.clone()));
        let last = request.question.filter(|index| *index as usize + 1 == messages.len());
        let open = last.map(|index| Open { index: Some(index), text: request.text().to_owned() });
        Self { messages, open, preamble, system, question: request.question, manner: Manner::Answer, ..Self::new() }
    }

    /// Asks `text` in place of the question's text; what else the question holds, such as images, stays. Without a
    /// question in the conversation it is a new one at its end.
    #[must_use]
    pub fn question(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        let turn = self.question.and_then(|index| Some((index, self.place_of(index)?)));
        let Some((index, place)) = turn else { return self.said("user", text) };
        if let Some(open) = self.open.as_mut().filter(|open| open.index == Some(index)) {
            open.text.clone_from(&text);
        }
        self.messages[place] = wit::Turn::Rewritten(wit::Rewritten { index, text });
        self
    }

    /// Adds instructions to the first system message; without one they are the first message.
    #[must_use]
    pub fn instruct(mut self, text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        match &mut self.system {
            Some((index, system)) => {
                *system = joined(system, text);
                let rewritten = wit::Rewritten { index: *index, text: system.clone() };
                self.messages[*index as usize] = wit::Turn::Rewritten(rewritten);
            }
            None => {
                let said = wit::Said { role: "system".to_owned(), text: text.to_owned() };
                self.messages.insert(self.preamble, wit::Turn::Said(said));
                self.preamble += 1;
            }
        }
        self
    }

    /// The model's own message of an earlier choice comes next, with its tool calls and with what it thought aloud.
    #[must_use]
    pub fn after(mut self, choice: &Choice) -> Self {
        self.messages.push(wit::Turn::Answered(choice.id));
        self.open = None;
        self
    }

    /// The user says this next. Where the user spoke last it is put into the same message, since the templates of many
    /// models refuse two in a row; unless that message is very long (128 KiB).
    #[must_use]
    pub fn user(mut self, text: impl AsRef<str>) -> Self {
        let Some(open) = self.open.as_mut().filter(|open| open.text.len() <= MERGED) else {
            return self.said("user", text.as_ref().to_owned());
        };
        open.text = joined(&open.text, text.as_ref());
        let (index, text) = (open.index, open.text.clone());
        let turn = match index {
            Some(index) => wit::Turn::Rewritten(wit::Rewritten { index, text }),
            None => wit::Turn::Said(wit::Said { role: "user".to_owned(), text }),
        };
        // An open text is always that of the last message.
        self.messages.pop();
        self.messages.push(turn);
        self
    }

    /// The model is made to have said this.
    #[must_use]
    pub fn assistant(self, text: impl Into<String>) -> Self {
        self.said("assistant", text.into())
    }

    /// A message that the others cannot say comes next, as a JSON object.
    #[must_use]
    pub fn json(mut self, message: impl Into<String>) -> Self {
        self.messages.push(wit::Turn::Json(message.into()));
        self.open = None;
        self
    }

    fn said(mut self, role: &str, text: String) -> Self {
        self.open = (role == "user").then(|| Open { index: None, text: text.clone() });
        self.messages.push(wit::Turn::Said(wit::Said { role: role.to_owned(), text }));
        self
    }

    fn place_of(&self, message: u32) -> Option<usize> {
        self.messages.iter().position(|turn| match turn {
            wit::Turn::Original(index) => *index == message,
            wit::Turn::Rewritten(rewritten) => rewritten.index == message,
            wit::Turn::Answered(_) | wit::Turn::Said(_) | wit::Turn::Json(_) => false,
        })
    }

    /// For a question of the approach's own, such as a rating: the client's tools, response format, limits and sampling
    /// do not hold.
    #[must_use]
    pub fn aside(mut self) -> Self {
        self.manner = Manner::Aside;
        self
    }

    /// Asks another model than the client's, if there is one here. The operator has to allow it:
    /// `approaches.NAME.models`.
    #[must_use]
    pub fn model(mut self, model: Option<impl Into<String>>) -> Self {
        self.model = model.map(Into::into);
        self
    }

    /// Wants so many choices. At first 1, and never fewer; of more than 128, which the contract does not allow, 128.
    #[must_use]
    pub fn n(mut self, n: u32) -> Self {
        self.n = n.clamp(1, MOST_CHOICES);
        self
    }

    /// Samples at this temperature in place of the client's.
    #[must_use]
    pub fn temperature(mut self, temperature: impl Into<f64>) -> Self {
        self.temperature = Some(temperature.into());
        self
    }

    /// Allows the answer so many tokens in place of the client's limit, if there is a number here. A reasoning model
    /// spends them on its thoughts first, and a small limit leaves it no answer.
    #[must_use]
    pub fn max_tokens(mut self, tokens: Option<u32>) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// A JSON object whose members are put into the body last; `null` takes one out.
    #[must_use]
    pub fn extra(mut self, json: impl Into<String>) -> Self {
        self.extra = json.into();
        self
    }

    /// Says what it is for, in a word, for logs, reports and tests. At first `answer`.
    #[must_use]
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.step = step.into();
        self
    }

    pub(crate) fn wanted(&self) -> u32 {
        self.n
    }

    pub(crate) fn into_wit(self) -> wit::Call {
        let Self { messages, manner, model, n, temperature, max_tokens, extra, step, .. } = self;
        wit::Call { messages, manner, model, n, temperature, max_tokens, extra, step }
    }
}

/// Two paragraphs, or the one of the two that says something.
fn joined(before: &str, after: &str) -> String {
    match (before.trim().is_empty(), after.trim().is_empty()) {
        (true, _) => after.to_owned(),
        (_, true) => before.to_owned(),
        (false, false) => format!("{before}\n\n{after}"),
    }
}

#[cfg(test)]
mod tests;
