//! The engines that keep limits, spend and the keys made at run time: a file on one machine, or a server for a fleet.

pub mod keeper;
pub mod local;
pub mod valkey;

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::limits::spend::{Row, Spend};
use crate::limits::{Book, Kept};
use keeper::{Keeper, Source};
use local::{Local, OpenError, Table};
use valkey::Valkey;

/// The engines in use; none is the usual case.
#[derive(Debug, Default)]
pub struct Engines {
    keeper: Mutex<Option<Keeper>>,
    valkey: Option<Arc<Valkey>>,
}

impl Engines {
    /// With this engine, if there is one.
    pub fn new(valkey: Option<Arc<Valkey>>) -> Self {
        Self { keeper: Mutex::default(), valkey }
    }

    /// The engine that replicas share.
    pub fn valkey(&self) -> Option<&Arc<Valkey>> {
        self.valkey.as_ref()
    }

    /// Takes over what a file holds, and keeps in it from now on what changes.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the file cannot be read; then it has not been changed.
    pub fn keep(&self, store: Arc<Local>, book: &Arc<Book>, spend: &Arc<Spend>) -> Result<(), OpenError> {
        restore(&store, book, spend)?;
        let (book, spend) = (Arc::clone(book), Arc::clone(spend));
        let meters: Source = Box::new(move || {
            let row = |(key, kept)| (Table::Meters, key, Some(written(&kept)));
            book.changed().into_iter().map(row).collect()
        });
        let rows: Source = Box::new(move || {
            let row = |(key, row): (String, Option<Row>)| {
                let value = row.map(|row| serde_json::to_vec(&row)).transpose();
                value.ok().map(|value| (Table::Spend, key, value))
            };
            spend.changed().into_iter().filter_map(row).collect()
        });
        let path = store.path().to_owned();
        let keeper = Keeper::start(store, vec![meters, rows]).map_err(|error| OpenError::Io(path, error))?;
        *self.keeper.lock() = Some(keeper);
        Ok(())
    }

    /// Their state, for operators; `None` without any.
    pub fn shown(&self) -> Option<Value> {
        let mut shown = json!({});
        if let Some(valkey) = &self.valkey {
            let facts = valkey.facts();
            shown["engine"] = json!("valkey");
            shown["state"] = json!(if facts.up { "up" } else { "unreachable" });
            shown["degraded"] = json!(!facts.up);
            shown["replicas"] = json!(valkey.replicas());
            shown["since_seconds"] = json!(facts.since.elapsed().as_secs());
            shown["since"] = json!(ago(facts.since.elapsed()));
            if let Some(reason) = facts.reason {
                shown["reason"] = json!(reason);
            }
        }
        if let Some(keeper) = self.keeper.lock().as_ref() {
            let trouble = keeper.trouble();
            let file = match &trouble {
                None => json!({"state": "writing"}),
                Some(trouble) => json!({
                    "state": "failing",
                    "reason": trouble.reason,
                    "since": ago(trouble.since.elapsed()),
                }),
            };
            if self.valkey.is_none() {
                shown["engine"] = json!("local");
                shown["degraded"] = json!(trouble.is_some());
            }
            shown["file"] = file;
        }
        shown.as_object().is_some_and(|shown| !shown.is_empty()).then_some(shown)
    }

    /// True while the file cannot be written; `None` without one.
    pub fn file_fails(&self) -> Option<bool> {
        self.keeper.lock().as_ref().map(|keeper| keeper.trouble().is_some())
    }

    /// True unless this server must not be used without an engine that does not answer.
    pub fn are_ready(&self) -> bool {
        self.valkey.as_ref().is_none_or(|valkey| valkey.is_ready())
    }

    /// Writes and gives back what is left. Waits for the disk and the network, for seconds at most.
    pub fn finish(&self) {
        if let Some(valkey) = &self.valkey {
            valkey.finish();
        }
        drop(self.keeper.lock().take());
    }
}

/// A time in the past, as other times are shown.
fn ago(time: std::time::Duration) -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now().checked_sub(time).unwrap_or(std::time::UNIX_EPOCH))
}

fn restore(store: &Local, book: &Book, spend: &Spend) -> Result<(), OpenError> {
    let damaged = |what: &str, key: &str| {
        OpenError::Damaged(store.path().to_owned(), format!("the value of {what} {key} cannot be read"))
    };
    let meters = store.rows(Table::Meters)?.into_iter().map(|(key, value)| match read(&value) {
        Some(kept) => Ok((key, kept)),
        None => Err(damaged("the limit", &key)),
    });
    book.restore(meters.collect::<Result<Vec<_>, _>>()?);
    let rows = store.rows(Table::Spend)?.into_iter();
    let rows = rows.map(|(key, value)| serde_json::from_slice::<Row>(&value).map_err(|_wrong| damaged("spend", &key)));
    spend.restore(rows.collect::<Result<Vec<_>, _>>()?);
    Ok(())
}

/// The value of a meter: its number, and of a budget the name of its window.
fn written(kept: &Kept) -> Vec<u8> {
    match &kept.window {
        Some(window) => format!("{} {window}", kept.number).into_bytes(),
        None => kept.number.to_string().into_bytes(),
    }
}

fn read(value: &[u8]) -> Option<Kept> {
    let text = str::from_utf8(value).ok()?;
    let (number, window) = text.split_once(' ').map_or((text, None), |(number, window)| (number, Some(window)));
    Some(Kept { number: number.parse().ok()?, window: window.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::lease::tests::{ONE, rpm, total};
    use crate::limits::spend::Key;
    use crate::limits::{Charge, Cost, Moment, Owner, Reservation, Usage};

    #[test]
    fn limits_and_spend_count_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/keys.redb");
        let key = Key { client: "a", route: "r", provider: "p", model: "m" };
        let now = Moment(50_000_000_000);
        for round in 1..=2 {
            let (book, spend, engines) = (Arc::<Book>::default(), Arc::<Spend>::default(), Engines::default());
            engines.keep(Arc::new(Local::open(&path).unwrap()), &book, &spend).unwrap();
            let (rate, money) = (Owner::Client("rate".into()), Owner::Group("money".into()));
            let (rate, money) = (book.account(rate, &rpm(10)), book.account(money, &total(1000)));
            let accounts = [Some(&rate), Some(&money), None, None];
            let cost = Cost { nano: 100, ..ONE };
            for _ in 0..4 {
                Reservation::take(accounts, cost, now).unwrap().settle(Charge { tokens: 0, nano: 100 }, now);
                spend.count(now, key, &Usage::default(), None);
            }
            assert_eq!(rate.meters()[0].remaining(now), 10 - 4 * round);
            assert_eq!(money.meters()[0].remaining(now), 1000 - 400 * round);
            let mut requests = 0;
            spend.each(crate::limits::spend::Day(0)..=crate::limits::spend::Day(u32::MAX), |row| {
                requests += row.requests
            });
            assert_eq!(requests, 4 * round);
            assert_eq!(engines.shown().unwrap()["file"]["state"], "writing");
            engines.finish();
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Local::open(&folder.path().join("keys.redb")).unwrap();
        store.write(&[(Table::Meters, "c/a:rpm".to_owned(), Some(b"many".to_vec()))]).unwrap();
        let error = Engines::default().keep(Arc::new(store), &Arc::default(), &Arc::default()).unwrap_err();
        assert!(error.to_string().contains("the value of the limit c/a:rpm cannot be read"), "{error}");
    }
}
