//! The ledger: the stories that are kept, and can be asked.
//!
//! A request gives its story away in one move, at its end: it is put behind others that wait, and nobody is woken for it.
//! A tenth of a second later they are made into [`Record`]s, together, which stay in a ring of bounded size; whoever
//! listens (the file, an exporter) gets them as well, through a bounded channel. What is full loses records and counts
//! them, and never has a request wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

mod archive;
pub mod filter;
pub mod folder;
pub mod record;
mod time;

use super::Story;
use archive::Archive;
pub use filter::Filter;
use folder::Reading;
pub use record::{Record, Time};

/// The most stories that wait to be kept.
const MOST_PENDING: usize = 16_384;
/// The most bytes that the records of the ring may take, as far as they are estimated.
const MOST_BYTES: usize = 24 << 20;

/// The stories of a process.
#[derive(Debug)]
pub struct Ledger {
    /// The stories that have not been looked at.
    #[expect(clippy::vec_box, reason = "a request gives its story away by moving a pointer")]
    pending: Mutex<Vec<Box<Story>>>,
    kept: Mutex<Kept>,
    /// Stories that came faster than they could be kept, and records that a listener has missed.
    lost: AtomicU64,
    /// False when nobody keeps or hears of them, so that stories are dropped at once.
    is_on: AtomicBool,
    /// What a folder holds.
    reading: Option<Reading>,
}

#[derive(Debug)]
struct Kept {
    archive: Archive,
    /// The records by the end of their requests, the oldest first, each with its estimated bytes.
    ring: VecDeque<(Arc<Record>, usize)>,
    bytes: usize,
    capacity: usize,
    listeners: Vec<mpsc::Sender<Arc<Record>>>,
}

impl Ledger {
    /// A ledger that keeps the latest `capacity` stories in memory; `reading` reads the folder that has more of them.
    pub fn new(capacity: usize, reading: Option<Reading>) -> Arc<Self> {
        let (archive, ring) = (Archive::default(), VecDeque::new());
        let kept = Kept { archive, ring, bytes: 0, capacity, listeners: Vec::new() };
        Arc::new(Self {
            pending: Mutex::default(),
            kept: Mutex::new(kept),
            lost: AtomicU64::new(0),
            is_on: AtomicBool::new(capacity > 0),
            reading,
        })
    }

    /// Takes a story that is over. Never waits for more than a move.
    pub fn take(&self, story: Box<Story>) {
        if !self.is_on.load(Relaxed) {
            return;
        }
        let mut pending = self.pending.lock();
        if pending.len() < MOST_PENDING {
            pending.push(story);
        } else {
            drop(pending);
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Makes records of the stories that wait; to be called every tenth of a second or so.
    pub fn settle(&self) {
        let mut kept = self.kept.lock();
        // Taken under the lock of what is kept, so that the order of the records is that of the ends of their requests.
        let stories = {
            let mut pending = self.pending.lock();
            if pending.is_empty() {
                return;
            }
            let room = Vec::with_capacity(pending.len().min(64));
            std::mem::replace(&mut *pending, room)
        };
        let now = (Instant::now(), Time::now());
        for story in stories {
            let record = Arc::new(kept.archive.record(&story, now));
            self.lost.fetch_add(kept.keep(record), Relaxed);
        }
    }

    /// Puts records of before in front, as a file holds them: the oldest first.
    pub fn remember(&self, records: Vec<Record>) {
        let mut kept = self.kept.lock();
        for record in records.into_iter().rev() {
            let bytes = record.bytes();
            if kept.ring.len() >= kept.capacity || kept.bytes + bytes > MOST_BYTES {
                return;
            }
            kept.bytes += bytes;
            kept.ring.push_front((Arc::new(record), bytes));
        }
    }

    /// Has every record from now on sent to a receiver, which misses those that come while `room` of them wait.
    pub fn listen(&self, room: usize) -> mpsc::Receiver<Arc<Record>> {
        let (sender, receiver) = mpsc::channel(room);
        let mut kept = self.kept.lock();
        kept.listeners.push(sender);
        self.is_on.store(true, Relaxed);
        receiver
    }

    /// Changes the number of stories that are kept in memory.
    pub fn resize(&self, capacity: usize) {
        let mut kept = self.kept.lock();
        kept.capacity = capacity;
        kept.shrink();
        self.is_on.store(capacity > 0 || !kept.listeners.is_empty(), Relaxed);
    }

    /// The number of stories that are kept in memory at most.
    pub fn capacity(&self) -> usize {
        self.kept.lock().capacity
    }

    /// What the folder holds, if there is one.
    pub fn reading(&self) -> Option<&Reading> {
        self.reading.as_ref()
    }

    /// Stories that came faster than they could be kept, and records that a listener has missed.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// The number of stories in memory, and about how many bytes they take.
    pub fn size(&self) -> (usize, usize) {
        let kept = self.kept.lock();
        (kept.ring.len(), kept.bytes)
    }

    /// The latest request with this id; ids that clients choose may come twice.
    pub fn find(&self, id: &str) -> Option<Arc<Record>> {
        self.settle();
        let kept = self.kept.lock();
        kept.ring.iter().rev().find(|(record, _)| &*record.request_id == id).map(|(record, _)| Arc::clone(record))
    }

    /// The questions that approaches have asked for the request with this id, in the order of their beginnings.
    pub fn questions_of(&self, id: &str) -> Vec<Arc<Record>> {
        self.settle();
        let kept = self.kept.lock();
        let of = kept.ring.iter().map(|(record, _)| record).filter(|record| record.parent() == Some(id));
        let mut of: Vec<_> = of.map(Arc::clone).collect();
        of.sort_by_key(|record| record.time);
        of
    }

    /// Up to `most` records that a filter lets through, the latest end first.
    pub fn select(&self, filter: &Filter, most: usize) -> Vec<Arc<Record>> {
        self.settle();
        let kept = self.kept.lock();
        let fitting = kept.ring.iter().rev().map(|(record, _)| record).filter(|record| filter.fits(record));
        fitting.take(most).map(Arc::clone).collect()
    }
}

impl Kept {
    /// Keeps a record; returns the number of listeners that have missed it.
    fn keep(&mut self, record: Arc<Record>) -> u64 {
        let mut missed = 0;
        self.listeners.retain(|listener| match listener.try_send(Arc::clone(&record)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                missed += 1;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
        let bytes = record.bytes();
        self.bytes += bytes;
        self.ring.push_back((record, bytes));
        self.shrink();
        missed
    }

    fn shrink(&mut self) {
        while self.ring.len() > self.capacity || self.bytes > MOST_BYTES {
            let Some((_, bytes)) = self.ring.pop_front() else { return };
            self.bytes -= bytes;
        }
    }
}

impl Record {
    /// About how many bytes of memory it takes; names that it shares with others do not count.
    fn bytes(&self) -> usize {
        let own = |text: &Option<record::Text>| text.as_ref().map_or(0, |text| text.len() + 32);
        let offer = |offer: &record::Offer| {
            size_of::<record::Offer>()
                + offer.candidates.len() * size_of::<record::Candidate>()
                + (offer.absent.len() + offer.passed_over.len()) * size_of::<record::Absent>()
        };
        let attempt = |attempt: &record::Attempt| size_of::<record::Attempt>() + own(&attempt.reason);
        size_of::<Self>()
            + self.request_id.len()
            + own(&self.message)
            + self.offers.iter().map(offer).sum::<usize>()
            + self.attempts.iter().map(attempt).sum::<usize>()
            + 64
    }
}

#[cfg(test)]
mod tests;
