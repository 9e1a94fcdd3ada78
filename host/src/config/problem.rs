//! The problems of a configuration: each with its place, a message and a remedy.
//!
//! Nobody fixes a file one error per run, so problems are collected, and [`LoadError`] carries all of them. The
//! strategy loader reports in the same form. Values are shown only through [`quoted`], and secrets never.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// One mistake in a configuration.
///
/// Displayed as `FILE:LINE: KEY: MESSAGE`, and the help, if any, indented on lines of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Counted from 1; 0 when the problem belongs to no line.
    pub line: usize,
    /// The path of the key, such as `providers[1].weight`; empty when it is about the whole file.
    pub key: String,
    /// The mistake, with the value if it may be shown.
    pub message: String,
    /// The remedy.
    pub help: Option<String>,
}

impl Problem {
    /// Its place without any value: `NAME:LINE: KEY`, where `NAME` is the file's name without its folder.
    pub fn place(&self) -> String {
        let mut place = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if self.line > 0 {
            place = format!("{place}:{}", self.line);
        }
        if self.key.is_empty() { place } else { format!("{place}: {}", self.key) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {}", help.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

/// A configuration that must not be used, with all of its problems.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct LoadError {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// In the order of the file; never empty.
    pub problems: Vec<Problem>,
    /// Files that the configuration refers to, existing or not: when one of them changes, loading may succeed.
    pub names: Vec<PathBuf>,
}

impl LoadError {
    /// A single problem that was found after the configuration itself had passed its checks.
    pub fn one(config: &super::Config, line: usize, key: &str, message: String, help: Option<String>) -> Self {
        let (file, key) = (config.file.clone(), key.to_owned());
        let problem = Problem { file: file.clone(), line, key, message, help };
        Self { file, problems: vec![problem], names: config.names.clone() }
    }
}

/// Proof that a problem has been reported, so that the caller may go on with any value.
#[derive(Debug)]
pub(crate) struct Reported;

/// The place of a value in the file, with which every problem about it begins.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its key path.
    pub key: String,
    /// Its line, from 1; 0 for none.
    pub line: usize,
}

impl Place {
    /// The file as a whole.
    pub fn file() -> Self {
        Self { key: String::new(), line: 0 }
    }

    /// A key below this one.
    pub fn key(&self, name: &str, line: usize) -> Self {
        Self { key: join(&self.key, name), line }
    }

    /// An element of the list that stands here.
    pub fn item(&self, index: usize, line: usize) -> Self {
        let mut number = itoa::Buffer::new();
        let key = [self.key.as_str(), "[", number.format(index), "]"].concat();
        Self { key, line }
    }
}

/// A key path one key longer. Keys that would garble a line of text are quoted.
pub(crate) fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.len() <= 60 && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    // There is one for each value of a file, which may be some hundred thousand.
    let name = if plain { Cow::Borrowed(name) } else { Cow::Owned(quoted(name)) };
    if path.is_empty() { name.into_owned() } else { [path, ".", &name].concat() }
}

/// A value as problems show it: in quotes, escaped, and cut when long.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// The problems and warnings that are collected while a file is checked.
#[derive(Debug)]
pub(crate) struct Findings {
    file: PathBuf,
    problems: Vec<Problem>,
    /// Legal, but worth a line in the log.
    pub warnings: Vec<String>,
    /// Files that the configuration refers to.
    pub names: Vec<PathBuf>,
}

