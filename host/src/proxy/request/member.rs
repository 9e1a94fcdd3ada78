//! Single members of a JSON body, which the configuration names for affinity and attributes.

use std::borrow::Cow;
use std::ops::Range;

use super::scan::Members;
use super::{RequestBody, text};

impl RequestBody {
    /// The value of a member of a JSON body, as it stands there; `path` is a key, or keys with dots between them.
    pub fn member(&self, path: &str) -> Option<&[u8]> {
        if !self.json {
            return None;
        }
        let mut at = self.bytes.iter().position(|byte| *byte == b'{')?;
        let mut found = None;
        for wanted in path.split('.') {
            let value = member(&self.bytes, at, wanted.as_bytes())?;
            at = value.start;
            found = Some(value);
        }
        self.bytes.get(found?)
    }

    /// The value of such a member as text: a string, or a number or boolean as it is written; `None` for anything else.
    pub fn said(&self, path: &str) -> Option<Cow<'_, str>> {
        let value = self.member(path)?;
        if let Some(text) = text::within(value, &(0..value.len())) {
            return Some(text::read(&value[text]));
        }
        let is_plain = matches!(value, b"true" | b"false") || matches!(value.first(), Some(b'-' | b'0'..=b'9'));
        is_plain.then(|| String::from_utf8_lossy(value))
    }
}

/// The range of a member's value in the object that begins at `at`. The whole is known to be JSON.
pub(super) fn member(bytes: &[u8], at: usize, wanted: &[u8]) -> Option<Range<usize>> {
    let mut members = Members::at(bytes, at)?;
    while let Ok(Some(member)) = members.next() {
        if *text::unescape(&bytes[member.key.clone()]) == *wanted {
            return Some(member.value);
        }
    }
    None
}

/// The id in a value: the value itself, or its member `id`.
pub(super) fn id_in(bytes: &[u8], value: &Range<usize>) -> Option<Range<usize>> {
    match bytes.get(value.start)? {
        b'"' => Some(value.clone()),
        b'{' => member(bytes, value.start, b"id"),
        _ => None,
    }
}
