//! A reservation: the cost that a request has taken from the limits of its owners, all or nothing, and settled once.
//!
//! The type sees to it: settling consumes a reservation, and one that is dropped unsettled gives everything back.

use std::sync::Arc;

use super::account::Account;
use super::terms::{Mode, Terms};
use super::{Moment, Refusal, Until};

/// The most owners whose limits one reservation takes from.
pub const MOST: usize = 4;

/// The cost that a request is expected to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The number of requests: 1, or 0 for a request that counts as part of another one.
    pub requests: u64,
    /// Tokens of the request and its answer, as far as they can be guessed. A limit takes no more of a guess than it
    /// holds.
    pub tokens: u64,
    /// The part of the tokens that the request itself names.
    pub named_tokens: u64,
    /// The price of the tokens, in billionths of a dollar.
    pub nano: u64,
    /// True when it counts among the requests at once.
    pub parallel: bool,
}

/// The charge that a request has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Tokens of the request and its answer.
    pub tokens: u64,
    /// Their price, in billionths of a dollar.
    pub nano: u64,
}

/// The way in which a reservation is taken where replicas share limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the leased quantity; also from limits that are not shared.
    Leased,
    /// From this replica's own share, as the engine does not answer; a limit may say otherwise.
    Apart,
    /// Without a bound, as the engine does not answer (`on_outage: open`).
    Free,
}

/// A cost that has been taken.
#[derive(Debug)]
#[must_use = "dropped, it gives everything back"]
pub struct Reservation {
    held: [Option<Arc<Account>>; MOST],
    cost: Cost,
    at: Moment,
    way: Way,
}

impl Reservation {
    /// Takes a cost from every account, or from none.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of the limit that refuses it for the longest time.
    pub fn take(accounts: [Option<&Arc<Account>>; MOST], cost: Cost, now: Moment) -> Result<Self, Box<Refusal>> {
        let way = match accounts.iter().flatten().find_map(|account| account.terms()).map(Terms::mode) {
            None | Some(Mode::Leased) => Way::Leased,
            Some(Mode::Local | Mode::Closed | Mode::Open) => Way::Apart,
        };
        Self::take_by(way, accounts, cost, now)
    }

    /// As [`Reservation::take`], in the given way.
    ///
    /// # Errors
    ///
    /// As [`Reservation::take`].
    pub fn take_by(
        way: Way,
        accounts: [Option<&Arc<Account>>; MOST],
        cost: Cost,
        now: Moment,
    ) -> Result<Self, Box<Refusal>> {
        for (at, account) in accounts.iter().enumerate() {
            let Some(account) = account else { continue };
            if account.take(&cost, now, way).is_err() {
                for account in accounts.iter().take(at).flatten() {
                    account.give_back(&cost, now, way);
                }
                return Err(Box::new(refusal(accounts, account, &cost, now, way)));
            }
        }
        Ok(Self { held: accounts.map(|account| account.cloned()), cost, at: now, way })
    }

    /// As [`Reservation::take`], after the engine was asked and has not answered in time.
    ///
    /// # Errors
    ///
    /// As [`Reservation::take`].
    pub fn take_late(accounts: [Option<&Arc<Account>>; MOST], cost: Cost, now: Moment) -> Result<Self, Box<Refusal>> {
        let is_shared = accounts.iter().flatten().any(|account| account.terms().is_some());
        Self::take_by(if is_shared { Way::Apart } else { Way::Leased }, accounts, cost, now)
    }

    /// The cost that was taken.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// The accounts that it was taken from.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.held.iter().flatten()
    }

    /// The account at a position.
    pub fn at(&self, place: usize) -> Option<&Arc<Account>> {
        self.held.get(place)?.as_ref()
    }

    /// Takes the same cost from another account in the place of the one at a position, which gets its cost back.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when the other account refuses it; then nothing has changed.
    pub fn exchange(&mut self, place: usize, account: Option<&Arc<Account>>, now: Moment) -> Result<(), Box<Refusal>> {
        let Some(held) = self.held.get_mut(place) else { return Ok(()) };
        let same = |(one, other): (&Arc<Account>, &Arc<Account>)| one.owner() == other.owner();
        if held.as_ref().zip(account).is_some_and(same) {
            return Ok(());
        }
        if let Some(account) = account
            && account.take(&self.cost, now, self.way).is_err()
        {
            return Err(Box::new(refusal([Some(account), None, None, None], account, &self.cost, now, self.way)));
        }
        if let Some(before) = std::mem::replace(held, account.cloned()) {
            before.settle(&self.cost, Charge::default(), (self.at, now), self.way);
        }
        Ok(())
    }

    /// Replaces the cost by the charge that the request has come to. The request stays counted.
    pub fn settle(mut self, charge: Charge, now: Moment) {
        for account in self.held.iter_mut().filter_map(Option::take) {
            account.settle(&self.cost, charge, (self.at, now), self.way);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for account in self.held.iter_mut().filter_map(Option::take) {
            account.give_back(&self.cost, self.at, self.way);
        }
    }
}

/// The refusal that lasts longest. When no account refuses any more, since others have given back meanwhile, its wait is zero.
fn refusal(accounts: [Option<&Arc<Account>>; MOST], refused: &Account, cost: &Cost, now: Moment, way: Way) -> Refusal {
    let all = accounts.iter().flatten().filter_map(|account| account.refusal(cost, now, way));
    all.max_by(|one, two| one.until.cmp(&two.until)).unwrap_or_else(|| Refusal {
        owner: refused.owner().clone(),
        unit: super::Unit::Parallel,
        name: "parallel".into(),
        limit: refused.parallel().map_or(0, |(limit, _)| limit.into()),
        remaining: 0,
        asked: 1,
        // The lease has been refilled meanwhile.
        until: if refused.terms().is_some() && way == Way::Leased { Until::Ask } else { Until::Free },
    })
}

#[cfg(test)]
mod tests;