impl Findings {
    /// An empty list of findings about `file`.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), problems: Vec::new(), warnings: Vec::new(), names: Vec::new() }
    }

    /// The file, as the user named it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folder in which relative paths begin.
    pub fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// The path of a file that the configuration refers to, relative to its folder. The file is watched from then on.
    pub fn names(&mut self, path: &str) -> PathBuf {
        let full = self.folder().join(path);
        if !self.names.contains(&full) {
            self.names.push(full.clone());
        }
        full
    }

    /// Notes a problem.
    pub fn problem(&mut self, at: &Place, message: impl Into<String>, help: Option<String>) -> Reported {
        self.problems.push(Problem {
            file: self.file.clone(),
            line: at.line,
            key: at.key.clone(),
            message: message.into(),
            help,
        });
        Reported
    }

    /// Takes over the problems of a part.
    pub fn adopt(&mut self, part: LoadError) {
        self.problems.extend(part.problems);
    }

    /// Notes a warning, which names the key it is about.
    pub fn warn(&mut self, at: &Place, message: &str) {
        self.warnings.push(format!("{}:{}: {}: {message}", self.file.display(), at.line, at.key));
    }

    /// The value if there are no problems, otherwise all problems in the order of the file.
    pub fn conclude<T>(mut self, value: impl FnOnce(Vec<String>) -> Option<T>) -> Result<T, LoadError> {
        if self.problems.is_empty() {
            if let Some(value) = value(std::mem::take(&mut self.warnings)) {
                return Ok(value);
            }
            // A check that returns neither a value nor a problem is a bug, but must not panic.
            self.problem(&Place::file(), "cannot be used", None);
        }
        self.problems.sort_by_key(|problem| problem.line);
        Err(LoadError { file: self.file, problems: self.problems, names: self.names })
    }
}

/// `did you mean ...?` when one of `names` is similar, otherwise the whole list.
pub(crate) fn suggest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>, kind: &str) -> Option<String> {
    let names: Vec<&str> = names.into_iter().collect();
    if let Some(near) = nearest(wrong, &names) {
        return Some(format!("did you mean `{near}`?"));
    }
    (!names.is_empty()).then(|| format!("{kind}: {}", names.join(", ")))
}

/// The name that was probably meant: it differs in few letters, or one contains the other.
pub(crate) fn nearest<'a>(wrong: &str, names: &[&'a str]) -> Option<&'a str> {
    // The distance is quadratic in the length; nothing this long is a typing error.
    if wrong.len() > 100 {
        return None;
    }
    let wrong = wrong.to_lowercase().replace('-', "_");
    let by_letters = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong, &name.to_lowercase().replace('-', "_")), *name))
        .filter(|(distance, name)| *distance <= 1.max(name.chars().count().min(wrong.chars().count()) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name);
    by_letters.or_else(|| {
        let part = |a: &str, b: &str| a.len() >= 3 && b.contains(a);
        names.iter().find(|name| part(&wrong, name) || part(name, &wrong)).copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_file_line_key_message_and_help() {
        let problem = Problem {
            file: "proxy_config.yaml".into(),
            line: 7,
            key: "providers[1].weight".into(),
            message: "must be a positive number, not -2".into(),
            help: Some("one\ntwo".into()),
        };
        assert_eq!(
            problem.to_string(),
            "proxy_config.yaml:7: providers[1].weight: must be a positive number, not -2\n  help: one\n    two"
        );
    }

    #[test]
    fn suggestions_find_typing_errors_and_parts_but_not_strangers() {
        let names = ["name", "base_url", "api_key", "weight"];
        assert_eq!(nearest("wieght", &names), Some("weight"));
        assert_eq!(nearest("api-key", &names), Some("api_key"));
        assert_eq!(nearest("BASE_URL", &names), Some("base_url"));
        assert_eq!(nearest("url", &names), Some("base_url"));
        assert_eq!(nearest("colour", &names), None);
        assert_eq!(nearest(&"x".repeat(1000), &names), None);
    }

    #[test]
    fn long_and_strange_values_cannot_garble_the_output() {
        assert_eq!(quoted("a\nb\u{1b}[0m"), r#""a\nb\u{1b}[0m""#);
        assert_eq!(quoted(&"ä".repeat(61)), format!("\"{}\"...", "ä".repeat(60)));
        assert_eq!(join("a", "b c"), "a.\"b c\"");
    }
}
