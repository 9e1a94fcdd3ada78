//! Values at their places in the config, and the list of what is wrong with them.

use crate::document::Value;

/// A value, and its path from `config` on.
#[derive(Clone, Debug)]
pub(crate) struct At<'v> {
    pub path: String,
    pub value: &'v Value,
}

/// A mapping whose keys are all known.
pub(crate) struct Section<'v> {
    path: String,
    entries: &'v [(String, Value)],
}

impl<'v> Section<'v> {
    pub fn get(&self, key: &str) -> Option<At<'v>> {
        let found = self.entries.iter().find(|(known, _)| known == key);
        found.map(|(key, value)| At { path: format!("{}.{key}", self.path), value })
    }
}

/// The problems, in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    problems: Vec<String>,
}

/// The host shows a kilobyte.
const SHOWN_BYTES: usize = 960;

impl Reader {
    /// One more problem.
    pub fn problem(&mut self, path: &str, what: impl AsRef<str>) {
        self.problems.push(format!("{path}: {}", what.as_ref()));
    }

    /// All that is wrong, on one line.
    pub fn verdict(self) -> Result<(), String> {
        let count = self.problems.len();
        let mut text = String::new();
        for (place, problem) in self.problems.into_iter().enumerate() {
            if place > 0 && text.len() + problem.len() > SHOWN_BYTES {
                return Err(format!("{text} | and {} more", count - place));
            }
            text.push_str(if place > 0 { " | " } else { "" });
            text.push_str(&problem);
        }
        if text.is_empty() { Ok(()) } else { Err(text) }
    }

    /// A mapping that may have `known` keys.
    pub fn section<'v>(&mut self, at: &At<'v>, known: &[&str]) -> Option<Section<'v>> {
        let section = self.mapping(at)?;
        for (key, _) in section.entries.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let path = format!("{}.{key}", at.path);
            self.problem(&path, format!("is not a known key; {}", suggest(key, known.iter().copied())));
        }
        Some(section)
    }

    /// A mapping that may have any keys.
    pub fn mapping<'v>(&mut self, at: &At<'v>) -> Option<Section<'v>> {
        match at.value {
            Value::Map(entries) => Some(Section { path: at.path.clone(), entries }),
            other => {
                self.problem(&at.path, format!("must be a mapping, not {}", other.kind()));
                None
            }
        }
    }

    /// The entries of a mapping that may have any keys.
    pub fn entries<'v>(&mut self, at: &At<'v>) -> Vec<(&'v str, At<'v>)> {
        let entries = self.mapping(at).map_or(&[][..], |section| section.entries);
        let entry =
            |(key, value): &'v (String, Value)| (key.as_str(), At { path: format!("{}.{key}", at.path), value });
        entries.iter().map(entry).collect()
    }

    /// The items of a list, or the one value that stands in its place; at least one.
    pub fn several<'v>(&mut self, at: &At<'v>) -> Vec<At<'v>> {
        match at.value {
            Value::List(items) if items.is_empty() => {
                self.problem(&at.path, "must not be empty");
                Vec::new()
            }
            Value::List(items) => {
                let item = |(place, value)| At { path: format!("{}[{place}]", at.path), value };
                items.iter().enumerate().map(item).collect()
            }
            _ => vec![at.clone()],
        }
    }

    /// A text.
    pub fn text<'v>(&mut self, at: &At<'v>) -> Option<&'v str> {
        match at.value {
            Value::Text(text) if text.is_empty() => self.not(at, "a text that is not empty"),
            Value::Text(text) => Some(text),
            _ => self.not(at, "a text"),
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, at: &At<'_>) -> Option<bool> {
        match at.value {
            Value::Flag(flag) => Some(*flag),
            _ => self.not(at, "true or false"),
        }
    }

    /// A whole number from 0 on.
    pub fn whole(&mut self, at: &At<'_>) -> Option<u32> {
        match at.value {
            Value::Number(number) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number) => {
                Some(*number as u32)
            }
            _ => self.not(at, "a whole number from 0 on"),
        }
    }

    /// One of several words.
    pub fn word<'w>(&mut self, at: &At<'_>, words: &[&'w str]) -> Option<&'w str> {
        let text = self.text(at)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let help = suggest(text, words.iter().copied());
            self.problem(&at.path, format!("{} is not known here; {help}", shown(text)));
        }
        found
    }

    /// The problem that a value is not what is wanted here.
    pub fn not<T>(&mut self, at: &At<'_>, wanted: &str) -> Option<T> {
        let found = match at.value {
            Value::Text(text) => shown(text),
            Value::Flag(_) | Value::Number(_) => format!("`{}`", at.value),
            other => other.kind().to_owned(),
        };
        self.problem(&at.path, format!("must be {wanted}, not {found}"));
        None
    }
}

/// A text from the config, as far as a message has room for it.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("`{}...`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// The name that was probably meant, or all that there are.
pub(crate) fn suggest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    const MOST: usize = 20;
    let names: Vec<&str> = names.into_iter().collect();
    let distance = |name: &str| strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase());
    let is_near = |name: &str, distance: usize| distance <= 1.max(name.chars().count().min(wrong.chars().count()) / 3);
    // Nothing this long is a typing error.
    let near = names.iter().filter(|_| wrong.len() <= 100).map(|name| (distance(name), *name));
    if let Some((_, name)) = near.filter(|(distance, name)| is_near(name, *distance)).min() {
        return format!("did you mean `{name}`?");
    }
    let more = if names.len() > MOST { format!(" and {} more", names.len() - MOST) } else { String::new() };
    format!("there are: {}{more}", names[..names.len().min(MOST)].join(", "))
}
