//! What a run of an approach and its driver say to each other: the contract in `wit/approach`, as plain data.
//!
//! It stands apart from what runs the component, so that a driver, a test or a replay need not know WebAssembly.

use std::fmt;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// One of the model's answers in a run. The driver chooses the number and keeps the answer.
pub type ChoiceId = u32;

/// One message of the client's, as far as an approach reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool`, or any other text of the client's.
    pub role: String,
    /// `content` if that is a text, else its parts of type `text`, joined by line feeds; may be empty.
    pub text: String,
    /// True when it holds more: images, audio, files, tool calls, a name.
    pub more: bool,
}

/// The amounts that may be spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Choices that may be asked for.
    pub calls: u32,
    /// Tokens of prompts and answers together; `u32::MAX` is without limit.
    pub tokens: u32,
    /// Milliseconds.
    pub millis: u32,
}

/// The request that a run answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The conversation; never empty.
    pub messages: Vec<Message>,
    /// The place of the question in `messages`: the last message of role `user`.
    pub question: Option<u32>,
    /// The model that the client asked for, without the prefix that chose the approach.
    pub model: String,
    /// A JSON object: the operator's configuration, and over it the client's options.
    pub config: String,
    /// The number of answers wanted of this run; 1 unless the approach says that it gives several.
    pub n: u32,
    /// True when the client reads a stream.
    pub streaming: bool,
    /// Random bits; the same in tests and replays.
    pub entropy: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub now_ms: u64,
    /// The amounts that may be spent.
    pub budget: Budget,
}

/// One message to the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// One of the client's messages, by its place, byte for byte.
    Original(u32),
    /// One of the client's messages with another text instead of all its text. Images and other parts stay.
    Rewritten {
        /// The place of the message.
        index: u32,
        /// The new text.
        text: String,
    },
    /// The model's own message of an earlier choice, with its tool calls.
    Answered(ChoiceId),
    /// A new message.
    Said {
        /// Its role.
        role: String,
        /// Its text.
        text: String,
    },
    /// A new message that the others cannot express, as a JSON object. It comes unchecked from the guest.
    Json(String),
}

/// The part of the client's parameters that holds for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// All of them, as for the client's own answer.
    Answer,
    /// Those that do not belong to one answer: reasoning effort, user, service tier, and the ones that the host does not
    /// know.
    Aside,
}

/// A question to the model. All numbers and texts come from the guest; only those noted here were checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The conversation.
    pub messages: Vec<Turn>,
    /// The part of the client's parameters that holds.
    pub manner: Manner,
    /// Another model than the client's.
    pub model: Option<String>,
    /// Choices wanted. Checked: 1 to 128; 1 for [`Want::Open`] and [`Want::Deliver`].
    pub n: u32,
    /// Instead of the client's. Checked: a finite number.
    pub temperature: Option<f64>,
    /// Instead of the client's limit on the answer.
    pub max_tokens: Option<u32>,
    /// A JSON object whose members are put into the body last; `null` takes one out. Unchecked.
    pub extra: String,
    /// Its purpose in a word, for logs and reports. Checked: one line of at most 64 bytes.
    pub step: String,
}

/// The reason why the model stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub enum Finish {
    Stop,
    /// The text is cut off.
    Length,
    ToolCalls,
    ContentFilter,
    Other(String),
}

/// One answer of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Its number in this run.
    pub id: ChoiceId,
    /// Empty if it has none.
    pub text: String,
    /// The reason why it ends.
    pub finish: Finish,
    /// The number of tools that it wants to call.
    pub tool_calls: u32,
}

/// Tokens, 0 where the provider does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The tokens of the question.
    pub prompt: u32,
    /// The tokens of the answers.
    pub completion: u32,
}

/// The answer to a [`Call`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// As many as were asked for, or fewer if some failed; at least one.
    pub choices: Vec<Choice>,
    /// The tokens of all of them.
    pub usage: Usage,
}

/// The kind of a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The provider says that the request is wrong, and would say so again.
    Rejected,
    /// The same, because it is too long for the model.
    TooLong,
    /// Every provider limits the rate.
    Throttled,
    /// Every provider failed or timed out, or no slot came free.
    Unavailable,
    /// The budget does not allow it, or ran out on the way.
    Exhausted,
    /// It breaks the contract: no such index, a model that is not allowed, `extra` that is no object.
    Illegal,
}

