//! The reply of a mock to one request, as a list of steps that may go wrong anywhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::Seen;

/// The longest a gate can be: every wait in a mock ends with the connection or with the test.
const FOR_GOOD: usize = Semaphore::MAX_PERMITS / 2;

/// Holds replies until the test lets them go.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets the next reply pass, the one that has waited longest first.
    pub fn let_one_pass(&self) {
        self.0.add_permits(1);
    }

    /// Lets all pass from now on.
    pub fn open(&self) {
        self.0.add_permits(FOR_GOOD);
    }

    /// Waits until it lets one pass.
    ///
    /// # Panics
    ///
    /// Never: the gate is not closed for good.
    pub async fn pass(&self) {
        self.0.acquire().await.expect("a gate is never closed for good").forget();
    }
}

/// One step of a reply.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(Bytes),
    Delay(Duration),
    Wait(Gate),
}

/// The framing of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(Option<usize>),
    Chunked,
    UntilClose,
    /// The steps are the bytes on the wire.
    Raw,
}

/// The end of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Complete,
    /// The connection closes without the body's end.
    Cut,
    Reset,
    /// Nothing more comes, and the connection stays.
    Hang,
    /// The connection becomes a WebSocket, which the test has.
    Switched,
}

/// The reply of a mock to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) framing: Framing,
    /// Before the status line.
    pub(super) lead: Vec<Step>,
    pub(super) steps: Vec<Step>,
    pub(super) ending: Ending,
}

/// Constructors.
impl Reply {
    /// An answer with this status and an empty body.
    pub fn status(status: u16) -> Self {
        let (lead, steps, headers) = (vec![], vec![], vec![]);
        Self { status, headers, framing: Framing::Length(None), lead, steps, ending: Ending::Complete }
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::status(status).header("content-type", "application/json").body(body.to_string())
    }

    /// A whole chat completion.
    pub fn chat(content: &str) -> Self {
        let message = json!({"role": "assistant", "content": content});
        Self::json(
            200,
            &json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "mock",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }),
        )
    }

    /// An error in OpenAI's shape.
    pub fn error(status: u16, message: &str) -> Self {
        let error = json!({"message": message, "type": "mock_error", "param": null, "code": "mock_code"});
        Self::json(status, &json!({ "error": error }))
    }

    /// A list of models.
    pub fn models(ids: &[&str]) -> Self {
        let model = |id: &&str| json!({"id": id, "object": "model", "created": 1, "owned_by": "mock"});
        let data: Vec<Value> = ids.iter().map(model).collect();
        Self::json(200, &json!({"object": "list", "data": data}))
    }

    /// The head of a stream of events; events are to follow.
    pub fn sse() -> Self {
        Self::status(200).header("content-type", "text/event-stream; charset=utf-8").chunked()
    }

    /// A whole stream: one event per word, then the end.
    pub fn stream(words: &[&str]) -> Self {
        words.iter().fold(Self::sse(), |reply, word| reply.word(word)).done()
    }

    /// Bytes as they stand, which need not be HTTP; the connection closes after them.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        let raw = Self::status(0).body(bytes).cut();
        Self { framing: Framing::Raw, ..raw }
    }

    /// Opens a WebSocket, whose provider's end [`super::Mock::socket`] gives to the test; bytes that are written come along
    /// with the head.
    pub fn switch() -> Self {
        Self { framing: Framing::Raw, ending: Ending::Switched, ..Self::status(101) }
    }

    /// Never answers.
    pub fn silence() -> Self {
        Self { framing: Framing::Raw, ending: Ending::Hang, ..Self::status(0) }
    }

    /// Closes the connection without an answer.
    pub fn hang_up() -> Self {
        Self { framing: Framing::Raw, ending: Ending::Cut, ..Self::status(0) }
    }

    /// Resets the connection without an answer.
    pub fn reset_at_once() -> Self {
        Self { framing: Framing::Raw, ending: Ending::Reset, ..Self::status(0) }
    }
}

