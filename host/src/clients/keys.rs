//! The one table of all keys, which outlives reloads.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;

use super::table::{Entry, Table};
use super::{Client, Known};
use crate::config::{ClientGroup, ClientKey, Config, Limits, digest_of};
use crate::limits::{Account, Book, Owner};

/// All keys, those of the configuration and those made at run time.
#[derive(Debug)]
pub struct Keys {
    table: ArcSwap<Table>,
    /// The counters of limits, which outlive every table.
    book: Arc<Book>,
}

impl Keys {
    /// The keys of a configuration. Their limits are counted in `book`.
    pub fn new(config: &Config, book: Arc<Book>) -> Self {
        Self { table: ArcSwap::from_pointee(of_config(config, &book)), book }
    }

    /// Takes over what another configuration says about clients, for requests that begin from now on.
    pub fn configure(&self, config: &Config) {
        self.table.store(Arc::new(of_config(config, &self.book)));
    }

    /// Who asks, by the keys that a request shows.
    pub fn identify(&self, headers: &HeaderMap) -> Known {
        self.table.load().identify(headers)
    }

    /// True when a caller must show a known key.
    pub fn refuse_unknown(&self) -> bool {
        self.table.load().refuses_unknown
    }
}

/// The keys of a configuration. One that is in `clients.keys` as well as in `server.api_keys` is the former's, so that
/// its limits hold.
fn of_config(config: &Config, book: &Book) -> Table {
    let mut table = Table::new(config.refuses_unknown(), config.clients.header.clone());
    let account = |owner: Owner, limits: &Limits| (!limits.is_empty()).then(|| book.account(owner, limits));
    let mut groups: HashMap<&str, Arc<Account>> = HashMap::new();
    for ClientGroup { name, limits, .. } in &config.clients.groups {
        groups.extend(account(Owner::Group(name.as_str().into()), limits).map(|account| (name.as_str(), account)));
    }
    for key in &config.clients.keys {
        let own = account(Owner::Client(key.name.as_str().into()), &key.limits);
        let group = key.group.as_deref().and_then(|group| groups.get(group)).cloned();
        let client = Client { account: own, group_account: group, ..Client::of(key) };
        table.add(Entry::new(key.digest, key.expires, Arc::new(client)));
    }
    for (number, key) in (1..).zip(&config.server.api_keys) {
        let name = format!("key-{number}");
        let client = Client { id: name.clone(), name, ..Client::default() };
        table.add(Entry::new(digest_of(key.reveal().as_bytes()), None, Arc::new(client)));
    }
    table.settle();
    table
}

impl Client {
    /// The client of a key in the configuration, without its accounts.
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
