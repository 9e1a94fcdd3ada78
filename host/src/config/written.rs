//! The keys and values of the file as they were written, so that a reload can list what has changed.
//!
//! Values are shown as they were written, because the value of a variable or the content of a file may be a secret.
//! They are compared by their resolved values. [`in_force`] tells those as well, with the defaults of what is not written and
//! where each value comes from.

mod in_force;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;
use std::path::PathBuf;

use super::Secret;
use super::interpolate::{Env, interpolate};
use super::node::{Node, NodeKind};
use super::problem::{Findings, join, quoted};
use super::read::content;
use super::schema::{Kind, Schema, TOP};
pub use in_force::{Origin, Setting, defaults};

/// Keys whose values are never shown, including all keys below them.
const SECRET: [&str; 8] = ["api_key", "api_keys", "config", "hash", "headers", "key", "password", "proxy"];

/// Keys whose values appear in the log only, and not in `/health`, which everybody may read.
const PRIVATE: [&str; 3] = ["base_url", "proxy", "path"];

/// The most clients whose keys are listed one by one; of more, only the number that has changed is told.
const LISTED: usize = 1000;

/// All keys of a file with their values.
#[derive(Clone, Debug, Default)]
pub struct Written {
    values: BTreeMap<String, Value>,
    /// Each of more than [`LISTED`] clients: a digest of its name, and one of all that is said of it; sorted.
    crowd: Vec<(u64, u64)>,
    /// The sections that are there.
    sections: Vec<Part>,
    /// Keys that the command line or the environment has set over the file: with the value, and by what.
    over: BTreeMap<String, (String, String)>,
    /// The file.
    file: PathBuf,
}

#[derive(Clone, Debug)]
struct Value {
    /// `None` where no value may be shown.
    shown: Option<String>,
    private: bool,
    /// True when the table says that it is a secret.
    is_secret: bool,
    stands_for: Secret,
    line: usize,
    sources: Sources,
}

/// The places that the references in a value lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sources {
    /// Variables that are set.
    variables: Vec<String>,
    /// Variables that are not set, or empty.
    unset: Vec<String>,
    /// Files.
    files: Vec<String>,
}

/// A section that is there, and the keys that it does not have.
#[derive(Clone, Debug)]
struct Part {
    path: String,
    schema: &'static Schema,
    /// A bit for each row of the schema.
    absent: u64,
}

/// One key that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its path, in which providers and routes appear by name.
    pub key: String,
    /// The kind of change, such as `1 -> 3`, `changed`, `added`.
    pub what: String,
    /// True when the values must not appear in `/health`, which everybody may read.
    private: bool,
}

impl Change {
    /// A change without values.
    pub fn of(key: String, what: &str) -> Self {
        Self { key, what: what.to_owned(), private: false }
    }

    /// A line for the log.
    pub fn line(&self) -> String {
        format!("{}: {}", self.key, self.what)
    }

    /// A line for `/health`, which everybody may read.
    pub fn public_line(&self) -> String {
        // The names of clients are nobody else's business.
        if self.key.starts_with("clients.") {
            return "clients: changed".to_owned();
        }
        if self.private { format!("{}: changed", self.key) } else { self.line() }
    }
}

