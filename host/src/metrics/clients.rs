//! The requests of each client. Names of clients come from the configuration and from operators; should these make very
//! many, the later ones count together.

use std::collections::HashSet;

use parking_lot::RwLock;
use prometheus::{IntCounterVec, Opts, Registry};

use super::sound;

/// The most clients with a time series of their own.
const MOST: usize = 1000;
/// The name under which all others count.
const OTHER: &str = "other";

/// The metrics of clients.
#[derive(Debug)]
pub struct ClientMetrics {
    requests: IntCounterVec,
    named: RwLock<HashSet<String>>,
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
        self.with_label(client, |label| self.requests.with_label_values(&[label, outcome]).inc());
    }

    /// Calls `count` with the name under which a client is counted.
    pub fn with_label<T>(&self, client: &str, count: impl FnOnce(&str) -> T) -> T {
        if self.named.read().contains(client) {
            return count(client);
        }
        let mut named = self.named.write();
        if named.len() < MOST {
            named.insert(client.to_owned());
        }
        let label = if named.contains(client) { client } else { OTHER };
        drop(named);
        count(label)
    }
}
