//! The one table of all keys, which outlives reloads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;
use http::HeaderMap;
use parking_lot::Mutex;

use super::store::{Store, StoreError};
use super::table::{Entry, Table};
use super::{Client, Known, Record};
use crate::config::{ClientGroup, ClientKey, Config, Digest, Expiry, Limits, digest_of, key_terms};
use crate::limits::{Account, Book, Owner};

/// All keys, those of the configuration and those made at run time.
#[derive(Debug)]
pub struct Keys {
    table: ArcSwap<Table>,
    /// The counters of limits, which outlive every table.
    book: Arc<Book>,
    /// The parts of the table.
    parts: Mutex<Parts>,
    /// True while the store may hold keys that are not known here.
    is_behind: AtomicBool,
    /// Held while a key is changed, so that changes come one after the other.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Parts {
    configured: Configured,
    /// Keys made at run time, by id.
    made: BTreeMap<String, Made>,
    store: Option<Arc<dyn Store>>,
    /// The number of changes of the store that are known here.
    seen: u64,
}

/// What the configuration says about clients.
#[derive(Debug, Default)]
struct Configured {
    refuses_unknown: bool,
    header: Option<http::HeaderName>,
    entries: Vec<Entry>,
    /// The accounts of groups; of one without limits there is none.
    groups: HashMap<String, Option<Arc<Account>>>,
    /// The place of each key in the file, by name.
    places: HashMap<String, String>,
    /// The setting that is missing to make keys at run time.
    missing: &'static str,
}

/// A key made at run time.
#[derive(Clone, Debug)]
struct Made {
    record: Record,
    client: Arc<Client>,
    expires: Option<Expiry>,
}

impl Keys {
    /// The keys of a configuration. Their limits are counted in `book`.
    pub fn new(config: &Config, book: Arc<Book>) -> Self {
        let parts = Parts { configured: Configured::of(config, &book), ..Parts::default() };
        let table = ArcSwap::from_pointee(parts.table());
        let (is_behind, turn) = (AtomicBool::new(false), tokio::sync::Mutex::default());
        Self { table, book, parts: Mutex::new(parts), is_behind, turn }
    }

    /// Takes over what another configuration says about clients, for requests that begin from now on.
    pub fn configure(&self, config: &Config) {
        let mut parts = self.parts.lock();
        parts.configured = Configured::of(config, &self.book);
        let records: Vec<Record> = parts.made.values().map(|made| made.record.clone()).collect();
        parts.made = self.made(records, &parts.configured);
        self.table.store(Arc::new(parts.table()));
    }

    /// The client, by the keys that a request shows.
    pub fn identify(&self, headers: &HeaderMap) -> Known {
        let known = self.table.load().identify(headers);
        match known {
            Known::Stranger if self.is_behind.load(Relaxed) => Known::Unsure,
            known => known,
        }
    }

    /// True when a caller must show a known key.
    pub fn refuse_unknown(&self) -> bool {
        self.table.load().refuses_unknown
    }

    /// Every key, as `(name, id, digests, client, expiry)` says it: first those of the file.
    pub fn digests(&self) -> Vec<(String, Digest)> {
        let table = self.table.load();
        table.entries().iter().map(|entry| (entry.client.name.clone(), entry.digest)).collect()
    }

    /// The clients of the configuration, each with its place in the file and its expiry.
    pub fn configured(&self) -> Vec<(Arc<Client>, String, Option<Expiry>)> {
        let parts = self.parts.lock();
        let place = |name: &str| parts.configured.places.get(name).cloned().unwrap_or_default();
        let all = parts.configured.entries.iter();
        all.map(|entry| {
            let expires = (entry.until != i64::MAX).then_some(Expiry(entry.until));
            (Arc::clone(&entry.client), place(&entry.client.name), expires)
        })
        .collect()
    }

    /// The records of all keys made at run time.
    pub fn records(&self) -> Vec<Record> {
        self.parts.lock().made.values().map(|made| made.record.clone()).collect()
    }

    /// The record of a key made at run time, by its id or its name.
    pub fn record(&self, id: &str) -> Option<Record> {
        let parts = self.parts.lock();
        let by_name = || parts.made.values().find(|made| made.record.name() == id);
        parts.made.get(id).or_else(by_name).map(|made| made.record.clone())
    }

    /// The place in the file of the key with this name.
    pub fn place(&self, name: &str) -> Option<String> {
        self.parts.lock().configured.places.get(name).cloned()
    }

    /// True for a group of the configuration.
    pub fn is_group(&self, name: &str) -> bool {
        self.parts.lock().configured.groups.contains_key(name)
    }

    /// The name of the client whose key has this digest.
    pub fn owner_of(&self, digest: &Digest) -> Option<String> {
        self.table.load().find(digest).map(|entry| entry.client.name.clone())
    }

