//! Typed reading of the tree: one getter per kind of value. A getter reports a value that it cannot accept and goes on.
//!
//! This module decides which values are legal for a kind; `check` and its siblings know the keys and their
//! consequences. An absent key and a key without a value are the same.

mod number;

use std::cell::RefCell;
use std::io;
use std::path::Path;

use super::example;
use super::file::read_bounded;
use super::interpolate::{Env, Failure, Form, interpolate};
use super::node::{Key, Meaning, Node, NodeKind, Scalar};
use super::problem::{Findings, Place, Reported, nearest, quoted};
use super::schema::{Schema, TOP, help_for_unknown};

pub(crate) use number::Zero;

/// The largest file that a `${file:PATH}` or an `api_key_file` may name.
const MAX_CONTENT: u64 = 64 << 10;

/// Reads nodes: interpolates the environment into them, and reports problems to `findings`.
pub(crate) struct Reader<'a> {
    pub findings: &'a mut Findings,
    env: &'a Env<'a>,
}

/// One mapping whose keys have been checked against its schema.
#[derive(Debug)]
pub(crate) struct Section<'n> {
    pub at: Place,
    entries: &'n [(Key, Node)],
}

impl<'n> Section<'n> {
    /// The value of `key`, unless it is absent or nothing.
    pub fn get(&self, key: &str) -> Option<(Place, &'n Node)> {
        let (key, node) = self.entries.iter().find(|(k, _)| k.text == key)?;
        (!node.is_null()).then(|| (self.at.key(&key.text, key.line), node))
    }

    /// Every entry, for mappings whose keys are the user's own.
    pub fn entries(&self) -> impl Iterator<Item = (Place, &'n str, &'n Node)> {
        self.entries.iter().map(|(key, node)| (self.at.key(&key.text, key.line), key.text.as_str(), node))
    }

    /// The place of `key`, whether it is there or not.
    pub fn place(&self, key: &str) -> Place {
        let found = self.entries.iter().find(|(k, _)| k.text == key);
        self.at.key(key, found.map_or(self.at.line, |(k, _)| k.line))
    }
}

/// A text from the file.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub at: Place,
    pub text: String,
    /// The form in which problems may show it: of a variable only the reference, because its value may be a secret.
    pub shown: String,
    /// True when the file holds the text itself, without any reference.
    pub written: bool,
    /// True when it contains a `${` that is not a reference.
    pub stray: bool,
}

/// A scalar after interpolation, with the types that it may have.
struct Resolved {
    text: String,
    meaning: Meaning,
    /// True when it is without quotes, or a single reference: then `yes` and `no` are booleans.
    plain: bool,
    shown: String,
    help: Option<String>,
}

