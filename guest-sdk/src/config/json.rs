//! Reads JSON into any type of serde, with the place of what did not fit.
//!
//! A general reader would be the larger part of a small strategy's component, and would be compiled at each start to
//! read a few lines once. So there is no formatting of floating point numbers here, and code that a type does not need,
//! such as that for numbers, is not linked. Errors read like those of `serde_json`, with which the tests compare it.

mod access;
mod error;

use std::borrow::Cow;

use serde::de::{Deserializer, Error as _, Expected, IgnoredAny, Unexpected, Visitor};

use access::{Items, Variant};
pub(super) use error::Error;

/// The most lists and objects within each other, since the stack of a component is small.
const DEPTH: u8 = 128;

/// The rest of a document.
pub(super) struct Reader<'de> {
    rest: &'de str,
    depth: u8,
}

impl<'de> Reader<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self { rest: text, depth: 0 }
    }

    /// Checks that the document has ended.
    pub(super) fn end(mut self) -> Result<(), Error> {
        if self.peek().is_some() { Err(Error::new("trailing characters")) } else { Ok(()) }
    }

    /// The first byte of the next token, which is not taken.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest.bytes().next()
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.peek();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes the first `length` bytes, which end between two characters.
    fn split(&mut self, length: usize) -> &'de str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// Takes digits; true when there were any.
    fn digits(&mut self) -> bool {
        let rest = self.rest.trim_start_matches(|char: char| char.is_ascii_digit());
        rest.len() < std::mem::replace(&mut self.rest, rest).len()
    }

    fn number(&mut self) -> Result<&'de str, Error> {
        let all = self.rest;
        self.rest = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let leading_zero = self.rest.starts_with('0');
        let whole = self.rest.len();
        let mut valid = self.digits() && !(leading_zero && whole - self.rest.len() > 1);
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            valid &= self.digits();
        }
        if let Some(rest) = self.rest.strip_prefix(['e', 'E']) {
            self.rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
            valid &= self.digits();
        }
        let length = all.len() - self.rest.len();
        all.get(..length).filter(|_| valid).ok_or_else(|| Error::new("invalid number"))
    }

    /// Takes a string, whose quote comes next.
    fn string(&mut self) -> Result<Cow<'de, str>, Error> {
        self.split(1);
        let mut unescaped = String::new();
        loop {
            let Some(length) = self.rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)) else {
                return Err(Error::new("EOF while parsing a string"));
            };
            let plain = self.split(length);
            match self.split(1) {
                "\"" if unescaped.is_empty() => return Ok(Cow::Borrowed(plain)),
                "\"" => return Ok(Cow::Owned(unescaped + plain)),
                "\\" => {
                    unescaped.push_str(plain);
                    unescaped.push(self.escape()?);
                }
                _ => return Err(Error::new("control character (\\u0000-\\u001F) found while parsing a string")),
            }
        }
    }

    /// Reads the character that follows a backslash.
    fn escape(&mut self) -> Result<char, Error> {
        let char = match self.split(1) {
            "\"" => '"',
            "\\" => '\\',
            "/" => '/',
            "b" => '\u{8}',
            "f" => '\u{c}',
            "n" => '\n',
            "r" => '\r',
            "t" => '\t',
            "u" => {
                let first = self.unit()?;
                let is_half = matches!(first, 0xD800..0xDC00) && self.take("\\u");
                let units = if is_half { [first, self.unit()?] } else { [first, 0] };
                let char = char::decode_utf16(units).next().and_then(Result::ok);
                return char.ok_or_else(|| Error::new("lone leading surrogate in hex escape"));
            }
            _ => return Err(Error::new("invalid escape")),
        };
        Ok(char)
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u16, Error> {
        let digits = self.split(4);
        let valid = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let unit = u16::from_str_radix(digits, 16).ok().filter(|_| valid);
        unit.ok_or_else(|| Error::new("invalid escape"))
    }

    /// Reads a value that is not wanted.
    fn skip(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b'[') => self.list(IgnoredAny).map(drop),
            Some(b'{') => self.object(IgnoredAny).map(drop),
            _ => self.literal().map(drop),
        }
    }

    /// `null`, `true` or `false`.
    fn literal(&mut self) -> Result<Option<bool>, Error> {
        for (token, value) in [("null", None), ("true", Some(true)), ("false", Some(false))] {
            if self.take(token) {
                return Ok(value);
            }
        }
        Err(Error::new(if self.rest.is_empty() { "EOF while parsing a value" } else { "expected value" }))
    }

    fn list<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.nested("]", |items| visitor.visit_seq(items))
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.nested("}", |items| visitor.visit_map(items))
    }

    fn nested<T>(
        &mut self,
        end: &'static str,
        read: impl FnOnce(Items<'_, 'de>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth == DEPTH {
            return Err(Error::new("recursion limit exceeded"));
        }
        self.depth += 1;
        self.split(1);
        let value = read(Items::new(self, end))?;
        self.depth -= 1;
        if self.take(end) { Ok(value) } else { Err(Error::new("trailing characters")) }
    }

    /// The error for a next token that is not `expected`.
    fn unexpected(&mut self, expected: &dyn Expected) -> Error {
        let found = match self.peek() {
            Some(b'"') => match self.string() {
                Ok(text) => return Error::invalid_type(Unexpected::Str(&text), expected),
                Err(error) => return error,
            },
            Some(b'-' | b'0'..=b'9') => match self.number() {
                Ok(number) => return Error::not_a_number(number, expected),
                Err(error) => return error,
            },
            Some(b'[') => Unexpected::Seq,
            Some(b'{') => Unexpected::Map,
            _ => match self.literal() {
                Ok(value) => value.map_or(Unexpected::Unit, Unexpected::Bool),
                Err(error) => return error,
            },
        };
        Error::invalid_type(found, expected)
    }
}

