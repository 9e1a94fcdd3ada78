//! Escapes characters that would make a terminal or an editor display a falsified log.
//!
//! The formatting layers escape those in ASCII. This module escapes the others: the C1 controls, which some terminals
//! obey like ESC, characters that change the direction of text (CVE-2021-42574), and Unicode's line separators.

use std::io::Write as _;

/// The notation of an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// Rust's notation: `\u{9b}`.
    Text,
    /// JSON's notation: `\u009b`.
    Json,
}

/// Appends `lines` to `out`, each such character escaped.
pub fn append(lines: &[u8], notation: Notation, out: &mut Vec<u8>) {
    if lines.is_ascii() && !lines.contains(&0x7f) {
        return out.extend_from_slice(lines);
    }
    let Ok(text) = str::from_utf8(lines) else { return out.extend_from_slice(lines) };
    let mut rest = text;
    while let Some((at, found)) = rest.char_indices().find(|(_, c)| misleads(*c)) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        // Writing to memory does not fail.
        let _ = match notation {
            Notation::Text => write!(out, "\\u{{{:x}}}", u32::from(found)),
            Notation::Json => write!(out, "\\u{:04x}", u32::from(found)),
        };
        rest = after.get(found.len_utf8()..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn misleads(c: char) -> bool {
    matches!(
        c,
        '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, notation: Notation) -> String {
        let mut out = Vec::new();
        append(text.as_bytes(), notation, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn controls_beyond_ascii_and_changes_of_direction_are_escaped() {
        assert_eq!(written("a\u{9b}31mb\u{202e}c\u{2066}", Notation::Text), r"a\u{9b}31mb\u{202e}c\u{2066}");
        let json = written("{\"a\":\"\u{85}ä\u{2028}\u{7f}\u{200f}\"}", Notation::Json);
        assert_eq!(json, r#"{"a":"\u0085ä\u2028\u007f\u200f"}"#);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["a"], "\u{85}ä\u{2028}\u{7f}\u{200f}");
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for text in ["plain\n", "größer, 中文, עברית, 👍🏽\n", ""] {
            assert_eq!(written(text, Notation::Text), text);
        }
    }
}
