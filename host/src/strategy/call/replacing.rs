//! The replacement of an instance that broke, or whose memory comes near its limit, and one more where all are in use.
//!
//! After a fault the others go on, and one that is missed is made like one more. When none is left, or a pause is over,
//! one is made; and from a pause all of them stay out, since each would break alike.

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
    pub(super) fn replace(inner: &Arc<Self>, place: usize, fault: &Fault, good_calls: u64) {
        // The lock is not held over what follows: a successor that is made on the spot takes it.
        let next = {
            let mut recovery = inner.recovery.lock();
            let others = inner.slots.count();
            // Calls are spread over all, so the others have had as many.
            let next = recovery.broke(Instant::now(), good_calls.saturating_mul(others as u64 + 1), others);
            if matches!(next, Next::Pause(_)) {
                inner.slots.close();
            }
            next
        };
        match next {
            Next::Nothing => inner.remark(|name| {
                tracing::error!(strategy = name, "strategy {name} {fault}: default order for this request");
            }),
            Next::Rebuild => {
                inner.remark(|name| {
                    tracing::error!(strategy = name, "strategy {name} {fault}: default order until it is rebuilt")
                });
                Self::rebuild(inner, place);
            }
            Next::Pause(pause) => {
                inner.slots.clear();
                inner.remark(|name| {
                    tracing::error!(strategy = name, "strategy {name} {fault}, once more: default order for {pause:?}");
                });
            }
        }
    }

    pub(super) fn rebuild_if_due(inner: &Arc<Self>) {
        if inner.recovery.lock().is_due(Instant::now()) {
            Self::rebuild(inner, 0);
        }
    }

    /// Makes a new instance in place of the last one that broke.
    fn rebuild(inner: &Arc<Self>, place: usize) {
        Self::make_instance(inner, place, |inner, place, made| match made {
            Ok(instance) => inner.install(place, instance),
            Err(error) => inner.give_up(&error),
        });
    }

    /// Makes one more instance, if the strategy may have one; whoever needs it waits for one of those that there are.
    #[cold]
    pub(super) fn add_if_there_is_room(inner: &Arc<Self>) {
        if let Some(place) = inner.slots.begins_to_grow() {
            Self::make_instance(inner, place, Self::install_one_more);
        }
    }

    /// Makes a successor of an instance, which answers until then. The instance is marked, so there is at most one
    /// successor.
    pub(super) fn renew(inner: &Arc<Self>, place: usize) {
        Self::make_instance(inner, place, Self::install_successor);
    }

    /// Makes an instance and goes on with `then`, on a thread of its own: a strategy may take seconds to start, and there
    /// may be no Tokio runtime here.
    fn make_instance(inner: &Arc<Self>, place: usize, then: fn(&Self, usize, Result<Instance, LoadError>)) {
        let make = {
            let inner = Arc::clone(inner);
            move || {
                let mut said = Said::default();
                let started = Instance::start(&inner.engine, &inner.blueprint, &inner.setup, &mut said);
                inner.journal.write(said);
                then(&inner, place, started);
            }
        };
        if inner.at_once {
            return make();
        }
        if let Err(error) = thread::Builder::new().name("strategy-rebuild".to_owned()).spawn(make) {
            then(inner, place, Err(LoadError::Engine(error.to_string())));
        }
    }

    fn install_successor(&self, place: usize, made: Result<Instance, LoadError>) {
        let mut slot = self.slots.lock(place);
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

    fn install(&self, place: usize, instance: Instance) {
        if self.place(place, instance) {
            Counters::count(&self.counters.rebuilds);
            self.remark(|name| tracing::info!(strategy = name, "strategy {name} is back"));
        }
    }

    fn install_one_more(&self, place: usize, made: Result<Instance, LoadError>) {
        match made {
            Ok(instance) => {
                let placed = self.place(place, instance);
                self.slots.has_grown();
                if placed {
                    let count = self.slots.count();
                    self.remark(|name| {
                        tracing::info!(
                            strategy = name,
                            "strategy {name} has {count} instances, as it keeps no state and requests waited for it"
                        );
                    });
                }
            }
            Err(error) => self.remark(|name| {
                let count = self.slots.count();
                tracing::warn!(
                    strategy = name,
                    "strategy {name} stays at {count} of its instances: another one {error}"
                );
            }),
        }
    }

    /// Puts an instance into this slot and lets it be asked, unless a pause has begun while it was made.
    fn place(&self, place: usize, instance: Instance) -> bool {
        // The state is set first, or it would overwrite the state that a fault of the new instance sets.
        let mut slot = self.slots.lock(place);
        let mut recovery = self.recovery.lock();
        if !recovery.admits() {
            return false;
        }
        self.slots.open(place);
        drop(recovery);
        let before = slot.replace(instance);
        drop(slot);
        drop(before);
        true
    }

    /// No instance could be made.
    fn give_up(&self, error: &LoadError) {
        if let LoadError::Broke { fault, .. } = error {
            self.note(fault);
        }
        let pause = {
            let mut recovery = self.recovery.lock();
            self.slots.close();
            recovery.failed(Instant::now())
        };
        self.slots.clear();
        self.remark(|name| tracing::error!(strategy = name, "strategy {name} {error}: default order for {pause:?}"));
    }
}
