//! What was used of the account of a provider.

use serde::Serialize;
use tokio::time::Instant;

use crate::limits::Unit;
use crate::provider::account::Account;

/// The limits of one account at the end of a simulation.
#[derive(Clone, Debug, Serialize)]
pub struct Used {
    /// The account.
    pub name: String,
    /// Attempts for which it had no room at once, so that another provider was asked or the request waited.
    pub refused: u64,
    /// Attempts that waited for it until it had room.
    pub waited: u64,
    /// How long these waited on average, in milliseconds.
    pub mean_wait_ms: f64,
    /// What is left of each limit.
    pub limits: Vec<Limit>,
}

/// One limit; money in dollars.
#[derive(Clone, Debug, Serialize)]
pub struct Limit {
    /// Such as `rpm`, or `usd per day`.
    pub name: String,
    /// The limit.
    pub limit: f64,
    /// What is left of it.
    pub left: f64,
}

impl Used {
    /// What was used of an account so far.
    pub fn of(name: &str, account: &Account) -> Self {
        let now = account.moment(Instant::now());
        let limits = account.granted().meters().iter().map(|meter| {
            let is_money = meter.unit == Unit::Money;
            let unit = if is_money { 1e9 } else { 1.0 };
            Limit {
                name: if is_money { format!("usd per {}", meter.name) } else { meter.name.to_string() },
                limit: meter.amount() as f64 / unit,
                left: meter.remaining(now) as f64 / unit,
            }
        });
        let (refused, waited, wait) = account.refusals();
        let mean_wait_ms = (wait.as_secs_f64() * 1000.0 / waited.max(1) as f64 * 10.0).round() / 10.0;
        Self { name: name.to_owned(), refused, waited, mean_wait_ms, limits: limits.collect() }
    }
}
