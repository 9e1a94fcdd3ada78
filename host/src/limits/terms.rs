//! The terms of leases, which all leases of a process share: whether the engine answers, and which owners have something to
//! ask it.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64};

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::reservation::Way;
use super::{Cost, Owner};

/// An engine that replicas share.
pub trait Engine: fmt::Debug + Send + Sync {
    /// The terms of the leases from it.
    fn terms(&self) -> &Arc<Terms>;

    /// The longest time that a request waits for it.
    fn patience(&self) -> Duration;

    /// Asks for the quantities that a request of this cost lacks of the limits of `owner`, and waits for the answer, at most
    /// for [`Engine::patience`]. Then the request takes its reservation again.
    fn ask<'a>(&'a self, owner: &Owner, cost: Cost) -> Pin<Box<dyn Future<Output = Asked> + Send + 'a>>;
}

/// The end of a question to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The engine has answered: leases are larger now, or refuse for a while.
    Answered,
    /// The engine has not answered in time.
    Late,
}

/// The way in which limits are kept at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// The engine answers, and requests take from leases.
    Leased,
    /// The engine does not answer, and this replica keeps to its own share.
    Local,
    /// The engine does not answer, and requests with a limit are refused.
    Closed,
    /// The engine does not answer, and all requests are admitted.
    Open,
}

impl Mode {
    /// The way in which reservations take from limits while the engine does not answer; `None` when requests are refused.
    pub fn way(self) -> Option<Way> {
        match self {
            Self::Leased | Self::Local => Some(Way::Apart),
            Self::Open => Some(Way::Free),
            Self::Closed => None,
        }
    }
}

/// The state of the engine, and the owners that have something to ask it.
#[derive(Default)]
pub struct Terms {
    engine: OnceLock<Weak<dyn Engine>>,
    mode: AtomicU8,
    otherwise: OnceLock<Mode>,
    replicas: AtomicU64,
    due: Mutex<Vec<Owner>>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms").field("mode", &self.mode()).field("replicas", &self.replicas()).finish_non_exhaustive()
    }
}

impl Terms {
    /// The engine, which is asked when leases run low.
    pub fn engine(&self) -> Option<Arc<dyn Engine>> {
        self.engine.get()?.upgrade()
    }

    /// Sets it, once.
    pub fn set_engine(&self, engine: Weak<dyn Engine>) {
        // There is one engine in a process.
        drop(self.engine.set(engine));
    }

    /// The way in which limits are kept at present.
    pub fn mode(&self) -> Mode {
        match self.mode.load(Relaxed) {
            1 => Mode::Local,
            2 => Mode::Closed,
            3 => Mode::Open,
            _ => Mode::Leased,
        }
    }

    /// Changes the way.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Relaxed);
    }

    /// The way in which limits are kept while the engine does not answer.
    pub fn without_engine(&self) -> Mode {
        self.otherwise.get().copied().unwrap_or(Mode::Local)
    }

    /// Sets it, once.
    pub fn set_without_engine(&self, mode: Mode) {
        let _ = self.otherwise.set(mode);
        self.set_mode(mode);
    }

    /// The number of replicas that share the limits, as last counted; at least 1.
    pub fn replicas(&self) -> u64 {
        self.replicas.load(Relaxed).max(1)
    }

    /// Sets that number.
    pub fn set_replicas(&self, replicas: u64) {
        self.replicas.store(replicas, Relaxed);
    }

    /// From now on, calls `wake` whenever an owner becomes due.
    pub fn on_due(&self, wake: Box<dyn Fn() + Send + Sync>) {
        // The engine is started once.
        drop(self.wake.set(wake));
    }

    /// Notes that an owner's limits have something to ask or to tell.
    pub fn note(&self, owner: &Owner) {
        self.due.lock().push(owner.clone());
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// The owners noted since the last call.
    pub fn due(&self) -> Vec<Owner> {
        std::mem::take(&mut self.due.lock())
    }
}
