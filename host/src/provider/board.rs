//! The state of the providers, which outlives the configuration that named them.
//!
//! A reload makes a new [`Fleet`](super::Fleet); the providers in it that were there before keep their [`Seat`]: their
//! health, latency, slots and requests in flight. Requests that began before the reload report to the same seats, so
//! nothing is forgotten and nothing counted twice. A provider that is removed and added again while it still has
//! requests in flight gets its old seat, or it would be given more than its limit.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use url::Url;

use super::account::Line;
use super::ejection::{Health, Mark, Trail};
use super::gauge::{GaugeRef, Gauges};
use super::homes::Homes;
use super::last_error::LastError;
use super::listing::Listing;
use super::remainder::Remainders;
use crate::config::{self, ProviderKind, Way};
use crate::limits::Clock;
use crate::limits::estimate::Estimates;
use crate::slots::Slots;

/// The seats of all providers, and their health as one immutable [`Snapshot`] behind one `ArcSwap`.
#[derive(Debug)]
pub struct Board {
    snapshot: ArcSwap<Snapshot>,
    /// The seats by identity. Its lock serialises writers of the snapshot; readers never take it.
    seats: Mutex<Seats>,
    /// The table of stored things.
    pub(super) homes: Homes,
    /// The time by which limits are kept.
    pub(super) clock: Arc<Clock>,
    /// What requests to accounts are likely to take.
    pub(super) estimates: Arc<Estimates>,
    /// Those who wait for each account, by its name.
    lines: Mutex<HashMap<String, Weak<Line>>>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            snapshot: ArcSwap::default(),
            seats: Mutex::default(),
            homes: Homes::default(),
            clock: Arc::new(Clock::system()),
            estimates: Arc::default(),
            lines: Mutex::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Seats {
    taken: Vec<(Identity, Weak<Seat>)>,
    gauges: Gauges,
}

/// The properties that make the providers of two configurations the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    name: String,
    base_url: Url,
    kind: ProviderKind,
    way: Way,
}

impl Identity {
    fn of(provider: &config::Provider) -> Self {
        Self {
            name: provider.name.clone(),
            base_url: provider.base_url.clone(),
            kind: provider.kind,
            way: provider.way.clone(),
        }
    }
}

/// The state of one provider, except its health, which is in the snapshot.
#[derive(Debug)]
pub struct Seat {
    /// The index of its health in the snapshot.
    number: usize,
    /// As many as `max_concurrent`.
    pub(super) slots: Arc<Slots>,
    /// The trail of its latest attempts.
    trail: Mutex<Trail>,
    /// True while the one trial request of a provider that has yet to prove itself is under way.
    pub(super) trial: AtomicBool,
    /// Its requests in flight, and its latency.
    pub(super) gauge: GaugeRef,
    /// What it has said is left of its own limits.
    pub(super) remainders: Remainders,
    /// The models that it lists.
    pub(super) listing: Listing,
    /// Its latest error.
    pub(super) last_error: LastError,
    /// Wakes its active check when it was ejected.
    pub(super) ejected: Notify,
    /// Wakes it when another replica has ejected the provider.
    pub(super) doubted: Notify,
    /// The end of the latest ejection elsewhere that it was woken for.
    pub(super) out_elsewhere: Mutex<Option<Instant>>,
}

/// The health of all providers at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    health: Vec<Health>,
    /// True for providers that take all requests, whatever the time and the model. This is nearly always the whole
    /// answer.
    well: Vec<bool>,
}

impl Snapshot {
    fn new(health: Vec<Health>) -> Self {
        let well = health.iter().map(Health::is_well).collect();
        Self { health, well }
    }

    /// The health of one provider.
    pub fn of(&self, seat: &Seat) -> &Health {
        &self.health[seat.number]
    }

    /// True when the provider in a seat takes all requests, now and until the next snapshot.
    pub fn is_well(&self, seat: usize) -> bool {
        self.well.get(seat).is_some_and(|well| *well)
    }
}

impl Seat {
    /// The index of its health in a snapshot.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The latest attempt or check that ended in an error, as far as it is the provider's.
    pub fn last_error(&self) -> &LastError {
        &self.last_error
    }

