//! The limits of clients, groups and routes, for metrics.

use tokio::time::Instant;

use crate::limits::{Account, Meter, Moment, Owner, Unit};
use crate::metrics::state::LimitState;
use crate::proxy::Proxy;

/// The most owners of one kind that are shown: each is some time series.
const SHOWN: usize = 1000;

/// The limits of all owners, of each kind the first by name. Those of providers' accounts are shown with their provider.
pub(super) fn states(proxy: &Proxy) -> Vec<LimitState> {
    let (now, mut accounts) = (proxy.means().moment(Instant::now()), proxy.generation().accounts.book().accounts());
    accounts.sort_by(|one, other| one.owner().cmp(other.owner()));
    let mut shown = [0_usize; Owner::KINDS.len()];
    accounts.retain(|account| {
        let kind = account.owner().kind();
        shown[kind] += 1;
        shown[kind] <= SHOWN && !matches!(account.owner(), Owner::Account(_))
    });
    accounts.iter().flat_map(|account| of_account(account, now)).collect()
}

fn of_account(account: &Account, now: Moment) -> Vec<LimitState> {
    let owner = account.owner().to_string();
    let state = |limit: String, most: f64, remaining: f64| LimitState { owner: owner.clone(), limit, most, remaining };
    let of_meter = |meter: &Meter| {
        // Billionths of a dollar.
        let (name, unit) = if meter.unit == Unit::Money {
            (format!("usd:{}", meter.name), 1e9)
        } else {
            (meter.name.to_string(), 1.0)
        };
        state(name, meter.amount() as f64 / unit, meter.remaining(now) as f64 / unit)
    };
    let mut states: Vec<_> = account.meters().iter().map(of_meter).collect();
    if let Some((limit, held)) = account.parallel() {
        states.push(state("parallel".to_owned(), limit.into(), limit.saturating_sub(held).into()));
    }
    states
}
