//! The requests in flight, as the providers see them, to check `max_concurrent` of each and of all together.
//!
//! A provider notices a little late that the proxy has closed a connection, and the slot may be in use again before it
//! does. So more in flight than allowed is a suspicion first, and a breach unless, soon after, as many of those that
//! were there turn out to have been left, also those whose reply was written before that was noticed. A reply is over
//! before its last byte is written, so completion needs no such grace.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// Longer than closing a connection takes to be noticed on a busy machine.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub struct Ledger {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    /// The provider of each that is in flight.
    open: HashMap<u64, usize>,
    left: HashSet<u64>,
    breaches: Vec<String>,
    most: usize,
}

/// One request in flight at a provider.
#[derive(Debug)]
pub struct Visit {
    ledger: Arc<Ledger>,
    id: u64,
    is_suspect: bool,
}

impl Ledger {
    /// A request has arrived at `provider`, which may have `limit` at once; all together may have `total`.
    pub fn enter(self: &Arc<Self>, provider: usize, limit: Option<usize>, total: usize) -> Visit {
        let mut book = self.book.lock();
        let id = book.next;
        book.next += 1;
        book.open.insert(id, provider);
        book.most = book.most.max(book.open.len());
        let here: Vec<u64> = book.open.iter().filter(|(_, at)| **at == provider).map(|(id, _)| *id).collect();
        let everywhere = book.open.len();
        let is_suspect = limit.is_some_and(|limit| here.len() > limit) || everywhere > total;
        if let Some(limit) = limit
            && here.len() > limit
        {
            self.suspect(format!("{} in flight at provider {provider}, limit {limit}", here.len()), here, limit);
        }
        if everywhere > total {
            let all = book.open.keys().copied().collect();
            self.suspect(format!("{everywhere} in flight at all providers, limit {total}"), all, total);
        }
        drop(book);
        Visit { ledger: Arc::clone(self), id, is_suspect }
    }

    fn suspect(self: &Arc<Self>, what: String, those: Vec<u64>, limit: usize) {
        let ledger = Arc::clone(self);
        harness::spawn(async move {
            tokio::time::sleep(GRACE).await;
            let mut book = ledger.book.lock();
            let left = those.iter().filter(|id| book.left.contains(id)).count();
            if those.len() - left > limit {
                book.breaches.push(format!("{what}, of which {left} had been left"));
            }
        });
    }

    /// Every limit that was not kept.
    pub fn breaches(&self) -> Vec<String> {
        self.book.lock().breaches.clone()
    }

    /// In flight now.
    pub fn open(&self) -> usize {
        self.book.lock().open.len()
    }

    /// The most at once.
    pub fn most(&self) -> usize {
        self.book.lock().most
    }
}

impl Ledger {
    /// The proxy had closed the connection, as it turned out after the visit had ended by itself.
    pub fn had_left(&self, id: u64) {
        self.book.lock().left.insert(id);
    }
}

impl Visit {
    /// Its number in the book.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// True when there were more than allowed when it came.
    pub fn is_suspect(&self) -> bool {
        self.is_suspect
    }

    /// The proxy closed the connection.
    pub fn left(self) {
        let mut book = self.ledger.book.lock();
        if book.left.len() > 100_000 {
            book.left.clear();
        }
        book.left.insert(self.id);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.ledger.book.lock().open.remove(&self.id);
    }
}
