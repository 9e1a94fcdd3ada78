//! The accounts of all owners, with counters that outlive reloads.

use std::collections::HashMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::account::{Account, Owner, Parallel, Places};
use super::gcra::Gcra;
use super::lease::{Lease, Slots};
use super::meter::{Counter, Kept, Meter, Rule, Unit};
use super::terms::{Mode, Terms};
use super::window::Calendar;
use crate::config::{Budget, Counts, Limits, OnOutage, Period, Rate};

/// The most counters that are kept of owners that are no longer configured.
const GONE: usize = 10_000;

/// The time of a rolling budget of one day.
const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

/// Every account, by its owner.
#[derive(Debug, Default)]
pub struct Book {
    pages: Mutex<Pages>,
    /// The terms of the leases, where replicas share limits.
    terms: OnceLock<Arc<Terms>>,
}

#[derive(Debug, Default)]
struct Pages {
    accounts: HashMap<Owner, Arc<Account>>,
    /// Values read from the store for counters that no account has asked for yet, by their key.
    kept: HashMap<String, Kept>,
    /// Counters of owners that are no longer configured, by their key: a reload that brings an owner back must not begin its
    /// budget anew.
    gone: HashMap<String, Arc<Counter>>,
}

impl Book {
    /// From now on, new accounts lease their limits from an engine.
    pub fn share(&self, terms: Arc<Terms>) {
        // There is one engine in a process.
        drop(self.terms.set(terms));
    }

    /// The account of an owner, if there is one.
    pub fn find(&self, owner: &Owner) -> Option<Arc<Account>> {
        self.pages.lock().accounts.get(owner).cloned()
    }

    /// The account of an owner with these limits. When an owner's limits have changed, a limit with the same key goes on
    /// with the same counter, whatever its amount.
    pub fn account(&self, owner: Owner, limits: &Limits) -> Arc<Account> {
        let mut pages = self.pages.lock();
        let before = pages.accounts.get(&owner).cloned();
        let counter = |unit: Unit, name: &str, rule: &Rule, pages: &mut Pages| {
            let of_before = before.iter().flat_map(|account| account.meters());
            let mut same =
                of_before.filter(|meter| meter.unit == unit && *meter.name == *name && meter.counter.suits(rule));
            let lease = || self.terms.get().map(|terms| Arc::new(Lease::new(Arc::clone(terms), owner.clone())));
            same.next().map_or_else(
                || {
                    let key = key(&owner, unit, name);
                    let gone = pages.gone.remove(&key).filter(|counter| counter.suits(rule));
                    let counter = gone.unwrap_or_else(|| Arc::new(Counter::of(rule)));
                    if let Some(kept) = pages.kept.remove(&key) {
                        counter.restore(&kept);
                    }
                    (counter, lease())
                },
                |meter| (Arc::clone(&meter.counter), meter.lease.clone()),
            )
        };
        let mut meters = Vec::with_capacity(limits.rates.len() + limits.budgets.len());
        for Rate { name, counts, amount, window } in &limits.rates {
            let unit = match counts {
                Counts::Requests => Unit::Requests,
                Counts::Tokens => Unit::Tokens,
            };
            let rule = Rule::Rate(Gcra::new(*amount, *window));
            let (counter, lease) = counter(unit, name, &rule, &mut pages);
            let outage = limits.on_outage.map(Mode::from);
            meters.push(Meter { unit, name: (*name).into(), rule, counter, lease, outage });
        }
        for budget in &limits.budgets {
            let name = budget.period.name();
            let rule = rule(budget);
            let (counter, lease) = counter(Unit::Money, &name, &rule, &mut pages);
            let (unit, outage) = (Unit::Money, budget.on_outage.map(Mode::from));
            meters.push(Meter { unit, name: name.as_ref().into(), rule, counter, lease, outage });
        }
        let parallel = limits.parallel.map(|limit| {
            let known = before.as_ref().and_then(|account| account.places()).cloned();
            let new = || match self.terms.get() {
                Some(terms) => Places::Shared(Arc::new(Slots::new(Arc::clone(terms), owner.clone()))),
                None => Places::Own(Arc::new(AtomicU32::new(0))),
            };
            Parallel { limit, places: known.unwrap_or_else(new), outage: limits.on_outage.map(Mode::from) }
        });
        let account = Account::new(owner.clone(), meters.into(), parallel, limits.tokens_per_request);
        let account = Arc::new(account);
        pages.accounts.insert(owner, Arc::clone(&account));
        account
    }

    /// Forgets an owner. Its requests in flight still settle.
    pub fn forget(&self, owner: &Owner) {
        self.pages.lock().accounts.remove(owner);
    }

