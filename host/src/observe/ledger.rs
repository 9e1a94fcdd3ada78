//! The ledger: the stories that are kept, and can be asked.
//!
//! A request gives its story away in one move, at its end, and nobody is woken for it. It is made into a [`Record`] when
//! somebody asks for it, when a listener (the file, an exporter) waits for it, when it is of a configuration that is in force
//! no more, whose objects it must not hold, and when it has waited for ten seconds. A server that is busy never makes most of
//! them: they have given way to later ones by then. All is bounded: what a listener is too slow for is counted as lost, and no
//! request waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

mod archive;
pub mod filter;
pub mod folder;
mod glimpse;
pub mod record;
mod time;
mod trouble;

use super::{Story, story};
use crate::provider::Absence;
use crate::routing::Candidate;
use archive::Archive;
pub use filter::Filter;
use folder::Reading;
pub use glimpse::Glimpse;
pub use record::{Record, Time};
use trouble::{Kind, Same, Trouble};

/// The most stories that wait for listeners.
const MOST_PENDING: usize = 16_384;
/// The most bytes that stories and records may take, as far as they are estimated.
const MOST_BYTES: usize = 24 << 20;
/// A story is made into a record after this time at the latest: what its strategy says of its reasons may change.
const AGE: Duration = Duration::from_secs(10);

/// The stories of a process.
#[derive(Debug)]
pub struct Ledger {
    pending: Mutex<Pending>,
    kept: Mutex<Kept>,
    /// Stories that came faster than listeners could be told of them, and records that a listener has missed.
    lost: AtomicU64,
    /// False when nobody keeps or hears of them, so that stories are dropped at once.
    is_on: AtomicBool,
    /// What a folder holds.
    reading: Option<Reading>,
}

/// The stories that are no records yet, by the end of their requests, the oldest first.
#[derive(Debug)]
struct Pending {
    stories: VecDeque<Box<Story>>,
    /// The number of the first of them; every story has the next one.
    first: u64,
    /// The numbers of those that went wrong.
    trouble: Trouble<u64>,
    bytes: usize,
    /// The number of stories that are kept in memory.
    capacity: usize,
    /// The earliest configuration that one of them began with.
    generation: u64,
    /// True when somebody waits for all of them.
    is_heard: bool,
}

#[derive(Debug)]
struct Kept {
    archive: Archive,
    /// The records by the end of their requests, the oldest first, each with its estimated bytes.
    ring: VecDeque<(Arc<Record>, usize)>,
    /// Those of them that went wrong.
    trouble: Trouble<Same>,
    bytes: usize,
    listeners: Vec<mpsc::Sender<Arc<Record>>>,
}

