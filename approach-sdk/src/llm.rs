//! The model and the client, as a run reaches them.

use crate::bindings::pointsman::approach::types as wit;
use crate::options;
use crate::{Budget, Call, Choice, ChoiceId, Choices, Failure, FailureKind};

/// Questions that are asked at once, as the contract has it.
const AT_ONCE: usize = 128;

/// Everything that a run can ask for: the host's functions, or those of the test kit.
pub(crate) trait Backend {
    fn chat(&self, call: wit::Call) -> Result<wit::Answer, Failure>;
    fn chat_many(&self, calls: Vec<wit::Call>) -> Vec<Result<wit::Answer, Failure>>;
    fn open(&self, call: wit::Call) -> Result<Box<dyn Written + '_>, Failure>;
    fn choice_json(&self, id: ChoiceId) -> String;
    fn left(&self) -> Budget;
    fn deliver(&self, call: wit::Call) -> Result<Choice, Failure>;
    fn emit(&self, text: &str);
    fn progress(&self, note: &str);
    fn parameters(&self) -> String;
    fn message_json(&self, index: u32) -> String;
}

/// An answer that is being written.
pub(crate) trait Written {
    fn next(&self) -> Result<Option<String>, Failure>;
    fn whole(&self) -> Result<wit::Answer, Failure>;
}

/// The model and the client. Every question waits for its answer, however long that takes.
#[derive(Clone, Copy)]
pub struct Llm<'h> {
    backend: &'h dyn Backend,
}

impl std::fmt::Debug for Llm<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Llm").finish_non_exhaustive()
    }
}

impl<'h> Llm<'h> {
    pub(crate) fn new(backend: &'h dyn Backend) -> Self {
        Self { backend }
    }

    /// Asks one question. There are as many choices as it wants, or fewer if some failed.
    ///
    /// # Errors
    ///
    /// The failure, if all did.
    pub fn ask(&self, call: Call) -> Result<Choices, Failure> {
        self.backend.chat(call.into_wit()).and_then(choices)
    }

    /// Asks all at once; the results are in the order of the questions, and one that fails does not stop the others.
    pub fn ask_all(&self, calls: impl IntoIterator<Item = Call>) -> Vec<Result<Choices, Failure>> {
        let mut calls: Vec<_> = calls.into_iter().map(Call::into_wit).collect();
        let mut results = Vec::with_capacity(calls.len());
        while !calls.is_empty() {
            let rest = calls.split_off(calls.len().min(AT_ONCE));
            results.extend(self.backend.chat_many(calls).into_iter().map(|result| result.and_then(choices)));
            calls = rest;
        }
        results
    }

    /// Asks all at once and joins the choices of those that did not fail, in their order.
    ///
    /// # Errors
    ///
    /// The first failure, if all failed.
    pub fn gather(&self, calls: impl IntoIterator<Item = Call>) -> Result<Choices, Failure> {
        let mut gathered: Option<Result<Choices, Failure>> = None;
        for result in self.ask_all(calls) {
            match (&mut gathered, result) {
                (Some(Ok(all)), Ok(some)) => all.join(some),
                (Some(Ok(_)), Err(_)) | (Some(Err(_)), Err(_)) => {}
                (gathered, result) => *gathered = Some(result),
            }
        }
        gathered.unwrap_or_else(|| Err(nothing("no question was asked")))
    }

