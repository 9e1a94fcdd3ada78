//! `clients`: who may ask, under which names, and for which models.
//!
//! Of a key the configuration keeps its digest alone: the text is needed nowhere, and what is not there cannot leak.

mod expiry;
mod key;
mod terms;

use std::collections::HashMap;
use std::path::PathBuf;

use http::HeaderName;

use super::limits::{Limits, limits};
use super::node::{Node, NodeKind};
use super::problem::{Place, Reported, quoted};
use super::provider::{RESERVED_HEADERS, illegal_name, models, required};
use super::read::{Reader, Section};
use super::schema::{CLIENT_GROUP, CLIENT_KEY, CLIENT_STORE, CLIENTS};
use super::wildcard::fits;

pub use expiry::Expiry;
pub use key::{BASE32, BASE62, Digest, ID_LENGTH, KeyForm, SECRET_LENGTH, compose, digest_of, form_of};
pub use terms::terms;

/// `clients`, without the keys in `server.api_keys`.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// The treatment of a caller without a known key; `None` follows from whether there are keys.
    pub unknown: Option<Unknown>,
    /// One more header in which clients may send their key.
    pub header: Option<HeaderName>,
    /// Clients that share limits, in the order of the file; names unique.
    pub groups: Vec<ClientGroup>,
    /// In the order of the file; names and digests unique.
    pub keys: Vec<ClientKey>,
    /// The place where keys made at run time are kept; without one, none can be made.
    pub store: Option<KeyStore>,
}

impl Clients {
    /// Forgets the keys once they are in the table of all keys: there may be a hundred thousand.
    pub fn let_go_of_keys(&mut self) {
        if !self.keys.is_empty() {
            self.unknown.get_or_insert(Unknown::Refuse);
            self.keys = Vec::new();
        }
    }

    /// True when a caller must show a known key; `others` is true when there are keys besides those here.
    pub fn refuse_unknown(&self, others: bool) -> bool {
        match self.unknown {
            Some(unknown) => unknown == Unknown::Refuse,
            None => others || !self.keys.is_empty() || self.store.is_some(),
        }
    }
}

/// What happens to a caller without a known key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It gets 401.
    Refuse,
    /// It goes on without a name.
    Allow,
}

/// Clients that share limits.
#[derive(Clone, Debug)]
pub struct ClientGroup {
    /// Unique among groups.
    pub name: String,
    /// The limits of all of them together.
    pub limits: Limits,
    /// The line of the file on which it begins.
    pub line: usize,
}

/// One client, as the file or an operator describes it.
#[derive(Clone, Debug)]
pub struct ClientKey {
    /// Unique; in logs and metrics in place of the key.
    pub name: String,
    /// The group whose limits it shares.
    pub group: Option<String>,
    /// The digest of its key.
    pub digest: Digest,
    /// The models that it may use, as clients name them, each exact or with one `*`; an empty list is all.
    pub models: Vec<String>,
    /// The moment from which the key is not accepted any more.
    pub expires: Option<Expiry>,
    /// Its limits.
    pub limits: Limits,
    /// The model to ask for in place of any other once a budget is spent; `None` is to refuse.
    pub when_exhausted: Option<String>,
    /// The share of a limit from which the log warns that it is nearly used up; above 0 and up to 1.
    pub notify: Option<f64>,
    /// The line of the file on which it begins; 0 for none.
    pub line: usize,
}

/// The place where keys made at run time are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStore {
    /// A file on this machine.
    File(PathBuf),
    /// The engine under `state`, which a fleet shares.
    Engine,
}

/// Reads `clients`.
pub(super) fn clients(reader: &mut Reader<'_>, top: &Section<'_>) -> Clients {
    let section = reader.section(top, "clients", Some(CLIENTS));
    let choices = [("refuse", Unknown::Refuse), ("allow", Unknown::Allow)];
    let unknown = reader.one_of(&section, "unknown", &choices, false);
    let groups = groups(reader, &section);
    let header = header(reader, &section);
    let keys = keys(reader, &section, &groups);
    let store = store(reader, &section, top.get("state").is_some());
    Clients { unknown, header, groups, keys, store }
}

