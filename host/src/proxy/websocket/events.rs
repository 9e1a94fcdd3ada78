//! The events of both protocols, as far as they matter here: what a client asks for, which models it names, and the end of
//! an answer with its tokens (<https://platform.openai.com/docs/api-reference/realtime-client-events>,
//! <https://developers.openai.com/api/reference/resources/responses/websocket-events>).

use std::borrow::Cow;
use std::ops::Range;

use crate::proxy::request::scan::{Members, Scanner};
use crate::proxy::usage::{self, Usage};

/// The demand of a client's event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// An answer: `response.create`.
    Answer,
    /// Something else.
    Other,
}

/// The event of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientEvent {
    /// The wish that it expresses.
    pub wish: Wish,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// The models that it names, and where: its own, that of its session, that of its response.
    pub models: Vec<(Range<usize>, String)>,
}

/// The objects in which an event may name a model.
const INNER: [&[u8]; 2] = [b"session", b"response"];

impl ClientEvent {
    /// Reads an event. What a provider could read in another way than this does is refused.
    ///
    /// # Errors
    ///
    /// The reason why it cannot be read.
    pub fn read(text: &[u8]) -> Result<Self, &'static str> {
        const NO_OBJECT: &str = "it is no JSON object";
        if std::str::from_utf8(text).is_err() {
            return Err(NO_OBJECT);
        }
        let mut event = Self { wish: Wish::Other, id: None, models: Vec::new() };
        let mut opening = Scanner::new(text, 0);
        opening.whitespace();
        let mut members = Members::at(text, opening.at()).ok_or(NO_OBJECT)?;
        let mut seen = Vec::new();
        while let Some(member) = members.next().map_err(|_syntax| NO_OBJECT)? {
            let key = key(text, member.key).into_owned();
            let matters = matches!(&*key, b"type" | b"model" | b"event_id") || INNER.contains(&&*key);
            if !matters {
                continue;
            }
            if seen.contains(&key) {
                return Err("it has a key twice");
            }
            match &*key {
                b"type" if string(text, &member.value).as_deref() == Some("response.create") => {
                    event.wish = Wish::Answer;
                }
                b"event_id" => event.id = string(text, &member.value).map(|id| id.chars().take(200).collect()),
                b"model" => event.model(text, member.value)?,
                b"session" | b"response" => event.inner(text, member.value.start)?,
                _ => {}
            }
            seen.push(key);
        }
        members.scanner.end().map_err(|_syntax| NO_OBJECT)?;
        Ok(event)
    }

    /// Reads the object of a session or a response.
    fn inner(&mut self, text: &[u8], at: usize) -> Result<(), &'static str> {
        let Some(mut members) = Members::at(text, at) else { return Ok(()) };
        let before = self.models.len();
        while let Ok(Some(member)) = members.next() {
            if *key(text, member.key) == *b"model" {
                if self.models.len() > before {
                    return Err("it has a key twice");
                }
                self.model(text, member.value)?;
            }
        }
        Ok(())
    }

    fn model(&mut self, text: &[u8], value: Range<usize>) -> Result<(), &'static str> {
        if &text[value.clone()] == b"null" {
            return Ok(());
        }
        let model = string(text, &value).ok_or("its model is no text")?;
        self.models.push((value, model.into_owned()));
        Ok(())
    }

    /// The event with other models; `None` if they are the same. All its other bytes stay.
    pub fn with_models<'m>(&self, text: &[u8], called: impl Fn(&str) -> Cow<'m, str>) -> Option<Vec<u8>> {
        let mut changed = false;
        let (mut out, mut from) = (Vec::with_capacity(text.len()), 0);
        let mut models: Vec<_> = self.models.iter().collect();
        models.sort_by_key(|(at, _)| at.start);
        for (at, model) in models {
            let called = called(model);
            changed |= *called != **model;
            out.extend_from_slice(&text[from..at.start]);
            out.extend_from_slice(serde_json::Value::from(&*called).to_string().as_bytes());
            from = at.end;
        }
        out.extend_from_slice(&text[from..]);
        changed.then_some(out)
    }
}

/// The tokens of an answer whose end an event of the provider is, as far as it names them; `None` for another event.
pub fn end_of_answer(text: &[u8]) -> Option<Option<Usage>> {
    const ENDS: [&str; 5] =
        ["response.done", "response.completed", "response.incomplete", "response.failed", "response.cancelled"];
    // Most events are a piece of sound or text, and have none of these words.
    memchr::memmem::find(text, b"\"response\"")?;
    let mut opening = Scanner::new(text, 0);
    opening.whitespace();
    let mut members = Members::at(text, opening.at())?;
    let (mut is_end, mut response) = (false, None);
    while let Ok(Some(member)) = members.next() {
        match &*key(text, member.key) {
            b"type" => is_end = string(text, &member.value).is_some_and(|name| ENDS.contains(&&*name)),
            b"response" => response = Some(member.value),
            _ => {}
        }
    }
    is_end.then(|| response.and_then(|response| usage::of(&text[response])))
}

