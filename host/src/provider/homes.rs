//! The homes of stored things: a file, a batch or a response is known only to the provider that made it. This is a
//! bounded table from ids to providers; for an id that it has forgotten, providers are asked in the order of the
//! configuration.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use parking_lot::Mutex;

/// The most ids that are remembered, at some 50 bytes each; the oldest go first.
const MAX_IDS: usize = 100_000;
/// The longest id: no API has longer ones.
const MAX_ID: usize = 256;

/// The table. Providers are known by their names, so that it outlives the configuration.
#[derive(Debug, Default)]
pub struct Homes {
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Maps the hash of an id to its provider. The hash is seeded at random, so that nobody can prepare ids that
    /// collide.
    of: HashMap<u64, Arc<str>>,
    order: VecDeque<u64>,
}

impl Homes {
    /// Remembers that `provider` made the thing with this `id`.
    pub fn learn(&self, id: &str, provider: &str) {
        if id.is_empty() || id.len() > MAX_ID {
            return;
        }
        let key = self.hasher.hash_one(id);
        let mut table = self.table.lock();
        let known = table.of.get(&key).is_some_and(|known| **known == *provider);
        if known {
            return;
        }
        if table.of.insert(key, provider.into()).is_none() {
            table.order.push_back(key);
        }
        if table.order.len() > MAX_IDS
            && let Some(oldest) = table.order.pop_front()
        {
            table.of.remove(&oldest);
        }
    }

    /// The provider that made the thing with this `id`, as far as that is known.
    pub fn of(&self, id: &str) -> Option<Arc<str>> {
        if id.is_empty() || id.len() > MAX_ID {
            return None;
        }
        let key = self.hasher.hash_one(id);
        self.table.lock().of.get(&key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_made_is_known_until_too_much_else_was_made() {
        let homes = Homes::default();
        homes.learn("resp_1", "a");
        homes.learn("file-1", "b");
        homes.learn("resp_1", "b");
        assert_eq!(homes.of("resp_1").as_deref(), Some("b"));
        assert_eq!(homes.of("file-1").as_deref(), Some("b"));
        assert_eq!(homes.of("file-2"), None);
        for number in 0..MAX_IDS {
            homes.learn(&number.to_string(), "a");
        }
        assert_eq!(homes.of("resp_1"), None);
        assert_eq!(homes.table.lock().of.len(), MAX_IDS);
        homes.learn(&"x".repeat(MAX_ID + 1), "a");
        assert_eq!(homes.of(&"x".repeat(MAX_ID + 1)), None);
    }
}
