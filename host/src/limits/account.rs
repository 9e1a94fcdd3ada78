//! The limits of one owner.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use super::lease::{Lease, Slots};
use super::meter::{Meter, Unit};
use super::reservation::{Charge, Cost, Way};
use super::terms::{Mode, Terms};
use super::{Moment, Refusal, Until};

/// The owner of limits. Its text, such as `c/7f3k2m9q`, begins the names under which its counters are kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A client's key, by its id.
    Client(Arc<str>),
    /// A group of clients, by its name.
    Group(Arc<str>),
    /// A route, by its name.
    Route(Arc<str>),
    /// An account at a provider, by its name.
    Account(Arc<str>),
}

impl Owner {
    /// The kinds of owners, for the labels of metrics.
    pub const KINDS: [&str; 4] = ["client", "group", "route", "account"];

    /// The index of its kind in [`Owner::KINDS`].
    pub fn kind(&self) -> usize {
        match self {
            Self::Client(_) => 0,
            Self::Group(_) => 1,
            Self::Route(_) => 2,
            Self::Account(_) => 3,
        }
    }

    /// Its id or name.
    pub fn name(&self) -> &str {
        match self {
            Self::Client(name) | Self::Group(name) | Self::Route(name) | Self::Account(name) => name,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Client(_) => 'c',
            Self::Group(_) => 'g',
            Self::Route(_) => 'r',
            Self::Account(_) => 'p',
        };
        write!(f, "{kind}/{}", self.name())
    }
}

/// The limits of one owner, with their counters.
#[derive(Debug)]
pub struct Account {
    owner: Owner,
    meters: Box<[Meter]>,
    parallel: Option<Parallel>,
    tokens_per_request: Option<u64>,
    /// True when any meter has a lease, or the slots are borrowed.
    is_shared: bool,
}

/// The limit of requests at once.
#[derive(Debug)]
pub(super) struct Parallel {
    pub limit: u32,
    pub places: Places,
    /// The mode during an outage of the engine, if this limit has one of its own.
    pub outage: Option<Mode>,
}

/// The requests in flight, which outlive reloads.
#[derive(Clone, Debug)]
pub(super) enum Places {
    /// Those of this server alone, where no engine shares limits.
    Own(Arc<AtomicU32>),
    /// Slots of the engine, where replicas share limits.
    Shared(Arc<Slots>),
}

impl Parallel {
    fn held(&self) -> u32 {
        match &self.places {
            Places::Own(held) => held.load(Relaxed),
            Places::Shared(slots) => slots.held(),
        }
    }

    fn way(&self, slots: &Slots, way: Way) -> Option<Way> {
        match way {
            Way::Leased => Some(way),
            Way::Apart | Way::Free => self.outage.unwrap_or(slots.terms().without_engine()).way(),
        }
    }

    fn take(&self, now: Moment, way: Way) -> bool {
        match &self.places {
            Places::Own(held) => {
                held.fetch_update(AcqRel, Relaxed, |held| (held < self.limit).then_some(held + 1)).is_ok()
            }
            Places::Shared(slots) => self.way(slots, way).is_some_and(|way| slots.take(self.limit, now, way).is_ok()),
        }
    }

    fn leave(&self) {
        match &self.places {
            // It was taken, so it is above 0.
            Places::Own(held) => drop(held.fetch_sub(1, AcqRel)),
            Places::Shared(slots) => slots.leave(self.limit),
        }
    }

    fn refuses(&self, now: Moment, way: Way) -> Option<Until> {
        match &self.places {
            Places::Own(held) => (held.load(Relaxed) >= self.limit).then_some(Until::Free),
            Places::Shared(slots) => match self.way(slots, way) {
                Some(way) => slots.refuses(self.limit, now, way),
                None => Some(Until::Closed),
            },
        }
    }
}

impl Account {
    pub(super) fn new(
        owner: Owner,
        meters: Box<[Meter]>,
        parallel: Option<Parallel>,
        tokens_per_request: Option<u64>,
    ) -> Self {
        let borrows = matches!(parallel, Some(Parallel { places: Places::Shared(_), .. }));
        let is_shared = borrows || meters.iter().any(|meter| meter.lease.is_some());
        Self { owner, meters, parallel, tokens_per_request, is_shared }
    }

    /// The owner of the limits.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The meters of its rates and budgets.
    pub fn meters(&self) -> &[Meter] {
        &self.meters
    }

    /// The limit of requests at once, and the number of those in flight on this replica.
    pub fn parallel(&self) -> Option<(u32, u32)> {
        self.parallel.as_ref().map(|parallel| (parallel.limit, parallel.held()))
    }

    /// The limit of the tokens of one request.
    pub fn tokens_per_request(&self) -> Option<u64> {
        self.tokens_per_request
    }

    pub(super) fn places(&self) -> Option<&Places> {
        self.parallel.as_ref().map(|parallel| &parallel.places)
    }

