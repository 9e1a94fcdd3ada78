//! The body of a call: the client's parameters, as far as they hold for it, and what the approach wants otherwise.

use std::sync::Arc;

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use super::conversation::{Conversation, rewritten, said};
use super::object::{Object, raw};
use crate::approach::{Call, ChoiceId, Manner, Turn};

/// What no call takes over from the client: the host sets it, or it is not about the answer.
const NEVER: [&str; 7] = ["n", "stream", "stream_options", "model", "store", "metadata", "messages"];

/// What belongs to one answer, and so not to a question of the approach's own.
const OF_ONE_ANSWER: [&str; 23] = [
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "presence_penalty",
    "frequency_penalty",
    "prediction",
    "modalities",
    "audio",
    "web_search_options",
    "verbosity",
];

/// True for a member of requests that is about the model's answer, and so never an option of an approach.
pub fn is_parameter(name: &str) -> bool {
    NEVER.contains(&name) || OF_ONE_ANSWER.contains(&name)
}

/// What `extra` of a call may not set, as other fields of the call say it.
const NOT_IN_EXTRA: [&str; 5] = ["messages", "model", "n", "stream", "stream_options"];

/// The names for the limit of an answer.
const LIMITS: [&str; 2] = ["max_completion_tokens", "max_tokens"];

/// How a call goes to the provider, beside what it says itself.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// The model.
    pub model: &'a str,
    /// Choices in one answer.
    pub n: u32,
    /// True for an answer that is read while it is written.
    pub streaming: bool,
}

/// The body of a call. Clones share the client's messages: many calls may wait for their slots, and only those that have one
/// are written out.
#[derive(Clone, Debug, Default)]
pub struct Body {
    model: String,
    messages: Vec<Arc<RawValue>>,
    /// All other members.
    pub members: Object,
}

impl Body {
    /// The body as it is sent.
    pub fn to_bytes(&self) -> Bytes {
        // What is written here is JSON already.
        serde_json::to_vec(self).map(Bytes::from).unwrap_or_default()
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", &self.model)?;
        let messages: Vec<&RawValue> = self.messages.iter().map(|message| &**message).collect();
        map.serialize_entry("messages", &messages)?;
        for (key, value) in self.members.members() {
            map.serialize_entry(key, &**value)?;
        }
        map.end()
    }
}

/// The members that the client has not set, but the approach or the proxy has, and which a provider may refuse.
pub type Own = Vec<String>;

/// The body of a call, and the members that the approach has set. `message_of` is the message of an earlier choice.
///
/// # Errors
///
/// The rule of the contract that the call breaks.
pub fn body(
    conversation: &Conversation,
    call: &Call,
    form: Form<'_>,
    message_of: impl Fn(ChoiceId) -> Option<Box<RawValue>>,
) -> Result<(Body, Own), String> {
    let messages = messages(conversation, &call.messages, message_of)?;
    let mut body = Object::default();
    let mut own = Own::new();
    for (key, value) in conversation.parameters.members() {
        let holds = call.manner == Manner::Answer || !OF_ONE_ANSWER.contains(&key);
        if holds && !NEVER.contains(&key) {
            body.set(key, Arc::clone(value));
        }
    }
    let mut set = |key: &str, value: Box<RawValue>| {
        body.set(key, value);
        own.push(key.to_owned());
    };
    if let Some(temperature) = call.temperature {
        set("temperature", raw(&temperature));
    }
    if let Some(limit) = call.max_tokens {
        let name = LIMITS.into_iter().find(|name| conversation.parameters.has(name)).unwrap_or("max_tokens");
        set(name, raw(&limit));
        if let Some(other) = other_limit(name) {
            // What a provider gets that refuses the name.
            own.push(other.to_owned());
            body.remove(other);
        }
    }
    let extra: Object = serde_json::from_str(&call.extra).map_err(|_| "`extra` must be a JSON object".to_owned())?;
    for (key, value) in extra.members() {
        if NOT_IN_EXTRA.contains(&key) {
            return Err(format!("`extra` cannot set `{key}`"));
        }
        match value.get() {
            "null" => drop(body.remove(key)),
            _ => {
                body.set(key, Arc::clone(value));
                own.push(key.to_owned());
            }
        }
    }
    if form.n > 1 {
        body.put("n", &form.n);
    }
    if form.streaming {
        body.put("stream", &true);
        body.put("stream_options", &serde_json::json!({"include_usage": true}));
        own.push("stream_options".to_owned());
    }
    Ok((Body { model: form.model.to_owned(), messages, members: body }, own))
}