    /// The store, or the setting that is missing to have one.
    pub(super) fn store(&self) -> Result<Arc<dyn Store>, &'static str> {
        let parts = self.parts.lock();
        parts.store.clone().ok_or(parts.configured.missing)
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
        if !all && store.changes().await? == self.parts.lock().seen {
            return Ok(());
        }
        let (rows, seen) = store.load().await?;
        let read = |(id, text): (String, Vec<u8>)| match serde_json::from_slice::<Record>(&text) {
            Ok(record) if record.id == id => Some(record),
            Ok(_) | Err(_) => {
                tracing::error!(key = id, "the record of the key {id} in the store cannot be read, and is left alone");
                None
            }
        };
        let records = rows.into_iter().filter_map(read).collect();
        let mut parts = self.parts.lock();
        parts.made = self.made(records, &parts.configured);
        parts.seen = seen;
        self.table.store(Arc::new(parts.table()));
        self.is_behind.store(false, Relaxed);
        Ok(())
    }

    fn made(&self, records: Vec<Record>, configured: &Configured) -> BTreeMap<String, Made> {
        let made = |record: Record| {
            let made = self.one(record, configured).inspect_err(|(id, wrong)| {
                tracing::error!(key = id, "the key {id} cannot be used: {}", wrong.join("; "));
            });
            made.ok().map(|made| (made.record.id.clone(), made))
        };
        records.into_iter().filter_map(made).collect()
    }

    fn one(&self, record: Record, configured: &Configured) -> Result<Made, (String, Vec<String>)> {
        let terms = serde_json::Value::Object(record.terms.clone());
        // A group may have gone from the file; its clients stay, without its limits.
        let key = key_terms(&terms, |_| true).map_err(|wrong| (record.id.clone(), wrong))?;
        let owner = Owner::Client(record.id.as_str().into());
        let account = (!key.limits.is_empty()).then(|| self.book.account(owner, &key.limits));
        let group_account = key.group.as_ref().and_then(|group| configured.groups.get(group).cloned().flatten());
        let client =
            Client { id: record.id.clone(), blocked: record.blocked, account, group_account, ..Client::of(&key) };
        Ok(Made { record, client: Arc::new(client), expires: key.expires })
    }

    /// Takes over a change that the store has.
    pub(super) fn changed(&self, record: Record, seen: u64) {
        let mut parts = self.parts.lock();
        match self.one(record, &parts.configured) {
            Ok(made) => drop(parts.made.insert(made.record.id.clone(), made)),
            Err((id, wrong)) => tracing::error!(key = id, "the key {id} cannot be used: {}", wrong.join("; ")),
        }
        self.conclude(&mut parts, seen);
    }

    /// Forgets a key that the store does not have any more.
    pub(super) fn removed(&self, id: &str, seen: u64) {
        let mut parts = self.parts.lock();
        parts.made.remove(id);
        self.book.forget(&Owner::Client(id.into()));
        self.conclude(&mut parts, seen);
    }

    fn conclude(&self, parts: &mut Parts, seen: u64) {
        // With changes of others in between, all is read again.
        if seen == parts.seen + 1 {
            parts.seen = seen;
        }
        self.table.store(Arc::new(parts.table()));
    }
}

impl Parts {
    /// The table: first the keys of the file, whose limits hold whatever else is there.
    fn table(&self) -> Table {
        let mut table = Table::new(self.configured.refuses_unknown, self.configured.header.clone());
        self.configured.entries.iter().for_each(|entry| table.add(entry.clone()));
        for made in self.made.values() {
            for accepted in &made.record.hashes {
                let Some(digest) = Digest::parse(&accepted.hash) else { continue };
                let until = accepted.until.map(Expiry);
                let expires = made.expires.into_iter().chain(until).min();
                table.add(Entry::new(digest, expires, Arc::clone(&made.client)));
            }
        }
        table.settle();
        table
    }
}

impl Configured {
    /// A key that is in `clients.keys` as well as in `server.api_keys` is the former's, so that its limits hold.
    fn of(config: &Config, book: &Book) -> Self {
        let account = |owner: Owner, limits: &Limits| (!limits.is_empty()).then(|| book.account(owner, limits));
        let of_group = |ClientGroup { name, limits, .. }: &ClientGroup| {
            (name.clone(), account(Owner::Group(name.as_str().into()), limits))
        };
        let groups: HashMap<_, _> = config.clients.groups.iter().map(of_group).collect();
        let mut entries = Vec::with_capacity(config.clients.keys.len() + config.server.api_keys.len());
        let mut places = HashMap::new();
        let file = config.file.file_name().unwrap_or_default().to_string_lossy();
        for key in &config.clients.keys {
            let own = account(Owner::Client(key.name.as_str().into()), &key.limits);
            let group = key.group.as_ref().and_then(|group| groups.get(group).cloned().flatten());
            let client = Client { account: own, group_account: group, ..Client::of(key) };
            places.insert(key.name.clone(), format!("{file}:{}", key.line));
            entries.push(Entry::new(key.digest, key.expires, Arc::new(client)));
        }
        for (number, key) in (1..).zip(&config.server.api_keys) {
            let name = format!("key-{number}");
            let client = Client { id: name.clone(), name: name.clone(), ..Client::default() };
            places.insert(name, format!("{file}: server.api_keys[{}]", number - 1));
            entries.push(Entry::new(digest_of(key.reveal().as_bytes()), None, Arc::new(client)));
        }
        let missing = match config.clients.store {
            None => "clients.store",
            Some(_) => "a store that can be opened (clients.store)",
        };
        let (refuses_unknown, header) = (config.refuses_unknown(), config.clients.header.clone());
        Self { refuses_unknown, header, entries, groups, places, missing }
    }
}

impl Client {
    /// The client of a key, without its accounts.
    fn of(key: &ClientKey) -> Self {
        Self {
            name: key.name.clone(),
            id: key.name.clone(),
            group: key.group.clone(),
            models: (!key.models.is_empty()).then(|| key.models.as_slice().into()),
            when_exhausted: key.when_exhausted.clone(),
            notify: key.notify,
            ..Self::default()
        }
    }
}
