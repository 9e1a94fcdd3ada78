//! What a request has taken from the limits of its owners: all or nothing, and settled once.
//!
//! The type sees to it: settling consumes a reservation, and one that is dropped unsettled gives everything back.

use std::sync::Arc;

use super::account::Account;
use super::{Moment, Refusal, Until};

/// The most owners whose limits one reservation takes from.
pub const MOST: usize = 4;

/// What a request is expected to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// 1, or 0 where it counts as part of another request.
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

/// What a request has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Tokens of the request and its answer.
    pub tokens: u64,
    /// Their price, in billionths of a dollar.
    pub nano: u64,
}

/// A cost that has been taken.
#[derive(Debug)]
#[must_use = "dropped, it gives everything back"]
pub struct Reservation {
    held: [Option<Arc<Account>>; MOST],
    cost: Cost,
    at: Moment,
}

impl Reservation {
    /// Takes a cost from every account, or from none.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: of all limits that refuse it the one that does so longest.
    pub fn take(accounts: [Option<&Arc<Account>>; MOST], cost: Cost, now: Moment) -> Result<Self, Box<Refusal>> {
        for (at, account) in accounts.iter().enumerate() {
            let Some(account) = account else { continue };
            if account.take(&cost, now).is_err() {
                for account in accounts.iter().take(at).flatten() {
                    account.give_back(&cost, now);
                }
                return Err(Box::new(refusal(accounts, account, &cost, now)));
            }
        }
        Ok(Self { held: accounts.map(|account| account.cloned()), cost, at: now })
    }

    /// What was taken.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// The accounts that it was taken from.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.held.iter().flatten()
    }

    /// Replaces what was taken by what it has come to. Requests stay counted.
    pub fn settle(mut self, charge: Charge, now: Moment) {
        for account in self.held.iter_mut().filter_map(Option::take) {
            account.settle(&self.cost, charge, self.at, now);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for account in self.held.iter_mut().filter_map(Option::take) {
            account.give_back(&self.cost, self.at);
        }
    }
}

/// The refusal that lasts longest. Where nobody refuses any more, as others have given back since, it is over at once.
fn refusal(accounts: [Option<&Arc<Account>>; MOST], refused: &Account, cost: &Cost, now: Moment) -> Refusal {
    let all = accounts.iter().flatten().filter_map(|account| account.refusal(cost, now));
    all.max_by(|one, two| one.until.cmp(&two.until)).unwrap_or_else(|| Refusal {
        owner: refused.owner().clone(),
        unit: super::Unit::Parallel,
        name: "parallel".into(),
        limit: refused.parallel().map_or(0, |(limit, _)| limit.into()),
        remaining: 0,
        asked: 1,
        until: Until::Free,
    })
}

#[cfg(test)]
mod tests;
