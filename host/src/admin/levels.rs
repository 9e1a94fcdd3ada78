//! What is left of the limits on a provider, for `/health` and for metrics.

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::limits::{Meter, Unit};
use crate::metrics::state::Level;
use crate::provider::Provider;
use crate::provider::account::Account;
use crate::provider::remainder::Shown;

/// The limits that a provider's answers name.
const SAID: [&str; 2] = ["requests", "tokens"];

/// Every limit on a provider of which something is known.
pub(super) fn levels(provider: &Provider, now: Instant) -> Vec<Level> {
    let said = SAID.into_iter().zip(provider.remainders().shown(now));
    let level = |(unit, shown): (&str, Option<Shown>)| {
        let Shown { limit, remaining, .. } = shown?;
        let most = limit.map(|limit| limit as f64);
        Some(Level { source: "provider", limit: unit.to_owned(), most, remaining: remaining as f64 })
    };
    let mut levels: Vec<Level> = said.filter_map(level).collect();
    let of_account = provider.account().map(|account| granted(account, now)).unwrap_or_default();
    levels.extend(of_account.into_iter().map(|Granted { name, limit, remaining, .. }| Level {
        source: "config",
        limit: name,
        most: Some(limit),
        remaining,
    }));
    levels
}

/// What the provider itself has said, by unit; `None` when it has said nothing that still holds.
pub(super) fn said(provider: &Provider, now: Instant) -> Option<Value> {
    let mut units = Map::new();
    for (unit, shown) in SAID.into_iter().zip(provider.remainders().shown(now)) {
        if let Some(Shown { limit, remaining, lasts }) = shown {
            let seconds = lasts.as_secs_f64();
            units.insert(unit.to_owned(), json!({"limit": limit, "remaining": remaining, "for_seconds": seconds}));
        }
    }
    (!units.is_empty()).then_some(Value::Object(units))
}

/// The limits of the provider's account, if it has any.
pub(super) fn account(provider: &Provider, now: Instant) -> Option<Value> {
    let account = provider.account()?;
    let limit = |Granted { name, limit, remaining, reset_s }: Granted| {
        let mut fields = json!({"limit": limit, "remaining": remaining});
        if let Some(seconds) = reset_s {
            fields["reset_seconds"] = json!(seconds);
        }
        (name, fields)
    };
    let limits: Map<String, Value> = granted(account, now).into_iter().map(limit).collect();
    Some(json!({"name": provider.config.account, "limits": limits}))
}

/// One limit of an account; money in dollars.
struct Granted {
    name: String,
    limit: f64,
    remaining: f64,
    /// After what time all of it is there again; of a budget, when its window ends.
    reset_s: Option<f64>,
}

fn granted(account: &Account, now: Instant) -> Vec<Granted> {
    let now = account.moment(now);
    let of_meter = |meter: &Meter| {
        let (limit, remaining) = (meter.amount() as f64, meter.remaining(now) as f64);
        let is_money = meter.unit == Unit::Money;
        let unit = if is_money { 1e9 } else { 1.0 };
        let name = if is_money { format!("usd per {}", meter.name) } else { meter.name.to_string() };
        // All time has no end that anybody would wait for.
        let reset = meter.full(now).since(now).as_secs_f64();
        let reset_s = (reset < 1e9).then_some(reset);
        Granted { name, limit: limit / unit, remaining: remaining / unit, reset_s }
    };
    let mut all: Vec<Granted> = account.granted().meters().iter().map(of_meter).collect();
    if let Some((limit, held)) = account.granted().parallel() {
        let remaining = limit.saturating_sub(held).into();
        all.push(Granted { name: "parallel".to_owned(), limit: limit.into(), remaining, reset_s: None });
    }
    all
}
