//! The faults of a strategy: their kinds, how they are told apart, and their counters.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::{Trap, WasmBacktrace};

use super::limits::OutOfMemory;
use super::output::{Said, one_line};
use crate::routing::{IllegalDecision, StrategyCounters};

/// The strategy broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It panicked, aborted, overflowed its stack, or called a forbidden function; with its last message.
    #[error("trapped: {0}")]
    Trapped(String),
    /// It was still running when its time was up.
    #[error("ran longer than it may")]
    DeadlineExceeded,
    /// It wanted more memory than it may have.
    #[error("wanted more memory than it may have")]
    OutOfMemory,
    /// Its answer is not an order of its candidates.
    #[error("made an illegal decision: {0}")]
    IllegalDecision(String),
}

/// [`Fault`] without details: the label in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of `Fault`, which documents them")]
pub enum FaultKind {
    Trapped,
    DeadlineExceeded,
    OutOfMemory,
    IllegalDecision,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [FaultKind; 4] =
        [FaultKind::Trapped, FaultKind::DeadlineExceeded, FaultKind::OutOfMemory, FaultKind::IllegalDecision];

    /// The label in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Trapped => "trapped",
            FaultKind::DeadlineExceeded => "deadline_exceeded",
            FaultKind::OutOfMemory => "out_of_memory",
            FaultKind::IllegalDecision => "illegal_decision",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Fault {
    /// The kind alone.
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::Trapped(_) => FaultKind::Trapped,
            Fault::DeadlineExceeded => FaultKind::DeadlineExceeded,
            Fault::OutOfMemory => FaultKind::OutOfMemory,
            Fault::IllegalDecision(_) => FaultKind::IllegalDecision,
        }
    }

    /// The fault behind the error of a typed call. The message of a panic is taken from `said`.
    pub fn of(error: &wasmtime::Error, said: &mut Said) -> Self {
        let trap = error.downcast_ref::<Trap>();
        if trap == Some(&Trap::Interrupt) {
            return Fault::DeadlineExceeded;
        }
        if error.downcast_ref::<OutOfMemory>().is_some() {
            return Fault::OutOfMemory;
        }
        // An error from within the guest carries the guest's frames. One without them occurred while its answer was
        // read: a pointer out of bounds, a text that is not UTF-8, an answer that is too long.
        let returned = trap.is_none() && error.downcast_ref::<WasmBacktrace>().is_none();
        if returned {
            return Fault::IllegalDecision(one_line(&error.root_cause().to_string()));
        }
        let cause = match trap {
            Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
            None => one_line(&error.root_cause().to_string()),
        };
        Fault::Trapped(match said.take_last_words() {
            // Rust ends a panic this way; the message of the panic says everything.
            Some(words) if trap == Some(&Trap::UnreachableCodeReached) => words,
            Some(words) => format!("{cause}: {words}"),
            None => cause,
        })
    }
}

/// True when the machine, rather than the guest, has no memory left.
pub fn lacks_memory(error: &wasmtime::Error) -> bool {
    // ENOMEM, possibly wrapped several times.
    error.root_cause().to_string().ends_with("(os error 12)")
}

impl From<IllegalDecision> for Fault {
    fn from(illegal: IllegalDecision) -> Self {
        Fault::IllegalDecision(illegal.to_string())
    }
}

/// The counters of a strategy's name since the start, over all components and instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Decisions asked for.
    pub calls: u64,
    /// Errors that the strategy returned.
    pub refusals: u64,
    /// Empty orders that the strategy returned.
    pub abstentions: u64,
    /// Faults, in the order of [`FaultKind::ALL`].
    pub faults: [u64; 4],
    /// Decisions that found the instance locked.
    pub lock_waits: u64,
    /// Decisions that gave up waiting, because another call held the instance for too long.
    pub lock_timeouts: u64,
    /// Instances made to replace a broken one.
    pub rebuilds: u64,
    /// Instances made to replace one whose memory had come near its limit.
    pub renewals: u64,
    /// Reports of attempts that the strategy wanted and did not get.
    pub reports_dropped: u64,
}

impl Stats {
    /// Faults of one kind.
    pub fn faults_of(&self, kind: FaultKind) -> u64 {
        self.faults[kind as usize]
    }
}

impl From<Stats> for StrategyCounters {
    fn from(stats: Stats) -> Self {
        let faults = FaultKind::ALL.map(|kind| (kind.name(), stats.faults_of(kind))).to_vec();
        let Stats { calls, refusals, abstentions, lock_waits, lock_timeouts, rebuilds, renewals, .. } = stats;
        let reports_dropped = stats.reports_dropped;
        Self { calls, refusals, abstentions, faults, lock_waits, lock_timeouts, rebuilds, renewals, reports_dropped }
    }
}

/// The live counters behind [`Stats`]. A successor of the same name goes on counting in them, because `/metrics` labels
/// them by name and a counter must not fall.
#[derive(Debug, Default)]
pub struct Counters {
    pub calls: AtomicU64,
    pub refusals: AtomicU64,
    pub abstentions: AtomicU64,
    pub lock_waits: AtomicU64,
    pub lock_timeouts: AtomicU64,
    pub rebuilds: AtomicU64,
    pub renewals: AtomicU64,
    pub reports_dropped: AtomicU64,
    faults: [AtomicU64; 4],
}

impl Counters {
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn fault(&self, kind: FaultKind) {
        Self::count(&self.faults[kind as usize]);
    }

    pub fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            calls: read(&self.calls),
            refusals: read(&self.refusals),
            abstentions: read(&self.abstentions),
            lock_waits: read(&self.lock_waits),
            faults: self.faults.each_ref().map(read),
            lock_timeouts: read(&self.lock_timeouts),
            rebuilds: read(&self.rebuilds),
            renewals: read(&self.renewals),
            reports_dropped: read(&self.reports_dropped),
        }
    }
}

/// The faults of one component with one configuration, even if others share its name.
#[derive(Clone, Debug, Default)]
pub struct FaultLog {
    /// In the order of [`FaultKind::ALL`].
    faults: [u64; 4],
    /// The last fault, in words.
    pub last: String,
}

impl FaultLog {
    /// Notes a fault.
    pub fn note(&mut self, fault: &Fault) {
        self.faults[fault.kind() as usize] += 1;
        self.last = fault.to_string();
    }

    /// The number of faults.
    pub fn total(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// The kinds of faults that happened, without their details, which may be for the log only.
    pub fn kinds(&self) -> String {
        let kinds = FaultKind::ALL.into_iter().zip(self.faults).filter(|(_, count)| *count > 0);
        kinds.map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    }
}
