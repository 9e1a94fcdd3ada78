//! The beginning of a conversation, which stays the same from turn to turn.

use std::ops::Range;

use super::scan::{Elements, Members};
use super::text;

/// The first of the messages in the list at `at`, up to and with the first one of a user, but at most `limit` bytes; of
/// anything else than a list of messages, its first bytes.
///
/// Each turn sends all earlier turns again: the part before the first answer never changes.
pub(super) fn beginning(bytes: &[u8], at: Range<usize>, limit: usize) -> &[u8] {
    let whole = at.end.min(at.start.saturating_add(limit));
    let Some(bytes) = bytes.get(..whole) else { return b"" };
    let end = Elements::at(bytes, at.start).and_then(|messages| first_answerable(bytes, messages));
    &bytes[at.start..end.unwrap_or(whole)]
}

/// The end of the first message of a user; none if there is no such message.
fn first_answerable(bytes: &[u8], mut messages: Elements<'_>) -> Option<usize> {
    // The whole body is known to be JSON: an error is the end of the bytes that count.
    while let Ok(Some(message)) = messages.next() {
        if is_a_users(bytes, &message) {
            return Some(message.end);
        }
    }
    None
}

fn is_a_users(bytes: &[u8], message: &Range<usize>) -> bool {
    let Some(mut members) = Members::at(bytes, message.start) else { return false };
    while let Ok(Some(member)) = members.next() {
        if &*text::unescape(&bytes[member.key.clone()]) == b"role" {
            return bytes[member.value] == *b"\"user\"";
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(messages: &str, limit: usize) -> &str {
        std::str::from_utf8(beginning(messages.as_bytes(), 0..messages.len(), limit)).expect("ASCII")
    }

    const SYSTEM: &str = r#"{"role":"system","content":"be brief"}"#;
    const USER: &str = r#"{"content":"hello","role":"user"}"#;
    const ANSWER: &str = r#"{"role":"assistant","content":"hi"}"#;

    #[test]
    fn all_turns_of_a_conversation_begin_alike() {
        let first = format!("[{SYSTEM}, {USER}]");
        let second = format!("[{SYSTEM}, {USER}, {ANSWER}, {USER}]");
        assert_eq!(of(&first, 1000), format!("[{SYSTEM}, {USER}"));
        assert_eq!(of(&first, 1000), of(&second, 1000));
    }

    #[test]
    fn no_more_than_the_limit_counts() {
        let messages = format!("[{SYSTEM}, {USER}]");
        for limit in 0..messages.len() - 1 {
            assert_eq!(of(&messages, limit), &messages[..limit]);
        }
    }

    #[test]
    fn what_is_no_list_of_messages_begins_with_its_first_bytes() {
        for whole in [r#""a text""#, "[1, 2]", "[]", r#"["a", "b"]"#, r#"{"role": "user"}"#, ANSWER] {
            assert_eq!(of(whole, 1000), whole);
        }
    }
}
