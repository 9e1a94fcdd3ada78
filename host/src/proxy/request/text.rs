//! The text of JSON strings: how far it is plain, what its escapes stand for, and how to write a text as a string.
//!
//! Apart from the scanner because it knows nothing of structure. Everything that reads escapes here takes text the
//! scanner has accepted; on any other it gives some answer, and never panics.

use std::borrow::Cow;
use std::ops::Range;

/// A one in each of eight bytes.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit in each of eight bytes.
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// True when no byte is outside of ASCII, as in most bodies, or a control character. It is quicker than a check of UTF-8: as
/// signed numbers, those bytes are the ones below the blank, and the compiler turns that into vector instructions.
pub(super) fn is_clean(bytes: &[u8]) -> bool {
    let is_low = |low: bool, byte: &u8| low | (byte.cast_signed() < 0x20);
    let (blocks, rest) = bytes.as_chunks::<64>();
    blocks.iter().all(|block| !block.iter().fold(false, is_low)) && !rest.iter().fold(false, is_low)
}

/// The offset of the first byte from `at` on that a string cannot simply contain: a quote, a backslash or a control
/// character; the length if there is none. It need not look further than `limit`, and may stop there.
///
/// Eight bytes at a time: for short strings, and what is left of long ones.
pub(super) fn plain_until(bytes: &[u8], mut at: usize, limit: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let hits = special(u64::from_le_bytes(*eight));
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
        if at >= limit {
            return at;
        }
    }
    while bytes.get(at).is_some_and(|&byte| !is_special(byte)) {
        at += 1;
    }
    at
}

/// The bytes of a block that a string cannot simply contain, a bit for each.
///
/// The comparisons become vector instructions, which shifting each result to its place at once would not; of each eight of their
/// results one multiplication gathers the lowest bits in the highest byte.
pub(super) fn specials(block: &[u8; 64]) -> u64 {
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let marks = block.map(|byte| u8::from(is_special(byte)));
    let (words, _) = marks.as_chunks::<8>();
    let gathered = words.iter().map(|word| u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56);
    gathered.enumerate().fold(0, |all, (place, bits)| all | bits << (place * 8))
}

/// True for a byte that is an escape of two bytes together with a backslash before it.
pub(super) fn is_short_escape(byte: u8) -> bool {
    SHORT_ESCAPES[byte as usize]
}

const SHORT_ESCAPES: [bool; 256] = {
    let mut table = [false; 256];
    let mut place = 0;
    while place < 8 {
        table[b"\"\\/bfnrt"[place] as usize] = true;
        place += 1;
    }
    table
};

/// True when a string cannot simply contain the byte.
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// The highest bit in each byte that is special. Bits above the lowest one set may be wrong, through the borrow of the
/// subtraction; the lowest is right. (Mycroft's test for a zero byte, three times.)
fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash | control) & HIGHS
}

/// The range of the text of `value` if that is a string: between its quotes.
pub(super) fn within(bytes: &[u8], value: &Range<usize>) -> Option<Range<usize>> {
    (bytes.get(value.start) == Some(&b'"')).then(|| value.start + 1..value.end - 1)
}

/// The number that four hexadecimal digits from `at` on stand for.
pub(super) fn hex4(bytes: &[u8], at: usize) -> Option<u16> {
    let digits: &[u8; 4] = bytes.get(at..)?.first_chunk()?;
    let [a, b, c, d] = digits.map(|digit| HEX[digit as usize]);
    // Only the mark of a byte that is no digit has a bit above the lowest four.
    if (a | b | c | d) > 0xf {
        return None;
    }
    Some(u16::from(a) << 12 | u16::from(b) << 8 | u16::from(c) << 4 | u16::from(d))
}

/// The value of each hexadecimal digit; 255 for all other bytes.
const HEX: [u8; 256] = {
    let mut table = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        table[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

/// The UTF-16 unit that the escape at `at` stands for, and where the text goes on behind it.
fn escape(raw: &[u8], at: usize) -> (u16, usize) {
    let unit = match raw.get(at + 1) {
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => 0x0a,
        Some(b'r') => 0x0d,
        Some(b't') => 0x09,
        Some(b'u') => return (hex4(raw, at + 2).unwrap_or(0xfffd), at + 6),
        Some(&other) => u16::from(other),
        None => 0xfffd,
    };
    (unit, at + 2)
}

/// The character at `at`, an escape counting as the one that it stands for, and the place where the text goes on behind
/// it.
///
/// Of a character outside ASCII that is not escaped it is one byte of its UTF-8, which is enough to compare with ASCII.
pub(super) fn unit(raw: &[u8], at: usize) -> Option<(u16, usize)> {
    match *raw.get(at)? {
        b'\\' => Some(escape(raw, at)),
        byte => Some((u16::from(byte), at + 1)),
    }
}

/// The text with its escapes resolved.
///
/// A surrogate without its partner, which the grammar allows and UTF-8 does not, becomes the three bytes that a
/// generalised UTF-8 (WTF-8) gives it, so that different keys stay different.
pub(super) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut next) = memchr::memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut plain = Vec::with_capacity(raw.len());
    let mut at = 0;
    loop {
        plain.extend_from_slice(raw.get(at..next).unwrap_or_default());
        let (first, mut behind) = escape(raw, next);
        let mut code = u32::from(first);
        if (0xd800..0xdc00).contains(&first)
            && raw.get(behind) == Some(&b'\\')
            && let (second @ 0xdc00..0xe000, end) = escape(raw, behind)
        {
            code = 0x10000 + (u32::from(first & 0x3ff) << 10 | u32::from(second & 0x3ff));
            behind = end;
        }
        match char::from_u32(code) {
            Some(character) => plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => plain.extend_from_slice(&[
                0xe0 | (code >> 12) as u8,
                0x80 | (code >> 6 & 0x3f) as u8,
                0x80 | (code & 0x3f) as u8,
            ]),
        }
        at = behind.min(raw.len());
        match memchr::memchr(b'\\', &raw[at..]) {
            Some(distance) => next = at + distance,
            None => break,
        }
    }
    plain.extend_from_slice(&raw[at..]);
    Cow::Owned(plain)
}

/// As [`unescape`], for reading: each of the three bytes of a surrogate without its partner becomes U+FFFD.
pub(super) fn read(raw: &[u8]) -> Cow<'_, str> {
    match unescape(raw) {
        Cow::Borrowed(plain) => String::from_utf8_lossy(plain),
        Cow::Owned(plain) => Cow::Owned(String::from_utf8_lossy(&plain).into_owned()),
    }
}

/// The text as a JSON string, with its quotes; only what must be escaped is.
pub(super) fn quote(plain: &str) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut json = String::with_capacity(plain.len() + 2);
    json.push('"');
    for character in plain.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\0'..='\x1f' => {
                json.push_str("\\u00");
                json.push(DIGITS[character as usize >> 4]);
                json.push(DIGITS[character as usize & 0xf]);
            }
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}
