//! The one table of all keys, which outlives reloads.
//!
//! The table is all that is kept in memory. What operators say of a key that was made at run time stays in the store,
//! and is read when they ask for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::store::{Store, StoreError};
use super::table::{Entry, Table, Terms};
use super::{Client, Grant, Known, Origin, Record};
use crate::config::{ClientGroup, ClientKey, Config, Digest, Expiry, Limits, digest_of, key_terms};
use crate::http1::fields::Lookup;
use crate::limits::{Account, Book, Owner};

/// All keys, those of the configuration and those made at run time.
#[derive(Debug)]
pub struct Keys {
    table: ArcSwap<Table>,
    /// The counters of limits, which outlive every table.
    book: Arc<Book>,
    /// What a change of the table needs to know; held while one is made.
    parts: Mutex<Parts>,
    /// True while the store may hold keys that are not known here.
    is_behind: AtomicBool,
    /// Held while a key is changed, so that changes come one after the other.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Parts {
    /// The accounts of groups; of one without limits there is none.
    groups: Groups,
    /// The name of the configuration's file.
    file: String,
    /// The setting that is missing to make keys at run time.
    missing: &'static str,
    store: Option<Arc<dyn Store>>,
    /// The number of changes of the store that are known here; `None` when all of it has to be read again.
    seen: Option<u64>,
}

type Groups = HashMap<String, Option<Arc<Account>>>;

/// What keys grant, by what the configuration says of it.
type Grants = HashMap<(Option<String>, Vec<String>, Option<String>, Option<u64>), Option<Arc<Grant>>>;

impl Keys {
    /// The keys of a configuration. Their limits are counted in `book`.
    pub fn new(config: &Config, book: Arc<Book>) -> Self {
        let parts = Parts::of(config, &book);
        let table = Table::of(terms(config), configured(config, &parts.groups, &book));
        let (is_behind, turn) = (AtomicBool::new(false), tokio::sync::Mutex::default());
        Self { table: ArcSwap::from_pointee(table), book, parts: Mutex::new(parts), is_behind, turn }
    }

    /// Takes over what another configuration says about clients, for requests that begin from now on.
    pub fn configure(&self, config: &Config) {
        let mut parts = self.parts.lock();
        let store = parts.store.take();
        // A key that was both in the file and in the store may be in the store alone now: all is read again.
        *parts = Parts { store, ..Parts::of(config, &self.book) };
        let mut entries = configured(config, &parts.groups, &self.book);
        let before = self.table.load();
        let made = before.entries().iter().filter(|entry| entry.is_made());
        let mut same = HashMap::new();
        entries.extend(made.map(|entry| {
            // A group may have other limits now.
            let grant = entry.client.grant.as_ref().map(|grant| {
                let account = grant.group.as_ref().and_then(|group| parts.groups.get(&**group).cloned().flatten());
                let new = || Arc::new(Grant { group_account: account, ..Grant::clone(grant) });
                Arc::clone(same.entry(Arc::as_ptr(grant)).or_insert_with(new))
            });
            Entry { client: Arc::new(Client { grant, ..Client::clone(&entry.client) }), ..entry.clone() }
        }));
        let limited = |entry: &Entry| entry.client.account.as_ref().map(|account| account.owner().clone());
        let owners: HashSet<Owner> = entries.iter().filter_map(limited).collect();
        self.book.retain(|owner| match owner {
            Owner::Client(_) => owners.contains(owner),
            Owner::Group(name) => parts.groups.get(&**name).is_some_and(Option::is_some),
            Owner::Route(_) | Owner::Account(_) => true,
        });
        self.table.store(Arc::new(Table::of(terms(config), entries)));
    }

    /// The client, by the keys that a request shows.
    pub fn identify(&self, headers: &impl Lookup) -> Known {
        let known = self.table.load().identify(headers);
        match known {
            Known::Stranger if self.is_behind.load(Relaxed) => Known::Unsure,
            known => known,
        }
    }

