//! A fault in a config, and its place.

use std::fmt;

use serde::de::{Expected, Unexpected};

/// An error whose text names its place, grown from the inside out.
#[derive(Debug)]
pub struct Error {
    /// `.limits[1]`; empty for the whole document.
    path: String,
    message: String,
    /// The place in the message of a number that only its reader can write: the code that prints any floating point
    /// number is larger than this module.
    gap: Option<usize>,
}

impl Error {
    pub fn new(message: &str) -> Self {
        Self { path: String::new(), message: message.to_owned(), gap: None }
    }

    /// The error for a `number` in the place of `expected`.
    pub fn not_a_number(number: &str, expected: &dyn Expected) -> Self {
        if number.contains(['.', 'e', 'E']) {
            Self::mismatch("type", Unexpected::Float(0.0), expected).about(number)
        } else {
            Self::new(&format!("invalid type: integer `{number}`, expected {expected}"))
        }
    }

    /// Adds that it happened in the item at `place` of a list.
    pub fn inside(mut self, place: &str) -> Self {
        self.path.insert_str(0, place);
        self
    }

    /// Adds that it happened in the value of this key.
    pub fn under(self, key: &str) -> Self {
        self.inside(key).inside(".")
    }

    /// Puts in the number that it does not name yet.
    pub fn about(mut self, number: &str) -> Self {
        if let Some(gap) = self.gap.take() {
            self.message.insert_str(gap, &format!(" `{number}`"));
        }
        self
    }

    fn mismatch(what: &str, found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let is_float = matches!(found, Unexpected::Float(_));
        let found = match found {
            Unexpected::Bool(value) => format!("boolean `{value}`"),
            Unexpected::Unsigned(number) => format!("integer `{number}`"),
            Unexpected::Signed(number) => format!("integer `{number}`"),
            Unexpected::Char(char) => format!("character `{char}`"),
            Unexpected::Str(text) => format!("string {text:?}"),
            Unexpected::Float(_) => "floating point".to_owned(),
            Unexpected::Bytes(_) => "byte array".to_owned(),
            Unexpected::Unit => "null".to_owned(),
            Unexpected::Option => "Option value".to_owned(),
            Unexpected::NewtypeStruct => "newtype struct".to_owned(),
            Unexpected::Seq => "sequence".to_owned(),
            Unexpected::Map => "map".to_owned(),
            Unexpected::Enum => "enum".to_owned(),
            Unexpected::UnitVariant => "unit variant".to_owned(),
            Unexpected::NewtypeVariant => "newtype variant".to_owned(),
            Unexpected::TupleVariant => "tuple variant".to_owned(),
            Unexpected::StructVariant => "struct variant".to_owned(),
            Unexpected::Other(other) => other.to_owned(),
        };
        let before = format!("invalid {what}: {found}");
        let gap = is_float.then_some(before.len());
        Self { path: String::new(), message: format!("{before}, expected {expected}"), gap }
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: String::new(), message: message.to_string(), gap: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::mismatch("type", found, expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::mismatch("value", found, expected)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "config{}: {}", self.path, self.message)
    }
}

impl std::error::Error for Error {}
