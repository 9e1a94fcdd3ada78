//! The metrics of what requests cost. The names of clients and routes come from the configuration and from keys; of their
//! pairs no more are counted than [`PAIRS`].

use std::collections::HashMap;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use prometheus::{Counter, CounterVec, IntCounter, IntCounterVec, Opts, Registry};

use super::sound;

/// The most pairs of a client and a route that have series of their own; what is beyond counts as [`OTHER`].
const PAIRS: usize = 1000;
/// The label of all clients and routes beyond.
const OTHER: &str = "other";

/// The metrics of money.
#[derive(Debug)]
pub struct MoneyMetrics {
    costs: CounterVec,
    spent: CounterVec,
    unpriced: IntCounterVec,
    known: Mutex<Known>,
}

/// The counters of the pairs that have series.
#[derive(Debug, Default)]
struct Known {
    /// By client, and there by route.
    pairs: HashMap<String, HashMap<String, Counter, RandomState>, RandomState>,
    count: usize,
}

/// Those of one provider.
#[derive(Debug)]
pub struct ProviderMoney {
    /// Dollars that its answers have cost.
    pub cost: Counter,
    /// Answers that have no price.
    pub unpriced: IntCounter,
}

impl MoneyMetrics {
    /// Registers them.
    pub(super) fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = sound(CounterVec::new(Opts::new(name, help), labels));
            sound(registry.register(Box::new(counters.clone())));
            counters
        };
        let unpriced = Opts::new(
            "pointsman_unpriced_requests_total",
            "Requests that a provider answered and of whose model no price is known, while there are prices.",
        );
        let unpriced = sound(IntCounterVec::new(unpriced, &["provider"]));
        sound(registry.register(Box::new(unpriced.clone())));
        Self {
            costs: counters("pointsman_cost_dollars_total", "What answers have cost, in dollars.", &["provider"]),
            spent: counters(
                "pointsman_spent_dollars_total",
                "What answers have cost, in dollars, by client (empty if it showed no key) and route.",
                &["client", "route"],
            ),
            unpriced,
            known: Mutex::default(),
        }
    }

    /// Those of one provider.
    pub(super) fn of_provider(&self, name: &str) -> ProviderMoney {
        ProviderMoney {
            cost: self.costs.with_label_values(&[name]),
            unpriced: self.unpriced.with_label_values(&[name]),
        }
    }

    /// Drops the series of a provider.
    pub(super) fn forget(&self, name: &str) {
        // An error means that there was no such series.
        let _ = self.costs.remove_label_values(&[name]);
        let _ = self.unpriced.remove_label_values(&[name]);
    }

    /// The names of all clients that have series.
    pub(super) fn clients(&self) -> Vec<String> {
        self.known.lock().pairs.keys().filter(|name| !name.is_empty()).cloned().collect()
    }

    /// Drops the series of a client.
    pub(super) fn forget_client(&self, client: &str) {
        let mut known = self.known.lock();
        for route in known.pairs.remove(client).unwrap_or_default().into_keys() {
            known.count -= 1;
            let _ = self.spent.remove_label_values(&[client, &route]);
        }
    }

    /// Counts what an answer cost.
    pub fn spent(&self, client: &str, route: &str, dollars: f64) {
        let mut known = self.known.lock();
        if let Some(counter) = known.pairs.get(client).and_then(|routes| routes.get(route)) {
            return counter.inc_by(dollars);
        }
        if known.count >= PAIRS {
            return self.spent.with_label_values(&[OTHER, OTHER]).inc_by(dollars);
        }
        let counter = self.spent.with_label_values(&[client, route]);
        counter.inc_by(dollars);
        known.count += 1;
        known.pairs.entry(client.to_owned()).or_default().insert(route.to_owned(), counter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_clients_count_together() {
        let registry = Registry::new();
        let metrics = MoneyMetrics::new(&registry);
        for number in 0..PAIRS + 5 {
            metrics.spent(&number.to_string(), "r", 0.5);
            metrics.spent(&number.to_string(), "r", 0.5);
        }
        assert_eq!(metrics.spent.with_label_values(&["7", "r"]).get(), 1.0);
        assert_eq!(metrics.spent.with_label_values(&[OTHER, OTHER]).get(), 5.0);
        metrics.forget_client("7");
        metrics.spent("late", "r", 2.0);
        assert_eq!(metrics.spent.with_label_values(&["late", "r"]).get(), 2.0);
        assert_eq!(metrics.spent.with_label_values(&["7", "r"]).get(), 0.0, "a new series");
    }
}