    /// True when a caller must show a known key.
    pub fn refuse_unknown(&self) -> bool {
        self.table.load().terms.refuses_unknown
    }

    /// The clients of the configuration in its order, each with its place there and its expiry.
    pub fn configured(&self) -> Vec<(Arc<Client>, String, Option<Expiry>)> {
        let file = self.parts.lock().file.clone();
        let table = self.table.load();
        let entries = table.entries().iter();
        let mut all: Vec<_> = entries.filter_map(|entry| Some((place_of(&entry.client)?, entry))).collect();
        all.sort_by_key(|(place, _)| *place);
        let shown = |(place, entry): ((bool, u32), &Entry)| {
            (Arc::clone(&entry.client), shown_place(&file, place), entry.expires())
        };
        all.into_iter().map(shown).collect()
    }

    /// The records of all keys made at run time, by id.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store does not answer.
    pub async fn records(&self) -> Result<Vec<Record>, StoreError> {
        let Ok(store) = self.store() else { return Ok(Vec::new()) };
        let mut records: Vec<Record> = store.load().await?.0.into_iter().filter_map(read).collect();
        records.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(records)
    }

    /// The record of a key made at run time, by its id or its name.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store does not answer.
    pub async fn record(&self, id: &str) -> Result<Option<Record>, StoreError> {
        let Ok(store) = self.store() else { return Ok(None) };
        // One that another replica has made may not be known here yet.
        let id = self.made(id).map_or_else(|| id.to_owned(), |client| client.id().to_owned());
        Ok(store.get(&id).await?.and_then(|row| read((id, row))))
    }

    /// The client with this name.
    pub fn named(&self, name: &str) -> Option<Arc<Client>> {
        let table = self.table.load();
        table.entries().iter().map(|entry| &entry.client).find(|client| *client.name == *name).cloned()
    }

    /// The client of a key made at run time, by the key's id or the client's name.
    pub fn made(&self, id: &str) -> Option<Arc<Client>> {
        let table = self.table.load();
        let mut made = table.entries().iter().filter(|entry| entry.is_made()).map(|entry| &entry.client);
        let by_id = made.clone().find(|client| client.id() == id);
        by_id.or_else(|| made.find(|client| *client.name == *id)).cloned()
    }

    /// The place in the configuration of the key with this name.
    pub fn place(&self, name: &str) -> Option<String> {
        let table = self.table.load();
        let named = table.entries().iter().map(|entry| &entry.client).filter(|client| *client.name == *name);
        let place = named.filter_map(|client| place_of(client)).next()?;
        Some(shown_place(&self.parts.lock().file, place))
    }

    /// True when another key than the one with this id has the name.
    pub(super) fn is_taken(&self, name: &str, id: &str) -> bool {
        let table = self.table.load();
        table.entries().iter().any(|entry| *entry.client.name == *name && entry.client.id() != id)
    }

    /// Those of these names that no client has any more.
    pub fn gone(&self, names: Vec<String>) -> Vec<String> {
        let table = self.table.load();
        let mut gone: HashSet<&str> = names.iter().map(String::as_str).collect();
        for entry in table.entries() {
            if gone.is_empty() {
                break;
            }
            gone.remove(&*entry.client.name);
        }
        gone.into_iter().map(str::to_owned).collect()
    }

    /// Up to `most` clients, each with the expiry of its key: those of the configuration in its order, and then others.
    pub fn some(&self, most: usize) -> Vec<(Arc<Client>, Option<Expiry>)> {
        let table = self.table.load();
        let (made, mut of_file): (Vec<&Entry>, Vec<&Entry>) = table.entries().iter().partition(|entry| entry.is_made());
        of_file.sort_by_key(|entry| place_of(&entry.client));
        // A key that was rotated may go on for a while beside the new one.
        let mut seen = HashSet::new();
        let mut all = of_file.into_iter().chain(made);
        let mut some = Vec::new();
        while some.len() < most
            && let Some(entry) = all.next()
        {
            if seen.insert(entry.client.id()) {
                some.push((Arc::clone(&entry.client), entry.expires()));
            }
        }
        some
    }