fn messages(
    conversation: &Conversation,
    turns: &[Turn],
    message_of: impl Fn(ChoiceId) -> Option<Box<RawValue>>,
) -> Result<Vec<Arc<RawValue>>, String> {
    if turns.is_empty() {
        return Err("a call needs at least one message".to_owned());
    }
    let original = |index: u32| {
        let message = usize::try_from(index).ok().and_then(|index| conversation.messages.get(index));
        message.ok_or_else(|| format!("there is no message {index}: the request has {}", conversation.messages.len()))
    };
    let message = |turn: &Turn| match turn {
        Turn::Original(index) => Ok(Arc::clone(original(*index)?)),
        Turn::Rewritten { index, text } => Ok(rewritten(original(*index)?, text).into()),
        Turn::Answered(id) => {
            message_of(*id).map(Arc::from).ok_or_else(|| format!("there is no choice {id} in this run"))
        }
        Turn::Said { role, text } => Ok(said(role, text).into()),
        Turn::Json(text) => {
            let object: Option<Object> = serde_json::from_str(text).ok();
            object.map(|object| object.to_raw().into()).ok_or_else(|| "a message in JSON must be an object".to_owned())
        }
    };
    turns.iter().map(message).collect()
}

/// The limit of the answer under its other name; `None` if the key is neither.
pub fn other_limit(key: &str) -> Option<&'static str> {
    match key {
        "max_tokens" => Some("max_completion_tokens"),
        "max_completion_tokens" => Some("max_tokens"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hi","x":1.0}],"n":3,"stream":true,
        "temperature":0.5,"tools":[],"max_completion_tokens":9,"user":"u","foo":{"a":1.50},"store":true}"#;

    fn call() -> Call {
        Call {
            messages: vec![Turn::Original(0)],
            manner: Manner::Answer,
            model: None,
            n: 1,
            temperature: None,
            max_tokens: None,
            extra: "{}".to_owned(),
            step: "candidates".to_owned(),
        }
    }

    fn made(call: &Call, n: u32, streaming: bool) -> Result<String, String> {
        let conversation = Conversation::read(CLIENT.as_bytes()).expect("a conversation");
        let form = Form { model: "m", n, streaming };
        let answered = |id| (id == 7).then(|| said("assistant", "Ho"));
        let (body, _) = body(&conversation, call, form, answered)?;
        Ok(String::from_utf8(body.to_bytes().to_vec()).expect("text"))
    }

    #[test]
    fn an_answer_has_all_parameters_and_a_question_aside_only_those_of_the_client() {
        assert_eq!(
            made(&call(), 1, false).expect("legal"),
            r#"{"model":"m","messages":[{"role":"user","content":"Hi","x":1.0}],"temperature":0.5,"tools":[],"max_completion_tokens":9,"user":"u","foo":{"a":1.50}}"#
        );
        let aside = Call { manner: Manner::Aside, temperature: Some(0.1), ..call() };
        assert_eq!(
            made(&aside, 4, false).expect("legal"),
            r#"{"model":"m","messages":[{"role":"user","content":"Hi","x":1.0}],"user":"u","foo":{"a":1.50},"temperature":0.1,"n":4}"#
        );
    }

    #[test]
    fn a_limit_goes_under_the_name_that_the_client_uses() {
        let limited = made(&Call { max_tokens: Some(5), ..call() }, 1, true).expect("legal");
        assert!(limited.contains(r#""max_completion_tokens":5"#) && !limited.contains("max_tokens\":9"), "{limited}");
        assert!(limited.ends_with(r#""stream":true,"stream_options":{"include_usage":true}}"#), "{limited}");
    }

    #[test]
    fn extra_sets_and_takes_out() {
        let extra = Call { extra: r#"{"foo":null,"top_k":1e0}"#.to_owned(), ..call() };
        let body = made(&extra, 1, false).expect("legal");
        assert!(!body.contains("foo") && body.contains(r#""top_k":1e0"#), "{body}");
        for (extra, wrong) in [("[]", "must be a JSON object"), (r#"{"model":"x"}"#, "cannot set `model`")] {
            let error = made(&Call { extra: extra.to_owned(), ..call() }, 1, false).expect_err("illegal");
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn turns_become_messages() {
        let turns = vec![
            Turn::Rewritten { index: 0, text: "Well".to_owned() },
            Turn::Answered(7),
            Turn::Said { role: "user".to_owned(), text: "Go on".to_owned() },
            Turn::Json(r#"{"role":"tool","content":""}"#.to_owned()),
        ];
        let body = made(&Call { messages: turns, ..call() }, 1, false).expect("legal");
        let messages = r#"[{"role":"user","content":"Well","x":1.0},{"role":"assistant","content":"Ho"},{"role":"user","content":"Go on"},{"role":"tool","content":""}]"#;
        assert!(body.contains(messages), "{body}");
        for wrong in [Turn::Original(1), Turn::Answered(1), Turn::Json("[]".to_owned())] {
            made(&Call { messages: vec![wrong], ..call() }, 1, false).expect_err("illegal");
        }
        made(&Call { messages: Vec::new(), ..call() }, 1, false).expect_err("illegal");
    }
}