/// A key without its escapes.
fn key(text: &[u8], at: Range<usize>) -> Cow<'_, [u8]> {
    let written = &text[at.clone()];
    if !written.contains(&b'\\') {
        return Cow::Borrowed(written);
    }
    match serde_json::from_slice::<String>(&text[at.start - 1..at.end + 1]) {
        Ok(key) => Cow::Owned(key.into_bytes()),
        Err(_) => Cow::Borrowed(written),
    }
}

/// The text of a value, if it is one.
fn string<'t>(text: &'t [u8], at: &Range<usize>) -> Option<Cow<'t, str>> {
    let written = &text[at.clone()];
    let inner = written.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') {
        return serde_json::from_slice::<String>(written).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Wish, Option<String>, Vec<String>), &'static str> {
        let event = ClientEvent::read(text.as_bytes())?;
        Ok((event.wish, event.id, event.models.into_iter().map(|(_, model)| model).collect()))
    }

    #[test]
    fn what_a_client_asks_for_is_found() {
        let none: Vec<String> = vec![];
        let create = r#" {"type": "response.create", "event_id": "e1", "response": {"metadata": {"model": "no"}}} "#;
        assert_eq!(read(create), Ok((Wish::Answer, Some("e1".to_owned()), none.clone())));
        let update = r#"{"session": {"type": "realtime", "model": "voice"}, "type": "session.update"}"#;
        assert_eq!(read(update), Ok((Wish::Other, None, vec!["voice".to_owned()])));
        let escaped = r#"{"ty\u0070e": "response\u002ecreate", "mod\u0065l": "m\u0031"}"#;
        assert_eq!(read(escaped), Ok((Wish::Answer, None, vec!["m1".to_owned()])));
        assert_eq!(read(r#"{"type": "x", "model": null}"#), Ok((Wish::Other, None, none)));
    }

    #[test]
    fn what_may_be_read_in_two_ways_is_refused() {
        for text in [
            r#"{"type": "x", "type": "response.create"}"#,
            r#"{"model": "a", "mod\u0065l": "b"}"#,
            r#"{"session": {"model": "a", "model": "b"}}"#,
            r#"{"model": 7}"#,
            r#"[{"type": "response.create"}]"#,
            r#"{"type": "response.create"} {}"#,
            r#"{"type": "response.create""#,
            "",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(ClientEvent::read(b"{\"type\": \"\xff\"}").is_err());
    }

    #[test]
    fn models_are_replaced_and_nothing_else() {
        let text = r#"{"type":"response.create",  "model":"a","response":{"model" : "b"},"n":1.0}"#;
        let event = ClientEvent::read(text.as_bytes()).expect("sound");
        let other = event.with_models(text.as_bytes(), |model| Cow::Owned(format!("x/{model}")));
        let expected = r#"{"type":"response.create",  "model":"x/a","response":{"model" : "x/b"},"n":1.0}"#;
        assert_eq!(other.as_deref(), Some(expected.as_bytes()));
        assert_eq!(event.with_models(text.as_bytes(), |model| Cow::Owned(model.to_owned())), None);
    }

    #[test]
    fn the_end_of_an_answer_has_its_tokens() {
        let tokens = |text: &str| {
            end_of_answer(text.as_bytes())
                .map(|usage| usage.map(|usage| (usage.prompt_tokens(), usage.completion_tokens())))
        };
        let done = r#"{"type":"response.done","response":{"id":"r","output":[{"usage":{"input_tokens":1}}],"usage":
            {"total_tokens":9,"input_tokens":5,"output_tokens":4,"input_token_details":{"cached_tokens":2}}}}"#;
        assert_eq!(tokens(done), Some(Some((Some(5), Some(4)))));
        assert_eq!(tokens(r#"{"response":{"usage":null},"type":"response.failed"}"#), Some(None));
        assert_eq!(tokens(r#"{"type":"response.created","response":{"usage":null}}"#), None);
        assert_eq!(tokens(r#"{"type":"response.output_audio.delta","delta":"AAAA"}"#), None);
        assert_eq!(tokens("no JSON \"response\""), None);
    }
}
