//! The process that compiles: what the command line calls as `pointsman compile-component`.
//!
//! It bounds itself before it reads a byte, and ends when its time is up or whoever has started it is gone.

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

/// Exit code: it is no component.
pub const INVALID: i32 = 3;
/// Exit code: it takes too long.
pub const OUT_OF_TIME: i32 = 4;
/// Exit code: it takes too much memory.
pub const OUT_OF_MEMORY: i32 = 5;
/// The signal by which the system ends a process that has used up its time on the processor: SIGXCPU.
pub const OUT_OF_PROCESSOR_TIME: i32 = 24;

/// The pause after which it looks again whether it should end.
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

/// Does it.
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

/// Limits this process, as far as the system lets it.
fn bound(wanted: &Compile) {
    let began = Instant::now();
    let parent = getppid();
    let limit = |resource, most: u64| {
        let Rlimit { maximum, .. } = getrlimit(resource);
        let most = maximum.map_or(most, |maximum| maximum.min(most));
        // What a system does not have, it does not bound; time and whoever waits are looked at below in any case.
        let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    };
    limit(Resource::Core, 0);
    // What may be written to, as opposed to what is reserved: the stacks of threads and arenas reserve a lot.
    limit(Resource::Data, wanted.memory);
    let processors = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    limit(Resource::Cpu, (wanted.seconds.ceil() as u64 + 1).saturating_mul(processors));
    // Requests come first, and where memory ends, this process goes rather than the one that serves them.
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
    // Without it there are still the limits of the system.
    let _ = thread::Builder::new().name("watch".to_owned()).spawn(watch);
}
