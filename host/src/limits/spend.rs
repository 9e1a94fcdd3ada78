//! The account of everything that has been spent: requests, tokens and money by client, route, provider, model and day.
//!
//! One short lock around a map: an addition on a row that is there takes no memory. The number of rows is bounded, so that
//! neither a client that asks for ever new models nor many days can fill the memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher};
use std::ops::RangeInclusive;

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::clock::Moment;
use super::money::Nano;
use super::usage::{Part, Usage};

pub mod day;
pub mod report;

pub use day::Day;

/// The most rows of a day; beyond them the model counts as [`OTHER`].
const ROWS: usize = 50_000;
/// The most rows of all days; beyond them the models of the oldest day are put together.
const ALL_ROWS: usize = 400_000;
/// The days that are kept.
const DAYS: u32 = 400;
/// The name of all models that have no row of their own.
pub const OTHER: &str = "other";

/// The key of a row: the client, and where and for which model the money went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'k> {
    /// The client's name; empty if it is not known.
    pub client: &'k str,
    /// The route.
    pub route: &'k str,
    /// The provider that answered.
    pub provider: &'k str,
    /// Its own name for the model.
    pub model: &'k str,
}

/// The requests, tokens and money of one key on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The day, in UTC.
    pub day: Day,
    /// The client's name; empty if it is not known.
    pub client: String,
    /// The route.
    pub route: String,
    /// The provider.
    pub provider: String,
    /// The provider's name for the model.
    pub model: String,
    /// Requests.
    pub requests: u64,
    /// The requests whose cost is not known.
    pub unpriced: u64,
    /// Tokens of each part, in the order of [`Part::ALL`].
    pub tokens: [u64; Part::ALL.len()],
    /// The cost.
    pub nano: u64,
}

impl Row {
    /// A text that names the row among all.
    pub fn key(&self) -> String {
        let Self { day, client, route, provider, model, .. } = self;
        serde_json::json!([day, client, route, provider, model]).to_string()
    }

    fn is_of(&self, key: Key<'_>) -> bool {
        let Key { client, route, provider, model } = key;
        self.model == model && self.client == client && self.route == route && self.provider == provider
    }

    fn of_key(&self) -> Key<'_> {
        Key { client: &self.client, route: &self.route, provider: &self.provider, model: &self.model }
    }

    fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
        for (tokens, more) in self.tokens.iter_mut().zip(other.tokens) {
            *tokens = tokens.saturating_add(more);
        }
        self.nano = self.nano.saturating_add(other.nano);
    }

    /// Takes the larger of each figure of two copies of the same row.
    fn raise(&mut self, other: &Self) {
        self.requests = self.requests.max(other.requests);
        self.unpriced = self.unpriced.max(other.unpriced);
        for (tokens, more) in self.tokens.iter_mut().zip(other.tokens) {
            *tokens = more.max(*tokens);
        }
        self.nano = self.nano.max(other.nano);
    }
}

/// A row, and whether it has changed since changes were asked for.
#[derive(Debug)]
struct Kept {
    row: Row,
    changed: bool,
}

/// A hasher that passes the hash of a key on, which must not be hashed once more.
#[derive(Debug, Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The rows of one day. A row stands at the hash of its key, or at the next free place behind it.
#[derive(Debug, Default)]
struct Rows {
    at: HashMap<u64, Kept, BuildHasherDefault<Taken>>,
    /// True when its models have been put together.
    is_short: bool,
}

#[derive(Debug, Default)]
struct Books {
    days: BTreeMap<Day, Rows>,
    rows: usize,
    /// True once somebody has asked for changes, to keep them in a store.
    is_kept: bool,
    /// The rows that have changed since the last question, and the keys of removed rows; empty while nobody asks.
    changed: Vec<(Day, u64)>,
    gone: Vec<String>,
}

/// The rows of all days.
#[derive(Debug, Default)]
pub struct Spend {
    books: Mutex<Books>,
    /// A fast hasher. Somebody who knew its seed could make keys collide, but has to pay a provider for each row.
    hasher: RandomState,
}

