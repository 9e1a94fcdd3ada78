//! The engine that replicas share: Valkey or Redis, on a thread of its own, so that no load on the requests' threads
//! delays it and it delays none of them.

mod breaker;
mod desk;
mod driver;
mod eviction;
mod failure;
pub mod fleet;
pub mod keys;
mod pulse;
mod script;
mod wire;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::State;
use crate::limits::terms::{Asked, Engine, Mode, Terms};
use crate::limits::{Book, Clock, Cost, Owner};
use driver::Driver;
use keys::Records;
pub use pulse::Throttle;
use wire::Wire;

/// A start waits so long for the engine before it goes on without.
const FIRST: Duration = Duration::from_secs(1);

/// What the driver takes from others at the end of the process.
const LAST: Duration = Duration::from_secs(2);

/// The longest time by which the driver may be late.
const SLACK: Duration = Duration::from_millis(5);

/// A request that waits for the engine.
#[derive(Debug)]
struct Waiting {
    owner: Owner,
    cost: Cost,
    answer: oneshot::Sender<Asked>,
}

/// What the driver and the requests share.
#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Vec<Waiting>>,
    wake: Notify,
    facts: Mutex<Facts>,
    /// The connection, while there is one.
    wire: Mutex<Option<Wire>>,
    /// The limits of providers that this replica has met, and those that any has.
    met: Mutex<Vec<Throttle>>,
    heard: Mutex<Vec<Throttle>>,
    /// The card that this replica shows, and those that it has seen.
    card: Mutex<String>,
    known: Mutex<Vec<fleet::Replica>>,
    rounds: AtomicU64,
    failures: AtomicU64,
    late: AtomicU64,
    /// True when the latest question has failed: until one is answered no request waits for another.
    suspect: AtomicBool,
    /// Ready once the first connection has succeeded or failed.
    first: Notify,
}

/// How the engine is, for operators.
#[derive(Clone, Debug)]
pub struct Facts {
    /// True when it answers.
    pub up: bool,
    /// Since when.
    pub since: Instant,
    /// Why it does not, without addresses and secrets.
    pub reason: Option<String>,
}

impl Default for Facts {
    fn default() -> Self {
        Self { up: false, since: Instant::now(), reason: None }
    }
}

/// Counts since the start, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Rounds that were asked.
    pub rounds: u64,
    /// Questions that failed or were not answered in time.
    pub failures: u64,
    /// Requests for which the answer came too late.
    pub late: u64,
}

/// The engine in use.
pub struct Valkey {
    terms: Arc<Terms>,
    shared: Arc<Shared>,
    records: Arc<Records>,
    /// The id of this replica, and the first part of every key.
    replica: String,
    prefix: String,
    timeout: Duration,
    required: bool,
    end: CancellationToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Valkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Valkey").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Valkey {
    /// Starts it, and waits a moment for the first connection.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub async fn start(state: &State, terms: Arc<Terms>, book: Arc<Book>, clock: Arc<Clock>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let end = CancellationToken::new();
        let theirs = Arc::clone(&shared);
        terms.on_due(Box::new(move || theirs.wake.notify_one()));
        let replica = pulse::new_id();
        let whom = (replica.clone(), Arc::clone(&shared));
        let driver = Driver::new(state.clone(), Arc::clone(&terms), (book, clock), whom);
        let until = end.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || runtime.block_on(driver.run(until));
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(work)?;
        let first = shared.first.notified();
        if timeout(FIRST, first).await.is_err() {
            tracing::warn!("state: the engine has not answered yet; limits are kept without it until it does");
        }
        let thread = Mutex::new(Some(thread));
        let prefix = state.prefix.clone();
        let records = Arc::new(Records::new(Arc::clone(&shared), &prefix));
        let (timeout, required) = (state.timeout, state.required);
        Ok(Self { terms, shared, records, replica, prefix, timeout, required, end, thread })
    }

    /// How it is.
    pub fn facts(&self) -> Facts {
        self.shared.facts.lock().clone()
    }

    /// Counts since the start.
    pub fn counts(&self) -> Counts {
        let shared = &self.shared;
        Counts {
            rounds: shared.rounds.load(Relaxed),
            failures: shared.failures.load(Relaxed),
            late: shared.late.load(Relaxed),
        }
    }

    /// Tells the others which limits of providers this replica has met, and says which any of them has.
    pub fn exchange(&self, met: Vec<Throttle>) -> Vec<Throttle> {
        *self.shared.met.lock() = met;
        self.shared.heard.lock().clone()
    }

    /// The keys made at run time.
    pub fn records(&self) -> &Arc<Records> {
        &self.records
    }

    /// The number of replicas, as last seen.
    pub fn replicas(&self) -> u64 {
        self.terms.replicas()
    }

    /// True unless this server must not be used without the engine, which does not answer.
    pub fn is_ready(&self) -> bool {
        !self.required || self.facts().up
    }

    /// Gives back what is leased, and ends. Waits for the engine, for two seconds at most.
    pub fn finish(&self) {
        self.end.cancel();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread has been reported by then.
            drop(thread.join());
        }
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Engine for Valkey {
    fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    fn patience(&self) -> Duration {
        self.timeout
    }

    fn ask<'a>(&'a self, owner: &Owner, cost: Cost) -> Pin<Box<dyn Future<Output = Asked> + Send + 'a>> {
        let owner = owner.clone();
        Box::pin(async move {
            // Nobody waits for an engine that is out of reach, or whose latest answer has not come.
            if self.terms.mode() != Mode::Leased || self.shared.suspect.load(Relaxed) {
                return Asked::Late;
            }
            let (answer, answered) = oneshot::channel();
            self.shared.waiting.lock().push(Waiting { owner, cost, answer });
            self.shared.wake.notify_one();
            // The driver tells when the time is over. If it is late itself, nobody waits for it.
            let asked = timeout(self.timeout + SLACK, answered).await;
            let asked = asked.ok().and_then(Result::ok).unwrap_or(Asked::Late);
            if asked == Asked::Late {
                self.shared.late.fetch_add(1, Relaxed);
            }
            asked
        })
    }
}

#[cfg(test)]
mod tests;
