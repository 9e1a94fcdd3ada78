//! A store of keys in memory, which several proxies may share.

use std::collections::BTreeMap;
use std::future::ready;

use parking_lot::Mutex;
use pointsman::clients::{Store, StoreError, Stored};

/// Rows by id, and the number of changes.
type Rows = (BTreeMap<String, Vec<u8>>, u64);

/// Keys made at run time, in memory.
#[derive(Debug, Default)]
pub struct KeyStore {
    rows: Mutex<Rows>,
    is_out: Mutex<bool>,
}

impl KeyStore {
    /// Takes it out of reach, or brings it back.
    pub fn is_out(&self, out: bool) {
        *self.is_out.lock() = out;
    }

    /// All that it holds, as one text.
    pub fn text(&self) -> String {
        let rows = self.rows.lock();
        rows.0.values().map(|row| String::from_utf8_lossy(row)).collect()
    }

    fn answer<T: Send + 'static>(&self, act: impl FnOnce(&mut Rows) -> T) -> Stored<'_, T> {
        let out = *self.is_out.lock();
        let answer = if out { Err(StoreError("out of reach".to_owned())) } else { Ok(act(&mut self.rows.lock())) };
        Box::pin(ready(answer))
    }
}

impl Store for KeyStore {
    fn load(&self) -> Stored<'_, (Vec<(String, Vec<u8>)>, u64)> {
        self.answer(|(rows, changes)| (rows.clone().into_iter().collect(), *changes))
    }

    fn get<'s>(&'s self, id: &'s str) -> Stored<'s, Option<Vec<u8>>> {
        self.answer(|(rows, _)| rows.get(id).cloned())
    }

    fn put<'s>(&'s self, id: &'s str, record: Vec<u8>) -> Stored<'s, u64> {
        self.answer(|(rows, changes)| {
            rows.insert(id.to_owned(), record);
            *changes += 1;
            *changes
        })
    }

    fn remove<'s>(&'s self, id: &'s str) -> Stored<'s, u64> {
        self.answer(|(rows, changes)| {
            rows.remove(id);
            *changes += 1;
            *changes
        })
    }

    fn changes(&self) -> Stored<'_, u64> {
        self.answer(|(_, changes)| *changes)
    }
}