impl Written {
    /// All keys, each with its value as it was written; without one where no value may be shown.
    pub fn shown(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.shown.as_deref()))
    }

    /// The keys and values of a file; `findings` is used for its path only.
    pub(super) fn of(root: Option<&Node>, env: &Env<'_>, findings: &Findings) -> Self {
        let mut all = Self { file: findings.file().to_owned(), ..Self::default() };
        if let Some(root) = root {
            let value = |text: &str| resolved(text, env, findings);
            let at = At { path: String::new(), shown: Shown::Yes, kind: Some(&Kind::Section(&TOP)) };
            flatten(root, at, &value, &mut all);
        }
        all
    }

    /// Notes that a key has another value than in the file, set by a flag or a variable.
    pub fn set_over(&mut self, key: &str, value: impl Into<String>, by: &str) {
        self.over.insert(key.to_owned(), (value.into(), by.to_owned()));
    }

    /// The changes from `self` to `after`, sorted by key. A whole provider, route or strategy is one change.
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        let mut keys: Vec<&String> = self.values.keys().chain(after.values.keys()).collect();
        keys.sort();
        keys.dedup();
        if !self.crowd.is_empty() || !after.crowd.is_empty() {
            keys.retain(|key| !key.starts_with("clients.keys["));
        }
        for key in keys {
            let (old, new) = (self.values.get(key), after.values.get(key));
            let whole = whole(key);
            let lacks = |side: &Self| {
                let from = side.values.range(whole.to_owned()..).map(|(other, _)| other);
                !from.take_while(|other| other.starts_with(whole)).any(|other| self::whole(other) == whole)
            };
            let change = match (old, new) {
                (Some(old), Some(new)) if old.stands_for == new.stands_for => continue,
                (None, Some(_)) if whole != key && lacks(self) => Change::of(whole.to_owned(), "added"),
                (Some(_), None) if whole != key && lacks(after) => Change::of(whole.to_owned(), "removed"),
                (old, new) => Change {
                    key: key.clone(),
                    what: what(old, new),
                    private: [old, new].iter().flatten().any(|value| value.private),
                },
            };
            if changes.last() != Some(&change) {
                changes.push(change);
            }
        }
        changes.extend(self.in_crowd(after));
        changes
    }

    /// The number of clients that have changed, where there are too many to list them.
    fn in_crowd(&self, after: &Self) -> Option<Change> {
        let (old, new) = (&self.crowd, &after.crowd);
        if old == new {
            return None;
        }
        let is_in = |side: &[(u64, u64)], name: u64| side.binary_search_by_key(&name, |(name, _)| *name).is_ok();
        let lacking =
            |one: &[(u64, u64)], other: &[(u64, u64)]| one.iter().filter(|(name, _)| !is_in(other, *name)).count();
        let (added, removed) = (lacking(new, old), lacking(old, new));
        let other = new.iter().filter(|said| old.binary_search(said).is_err()).count() - added;
        let what = match (old.is_empty(), new.is_empty()) {
            (true, _) => format!("{} keys now", new.len()),
            (_, true) => format!("no longer {} keys", old.len()),
            _ => format!("{added} added, {removed} removed, {other} changed"),
        };
        Some(Change::of("clients.keys".to_owned(), &what))
    }
}

/// The provider, route or strategy that a key belongs to, or the key itself.
fn whole(key: &str) -> &str {
    let listed = ["providers[", "routes[", "clients.groups[", "clients.keys["];
    let end = if listed.iter().any(|list| key.starts_with(list)) {
        key.find(']').map(|end| end + 1)
    } else {
        let name = key.strip_prefix("strategies.").and_then(|rest| rest.find('.'));
        name.map(|end| end + "strategies.".len())
    };
    end.and_then(|end| key.get(..end)).unwrap_or(key)
}

fn what(old: Option<&Value>, new: Option<&Value>) -> String {
    let hidden = |value: &Option<&Value>| value.is_some_and(|value| value.shown.is_none());
    if hidden(&old) || hidden(&new) {
        let what = match (old, new) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(_), Some(_)) => "changed",
        };
        return what.to_owned();
    }
    let shown =
        |value: Option<&Value>| value.and_then(|value| value.shown.clone()).unwrap_or_else(|| "not set".to_owned());
    let (old, new) = (shown(old), shown(new));
    if old == new { format!("{new} stands for something else now") } else { format!("{old} -> {new}") }
}

/// The places where a value may be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Yes,
    Privately,
    No,
}

/// A text with its references replaced, and where they lead.
fn resolved(text: &str, env: &Env<'_>, findings: &Findings) -> (String, Sources) {
    let seen = RefCell::new(Sources::default());
    let add = |list: &mut Vec<String>, name: &str| {
        if !list.iter().any(|known| known == name) {
            list.push(name.to_owned());
        }
    };
    let variable = |name: &str| {
        let value = env(name);
        let mut seen = seen.borrow_mut();
        let Sources { variables, unset, .. } = &mut *seen;
        add(if value.as_deref().is_none_or(str::is_empty) { unset } else { variables }, name);
        value
    };
    let files = |path: &str| {
        add(&mut seen.borrow_mut().files, path);
        content(&findings.folder().join(path))
    };
    let text = interpolate(text, &variable, &files).map_or_else(|_wrong| text.to_owned(), |found| found.text);
    (text, seen.into_inner())
}

