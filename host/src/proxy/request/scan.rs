//! Strict JSON over bytes: where the members of an object stand, and that everything in between is JSON.
//!
//! It accepts exactly the grammar of [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259) to a nesting of
//! [`MAX_DEPTH`], and builds nothing: no tree, no strings, no recursion. `serde_json` is not used because it either
//! builds a tree or loses where a value stood, and the body has to reach the provider byte for byte.
//!
//! UTF-8 is not checked here: the caller has checked the whole body, which is faster than string by string.

use std::ops::Range;

use super::error::BodyError;
use super::text;
use super::tokens::{self, Opaque};

/// The most objects and arrays that may be nested, the outermost included.
pub(in crate::proxy) const MAX_DEPTH: usize = 256;

/// The length up to which a string is read as a short one: keys, roles, names.
const SHORT: usize = 24;

/// One member of an object.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Member {
    /// The key as written, without its quotes.
    pub(in crate::proxy) key: Range<usize>,
    /// The value, without the whitespace around it.
    pub(in crate::proxy) value: Range<usize>,
}

impl Member {
    /// The beginning of the member: the opening quote of its key.
    pub(in crate::proxy) fn start(&self) -> usize {
        self.key.start - 1
    }
}

/// A position in a JSON text.
pub(in crate::proxy) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// True when there was a `\u` escape.
    pub(in crate::proxy) escaped: bool,
    /// True when a `\u` escape stood for one of `a`-`z` or `_`, which no serialiser writes: only then can one of the
    /// words that matter here be present without being found as plain bytes.
    pub(in crate::proxy) escaped_letter: bool,
    /// The long texts that are base64.
    pub(in crate::proxy) opaque: Opaque,
}

impl<'a> Scanner<'a> {
    /// Begins at the offset `at`.
    pub(in crate::proxy) fn new(bytes: &'a [u8], at: usize) -> Self {
        Scanner { bytes, at, escaped: false, escaped_letter: false, opaque: Opaque::default() }
    }

    /// The offset it stands at.
    pub(in crate::proxy) fn at(&self) -> usize {
        self.at
    }

    /// The next byte, if there is one.
    pub(in crate::proxy) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The error for a place where something else stands than `expected`.
    pub(in crate::proxy) fn expected(&self, expected: &'static str) -> BodyError {
        BodyError::Syntax { at: self.at, expected, found: self.peek() }
    }

    /// Skips the four kinds of whitespace that JSON knows.
    pub(in crate::proxy) fn whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips whitespace and demands that nothing follows.
    pub(in crate::proxy) fn end(&mut self) -> Result<(), BodyError> {
        self.whitespace();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.expected("the end of the body")) }
    }

    /// Skips one value, which must begin here and may nest `depth` deep; returns its range.
    pub(in crate::proxy) fn value(&mut self, depth: usize) -> Result<Range<usize>, BodyError> {
        let start = self.at;
        let mut open = Open::new(depth);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{') => {
                    open.push(true, start)?;
                    self.at += 1;
                    self.whitespace();
                    if self.peek() != Some(b'}') {
                        self.key("a key or `}`")?;
                        continue;
                    }
                    self.at += 1;
                    open.pop();
                }
                Some(b'[') => {
                    open.push(false, start)?;
                    self.at += 1;
                    self.whitespace();
                    if self.peek() != Some(b']') {
                        continue;
                    }
                    self.at += 1;
                    open.pop();
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true", "`true`")?,
                Some(b'f') => self.literal(b"false", "`false`")?,
                Some(b'n') => self.literal(b"null", "`null`")?,
                Some(_) | None => return Err(self.expected("a value")),
            }
            // A value has ended; so may have the objects and arrays around it.
            loop {
                let Some(object) = open.innermost() else { return Ok(start..self.at) };
                self.whitespace();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.whitespace();
                        if object {
                            self.key("a key")?;
                        }
                        break;
                    }
                    Some(b'}') if object => self.at += 1,
                    Some(b']') if !object => self.at += 1,
                    Some(_) | None => return Err(self.expected(if object { "`,` or `}`" } else { "`,` or `]`" })),
                }
                open.pop();
            }
        }
    }

    /// Skips a key and its colon to the first byte of the value; returns the range of the key's text.
    fn key(&mut self, expected: &'static str) -> Result<Range<usize>, BodyError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected(expected));
        }
        let key = self.string()?;
        self.whitespace();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        self.whitespace();
        Ok(key)
    }

    /// Skips a string, whose opening quote is here; returns the range of its text.
    pub(in crate::proxy) fn string(&mut self) -> Result<Range<usize>, BodyError> {
        self.at += 1;
        let start = self.at;
        self.at = text::plain_until(self.bytes, start, start + SHORT);
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = start..self.at;
                    self.at += 1;
                    if text.len() > tokens::LONG {
                        self.opaque.note(&self.bytes[text.clone()]);
                    }
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.escape()?;
                    self.run()?;
                }
                Some(..0x20) => return Err(self.expected("an escape for this control character")),
                Some(_) => self.run()?,
                None => return Err(self.expected("`\"`, the end of a string")),
            }
        }
    }

    /// Skips what may stand in a string, with its escapes, to the first byte that may not: block by block, in which only the
    /// special bytes are looked at.
    fn run(&mut self) -> Result<(), BodyError> {
        while let Some(block) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<64>) {
            let (begin, mut specials) = (self.at, text::specials(block));
            loop {
                if specials == 0 {
                    self.at = begin + 64;
                    break;
                }
                let place = specials.trailing_zeros() as usize;
                let escape = match block.get(place..) {
                    Some([b'\\', escaped, ..]) if text::is_short_escape(*escaped) => place + 2,
                    Some([b'\\', ..]) => {
                        self.at = begin + place;
                        self.escape()?;
                        self.at - begin
                    }
                    Some(_) | None => {
                        self.at = begin + place;
                        return Ok(());
                    }
                };
                if escape >= 64 {
                    // The next block begins behind the escape.
                    self.at = begin + escape;
                    break;
                }
                // What was escaped is not special.
                specials = specials >> escape << escape;
            }
        }
        self.at = text::plain_until(self.bytes, self.at, usize::MAX);
        Ok(())
    }

    /// Skips an escape, whose backslash stands here.
    fn escape(&mut self) -> Result<(), BodyError> {
        match self.bytes.get(self.at + 1) {
            Some(short) if text::is_short_escape(*short) => self.at += 2,
            Some(b'u') => {
                let Some(unit) = text::hex4(self.bytes, self.at + 2) else {
                    self.at += 2;
                    while self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        self.at += 1;
                    }
                    return Err(self.expected("four hexadecimal digits after `\\u`"));
                };
                self.escaped = true;
                self.escaped_letter |= matches!(unit, 0x5f | 0x61..=0x7a);
                self.at += 6;
            }
            Some(_) | None => {
                self.at += 1;
                return Err(self.expected("one of `\"\\/bfnrtu` after `\\`"));
            }
        }
        Ok(())
    }

    /// Skips a number.
    fn number(&mut self) -> Result<(), BodyError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        // A leading zero stands alone; whatever digit follows it is then refused by whoever reads on.
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Skips digits, of which there must be one.
    fn digits(&mut self) -> Result<(), BodyError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.expected("a digit")) }
    }

    /// Skips `true`, `false` or `null`.
    fn literal(&mut self, word: &[u8], expected: &'static str) -> Result<(), BodyError> {
        if self.bytes.get(self.at..self.at + word.len()) != Some(word) {
            return Err(self.expected(expected));
        }
        self.at += word.len();
        Ok(())
    }
}

