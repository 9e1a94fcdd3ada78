//! A client's request as an approach sees it: messages that stay with the host, and parameters.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::object::{Object, raw};
use crate::approach::Message;

/// The conversation of a request, and everything else that it holds.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// Everything but the messages, and without what is meant for approaches.
    pub parameters: Arc<Object>,
    /// The messages as they came.
    pub messages: Vec<Arc<RawValue>>,
    /// The same as an approach reads them.
    pub view: Vec<Message>,
    /// The place of the question: the last message of role `user`.
    pub question: Option<usize>,
}

impl Conversation {
    /// Reads the body of a request, which is a JSON object; `None` if it has no list of messages with at least one.
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut parameters: Object = serde_json::from_slice(body).ok()?;
        let messages = parameters.remove("messages")?;
        let messages: Vec<Box<RawValue>> = serde_json::from_str(messages.get()).ok()?;
        (!messages.is_empty()).then(|| Self::new(Arc::new(parameters), messages.into_iter().map(Arc::from).collect()))
    }

    fn new(parameters: Arc<Object>, messages: Vec<Arc<RawValue>>) -> Self {
        let view: Vec<Message> = messages.iter().map(|message| view(message)).collect();
        let question = view.iter().rposition(|message| message.role == "user");
        Self { parameters, messages, view, question }
    }

    /// The same with another text in the place of the question's; without a question, a message more.
    pub fn asking(&self, text: &str) -> Self {
        let mut messages = self.messages.clone();
        match self.question {
            Some(question) => messages[question] = Arc::from(rewritten(&messages[question], text)),
            None => messages.push(Arc::from(said("user", text))),
        }
        Self::new(Arc::clone(&self.parameters), messages)
    }

    /// The text of the question; empty if there is none.
    pub fn question_text(&self) -> &str {
        self.question.map_or("", |question| &self.view[question].text)
    }
}

/// A message as an approach reads it.
fn view(message: &RawValue) -> Message {
    let Some(message) = Object::of(message) else { return Message { more: true, ..Message::default() } };
    let role = message.get::<String>("role").unwrap_or_default();
    let mut more = message.members().any(|(key, value)| !matches!(key, "role" | "content") && value.get() != "null");
    let text = match message.get::<String>("content") {
        Some(text) => text,
        None => {
            let parts: Vec<Object> = message.get("content").unwrap_or_default();
            let texts: Vec<String> = parts.iter().filter_map(text_of).collect();
            more |= texts.len() < parts.len();
            texts.join("\n")
        }
    };
    Message { role, text, more }
}

/// The text of a part, if it is one of type `text`.
fn text_of(part: &Object) -> Option<String> {
    (part.get::<String>("type")? == "text").then(|| part.get::<String>("text")).flatten()
}

/// The message with another text in the place of all its text; images and whatever else it holds stay.
pub fn rewritten(message: &RawValue, text: &str) -> Box<RawValue> {
    let Some(mut message) = Object::of(message) else { return said("user", text) };
    let Some(parts) = message.get::<Vec<Box<RawValue>>>("content") else {
        message.put("content", text);
        return message.to_raw();
    };
    let mut kept: Vec<Box<RawValue>> = Vec::with_capacity(parts.len() + 1);
    let mut is_placed = false;
    for part in parts {
        match Object::of(&part) {
            Some(mut object) if text_of(&object).is_some() => {
                if !std::mem::replace(&mut is_placed, true) {
                    object.put("text", text);
                    kept.push(object.to_raw());
                }
            }
            _ => kept.push(part),
        }
    }
    if !is_placed {
        kept.insert(0, raw(&serde_json::json!({"type": "text", "text": text})));
    }
    message.put("content", &kept);
    message.to_raw()
}

/// A new message.
pub fn said(role: &str, text: &str) -> Box<RawValue> {
    raw(&serde_json::json!({"role": role, "content": text}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Conversation {
        Conversation::read(body.as_bytes()).expect("a conversation")
    }

    #[test]
    fn texts_are_read_and_everything_else_is_kept() {
        let body = r#"{"model":"m","messages":[{"role":"system","content":"Be kind."},
            {"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}},{"type":"text","text":"What"},{"type":"text","text":"is it?"}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}],"seed":1.0}"#;
        let conversation = read(body);
        let [system, question, last] = &conversation.view[..] else { panic!("three messages") };
        assert_eq!((system.text.as_str(), system.more), ("Be kind.", false));
        assert_eq!((question.text.as_str(), question.more), ("What\nis it?", true));
        assert_eq!((last.role.as_str(), last.text.as_str(), last.more), ("assistant", "", true));
        assert_eq!(conversation.question, Some(1));
        assert_eq!(conversation.parameters.to_raw().get(), r#"{"model":"m","seed":1.0}"#);
    }

    #[test]
    fn a_rewritten_question_keeps_its_images() {
        let body = r#"{"messages":[{"role":"user","name":"a","content":[{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"1","cache_control":{}},{"type":"text","text":"2"}]}]}"#;
        let asked = read(body).asking("3");
        assert_eq!(
            asked.messages[0].get(),
            r#"{"role":"user","name":"a","content":[{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"3","cache_control":{}}]}"#
        );
        let plain = read(r#"{"messages":[{"role":"user","content":"1"}]}"#).asking("\"2\"\n");
        assert_eq!(plain.messages[0].get(), r#"{"role":"user","content":"\"2\"\n"}"#);
    }

    #[test]
    fn what_is_no_conversation_is_none() {
        for body in ["{}", r#"{"messages":[]}"#, r#"{"messages":"Hello"}"#, r#"{"messages":{}}"#] {
            assert!(Conversation::read(body.as_bytes()).is_none(), "{body}");
        }
        let odd = read(r#"{"messages":[1,{"role":5},{"content":"x"}]}"#);
        assert_eq!((odd.question, odd.view[0].more), (None, true));
        assert_eq!(odd.asking("Well?").messages.len(), 4);
    }
}
