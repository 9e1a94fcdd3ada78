//! What is in force, key by key: the value, and where it comes from.
//!
//! Secrets are never told, nor a value in which the value of a secret stands. Of everything else the value is told that it has
//! in the end, also where it comes from a variable: that is what one asks for.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Part, Value, Written};
use crate::config::problem::{join, quoted};
use crate::config::schema::{Absent, Kind, Row, Schema, TOP};

/// A value that is shorter does not give a secret away that happens to contain it.
const LEAST_SECRET: usize = 8;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its path, in which providers, routes and clients appear by name.
    pub key: String,
    /// Its value, as it would be written; `None` where it is not shown.
    pub value: Option<String>,
    /// The place that the value comes from.
    pub origin: Origin,
}

/// The place that a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file.
    File {
        /// Its line there.
        line: usize,
        /// The variables of the environment that are part of it.
        variables: Vec<String>,
        /// Variables that it names and that are not set, so that a default holds.
        unset: Vec<String>,
        /// Other files that are part of it.
        files: Vec<String>,
    },
    /// Nothing says it.
    Default {
        /// True when the value is a description in words.
        in_words: bool,
    },
    /// A flag of the command line, or a variable of the environment that stands over the file.
    Over(String),
}

impl Origin {
    /// In words; of the file by the number of the line alone.
    pub fn words(&self) -> String {
        match self {
            Self::Over(by) => by.clone(),
            Self::Default { .. } => "default".to_owned(),
            Self::File { line, variables, unset, files } => {
                let mut words = format!("line {line}");
                let list = |names: &[String]| names.join(", ");
                if !variables.is_empty() {
                    words.push_str(&format!(", environment variable {}", list(variables)));
                }
                if !files.is_empty() {
                    words.push_str(&format!(", file {}", list(files)));
                }
                if !unset.is_empty() {
                    words.push_str(&format!(", as {} is not set", list(unset)));
                }
                words
            }
        }
    }
}

impl Setting {
    /// For programs.
    pub fn json(&self) -> Json {
        let Self { key, value, origin } = self;
        let mut fields = Map::new();
        fields.insert("key".to_owned(), json!(key));
        fields.insert("value".to_owned(), json!(value));
        let name = match origin {
            Origin::File { .. } => "file",
            Origin::Default { .. } => "default",
            Origin::Over(_) => "over",
        };
        fields.insert("from".to_owned(), json!(name));
        match origin {
            Origin::Over(by) => drop(fields.insert("by".to_owned(), json!(by))),
            Origin::Default { in_words } => {
                if *in_words {
                    fields.insert("in_words".to_owned(), json!(true));
                }
            }
            Origin::File { line, variables, unset, files } => {
                fields.insert("line".to_owned(), json!(line));
                for (name, list) in [("variables", variables), ("unset", unset), ("files", files)] {
                    if !list.is_empty() {
                        fields.insert(name.to_owned(), json!(list));
                    }
                }
            }
        }
        Json::Object(fields)
    }
}

impl Written {
    /// Every key with its value in force, by path; `with_defaults`, those too that nobody has set.
    pub fn in_force(&self, with_defaults: bool) -> Vec<Setting> {
        let secrets = self.values.values().filter(|value| value.is_secret).map(Value::text);
        let secrets: Vec<&str> = secrets.filter(|secret| secret.len() >= LEAST_SECRET).collect();
        let mut all: BTreeMap<String, Setting> = BTreeMap::new();
        for (key, value) in &self.values {
            let text = value.text();
            let is_shown = value.shown.is_some() && !secrets.iter().any(|secret| text.contains(secret));
            let super::Sources { variables, unset, files } = value.sources.clone();
            let origin = Origin::File { line: value.line, variables, unset, files };
            let value =
                is_shown.then(|| if text.len() < 60 && is_plain(text) { text.to_owned() } else { quoted(text) });
            all.insert(key.clone(), Setting { key: key.clone(), value, origin });
        }
        if with_defaults {
            let mut add = |setting: Setting| {
                all.entry(setting.key.clone()).or_insert(setting);
            };
            for Part { path, schema, absent } in &self.sections {
                let rows = schema.rows.iter().enumerate().filter(|(place, _)| absent >> place & 1 == 1);
                rows.for_each(|(_, row)| default_of(path, row, false, &mut add));
            }
        }
        for (key, (value, by)) in &self.over {
            let (key, value, origin) = (key.clone(), Some(value.clone()), Origin::Over(by.clone()));
            all.insert(key.clone(), Setting { key, value, origin });
        }
        all.into_values().collect()
    }

    /// The same for programs, with the file.
    pub fn json(&self, with_defaults: bool) -> Json {
        let settings: Vec<Json> = self.in_force(with_defaults).iter().map(Setting::json).collect();
        json!({"file": self.file.display().to_string(), "settings": settings})
    }
}

