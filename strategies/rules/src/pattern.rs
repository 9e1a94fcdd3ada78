//! Names with at most one `*`, which stands for any text, also for none.

use crate::document::Value;
use crate::reader::{At, Reader};

/// A name, or the texts before and behind a `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Exact(String),
    Around(String, String),
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        match text.split_once('*') {
            None => Self::Exact(text.to_owned()),
            Some((before, after)) => Self::Around(before.to_owned(), after.to_owned()),
        }
    }

    /// Reads one, or a list of which one must fit. A number or a boolean stands for its text.
    pub fn several(reader: &mut Reader, at: &At<'_>) -> Vec<Self> {
        let items = reader.several(at);
        items.iter().filter_map(|item| Self::read(reader, item)).collect()
    }

    pub fn read(reader: &mut Reader, at: &At<'_>) -> Option<Self> {
        let text = match at.value {
            Value::Number(_) | Value::Flag(_) => at.value.to_string(),
            _ => reader.text(at)?.to_owned(),
        };
        if text.matches('*').count() > 1 {
            return reader.not(at, "a name with at most one `*`");
        }
        Some(Self::new(&text))
    }

    /// True when it stands for `name`. No pattern stands for an empty name.
    pub fn fits(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Around(before, after) => {
                let rest = name.strip_prefix(before.as_str());
                !name.is_empty() && rest.is_some_and(|rest| rest.ends_with(after.as_str()))
            }
        }
    }
}

/// True when one of them stands for `name`.
pub(crate) fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.fits(name))
}
