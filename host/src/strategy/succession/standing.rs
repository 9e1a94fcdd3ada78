//! The strategy that a configuration wants, how far it has come, and the counters of all that have decided.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::strategy::call::ComponentStrategy;
use crate::strategy::instance::Setup;
use crate::wasm::digest::Digest;
use crate::wasm::fault::Counters;

/// The most names whose counters are kept: more strategies than routes may reasonably have.
const NAMES: usize = 1024;

/// The strategy that a configuration wants.
#[derive(PartialEq)]
pub(super) struct Wanted {
    pub name: String,
    pub digest: Digest,
    pub setup: Setup,
}

impl Wanted {
    /// True when the component and its configuration are the same.
    pub fn is_made_like(&self, digest: Digest, setup: &Setup) -> bool {
        self.digest == digest && (&self.setup.config, self.setup.prompt) == (&setup.config, setup.prompt)
    }
}

/// The progress of the strategy that a configuration wants.
#[derive(Clone)]
pub(super) enum Standing {
    /// It decides, and nobody stands by.
    Settled,
    /// It decides, and this one stands by.
    OnTrial(Arc<ComponentStrategy>),
    /// The previous one decides.
    RolledBack { reason: String },
}

/// The counters of all names that strategies of this process have gone by, the latest last.
#[derive(Default)]
pub(super) struct Names(pub Mutex<Vec<(String, Arc<Counters>)>>);

impl Names {
    /// The counters of this name, which go on from their present values.
    pub fn counters(&self, name: &str) -> Arc<Counters> {
        let mut names = self.0.lock();
        let known = names.iter().position(|(known, _)| known == name);
        let entry = known.map(|index| names.remove(index)).unwrap_or_else(|| (name.to_owned(), Arc::default()));
        let counters = Arc::clone(&entry.1);
        names.push(entry);
        if names.len() > NAMES {
            names.remove(0);
        }
        counters
    }
}
