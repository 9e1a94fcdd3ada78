//! Judges whether a whole answer is a real success, in one pass that builds nothing.
//!
//! A status of success is only a promise. Servers send 200 with an error, with nothing at all, and with a page for
//! people. As another provider can be tried, none of these has to reach a client.

use crate::proxy::request::BodyError;
use crate::proxy::request::scan::Members;
use crate::routing::FailureKind;

/// Judges an answer that must be one JSON object, with `choices` or without, and that came with `status`.
///
/// # Errors
///
/// [`FailureKind`] says what the answer is instead.
pub(super) fn judge(answer: &[u8], choices: bool, status: u16) -> Result<(), FailureKind> {
    let answer = answer.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(answer);
    // Some providers send blank lines while they think.
    let Some(start) = answer.iter().position(|byte| !byte.is_ascii_whitespace()) else {
        return Err(FailureKind::Empty);
    };
    let Some(mut members) = Members::at(answer, start) else {
        return Err(if answer[start] == b'<' { FailureKind::WebPage } else { FailureKind::NotJson });
    };
    let mut chosen = !choices;
    while let Some(member) = members.next().map_err(|error| not_json(&error))? {
        let value = &answer[member.value];
        match &answer[member.key] {
            b"error" if !is_nothing(value) => return Err(FailureKind::ErrorAnswer(status)),
            // The older vLLM and Mistral put the error's members where the answer's would be.
            b"object" if value == b"\"error\"" => return Err(FailureKind::ErrorAnswer(status)),
            b"choices" => chosen |= value.starts_with(b"[") && !is_nothing(value),
            _ => {}
        }
    }
    members.scanner.end().map_err(|error| not_json(&error))?;
    if chosen { Ok(()) } else { Err(FailureKind::NoChoices) }
}

/// True for `null` and for empty values.
fn is_nothing(value: &[u8]) -> bool {
    match value {
        b"null" | b"false" | b"\"\"" => true,
        [b'{' | b'[', inner @ .., b'}' | b']'] => inner.iter().all(u8::is_ascii_whitespace),
        _ => false,
    }
}

fn not_json(error: &BodyError) -> FailureKind {
    match error {
        BodyError::Syntax { found: None, .. } => FailureKind::CutShort,
        BodyError::Syntax { found: Some(_), .. }
        | BodyError::Utf8 { .. }
        | BodyError::NotAnObject
        | BodyError::TooDeep { .. }
        | BodyError::NotAString { .. }
        | BodyError::Duplicate { .. }
        | BodyError::ApproachUnavailable { .. }
        | BodyError::InvalidApproach { .. }
        | BodyError::ApproachAmbiguous { .. }
        | BodyError::ApproachElsewhere { .. } => FailureKind::NotJson,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHAT: &str = r#"{"id":"1","choices":[{"message":{"content":"{\"error\": 1}"}}],"usage":{"prompt_tokens":1}}"#;

    fn chat(answer: &str) -> Result<(), FailureKind> {
        judge(answer.as_bytes(), true, 200)
    }

    #[test]
    fn an_answer_is_one_whole_object_with_choices_and_no_error() {
        for answer in [
            CHAT.to_owned(),
            format!("\n\n {CHAT}\r\n"),
            format!("\u{feff}{CHAT}"),
            r#"{"error": null, "choices": [{}]}"#.to_owned(),
            r#"{"error": {}, "choices": [{"error": {"code": 1}}]}"#.to_owned(),
        ] {
            assert_eq!(chat(&answer), Ok(()), "{answer}");
        }
        assert_eq!(judge(b"{}", false, 200), Ok(()), "no choices where the endpoint has none");
    }

    #[test]
    fn what_is_no_answer_is_named() {
        let table = [
            (r#"{"error":{"message":"x","code":502}}"#, FailureKind::ErrorAnswer(200)),
            (r#"{"error":"Unexpected endpoint"}"#, FailureKind::ErrorAnswer(200)),
            (r#"{"choices":[{}],"error":{"code":1}}"#, FailureKind::ErrorAnswer(200)),
            (r#"{"object":"error","message":"x"}"#, FailureKind::ErrorAnswer(200)),
            ("", FailureKind::Empty),
            ("\n\n \r\n", FailureKind::Empty),
            ("null", FailureKind::NotJson),
            ("[]", FailureKind::NotJson),
            ("upstream connect error", FailureKind::NotJson),
            (r#"{"choices":[{}]} {"choices":[{}]}"#, FailureKind::NotJson),
            (r#"{"choices":[{}],}"#, FailureKind::NotJson),
            ("<!doctype html><html></html>", FailureKind::WebPage),
            (r#"{"choices":[]}"#, FailureKind::NoChoices),
            (r#"{"choices":[ ]}"#, FailureKind::NoChoices),
            (r#"{"choices":null}"#, FailureKind::NoChoices),
            (r#"{"message":"hello"}"#, FailureKind::NoChoices),
        ];
        for (answer, expected) in table {
            assert_eq!(chat(answer), Err(expected), "{answer}");
        }
    }

    #[test]
    fn an_answer_cut_anywhere_is_cut_short() {
        for end in 1..CHAT.len() {
            assert_eq!(chat(&CHAT[..end]), Err(FailureKind::CutShort), "{}", &CHAT[..end]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let judged = judge(&bytes, false, 200);
            let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes).is_ok();
            prop_assert!(judged.is_err() || is_object || !bytes.is_ascii() || bytes.starts_with(b"\x0c"));
        }
    }
}
