//! The encoded forms in which a text may hold a secret: base64, and escapes of JSON and URLs.

use std::ops::Range;

/// A form in base64 that is shorter would be found in words.
const SHORTEST_BASE64: usize = 8;

/// The number of times that an escaped text may have been escaped again: JSON in JSON, a URL in JSON.
const LAYERS: usize = 3;

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

/// The places of a secret in a text, each of its bytes as it is or as an escape of JSON strings or URLs.
///
/// It is searched for at every place, since the bytes before it may look like an escape together with its first bytes.
pub(super) fn escaped(text: &[u8], secret: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = secret.iter().try_fold(start, |at, &byte| spelled(text, at, byte, LAYERS));
        match end {
            Some(end) if end > start => {
                found.push(start..end);
                start = end;
            }
            Some(_) | None => start += 1,
        }
    }
    found
}

/// The place behind the form of `wanted` at `at`: the byte itself, or an escape, whose characters may themselves be
/// escaped up to `layers` deep. `None` if there is something else.
fn spelled(text: &[u8], at: usize, wanted: u8, layers: usize) -> Option<usize> {
    let &first = text.get(at)?;
    if layers > 0 && matches!(first, b'%' | b'\\') {
        let escape = percent(text, at, wanted, layers - 1).or_else(|| backslash(text, at, wanted, layers - 1));
        if escape.is_some() {
            return escape;
        }
    }
    (first == wanted).then_some(at + 1)
}

/// `%2f`; the `%` in each depth, since what follows it may belong to it or not.
fn percent(text: &[u8], at: usize, wanted: u8, layers: usize) -> Option<usize> {
    (0..=layers).rev().find_map(|depth| {
        let digits = spelled(text, at, b'%', depth)?;
        digit(text, digit(text, digits, wanted >> 4, layers)?, wanted & 15, layers)
    })
}

/// `\/` or `\u002f`; likewise.
fn backslash(text: &[u8], at: usize, wanted: u8, layers: usize) -> Option<usize> {
    (0..=layers).rev().find_map(|depth| {
        let next = spelled(text, at, b'\\', depth)?;
        if matches!(wanted, b'/' | b'\\' | b'"')
            && let Some(end) = spelled(text, next, wanted, layers)
        {
            return Some(end);
        }
        if !wanted.is_ascii() {
            return None;
        }
        let digits = spelled(text, next, b'u', layers)?;
        [0, 0, wanted >> 4, wanted & 15].iter().try_fold(digits, |at, &value| digit(text, at, value, layers))
    })
}

/// A hexadecimal digit, in either case.
fn digit(text: &[u8], at: usize, value: u8, layers: usize) -> Option<usize> {
    let lower = char::from_digit(value.into(), 16).and_then(|digit| u8::try_from(digit).ok())?;
    spelled(text, at, lower, layers).or_else(|| spelled(text, at, lower.to_ascii_uppercase(), layers))
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
    fn escapes_are_seen_through_and_their_places_kept() {
        let text = br"a\u0062%63\/d";
        let only = |text: &[u8], secret: &[u8]| {
            let found = escaped(text, secret);
            assert_eq!(found.len(), 1, "{found:?}");
            (found[0].start, found[0].end)
        };
        assert_eq!(only(text, b"bc/"), (1, 12));
        assert_eq!(only(text, b"abc/d"), (0, text.len()));
        assert_eq!(only(br"%61%2561%252561 %25252561", b"aaa"), (0, 15));
        assert_eq!(only(b"cl%C3%a9", "cl\u{e9}".as_bytes()), (0, 8));
        assert!(escaped(br"100 % pla\in", b"plain").is_empty());
    }
}
