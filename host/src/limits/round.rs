//! One round of an owner's limits: what they ask the engine, and its answer.

use std::sync::Arc;

use super::lease::{Answer, Ask, Lease, Need};
use super::{Account, Cost, Moment, Unit};

/// What the limits of one owner ask the engine at once. It is sent, the same again if need be, until it is answered.
#[derive(Debug)]
pub struct Round {
    asks: Vec<(String, Ask, Arc<Lease>)>,
}

impl Round {
    /// What an account has to ask and to tell, with requests of these costs waiting. `ends` when the replica does, and
    /// gives everything back.
    pub fn of(account: &Account, waiting: &[Cost], now: Moment, ends: bool) -> Self {
        let mut asks = Vec::new();
        for meter in account.meters() {
            let Some(lease) = &meter.lease else { continue };
            let mut need = Need::default();
            for quantity in waiting.iter().map(|cost| meter.quantity(cost)).filter(|quantity| *quantity > 0) {
                need.least = if need.least == 0 { quantity } else { need.least.min(quantity) };
                need.all = need.all.saturating_add(quantity);
            }
            for ask in lease.ask(&meter.rule, need, now, ends) {
                let name = match (meter.unit, &ask.window) {
                    (Unit::Money, Some(window)) => format!("usd:{}:{window}", meter.name),
                    (Unit::Money, None) => format!("usd:{}", meter.name),
                    _ => meter.name.to_string(),
                };
                asks.push((name, ask, Arc::clone(lease)));
            }
        }
        Self { asks }
    }

    /// True when there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    /// What is asked about each limit, under the name that it has among those of its owner.
    pub fn asks(&self) -> impl ExactSizeIterator<Item = (&str, &Ask)> {
        self.asks.iter().map(|(name, ask, _)| (name.as_str(), ask))
    }

    /// Takes the answers, in the order of what was asked.
    pub fn answered(&self, answers: &[Answer], now: Moment) {
        for ((_, ask, lease), answer) in self.asks.iter().zip(answers) {
            lease.answered(ask, answer, now);
        }
    }
}