    /// Asks for one choice that is read while it is written, and returns when its first piece is there.
    ///
    /// # Errors
    ///
    /// The failure, if nothing came.
    pub fn open(&self, call: Call) -> Result<Reply<'h>, Failure> {
        self.backend.open(call.into_wit()).map(|written| Reply { written })
    }

    /// Asks for one choice and gives it to the client as the answer, while it comes if the client reads a stream. The
    /// run then returns [`Answer::delivered`](crate::Answer::delivered).
    ///
    /// # Errors
    ///
    /// The failure. If a piece had gone out by then, the host lets the run fail whatever it returns, so that something
    /// else may be returned in any case.
    pub fn deliver(&self, call: Call) -> Result<Choice, Failure> {
        debug_assert_eq!(call.wanted(), 1, "one choice is delivered");
        self.backend.deliver(call.into_wit())
    }

    /// Gives the client a piece of the answer. From then on the run can only return
    /// [`Answer::delivered`](crate::Answer::delivered), or fail.
    pub fn emit(&self, text: &str) {
        if !text.is_empty() {
            self.backend.emit(text);
        }
    }

    /// Says how far the run is, for logs and for clients that want to know. Cut after 200 bytes.
    pub fn progress(&self, note: impl AsRef<str>) {
        self.backend.progress(note.as_ref());
    }

    /// The budget that is left.
    pub fn left(&self) -> Budget {
        self.backend.left()
    }

    /// A choice as the provider gave it, in JSON.
    pub fn choice_json(&self, choice: &Choice) -> String {
        self.backend.choice_json(choice.id)
    }

    /// The client's request without its messages, in JSON.
    pub fn parameters_json(&self) -> String {
        self.backend.parameters()
    }

    /// A message of the client's as it came, in JSON; empty if there is none of this index.
    pub fn message_json(&self, index: u32) -> String {
        self.backend.message_json(index)
    }

    /// The form that the client wants of its answer.
    pub fn form(&self) -> Form {
        let read: ReadForm = options::json(&self.backend.parameters()).unwrap_or_default();
        let is_json = read.response_format.and_then(|format| format.kind).is_some_and(|kind| kind != "text");
        let forbids = |choice: &Loose| matches!(choice, Loose::Text(word) if word == "none");
        let has_tools = read.tools.is_some_and(|tools| !tools.is_empty());
        Form {
            is_json,
            has_stop: !matches!(read.stop, None | Some(Loose::Nothing)),
            has_tools: has_tools && !read.tool_choice.as_ref().is_some_and(forbids),
        }
    }
}

/// The form that a client wants of its answer, as far as it forbids an approach to ask for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// `response_format` is JSON of some kind.
    pub is_json: bool,
    /// There are stop sequences.
    pub has_stop: bool,
    /// There are tools, and they may be called.
    pub has_tools: bool,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ReadForm {
    response_format: Option<ReadFormat>,
    stop: Option<Loose>,
    tools: Option<Vec<serde::de::IgnoredAny>>,
    tool_choice: Option<Loose>,
}

#[derive(serde::Deserialize)]
struct ReadFormat {
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

/// A text, or anything else of which only that it is there counts.
enum Loose {
    Nothing,
    Text(String),
    Other,
}

impl<'de> serde::Deserialize<'de> for Loose {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> serde::de::Visitor<'de> for Any {
            type Value = Loose;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("anything")
            }
            fn visit_unit<E>(self) -> Result<Loose, E> {
                Ok(Loose::Nothing)
            }
            fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose::Text(text.to_owned()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Loose, A::Error> {
                let mut found = Loose::Nothing;
                while items.next_element::<serde::de::IgnoredAny>()?.is_some() {
                    found = Loose::Other;
                }
                Ok(found)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn choices(answer: wit::Answer) -> Result<Choices, Failure> {
    Choices::new(answer).ok_or_else(|| nothing("the host gave an answer without a choice"))
}

/// The contract forbids it; as a failure it has no cause that the host would know.
fn nothing(message: &str) -> Failure {
    Failure { kind: FailureKind::Illegal, message: message.to_owned(), id: u32::MAX }
}

/// An answer that is being written. Dropping it cancels the question.
pub struct Reply<'h> {
    written: Box<dyn Written + 'h>,
}

impl std::fmt::Debug for Reply<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reply").finish_non_exhaustive()
    }
}

impl Reply<'_> {
    /// The next piece of text; none at the end.
    ///
    /// # Errors
    ///
    /// The failure with which it broke off.
    pub fn next_piece(&mut self) -> Result<Option<String>, Failure> {
        self.written.next()
    }

    /// Reads to the end; the whole choice.
    ///
    /// # Errors
    ///
    /// The failure with which it broke off.
    pub fn whole(self) -> Result<Choice, Failure> {
        let answer = self.written.whole()?;
        let choice = answer.choices.into_iter().next();
        choice.ok_or_else(|| nothing("the host gave an answer without a choice"))
    }
}
