//! `routing.model_names: client`: answers name the model as the client did, whatever its provider calls it.
//!
//! Only the value of `model` changes, at the top of an answer or an event, or in the `response` or `message` of an
//! event; every other byte stays.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// The name that a client asked for.
#[derive(Clone, Debug)]
pub struct Naming(Bytes);

impl Naming {
    /// Names the model as this request does; `None` for a request without a model.
    pub fn of(model: &str) -> Option<Self> {
        (!model.is_empty()).then(|| Self(serde_json::Value::from(model).to_string().into()))
    }

    /// Puts the name into a whole answer.
    pub fn answer(&self, answer: Bytes) -> Bytes {
        match model(&answer) {
            Some(place) => [&answer[..place.start], &self.0, &answer[place.end..]].concat().into(),
            None => answer,
        }
    }

    /// Puts the name into each of some whole events. Data of several lines is passed on unchanged.
    pub fn events(&self, events: Bytes) -> Bytes {
        let (mut renamed, mut kept, mut line) = (BytesMut::new(), 0, 0);
        while line < events.len() {
            let end = memchr2(b'\n', b'\r', &events[line..]).map_or(events.len(), |length| line + length);
            if events[line..end].starts_with(b"data:")
                && let Some(place) = model(&events[line..end])
            {
                renamed.extend_from_slice(&events[kept..line + place.start]);
                renamed.extend_from_slice(&self.0);
                kept = line + place.end;
            }
            line = end + 1;
        }
        if kept == 0 {
            return events;
        }
        renamed.extend_from_slice(&events[kept..]);
        renamed.freeze()
    }
}

/// The range of the value of `model`, if it is a string. A string before a colon is a key and nothing else.
fn model(json: &[u8]) -> Option<Range<usize>> {
    let (mut at, mut depth, mut is_inside) = (0, 0_usize, false);
    while at < json.len() {
        match json[at] {
            b'"' => {
                let end = string_end(json, at)?;
                let behind = json[end..].trim_ascii_start();
                if let Some(value) = behind.strip_prefix(b":") {
                    let key = &json[at + 1..end - 1];
                    if depth == 1 {
                        is_inside = key == b"response" || key == b"message";
                    }
                    if key == b"model" && (depth == 1 || depth == 2 && is_inside) {
                        let start = json.len() - value.trim_ascii_start().len();
                        return (json.get(start) == Some(&b'"')).then(|| Some(start..string_end(json, start)?))?;
                    }
                }
                at = end;
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            _ => at += 1,
        }
    }
    None
}

/// The place behind the closing quote of the string that begins at `start`.
fn string_end(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(events: &'static str) -> String {
        let naming = Naming::of("my \"model\"").expect("a name");
        String::from_utf8(naming.events(Bytes::from_static(events.as_bytes())).to_vec()).expect("text")
    }

    #[test]
    fn the_name_changes_and_every_other_byte_stays() {
        let naming = Naming::of("mine").expect("a name");
        let answer = r#"{"id": "x", "choices": [{"model": "a", "text": "\"model\": \"b\""}],  "model" : "gpt-4" }"#;
        let expected = r#"{"id": "x", "choices": [{"model": "a", "text": "\"model\": \"b\""}],  "model" : "mine" }"#;
        assert_eq!(naming.answer(Bytes::from_static(answer.as_bytes())), expected);
        for other in
            ["", "{", "{\"model\"", "{\"model\": 1}", "[\"model\"]", "{\"model\": \"x", "{\"a\": {\"model\": \"x\"}}"]
        {
            assert_eq!(naming.answer(Bytes::from_static(other.as_bytes())), other);
        }
        assert!(Naming::of("").is_none());
    }

    #[test]
    fn every_event_is_renamed_where_its_endpoint_names_the_model() {
        let events = "data: {\"model\":\"x\"}\r\n\r\n: {\"model\":\"x\"}\n\ndata: {\"response\":{\"model\":\"x\"}}\n\ndata: [DONE]\n\n";
        let expected = events.replace("data: {\"model\":\"x\"", "data: {\"model\":\"my \\\"model\\\"\"");
        let expected =
            expected.replace("{\"response\":{\"model\":\"x\"", "{\"response\":{\"model\":\"my \\\"model\\\"\"");
        assert_eq!(renamed(events), expected);
        assert_eq!(
            renamed("event: message_start\ndata: {\"message\": {\"model\": \"x\"}}\n\n").matches("my").count(),
            1
        );
    }
}