    /// True for a group of the configuration.
    pub fn is_group(&self, name: &str) -> bool {
        self.parts.lock().groups.contains_key(name)
    }

    /// The name of the client whose key has this digest.
    pub fn owner_of(&self, digest: &Digest) -> Option<String> {
        self.table.load().find(digest).map(|entry| entry.client.name.to_string())
    }

    /// The store, or the setting that is missing to have one.
    pub(super) fn store(&self) -> Result<Arc<dyn Store>, &'static str> {
        let parts = self.parts.lock();
        parts.store.clone().ok_or(parts.missing)
    }

    /// Keeps keys made at run time in this store from now on, and reads those that it holds.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read now; [`Keys::follow`] goes on trying.
    pub async fn keep_in(&self, store: Arc<dyn Store>) -> Result<(), StoreError> {
        self.is_behind.store(true, Relaxed);
        self.parts.lock().store = Some(store);
        self.read(true).await
    }

    /// Reads what others have changed in the store, if they have.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; unknown keys are not refused for good until it answers again.
    pub async fn follow(&self) -> Result<(), StoreError> {
        let behind = self.is_behind.load(Relaxed);
        let outcome = self.read(behind).await;
        self.is_behind.store(outcome.is_err(), Relaxed);
        outcome
    }

    async fn read(&self, all: bool) -> Result<(), StoreError> {
        let Ok(store) = self.store() else { return Ok(()) };
        let _turn = self.turn.lock().await;
        let seen = self.parts.lock().seen;
        if !all && seen.is_some() && Some(store.changes().await?) == seen {
            return Ok(());
        }
        let (rows, seen) = store.load().await?;
        let mut parts = self.parts.lock();
        let mut grants = Grants::new();
        let before = self.table.load();
        let of_file = before.entries().iter().filter(|entry| !entry.is_made()).cloned();
        let made = rows.into_iter().filter_map(read).flat_map(|record| self.entries(&record, &parts, &mut grants));
        let table = Table::of(before.terms.clone(), of_file.chain(made).collect());
        parts.seen = Some(seen);
        self.table.store(Arc::new(table));
        self.is_behind.store(false, Relaxed);
        Ok(())
    }

    /// The entries of a key made at run time, one for each text that is accepted.
    fn entries(&self, record: &Record, parts: &Parts, grants: &mut Grants) -> Vec<Entry> {
        let id = record.id.as_str();
        let terms = serde_json::Value::Object(record.terms.clone());
        // A group may have gone from the file; its clients stay, without its limits.
        let key = match key_terms(&terms, |_| true) {
            Ok(key) => key,
            Err(wrong) => {
                tracing::error!(key = id, "the key {id} cannot be used: {}", wrong.join("; "));
                return Vec::new();
            }
        };
        let account = (!key.limits.is_empty()).then(|| self.book.account(Owner::Client(id.into()), &key.limits));
        let client = Arc::new(Client {
            name: key.name.as_str().into(),
            origin: Origin::Store(id.into()),
            grant: grant(&key, &parts.groups, grants),
            account,
            blocked: record.blocked,
        });
        let entry = |(digest, until): (Digest, Option<i64>)| {
            let expires = key.expires.into_iter().chain(until.map(Expiry)).min();
            Entry::new(digest, expires, Arc::clone(&client))
        };
        let accepted = record.hashes.iter();
        accepted.filter_map(|accepted| Some((Digest::parse(&accepted.hash)?, accepted.until))).map(entry).collect()
    }

    /// Takes over a change that the store has.
    pub(super) fn changed(&self, record: &Record, seen: u64) {
        self.replace(&record.id, Some(record), seen);
    }

    /// Forgets a key that the store does not have any more.
    pub(super) fn removed(&self, id: &str, seen: u64) {
        self.replace(id, None, seen);
        self.book.forget(&Owner::Client(id.into()));
    }

    fn replace(&self, id: &str, by: Option<&Record>, seen: u64) {
        let mut parts = self.parts.lock();
        let before = self.table.load();
        let others = before.entries().iter().filter(|entry| !(entry.is_made() && entry.client.id() == id)).cloned();
        let new = by.map(|record| self.entries(record, &parts, &mut Grants::new())).unwrap_or_default();
        self.table.store(Arc::new(Table::of(before.terms.clone(), others.chain(new).collect())));
        // With changes of others in between, all is read again.
        if parts.seen.is_some_and(|known| seen == known + 1) {
            parts.seen = Some(seen);
        }
    }
}