/// Warns of a store that nobody can put a key in.
pub(super) fn advise(reader: &mut Reader<'_>, top: &Section<'_>, clients: &Clients, has_admin: bool) {
    if clients.store.is_some() && !has_admin {
        let section = reader.section(top, "clients", None);
        let message = "keys are made at run time by the listener of operators alone, and `server.admin` is not set: only those \
                       that are in the store already count";
        reader.findings.warn(&section.place("store"), message);
    }
}

/// Refuses to show the header that holds keys to strategies or providers.
pub(super) fn keep_secret(reader: &mut Reader<'_>, top: &Section<'_>, header: Option<&HeaderName>, config: &Shown<'_>) {
    let Some(header) = header else { return };
    let of_attributes = config.attributes.contains(&header);
    let affected = [
        (of_attributes, "routing", "attributes"),
        (config.affinity == Some(header), "routing", "affinity"),
        (config.forwarded.contains(header), "server", "forward_headers"),
    ];
    for (_, section, key) in affected.iter().filter(|(affected, ..)| *affected) {
        let section = reader.section(top, section, None);
        let message = format!("must not name {header}, which holds the keys of clients (`clients.header`)");
        reader.findings.problem(&section.place(key), message, None);
    }
}

/// The headers that strategies or providers are shown.
pub(super) struct Shown<'c> {
    /// The headers of `routing.attributes`.
    pub attributes: Vec<&'c HeaderName>,
    /// The header of `routing.affinity`.
    pub affinity: Option<&'c HeaderName>,
    /// `server.forward_headers`.
    pub forwarded: &'c [HeaderName],
}

