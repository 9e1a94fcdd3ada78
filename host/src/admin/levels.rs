//! What is left of the limits on a provider, for `/health` and for metrics.

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::metrics::state::Level;
use crate::provider::Provider;
use crate::provider::remainder::Shown;

/// The limits that a provider's answers name.
const SAID: [&str; 2] = ["requests", "tokens"];

/// Every limit on a provider of which something is known.
pub(super) fn levels(provider: &Provider, now: Instant) -> Vec<Level> {
    let said = SAID.into_iter().zip(provider.remainders().shown(now));
    let level = |(unit, shown): (&'static str, Option<Shown>)| {
        let Shown { limit, remaining, .. } = shown?;
        let most = limit.map(|limit| limit as f64);
        Some(Level { source: "provider", limit: unit, most, remaining: remaining as f64 })
    };
    said.filter_map(level).collect()
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
