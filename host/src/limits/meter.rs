//! One limit and its counter.
//!
//! The rule comes from the configuration and is new with each reload; the counter stays. A rate is one atomic number. A
//! budget is a number and the window that it belongs to, behind a lock that is held for a few instructions.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use super::gcra::{Gcra, Short};
use super::lease::Lease;
use super::reservation::{Cost, Way};
use super::terms::Mode;
use super::window::Calendar;
use super::{Moment, Until};

/// The units that limits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Tokens of requests and answers.
    Tokens,
    /// Billionths of a dollar.
    Money,
    /// Requests at once.
    Parallel,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 4] = [Self::Requests, Self::Tokens, Self::Money, Self::Parallel];

    /// Its name in errors, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Money => "money",
            Self::Parallel => "parallel",
        }
    }
}

/// The rule of a limit.
#[derive(Clone, Debug)]
pub enum Rule {
    /// An amount in a time, which comes back continuously.
    Rate(Gcra),
    /// An amount in each window of a calendar.
    Budget {
        /// The amount of a window.
        amount: u64,
        /// The windows.
        calendar: Calendar,
    },
}

/// A limit with its counter.
#[derive(Debug)]
pub struct Meter {
    /// The unit that it counts.
    pub unit: Unit,
    /// Its key in the configuration, such as `rpm` or `30d`.
    pub name: Arc<str>,
    /// The rule.
    pub rule: Rule,
    /// The counter of the quantity that was taken.
    pub counter: Arc<Counter>,
    /// The part of the limit that is leased to this replica, where replicas share limits.
    pub lease: Option<Arc<Lease>>,
    /// The mode during an outage of the engine, if this limit has one of its own.
    pub outage: Option<Mode>,
}

/// The number of a meter, which outlives reloads.
#[derive(Debug)]
pub enum Counter {
    /// The moment at which everything will have come back, in nanoseconds since 2025.
    Rate {
        /// The moment.
        number: AtomicU64,
        /// The moment at the last call of [`Counter::changed`].
        told: AtomicU64,
    },
    /// The amount that has been spent in a window.
    Budget(Mutex<Spent>),
}

/// The amount that has been spent in a window.
#[derive(Debug, Default)]
pub struct Spent {
    amount: u64,
    /// The name of the window.
    window: String,
    start: Moment,
    /// Zero before the first use: then the bounds are not known, but the name may be.
    end: Moment,
    /// The calendar by which the window was found.
    calendar: u64,
    /// True when the amount has changed since the last call of [`Counter::changed`].
    changed: bool,
    /// The end of the latest window of which it was noticed that it is nearly used up.
    noticed: Moment,
}

/// The value of a counter as engines keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of a rate the moment at which everything will have come back, in nanoseconds since 2025; of a budget what has
    /// been spent.
    pub number: u64,
    /// The name of the window of a budget.
    pub window: Option<String>,
}

/// How far a clock may go back without a budget going back to an earlier window: a day.
const BACK: u64 = 86_400_000_000_000;

impl Spent {
    /// Goes on to the window of `now`.
    fn roll(&mut self, calendar: &Calendar, now: Moment) {
        let inside = now.0.saturating_add(BACK) >= self.start.0 && now < self.end;
        if inside && self.calendar == calendar.id() {
            return;
        }
        let window = calendar.window(now);
        // A restored counter has only the window's name; a counter that a reload has moved goes on counting.
        if window.name != self.window && !inside {
            self.amount = 0;
        }
        (self.window, self.start, self.end) = (window.name, window.start, window.end);
        self.calendar = calendar.id();
    }
}

impl Counter {
    /// A counter for a rule.
    pub fn of(rule: &Rule) -> Self {
        match rule {
            Rule::Rate(_) => Self::Rate { number: AtomicU64::new(0), told: AtomicU64::new(0) },
            Rule::Budget { .. } => Self::Budget(Mutex::default()),
        }
    }

    /// True when it can count for a rule.
    pub fn suits(&self, rule: &Rule) -> bool {
        matches!((self, rule), (Self::Rate { .. }, Rule::Rate(_)) | (Self::Budget(_), Rule::Budget { .. }))
    }