fn groups(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<ClientGroup> {
    let mut names = Names::default();
    let mut groups = Vec::new();
    for (at, node) in reader.list(section, "groups") {
        let Ok(group) = reader.mapping(Some(node), at, Some(CLIENT_GROUP)) else { continue };
        if let Ok(name) = names.take(reader, &group) {
            let limits = limits(reader, &group);
            groups.push(ClientGroup { name, limits, line: group.at.line });
        }
    }
    groups
}

fn keys(reader: &mut Reader<'_>, section: &Section<'_>, groups: &[ClientGroup]) -> Vec<ClientKey> {
    let mut names = Names::default();
    let mut digests: HashMap<Digest, String> = HashMap::new();
    let mut keys = Vec::new();
    let known: std::collections::HashSet<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    for (at, node) in reader.list(section, "keys") {
        let Ok(entry) = reader.mapping(Some(node), at, Some(CLIENT_KEY)) else { continue };
        let name = names.take(reader, &entry);
        let digest = key::digest(reader, &entry);
        let described = describe(reader, &entry, |group| known.contains(group));
        let (Ok(name), Ok(digest)) = (name, digest) else { continue };
        if let Some(other) = digests.insert(digest, name.clone()) {
            let message = format!("has the same key as {}", quoted(&other));
            reader.findings.problem(&entry.at, message, Some("give each client a key of its own".to_owned()));
        }
        keys.push(ClientKey { name, digest, line: entry.at.line, ..described });
    }
    keys
}

/// Everything about a key but its name and the key itself.
fn describe(reader: &mut Reader<'_>, entry: &Section<'_>, is_group: impl Fn(&str) -> bool) -> ClientKey {
    let group = reader.text(entry, "group").ok().flatten().and_then(|found| {
        if is_group(&found.text) {
            return Some(found.text);
        }
        let help = "groups are under `clients.groups`, each with its `name`".to_owned();
        reader.not(&found.at, "the name of a group", &found.shown, Some(help));
        None
    });
    let allowed = models(reader, entry);
    if let Some((at, Node { kind: NodeKind::List(items), .. })) = entry.get("models")
        && items.is_empty()
    {
        let help = "leave the key out to allow all models".to_owned();
        reader.findings.problem(&at, "must name at least one model", Some(help));
    }
    let expires = expiry::read(reader, entry);
    let limits = limits(reader, entry);
    let when_exhausted = reader.text(entry, "when_exhausted").ok().flatten().map(|found| found.text);
    let when_exhausted = when_exhausted.filter(|model| model != "refuse");
    if let Some(model) = &when_exhausted
        && !allowed.is_empty()
        && !allowed.iter().any(|pattern| fits(pattern, model))
    {
        let help = "add it to `models`, or name one of these".to_owned();
        let message = format!("is {}, which the key may not use", quoted(model));
        reader.findings.problem(&entry.place("when_exhausted"), message, Some(help));
    }
    let wanted = "a share above 0 and up to 1, such as 0.8";
    let notify = reader.number_that(entry, "notify", wanted, |share| share > 0.0 && share <= 1.0);
    ClientKey {
        name: String::new(),
        group,
        digest: Digest::default(),
        models: allowed,
        expires,
        limits,
        when_exhausted,
        notify,
        line: entry.at.line,
    }
}

/// Names that must be unique.
#[derive(Default)]
struct Names(HashMap<String, Place>);

impl Names {
    /// The `name` of an entry.
    fn take(&mut self, reader: &mut Reader<'_>, entry: &Section<'_>) -> Result<String, Reported> {
        let found = required(reader, entry, "name")?;
        if let Some(wrong) = illegal_name(&found.text) {
            return Err(reader.findings.problem(&found.at, wrong, None));
        }
        if let Some(other) = self.0.get(&found.text) {
            let (key, line) = (&other.key, other.line);
            let message = format!("must be unique, but {key} on line {line} is {} too", quoted(&found.text));
            return Err(reader.findings.problem(&found.at, message, None));
        }
        self.0.insert(found.text.clone(), found.at);
        Ok(found.text)
    }
}

/// The additional header for keys. What it carries reaches neither providers nor strategies.
fn header(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<HeaderName> {
    let found = reader.text(section, "header").ok()??;
    let wrong = match HeaderName::from_bytes(found.text.as_bytes()) {
        Err(_) => "is not a legal header name",
        Ok(name) if RESERVED_HEADERS.contains(&name.as_str()) || name == "cookie" => {
            "is a header that has another meaning"
        }
        Ok(name) => return Some(name),
    };
    let help = "such as x-litellm-api-key; Authorization, x-api-key and api-key are always read".to_owned();
    reader.findings.problem(&found.at, wrong, Some(help));
    None
}

/// The place for keys made at run time. `engine` is true where the configuration has a `state`.
fn store(reader: &mut Reader<'_>, section: &Section<'_>, engine: bool) -> Option<KeyStore> {
    let (_, node) = section.get("store")?;
    if node.describe() != "a mapping" {
        let found = reader.text(section, "store").ok()??;
        if found.text == "engine" {
            if !engine {
                let help = "such as `state: {url: redis://127.0.0.1:6379/0}`; on one machine a file does: `store: {path: state/keys.redb}`";
                reader.findings.problem(&found.at, "is the engine of `state`, which is not set", Some(help.to_owned()));
            }
            return Some(KeyStore::Engine);
        }
        let help = "such as {path: state/keys.redb}; `engine` is the one under `state`".to_owned();
        reader.not(&found.at, "`engine` or a mapping with a `path`", &found.shown, Some(help));
        return None;
    }
    let entry = reader.section(section, "store", Some(CLIENT_STORE));
    let found = required(reader, &entry, "path").ok()?;
    if found.text.is_empty() {
        let help = "such as state/keys.redb".to_owned();
        reader.findings.problem(&found.at, "must not be empty", Some(help));
    }
    Some(KeyStore::File(reader.findings.folder().join(&found.text)))
}

#[cfg(test)]
mod tests;
