//! The reasons why a body is refused, in words for the client. All of these are answered with 400, before anything is
//! queued.

use std::fmt;

use super::approach::Unavailable;
use super::scan::MAX_DEPTH;

/// The reason why a body is refused. `Display` is the sentence for the client; it quotes at most a short piece of the
/// body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON.
    #[error("The request body is not valid JSON: expected {expected} at byte {at}, found {}.", Found(*.found))]
    Syntax {
        /// Offset from the beginning of the body, in bytes.
        at: usize,
        /// The tokens that are allowed there.
        expected: &'static str,
        /// The byte found there; none at the end of the body.
        found: Option<u8>,
    },
    /// Not UTF-8.
    #[error("The request body is not valid UTF-8, at byte {at}.")]
    Utf8 {
        /// Offset of the first byte that is not UTF-8.
        at: usize,
    },
    /// JSON, but an array, a string or another value.
    #[error("The request body must be a JSON object.")]
    NotAnObject,
    /// Objects and arrays nested deeper than any request needs, which could overflow the stack of a provider's parser.
    #[error("The request body is nested more than {MAX_DEPTH} levels deep, in the value that begins at byte {at}.")]
    TooDeep {
        /// Offset of the member's value that is too deep.
        at: usize,
    },
    /// A key that routing needs has a value of another type.
    #[error("`{param}` must be a string.")]
    NotAString {
        /// The key, with `extra_body.` before it if it stands there.
        param: &'static str,
    },
    /// A key is there twice. Parsers differ in which of the two counts, so the provider might see another one than the
    /// proxy.
    #[error("The request body has `{key}` more than once.")]
    Duplicate {
        /// The key, unescaped and shortened.
        key: String,
    },
    /// An approach was asked for that this proxy does not have.
    #[error("{why}")]
    ApproachUnavailable {
        /// The sentence.
        why: Unavailable,
        /// The field or tag that asked for it.
        param: &'static str,
    },
    /// Not a combination of approaches.
    #[error(
        "`{text}` is not a combination of approaches: names are joined by & (one after the other) or | (side by side)."
    )]
    InvalidApproach {
        /// As asked for, shortened.
        text: String,
        /// The field or tag that asked for it.
        param: &'static str,
    },
    /// Two approaches were asked for, and how they belong together was not said.
    #[error(
        "The request asks for the approaches `{first}` and `{second}`: write {} for one after the other, or {} for both \
         side by side.",
        Joined(first, '&', second, model),
        Joined(first, '|', second, model)
    )]
    ApproachAmbiguous {
        /// The first.
        first: String,
        /// The second.
        second: String,
        /// The model, if they are its prefix.
        model: Option<String>,
        /// The field that holds the second.
        param: &'static str,
    },
    /// An approach was asked for where there is none.
    #[error("Approaches answer POST /v1/chat/completions alone, and this request asks for `{approach}`.")]
    ApproachElsewhere {
        /// As asked for.
        approach: String,
    },
}

impl BodyError {
    /// The part of the request that is to blame, as OpenAI's errors name it.
    pub fn param(&self) -> Option<&str> {
        match self {
            BodyError::Syntax { .. } | BodyError::Utf8 { .. } | BodyError::NotAnObject | BodyError::TooDeep { .. } => {
                None
            }
            BodyError::NotAString { param }
            | BodyError::ApproachUnavailable { param, .. }
            | BodyError::InvalidApproach { param, .. }
            | BodyError::ApproachAmbiguous { param, .. } => Some(param),
            BodyError::ApproachElsewhere { .. } => Some("optillm_approach"),
            BodyError::Duplicate { key } => Some(key),
        }
    }

    /// The word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            BodyError::Syntax { .. } | BodyError::Utf8 { .. } => "invalid_json",
            BodyError::NotAnObject => "not_an_object",
            BodyError::TooDeep { .. } => "too_deep",
            BodyError::NotAString { .. } => "invalid_type",
            BodyError::Duplicate { .. } => "duplicate_key",
            BodyError::ApproachUnavailable { .. } => "approach_unavailable",
            BodyError::InvalidApproach { .. } => "invalid_approach",
            BodyError::ApproachAmbiguous { .. } => "approach_ambiguous",
            BodyError::ApproachElsewhere { .. } => "approach_unsuitable",
        }
    }

    /// The error for a `key` that is there twice.
    pub(super) fn duplicate(key: &[u8]) -> Self {
        BodyError::Duplicate { key: shorten(&String::from_utf8_lossy(key)) }
    }
}

/// At most 64 characters, so that an error does not echo a body.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Two approaches joined, before their model if they are its prefix.
struct Joined<'a>(&'a str, char, &'a str, &'a Option<String>);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Joined(first, operator, second, model) = self;
        match model {
            Some(model) => write!(f, "`{first}{operator}{second}-{model}`"),
            None => write!(f, "`{first}{operator}{second}`"),
        }
    }
}

/// A byte in words.
struct Found(Option<u8>);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(byte @ 0x21..=0x7e) => write!(f, "`{}`", char::from(byte)),
            Some(byte) => write!(f, "the byte 0x{byte:02x}"),
            None => f.write_str("the end of the body"),
        }
    }
}
