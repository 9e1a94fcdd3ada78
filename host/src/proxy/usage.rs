//! How many tokens an answer says it took.
//!
//! Read off the bytes that pass, without parsing the rest of them: the value of the last key `usage` that is an object.
//! In a JSON text a quoted `"usage"` is a key or a whole string value, never part of a longer text, whose quotes would be
//! escaped; what is no object with such figures is not taken for one.

use std::sync::LazyLock;

use memchr::memmem::{Finder, FinderRev};
use serde::Deserialize;

/// Where the figures stand.
const KEY: &[u8] = b"\"usage\"";
/// More than an object with the figures and their details takes.
const MAX_OBJECT: usize = 2048;

/// The figures of one answer. The chat API and the responses API have different names for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    #[serde(alias = "input_tokens")]
    pub prompt_tokens: Option<u64>,
    /// Tokens of the completion.
    #[serde(alias = "output_tokens")]
    pub completion_tokens: Option<u64>,
}

impl Usage {
    /// The figures of a whole answer, be it one JSON text or a stream of events.
    pub fn of(answer: &[u8]) -> Option<Self> {
        last_keys(answer).find_map(|at| Self::after_key(&answer[at + KEY.len()..]))
    }

    /// Reads the figures that follow the key.
    fn after_key(rest: &[u8]) -> Option<Self> {
        let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let object = &rest[..rest.len().min(MAX_OBJECT)];
        if !object.starts_with(b"{") {
            return None;
        }
        let usage: Usage = serde_json::Deserializer::from_slice(object).into_iter().next()?.ok()?;
        (usage != Usage::default()).then_some(usage)
    }
}

/// Where the key stands, the last one first; at most so many.
fn last_keys(text: &[u8]) -> impl Iterator<Item = usize> {
    const LOOKED_AT: usize = 8;
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY));
    static REVERSE: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(KEY));
    // Forwards is many times faster than backwards, and mostly there is none.
    let end = FINDER.find(text).map_or(0, |_| text.len());
    REVERSE.rfind_iter(&text[..end]).take(LOOKED_AT)
}

/// Looks for the figures in a stream as it passes.
#[derive(Debug, Default)]
pub struct UsageScanner {
    found: Option<Usage>,
    /// The end of what has passed, when figures may have begun in it. Bounded.
    carried: Vec<u8>,
}

impl UsageScanner {
    /// Looks at the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.carried.is_empty() {
            return self.look(piece);
        }
        let mut text = std::mem::take(&mut self.carried);
        text.extend_from_slice(&piece[..piece.len().min(MAX_OBJECT)]);
        self.look(&text);
        if piece.len() > MAX_OBJECT {
            self.carried.clear();
            self.look(piece);
        }
    }

    fn look(&mut self, text: &[u8]) {
        let mut unclear = None;
        for at in last_keys(text) {
            if let Some(usage) = Usage::after_key(&text[at + KEY.len()..]) {
                self.found = Some(usage);
                break;
            }
            unclear = unclear.or(Some(at));
        }
        // Cut off perhaps; an event ends with its line.
        if let Some(at) = unclear
            && text.len() - at < MAX_OBJECT
            && !text[at..].contains(&b'\n')
        {
            return self.carried.extend_from_slice(&text[at..]);
        }
        // Nearly every piece ends with an event, that is with a line.
        if text.ends_with(b"\n") {
            return;
        }
        let cut = (1..KEY.len()).rev().find(|&length| text.ends_with(&KEY[..length]));
        self.carried.extend_from_slice(cut.map_or(&[][..], |length| &KEY[..length]));
    }

    /// What was found.
    pub fn found(&self) -> Option<Usage> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\": {}\"}}],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34,\"total_tokens\":46,",
        "\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\ndata: [DONE]\n\n",
    );
    const FIGURES: Usage = Usage { prompt_tokens: Some(12), completion_tokens: Some(34) };

    #[test]
    fn reads_both_ways_to_say_it() {
        let chat = br#"{"choices": [], "usage" : {"prompt_tokens": 12, "completion_tokens": 34}}"#;
        let responses = br#"{"output": [], "usage":{"input_tokens":12,"output_tokens":34}}"#;
        assert_eq!((Usage::of(chat), Usage::of(responses)), (Some(FIGURES), Some(FIGURES)));
        let embeddings = br#"{"data": [], "usage": {"prompt_tokens": 12, "total_tokens": 12}}"#;
        assert_eq!(Usage::of(embeddings), Some(Usage { prompt_tokens: Some(12), completion_tokens: None }));
        assert_eq!(Usage::of(STREAM.as_bytes()), Some(FIGURES));
        let followed = r#"{"usage":{"prompt_tokens":12,"completion_tokens":34}}{"usage":null}"#;
        assert_eq!(Usage::of(followed.as_bytes()), Some(FIGURES));
    }

    #[test]
    fn what_is_no_figure_is_none() {
        for text in [
            "",
            "\"usage\"",
            "{\"usage\":null}",
            "{\"usage\":{}}",
            "{\"usage\":{\"prompt_tokens\":-1}}",
            "{\"usage\":{\"prompt_tokens\":1",
            "{\"content\":\"\\\"usage\\\":{\\\"prompt_tokens\\\":1}\"}",
        ] {
            assert_eq!(Usage::of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn finds_the_same_however_the_stream_is_cut() {
        let bytes = STREAM.as_bytes();
        for first in 0..bytes.len() {
            for second in [first + 1, first + 9, bytes.len()] {
                let second = second.min(bytes.len());
                let mut scanner = UsageScanner::default();
                for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    scanner.feed(piece);
                }
                assert_eq!(scanner.found(), Some(FIGURES), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn what_it_carries_is_bounded() {
        let mut scanner = UsageScanner::default();
        scanner.feed(b"\"usage\":{\"x\":\"");
        for _ in 0..1000 {
            scanner.feed(&[b'x'; 1000]);
            assert!(scanner.carried.len() <= 2 * MAX_OBJECT);
        }
    }
}
