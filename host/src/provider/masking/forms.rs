//! The forms in which a text may hold a secret beside the plain one: base64, and escapes of JSON and URLs.

use std::ops::Range;

/// A form in base64 that is shorter would be found in words.
const SHORTEST_BASE64: usize = 8;

/// The standard alphabet (RFC 4648, 4); the one for URLs differs in its last two.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The forms that base64 gives a secret: the characters that depend on it alone, for each of the three places at which
/// it may begin within a longer text (`Bearer KEY`, `user:KEY`), in both alphabets.
pub(super) fn base64(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for place in 0..3 {
        // Bits of the text before and behind the secret share a character with the secret's own.
        let (first, end) = ((place * 8_usize).div_ceil(6), (place + secret.len()) * 8 / 6);
        if end.saturating_sub(first) < SHORTEST_BASE64 {
            continue;
        }
        let bit = |at: usize| at.checked_sub(place * 8).is_some_and(|at| secret[at / 8] >> (7 - at % 8) & 1 == 1);
        let sextet = |at: usize| (at * 6..at * 6 + 6).fold(0, |bits, at| bits << 1 | usize::from(bit(at)));
        let standard: Vec<u8> = (first..end).map(|at| ALPHABET[sextet(at)]).collect();
        let for_urls: Vec<u8> = standard.iter().map(|&byte| url_safe(byte)).collect();
        if for_urls != standard {
            forms.push(for_urls);
        }
        forms.push(standard);
    }
    forms
}

fn url_safe(byte: u8) -> u8 {
    match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }
}

/// A text with its escapes resolved.
pub(super) struct Unescaped {
    /// The text.
    pub plain: Vec<u8>,
    /// The offset in the source of each of its bytes, and of its end.
    offsets: Vec<usize>,
}

impl Unescaped {
    /// The piece of the source that each piece of the text stands for.
    pub(super) fn source(&self, piece: Range<usize>) -> Range<usize> {
        let offset = |at: usize| self.offsets.get(at).copied().unwrap_or_default();
        offset(piece.start)..offset(piece.end)
    }

    /// The same text, made of one that was itself unescaped, with the offsets of that one's source.
    pub(super) fn below(mut self, outer: &Self) -> Self {
        for offset in &mut self.offsets {
            *offset = outer.source(*offset..*offset).start;
        }
        self
    }
}

/// Resolves the escapes of JSON strings and of URLs in one pass; `None` when there is none. What only looks like an escape
/// stays as it is.
pub(super) fn unescape(text: &[u8]) -> Option<Unescaped> {
    memchr::memchr2(b'\\', b'%', text)?;
    let (mut plain, mut offsets) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len() + 1));
    let (mut at, mut found) = (0, false);
    while let Some(&byte) = text.get(at) {
        let (meant, length) = escape(text, at).unwrap_or((char::REPLACEMENT_CHARACTER, 0));
        if length == 0 {
            plain.push(byte);
            offsets.push(at);
            at += 1;
            continue;
        }
        found = true;
        // A percent escape stands for a byte; beyond ASCII no key has any, so that it may be read as a character.
        for &byte in meant.encode_utf8(&mut [0; 4]).as_bytes() {
            plain.push(byte);
            offsets.push(at);
        }
        at += length;
    }
    offsets.push(text.len());
    found.then_some(Unescaped { plain, offsets })
}

/// The character that the escape at `at` stands for, and the escape's length; `None` if there is none.
fn escape(text: &[u8], at: usize) -> Option<(char, usize)> {
    let hex = |digits: Range<usize>| {
        let digits = std::str::from_utf8(text.get(digits)?).ok()?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    match (text.get(at)?, text.get(at + 1)?) {
        (b'%', _) => Some((char::from_u32(hex(at + 1..at + 3)?)?, 3)),
        (b'\\', b'u') => Some((char::from_u32(hex(at + 2..at + 6)?)?, 6)),
        (b'\\', &byte @ (b'/' | b'\\' | b'"')) => Some((char::from(byte), 2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_holds_what_depends_on_the_secret_alone() {
        let forms = base64(b"secret-key");
        // echo -n 'secret-key' | base64; with one, and with two bytes before it.
        for (encoded, text) in [("c2VjcmV0LWtleQ==", "0"), ("IHNlY3JldC1rZXk=", "1"), ("OiBzZWNyZXQta2V5IQ==", "2")] {
            let found = forms.iter().any(|form| memchr::memmem::find(encoded.as_bytes(), form).is_some());
            assert!(found, "{text}: {encoded}");
        }
        assert!(base64(b"four").iter().all(|form| form.len() >= SHORTEST_BASE64));
    }

    #[test]
    fn escapes_are_resolved_and_their_places_kept() {
        let text = br"a\u0062%63\/d";
        let unescaped = unescape(text).expect("there are escapes");
        assert_eq!(unescaped.plain, b"abc/d");
        assert_eq!(unescaped.source(1..3), 1..10);
        assert_eq!(unescaped.source(0..5), 0..text.len());
        assert!(unescape(b"100 % plain").is_none());
    }
}
