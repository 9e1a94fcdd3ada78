//! The replacement of an instance that broke, or whose memory comes near its limit.

use std::mem;
use std::sync::Arc;
use std::thread;

use tokio::time::Instant;

use super::Inner;
use crate::strategy::instance::Instance;
use crate::strategy::recovery::Next;
use crate::wasm::fault::{Counters, Fault};
use crate::wasm::limits::MEMORY;
use crate::wasm::load_error::LoadError;
use crate::wasm::output::Said;

impl Inner {
    /// Logs the step that follows a fault, and takes it.
    pub(super) fn replace(inner: &Arc<Self>, fault: &Fault, good_calls: u64) {
        // The lock is not held over what follows: a successor that is made on the spot takes it.
        let next = inner.recovery.lock().broke(Instant::now(), good_calls);
        match next {
            Next::Rebuild => {
                inner.remark(|name| {
                    tracing::error!(strategy = name, "strategy {name} {fault}: default order until it is rebuilt")
                });
                Self::rebuild(inner);
            }
            Next::Pause(pause) => inner.remark(|name| {
                tracing::error!(strategy = name, "strategy {name} {fault}, once more: default order for {pause:?}");
            }),
        }
    }

    pub(super) fn rebuild_if_due(inner: &Arc<Self>) {
        if inner.recovery.lock().is_due(Instant::now()) {
            Self::rebuild(inner);
        }
    }

    /// Makes a new instance in place of a broken one, at most one at a time.
    fn rebuild(inner: &Arc<Self>) {
        Self::make_instance(inner, |inner, made| match made {
            Ok(instance) => inner.install(instance),
            Err(error) => inner.give_up(&error),
        });
    }

    /// Makes a successor of an instance, which answers until then. The instance is marked, so there is at most one
    /// successor.
    pub(super) fn renew(inner: &Arc<Self>) {
        Self::make_instance(inner, Self::install_successor);
    }

    /// Makes an instance and goes on with `then`, on a thread of its own: a strategy may take seconds to start, and there
    /// may be no Tokio runtime here.
    fn make_instance(inner: &Arc<Self>, then: fn(&Self, Result<Instance, LoadError>)) {
        let make = {
            let inner = Arc::clone(inner);
            move || {
                let mut said = Said::default();
                let started = Instance::start(&inner.engine, &inner.blueprint, &inner.setup, &mut said);
                inner.journal.write(said);
                then(&inner, started);
            }
        };
        if inner.at_once {
            return make();
        }
        if let Err(error) = thread::Builder::new().name("strategy-rebuild".to_owned()).spawn(make) {
            then(inner, Err(LoadError::Engine(error.to_string())));
        }
    }

    fn install_successor(&self, made: Result<Instance, LoadError>) {
        let mut slot = self.slot.lock();
        // The instance to be replaced may have broken meanwhile; then the step that follows from that is taken instead.
        let Some(old) = slot.as_mut().filter(|old| old.is_being_renewed()) else { return };
        match made {
            Ok(mut successor) => {
                successor.succeeds(old);
                let old = mem::replace(old, successor);
                // Freeing its memory takes time.
                drop(slot);
                Counters::count(&self.counters.renewals);
                let (used, limit) = (old.memory() >> 20, MEMORY >> 20);
                self.remark(|name| {
                    tracing::info!(
                        strategy = name,
                        "strategy {name} was renewed: it had {used} of {limit} MiB of memory"
                    )
                });
            }
            Err(error) => {
                old.stays();
                drop(slot);
                self.remark(|name| tracing::warn!(strategy = name, "strategy {name} cannot be renewed: {error}"));
            }
        }
    }

    fn install(&self, instance: Instance) {
        // The state is set first, or it would overwrite the state that a fault of the new instance sets.
        let mut slot = self.slot.lock();
        self.recovery.lock().rebuilt();
        *slot = Some(instance);
        drop(slot);
        Counters::count(&self.counters.rebuilds);
        self.remark(|name| tracing::info!(strategy = name, "strategy {name} is back"));
    }

    /// No instance could be made.
    fn give_up(&self, error: &LoadError) {
        if let LoadError::Broke { fault, .. } = error {
            self.note(fault);
        }
        let pause = self.recovery.lock().failed(Instant::now());
        self.remark(|name| tracing::error!(strategy = name, "strategy {name} {error}: default order for {pause:?}"));
    }
}