/// The place of a node.
struct At {
    path: String,
    shown: Shown,
    /// The kind of value that the table of keys gives it; `None` for a key that the table does not have.
    kind: Option<&'static Kind>,
}

/// A text as it is resolved.
type Resolve<'a> = &'a dyn Fn(&str) -> (String, Sources);

fn flatten(node: &Node, At { path, shown, kind }: At, value: Resolve<'_>, all: &mut Written) {
    match &node.kind {
        NodeKind::Map(entries) => {
            let map = kind.and_then(Kind::of_mappings);
            if let Some(Kind::Section(schema)) = map {
                let is_there = |key: &str| entries.iter().any(|(known, node)| known.text == key && !node.is_null());
                let rows = schema.rows.iter().enumerate().filter(|(_, row)| !is_there(row.key));
                let absent = rows.fold(0, |bits, (place, _)| bits | 1 << place);
                all.sections.push(Part { path: path.clone(), schema, absent });
            }
            for (key, node) in entries {
                let kind = map.and_then(|map| map.within(&key.text));
                let shown = match shown {
                    Shown::No => Shown::No,
                    _ if SECRET.contains(&key.text.as_str()) => Shown::No,
                    _ if matches!(kind, Some(Kind::Secret | Kind::Any | Kind::Object)) => Shown::No,
                    _ if PRIVATE.contains(&key.text.as_str()) => Shown::Privately,
                    shown => shown,
                };
                flatten(node, At { path: join(&path, &key.text), shown, kind }, value, all);
            }
        }
        NodeKind::List(items) if path == "clients.keys" && items.len() > LISTED => {
            let value = |text: &str| value(text).0;
            all.crowd = items.iter().map(|item| (hash(&name(item)), hash_of(item, &value))).collect();
            all.crowd.sort_unstable();
        }
        NodeKind::List(items) => {
            let kind = kind.and_then(Kind::of_items);
            for (index, item) in items.iter().enumerate() {
                let name = name(item).map_or_else(|| index.to_string(), quote_if_strange);
                flatten(item, At { path: format!("{path}[{name}]"), shown, kind }, value, all);
            }
        }
        NodeKind::Scalar(scalar) => {
            let (stands_for, sources) = value(&scalar.text);
            // A URL may contain a user and a password.
            let hidden = shown == Shown::No || scalar.text.contains('@') || stands_for.contains('@');
            let text = if scalar.plain && scalar.text.len() < 60 { scalar.text.clone() } else { quoted(&scalar.text) };
            let private = shown == Shown::Privately;
            let (shown, stands_for) = ((!hidden).then_some(text), Secret::new(stands_for));
            let is_secret = matches!(kind, Some(Kind::Secret));
            all.values.insert(path, Value { shown, private, is_secret, stands_for, line: node.line, sources });
        }
    }
}

/// Something that tells one value from another.
fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The same of a value with all that is in it.
fn hash_of(node: &Node, value: &dyn Fn(&str) -> String) -> u64 {
    match &node.kind {
        NodeKind::Map(entries) => {
            let inner: Vec<_> = entries.iter().map(|(key, node)| (&key.text, hash_of(node, value))).collect();
            hash(&inner)
        }
        NodeKind::List(items) => hash(&items.iter().map(|item| hash_of(item, value)).collect::<Vec<_>>()),
        NodeKind::Scalar(scalar) => hash(&value(&scalar.text)),
    }
}

/// The value of `name` in an element of a list.
fn name(item: &Node) -> Option<&str> {
    let NodeKind::Map(entries) = &item.kind else { return None };
    entries.iter().find_map(|(key, node)| match &node.kind {
        NodeKind::Scalar(scalar) if key.text == "name" => Some(scalar.text.as_str()),
        NodeKind::Scalar(_) | NodeKind::List(_) | NodeKind::Map(_) => None,
    })
}

