//! Where keys made at run time are kept. The engines in `state` implement this.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::Record;

/// What a store answers, sooner or later.
pub type Stored<'s, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 's>>;

/// Records in JSON, by id, and the number of changes that they include.
pub type Rows = (Vec<(String, Vec<u8>)>, u64);

/// The store does not answer as it should.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A place for records. Whatever is put is there for every reader when the call returns, and after a restart.
pub trait Store: Send + Sync + fmt::Debug {
    /// All records in JSON, by id, and the number of changes that they include.
    fn load(&self) -> Stored<'_, Rows>;

    /// The record with this id, if there is one.
    fn get<'s>(&'s self, id: &'s str) -> Stored<'s, Option<Vec<u8>>>;

    /// Puts a record in place of the one with its id, and counts a change; returns the new number of changes.
    fn put<'s>(&'s self, id: &'s str, record: Vec<u8>) -> Stored<'s, u64>;

    /// Removes a record, and counts a change.
    fn remove<'s>(&'s self, id: &'s str) -> Stored<'s, u64>;

    /// The number of changes so far, by anybody. Asked for once a second.
    fn changes(&self) -> Stored<'_, u64>;
}

/// Writes a record as stores keep it.
///
/// # Errors
///
/// [`StoreError`], which a record never causes in practice.
pub fn written(record: &Record) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|error| StoreError(error.to_string()))
}