impl Spend {
    /// Counts one request that a provider answered; a cost that is not known counts as none, and the
    /// request as unpriced.
    pub fn count(&self, now: Moment, key: Key<'_>, usage: &Usage, cost: Option<Nano>) {
        let add = |row: &mut Row| {
            row.requests = row.requests.saturating_add(1);
            row.unpriced = row.unpriced.saturating_add(u64::from(cost.is_none()));
            for part in Part::ALL {
                let tokens = &mut row.tokens[part as usize];
                *tokens = tokens.saturating_add(usage.count(part));
            }
            row.nano = row.nano.saturating_add(cost.unwrap_or_default().0);
        };
        self.with_row(Day::of(now), key, true, add);
    }

    /// Changes the row of a key, which is made if there is none and there is room.
    fn with_row(&self, day: Day, key: Key<'_>, changed: bool, change: impl FnOnce(&mut Row)) {
        let mut guard = self.books.lock();
        let books = &mut *guard;
        if books.days.last_key_value().is_none_or(|(latest, _)| *latest != day) && !books.days.contains_key(&day) {
            books.begin(day);
        }
        let rows = books.days.entry(day).or_default();
        let mut key = key;
        let (mut place, is_there) = self.place(rows, key);
        if !is_there && (rows.is_short || rows.at.len() >= ROWS) {
            key.model = OTHER;
            (place, _) = self.place(rows, key);
        }
        let kept = rows.at.entry(place).or_insert_with(|| {
            books.rows += 1;
            let Key { client, route, provider, model } = key;
            let row = Row {
                day,
                client: client.to_owned(),
                route: route.to_owned(),
                provider: provider.to_owned(),
                model: model.to_owned(),
                ..Row::default()
            };
            Kept { row, changed: false }
        });
        change(&mut kept.row);
        if changed && !std::mem::replace(&mut kept.changed, true) && books.is_kept {
            books.changed.push((day, place));
        }
        if books.rows > ALL_ROWS {
            self.shorten(books);
        }
    }

    /// The place of a key's row among those of a day, or the one where it would be put; true when it is there.
    fn place(&self, rows: &Rows, key: Key<'_>) -> (u64, bool) {
        let mut place = self.hasher.hash_one(key);
        loop {
            match rows.at.get(&place) {
                None => return (place, false),
                Some(kept) if kept.row.is_of(key) => return (place, true),
                Some(_) => place = place.wrapping_add(1),
            }
        }
    }

    /// Puts the models of the oldest day together for which that was not done, or else forgets the oldest day.
    fn shorten(&self, books: &mut Books) {
        let oldest = books.days.iter().find(|(_, rows)| !rows.is_short).map(|(day, _)| *day);
        let Some(day) = oldest.or_else(|| books.days.keys().next().copied()) else { return };
        let Some(old) = books.remove(day) else { return };
        if old.is_short {
            return;
        }
        let mut short = Rows { is_short: true, ..Rows::default() };
        for (_, Kept { row, .. }) in old.at {
            let key = Key { model: OTHER, ..row.of_key() };
            let (place, _) = self.place(&short, key);
            let kept = short.at.entry(place).or_insert_with(|| {
                let model = OTHER.to_owned();
                let Row { day, client, route, provider, .. } = row.clone();
                Kept { row: Row { day, client, route, provider, model, ..Row::default() }, changed: true }
            });
            kept.row.add(&row);
        }
        books.rows += short.at.len();
        if books.is_kept {
            books.changed.extend(short.at.keys().map(|place| (day, *place)));
            let stays: HashSet<String> = short.at.values().map(|kept| kept.row.key()).collect();
            books.gone.retain(|key| !stays.contains(key));
        }
        books.days.insert(day, short);
    }