/// The record in a row of the store.
fn read((id, text): (String, Vec<u8>)) -> Option<Record> {
    match serde_json::from_slice::<Record>(&text) {
        Ok(record) if record.id == id => Some(record),
        Ok(_) | Err(_) => {
            tracing::error!(key = id, "the record of the key {id} in the store cannot be read, and is left alone");
            None
        }
    }
}

fn terms(config: &Config) -> Terms {
    Terms { refuses_unknown: config.refuses_unknown(), header: config.clients.header.clone() }
}

impl Parts {
    fn of(config: &Config, book: &Book) -> Self {
        let of_group = |ClientGroup { name, limits, .. }: &ClientGroup| {
            (name.clone(), account(book, Owner::Group(name.as_str().into()), limits))
        };
        let missing = match config.clients.store {
            None => "clients.store",
            Some(_) => "a store that can be opened (clients.store)",
        };
        let file = config.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { groups: config.clients.groups.iter().map(of_group).collect(), file, missing, ..Self::default() }
    }
}

fn account(book: &Book, owner: Owner, limits: &Limits) -> Option<Arc<Account>> {
    (!limits.is_empty()).then(|| book.account(owner, limits))
}

/// The keys of the configuration. One that is in `clients.keys` as well as in `server.api_keys` is the former's, so that
/// its limits hold.
fn configured(config: &Config, groups: &Groups, book: &Book) -> Vec<Entry> {
    let mut grants = Grants::new();
    let mut entries = Vec::with_capacity(config.clients.keys.len() + config.server.api_keys.len());
    for key in &config.clients.keys {
        let client = Client {
            name: key.name.as_str().into(),
            origin: Origin::File { at: u32::try_from(key.line).unwrap_or(0), of_server: false },
            grant: grant(key, groups, &mut grants),
            account: account(book, Owner::Client(key.name.as_str().into()), &key.limits),
            blocked: false,
        };
        entries.push(Entry::new(key.digest, key.expires, Arc::new(client)));
    }
    for (number, key) in (0..).zip(&config.server.api_keys) {
        let name = format!("key-{}", number + 1).into();
        let client = Client { name, origin: Origin::File { at: number, of_server: true }, ..Client::default() };
        entries.push(Entry::new(digest_of(key.reveal().as_bytes()), None, Arc::new(client)));
    }
    entries
}

/// What a key grants; the same for keys of which the same is said.
fn grant(key: &ClientKey, groups: &Groups, grants: &mut Grants) -> Option<Arc<Grant>> {
    let account = || key.group.as_ref().and_then(|group| groups.get(group).cloned().flatten());
    let notify = key.notify.map(f64::to_bits);
    let said = (key.group.clone(), key.models.clone(), key.when_exhausted.clone(), notify);
    grants.entry(said).or_insert_with(|| Grant::of(key, account()).map(Arc::new)).clone()
}

/// The place of a client in the configuration, such that those of `clients.keys` come first.
fn place_of(client: &Client) -> Option<(bool, u32)> {
    match client.origin {
        Origin::File { at, of_server } => Some((of_server, at)),
        Origin::Store(_) => None,
    }
}

fn shown_place(file: &str, place: (bool, u32)) -> String {
    match place {
        (true, index) => format!("{file}: server.api_keys[{index}]"),
        (false, line) => format!("{file}:{line}"),
    }
}

#[cfg(test)]
mod tests;