/// Reads a number as the narrowest type that serde has for it.
fn visit_number<'de, V: Visitor<'de>>(number: &str, visitor: V) -> Result<V::Value, Error> {
    if let Ok(number) = number.parse::<u64>() {
        return visitor.visit_u64(number);
    }
    match number.parse::<i64>() {
        // -0 is not an integer.
        Ok(number) if number < 0 => return visitor.visit_i64(number),
        _ => {}
    }
    match number.parse::<f64>() {
        Ok(float) if float.is_finite() => visitor.visit_f64(float).map_err(|error: Error| error.about(number)),
        _ => Err(Error::new("number out of range")),
    }
}

macro_rules! numbers {
    ($($deserialize:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.peek() {
                Some(b'-' | b'0'..=b'9') => visit_number(self.number()?, visitor),
                _ => Err(self.unexpected(&visitor)),
            }
        }
    )*};
}

macro_rules! texts {
    ($($deserialize:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.peek() {
                Some(b'"') => visit_text(self.string()?, visitor),
                _ => Err(self.unexpected(&visitor)),
            }
        }
    )*};
}

fn visit_text<'de, V: Visitor<'de>>(text: Cow<'de, str>, visitor: V) -> Result<V::Value, Error> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

/// Each type is read by its own method, so that methods which no type of a config needs are not linked.
impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    texts! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => visit_text(self.string()?, visitor),
            Some(b'-' | b'0'..=b'9') => visit_number(self.number()?, visitor),
            Some(b'[') => self.list(visitor),
            Some(b'{') => self.object(visitor),
            _ => match self.literal()? {
                Some(value) => visitor.visit_bool(value),
                None => visitor.visit_unit(),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b't' | b'f') => match self.literal()? {
                Some(value) => visitor.visit_bool(value),
                None => visitor.visit_unit(),
            },
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => visitor.visit_bytes(self.string()?.as_bytes()),
            Some(b'[') => self.list(visitor),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.take("null") { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.take("null") { visitor.visit_unit() } else { Err(self.unexpected(&visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'[') { self.list(visitor) } else { Err(self.unexpected(&visitor)) }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'{') { self.object(visitor) } else { Err(self.unexpected(&visitor)) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.peek() == Some(b'[') { self.list(visitor) } else { self.deserialize_map(visitor) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => visitor.visit_enum(Variant { name: self.string()?, content: None }),
            Some(b'{') => self.nested("}", |mut items| {
                let name = items.key()?.ok_or_else(|| Error::new("expected value"))?;
                visitor.visit_enum(Variant { name, content: Some(items.value()?) })
            }),
            _ => Err(Error::new("expected value")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }
}