    /// Marks attempt `number`, which began in `epoch`, and tells how the latest ones went. No attempt that goes well comes
    /// here.
    pub(super) fn mark(&self, epoch: u64, number: u32, mark: Mark) -> Trail {
        let mut trail = self.trail.lock();
        *trail = trail.after(epoch, number, mark);
        *trail
    }

    /// Begins a new trail with a new epoch.
    pub(super) fn begin(&self, epoch: u64) {
        *self.trail.lock() = Trail::anew(epoch, self.gauge.next());
    }

    /// The trail of the latest attempts.
    pub(super) fn trail(&self) -> Trail {
        *self.trail.lock()
    }
}

impl Board {
    /// The health of all at this moment.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Those who wait for an account.
    pub fn line_for(&self, account: &str) -> Arc<Line> {
        let mut lines = self.lines.lock();
        lines.retain(|_, line| line.strong_count() > 0);
        if let Some(line) = lines.get(account).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::default();
        lines.insert(account.to_owned(), Arc::downgrade(&line));
        line
    }

    /// The seat of a provider. A new provider is admitted and has no limit; it gets the number of one that is gone, if
    /// there is any, so that the board does not grow with every reload.
    pub fn seat_of(&self, provider: &config::Provider) -> Arc<Seat> {
        let identity = Identity::of(provider);
        let mut seats = self.seats.lock();
        let Seats { taken, gauges } = &mut *seats;
        let known = taken.iter().find(|(known, seat)| *known == identity && seat.strong_count() > 0);
        if let Some(seat) = known.and_then(|(_, seat)| seat.upgrade()) {
            return seat;
        }
        let free = taken.iter().position(|(_, seat)| seat.strong_count() == 0);
        let number = free.unwrap_or(taken.len());
        let gauge = gauges.at(number);
        gauge.reset();
        let seat = Arc::new(Seat {
            number,
            slots: Slots::new(None),
            trail: Mutex::new(Trail::anew(0, gauge.next())),
            trial: AtomicBool::new(false),
            gauge,
            remainders: Remainders::default(),
            listing: Listing::default(),
            last_error: LastError::default(),
            ejected: Notify::new(),
            doubted: Notify::new(),
            out_elsewhere: Mutex::default(),
        });
        let mut health = self.snapshot.load().health.clone();
        health.resize_with(health.len().max(number + 1), Health::default);
        health[number] = Health::default();
        self.snapshot.store(Arc::new(Snapshot::new(health)));
        let sits = (identity, Arc::downgrade(&seat));
        match taken.get_mut(number) {
            Some(free) => *free = sits,
            None => taken.push(sits),
        }
        seat
    }

    /// Applies one transition, if it changes anything, and publishes the new snapshot; the health before and after.
    pub fn update(&self, seat: &Seat, transition: impl Fn(&Health) -> Option<Health>) -> Option<(Health, Health)> {
        // Nearly every request changes nothing, and then nobody waits for the writers' lock.
        transition(self.snapshot().of(seat))?;
        let _writer = self.seats.lock();
        let snapshot = self.snapshot.load();
        let before = snapshot.of(seat).clone();
        let after = transition(&before)?;
        let mut health = snapshot.health.clone();
        health[seat.number] = after.clone();
        self.snapshot.store(Arc::new(Snapshot::new(health)));
        if after.epoch() != before.epoch() {
            seat.ejected.notify_one();
        }
        Some((before, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(name: &str) -> config::Provider {
        let text = format!("providers: [{{name: {name}, base_url: 'http://a/v1', api_key: k}}]");
        let config = config::parse(&text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).expect("valid");
        config.providers.into_iter().next().expect("one")
    }

    #[test]
    fn a_seat_is_taken_again_once_nobody_works_with_it() {
        let board = Board::default();
        let (first, second) = (board.seat_of(&provider("a")), board.seat_of(&provider("b")));
        assert_eq!((first.number, second.number), (0, 1));
        drop(first);
        assert_eq!(board.seat_of(&provider("c")).number, 0);
        assert_eq!(board.snapshot().health.len(), 2);
    }

    #[test]
    fn a_provider_is_the_same_as_long_as_somebody_works_with_it() {
        let board = Board::default();
        let first = board.seat_of(&provider("a"));
        assert!(Arc::ptr_eq(&first, &board.seat_of(&provider("a"))));
        assert!(!Arc::ptr_eq(&first, &board.seat_of(&provider("b"))));
    }
}