/// The reason why a [`Call`] has no answer. The message names no key and no address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// A sentence for the author of the approach.
    pub message: String,
    /// Its number in this run, which [`Problem::Failed`] names. [`Failure::UNKNOWN`] for a call that never became a want.
    pub id: u32,
}

impl Failure {
    /// The number of failures that the driver has not seen, since they broke the contract before they reached it.
    pub const UNKNOWN: u32 = u32::MAX;

    /// A call that breaks the contract, found before the driver saw it.
    pub fn illegal(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Illegal, message: message.into(), id: Self::UNKNOWN }
    }
}

/// One answer to the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Final {
    /// An answer of the model as it is.
    Choice(ChoiceId),
    /// The same with another text, such as a part of its own.
    Excerpt(ChoiceId, String),
    /// A text of the approach's own.
    Text(String),
    /// The one that the client has already been given.
    Delivered,
}

/// The reason that an approach gives for having no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The failure of this number.
    Failed(u32),
    /// The request does not suit the approach; the sentence, on one line, is for the client.
    Unsuitable(String),
    /// Any other; the sentence, on one line, is for the log alone.
    Broken(String),
}

/// A guest's question to the driver. Each is answered through its sender; a guest whose sender is dropped gets a
/// [`Failure`] of kind [`FailureKind::Unavailable`].
///
/// A guest waits for the answer before it asks anything else, so there is at most one question at a time, apart from notes
/// of progress.
#[derive(Debug)]
pub enum Want {
    /// Asks, and waits for the answer.
    Chat(Call, oneshot::Sender<Result<Answer, Failure>>),
    /// Asks 1 to 128 at once; the results must be as many, in the order of the calls.
    Many(Vec<Call>, oneshot::Sender<Vec<Result<Answer, Failure>>>),
    /// Asks for one choice that is read while it is written. The answer is the number of the reply, chosen by the driver,
    /// and comes with its first piece.
    Open(Call, oneshot::Sender<Result<u32, Failure>>),
    /// The next piece of text of this reply; `None` at the end.
    Next(u32, oneshot::Sender<Result<Option<String>, Failure>>),
    /// Reads this reply to the end; the whole.
    Whole(u32, oneshot::Sender<Result<Answer, Failure>>),
    /// The guest has dropped this reply, finished or not: nothing is asked of it any more.
    Close(u32),
    /// Asks for one choice and gives it to the client as the answer.
    Deliver(Call, oneshot::Sender<Result<Choice, Failure>>),
    /// Gives the client a piece of the answer; answered once it has room for more.
    Emit(String, oneshot::Sender<()>),
    /// A note for logs and clients: one line of at most 200 bytes.
    Progress(String),
}

/// The questions that are answered in place, while the guest runs: they must not block.
pub trait Desk: Send + Sync {
    /// The budget that is left.
    fn left(&self) -> Budget;
    /// The client's request without its messages, in JSON.
    fn parameters(&self) -> String;
    /// A message of the client's as it came, in JSON; empty if there is none of this index.
    fn message(&self, index: u32) -> String;
    /// A choice as the provider gave it, in JSON; empty if there is none of this number.
    fn choice(&self, id: ChoiceId) -> String;
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The approach has returned answers. Not yet checked: their number, and that the choices exist.
    Finals(Vec<Final>),
    /// The approach has no answer.
    Problem(Problem),
    /// The approach broke.
    Fault(Fault),
}

/// An approach broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// In what way.
    pub kind: FaultKind,
    /// A sentence for the log, on one line; never for the client.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The kind of a [`Fault`]: a label in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It panicked, aborted, overflowed its stack, or called a function that it does not have.
    Trapped,
    /// It wanted more memory than it may have.
    OutOfMemory,
    /// It used more processor time than it may have.
    OutOfTime,
    /// Its answer breaks the contract: values that cannot be read, no answer at all, too many, a choice that does not
    /// exist. The driver finds most of these.
    Illegal,
    /// It returned nothing in the time that it has after the end of its budget. The driver finds this.
    Late,
    /// It returned [`Problem::Broken`].
    Broken,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [FaultKind; 6] = [
        FaultKind::Trapped,
        FaultKind::OutOfMemory,
        FaultKind::OutOfTime,
        FaultKind::Illegal,
        FaultKind::Late,
        FaultKind::Broken,
    ];

    /// The label in metrics, logs and headers.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Trapped => "trapped",
            FaultKind::OutOfMemory => "out_of_memory",
            FaultKind::OutOfTime => "out_of_time",
            FaultKind::Illegal => "illegal",
            FaultKind::Late => "late",
            FaultKind::Broken => "broken",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
