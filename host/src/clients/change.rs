//! What operators do with keys at run time. Each change is in the store before it counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::record::Accepted;
use super::store::{StoreError, written};
use super::{Keys, NoRandomness, Record, new_key};
use crate::config::{Digest, Secret, key_terms};

/// The longest time for which an old text may go on beside the new one.
pub const MAX_OVERLAP: Duration = Duration::from_secs(90 * 86_400);

/// The reason why a change is not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no place for keys made at run time.
    #[error(
        "Keys made at run time need {0}, which the configuration does not have: `store: {{path: state/keys.redb}}` keeps them in \
         a file, `store: engine` in the engine of `state`"
    )]
    NoStore(&'static str),
    /// There is no such key.
    #[error("There is no key with the id or name `{0}`")]
    Unknown(String),
    /// The key is one of the configuration.
    #[error("The key `{name}` is in the configuration ({place}): change it there, and reload")]
    OfFile {
        /// Its name.
        name: String,
        /// The file and line.
        place: String,
    },
    /// Another key has the name.
    #[error("There is a key with the name `{0}` already: give each client a name of its own")]
    Taken(String),
    /// Another client has the key.
    #[error("The client `{0}` has this key already: give each client a key of its own")]
    SameKey(String),
    /// A wrong statement about the key.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The store does not take it.
    #[error("The store does not answer ({0}), and nothing was changed")]
    Store(#[from] StoreError),
    /// The store does not tell which keys there are.
    #[error("The store does not answer ({0})")]
    Unread(#[source] StoreError),
    /// No key can be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Keys {
    /// Makes a key with these terms; with the digest of an existing text, that text becomes the key.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn create(
        &self,
        terms: Map<String, Value>,
        hash: Option<Digest>,
    ) -> Result<(Record, Option<Secret>), ChangeError> {
        let store = self.store().map_err(ChangeError::NoStore)?;
        let _turn = self.turn.lock().await;
        let made = new_key(None)?;
        let (digest, text) = hash.map_or((made.digest, Some(made.text)), |digest| (digest, None));
        if let Some(owner) = self.owner_of(&digest) {
            return Err(ChangeError::SameKey(owner));
        }
        let now = now();
        let hashes = vec![Accepted { hash: digest.written(), until: None }];
        let record = Record { id: made.id, hashes, created: now, changed: now, blocked: false, terms };
        self.check(&record)?;
        let seen = store.put(&record.id, written(&record)?).await?;
        self.changed(&record, seen);
        Ok((record, text))
    }

    /// Lays new terms over those of a key; null takes one away.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn change(&self, id: &str, terms: &Map<String, Value>) -> Result<Record, ChangeError> {
        self.with(id, |record| record.lay_over(terms)).await
    }

    /// Blocks a key, or accepts it again.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn block(&self, id: &str, blocked: bool) -> Result<Record, ChangeError> {
        self.with(id, |record| record.blocked = blocked).await
    }

    /// Gives a key a new text; the present one goes on for `overlap`.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn rotate(&self, id: &str, overlap: Duration) -> Result<(Record, Secret), ChangeError> {
        let id = self.to_change(id).await?.id;
        let made = new_key(Some(&id))?;
        let end = now().saturating_add(i64::try_from(overlap.min(MAX_OVERLAP).as_secs()).unwrap_or(i64::MAX));
        let hash = made.digest.written();
        let record = self.with(&id, |record| {
            let valid = |accepted: &Accepted| accepted.until.is_none_or(|until| until > now());
            record.hashes.retain(|accepted| !overlap.is_zero() && valid(accepted));
            for accepted in &mut record.hashes {
                accepted.until = Some(accepted.until.map_or(end, |until| until.min(end)));
            }
            record.hashes.push(Accepted { hash, until: None });
        });
        Ok((record.await?, made.text))
    }

    /// Removes a key for good.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub async fn remove(&self, id: &str) -> Result<Record, ChangeError> {
        let store = self.store().map_err(ChangeError::NoStore)?;
        let _turn = self.turn.lock().await;
        let record = self.to_change(id).await?;
        let seen = store.remove(&record.id).await?;
        self.removed(&record.id, seen);
        Ok(record)
    }

    /// The record of a key made at run time, by its id or name.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Unknown`], [`ChangeError::OfFile`], [`ChangeError::Store`].
    pub async fn found(&self, id: &str) -> Result<Record, ChangeError> {
        if self.made(id).is_none()
            && let Some(place) = self.place(id)
        {
            return Err(ChangeError::OfFile { name: id.to_owned(), place });
        }
        self.record(id).await.map_err(ChangeError::Unread)?.ok_or_else(|| ChangeError::Unknown(shortened(id)))
    }

    /// As [`Keys::found`], for a change that cannot be made without the record.
    async fn to_change(&self, id: &str) -> Result<Record, ChangeError> {
        self.found(id).await.map_err(|error| match error {
            ChangeError::Unread(error) => ChangeError::Store(error),
            error => error,
        })
    }

    async fn with(&self, id: &str, change: impl FnOnce(&mut Record)) -> Result<Record, ChangeError> {
        let _turn = self.turn.lock().await;
        let mut record = self.to_change(id).await?;
        let store = self.store().map_err(ChangeError::NoStore)?;
        change(&mut record);
        record.changed = now();
        self.check(&record)?;
        let seen = store.put(&record.id, written(&record)?).await?;
        self.changed(&record, seen);
        Ok(record)
    }

    fn check(&self, record: &Record) -> Result<(), ChangeError> {
        let terms = Value::Object(record.terms.clone());
        let key = key_terms(&terms, |group| self.is_group(group)).map_err(ChangeError::Invalid)?;
        if self.is_taken(&key.name, &record.id) {
            return Err(ChangeError::Taken(key.name));
        }
        Ok(())
    }
}

/// A text of a request, as far as an error repeats it: it might be a key.
fn shortened(id: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if id.len() <= 20 && id.chars().all(legal) { id.to_owned() } else { "...".to_owned() }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
