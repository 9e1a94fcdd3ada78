//! The process that compiles, started as `pointsman compile-component`.
//!
//! It sets its own limits before it reads a byte, and ends when its time is up or its parent is gone.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use rustix::process::{Resource, Rlimit, getppid, getrlimit, setrlimit};
use tokio::time::Instant;

use crate::config::StrategyLimits;
use crate::wasm::cache;
use crate::wasm::engine::{self, Engine};

/// Its name on the command line.
pub const COMMAND: &str = "compile-component";

/// Exit code: the input is not a component.
pub const INVALID: i32 = 3;
/// Exit code: the compilation takes too long.
pub const OUT_OF_TIME: i32 = 4;
/// Exit code: the compilation takes too much memory.
pub const OUT_OF_MEMORY: i32 = 5;
/// The signal by which the system ends a process that has used up its time on the processor: SIGXCPU.
pub const OUT_OF_PROCESSOR_TIME: i32 = 24;

/// The pause between two checks whether it should end.
const LOOK: Duration = Duration::from_millis(50);

/// Compile the component on the standard input, within limits, and write the code to the standard output.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct Compile {
    /// Bytes of memory.
    #[arg(long)]
    memory: u64,
    /// Seconds.
    #[arg(long)]
    seconds: f64,
    /// Bytes of the component.
    #[arg(long)]
    bytes: u64,
    /// Bytes of address space for a memory, if not the usual ones.
    #[arg(long)]
    reservation: Option<u64>,
}

impl Compile {
    pub(super) fn of(engine: &Engine, limits: &StrategyLimits) -> Self {
        Self {
            memory: limits.compile_memory,
            seconds: limits.compile_timeout.as_secs_f64(),
            bytes: limits.max_bytes,
            reservation: engine.reservation(),
        }
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let Self { memory, seconds, bytes, reservation } = self;
        let mut arguments =
            vec![format!("--memory={memory}"), format!("--seconds={seconds}"), format!("--bytes={bytes}")];
        arguments.extend(reservation.map(|reservation| format!("--reservation={reservation}")));
        arguments
    }
}

/// Compiles the component.
pub fn compile(wanted: &Compile) -> ExitCode {
    bound(wanted);
    let mut component = Vec::new();
    if let Err(error) = std::io::stdin().lock().take(wanted.bytes).read_to_end(&mut component) {
        return end(1, &error.to_string());
    }
    let wasm = match engine::compiler(wanted.reservation) {
        Ok(wasm) => wasm,
        Err(error) => return end(1, &error),
    };
    let code = match wasm.precompile_component(&component) {
        Ok(code) => code,
        Err(error) => {
            let words = format!("{error:#}");
            let is_memory = words.contains("os error 12") || words.contains("Cannot allocate memory");
            return end(if is_memory { OUT_OF_MEMORY } else { INVALID }, &words);
        }
    };
    let mut output = std::io::stdout().lock();
    let header = cache::header(&wasm, &component, &code);
    match output.write_all(&header).and_then(|()| output.write_all(&code)).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => end(1, &error.to_string()),
    }
}

fn end(code: i32, words: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{words}");
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Limits this process, as far as the system supports it.
fn bound(wanted: &Compile) {
    let began = Instant::now();
    let parent = getppid();
    let limit = |resource, most: u64| {
        let Rlimit { maximum, .. } = getrlimit(resource);
        let most = maximum.map_or(most, |maximum| maximum.min(most));
        // A limit that the system does not have is skipped; time and the parent are checked below in any case.
        let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    };
    limit(Resource::Core, 0);
    // Limits writable memory, not reserved address space: the stacks of threads and arenas reserve a lot.
    limit(Resource::Data, wanted.memory);
    let processors = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    limit(Resource::Cpu, (wanted.seconds.ceil() as u64 + 1).saturating_mul(processors));
    // Requests have priority: if memory runs out, the system kills this process rather than the server.
    let _ = rustix::process::nice(5);
    let _ = std::fs::write("/proc/self/oom_score_adj", "900");
    let time = Duration::try_from_secs_f64(wanted.seconds).unwrap_or(Duration::MAX);
    let watch = move || loop {
        thread::sleep(LOOK);
        if began.elapsed() > time {
            std::process::exit(OUT_OF_TIME);
        }
        if getppid() != parent {
            std::process::exit(1);
        }
    };
    // If the thread cannot be started, the limits of the system remain.
    let _ = thread::Builder::new().name("watch".to_owned()).spawn(watch);
}