fn quote_if_strange(name: &str) -> String {
    let plain = !name.is_empty() && !name.contains(|c: char| c.is_control() || c.is_whitespace() || "[]".contains(c));
    if plain { name.to_owned() } else { quoted(name).replace(['[', ']'], "_") }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, parse};
    use super::*;

    const PROVIDERS: &str =
        "providers:\n  - {name: a, base_url: 'http://a.internal/v1', api_key: never-shown, weight: 1}\n";

    fn config(text: &str) -> Config {
        parse(
            text,
            std::path::Path::new("x.yaml"),
            &|name| (name == "K").then(|| "never-shown".to_owned()),
            &["round_robin", "weighted"],
        )
        .unwrap()
    }

    fn lines(before: &str, after: &str) -> Vec<String> {
        config(before).written.changes(&config(after).written).iter().map(Change::line).collect()
    }

    #[test]
    fn each_changed_key_is_one_line_with_both_values() {
        let after = format!("{}routing: {{strategy: weighted}}\n", PROVIDERS.replace("weight: 1", "weight: 3"));
        let before = format!("{PROVIDERS}routing: {{strategy: weighted, health_check: {{interval: 5}}}}\n");
        assert_eq!(
            lines(&before, &after),
            ["providers[a].weight: 1 -> 3", "routing.health_check.interval: 5 -> not set"]
        );
        assert_eq!(lines(&before, &before), [""; 0]);
        assert_eq!(lines(&before, &format!("# a comment\n{before}")), [""; 0]);
    }

    #[test]
    fn secrets_are_changed_and_nothing_more() {
        let more = "server: {api_keys: [never-shown, '${K}']}\nstrategies: {weighted: {config: {a: never-shown}}}\n";
        let before = format!("{PROVIDERS}{more}");
        let after = before.replace("never-shown", "never-shown-either");
        let found = lines(&before, &after);
        assert_eq!(
            found,
            ["providers[a].api_key: changed", "server.api_keys[0]: changed", "strategies.weighted.config.a: changed"]
        );
    }

    #[test]
    fn every_key_is_shown_with_its_value_and_secrets_without() {
        let more =
            "server: {api_keys: ['${K}', never-shown]}\nstate: {url: 'redis://host:6379', password: never-shown}\n";
        let config = config(&format!("{PROVIDERS}{more}"));
        let shown: Vec<(&str, Option<&str>)> = config.written.shown().collect();
        assert!(shown.contains(&("providers[a].weight", Some("1"))) && shown.contains(&("server.api_keys[0]", None)));
        assert!(shown.contains(&("providers[a].base_url", Some("\"http://a.internal/v1\""))), "{shown:?}");
        assert!(
            shown.contains(&("state.password", None)) && !format!("{shown:?}").contains("never-shown"),
            "{shown:?}"
        );
    }

    #[test]
    fn what_is_added_or_removed_as_a_whole_is_one_line() {
        let two = format!("{PROVIDERS}  - {{name: b, base_url: 'http://b/v1', api_key: k}}\n");
        assert_eq!(lines(PROVIDERS, &two), ["providers[b]: added"]);
        assert_eq!(lines(&two, PROVIDERS), ["providers[b]: removed"]);
    }

    #[test]
    fn of_a_crowd_of_clients_the_number_that_has_changed_is_told() {
        let file = |keys: &[(usize, &str)]| {
            let of = |(number, models): &(usize, &str)| {
                format!("    - {{name: c{number}, key: sk-never-shown-{number}, models: [{models}]}}\n")
            };
            format!("{PROVIDERS}clients:\n  keys:\n{}", keys.iter().map(of).collect::<String>())
        };
        let all: Vec<(usize, &str)> = (0..=LISTED).map(|number| (number, "a")).collect();
        let mut other = all.clone();
        (other[3].1, other[4].1) = ("b", "b");
        other.drain(7..10);
        other.extend([(9000, "a"), (9001, "a"), (9002, "a"), (9003, "a")]);
        let (before, after) = (file(&all), file(&other));
        assert_eq!(lines(&before, &after), ["clients.keys: 4 added, 3 removed, 2 changed"]);
        assert_eq!(lines(&before, &before), [""; 0]);
        assert_eq!(lines(PROVIDERS, &before), ["clients.keys: 1001 keys now"]);
    }

    #[test]
    fn an_address_is_for_the_log_alone() {
        let after = PROVIDERS.replace("a.internal", "b.internal");
        let changes = config(PROVIDERS).written.changes(&config(&after).written);
        assert_eq!(changes[0].line(), "providers[a].base_url: \"http://a.internal/v1\" -> \"http://b.internal/v1\"");
        assert_eq!(changes[0].public_line(), "providers[a].base_url: changed");
    }
}
