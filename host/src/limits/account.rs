//! The limits of one owner.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use super::lease::Lease;
use super::meter::{Meter, Unit};
use super::reservation::{Charge, Cost, Way};
use super::terms::{Mode, Terms};
use super::{Moment, Refusal, Until};

/// Whose limits they are. Its text is the one under which counters are kept, such as `c/7f3k2m9q`.
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
    /// True when any meter has a lease.
    is_shared: bool,
}

/// Requests at once.
#[derive(Debug)]
pub(super) struct Parallel {
    pub limit: u32,
    /// Those in flight.
    pub held: Arc<AtomicU32>,
}

impl Account {
    pub(super) fn new(
        owner: Owner,
        meters: Box<[Meter]>,
        parallel: Option<Parallel>,
        tokens_per_request: Option<u64>,
    ) -> Self {
        let is_shared = meters.iter().any(|meter| meter.lease.is_some());
        Self { owner, meters, parallel, tokens_per_request, is_shared }
    }

    /// Whose limits they are.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Its rates and budgets.
    pub fn meters(&self) -> &[Meter] {
        &self.meters
    }

    /// The requests at once, with those in flight.
    pub fn parallel(&self) -> Option<(u32, u32)> {
        self.parallel.as_ref().map(|parallel| (parallel.limit, parallel.held.load(Relaxed)))
    }

    /// The tokens of one request.
    pub fn tokens_per_request(&self) -> Option<u64> {
        self.tokens_per_request
    }

    pub(super) fn parallel_counter(&self) -> Option<&Arc<AtomicU32>> {
        self.parallel.as_ref().map(|parallel| &parallel.held)
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
        let Some(Parallel { limit, held }) = self.parallel.as_ref().filter(|_| cost.parallel) else { return Ok(()) };
        if held.fetch_update(AcqRel, Relaxed, |held| (held < *limit).then_some(held + 1)).is_err() {
            self.undo(self.meters.len(), cost, now, way);
            return Err(());
        }
        Ok(())
    }

    /// Gives back what the first `count` meters were asked for.
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
        self.meters.iter().find_map(|meter| meter.lease.as_deref()).map(Lease::terms)
    }

    /// True when its leases have nothing to tell.
    pub fn is_quiet(&self) -> bool {
        self.meters.iter().filter_map(|meter| meter.lease.as_deref()).all(Lease::is_quiet)
    }

    /// Gives back what was taken at `at`.
    pub(super) fn give_back(&self, cost: &Cost, at: Moment, way: Way) {
        self.undo(self.meters.len(), cost, at, way);
        self.leave(cost);
    }

    /// Replaces what was taken at `at` by what it has come to.
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

    /// Leaves the place among the requests in flight.
    fn leave(&self, cost: &Cost) {
        if let Some(parallel) = self.parallel.as_ref().filter(|_| cost.parallel) {
            // It was taken, so it is above 0.
            parallel.held.fetch_sub(1, AcqRel);
        }
    }

    /// Why a cost would be refused at present; `None` when it would be taken.
    pub fn lacks(&self, cost: &Cost, now: Moment) -> Option<Refusal> {
        let way = match self.terms().map(Terms::mode) {
            None | Some(Mode::Leased) => Way::Leased,
            Some(Mode::Local | Mode::Closed) => Way::Apart,
            Some(Mode::Open) => Way::Free,
        };
        self.refusal(cost, now, way)
    }

    /// Why it refuses a cost: of several reasons the one that lasts longest.
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
        let parallel = self
            .parallel()
            .filter(|(limit, held)| cost.parallel && held >= limit)
            .map(|(limit, _)| refusal(Unit::Parallel, "parallel".into(), limit.into(), 0, 1, Until::Free));
        named.into_iter().chain(meters).chain(parallel).max_by(|one, two| one.until.cmp(&two.until))
    }
}
