//! The WebAssembly engine, and the clock that bounds how long a guest may run.
//!
//! There is one engine per process: it owns the compiler's settings and the epoch, a counter that compiled code checks
//! on every loop and every call. A thread increments it; a guest that is still running when the counter has passed its
//! deadline traps. It is a thread because a Tokio task could not increment the epoch while the guest occupies the only
//! worker.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use wasmtime::{Config, EngineWeak, Memory, MemoryType, OptLevel, Store};

use super::limits::MEMORY;
use super::load_error::LoadError;

/// The length of one step of the epoch.
const TICK: Duration = Duration::from_millis(5);

/// The address space to reserve for each memory of a guest. With as much as its code can address, no bounds checks are
/// needed; if the system has less, smaller sizes are tried, down to the memory limit.
const RESERVATIONS: [Option<u64>; 3] = [None, Some(MEMORY as u64), Some(1 << 20)];

/// The number of memories that must fit: of the live instance, its successor, a trial and shadows.
const ROOMS: usize = 8;

/// The clock sleeps after this many ticks without a call: about a second.
const IDLE_TICKS: u32 = 200;

/// A deadline in ticks of the epoch.
///
/// A deadline of `n` ticks is more than `n - 1` and at most `n` times 5 ms away, because it falls within a tick; a
/// deadline of a single tick could pass at once. When it has passed, `overtime` decides whether the call gets a
/// [`Deadline::GRACE`], because the system may have preempted the thread in the middle of a harmless call.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(u64);

impl Deadline {
    /// For `route` and `observe`: 5 to 10 ms, hence 10 to 15 ms with the grace.
    pub const CALL: Deadline = Deadline(2);
    /// The extension after one of the other deadlines has passed.
    pub const GRACE: Deadline = Deadline(1);
    /// For calls whose answer matters more than their time, in the battery of `strategy test`: 1 s.
    pub const PATIENT: Deadline = Deadline(200);
    /// For `describe`: 1 s.
    pub const DESCRIBE: Deadline = Deadline(200);
    /// For start functions and `init`: 5 s.
    pub const INIT: Deadline = Deadline(1000);

    /// The number of ticks, never 0, which would trap at once.
    pub fn ticks(self) -> u64 {
        self.0
    }
}

/// The engine and its clock.
pub struct Engine {
    wasm: wasmtime::Engine,
    reservation: Option<u64>,
    clock: Arc<Clock>,
    thread: Thread,
}

/// The state that the clock's thread and the calls share.
#[derive(Default)]
struct Clock {
    /// The number of calls that run now.
    running: AtomicU32,
    /// True when a call began since the last tick.
    touched: AtomicBool,
    /// True while the thread sleeps until it is unparked.
    parked: AtomicBool,
    /// True when the engine is gone.
    closed: AtomicBool,
}

impl Engine {
    /// The engine of this process, made at its first use.
    pub fn shared() -> Result<Arc<Engine>, LoadError> {
        static SHARED: OnceLock<Result<Arc<Engine>, String>> = OnceLock::new();
        let engine = SHARED.get_or_init(|| Engine::new().map(Arc::new));
        engine.clone().map_err(LoadError::Engine)
    }

    fn new() -> Result<Self, String> {
        let (wasm, reservation) = fitting()?;
        let clock = Arc::new(Clock::default());
        let tick = {
            let (clock, engine) = (Arc::clone(&clock), wasm.weak());
            move || clock.run(&engine)
        };
        let handle = thread::Builder::new()
            .name("guest-clock".to_owned())
            .spawn(tick)
            .map_err(|error| format!("cannot start the clock: {error}"))?;
        Ok(Self { wasm, reservation, clock, thread: handle.thread().clone() })
    }

    /// Wasmtime's own handle.
    pub fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    /// The address space reserved for each memory, if not the usual amount; compiled code depends on it.
    pub fn reservation(&self) -> Option<u64> {
        self.reservation
    }

    /// Keeps the clock running while the guard lives. Every call into a guest needs one, or its deadline never comes.
    pub fn running(&self) -> Running<'_> {
        // Sequentially consistent, as in `Clock::park`: either the clock sees this call, or this call sees it parked.
        self.clock.running.fetch_add(1, Ordering::SeqCst);
        self.clock.touched.store(true, Ordering::Relaxed);
        if self.clock.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.clock)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.clock.closed.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A call is running; the clock ticks.
pub struct Running<'a>(&'a Clock);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Clock {
    /// The body of the thread: ticks while there are calls, sleeps when there are none, ends with the engine.
    fn run(&self, engine: &EngineWeak) {
        let mut idle = 0;
        while !self.closed.load(Ordering::SeqCst) {
            thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { break };
            engine.increment_epoch();
            drop(engine);
            idle = if self.touched.swap(false, Ordering::Relaxed) { 0 } else { idle + 1 };
            if idle >= IDLE_TICKS {
                self.park();
                idle = 0;
            }
        }
    }