impl Ledger {
    /// A ledger that keeps the latest `capacity` stories in memory; `reading` reads the folder that has more of them.
    pub fn new(capacity: usize, reading: Option<Reading>) -> Arc<Self> {
        let (archive, ring) = (Archive::default(), VecDeque::new());
        let pending = Pending {
            stories: VecDeque::new(),
            first: 0,
            trouble: Trouble::default(),
            bytes: 0,
            capacity,
            generation: u64::MAX,
            is_heard: false,
        };
        let kept = Kept { archive, ring, trouble: Trouble::default(), bytes: 0, listeners: Vec::new() };
        Arc::new(Self {
            pending: Mutex::new(pending),
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
        let (bytes, kind) = (story.bytes(), Kind::of_story(&story));
        let mut pending = self.pending.lock();
        if pending.is_heard && pending.stories.len() >= MOST_PENDING {
            drop(pending);
            self.lost.fetch_add(1, Relaxed);
            return;
        }
        if story.generation > 0 {
            pending.generation = pending.generation.min(story.generation);
        }
        pending.bytes += bytes;
        if let Some(kind) = kind {
            let number = pending.first + pending.stories.len() as u64;
            pending.trouble.push(&number, kind);
        }
        pending.stories.push_back(story);
        let mut gone = None;
        while !pending.is_heard && (pending.stories.len() > pending.capacity || pending.bytes > MOST_BYTES) {
            gone = pending.stories.pop_front();
            pending.first += 1;
            pending.bytes -= gone.as_ref().map_or(0, |story| story.bytes());
        }
        drop(pending);
        // The last one, and as a rule there is no other, is let go of without the lock.
        drop(gone);
    }

    /// True when stories have to be made into records now, for which [`Ledger::settle`] is to be called, from a thread that
    /// may take its time. Lets go of records for which stories leave no room. To be called every tenth of a second or so;
    /// `generation` is the number of the configuration in force.
    pub fn is_due(&self, now: Instant, generation: u64) -> bool {
        let pending = self.pending.lock();
        let is_old = |story: &Story| now.saturating_duration_since(story.began + story.took) >= AGE;
        let oldest = pending.stories.front();
        if !pending.stories.is_empty() && (pending.is_heard || pending.generation < generation)
            || oldest.is_some_and(|story| is_old(story))
        {
            return true;
        }
        let (capacity, bytes) = pending.room();
        drop(pending);
        // Somebody who reads holds the lock for a while, and next time is early enough.
        if let Some(mut kept) = self.kept.try_lock() {
            kept.shrink(capacity, bytes);
        }
        false
    }

    /// Tells listeners of the last stories; without any, nobody will ask.
    pub fn finish(&self) {
        if self.pending.lock().is_heard {
            self.settle();
        }
    }

    /// Makes records of all stories that are none yet.
    pub fn settle(&self) {
        let mut kept = self.kept.lock();
        // Taken under the lock of what is kept, so that the order of the records is that of the ends of their requests.
        let (stories, capacity) = {
            let mut pending = self.pending.lock();
            (pending.bytes, pending.generation) = (0, u64::MAX);
            pending.first += pending.stories.len() as u64;
            pending.trouble = Trouble::default();
            (std::mem::take(&mut pending.stories), pending.capacity)
        };
        let now = (Instant::now(), Time::now());
        for story in stories {
            let record = Arc::new(kept.archive.record(&story, now));
            self.lost.fetch_add(kept.keep(record), Relaxed);
            kept.shrink(capacity, MOST_BYTES);
        }
        self.pending.lock().is_heard = !kept.listeners.is_empty();
    }

    /// Puts records of before in front, as a file holds them: the oldest first.
    pub fn remember(&self, records: Vec<Record>) {
        let mut kept = self.kept.lock();
        let (capacity, most) = self.pending.lock().room();
        for record in records.into_iter().rev() {
            let bytes = record.bytes();
            if kept.ring.len() >= capacity || kept.bytes + bytes > most {
                break;
            }
            kept.bytes += bytes;
            kept.ring.push_front((Arc::new(record), bytes));
        }
        let Kept { ring, trouble, .. } = &mut *kept;
        *trouble = Trouble::default();
        ring.iter().for_each(|(record, _)| trouble.note(record));
    }

    /// Has every record from now on sent to a receiver, which misses those that come while `room` of them wait.
    pub fn listen(&self, room: usize) -> mpsc::Receiver<Arc<Record>> {
        let (sender, receiver) = mpsc::channel(room);
        let mut kept = self.kept.lock();
        kept.listeners.push(sender);
        self.pending.lock().is_heard = true;
        self.is_on.store(true, Relaxed);
        receiver
    }

    /// Changes the number of stories that are kept in memory.
    pub fn resize(&self, capacity: usize) {
        self.settle();
        let mut kept = self.kept.lock();
        self.pending.lock().capacity = capacity;
        kept.shrink(capacity, MOST_BYTES);
        self.is_on.store(capacity > 0 || !kept.listeners.is_empty(), Relaxed);
    }

    /// The number of stories that are kept in memory at most.
    pub fn capacity(&self) -> usize {
        self.pending.lock().capacity
    }

    /// What the folder holds, if there is one.
    pub fn reading(&self) -> Option<&Reading> {
        self.reading.as_ref()
    }

    /// Stories that came faster than listeners could be told of them, and records that a listener has missed.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// The number of stories in memory, and about how many bytes they take.
    pub fn size(&self) -> (usize, usize) {
        let kept = self.kept.lock();
        let pending = self.pending.lock();
        let count = (kept.ring.len() + pending.stories.len()).min(pending.capacity);
        (count, (kept.bytes + pending.bytes).min(MOST_BYTES))
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

    /// The latest requests that failed, and the latest that failed over, in no order. In contrast to [`Ledger::select`] it
    /// makes no records of the stories that nobody will look at, so that it can be asked every second.
    pub fn latest_trouble(&self) -> Vec<Arc<Record>> {
        let mut kept = self.kept.lock();
        let mut pending = self.pending.lock();
        let first = pending.first;
        pending.trouble.let_go_before(first);
        let (mut records, numbers) = kept.trouble.with(&pending.trouble);
        let now = (Instant::now(), Time::now());
        let stories = numbers.iter().filter_map(|number| pending.stories.get(usize::try_from(number - first).ok()?));
        records.extend(stories.map(|story| Arc::new(kept.archive.record(story, now))));
        records
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
        self.trouble.note(&record);
        self.ring.push_back((record, bytes));
        missed
    }

    /// Lets go of the oldest records beyond a number, and beyond a size.
    fn shrink(&mut self, capacity: usize, most: usize) {
        while self.ring.len() > capacity || self.bytes > most {
            let Some((record, bytes)) = self.ring.pop_front() else { return };
            self.bytes -= bytes;
            self.trouble.let_go(&record);
        }
    }
}

impl Pending {
    /// What the stories leave to records: a number, and bytes.
    fn room(&self) -> (usize, usize) {
        (self.capacity.saturating_sub(self.stories.len()), MOST_BYTES.saturating_sub(self.bytes))
    }
}

impl Story {
    /// About how many bytes of memory it takes; what it shares with others does not count.
    fn bytes(&self) -> usize {
        let offer = |offer: &story::Offer| {
            size_of::<story::Offer>()
                + offer.candidates.len() * size_of::<Candidate>()
                + offer.absent.len() * size_of::<(u32, Absence)>()
                + offer.decision.as_ref().map_or(0, |(decision, _)| 4 * (decision.order.len() + decision.reasons.len()))
        };
        let own = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let attempt = |attempt: &story::Attempt| size_of::<story::Attempt>() + own(&attempt.reason);
        size_of::<Self>()
            + (self.id.len() + self.path.len() + self.model.len() + own(&self.sentence) + own(&self.decision))
            + self.offers.iter().map(offer).sum::<usize>()
            + self.attempts.iter().map(attempt).sum::<usize>()
            + self.passed_over.len() * size_of::<(usize, u32, story::Full)>()
            + self.trace.as_ref().map_or(0, |_| 256)
            + 128
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
