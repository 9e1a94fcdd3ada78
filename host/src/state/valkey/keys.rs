//! Keys made at run time, in the engine: their records by id, and the number of changes, by which replicas see that there
//! is something to read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{FromRedisValue, Value};
use tokio::time::timeout;

use super::Shared;
use super::failure::{Failure, flat};
use super::wire::{Script, Wire};
use crate::clients::{Store, StoreError, Stored};

/// The longest time for one question; no client's request waits for it.
const BOUND: Duration = Duration::from_secs(2);

/// Puts a record or removes it, and counts the change. KEYS: the records, the number. ARGV: the id, and the record if there
/// is one.
const PUT: &str = "if ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) else redis.call('HDEL', KEYS[1], ARGV[1]) \
                   end return redis.call('INCR', KEYS[2])";

/// Puts records back that the engine has lost, but none that it has. KEYS as before. ARGV: the number that was known, then ids
/// and records.
const RESTORE: &str = "for i = 2, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) end \
                       if tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[1]) then \
                       redis.call('SET', KEYS[2], ARGV[1]) end return redis.call('INCR', KEYS[2])";

/// The records in the engine.
#[derive(Debug)]
pub struct Records {
    shared: Arc<Shared>,
    keys: Vec<String>,
    put: Script,
    restore: Script,
    /// As they were last read, with their number: the engine may lose them.
    known: Mutex<(HashMap<String, Vec<u8>>, u64)>,
}

impl Records {
    pub(super) fn new(shared: Arc<Shared>, prefix: &str) -> Self {
        let keys = vec![format!("{prefix}:{{fleet}}:keys"), format!("{prefix}:{{fleet}}:keys:changes")];
        Self { shared, keys, put: Script::new(PUT), restore: Script::new(RESTORE), known: Mutex::default() }
    }

    fn wire(&self) -> Result<Wire, StoreError> {
        let up = self.shared.facts.lock().up;
        let wire = self.shared.wire.lock().clone().filter(|_| up);
        wire.ok_or_else(|| StoreError("the engine is out of reach".to_owned()))
    }

    async fn run<T: FromRedisValue>(&self, script: &Script, arguments: &[Vec<u8>]) -> Result<T, StoreError> {
        let mut wire = self.wire()?;
        understood(flat(timeout(BOUND, wire.run(script, &self.keys, arguments)).await))
    }

    async fn get<T: FromRedisValue>(&self, command: &str, key: usize) -> Result<T, StoreError> {
        let mut wire = self.wire()?;
        let mut asked = redis::cmd(command);
        asked.arg(self.keys.get(key));
        understood(flat(timeout(BOUND, wire.ask(&asked)).await))
    }

    async fn one(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut wire = self.wire()?;
        let mut asked = redis::cmd("HGET");
        asked.arg(self.keys.first()).arg(id);
        understood(flat(timeout(BOUND, wire.ask(&asked)).await))
    }

    async fn read(&self) -> Result<(Vec<(String, Vec<u8>)>, u64), StoreError> {
        // The number first: what is changed meanwhile is read again.
        let mut changes = self.get::<Option<u64>>("GET", 1).await?.unwrap_or(0);
        let (known, seen) = self.known.lock().clone();
        if changes < seen {
            tracing::warn!(
                keys = known.len(),
                "state: the engine has lost the keys made at run time; they are put back"
            );
            let mut arguments = vec![seen.to_string().into_bytes()];
            arguments.extend(known.into_iter().flat_map(|(id, record)| [id.into_bytes(), record]));
            changes = self.run(&self.restore, &arguments).await?;
        }
        let records: HashMap<String, Vec<u8>> = self.get("HGETALL", 0).await?;
        *self.known.lock() = (records.clone(), changes);
        Ok((records.into_iter().collect(), changes))
    }

    async fn change(&self, id: &str, record: Option<Vec<u8>>) -> Result<u64, StoreError> {
        let arguments: Vec<Vec<u8>> = [Some(id.as_bytes().to_vec()), record.clone()].into_iter().flatten().collect();
        let changes = self.run(&self.put, &arguments).await?;
        let mut known = self.known.lock();
        match record {
            Some(record) => drop(known.0.insert(id.to_owned(), record)),
            None => drop(known.0.remove(id)),
        }
        Ok(changes)
    }
}

fn understood<T: FromRedisValue>(answer: Result<Value, Failure>) -> Result<T, StoreError> {
    let value = answer.map_err(|failure| StoreError(failure.words()))?;
    T::from_redis_value(value).map_err(|_error| StoreError(Failure::Nonsense.words()))
}

impl Store for Records {
    fn load(&self) -> Stored<'_, (Vec<(String, Vec<u8>)>, u64)> {
        Box::pin(self.read())
    }

    fn get<'s>(&'s self, id: &'s str) -> Stored<'s, Option<Vec<u8>>> {
        Box::pin(self.one(id))
    }

    fn put<'s>(&'s self, id: &'s str, record: Vec<u8>) -> Stored<'s, u64> {
        Box::pin(self.change(id, Some(record)))
    }

    fn remove<'s>(&'s self, id: &'s str) -> Stored<'s, u64> {
        Box::pin(self.change(id, None))
    }

    fn changes(&self) -> Stored<'_, u64> {
        Box::pin(async { Ok(self.get::<Option<u64>>("GET", 1).await?.unwrap_or(0)) })
    }
}
