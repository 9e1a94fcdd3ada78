//! One round of an owner's limits: their questions to the engine, and its answers.

use std::sync::Arc;

use super::lease::{Answer, Ask, Kind, Lease, Need, Occasion, Slots};
use super::{Account, Cost, Moment, Unit};

/// The questions of the limits of one owner, asked at once. It is sent unchanged until the engine answers.
#[derive(Debug)]
pub struct Round {
    asks: Vec<(String, Ask, Asking)>,
}

/// The receiver of an answer.
#[derive(Debug)]
enum Asking {
    Lease(Arc<Lease>),
    Slots(Arc<Slots>),
}

impl Round {
    /// The round of an account while requests of these costs wait.
    pub fn of(account: &Account, waiting: &[Cost], now: Moment, occasion: Occasion) -> Self {
        let mut asks = Vec::new();
        for meter in account.meters() {
            let Some(lease) = &meter.lease else { continue };
            let need = Need::of(waiting.iter().map(|cost| meter.quantity(cost)));
            for ask in lease.ask(&meter.rule, need, now, occasion) {
                let name = match (meter.unit, &ask.window) {
                    (Unit::Money, Some(window)) => format!("usd:{}:{window}", meter.name),
                    (Unit::Money, None) => format!("usd:{}", meter.name),
                    _ => meter.name.to_string(),
                };
                asks.push((name, ask, Asking::Lease(Arc::clone(lease))));
            }
        }
        if let Some((limit, slots)) = account.slots() {
            let need = Need::of(waiting.iter().map(|cost| cost.parallel.into()));
            let ask = slots.ask(limit, need, now, occasion);
            asks.extend(ask.map(|ask| ("parallel".to_owned(), ask, Asking::Slots(Arc::clone(slots)))));
        }
        Self { asks }
    }

    /// True when there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    /// The ask of each limit, by the name of the limit among those of its owner.
    pub fn asks(&self) -> impl ExactSizeIterator<Item = (&str, &Ask)> {
        self.asks.iter().map(|(name, ask, _)| (name.as_str(), ask))
    }

    /// True when the round tells the engine that something was used.
    pub fn tells(&self) -> bool {
        self.asks.iter().any(|(_, ask, _)| ask.delta > 0)
    }

    /// The money that the round tells of, in billionths of a dollar. Several budgets tell of the same money, so one counts.
    pub fn spent(&self) -> u64 {
        let told = self.asks.iter().filter(|(_, ask, _)| ask.kind == Kind::Budget).map(|(_, ask, _)| ask.delta);
        told.max().and_then(|most| u64::try_from(most).ok()).unwrap_or(0)
    }

    /// Takes the answers, in the order of the questions.
    pub fn answered(&self, answers: &[Answer], now: Moment) {
        for ((_, ask, asking), answer) in self.asks.iter().zip(answers) {
            match asking {
                Asking::Lease(lease) => lease.answered(ask, answer, now),
                Asking::Slots(slots) => slots.answered(answer, now),
            }
        }
    }
}
