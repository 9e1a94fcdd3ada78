//! On whose behalf components are compiled: a reload that a newer one takes the place of wants them no more.
//!
//! The newer one often wants the same component, as when somebody has asked twice. So the older one lets go of what it
//! waits for only when the newer one waits for it too, or has no need of it; else it would be compiled from its beginning
//! each time that somebody asks, and never to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

tokio::task_local! {
    /// The errand that this thread is on.
    static CURRENT: Errand;
}

/// Work that needs components, and that may become needless while they are compiled. A copy is the same errand.
#[derive(Clone, Debug, Default)]
pub struct Errand(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_over: AtomicBool,
    /// The one that it takes the place of.
    older: Mutex<Option<Errand>>,
}

impl Errand {
    /// One that takes the place of `older`, which is over as soon as this one waits for a component, or is done.
    pub fn instead_of(older: Errand) -> Self {
        Self(Arc::new(State { is_over: AtomicBool::default(), older: Mutex::new(Some(older)) }))
    }

    /// Does the work on this thread.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        let done = CURRENT.sync_scope(self.clone(), work);
        self.replace();
        done
    }

    /// From now on nobody needs the work. What it waits for is compiled no further, unless somebody else waits too.
    pub fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        self.replace();
    }

    /// The errand of this thread; outside of any, one that is never over.
    pub(super) fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    /// Ends those before it.
    pub(super) fn replace(&self) {
        let older = self.0.older.lock().take();
        if let Some(older) = older {
            older.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_is_over_when_a_newer_one_is_done_and_so_are_all_before_it() {
        let first = Errand::default();
        let second = Errand::instead_of(first.clone());
        let third = Errand::instead_of(second.clone());
        assert!(!third.run(|| first.is_over() || second.is_over() || Errand::current().is_over()));
        assert!(first.is_over() && second.is_over() && !third.is_over());
        assert!(!Errand::current().is_over(), "this thread is on none");
    }
}