    fn park(&self) {
        self.parked.store(true, Ordering::SeqCst);
        // A call that has ended by now counts too, so that a few calls per second do not each wake the thread.
        while self.running.load(Ordering::SeqCst) == 0
            && !self.touched.load(Ordering::Relaxed)
            && !self.closed.load(Ordering::SeqCst)
        {
            thread::park();
        }
        self.parked.store(false, Ordering::SeqCst);
    }
}

/// A compiler without a clock, for code that runs with this much address space reserved for each memory.
///
/// # Errors
///
/// The reason why nothing can be compiled here.
pub fn compiler(reservation: Option<u64>) -> Result<wasmtime::Engine, String> {
    wasmtime::Engine::new(&config(reservation)).map_err(|error| format!("{error:#}"))
}

/// A compiler whose code runs on any processor of this architecture, and with the usual address space for each memory.
///
/// # Errors
///
/// The reason why nothing can be compiled here.
pub fn portable() -> Result<wasmtime::Engine, String> {
    // Named, a target stands for what all its processors have in common; by default it is what this one has.
    let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-gnu" };
    let mut config = config(None);
    let made = config.target(&format!("{}-{system}", std::env::consts::ARCH)).map(|config| &*config);
    made.and_then(wasmtime::Engine::new).map_err(|error| format!("{error:#}"))
}

/// An engine whose memories fit into this process's address space, and the size that it reserves for each.
fn fitting() -> Result<(wasmtime::Engine, Option<u64>), String> {
    let mut lacking = String::new();
    for reservation in RESERVATIONS {
        let engine = compiler(reservation)?;
        match has_room(&engine) {
            Ok(()) => {
                if let Some(bytes) = reservation {
                    tracing::warn!(
                        "strategies run slower than they could: there is no address space for 4 GiB per memory, so {} MiB are \
                         reserved for each{}",
                        bytes >> 20,
                        address_space()
                    );
                }
                return Ok((engine, reservation));
            }
            Err(error) => lacking = error,
        }
    }
    Err(format!("there is no address space for the memory of a strategy: {lacking}{}", address_space()))
}

/// True when a few memories can be allocated at once.
fn has_room(engine: &wasmtime::Engine) -> Result<(), String> {
    let mut store = Store::new(engine, ());
    for _ in 0..ROOMS {
        Memory::new(&mut store, MemoryType::new(1, None)).map_err(|error| format!("{error:#}"))?;
    }
    Ok(())
}

/// A clause about the limit on this process's address space, if there is one, to append to a sentence.
pub fn address_space() -> String {
    let limit = getrlimit(Resource::As).current;
    limit.map_or_else(String::new, |bytes| format!(" (`ulimit -v` allows {} MiB; raise it)", bytes >> 20))
}

fn config(reservation: Option<u64>) -> Config {
    let mut config = Config::new();
    if let Some(bytes) = reservation {
        config.memory_reservation(bytes).memory_reservation_for_growth(1 << 20).memory_guard_size(64 << 10);
    }
    config
        .wasm_component_model(true)
        // Guests are synchronous. Another crate's feature may turn this on, and then a call costs 2 to 3 times more.
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        // A guest runs on the stack of the calling thread, and a Tokio worker has 2 MiB.
        .max_wasm_stack(256 << 10)
        // An approach has a stack of its own, for it and for the functions of the host that it calls.
        .async_stack_size(512 << 10)
        // Makes decisions reproducible on another machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // The backtrace of a runaway recursion would take longer than its deadline.
        .wasm_backtrace_max_frames(NonZeroUsize::new(16));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_sleeps_when_nobody_calls_and_wakes_for_the_next() {
        let engine = Engine::new().expect("an engine");
        let wait_until = |parked: bool| {
            let end = tokio::time::Instant::now() + Duration::from_secs(30);
            while engine.clock.parked.load(Ordering::SeqCst) != parked {
                assert!(tokio::time::Instant::now() < end, "parked should become {parked}");
                thread::sleep(TICK);
            }
        };
        wait_until(true);
        let running = engine.running();
        wait_until(false);
        drop(running);
        wait_until(true);
    }

    #[test]
    fn the_clock_ends_with_its_engine() {
        let engine = Engine::new().expect("an engine");
        let clock = Arc::downgrade(&engine.clock);
        drop(engine);
        let end = tokio::time::Instant::now() + Duration::from_secs(30);
        while clock.upgrade().is_some() {
            assert!(tokio::time::Instant::now() < end, "the thread should end");
            thread::sleep(TICK);
        }
    }
}