/// Steps.
impl Reply {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes bytes; a chunk of its own where the framing is chunked.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.steps.push(Step::Write(bytes.into()));
        self
    }

    /// Writes one event.
    pub fn event(self, data: &Value) -> Self {
        self.body(format!("data: {data}\n\n"))
    }

    /// Writes one chat event with `content`.
    pub fn word(self, content: &str) -> Self {
        let choice = json!({"index": 0, "delta": {"content": content}, "finish_reason": null});
        self.event(&json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": [choice],
        }))
    }

    /// Writes the end marker of a stream.
    pub fn done(self) -> Self {
        self.body("data: [DONE]\n\n")
    }

    /// Waits before the next step.
    pub fn delay(mut self, time: Duration) -> Self {
        self.steps.push(Step::Delay(time));
        self
    }

    /// Waits for the gate before the next step.
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.steps.push(Step::Wait(gate.clone()));
        self
    }

    /// Waits before the status line.
    pub fn late(mut self, time: Duration) -> Self {
        self.lead.push(Step::Delay(time));
        self
    }

    /// Waits for the gate before the status line.
    pub fn held_by(mut self, gate: &Gate) -> Self {
        self.lead.push(Step::Wait(gate.clone()));
        self
    }

    /// Uses chunked transfer encoding.
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// Ends the body with the connection.
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::UntilClose;
        self
    }

    /// Announces `length`, whatever the body.
    pub fn announce(mut self, length: usize) -> Self {
        self.framing = Framing::Length(Some(length));
        self
    }

    /// Closes the connection here, before the body's end.
    pub fn cut(mut self) -> Self {
        self.ending = Ending::Cut;
        self
    }

    /// Resets the connection here.
    pub fn reset(mut self) -> Self {
        self.ending = Ending::Reset;
        self
    }

    /// Says nothing more and keeps the connection.
    pub fn hang(mut self) -> Self {
        self.ending = Ending::Hang;
        self
    }

    /// All of it as it goes over the wire, for replies that are put together by hand. Only what has a length.
    pub fn on_the_wire(&self) -> String {
        let mut text = self.head().unwrap_or_default();
        for step in &self.steps {
            if let Step::Write(bytes) = step {
                text.push_str(&String::from_utf8_lossy(bytes));
            }
        }
        text
    }

    /// The status line and headers.
    pub(super) fn head(&self) -> Option<String> {
        if self.framing == Framing::Raw {
            return None;
        }
        let mut head = format!("HTTP/1.1 {} Mock\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.framing {
            Framing::Length(None) if self.status == 204 || self.status == 304 => {}
            Framing::Length(announced) => {
                let written = self.steps.iter().map(|step| if let Step::Write(bytes) = step { bytes.len() } else { 0 });
                head.push_str(&format!("content-length: {}\r\n", announced.unwrap_or_else(|| written.sum())));
            }
            Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
            Framing::UntilClose => head.push_str("connection: close\r\n"),
            Framing::Raw => {}
        }
        head.push_str("\r\n");
        Some(head)
    }
}

/// The replies of a mock to each request, numbered from 0.
#[derive(Clone)]
pub struct Script(Arc<Decide>);

type Decide = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

impl Script {
    /// Decides by the number of the request and the request itself. A panic inside fails the test.
    pub fn by(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self(Arc::new(script))
    }

    pub(super) fn reply(&self, number: usize, request: &Seen) -> Reply {
        (self.0)(number, request)
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

/// Always the same.
impl From<Reply> for Script {
    fn from(reply: Reply) -> Self {
        Self::by(move |_, _| reply.clone())
    }
}

/// One after the other, then the last for good.
impl<const N: usize> From<[Reply; N]> for Script {
    fn from(replies: [Reply; N]) -> Self {
        Self::by(move |number, _| replies[number.min(N - 1)].clone())
    }
}