    /// The limit of requests at once and the slots for them, where replicas share limits.
    pub(super) fn slots(&self) -> Option<(u32, &Arc<Slots>)> {
        match self.parallel.as_ref()? {
            Parallel { places: Places::Own(_), .. } => None,
            Parallel { limit, places: Places::Shared(slots), .. } => Some((*limit, slots)),
        }
    }

    /// True when a limit counts this unit.
    pub fn counts(&self, unit: Unit) -> bool {
        match unit {
            Unit::Parallel => self.parallel.is_some(),
            Unit::Tokens if self.tokens_per_request.is_some() => true,
            _ => self.meters.iter().any(|meter| meter.unit == unit),
        }
    }

    /// Takes a cost from every limit, or from none.
    pub(super) fn take(&self, cost: &Cost, now: Moment, way: Way) -> Result<(), ()> {
        if self.tokens_per_request.is_some_and(|most| cost.named_tokens > most) {
            return Err(());
        }
        for (at, meter) in self.meters.iter().enumerate() {
            if meter.take(meter.quantity(cost), now, way).is_err() {
                self.undo(at, cost, now, way);
                return Err(());
            }
        }
        if self.parallel.as_ref().filter(|_| cost.parallel).is_some_and(|parallel| !parallel.take(now, way)) {
            self.undo(self.meters.len(), cost, now, way);
            return Err(());
        }
        Ok(())
    }

    /// Gives the cost back to the first `count` meters, which have allowed it.
    fn undo(&self, count: usize, cost: &Cost, now: Moment, way: Way) {
        for meter in self.meters.iter().take(count) {
            meter.correct((meter.quantity(cost), 0), now, now, way);
        }
    }

    /// The terms of its leases, where replicas share its limits.
    pub fn terms(&self) -> Option<&Terms> {
        if !self.is_shared {
            return None;
        }
        let of_meters = self.meters.iter().find_map(|meter| meter.lease.as_deref()).map(Lease::terms);
        of_meters.or_else(|| self.slots().map(|(_, slots)| slots.terms()))
    }

    /// True when its leases have nothing to tell.
    pub fn is_quiet(&self) -> bool {
        self.meters.iter().filter_map(|meter| meter.lease.as_deref()).all(Lease::is_quiet)
            && self.slots().is_none_or(|(_, slots)| slots.is_quiet())
    }

    /// Gives back a cost that was taken at `at`.
    pub(super) fn give_back(&self, cost: &Cost, at: Moment, way: Way) {
        self.undo(self.meters.len(), cost, at, way);
        self.leave(cost);
    }

    /// Replaces a cost that was taken at `at` by the charge that the request has come to.
    pub(super) fn settle(&self, cost: &Cost, charge: Charge, (at, now): (Moment, Moment), way: Way) {
        for meter in &self.meters {
            let actual = match meter.unit {
                Unit::Requests | Unit::Parallel => continue,
                Unit::Tokens => charge.tokens,
                Unit::Money => charge.nano,
            };
            meter.correct((meter.quantity(cost), actual), at, now, way);
        }
        self.leave(cost);
    }

    /// Takes the request out of the number of those in flight.
    fn leave(&self, cost: &Cost) {
        if let Some(parallel) = self.parallel.as_ref().filter(|_| cost.parallel) {
            parallel.leave();
        }
    }

    /// The refusal that a cost would meet at present; `None` when it would be allowed.
    pub fn lacks(&self, cost: &Cost, now: Moment) -> Option<Refusal> {
        let way = match self.terms().map(Terms::mode) {
            None | Some(Mode::Leased) => Way::Leased,
            Some(Mode::Local | Mode::Closed | Mode::Open) => Way::Apart,
        };
        self.refusal(cost, now, way)
    }

    /// The refusal of a cost: of several the one that lasts longest.
    pub(super) fn refusal(&self, cost: &Cost, now: Moment, way: Way) -> Option<Refusal> {
        let refusal = |unit, name: Arc<str>, limit, remaining, asked, until| Refusal {
            owner: self.owner.clone(),
            unit,
            name,
            limit,
            remaining,
            asked,
            until,
        };
        let named = self.tokens_per_request.filter(|most| cost.named_tokens > *most).map(|most| {
            refusal(Unit::Tokens, "tokens_per_request".into(), most, most, cost.named_tokens, Until::Never)
        });
        let meters = self.meters.iter().filter_map(|meter| {
            let asked = meter.quantity(cost);
            let until = meter.refuses(asked, now, way)?;
            Some(refusal(meter.unit, Arc::clone(&meter.name), meter.amount(), meter.remaining(now), asked, until))
        });
        let parallel = self.parallel.as_ref().filter(|_| cost.parallel).and_then(|parallel| {
            let until = parallel.refuses(now, way)?;
            Some(refusal(Unit::Parallel, "parallel".into(), parallel.limit.into(), 0, 1, until))
        });
        named.into_iter().chain(meters).chain(parallel).max_by(|one, two| one.until.cmp(&two.until))
    }
}
