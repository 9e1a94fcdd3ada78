//! The tag by which a message chooses an approach: `<optillm_approach>proxy</optillm_approach>`.
//!
//! It is looked for in the text as written, through its escapes, because it has to be cut out there. Nothing is copied,
//! and however often a tag is opened and not closed, each byte is looked at a fixed number of times.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memchr2;
use memchr::memmem::Finder;

use super::error::BodyError;
use super::scan::{Elements, Members};
use super::splice::Edit;
use super::text;

/// The beginning of a tag.
const OPEN: &[u8] = b"<optillm_approach>";
/// Its end.
const CLOSE: &[u8] = b"</optillm_approach>";

/// True when it is worth looking for tags: for nearly all requests it is not, and this costs them one fast search. `escaped` is
/// true when there are escapes by number, by which some serialisers write the angle brackets of a tag.
pub(super) fn may_contain(json: &[u8], escaped: bool) -> bool {
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("optillm_approach"));
    (escaped || memchr::memchr(b'<', json).is_some()) && FINDER.find(json).is_some()
}

/// Cuts the tags out of the system and user messages in the array at `messages`, and returns what the first one names.
///
/// A message's text is its `content`, or the `text` of each part of it whose `type` is `text`.
pub(super) fn take(bytes: &[u8], messages: Range<usize>, cuts: &mut Vec<Edit>) -> Result<Option<String>, BodyError> {
    let mut name = None;
    let Some(mut messages) = Elements::at(bytes, messages.start) else { return Ok(None) };
    while let Some(message) = messages.next()? {
        let [role, content] = values(bytes, message, ["role", "content"])?;
        let role = role.and_then(|role| text::within(bytes, &role)).map(|role| text::unescape(&bytes[role]));
        let (Some(b"system" | b"user"), Some(content)) = (role.as_deref(), content) else { continue };
        if let Some(text) = text::within(bytes, &content) {
            take_from(bytes, text, &mut name, cuts);
        } else if let Some(mut parts) = Elements::at(bytes, content.start) {
            while let Some(part) = parts.next()? {
                let [kind, text] = values(bytes, part, ["type", "text"])?;
                if let Some(kind) = kind.and_then(|kind| text::within(bytes, &kind))
                    && *text::unescape(&bytes[kind]) == *b"text"
                    && let Some(text) = text.and_then(|text| text::within(bytes, &text))
                {
                    take_from(bytes, text, &mut name, cuts);
                }
            }
        }
    }
    Ok(name)
}

/// The values of two keys in the object at `at`, the last where a key is repeated, as most parsers see it; nothing if
/// it is not an object.
fn values(bytes: &[u8], at: Range<usize>, keys: [&str; 2]) -> Result<[Option<Range<usize>>; 2], BodyError> {
    let mut found = [None, None];
    let Some(mut members) = Members::at(bytes, at.start) else { return Ok(found) };
    while let Some(member) = members.next()? {
        let key = text::unescape(&bytes[member.key]);
        if let Some(index) = keys.iter().position(|wanted| wanted.as_bytes() == &*key) {
            found[index] = Some(member.value);
        }
    }
    Ok(found)
}

/// Cuts the tags out of one text; what the first one names becomes `name` unless there is one already.
fn take_from(bytes: &[u8], text: Range<usize>, name: &mut Option<String>, cuts: &mut Vec<Edit>) {
    let raw = &bytes[text.clone()];
    let mut at = 0;
    while let Some(open) = find(raw, OPEN, at, false) {
        match find(raw, CLOSE, open.end, true) {
            Some(close) => {
                name.get_or_insert_with(|| text::read(&raw[open.end..close.start]).trim().to_owned());
                cuts.push(Edit::cut(text.start + open.start..text.start + close.end));
                at = close.end;
            }
            // No tag that is opened before the end of this line is closed in it.
            None => at = line_end(raw, open.end),
        }
    }
}

/// The first place of `tag`, which begins with `<`, in the text from `at` on; only in the same line if `in_line`.
fn find(raw: &[u8], tag: &[u8], mut at: usize, in_line: bool) -> Option<Range<usize>> {
    loop {
        at += memchr2(b'<', b'\\', raw.get(at..)?)?;
        let (unit, next) = text::unit(raw, at)?;
        if in_line && unit == u16::from(b'\n') {
            return None;
        }
        if unit == u16::from(b'<')
            && let Some(end) = ends(raw, tag, at)
        {
            return Some(at..end);
        }
        at = next;
    }
}

/// The end of `tag` if the text has it at `at`.
fn ends(raw: &[u8], tag: &[u8], at: usize) -> Option<usize> {
    tag.iter().try_fold(at, |at, &byte| {
        let (unit, next) = text::unit(raw, at)?;
        (unit == u16::from(byte)).then_some(next)
    })
}

/// The offset behind the next line feed, or the length.
fn line_end(raw: &[u8], mut at: usize) -> usize {
    while let Some(distance) = memchr::memchr(b'\\', raw.get(at..).unwrap_or_default()) {
        let Some((unit, next)) = text::unit(raw, at + distance) else { break };
        at = next;
        if unit == u16::from(b'\n') {
            return at;
        }
    }
    raw.len()
}
