//! The instances of a strategy, each behind a lock of its own: one, or up to one for each worker of a strategy that keeps
//! no state.
//!
//! The first is there from the start. Another one is made when a decision finds all of them in use, so that a machine
//! which is never that busy has the memory of one. A thread asks the same instance each time if it can, whose memory its
//! core then has in its cache.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::strategy::instance::Instance;

/// The most instances, however many workers there are: each has some memory, and a decision is short.
const MOST: usize = 16;

/// The time for which a decision waits for one instance before it looks at the others: longer than most decisions.
const SLICE: Duration = Duration::from_millis(1);

/// The instances.
pub struct Slots {
    all: Box<[Slot]>,
    /// A bit for each slot whose instance may be asked. A slot without it may hold one that is not to be asked any more.
    open: AtomicU32,
    /// True while another instance is being made, and for good when none could be made.
    growing: AtomicBool,
}

/// Apart from its neighbours, so that the lock of one does not move with that of another from core to core.
#[repr(align(128))]
struct Slot(Mutex<Option<Instance>>);

/// A slot whose lock the caller has.
pub struct Held<'a> {
    /// Which one.
    pub place: usize,
    /// The instance, if it has one.
    pub slot: MutexGuard<'a, Option<Instance>>,
}

/// The answer to a decision that wants an instance.
pub enum Turn<'a> {
    /// This one.
    Taken(Held<'a>),
    /// There is none.
    Vacant,
    /// All are in use.
    Busy,
}

/// The number of this thread, by which it finds the instance that it has asked before.
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    LANE.with(|lane| *lane)
}

/// The workers that may decide at the same time.
pub fn workers() -> usize {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.metrics().num_workers(),
        Err(_) => thread::available_parallelism().map_or(1, usize::from),
    }
}

impl Slots {
    /// The first instance, with room for as many as there are workers.
    pub fn new(first: Instance, workers: usize) -> Self {
        let rest = (1..workers.clamp(1, MOST)).map(|_| None);
        let all = std::iter::once(Some(first)).chain(rest).map(|slot| Slot(Mutex::new(slot))).collect();
        Self { all, open: AtomicU32::new(1), growing: AtomicBool::new(false) }
    }

    /// An instance that nobody else is using, without waiting.
    pub fn take(&self) -> Turn<'_> {
        if let [only] = &*self.all {
            return only.0.try_lock().map_or(Turn::Busy, |slot| Turn::Taken(Held { place: 0, slot }));
        }
        let open = self.open.load(Ordering::Relaxed);
        if open == 0 {
            return Turn::Vacant;
        }
        let free = |place: usize| {
            let slot = self.all[place].0.try_lock()?;
            slot.is_some().then_some(Turn::Taken(Held { place, slot }))
        };
        self.nearest(open).find_map(free).unwrap_or(Turn::Busy)
    }

    /// Waits for an instance: for this thread's own, and now and then for any.
    pub fn wait(&self, most: Duration) -> Turn<'_> {
        let within = |place: usize, most| {
            let slot = self.all[place].0.try_lock_for(most)?;
            Some(Turn::Taken(Held { place, slot }))
        };
        if let [_] = &*self.all {
            return within(0, most).unwrap_or(Turn::Busy);
        }
        for _ in 0..most.div_duration_f64(SLICE) as u32 {
            let Some(own) = self.nearest(self.open.load(Ordering::Relaxed)).next() else { return Turn::Vacant };
            if let Some(taken) = within(own, SLICE) {
                return taken;
            }
            match self.take() {
                Turn::Busy => {}
                turn => return turn,
            }
        }
        Turn::Busy
    }

    /// The places that are open, from this thread's own.
    fn nearest(&self, open: u32) -> impl Iterator<Item = usize> {
        let (count, own) = (self.all.len(), lane());
        (0..count).map(move |step| (own + step) % count).filter(move |place| open >> place & 1 == 1)
    }

    /// Waits for this slot.
    pub fn lock(&self, place: usize) -> MutexGuard<'_, Option<Instance>> {
        self.all[place].0.lock()
    }

    /// The most instances that there may be.
    pub fn most(&self) -> usize {
        self.all.len()
    }

    /// The number of instances that may be asked.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed).count_ones() as usize
    }

    /// Lets the instance in this slot be asked. Its lock is held, and that of the recovery.
    pub fn open(&self, place: usize) {
        self.open.fetch_or(1 << place, Ordering::Relaxed);
    }

    /// The instance in this slot is gone. Its lock is held.
    pub fn vacate(&self, held: &mut Held<'_>) -> Option<Instance> {
        self.open.fetch_and(!(1 << held.place), Ordering::Relaxed);
        held.slot.take()
    }

    /// Lets none be asked from now on. The lock of the recovery is held.
    pub fn close(&self) {
        self.open.store(0, Ordering::Relaxed);
    }

    /// Drops instances that are not to be asked any more. One that is in use stays until another takes its place.
    pub fn clear(&self) {
        for (place, slot) in self.all.iter().enumerate() {
            let Some(mut slot) = slot.0.try_lock() else { continue };
            let gone = if self.open.load(Ordering::Relaxed) >> place & 1 == 0 { slot.take() } else { None };
            // Freeing its memory takes time.
            drop(slot);
            drop(gone);
        }
    }

    /// The slot for which the caller must have another instance made now, if there is room for one: this thread's own, or
    /// else the first that is empty. Until [`Slots::has_grown`] there is no other caller.
    pub fn begins_to_grow(&self) -> Option<usize> {
        let open = self.open.load(Ordering::Relaxed);
        if self.all.len() == 1 || open == 0 {
            return None;
        }
        let place = self.nearest(!open).next()?;
        (!self.growing.swap(true, Ordering::Relaxed)).then_some(place)
    }

    /// The instance has been made; another one may follow.
    pub fn has_grown(&self) {
        self.growing.store(false, Ordering::Relaxed);
    }

    /// Waits for all that may be asked.
    #[cfg(test)]
    pub fn lock_all(&self) -> Vec<MutexGuard<'_, Option<Instance>>> {
        let open = self.open.load(Ordering::Relaxed);
        self.all.iter().enumerate().filter(|(place, _)| open >> place & 1 == 1).map(|(_, slot)| slot.0.lock()).collect()
    }
}
