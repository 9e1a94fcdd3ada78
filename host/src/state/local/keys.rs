//! Keys made at run time, in the file. Nobody but this process changes it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::{Local, Table};
use crate::clients::{Store, StoreError, Stored};

/// The records in the file.
#[derive(Debug)]
pub struct Records {
    file: Arc<Local>,
    changes: AtomicU64,
}

impl Records {
    /// Those of this file.
    pub fn new(file: Arc<Local>) -> Self {
        Self { file, changes: AtomicU64::new(0) }
    }

    async fn change(&self, id: &str, record: Option<Vec<u8>>) -> Result<u64, StoreError> {
        let (file, change) = (Arc::clone(&self.file), (Table::Keys, id.to_owned(), record));
        let written = tokio::task::spawn_blocking(move || file.write(&[change])).await;
        let written = written.map_err(|error| StoreError(error.to_string()))?;
        written.map_err(|error| StoreError(format!("the file cannot be written: {}", error.reason)))?;
        Ok(self.changes.fetch_add(1, Relaxed) + 1)
    }
}

impl Store for Records {
    fn load(&self) -> Stored<'_, (Vec<(String, Vec<u8>)>, u64)> {
        let (file, changes) = (Arc::clone(&self.file), self.changes.load(Relaxed));
        Box::pin(async move {
            let rows = tokio::task::spawn_blocking(move || file.rows(Table::Keys)).await;
            let rows = rows.map_err(|error| StoreError(error.to_string()))?;
            Ok((rows.map_err(|error| StoreError(error.to_string()))?, changes))
        })
    }

    fn get<'s>(&'s self, id: &'s str) -> Stored<'s, Option<Vec<u8>>> {
        let (file, id) = (Arc::clone(&self.file), id.to_owned());
        Box::pin(async move {
            let row = tokio::task::spawn_blocking(move || file.row(Table::Keys, &id)).await;
            row.map_err(|error| StoreError(error.to_string()))?.map_err(|error| StoreError(error.to_string()))
        })
    }

    fn put<'s>(&'s self, id: &'s str, record: Vec<u8>) -> Stored<'s, u64> {
        Box::pin(self.change(id, Some(record)))
    }

    fn remove<'s>(&'s self, id: &'s str) -> Stored<'s, u64> {
        Box::pin(self.change(id, None))
    }

    fn changes(&self) -> Stored<'_, u64> {
        let changes = self.changes.load(Relaxed);
        Box::pin(std::future::ready(Ok(changes)))
    }
}
