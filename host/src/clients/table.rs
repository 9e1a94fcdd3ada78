//! All keys at one moment, and how one is found.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName};
use subtle::ConstantTimeEq as _;

use super::{Client, shown};
use crate::config::{Digest, Expiry, KeyForm, digest_of, form_of};

/// What a request's keys say about who asks.
#[derive(Clone, Debug)]
pub enum Known {
    /// It shows the key of this client.
    Client(Arc<Client>),
    /// It shows a key that has expired.
    Expired(Arc<Client>),
    /// It shows a key that an operator has blocked.
    Blocked(Arc<Client>),
    /// It shows a key that is not known.
    Stranger,
    /// The same, while the store of keys does not answer: the key may be a new one.
    Unsure,
    /// It shows no key.
    Nobody,
}

/// One key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub digest: Digest,
    /// The second from which it is not accepted any more; `i64::MAX` for none.
    pub until: i64,
    pub client: Arc<Client>,
}

impl Entry {
    pub fn new(digest: Digest, expires: Option<Expiry>, client: Arc<Client>) -> Self {
        Self { digest, until: expires.map_or(i64::MAX, |expiry| expiry.0), client }
    }
}

/// All keys.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// True when a caller must show a known key.
    pub refuses_unknown: bool,
    /// One more header in which keys are shown.
    pub header: Option<HeaderName>,
    entries: Vec<Entry>,
    /// The entry of a digest's first bytes. Two digests with the same ones are next to each other, as in a table with
    /// open addresses.
    places: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
}

impl Table {
    pub fn new(refuses_unknown: bool, header: Option<HeaderName>) -> Self {
        Self { refuses_unknown, header, ..Self::default() }
    }

    /// Adds a key, unless it is there already.
    pub fn add(&mut self, entry: Entry) {
        let mut at = begin(&entry.digest);
        while let Some(&place) = self.places.get(&at) {
            if self.entries.get(place as usize).is_some_and(|known| known.digest == entry.digest) {
                return;
            }
            at = at.wrapping_add(1);
        }
        // More keys than this fit into no memory.
        let Ok(place) = u32::try_from(self.entries.len()) else { return };
        self.places.insert(at, place);
        self.entries.push(entry);
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Gives back the room that was taken for keys to come.
    pub fn settle(&mut self) {
        self.entries.shrink_to_fit();
        self.places.shrink_to_fit();
    }

    /// The key of this digest.
    pub fn find(&self, digest: &Digest) -> Option<&Entry> {
        let mut at = begin(digest);
        loop {
            let entry = self.entries.get(*self.places.get(&at)? as usize)?;
            if bool::from(entry.digest.0.ct_eq(&digest.0)) {
                return Some(entry);
            }
            at = at.wrapping_add(1);
        }
    }

    /// The client, by the keys that a request shows. Of several, the first that is accepted counts.
    pub fn identify(&self, headers: &HeaderMap) -> Known {
        let mut known = Known::Nobody;
        for key in shown(headers, self.header.as_ref()) {
            if form_of(key) == KeyForm::Damaged {
                // Nobody has made it: it need not be looked for.
                continue;
            }
            let Some(entry) = self.find(&digest_of(key)) else {
                if matches!(known, Known::Nobody) {
                    known = Known::Stranger;
                }
                continue;
            };
            let client = || Arc::clone(&entry.client);
            if entry.client.blocked {
                known = Known::Blocked(client());
            } else if entry.until != i64::MAX && entry.until <= now() {
                known = Known::Expired(client());
            } else {
                return Known::Client(client());
            }
        }
        known
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The first bytes of a digest, which are as good as any hash of it.
fn begin(digest: &Digest) -> u64 {
    digest.0.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// A hash that is the number itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(name: &str, blocked: bool) -> Arc<Client> {
        Arc::new(Client { name: name.to_owned(), blocked, ..Client::default() })
    }

    fn table(keys: &[(&str, Option<i64>, bool)]) -> Table {
        let mut table = Table::new(true, None);
        for (key, until, blocked) in keys {
            table.add(Entry::new(digest_of(key.as_bytes()), until.map(Expiry), client(key, *blocked)));
        }
        table
    }

    fn named(known: &Known) -> (&'static str, &str) {
        match known {
            Known::Client(client) => ("known", &client.name),
            Known::Expired(client) => ("expired", &client.name),
            Known::Blocked(client) => ("blocked", &client.name),
            Known::Stranger | Known::Unsure => ("stranger", ""),
            Known::Nobody => ("nobody", ""),
        }
    }

    #[test]
    fn a_key_is_found_among_many_and_another_is_not() {
        let keys: Vec<String> = (0..5000).map(|number| format!("sk-{number}")).collect();
        let keys: Vec<(&str, Option<i64>, bool)> = keys.iter().map(|key| (key.as_str(), None, false)).collect();
        let table = table(&keys);
        for (key, ..) in &keys {
            assert_eq!(table.find(&digest_of(key.as_bytes())).unwrap().client.name, *key);
        }
        assert!(table.find(&digest_of(b"sk-5000")).is_none());
    }

    #[test]
    fn digests_that_begin_alike_are_told_apart() {
        let mut table = Table::new(true, None);
        let digest = |end: u8| {
            let mut digest = digest_of(b"k");
            digest.0[31] = end;
            digest
        };
        for end in 0..10 {
            table.add(Entry::new(digest(end), None, client(&end.to_string(), false)));
            table.add(Entry::new(digest(end), None, client("again", false)));
        }
        assert_eq!(table.entries().len(), 10);
        for end in 0..10 {
            assert_eq!(table.find(&digest(end)).unwrap().client.name, end.to_string());
        }
        assert!(table.find(&digest(10)).is_none());
    }

    #[test]
    fn expired_and_blocked_keys_are_known_but_not_accepted() {
        let table = table(&[("old", Some(1), false), ("blocked", None, true), ("new", Some(i64::MAX - 1), false)]);
        let identify = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            table.identify(&headers)
        };
        for (key, wanted) in [
            ("Bearer old", ("expired", "old")),
            ("Bearer blocked", ("blocked", "blocked")),
            ("Bearer new", ("known", "new")),
            ("Bearer other", ("stranger", "")),
            ("other", ("nobody", "")),
        ] {
            assert_eq!(named(&identify(&[("authorization", key)])), wanted);
        }
        let both = identify(&[("authorization", "Bearer old"), ("api-key", "new")]);
        assert_eq!(named(&both), ("known", "new"), "one that is accepted is enough");
    }
}
