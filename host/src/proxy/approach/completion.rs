//! The model's answers: whole ones, and those that are put together from the events of a stream.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::object::{Object, raw};
use crate::approach::Finish;

/// One answer of the model, as it came.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The choice object of the answer.
    pub object: Object,
    /// The model that the answer names.
    pub model: String,
    /// The provider that gave it.
    pub provider: String,
}

impl Choice {
    /// Its message.
    pub fn message(&self) -> Object {
        self.object.get("message").unwrap_or_default()
    }

    /// Its text; empty if it has none.
    pub fn text(&self) -> String {
        self.message().get("content").unwrap_or_default()
    }

    /// The number of tools that it wants to call.
    pub fn tool_calls(&self) -> u32 {
        let message = self.message();
        let calls = message.get::<Vec<&RawValue>>("tool_calls").map_or(0, |calls| calls.len());
        let call = usize::from(message.has("function_call"));
        u32::try_from(calls + call).unwrap_or(u32::MAX)
    }

    /// The reason for its end.
    pub fn finish(&self) -> Finish {
        match self.object.get::<String>("finish_reason").as_deref() {
            Some("stop") | None => Finish::Stop,
            Some("length") => Finish::Length,
            Some("tool_calls" | "function_call") => Finish::ToolCalls,
            Some("content_filter") => Finish::ContentFilter,
            Some(other) => Finish::Other(other.chars().take(64).collect()),
        }
    }

    /// The model's own message, as it goes back to the model: what providers accept of what they give.
    pub fn as_turn(&self) -> Box<RawValue> {
        let mut message = self.message();
        message.retain(|key| matches!(key, "role" | "content" | "tool_calls" | "function_call" | "refusal" | "name"));
        let is_empty = |value: &RawValue| matches!(value.get(), "null" | "[]");
        for key in ["tool_calls", "function_call", "refusal"] {
            if message.raw(key).is_some_and(is_empty) {
                message.remove(key);
            }
        }
        message.to_raw()
    }
}

/// What an answer says of its tokens, as it came.
pub type Usage = Map<String, Value>;

/// The choices of a whole answer and its usage; `None` if it is no completion.
pub fn read(body: &[u8], provider: &str) -> Option<(Vec<Choice>, Option<Usage>)> {
    let answer: Object = serde_json::from_slice(body).ok()?;
    let model: String = answer.get("model").unwrap_or_default();
    let objects: Vec<Object> = answer.get("choices")?;
    let choice = |object| Choice { object, model: model.clone(), provider: provider.to_owned() };
    let choices: Vec<Choice> = objects.into_iter().map(choice).collect();
    (!choices.is_empty()).then(|| (choices, answer.get("usage")))
}

/// Adds the counts of `more`, and those in its objects, to those of `sum`.
pub fn add(sum: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (key, value) in more {
        match value {
            Value::Number(number) if number.as_u64().is_some() => {
                let before = sum.get(key).and_then(Value::as_u64).unwrap_or(0);
                sum.insert(key.clone(), before.saturating_add(number.as_u64().unwrap_or(0)).into());
            }
            Value::Object(more) => {
                if let Value::Object(sum) = sum.entry(key.clone()).or_insert_with(|| json!({})) {
                    add(sum, more);
                }
            }
            _ => {}
        }
    }
}

