//! The work for which components are compiled. A reload that a newer one supersedes no longer needs its components.
//!
//! The newer reload often needs the same component, for example when somebody asks for a reload twice. So the older one
//! stops waiting for a component only once the newer one waits for it too, or does not need it. Otherwise every new
//! reload would restart the compilation, and it might never finish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

tokio::task_local! {
    /// The errand that this thread works for.
    static CURRENT: Errand;
}

/// Work that needs components, and that may become unnecessary while they are compiled. A clone is the same errand.
#[derive(Clone, Debug, Default)]
pub struct Errand(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_over: AtomicBool,
    /// The errand that it supersedes.
    older: Mutex<Option<Errand>>,
}

impl Errand {
    /// An errand that supersedes `older`, which is over as soon as this one waits for a component, or is done.
    pub fn instead_of(older: Errand) -> Self {
        Self(Arc::new(State { is_over: AtomicBool::default(), older: Mutex::new(Some(older)) }))
    }

    /// Does the work on this thread.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        let done = CURRENT.sync_scope(self.clone(), work);
        self.replace();
        done
    }

    /// Says that nobody needs the work any more. Its compilations end, unless another errand waits for them too.
    pub fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        self.replace();
    }

    /// The errand of this thread, or else one that is never over.
    pub(super) fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    /// Ends the errands that it supersedes.
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