impl<'a> Reader<'a> {
    pub fn new(findings: &'a mut Findings, env: &'a Env<'a>) -> Self {
        Self { findings, env }
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    /// The mapping at `at`, empty when there is none; with a schema, unknown keys are problems.
    pub fn mapping<'n>(
        &mut self,
        node: Option<&'n Node>,
        at: Place,
        schema: Option<Schema>,
    ) -> Result<Section<'n>, Reported> {
        let entries: &[_] = match node {
            Some(Node { kind: NodeKind::Map(entries), .. }) => entries,
            Some(node) if !node.is_null() => {
                let example = example::mapping(&at.key);
                let keys = schema.map(|schema| format!("known keys: {}", schema.keys().join(", ")));
                let help: Vec<String> = example.into_iter().chain(keys).collect();
                let help = (!help.is_empty()).then(|| help.join("\n"));
                return Err(self.not(&at, "a mapping", node.describe(), help));
            }
            _ => &[],
        };
        let section = Section { at, entries };
        if let Some(schema) = schema {
            // Other tools use such keys as a place for anchors.
            let is_own = |key: &str| schema.path == TOP.path && key.starts_with("x-");
            for (at, key, _) in section.entries().filter(|(_, key, _)| !schema.has(key) && !is_own(key)) {
                self.findings.problem(&at, "is not a known key", Some(help_for_unknown(key, schema)));
            }
        }
        Ok(section)
    }

    /// The mapping under `key`; empty also after a problem.
    pub fn section<'n>(&mut self, parent: &Section<'n>, key: &str, schema: Option<Schema>) -> Section<'n> {
        let at = parent.place(key);
        let section = self.mapping(parent.get(key).map(|(_, node)| node), at.clone(), schema);
        section.unwrap_or(Section { at, entries: &[] })
    }

    /// The elements of the list under `key`.
    pub fn list<'n>(&mut self, section: &Section<'n>, key: &str) -> Vec<(Place, &'n Node)> {
        match section.get(key) {
            None => Vec::new(),
            Some((at, Node { kind: NodeKind::List(items), .. })) => {
                items.iter().enumerate().map(|(i, item)| (at.item(i, item.line), item)).collect()
            }
            Some((at, node)) => {
                let help = Some(example::list(key));
                self.findings.problem(&at, format!("must be a list, not {}", node.describe()), help);
                Vec::new()
            }
        }
    }

    /// The text under `key`.
    pub fn text(&mut self, section: &Section<'_>, key: &str) -> Result<Option<Text>, Reported> {
        section.get(key).map(|(at, node)| self.text_at(node, at, false)).transpose()
    }

    /// The text at a place; if it is a `secret`, problems do not show it.
    pub fn text_at(&mut self, node: &Node, at: Place, secret: bool) -> Result<Text, Reported> {
        let (meaning, text) = match &node.kind {
            NodeKind::Scalar(scalar) => (scalar.meaning(), self.interpolated(scalar, &at)?),
            NodeKind::List(_) | NodeKind::Map(_) => return Err(self.not(&at, "a text", node.describe(), None)),
        };
        if meaning == Meaning::Text {
            let written = text.form == Form::Literal;
            return Ok(Text { at, text: text.text, shown: text.shown, written, stray: text.stray });
        }
        let shown = if secret || meaning == Meaning::Null { node.describe() } else { &text.text };
        let help = (meaning != Meaning::Null).then(|| "put it in quotes".to_owned());
        Err(self.not(&at, "a text", shown, help))
    }

    /// The boolean under `key`.
    pub fn boolean(&mut self, section: &Section<'_>, key: &str, default: bool) -> bool {
        let Ok(Some((at, found))) = self.scalar(section, key, "true or false") else { return default };
        match (found.meaning, found.text.to_lowercase().as_str()) {
            (Meaning::Bool(value), _) => value,
            // YAML 1.1, which OptiLLM's parser follows.
            (Meaning::Text, "yes" | "on") if found.plain => true,
            (Meaning::Text, "no" | "off") if found.plain => false,
            _ => {
                self.not(&at, "true or false", &found.shown, found.help);
                default
            }
        }
    }

    /// One of `names` under `key`, whatever its case if `any_case`.
    pub fn one_of<T: Copy>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        names: &[(&str, T)],
        any_case: bool,
    ) -> Option<T> {
        let found = self.text(section, key).ok()??;
        let same = |name: &str| if any_case { name.eq_ignore_ascii_case(&found.text) } else { name == found.text };
        if let Some((_, value)) = names.iter().find(|(name, _)| same(name)) {
            return Some(*value);
        }
        let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        let help = nearest(&found.text, &names).map(|near| format!("did you mean `{near}`?"));
        self.not(&found.at, &format!("one of {}", names.join(", ")), &found.shown, help);
        None
    }

    /// Reports that a value is not what its key wants.
    pub fn not(&mut self, at: &Place, wanted: &str, shown: &str, help: Option<String>) -> Reported {
        self.findings.problem(at, format!("must be {wanted}, not {shown}"), help)
    }

    /// The scalar under `key`, for the keys that want a number or a boolean.
    fn scalar(
        &mut self,
        section: &Section<'_>,
        key: &str,
        wanted: &str,
    ) -> Result<Option<(Place, Resolved)>, Reported> {
        let Some((at, node)) = section.get(key) else { return Ok(None) };
        let NodeKind::Scalar(scalar) = &node.kind else {
            return Err(self.not(&at, wanted, node.describe(), None));
        };
        let text = self.interpolated(scalar, &at)?;
        let resolved = match text.form {
            Form::Literal => {
                let meaning = scalar.meaning();
                let shown = if meaning == Meaning::Text { text.shown } else { text.text.clone() };
                let unquoted = Scalar { text: text.text.clone(), plain: true }.meaning();
                let help = (!scalar.plain && matches!(unquoted, Meaning::Number | Meaning::Bool(_)))
                    .then(|| "write it without quotes".to_owned());
                Resolved { text: text.text, meaning, plain: scalar.plain, shown, help }
            }
            Form::Reference => {
                // Read like a plain YAML scalar, without the white space around it; but an empty text is not null.
                let value = Scalar { text: text.text.trim().to_owned(), plain: true };
                let meaning = match value.meaning() {
                    Meaning::Null => Meaning::Text,
                    meaning => meaning,
                };
                Resolved { text: value.text, meaning, plain: true, shown: text.shown, help: None }
            }
            Form::Mixed => {
                let help = "a variable can give a number or a boolean only where it is the whole value".to_owned();
                Resolved { text: text.text, meaning: Meaning::Text, plain: false, shown: text.shown, help: Some(help) }
            }
        };
        Ok(Some((at, resolved)))
    }

    /// A scalar's text with its references replaced. Each missing variable is a problem of its own.
    pub fn interpolated(&mut self, scalar: &Scalar, at: &Place) -> Result<Filled, Reported> {
        let named = RefCell::new(Vec::new());
        let files = |path: &str| {
            named.borrow_mut().push(path.to_owned());
            content(&self.findings.folder().join(path))
        };
        let interpolated = interpolate(&scalar.text, self.env, &files);
        for path in named.into_inner() {
            self.findings.names(&path);
        }
        match interpolated {
            Ok(done) => {
                if done.stray {
                    self.findings.warn(at, "holds a `${` that is not a reference to a variable and is kept as it is");
                }
                let shown = match done.form {
                    Form::Literal => quoted(&done.text),
                    Form::Reference | Form::Mixed => format!("the value of {}", quoted(&scalar.text)),
                };
                Ok(Filled { text: done.text, form: done.form, stray: done.stray, shown })
            }
            Err(failures) => {
                for failure in failures {
                    let (message, help) = match failure {
                        Failure::Unset(name) => (
                            format!("the environment variable {name} is not set"),
                            Some(format!("set it, or give a default: ${{{name}:-...}}")),
                        ),
                        Failure::Missing(path) => (
                            format!("there is no file {}", self.findings.folder().join(&path).display()),
                            Some("paths are relative to the folder of the configuration".to_owned()),
                        ),
                        Failure::Unreadable(path, why) => (
                            format!("the file {} cannot be read: {why}", self.findings.folder().join(path).display()),
                            None,
                        ),
                        Failure::TooDeep => ("has defaults that are nested too deeply".to_owned(), None),
                        Failure::TooLong => ("is longer than 1 MiB with its variables filled in".to_owned(), None),
                    };
                    self.findings.problem(at, message, help);
                }
                Err(Reported)
            }
        }
    }
}

/// The bytes of a file of at most `limit` bytes; `None` when there is no such file.
pub(super) fn content_up_to(file: &Path, limit: u64) -> Result<Option<Vec<u8>>, String> {
    match read_bounded(file, limit) {
        Ok(bytes) if bytes.len() as u64 > limit => Err(match limit >> 20 {
            0 => format!("it is larger than {} KiB", limit >> 10),
            mebibytes => format!("it is larger than {mebibytes} MiB"),
        }),
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// The content of a file that holds a secret or the like; `None` when there is no such file.
pub(super) fn content(file: &Path) -> Result<Option<String>, String> {
    let Some(bytes) = content_up_to(file, MAX_CONTENT)? else { return Ok(None) };
    // The message holds no bytes of the file, which is usually a secret.
    String::from_utf8(bytes).map(Some).map_err(|_not_text| "it is not UTF-8".to_owned())
}

/// A text with its references replaced.
pub(crate) struct Filled {
    pub text: String,
    form: Form,
    stray: bool,
    shown: String,
}