    /// The rows that have changed since the last call, by their keys and as they are now; `None` for one that is gone. At the
    /// first call, all that were counted.
    pub fn changed(&self) -> Vec<(String, Option<Row>)> {
        let mut guard = self.books.lock();
        let books = &mut *guard;
        let mut changes: Vec<(String, Option<Row>)> = books.gone.drain(..).map(|key| (key, None)).collect();
        let mut take = |kept: &mut Kept| {
            if std::mem::take(&mut kept.changed) {
                changes.push((kept.row.key(), Some(kept.row.clone())));
            }
        };
        if std::mem::replace(&mut books.is_kept, true) {
            for (day, place) in books.changed.drain(..) {
                // One that was removed meanwhile is among those that are gone.
                books.days.get_mut(&day).and_then(|rows| rows.at.get_mut(&place)).into_iter().for_each(&mut take);
            }
        } else {
            books.days.values_mut().flat_map(|rows| rows.at.values_mut()).for_each(take);
        }
        changes
    }

    /// Puts rows from the store back; where a row exists already, the larger figures count.
    pub fn restore(&self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            self.with_row(row.day, row.of_key(), false, |known| known.raise(&row));
        }
    }

    /// Gives each row of these days to `each`. The lock is held for one day at a time.
    pub fn each(&self, days: RangeInclusive<Day>, mut each: impl FnMut(&Row)) {
        if days.is_empty() {
            return;
        }
        let days: Vec<Day> = self.books.lock().days.range(days).map(|(day, _)| *day).collect();
        for day in days {
            let books = self.books.lock();
            books.days.get(&day).into_iter().flat_map(|rows| rows.at.values()).for_each(|kept| each(&kept.row));
        }
    }
}

impl Books {
    /// Begins a day, and forgets those that are too old.
    fn begin(&mut self, day: Day) {
        self.days.insert(day, Rows::default());
        while let Some(oldest) = self.days.keys().next().copied()
            && let Some(newest) = self.days.keys().next_back()
            && newest.0 - oldest.0 >= DAYS
        {
            self.remove(oldest);
        }
    }

