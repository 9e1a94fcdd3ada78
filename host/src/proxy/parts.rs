//! The parts of the proxy, for those who work with it: the generation in force, the queue, keys, metrics, limits, stories.

use std::sync::Arc;

use super::generation::Generation;
use super::limits::Means;
use super::{Proxy, REQUEST_ID};
use crate::clients::Keys;
use crate::http1::fields::{Lookup, text};
use crate::limits::Spend;
use crate::metrics::Metrics;
use crate::observe::Ledger;
use crate::queue::Queue;

impl Proxy {
    /// The generation that new requests begin with.
    pub fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// Puts the next generation in force for requests that begin from now on.
    pub fn succeed(&self, next: Generation) {
        self.generation.store(Arc::new(next));
    }

    /// What is shared to keep limits.
    pub fn means(&self) -> &Arc<Means> {
        &self.means
    }

    /// The global queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The keys of clients.
    pub fn clients(&self) -> &Arc<Keys> {
        &self.clients
    }

    /// The metrics of the proxy.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What has been spent.
    pub fn spend(&self) -> &Arc<Spend> {
        &self.spend
    }

    /// True when the server is going down.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// The id of a request: the client's if it is sane, else a new one.
    pub fn request_id(&self, headers: &impl Lookup) -> String {
        let sane = |id: &&str| {
            (1..=128).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
        };
        let client = headers.first(&REQUEST_ID).and_then(text).filter(sane);
        client.map_or_else(|| self.entropy.request_id(), str::to_owned)
    }

    /// The stories that are kept.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}