    /// Removes the accounts of all owners for which `keep` is false. Their counters are put away, so that an owner that comes
    /// back goes on with them.
    pub fn retain(&self, keep: impl Fn(&Owner) -> bool) {
        let mut pages = self.pages.lock();
        let Pages { accounts, gone, .. } = &mut *pages;
        accounts.retain(|owner, account| {
            let stays = keep(owner);
            if !stays {
                if gone.len() >= GONE {
                    gone.clear();
                }
                let counters = account.meters().iter();
                gone.extend(counters.map(|meter| (key(owner, meter.unit, &meter.name), Arc::clone(&meter.counter))));
            }
            stays
        });
    }

    /// Every account.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.pages.lock().accounts.values().cloned().collect()
    }

    /// The counters that have changed since the last call, each under its key, such as `c/7f3k2m9q:rpm` or
    /// `g/search:usd:month`.
    pub fn changed(&self) -> Vec<(String, Kept)> {
        let changed = |account: &Arc<Account>| {
            let of = |meter: &Meter| Some((key(account.owner(), meter.unit, &meter.name), meter.counter.changed()?));
            account.meters().iter().filter_map(of).collect::<Vec<_>>()
        };
        // Requests in flight when their owner went settle all the same.
        let pages = self.pages.lock();
        let gone = pages.gone.iter().filter_map(|(key, counter)| Some((key.clone(), counter.changed()?)));
        pages.accounts.values().flat_map(changed).chain(gone).collect()
    }

    /// Takes over values from the store. A counter that already counts takes the larger value; a counter that no account has
    /// asked for yet begins with the stored one.
    pub fn restore(&self, all: impl IntoIterator<Item = (String, Kept)>) {
        let mut pages = self.pages.lock();
        let counters = |account: &Arc<Account>| {
            let of = |meter: &Meter| (key(account.owner(), meter.unit, &meter.name), Arc::clone(&meter.counter));
            account.meters().iter().map(of).collect::<Vec<_>>()
        };
        let known: HashMap<String, Arc<Counter>> = pages.accounts.values().flat_map(counters).collect();
        for (key, kept) in all {
            match known.get(&key) {
                Some(counter) => counter.restore(&kept),
                None => drop(pages.kept.insert(key, kept)),
            }
        }
    }
}

fn rule(budget: &Budget) -> Rule {
    match budget.period {
        Period::Rolling(days) => Rule::Rate(Gcra::new(budget.nano, DAY.saturating_mul(days))),
        Period::Hour | Period::Day | Period::Week(_) | Period::Month(_) | Period::Total => {
            Rule::Budget { amount: budget.nano, calendar: Calendar::of(budget) }
        }
    }
}

impl From<OnOutage> for Mode {
    fn from(on_outage: OnOutage) -> Self {
        match on_outage {
            OnOutage::Local => Self::Local,
            OnOutage::Closed => Self::Closed,
            OnOutage::Open => Self::Open,
        }
    }
}

/// The key of a counter.
pub fn key(owner: &Owner, unit: Unit, name: &str) -> String {
    match unit {
        Unit::Money => format!("{owner}:usd:{name}"),
        Unit::Requests | Unit::Tokens | Unit::Parallel => format!("{owner}:{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use crate::limits::{Charge, Cost, Moment, Reservation};

    #[test]
    fn an_owner_that_comes_back_counts_on_and_a_request_in_flight_meanwhile_is_charged() {
        let text = "providers: [{name: a, base_url: 'http://a/v1', api_key: k}]\n\
                    clients: {groups: [{name: g, limits: {tpd: 1000}, budget: {usd: 1, per: total}}]}\n";
        let config = parse(text, "x.yaml".as_ref(), &|_| None, &["round_robin"]).unwrap();
        let limits = &config.clients.groups[0].limits;
        let (book, owner, now) = (Book::default(), Owner::Group("g".into()), Moment(1_000_000_000));
        let account = book.account(owner.clone(), limits);
        let cost = Cost { requests: 1, tokens: 300, nano: 100_000_000, ..Cost::default() };
        let in_flight = Reservation::take([Some(&account), None, None, None], cost, now).unwrap();
        assert_eq!(book.changed().len(), 2);
        book.retain(|_| false);
        assert!(book.find(&owner).is_none());
        in_flight.settle(Charge { tokens: 500, nano: 400_000_000 }, now);
        let changed: Vec<String> = book.changed().into_iter().map(|(key, _)| key).collect();
        assert_eq!(changed.len(), 2, "{changed:?}");
        let again = book.account(owner, limits);
        let left: Vec<u64> = again.meters().iter().map(|meter| meter.remaining(now)).collect();
        assert_eq!(left, [500, 600_000_000]);
    }
}