/// A count of tokens in a usage.
pub fn tokens(usage: &Map<String, Value>, key: &str) -> u32 {
    usage.get(key).and_then(Value::as_u64).map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// True for a chunk that says nothing yet: without choices, or with the role alone.
pub fn is_empty(chunk: &Object) -> bool {
    let choices: Vec<Object> = chunk.get("choices").unwrap_or_default();
    choices.iter().all(|choice| {
        let delta: Object = choice.get("delta").unwrap_or_default();
        let says = |(key, value): (&str, &Arc<RawValue>)| {
            key != "role" && !matches!(value.get(), "null" | "\"\"" | "[]" | "{}")
        };
        !choice.has("finish_reason") && !delta.members().any(says)
    })
}

/// A choice that comes in pieces.
#[derive(Debug, Default)]
pub struct Growing {
    message: Map<String, Value>,
    tool_calls: Vec<Map<String, Value>>,
    /// What the choice has beside its message, such as `logprobs`.
    beside: Map<String, Value>,
    model: String,
}

impl Growing {
    /// Takes note of the first choice of a chunk, and gives the text that it adds.
    pub fn take(&mut self, chunk: &Object) -> Option<String> {
        if self.model.is_empty() {
            self.model = chunk.get("model").unwrap_or_default();
        }
        let choices: Vec<Map<String, Value>> = chunk.get("choices")?;
        let mut choice = choices.into_iter().next()?;
        choice.shift_remove("index");
        let delta = choice.shift_remove("delta");
        merge(&mut self.beside, choice);
        let Some(Value::Object(mut delta)) = delta else { return None };
        if let Some(Value::Array(calls)) = delta.shift_remove("tool_calls") {
            calls.into_iter().for_each(|call| self.take_call(call));
        }
        let added = delta.get("content").and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        merge(&mut self.message, delta);
        added
    }

    /// Puts a piece of a tool call to those before it of the same index.
    fn take_call(&mut self, call: Value) {
        let Value::Object(mut call) = call else { return };
        let index = call.shift_remove("index").and_then(|index| index.as_u64()).unwrap_or(0);
        // More tools at once than any request names.
        let Some(index) = usize::try_from(index).ok().filter(|index| *index < 128) else { return };
        while self.tool_calls.len() <= index {
            self.tool_calls.push(Map::new());
        }
        merge(&mut self.tool_calls[index], call);
    }

    /// True when the model has said why it stops.
    pub fn is_finished(&self) -> bool {
        self.beside.get("finish_reason").is_some_and(Value::is_string)
    }

    /// The choice, as a whole answer would have it.
    pub fn into_choice(self, provider: &str) -> Choice {
        let is_finished = self.is_finished();
        let mut message = Object::default();
        message.put("role", self.message.get("role").and_then(Value::as_str).unwrap_or("assistant"));
        message.put("content", &self.message.get("content"));
        for (key, value) in self.message.iter().filter(|(key, _)| !matches!(key.as_str(), "role" | "content")) {
            message.put(key, value);
        }
        let calls: Vec<_> = self.tool_calls.into_iter().filter(|call| !call.is_empty()).collect();
        if !calls.is_empty() {
            message.put("tool_calls", &calls);
        }
        let mut object = Object::default();
        object.put("index", &0);
        object.set("message", message.to_raw());
        for (key, value) in &self.beside {
            object.put(key, value);
        }
        if !is_finished {
            object.put("finish_reason", "stop");
        }
        Choice { object, model: self.model, provider: provider.to_owned() }
    }
}

/// Puts the texts and lists of `more` behind those of `whole`, but for texts that come once and whole.
fn merge(whole: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        let is_whole = matches!(key.as_str(), "id" | "type" | "role" | "finish_reason");
        match (whole.get_mut(&key), value) {
            (_, Value::Null) => {}
            (Some(Value::Object(whole)), Value::Object(more)) => merge(whole, more),
            (Some(Value::Array(whole)), Value::Array(more)) => whole.extend(more),
            (Some(Value::String(known)), Value::String(text)) if !is_whole => known.push_str(&text),
            (_, value) => drop(whole.insert(key, value)),
        }
    }
}

