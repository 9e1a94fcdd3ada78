//! The requests of each client. Names of clients come from the configuration and from operators; should these make very
//! many, the later ones count together.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use parking_lot::RwLock;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::sound;

/// The most clients with a time series of their own.
const MOST: usize = 1000;
/// The name under which all others count.
const OTHER: &str = "other";

/// The counters of one client, by outcome: few, so that looking through them is quicker than any map.
type Outcomes = Vec<(&'static str, IntCounter)>;

/// The metrics of clients.
#[derive(Debug)]
pub struct ClientMetrics {
    requests: IntCounterVec,
    /// The counters of each client that is named, so that counting once more is one look and an addition.
    named: RwLock<HashMap<String, Outcomes, RandomState>>,
}

impl ClientMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let text = "Requests of a known client that have ended, by outcome.";
        let requests = Opts::new("pointsman_client_requests_total", text);
        let requests = sound(IntCounterVec::new(requests, &["client", "outcome"]));
        sound(registry.register(Box::new(requests.clone())));
        Self { requests, named: RwLock::default() }
    }

    /// Counts a request; `outcome` is from a fixed set.
    pub fn request(&self, client: &str, outcome: &'static str) {
        let known = self.named.read();
        let counter = known.get(client).and_then(|outcomes| outcomes.iter().find(|(known, _)| *known == outcome));
        match counter {
            Some((_, counter)) => counter.inc(),
            None => {
                drop(known);
                self.begin(client, outcome);
            }
        }
    }

    /// Counts the first request of a client with this outcome.
    fn begin(&self, client: &str, outcome: &'static str) {
        let mut named = self.named.write();
        let has_room = named.len() < MOST || named.contains_key(client);
        let counter = self.requests.with_label_values(&[if has_room { client } else { OTHER }, outcome]);
        counter.inc();
        if has_room {
            let outcomes = named.entry(client.to_owned()).or_default();
            // Another thread may have been faster.
            if outcomes.iter().all(|(known, _)| *known != outcome) {
                outcomes.push((outcome, counter));
            }
        }
    }

    /// The names of the clients with series.
    pub(super) fn named(&self) -> Vec<String> {
        self.named.read().keys().cloned().collect()
    }

    /// Drops the series of a client.
    pub(super) fn forget(&self, client: &str) {
        for (outcome, _) in self.named.write().remove(client).into_iter().flatten() {
            // An error means that there was no such series.
            let _ = self.requests.remove_label_values(&[client, outcome]);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::core::Collector as _;

    use super::*;

    #[test]
    fn later_clients_count_together_until_others_are_gone() {
        let metrics = ClientMetrics::new(&Registry::new());
        let series = || metrics.requests.collect().iter().map(|family| family.get_metric().len()).sum::<usize>();
        for number in 0..MOST + 5 {
            metrics.request(&number.to_string(), "succeeded");
            metrics.request(&number.to_string(), "succeeded");
        }
        metrics.request("7", "failed");
        assert_eq!(metrics.requests.with_label_values(&[OTHER, "succeeded"]).get(), 10);
        assert_eq!((series(), metrics.named().len()), (MOST + 2, MOST));
        metrics.forget("7");
        assert_eq!(series(), MOST);
        metrics.request("1002", "succeeded");
        assert_eq!(metrics.requests.with_label_values(&["1002", "succeeded"]).get(), 1);
    }
}
