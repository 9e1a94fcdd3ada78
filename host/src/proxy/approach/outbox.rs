//! The events for a client that reads a stream, between the run that makes them and the body that sends them. Both are polled
//! in one task.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::object::Object;

/// So many events may wait for the client before a run waits for it.
const WAITING: usize = 16;

/// The waiting events of one answer.
#[derive(Debug)]
pub struct Outbox {
    events: Mutex<VecDeque<Bytes>>,
    has_begun: AtomicBool,
    taken: Notify,
    /// The latest note of progress, and whether it has been shown.
    note: Mutex<String>,
    /// The provider of the first answer in it.
    provider: Mutex<String>,
    head: Head,
}

/// What every event of an answer says.
#[derive(Clone, Debug)]
pub struct Head {
    /// The id of the answer.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The model, as long as no answer names one.
    pub model: String,
}

impl Outbox {
    /// Without events.
    pub fn new(head: Head) -> Self {
        let (events, has_begun, taken, note) = <(Mutex<VecDeque<Bytes>>, AtomicBool, Notify, Mutex<String>)>::default();
        Self { events, has_begun, taken, note, provider: Mutex::default(), head }
    }

    /// True when an event has been made, whether or not it is sent.
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Relaxed)
    }

    /// Notes that this provider gives an answer, or a part of one.
    pub fn is_from(&self, provider: &str) {
        let mut known = self.provider.lock();
        if known.is_empty() {
            provider.clone_into(&mut known);
        }
    }

    /// The provider of the first answer; empty as long as none is known.
    pub fn provider(&self) -> String {
        self.provider.lock().clone()
    }

    /// The next event.
    pub fn take(&self) -> Option<Bytes> {
        let event = self.events.lock().pop_front();
        if event.is_some() {
            self.taken.notify_one();
        }
        event
    }

    /// True when an event waits to be sent.
    pub fn has_more(&self) -> bool {
        !self.events.lock().is_empty()
    }

    /// Waits until the client has taken most of what there is.
    pub async fn room(&self) {
        while self.events.lock().len() >= WAITING {
            self.taken.notified().await;
        }
    }

    /// Puts bytes behind the events.
    pub fn put(&self, bytes: Bytes) {
        self.has_begun.store(true, Relaxed);
        self.events.lock().push_back(bytes);
    }

    /// Puts a chunk of the provider's in, as one of this answer: with its id, at this index, without usage. One without
    /// choices is left out: false.
    pub fn pass(&self, mut chunk: Object, index: u32, is_first: bool) -> bool {
        let mut choices: Vec<Object> = chunk.get("choices").unwrap_or_default();
        if choices.is_empty() {
            return false;
        }
        for choice in &mut choices {
            choice.put("index", &index);
            if is_first {
                let mut delta: Object = choice.get("delta").unwrap_or_default();
                if !delta.has("role") {
                    delta.put("role", "assistant");
                    choice.put("delta", &delta);
                }
            }
        }
        chunk.put("id", &self.head.id);
        chunk.put("choices", &choices);
        chunk.remove("usage");
        self.put(event(&chunk.to_raw()));
        true
    }

    /// Puts a chunk of the proxy's own in.
    pub fn chunk(&self, model: &str, index: u32, delta: &(impl serde::Serialize + ?Sized), finish: Option<&str>) {
        self.choice(model, index, delta, (Object::default(), finish));
    }

    /// The same with what a choice has beside.
    pub fn choice(
        &self,
        model: &str,
        index: u32,
        delta: &(impl serde::Serialize + ?Sized),
        (beside, finish): (Object, Option<&str>),
    ) {
        let mut choice = Object::default();
        choice.put("index", &index);
        choice.put("delta", delta);
        for (key, value) in beside.members() {
            choice.set(key, value.to_owned());
        }
        choice.put("finish_reason", &finish);
        self.put(event(&self.envelope(model, &[choice], None)));
    }

    /// Puts in the usage, and the end.
    pub fn end(&self, model: &str, usage: Option<Value>, comment: Option<&str>) {
        if let Some(usage) = usage {
            self.put(event(&self.envelope(model, &[], Some(usage))));
        }
        if let Some(comment) = comment {
            self.put(format!(": {comment}\n").into());
        }
        self.put(Bytes::from_static(b"data: [DONE]\n\n"));
    }

    fn envelope(&self, model: &str, choices: &[Object], usage: Option<Value>) -> Box<serde_json::value::RawValue> {
        let Head { id, created, model: asked } = &self.head;
        let model = if model.is_empty() { asked } else { model };
        let mut chunk = Object::default();
        chunk.put("id", id);
        chunk.put("object", "chat.completion.chunk");
        chunk.put("created", created);
        chunk.put("model", model);
        chunk.put("choices", choices);
        if let Some(usage) = usage {
            chunk.put("usage", &usage);
        }
        chunk.to_raw()
    }

    /// Notes how far it is.
    pub fn note(&self, note: String) {
        *self.note.lock() = note;
    }

    /// The latest note.
    pub fn latest_note(&self) -> String {
        self.note.lock().clone()
    }

    /// A sign of life in the form that the operator wants, beside the events.
    pub fn sign(&self, progress: crate::config::Progress, expression: &str) -> Option<Bytes> {
        use crate::config::Progress;
        let note = self.latest_note();
        let said = format!("{expression} {note}");
        let said = said.trim();
        match progress {
            // One line feed: some SDKs take a comment and a blank line for an empty event.
            Progress::Comments => Some(format!(": {said}\n").into()),
            Progress::Chunks => {
                let delta = json!({"role": "assistant", "content": ""});
                Some(self.beside(&delta))
            }
            Progress::Reasoning => {
                let delta = json!({"role": "assistant", "reasoning_content": format!("{said}\n")});
                Some(self.beside(&delta))
            }
            Progress::Off => None,
        }
    }

    fn beside(&self, delta: &Value) -> Bytes {
        let mut choice = Object::default();
        choice.put("index", &0);
        choice.put("delta", delta);
        choice.put("finish_reason", &None::<&str>);
        event(&self.envelope("", &[choice], None))
    }
}

fn event(data: &serde_json::value::RawValue) -> Bytes {
    // JSON that a provider has written over several lines would break the event.
    let text = data.get();
    let text = if text.contains(['\n', '\r']) {
        serde_json::from_str::<Value>(text).map_or_else(|_| String::new(), |value| value.to_string())
    } else {
        text.to_owned()
    };
    format!("data: {text}\n\n").into()
}