    /// Takes a day out.
    fn remove(&mut self, day: Day) -> Option<Rows> {
        let gone = self.days.remove(&day)?;
        self.rows -= gone.at.len();
        if self.is_kept {
            self.gone.extend(gone.at.values().map(|kept| kept.row.key()));
        }
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noon(day: u32) -> Moment {
        Moment::of_unix_ms(u64::from(day) * 86_400_000 + 43_200_000)
    }

    fn key<'k>(client: &'k str, model: &'k str) -> Key<'k> {
        Key { client, route: "r", provider: "p", model }
    }

    fn all(spend: &Spend) -> Vec<Row> {
        let mut rows = Vec::new();
        spend.each(Day(0)..=Day(u32::MAX), |row| rows.push(row.clone()));
        rows.sort_by_cached_key(Row::key);
        rows
    }

    #[test]
    fn a_request_counts_for_its_key_and_day() {
        let spend = Spend::default();
        let usage = Usage::of(Some(10), Some(5));
        spend.count(noon(20_500), key("a", "m"), &usage, Some(Nano(7)));
        spend.count(noon(20_500), key("a", "m"), &usage, None);
        spend.count(noon(20_501), key("a", "m"), &usage, Some(Nano(1)));
        spend.count(noon(20_500), key("b", "m"), &Usage::default(), Some(Nano(2)));
        let rows = all(&spend);
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].requests, rows[0].unpriced, rows[0].nano), (2, 1, 7));
        assert_eq!((rows[0].tokens[Part::Input as usize], rows[0].tokens[Part::Output as usize]), (20, 10));
    }

    #[test]
    fn changes_are_told_once_and_what_was_kept_comes_back_without_being_counted_twice() {
        let spend = Spend::default();
        spend.count(noon(20_500), key("a", "m"), &Usage::of(Some(10), None), Some(Nano(7)));
        let rows = |spend: &Spend| spend.changed().into_iter().filter_map(|(_, row)| row).collect::<Vec<_>>();
        let kept = rows(&spend);
        assert_eq!((kept.len(), spend.changed().len()), (1, 0));
        spend.count(noon(20_500), key("a", "m"), &Usage::default(), Some(Nano(7)));
        spend.restore(kept.clone());
        spend.restore(kept);
        assert_eq!((all(&spend)[0].nano, all(&spend)[0].requests), (14, 2), "kept as it was before");
        let other = Spend::default();
        other.restore(rows(&spend));
        assert_eq!((all(&other), other.changed().len()), (all(&spend), 0));
        let text = serde_json::to_string(&all(&spend)[0]).expect("JSON");
        assert_eq!(serde_json::from_str::<Row>(&text).expect("a row"), all(&spend)[0]);
    }

    #[test]
    fn days_that_are_too_old_are_forgotten() {
        let spend = Spend::default();
        for day in [20_100, 20_499, 20_500] {
            spend.count(noon(day), key("a", "m"), &Usage::default(), None);
        }
        assert_eq!(all(&spend).iter().map(|row| row.day.0).collect::<Vec<_>>(), [20_499, 20_500]);
        spend.count(noon(20_090), key("a", "m"), &Usage::default(), None);
        assert!(all(&spend).len() <= 3, "a clock that was set back does no harm");
    }

    #[test]
    fn what_is_kept_elsewhere_by_the_changes_is_what_is_here() {
        let (spend, mut kept) = (Spend::default(), BTreeMap::new());
        let keep = |spend: &Spend, kept: &mut BTreeMap<String, Row>| {
            for (key, row) in spend.changed() {
                match row {
                    Some(row) => drop(kept.insert(key, row)),
                    None => drop(kept.remove(&key)),
                }
            }
        };
        for (day, models) in [(20_100, 3), (20_101, ROWS + 2), (20_499, 2), (20_500, 5)] {
            for number in 0..models {
                spend.count(noon(day), key("a", &number.to_string()), &Usage::default(), Some(Nano(1)));
            }
            keep(&spend, &mut kept);
        }
        assert_eq!(kept.into_values().collect::<Vec<_>>(), all(&spend), "also without the day that is too old");
    }

    #[test]
    fn too_many_models_of_a_day_count_together() {
        let spend = Spend::default();
        for number in 0..ROWS + 100 {
            spend.count(noon(20_500), key("a", &number.to_string()), &Usage::default(), Some(Nano(1)));
        }
        let rows = all(&spend);
        assert_eq!(rows.len(), ROWS + 1);
        assert_eq!(rows.iter().find(|row| row.model == OTHER).map(|row| row.nano), Some(100));
        assert_eq!(rows.iter().map(|row| row.nano).sum::<u64>(), ROWS as u64 + 100);
    }

    #[test]
    fn too_many_rows_of_all_days_put_the_models_of_the_oldest_together() {
        let spend = Spend::default();
        assert_eq!(spend.changed(), []);
        for day in 0..9 {
            for number in 0..ROWS {
                spend.count(noon(20_500 + day), key("a", &number.to_string()), &Usage::default(), Some(Nano(1)));
            }
        }
        let rows = all(&spend);
        assert!(rows.len() <= ALL_ROWS);
        assert_eq!(rows.iter().map(|row| row.nano).sum::<u64>(), 9 * ROWS as u64, "and no money is lost");
        let changes = spend.changed();
        let gone = changes.iter().filter(|(_, row)| row.is_none()).count();
        assert_eq!((gone, changes.len()), (2 * ROWS, 2 * ROWS + rows.len()), "of two days");
    }

    proptest! {
        #[test]
        fn the_sum_of_the_rows_is_the_sum_of_what_was_counted(
            counted in proptest::collection::vec((0_u32..3, "[ab]", "[xyz]", 0_u64..1000), 0..60),
        ) {
            let spend = Spend::default();
            for (day, client, model, nano) in &counted {
                spend.count(noon(20_500 + day), key(client, model), &Usage::of(Some(*nano), None), Some(Nano(*nano)));
            }
            let rows = all(&spend);
            let sum: u64 = counted.iter().map(|(.., nano)| nano).sum();
            prop_assert_eq!(rows.iter().map(|row| row.nano).sum::<u64>(), sum);
            prop_assert_eq!(rows.iter().map(|row| row.tokens[0]).sum::<u64>(), sum);
            prop_assert_eq!(rows.iter().map(|row| row.requests).sum::<u64>(), counted.len() as u64);
        }
    }
}
