//! The last message of the user, for strategies that were granted it.

use std::ops::Range;

use super::scan::{Elements, Members};
use super::text;

/// The text of the last message of a user in the list at `at`, of a list of texts the last, of a text itself; whole
/// characters, at most `limit` bytes. Empty if there is none. The whole is known to be JSON.
pub(super) fn last(bytes: &[u8], at: &Range<usize>, limit: usize) -> String {
    let mut said = String::new();
    if let Some(mut messages) = Elements::at(bytes, at.start) {
        let mut last = None;
        while let Ok(Some(message)) = messages.next() {
            if bytes[message.start] == b'"' || is_a_users(bytes, &message) {
                last = Some(message);
            }
        }
        let content = last.and_then(|message| member(bytes, &message, b"content").or(Some(message)));
        if let Some(content) = content {
            add(bytes, &content, &mut said);
        }
    } else {
        add(bytes, at, &mut said);
    }
    said.truncate(said.floor_char_boundary(limit));
    said
}

fn is_a_users(bytes: &[u8], message: &Range<usize>) -> bool {
    member(bytes, message, b"role").is_some_and(|role| bytes[role] == *b"\"user\"")
}

/// Adds the text of a content: a text, or the texts of its parts, a line each.
fn add(bytes: &[u8], content: &Range<usize>, said: &mut String) {
    if let Some(text) = text::within(bytes, content) {
        if !said.is_empty() {
            said.push('\n');
        }
        said.push_str(&text::read(&bytes[text]));
    } else if let Some(mut parts) = Elements::at(bytes, content.start) {
        while let Ok(Some(part)) = parts.next() {
            if let Some(text) = member(bytes, &part, b"text").filter(|text| bytes[text.start] == b'"') {
                add(bytes, &text, said);
            }
        }
    }
}

/// The last value of a key, as most parsers take it.
fn member(bytes: &[u8], object: &Range<usize>, key: &[u8]) -> Option<Range<usize>> {
    let mut members = Members::at(bytes, object.start)?;
    let mut found = None;
    while let Ok(Some(member)) = members.next() {
        if *text::unescape(&bytes[member.key.clone()]) == *key {
            found = Some(member.value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Menu, RequestBody};

    fn said(body: &str, limit: usize) -> String {
        RequestBody::json(body.to_owned().into(), None, &Menu::default()).expect("valid").prompt(limit)
    }

    #[test]
    fn the_last_message_of_the_user_is_said_in_every_form() {
        for body in [
            r#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":"hi\nho"},{"role":"assistant","content":"b"}]}"#,
            r#"{"messages":[{"content":[{"type":"text","text":"hi"},{"type":"image_url"},{"type":"text","text":"ho"}],"role":"user"}]}"#,
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"hi\nho"}]}]}"#,
            r#"{"input":"hi\nho"}"#,
            r#"{"prompt":["a","hi\nho"]}"#,
        ] {
            assert_eq!(said(body, 100), "hi\nho", "{body}");
        }
    }

    #[test]
    fn where_nobody_says_anything_it_is_empty() {
        for body in [
            "{}",
            r#"{"messages":[]}"#,
            r#"{"messages":[{"role":"system","content":"be brief"}]}"#,
            r#"{"messages":[{"role":"user","content":null}]}"#,
            r#"{"messages":[{"role":"user","content":[{"text":{}},7]}]}"#,
            r#"{"prompt":[1,2]}"#,
            r#"{"input":7}"#,
        ] {
            assert_eq!(said(body, 100), "", "{body}");
        }
    }

    #[test]
    fn it_is_cut_between_two_characters() {
        assert_eq!(said(r#"{"prompt":"xää"}"#, 4), "xä");
    }
}