    /// The value, if it has changed since the last call.
    pub fn changed(&self) -> Option<Kept> {
        match self {
            Self::Rate { number, told } => {
                let number = number.load(Relaxed);
                (told.swap(number, Relaxed) != number).then_some(Kept { number, window: None })
            }
            Self::Budget(spent) => {
                let mut spent = spent.lock();
                std::mem::take(&mut spent.changed)
                    .then(|| Kept { number: spent.amount, window: Some(spent.window.clone()) })
            }
        }
    }

    /// Takes over a value from the store: the larger of both, never their sum.
    pub fn restore(&self, kept: &Kept) {
        match (self, &kept.window) {
            (Self::Rate { number, .. }, None) => drop(number.fetch_max(kept.number, Relaxed)),
            (Self::Budget(spent), Some(window)) => {
                let mut spent = spent.lock();
                if spent.window == *window {
                    spent.amount = spent.amount.max(kept.number);
                } else if spent.end == Moment(0) {
                    spent.amount = kept.number;
                    spent.window.clone_from(window);
                }
            }
            (Self::Rate { .. }, Some(_)) | (Self::Budget(_), None) => {}
        }
    }
}

impl Meter {
    /// The amount of its limit.
    pub fn amount(&self) -> u64 {
        match &self.rule {
            Rule::Rate(gcra) => gcra.amount(),
            Rule::Budget { amount, .. } => *amount,
        }
    }

    /// The part of a cost that this limit counts. Of an estimate it counts at most its own amount, but always all tokens that
    /// the request itself names.
    pub fn quantity(&self, cost: &Cost) -> u64 {
        match self.unit {
            Unit::Requests => cost.requests,
            Unit::Tokens => cost.tokens.min(self.amount().max(cost.named_tokens)),
            Unit::Money => cost.nano.min(self.amount()),
            Unit::Parallel => 0,
        }
    }

    /// The way in which a reservation takes from this limit; `None` when the limit allows nothing.
    fn way(&self, way: Way, lease: &Lease) -> Option<Way> {
        match way {
            Way::Leased => Some(way),
            Way::Apart | Way::Free => self.outage.unwrap_or(lease.terms().without_engine()).way(),
        }
    }

    /// Takes a quantity.
    ///
    /// # Errors
    ///
    /// The event after which there may be enough.
    pub fn take(&self, quantity: u64, now: Moment, way: Way) -> Result<(), Until> {
        if quantity == 0 {
            return Ok(());
        }
        if let Some(lease) = &self.lease {
            let way = self.way(way, lease).ok_or(Until::Closed)?;
            return lease.take(&self.rule, quantity, now, way);
        }
        match (&self.rule, &*self.counter) {
            (Rule::Rate(gcra), Counter::Rate { number, .. }) => {
                let mut before = number.load(Relaxed);
                loop {
                    let next = gcra.take(before, quantity, now.0).map_err(Until::of)?;
                    match number.compare_exchange_weak(before, next, Relaxed, Relaxed) {
                        Ok(_) => return Ok(()),
                        Err(other) => before = other,
                    }
                }
            }
            (Rule::Budget { amount, calendar }, Counter::Budget(spent)) => {
                let mut spent = spent.lock();
                spent.roll(calendar, now);
                match spent.amount.checked_add(quantity) {
                    Some(next) if next <= *amount => {
                        spent.amount = next;
                        spent.changed = true;
                        Ok(())
                    }
                    _ if quantity > *amount => Err(Until::Never),
                    _ => Err(Until::End(spent.end)),
                }
            }
            _ => Ok(()),
        }
    }

