//! The number of tokens that an answer says it took.
//!
//! Reads the value of each key `usage` that is an object, without parsing the rest of the bytes. In a JSON text a
//! quoted `"usage"` is a key or a whole string value, never part of a longer text, whose quotes would be escaped; a
//! value that is no object with such figures is ignored.
//!
//! An answer may name them more than once: streams of messages name the prompt in their first event and the completion
//! in their last, others count up with each event. Figures only grow, so the largest of each is that of the answer.

use std::sync::LazyLock;

use memchr::memmem::Finder;

pub use crate::observe::Usage;

use super::request::BodyError;
use super::request::scan::Members;

/// The key of the figures.
const KEY: &[u8] = b"\"usage\"";
/// The most bytes of an object with the figures and their details.
const MAX_OBJECT: usize = 4096;
/// The most keys that are looked at in one piece: a piece that consists only of keys must not cost more than its size.
const LOOKED_AT: usize = 64;

/// The part that follows a key.
enum Reading {
    Figures(Usage),
    Nothing,
    /// The text ends before it is clear.
    CutOff,
}

impl Usage {
    /// The figures of a whole answer, be it one JSON text or a stream of events.
    pub fn of(answer: &[u8]) -> Option<Self> {
        let mut scanner = UsageScanner::default();
        scanner.look(answer);
        scanner.found
    }

    /// The field for the figure of a member of the object, if it is one.
    fn figure(&mut self, key: &[u8]) -> Option<&mut Option<u64>> {
        match key {
            b"prompt_tokens" | b"input_tokens" => Some(&mut self.prompt_tokens),
            b"completion_tokens" | b"output_tokens" => Some(&mut self.completion_tokens),
            _ => None,
        }
    }

    /// The larger one of each figure.
    fn merged(self, other: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.max(other.prompt_tokens),
            completion_tokens: self.completion_tokens.max(other.completion_tokens),
        }
    }

    /// Reads the figures that follow the key.
    fn after_key(rest: &[u8]) -> Reading {
        let rest = rest.trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start) else {
            return if rest.is_empty() { Reading::CutOff } else { Reading::Nothing };
        };
        let object = &rest[..rest.len().min(MAX_OBJECT)];
        let Some(mut members) = Members::at(object, 0) else {
            return if object.is_empty() { Reading::CutOff } else { Reading::Nothing };
        };
        let mut usage = Self::default();
        loop {
            match members.next() {
                Ok(Some(member)) => {
                    if let Some(figure) = usage.figure(&object[member.key]) {
                        *figure = number(&object[member.value]).max(*figure);
                    }
                }
                // Only an object that has ended is believed: the last figure may have more digits.
                Ok(None) if usage == Self::default() => return Reading::Nothing,
                Ok(None) => return Reading::Figures(usage),
                Err(BodyError::Syntax { found: None, .. }) => return Reading::CutOff,
                Err(_) => return Reading::Nothing,
            }
        }
    }
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Looks for the figures in an answer as it passes.
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
        static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY));
        let mut from = 0;
        for _ in 0..LOOKED_AT {
            let Some(length) = FINDER.find(&text[from..]) else { break };
            let key = from + length;
            from = key + KEY.len();
            match Usage::after_key(&text[from..]) {
                Reading::Figures(usage) => self.found = Some(self.found.unwrap_or_default().merged(usage)),
                Reading::Nothing => {}
                Reading::CutOff if text.len() - key < MAX_OBJECT => {
                    return self.carried.extend_from_slice(&text[key..]);
                }
                Reading::CutOff => {}
            }
        }
        // Nearly every piece of a stream ends with an event, that is with a line.
        if text.ends_with(b"\n") {
            return;
        }
        let cut = (1..KEY.len()).rev().find(|&length| text.ends_with(&KEY[..length]));
        self.carried.extend_from_slice(cut.map_or(&[][..], |length| &KEY[..length]));
    }

    /// The figures, if any were found.
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
    fn the_largest_of_each_figure_is_the_answers() {
        // Messages: the prompt in the first event, the completion in the last.
        let messages = concat!(
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":12,",
            "\"cache_creation\":{\"ephemeral_5m_input_tokens\":0},\"output_tokens\":1}}}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":34}}\n\n",
        );
        assert_eq!(Usage::of(messages.as_bytes()), Some(FIGURES));
        let counting = r#"{"usage":{"prompt_tokens":12,"completion_tokens":7}}{"usage":{"completion_tokens":34}}"#;
        assert_eq!(Usage::of(counting.as_bytes()), Some(FIGURES));
        let mut scanner = UsageScanner::default();
        messages.split_inclusive('\n').for_each(|line| scanner.feed(line.as_bytes()));
        assert_eq!(scanner.found(), Some(FIGURES));
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
            "{\"usage\":{\"type\":\"object\",\"prompt_tokens\":\"1\"}}",
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
    fn figures_behind_a_large_answer_are_found() {
        let mut scanner = UsageScanner::default();
        let large = format!("{{\"data\":[{}],", "0.25,".repeat(100_000));
        let figures = "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34}}";
        (large + figures).as_bytes().chunks(1448).for_each(|piece| scanner.feed(piece));
        assert_eq!(scanner.found(), Some(FIGURES));
    }

    #[test]
    fn what_it_carries_is_bounded() {
        for (start, more) in [("\"usage\":{\"x\":\"", b'x'), ("\"usage\"", b' '), ("\"usage\":", b' ')] {
            let mut scanner = UsageScanner::default();
            scanner.feed(start.as_bytes());
            for _ in 0..100 {
                scanner.feed(&[more; 1000]);
                assert!(scanner.carried.len() <= MAX_OBJECT);
            }
        }
    }
}