/// The delta that gives a whole message in one event.
pub fn delta_of(message: &Object) -> Object {
    let mut delta = message.clone();
    if let Some(calls) = message.get::<Vec<Object>>("tool_calls") {
        let numbered = |(index, mut call): (usize, Object)| {
            call.put("index", &index);
            call
        };
        delta.put("tool_calls", &calls.into_iter().enumerate().map(numbered).collect::<Vec<_>>());
    }
    if !delta.has("role") {
        delta.set("role", raw("assistant"));
    }
    delta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_the_choice_that_a_whole_answer_has() {
        let mut growing = Growing::default();
        let mut texts = Vec::new();
        for chunk in [
            r#"{"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            r#"{"model":"m","choices":[{"index":0,"delta":{"content":"Hel","reasoning_content":"a"}}]}"#,
            r#"{"model":"m","choices":[{"index":0,"delta":{"content":"lo","reasoning_content":"b"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\":1}"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"role":"assistant"},"logprobs":{"content":[{"token":"a"}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"logprobs":{"content":[{"token":"b"}]},"finish_reason":"tool_calls"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":1}}"#,
        ] {
            texts.extend(growing.take(&serde_json::from_str(chunk).expect("a chunk")));
        }
        assert_eq!(texts, ["Hel", "lo"]);
        let choice = growing.into_choice("a");
        assert_eq!((choice.text().as_str(), choice.tool_calls(), choice.finish()), ("Hello", 1, Finish::ToolCalls));
        assert_eq!(
            choice.as_turn().get(),
            r#"{"role":"assistant","content":"Hello","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}"#
        );
        assert_eq!(
            choice.object.raw("logprobs").map(RawValue::get),
            Some(r#"{"content":[{"token":"a"},{"token":"b"}]}"#)
        );
        let delta = delta_of(&choice.message()).to_raw();
        assert!(delta.get().contains(r#""index":0"#) && delta.get().contains(r#""reasoning_content":"ab""#), "{delta}");
    }

    #[test]
    fn a_function_that_is_called_in_the_old_way_is_put_together_too() {
        let mut growing = Growing::default();
        for chunk in [
            r#"{"choices":[{"delta":{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{"}}}]}"#,
            r#"{"choices":[{"delta":{"function_call":{"arguments":"}"}},"finish_reason":"function_call"}]}"#,
        ] {
            growing.take(&serde_json::from_str(chunk).expect("a chunk"));
        }
        let choice = growing.into_choice("a");
        assert_eq!((choice.tool_calls(), choice.finish()), (1, Finish::ToolCalls));
        let turn = choice.as_turn();
        assert_eq!(turn.get(), r#"{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}"#);
    }

    #[test]
    fn a_chunk_with_a_role_alone_says_nothing() {
        let is_empty = |chunk: &str| is_empty(&serde_json::from_str(chunk).expect("a chunk"));
        for chunk in [
            r#"{"choices":[]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]}"#,
            r#"{"prompt_filter_results":[]}"#,
        ] {
            assert!(is_empty(chunk), "{chunk}");
        }
        for chunk in [
            r#"{"choices":[{"delta":{"content":" "}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
        ] {
            assert!(!is_empty(chunk), "{chunk}");
        }
    }

    #[test]
    fn usage_is_the_sum_of_every_count_at_every_depth() {
        let mut sum = Map::new();
        for usage in [
            r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"prompt_tokens_details":{"cached_tokens":1},"x":null,"s":"a"}"#,
            r#"{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30,"prompt_tokens_details":{"cached_tokens":5},"cost":0.5}"#,
        ] {
            add(&mut sum, &serde_json::from_str(usage).expect("a usage"));
        }
        assert_eq!(
            Value::Object(sum),
            json!({"prompt_tokens":11,"completion_tokens":22,"total_tokens":33,"prompt_tokens_details":{"cached_tokens":6}})
        );
    }

    #[test]
    fn an_answer_without_choices_is_no_completion() {
        assert!(read(b"{}", "a").is_none() && read(br#"{"choices":[]}"#, "a").is_none());
        let (choices, usage) =
            read(br#"{"model":"m","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"length"}]}"#, "a")
                .expect("one");
        assert_eq!((choices[0].text().as_str(), choices[0].finish(), usage), ("x", Finish::Length, None));
    }
}