    /// The reason why a quantity cannot be taken; takes nothing.
    pub fn refuses(&self, quantity: u64, now: Moment, way: Way) -> Option<Until> {
        if let Some(lease) = &self.lease {
            return match self.way(way, lease) {
                Some(way) => lease.refuses(&self.rule, quantity, now, way),
                None => (quantity > 0).then_some(Until::Closed),
            };
        }
        match (&self.rule, &*self.counter) {
            (Rule::Rate(gcra), Counter::Rate { number, .. }) if quantity > 0 => {
                gcra.take(number.load(Relaxed), quantity, now.0).err().map(Until::of)
            }
            (Rule::Budget { amount, calendar }, Counter::Budget(spent)) if quantity > 0 => {
                let mut spent = spent.lock();
                spent.roll(calendar, now);
                let end = if quantity > *amount { Until::Never } else { Until::End(spent.end) };
                (spent.amount.saturating_add(quantity) > *amount).then_some(end)
            }
            _ => None,
        }
    }

    /// Replaces a quantity that was taken at `at` by another one. A quantity of a window that is over changes nothing.
    pub fn correct(&self, (taken, actual): (u64, u64), at: Moment, now: Moment, way: Way) {
        if let Some(lease) = &self.lease {
            // Even a limit that allows nothing is charged, when a request that was expected to cost nothing has cost something.
            let way = self.way(way, lease).unwrap_or(Way::Apart);
            return lease.correct(&self.rule, (taken, actual), at, now, way);
        }
        if taken == actual {
            return;
        }
        match (&self.rule, &*self.counter) {
            (Rule::Rate(gcra), Counter::Rate { number, .. }) => {
                let mut before = number.load(Relaxed);
                loop {
                    let next = gcra.correct(before, taken, actual, now.0);
                    match number.compare_exchange_weak(before, next, Relaxed, Relaxed) {
                        Ok(_) => return,
                        Err(other) => before = other,
                    }
                }
            }
            (Rule::Budget { calendar, .. }, Counter::Budget(spent)) => {
                let mut spent = spent.lock();
                if at >= spent.end {
                    // The request may be the first of its window, and may have been expected to cost nothing.
                    spent.roll(calendar, at);
                }
                if at >= spent.start && at < spent.end {
                    spent.amount = spent.amount.saturating_sub(taken).saturating_add(actual);
                    spent.changed = true;
                }
            }
            _ => {}
        }
    }

    /// The quantity that is left.
    pub fn remaining(&self, now: Moment) -> u64 {
        if let Some(lease) = &self.lease {
            return lease.remaining(&self.rule, now);
        }
        match (&self.rule, &*self.counter) {
            (Rule::Rate(gcra), Counter::Rate { number, .. }) => gcra.free(number.load(Relaxed), now.0),
            (Rule::Budget { amount, calendar }, Counter::Budget(spent)) => {
                let mut spent = spent.lock();
                spent.roll(calendar, now);
                amount.saturating_sub(spent.amount)
            }
            _ => 0,
        }
    }

    /// True once in each window of a budget: when at least this share of it is used up.
    pub fn notice(&self, share: f64, now: Moment) -> bool {
        let (Rule::Budget { amount, calendar }, Counter::Budget(spent)) = (&self.rule, &*self.counter) else {
            return false;
        };
        let used = amount.saturating_sub(self.remaining(now));
        if (used as f64) < *amount as f64 * share {
            return false;
        }
        let mut spent = spent.lock();
        let is_new = now >= spent.noticed;
        if is_new {
            spent.noticed = calendar.window(now).end;
        }
        is_new
    }

    /// The moment at which the whole amount will be available, if nobody takes any of it.
    pub fn full(&self, now: Moment) -> Moment {
        if let Some(lease) = &self.lease {
            return lease.full(&self.rule, now);
        }
        match (&self.rule, &*self.counter) {
            (Rule::Rate(_), Counter::Rate { number, .. }) => Moment(number.load(Relaxed).max(now.0)),
            (Rule::Budget { calendar, .. }, Counter::Budget(spent)) => {
                let mut spent = spent.lock();
                spent.roll(calendar, now);
                spent.end
            }
            _ => now,
        }
    }
}

impl Until {
    pub(super) fn of(short: Short) -> Self {
        match short {
            Short::For(wait) => Self::Wait(std::time::Duration::from_nanos(wait)),
            Short::Never => Self::Never,
        }
    }
}