impl Value {
    /// The text that the value stands for.
    fn text(&self) -> &str {
        self.stands_for.reveal()
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(char::is_control)
}

/// Every key that there is with its default; keys in lists and maps with `[]` and `NAME`.
pub fn defaults() -> Vec<Setting> {
    let mut all = Vec::new();
    of_section("", &TOP, &mut |setting| all.push(setting));
    all
}

fn of_section(path: &str, schema: &Schema, add: &mut dyn FnMut(Setting)) {
    schema.rows.iter().for_each(|row| default_of(path, row, true, add));
}

/// Tells the default of a key; `whole`, of all keys below it too, whether they would be there or not.
fn default_of(path: &str, row: &Row, whole: bool, add: &mut dyn FnMut(Setting)) {
    let key = if path.is_empty() { row.key.to_owned() } else { join(path, row.key) };
    let mut say = |value: &str, in_words| {
        add(Setting { key: key.clone(), value: Some(value.to_owned()), origin: Origin::Default { in_words } });
    };
    match row.absent {
        Absent::Is(value) => say(value, false),
        Absent::As(words) => say(words, true),
        Absent::Required if whole => say("required", true),
        Absent::Nothing if whole => say("none", true),
        Absent::Required | Absent::Nothing | Absent::Each => {}
    }
    if whole {
        below(&key, &row.kind, add);
    } else if let (Absent::Each, Kind::Section(schema)) = (row.absent, row.kind) {
        schema.rows.iter().for_each(|row| default_of(&key, row, false, add));
    }
}

fn below(path: &str, kind: &Kind, add: &mut dyn FnMut(Setting)) {
    match kind {
        Kind::Section(schema) => of_section(path, schema, add),
        Kind::List(each) => below(&format!("{path}[]"), each, add),
        Kind::Map(each, fixed) => {
            fixed.iter().for_each(|row| default_of(path, row, true, add));
            below(&format!("{path}.NAME"), each, add);
        }
        Kind::OneOf(kinds) => {
            if let Some(kind) = kinds.iter().find(|kind| matches!(kind, Kind::Section(_))) {
                below(path, kind, add);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn config(text: &str) -> Written {
        let env = |name: &str| match name {
            "KEY" => Some("sk-never-shown".to_owned()),
            "PORT" => Some("9000".to_owned()),
            _ => None,
        };
        parse(text, Path::new("x.yaml"), &env, &["round_robin", "weighted"]).expect("valid").written
    }

    fn of<'s>(all: &'s [Setting], key: &str) -> (Option<&'s str>, String) {
        let found = all.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("{key}: {all:?}"));
        (found.value.as_deref(), found.origin.words())
    }

    #[test]
    fn each_value_says_where_it_comes_from_and_secrets_stay_secret() {
        let mut written = config(
            "providers:\n  - name: a\n    base_url: ${BASE:-http://a/v1}\n    api_key: ${KEY}\n    labels: {leak: '${KEY}'}\n\
             server:\n  port: ${PORT}\nqueue: {timeout: 5}\n",
        );
        written.set_over("server.host", "0.0.0.0", "--host");
        let all = written.in_force(true);
        assert_eq!(of(&all, "providers[a].base_url"), (Some("http://a/v1"), "line 3, as BASE is not set".to_owned()));
        assert_eq!(of(&all, "providers[a].api_key"), (None, "line 4, environment variable KEY".to_owned()));
        assert_eq!(of(&all, "providers[a].labels.leak").0, None, "the value of a secret stands in it");
        assert_eq!(of(&all, "server.port"), (Some("9000"), "line 7, environment variable PORT".to_owned()));
        assert_eq!(of(&all, "server.host"), (Some("0.0.0.0"), "--host".to_owned()));
        assert_eq!(of(&all, "queue.timeout"), (Some("5"), "line 8".to_owned()));
        assert_eq!(of(&all, "queue.slot_wait"), (Some("0.5"), "default".to_owned()));
        assert_eq!(of(&all, "routing.health_check.failures"), (Some("3"), "default".to_owned()));
        assert_eq!(of(&all, "providers[a].weight"), (Some("1"), "default".to_owned()));
        assert!(!format!("{all:?}{}", written.json(true)).contains("never-shown"));
        assert!(
            !all.iter().any(|setting| setting.key.starts_with("server.tls") && setting.key != "server.tls"),
            "{all:?}"
        );
        let set = written.in_force(false);
        assert_eq!(set.len(), 7, "{set:?}");
    }

    #[test]
    fn the_defaults_name_every_key() {
        let all = defaults();
        assert_eq!(of(&all, "server.admin.port"), (Some("required"), "default".to_owned()));
        assert_eq!(of(&all, "routes[].hedge.at_most").0, Some("0.05"));
        assert_eq!(of(&all, "strategies.limits.max_bytes").0, Some("67108864"));
        assert_eq!(of(&all, "strategies.NAME.config").0, Some("{}"));
        assert!(all.len() > 250, "{}", all.len());
    }
}
