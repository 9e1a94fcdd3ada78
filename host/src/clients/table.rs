//! All keys at one moment, and how one is found.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderName;
use subtle::ConstantTimeEq as _;

use super::{Client, Origin, shown};
use crate::config::{Digest, Expiry, KeyForm, digest_of, form_of};
use crate::http1::fields::Lookup;

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

    /// The moment from which it is not accepted any more.
    pub fn expires(&self) -> Option<Expiry> {
        (self.until != i64::MAX).then_some(Expiry(self.until))
    }

    /// True for a key that was made at run time.
    pub fn is_made(&self) -> bool {
        matches!(self.client.origin, Origin::Store(_))
    }
}

/// How keys are shown, and whether they must be.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    /// True when a caller must show a known key.
    pub refuses_unknown: bool,
    /// One more header in which keys are shown.
    pub header: Option<HeaderName>,
}

/// All keys, in the order of their digests. These are as good as random, so a key lies near the place that the first bits
/// of its digest name; an index by these bits, with about four keys at each, leaves a few to be compared. Together they
/// take 50 bytes for a key, and a key costs as many steps among a hundred thousand as among ten.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub terms: Terms,
    entries: Box<[Entry]>,
    /// Where the entries begin whose digests begin with each number, and the end of the last.
    starts: Box<[u32]>,
    /// All but the first bits of a digest.
    shift: u32,
}

/// About so many keys have the same first bits.
const TOGETHER: usize = 4;

impl Table {
    /// The table of these keys. Of two with the same digest the first counts.
    pub fn of(terms: Terms, mut entries: Vec<Entry>) -> Self {
        // Stable, so that the first stays the first; and fast over what is sorted already.
        entries.sort_by_key(|entry| entry.digest);
        entries.dedup_by(|later, first| later.digest == first.digest);
        // More keys than this fit into no memory.
        entries.truncate(u32::MAX as usize);
        let bits = (entries.len() / TOGETHER).next_power_of_two().trailing_zeros().max(1);
        let mut table =
            Self { terms, entries: entries.into_boxed_slice(), starts: Box::default(), shift: u64::BITS - bits };
        let mut starts = vec![0_u32; (1 << bits) + 1];
        for entry in &table.entries {
            if let Some(count) = starts.get_mut(table.bits(&entry.digest) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for count in &mut starts {
            sum += *count;
            *count = sum;
        }
        table.starts = starts.into_boxed_slice();
        table
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The first bits of a digest.
    fn bits(&self, digest: &Digest) -> usize {
        let begin = digest.0.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        // Fewer bits than an index has: as many as there are keys, or fewer.
        usize::try_from(begin >> self.shift).unwrap_or(0)
    }

    /// The key of this digest.
    pub fn find(&self, digest: &Digest) -> Option<&Entry> {
        let bits = self.bits(digest);
        let (start, end) = (*self.starts.get(bits)?, *self.starts.get(bits + 1)?);
        let near = self.entries.get(start as usize..end as usize)?;
        near.iter().find(|entry| is_same(&entry.digest, digest))
    }

    /// The client, by the keys that a request shows. Of several, the first that is accepted counts.
    pub fn identify(&self, headers: &impl Lookup) -> Known {
        let mut known = Known::Nobody;
        if self.entries.is_empty() && !self.terms.refuses_unknown {
            // Whatever is shown, nobody is known by it, and nobody need be.
            return known;
        }
        for key in shown(headers, self.terms.header.as_ref()) {
            let Some(entry) = self.find(&digest_of(key)) else {
                // One that is damaged is nobody's: no store need be asked for it.
                if matches!(known, Known::Nobody) && form_of(key) != KeyForm::Damaged {
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

/// True when both are the same, in a time that does not tell where they differ.
fn is_same(one: &Digest, other: &Digest) -> bool {
    // By words, as bytes one by one take ten times as long.
    let pairs = std::iter::zip(words(one), words(other));
    pairs.fold(0, |differs, (one, other)| differs | (one ^ other)).ct_eq(&0).into()
}

fn words(digest: &Digest) -> impl Iterator<Item = u64> {
    digest.0.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn client(name: &str, blocked: bool) -> Arc<Client> {
        Arc::new(Client { name: name.into(), blocked, ..Client::default() })
    }

    fn table(keys: &[(&str, Option<i64>, bool)]) -> Table {
        let entry = |(key, until, blocked): &(&str, Option<i64>, bool)| {
            Entry::new(digest_of(key.as_bytes()), until.map(Expiry), client(key, *blocked))
        };
        Table::of(Terms { refuses_unknown: true, header: None }, keys.iter().map(entry).collect())
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
    fn a_key_is_found_among_any_number_and_another_is_not() {
        for number in [0, 1, 2, 7, 100, 5000] {
            let keys: Vec<String> = (0..number).map(|number| format!("sk-{number}")).collect();
            let keys: Vec<(&str, Option<i64>, bool)> = keys.iter().map(|key| (key.as_str(), None, false)).collect();
            let table = table(&keys);
            for (key, ..) in &keys {
                assert_eq!(&*table.find(&digest_of(key.as_bytes())).unwrap().client.name, *key);
            }
            assert!(table.find(&digest_of(b"sk-5000")).is_none());
        }
    }

    #[test]
    fn digests_that_begin_alike_are_told_apart_and_the_first_of_two_equal_ones_counts() {
        let digest = |end: u8| {
            let mut digest = digest_of(b"k");
            digest.0[31] = end;
            digest
        };
        let named = |name: &'static str| (0..10).map(move |end| Entry::new(digest(end), None, client(name, false)));
        let table = Table::of(Terms::default(), named("first").chain(named("again")).collect());
        assert_eq!(table.entries().len(), 10);
        for end in 0..10 {
            assert_eq!(&*table.find(&digest(end)).unwrap().client.name, "first");
        }
        assert!(table.find(&digest(10)).is_none());
    }

    #[test]
    fn where_no_key_is_known_or_needed_none_is_looked_for() {
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer k"))]);
        let empty = |refuses_unknown| Table::of(Terms { refuses_unknown, header: None }, Vec::new());
        assert!(matches!(empty(false).identify(&headers), Known::Nobody));
        assert!(matches!(empty(true).identify(&headers), Known::Stranger));
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
