//! The report on each key of the imported file.
//!
//! [`Keys`] hands out each key of a mapping once. Keys that are left at the end are reported as unknown, so that no key
//! is dropped silently.

use std::fmt;

use serde_yaml::Value;

/// The verdict on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    /// The output means the same.
    Exact,
    /// The output comes close.
    Approximate,
    /// The user has to do something.
    Manual,
    /// Pointsman has no such feature.
    Unsupported,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exact => "exact",
            Self::Approximate => "approximate",
            Self::Manual => "manual",
            Self::Unsupported => "unsupported",
        })
    }
}

/// The part of the output that a line is about, and above which it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The whole file.
    File,
    /// The route of this model group.
    Group(String),
    /// A section at top level.
    Section(&'static str),
}

/// One key.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its path in the imported file.
    pub key: String,
    pub status: Status,
    /// Its result, or advice; never a value that may be a secret. Empty if nothing needs to be said.
    pub note: String,
    pub about: About,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, status, note, .. } = self;
        write!(f, "{status:<12} {key}{}{note}", if note.is_empty() { "" } else { ": " })
    }
}

/// All keys, in the order in which they were read.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub lines: Vec<Line>,
    /// The places of secrets that were copied to the output unchanged.
    pub secrets: Vec<String>,
}

impl Report {
    pub fn say(&mut self, about: &About, key: impl Into<String>, status: Status, note: impl Into<String>) {
        self.lines.push(Line { key: key.into(), status, note: note.into(), about: about.clone() });
    }

    /// The number of keys with each verdict.
    pub fn summary(&self) -> String {
        let kinds = [Status::Exact, Status::Approximate, Status::Manual, Status::Unsupported];
        let count = |kind| self.lines.iter().filter(|line| line.status == kind).count();
        let counts: Vec<String> = kinds.into_iter().map(|kind| format!("{} {kind}", count(kind))).collect();
        format!("{} keys: {}", self.lines.len(), counts.join(", "))
    }
}

/// The keys of one mapping that nobody has taken yet.
pub(super) struct Keys<'v> {
    path: String,
    left: Vec<(String, &'v Value)>,
}

impl<'v> Keys<'v> {
    /// The keys of a value, which may be empty; `None` when it is neither a mapping nor null.
    pub fn of(path: impl Into<String>, value: Option<&'v Value>) -> Option<Self> {
        let path = path.into();
        let left = match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Mapping(entries)) => entries.iter().map(|(key, value)| (plain(key), value)).collect(),
            Some(_) => return None,
        };
        Some(Self { path, left })
    }

    /// No keys.
    pub fn none(path: impl Into<String>) -> Self {
        Self { path: path.into(), left: Vec::new() }
    }

    /// The path of a key.
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The names of the keys that are left.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.left.iter().map(|(name, _)| name.as_str())
    }

    /// The value of a key, which stays.
    pub fn look(&self, key: &str) -> Option<&'v Value> {
        self.left.iter().find(|(known, _)| known == key).map(|(_, value)| *value)
    }

    /// Takes the value of a key; the caller reports it. A key without a value stays, to be reported at the end.
    pub fn take(&mut self, key: &str) -> Option<&'v Value> {
        let at = self.left.iter().position(|(known, value)| known == key && !value.is_null())?;
        Some(self.left.remove(at).1)
    }

    /// Reports the remaining keys, with the verdict of `known` or as unknown keys.
    pub fn rest(self, report: &mut Report, about: &About, known: impl Fn(&str) -> Option<(Status, &'static str)>) {
        for (key, value) in &self.left {
            let (status, note) = match known(key) {
                _ if value.is_null() => (Status::Exact, "it is empty"),
                Some(found) => found,
                None => {
                    (Status::Manual, "the importer does not know this key; LiteLLM's documentation says what it does")
                }
            };
            report.say(about, self.path(key), status, note);
        }
    }
}

/// The elements of a list, or a single value as the only element.
pub(super) fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Sequence(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// A scalar as text; other values as YAML.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_yaml::to_string(other).unwrap_or_default().trim_end().to_owned(),
    }
}

/// A text in which LiteLLM's reference to a variable is replaced by Pointsman's notation.
pub(super) fn text(value: &Value) -> String {
    let text = plain(value);
    match text.trim().strip_prefix("os.environ/") {
        Some(name) => format!("${{{}}}", name.trim()),
        None => text,
    }
}

/// A number, even in quotes.
pub(super) fn number(value: &Value) -> Option<f64> {
    let found = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    found.filter(|number: &f64| number.is_finite())
}

/// A boolean in the notation of Python or YAML.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}
