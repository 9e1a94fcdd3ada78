//! The values of a file, each with its line. The parser in `yaml` builds them, and all other modules only read them.
//!
//! Scalars stay as written: what `007` or `yes` means depends on the key.

/// One value.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The line on which it begins, from 1.
    pub line: usize,
    pub kind: NodeKind,
    /// The number of values in it, itself included.
    pub(super) cost: usize,
    /// The number of levels in it, itself included.
    pub(super) depth: usize,
}

/// The three kinds of YAML values.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file, keys unique.
    Map(Vec<(Key, Node)>),
}

/// A scalar as written.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub text: String,
    /// Without quotes and without a tag that makes it text, so that it may be a number, a boolean or nothing.
    pub plain: bool,
}

/// A key as written, and its line.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub text: String,
    pub line: usize,
    /// A merge key, `<<` without quotes.
    pub(super) merge: bool,
}

/// The meaning of a plain scalar in YAML's core schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Null,
    Bool(bool),
    /// Any number, infinity and not-a-number included.
    Number,
    Text,
}

impl Node {
    pub(super) fn new(line: usize, kind: NodeKind) -> Self {
        let inner = |nodes: &mut dyn Iterator<Item = &Node>| {
            nodes.fold((1_usize, 0), |(cost, depth), node| (cost.saturating_add(node.cost), depth.max(node.depth)))
        };
        let (cost, depth) = match &kind {
            NodeKind::Scalar(scalar) => (1 + scalar.text.len() / 64, 0),
            NodeKind::List(items) => inner(&mut items.iter()),
            NodeKind::Map(entries) => {
                let keys: usize = entries.iter().map(|(key, _)| key.text.len() / 64).sum();
                let (cost, depth) = inner(&mut entries.iter().map(|(_, node)| node));
                (cost.saturating_add(keys), depth)
            }
        };
        Self { line, kind, cost, depth: depth + 1 }
    }

    /// True for an empty value, `~` and `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar(scalar) if scalar.meaning() == Meaning::Null)
    }

    /// The type of the value in words, for problems; never the value itself.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a mapping",
            NodeKind::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => "nothing",
                Meaning::Bool(_) => "a boolean",
                Meaning::Number => "a number",
                Meaning::Text => "a text",
            },
        }
    }
}

/// Building and changing a tree, for values that come from outside the file.
impl Node {
    /// A text that comes from no file.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(0, NodeKind::Scalar(Scalar { text: text.into(), plain: false }))
    }

    /// The tree of a JSON value.
    pub fn of_json(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        let kind = match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                NodeKind::Scalar(Scalar { text: value.to_string(), plain: true })
            }
            Value::String(text) => return Self::text(text),
            Value::Array(items) => NodeKind::List(items.iter().map(Self::of_json).collect()),
            Value::Object(entries) => {
                NodeKind::Map(entries.iter().map(|(key, value)| (Key::new(key), Self::of_json(value))).collect())
            }
        };
        Self::new(0, kind)
    }

    /// The text of a scalar, as written.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar(scalar) => Some(&scalar.text),
            NodeKind::List(_) | NodeKind::Map(_) => None,
        }
    }

    /// The value under a key, if this is a mapping that has the key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let NodeKind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|(known, _)| known.text == key).map(|(_, node)| node)
    }

    /// The value under a key, to be changed, if this is a mapping that has the key.
    pub fn entry_of(&mut self, key: &str) -> Option<&mut Node> {
        let NodeKind::Map(entries) = &mut self.kind else { return None };
        entries.iter_mut().find(|(known, _)| known.text == key).map(|(_, node)| node)
    }

    /// Takes the items with this text out, if this is a list.
    pub fn take_out(&mut self, text: &str) {
        if let NodeKind::List(items) = &mut self.kind {
            items.retain(|item| item.as_text() != Some(text));
        }
    }

    /// The value under a key, inserted as an empty one if missing; `None` if this is not a mapping.
    pub fn entry(&mut self, key: &str) -> Option<&mut Node> {
        if self.is_null() {
            self.kind = NodeKind::Map(Vec::new());
        }
        let line = self.line;
        let NodeKind::Map(entries) = &mut self.kind else { return None };
        let known = entries.iter().position(|(known, _)| known.text == key);
        let place = known.unwrap_or_else(|| {
            let nothing = NodeKind::Scalar(Scalar { text: String::new(), plain: true });
            entries.push((Key { line, ..Key::new(key) }, Node::new(line, nothing)));
            entries.len() - 1
        });
        entries.get_mut(place).map(|(_, node)| node)
    }
}

impl Key {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), line: 0, merge: false }
    }
}

impl Scalar {
    /// Its meaning in the core schema.
    pub fn meaning(&self) -> Meaning {
        if !self.plain {
            return Meaning::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Bool(true),
            "false" | "False" | "FALSE" => Meaning::Bool(false),
            text if is_number(text) => Meaning::Number,
            _ => Meaning::Text,
        }
    }
}

/// True when the core schema takes `text` for a number.
fn is_number(text: &str) -> bool {
    let all = |digits: &str, legal: fn(char) -> bool| !digits.is_empty() && digits.chars().all(legal);
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, |c| c.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, |c| ('0'..='7').contains(&c));
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|text| all(text.strip_prefix(['-', '+']).unwrap_or(text), |c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_the_core_schema_says() {
        let meaning = |text: &str| Scalar { text: text.into(), plain: true }.meaning();
        for text in
            ["0", "-1", "+12", "1.5", ".5", "1.", "1e3", "-2.5E-3", "0x1F", "0o17", ".inf", "-.INF", ".NaN", "007"]
        {
            assert_eq!(meaning(text), Meaning::Number, "{text}");
        }
        for text in
            ["-", "+", ".", "e3", "1e", "1_000", "1:30", "0x", "0o8", "1.2.3", "30s", "yes", "inf", "nan", "-.nan"]
        {
            assert_eq!(meaning(text), Meaning::Text, "{text}");
        }
        assert_eq!((meaning(""), meaning("~"), meaning("null")), (Meaning::Null, Meaning::Null, Meaning::Null));
        assert_eq!((meaning("True"), meaning("FALSE")), (Meaning::Bool(true), Meaning::Bool(false)));
        assert_eq!(Scalar { text: "1".into(), plain: false }.meaning(), Meaning::Text);
    }
}
