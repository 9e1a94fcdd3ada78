//! The task that keeps what changes: once a second, and at the end, on a thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::local::{Change, Local, Table};

/// The interval between two writes: what a crash can lose.
const INTERVAL: Duration = Duration::from_secs(1);

/// The rows that have changed since they were last asked for.
pub type Source = Box<dyn Fn() -> Vec<Change> + Send>;

/// How the keeping goes, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since when nothing can be written.
    pub since: Instant,
    /// Why.
    pub reason: String,
}

/// A running task.
#[derive(Debug)]
pub struct Keeper {
    store: Arc<Local>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    end: Mutex<bool>,
    wake: Condvar,
    trouble: Mutex<Option<Trouble>>,
}

impl Keeper {
    /// Begins to keep what `sources` say has changed.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(store: Arc<Local>, sources: Vec<Source>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (theirs, file) = (Arc::clone(&shared), Arc::clone(&store));
        let work = move || run(&file, &sources, &theirs);
        let thread = std::thread::Builder::new().name("state".to_owned()).spawn(work)?;
        Ok(Self { store, shared, thread: Mutex::new(Some(thread)) })
    }

    /// The file.
    pub fn store(&self) -> &Arc<Local> {
        &self.store
    }

    /// Set while nothing can be written.
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.trouble.lock().clone()
    }

    /// Writes what is left, and ends. Waits for the disk.
    pub fn finish(&self) {
        *self.shared.end.lock() = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread has been reported by then.
            drop(thread.join());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.finish();
    }
}

fn run(store: &Local, sources: &[Source], shared: &Shared) {
    // What could not be written yet: as many rows as there are, however long it takes.
    let mut pending: BTreeMap<(Table, String), Option<Vec<u8>>> = BTreeMap::new();
    let mut ends = false;
    while !ends {
        {
            let mut end = shared.end.lock();
            if !*end {
                shared.wake.wait_for(&mut end, INTERVAL);
            }
            ends = *end;
        }
        let changed = sources.iter().flat_map(|changed| changed());
        pending.extend(changed.map(|(table, key, value)| ((table, key), value)));
        if pending.is_empty() {
            continue;
        }
        let changes: Vec<Change> =
            pending.iter().map(|((table, key), value)| (*table, key.clone(), value.clone())).collect();
        match store.write(&changes) {
            Ok(()) => {
                pending.clear();
                if let Some(trouble) = shared.trouble.lock().take() {
                    let seconds = trouble.since.elapsed().as_secs();
                    tracing::warn!("limits and spend are written again, after {seconds} s without");
                }
            }
            Err(error) => {
                let mut trouble = shared.trouble.lock();
                if trouble.is_none() {
                    tracing::error!(
                        "limits and spend are kept in memory only, a restart would forget what comes from now on: {error}"
                    );
                    *trouble = Some(Trouble { since: Instant::now(), reason: error.reason });
                }
            }
        }
    }
    if !pending.is_empty() {
        tracing::error!("{} values of limits and spend could not be written before the end", pending.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_row(value: u8) -> Source {
        let rows = Mutex::new(vec![(Table::Meters, "c/a:requests".to_owned(), Some(vec![value]))]);
        Box::new(move || std::mem::take(&mut rows.lock()))
    }

    #[test]
    fn what_has_changed_is_written_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.redb");
        let keeper = Keeper::start(Arc::new(Local::open(&path).unwrap()), vec![one_row(7)]).unwrap();
        keeper.finish();
        drop(keeper);
        let rows = Local::open(&path).unwrap().rows(Table::Meters).unwrap();
        assert_eq!(rows, [("c/a:requests".to_owned(), vec![7])]);
    }

    #[test]
    fn what_cannot_be_written_is_kept_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.redb");
        let store = Arc::new(Local::open(&path).unwrap());
        let away = folder.path().join("away");
        std::fs::rename(&path, &away).unwrap();
        store.close();
        let keeper = Keeper::start(Arc::clone(&store), vec![one_row(7)]).unwrap();
        let until = |what: &dyn Fn() -> bool| {
            for _ in 0..2000 {
                if what() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            panic!("it does not come");
        };
        until(&|| keeper.trouble().is_some());
        std::fs::rename(&away, &path).unwrap();
        until(&|| keeper.trouble().is_none());
        assert_eq!(store.rows(Table::Meters).unwrap(), [("c/a:requests".to_owned(), vec![7])]);
    }
}