/// The objects and arrays that are open, one bit each: what a recursive parser keeps on its call stack.
struct Open {
    bits: [u64; MAX_DEPTH / 64],
    count: usize,
    limit: usize,
}

impl Open {
    /// A stack with nothing open, and room for `limit`.
    fn new(limit: usize) -> Self {
        Open { bits: [0; MAX_DEPTH / 64], count: 0, limit: limit.min(MAX_DEPTH) }
    }

    /// Opens an object, or else an array. `start` is for the error: where the outermost value begins.
    fn push(&mut self, object: bool, start: usize) -> Result<(), BodyError> {
        if self.count == self.limit {
            return Err(BodyError::TooDeep { at: start });
        }
        let (word, bit) = (self.count / 64, 1 << (self.count % 64));
        if object {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
        }
        self.count += 1;
        Ok(())
    }

    /// Closes the innermost.
    fn pop(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// True when the innermost is an object; none if nothing is open.
    fn innermost(&self) -> Option<bool> {
        let last = self.count.checked_sub(1)?;
        Some(self.bits[last / 64] >> (last % 64) & 1 == 1)
    }
}

/// The members of an object, one after the other.
pub(in crate::proxy) struct Members<'a> {
    /// Stands behind the object once [`Members::next`] has returned none.
    pub(in crate::proxy) scanner: Scanner<'a>,
    begun: bool,
}

impl<'a> Members<'a> {
    /// The members of the object whose `{` is at the offset `at`; none if there is something else.
    pub(in crate::proxy) fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        (bytes.get(at) == Some(&b'{')).then(|| Members { scanner: Scanner::new(bytes, at + 1), begun: false })
    }

    /// The next member; none behind the last, after which it must not be called again.
    pub(in crate::proxy) fn next(&mut self) -> Result<Option<Member>, BodyError> {
        let scanner = &mut self.scanner;
        scanner.whitespace();
        let expected = match (scanner.peek(), self.begun) {
            (Some(b'}'), _) => {
                scanner.at += 1;
                return Ok(None);
            }
            (Some(b','), true) => {
                scanner.at += 1;
                scanner.whitespace();
                "a key"
            }
            (Some(_) | None, true) => return Err(scanner.expected("`,` or `}`")),
            (Some(_) | None, false) => "a key or `}`",
        };
        self.begun = true;
        let key = scanner.key(expected)?;
        let value = scanner.value(MAX_DEPTH - 1)?;
        Ok(Some(Member { key, value }))
    }
}

/// The elements of an array, one after the other.
pub(in crate::proxy) struct Elements<'a> {
    scanner: Scanner<'a>,
    begun: bool,
}

impl<'a> Elements<'a> {
    /// The elements of the array whose `[` is at the offset `at`; none if there is something else.
    pub(in crate::proxy) fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        (bytes.get(at) == Some(&b'[')).then(|| Elements { scanner: Scanner::new(bytes, at + 1), begun: false })
    }

    /// The range of the next element; none behind the last, after which it must not be called again.
    pub(in crate::proxy) fn next(&mut self) -> Result<Option<Range<usize>>, BodyError> {
        let scanner = &mut self.scanner;
        scanner.whitespace();
        match (scanner.peek(), self.begun) {
            (Some(b']'), _) => return Ok(None),
            (Some(b','), true) => {
                scanner.at += 1;
                scanner.whitespace();
            }
            (Some(_) | None, true) => return Err(scanner.expected("`,` or `]`")),
            (Some(_) | None, false) => {}
        }
        self.begun = true;
        scanner.value(MAX_DEPTH - 1).map(Some)
    }
}
