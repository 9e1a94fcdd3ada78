//! Compiles a component in a process of its own.
//!
//! Whoever writes a component decides how expensive its compilation is: a few megabytes can cost minutes and gigabytes.
//! The system enforces limits of memory and time on a process, and a process can be ended when nobody waits for it
//! any more; neither is true of a thread. So this module starts the running program once more per component, as a
//! compiler.
//! It gets the component on its standard input and nothing else, in particular no environment, which may hold keys. Its
//! output is loaded into this process as machine code, so it must be the same program; see `cache`.
//!
//! In tests, or when no program can be started, components are compiled in this process. Built-in strategies always
//! are.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::digest::Digest;
use super::engine::Engine;
use super::load_error::LoadError;
use super::output::one_line;
use crate::config::StrategyLimits;

mod child;
mod errand;

pub use child::{Compile, compile};
pub use errand::Errand;

/// The program that compiles.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// The pause between two checks whether the wait for the compiler should go on.
const LOOK: Duration = Duration::from_millis(50);

/// The time between two log lines about a slow compilation.
const PROGRESS: Duration = Duration::from_secs(10);

/// The time beyond its own limit after which the compiler is killed from here.
const GRACE: Duration = Duration::from_secs(2);

/// The most bytes of machine code that are accepted.
const CODE_BYTES: u64 = 1 << 30;

/// The most bytes that are kept of the compiler's error output.
const WORDS: u64 = 16 << 10;

/// Sets the program that compiles components for the rest of this process. It must be the running program itself.
pub fn compile_with(program: PathBuf) {
    // A second call changes nothing.
    let _ = PROGRAM.set(program);
}

/// A component that is to be compiled.
pub struct Input<'a> {
    /// The source of the component: a newer one of the same source ends the compilation of the one before.
    pub source: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Their digest.
    pub digest: &'a Digest,
    /// True for a component inside this binary, which is small and needs no process of its own.
    pub trusted: bool,
    /// The limits of its compilation.
    pub limits: StrategyLimits,
}

/// The reason why there is no code. It is cheap to clone, because several threads may wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refused {
    /// The bytes are not a component.
    Invalid(String),
    /// The compilation takes more time or memory than it may.
    Costly(String),
    /// A newer component of the same source has come.
    Superseded,
    /// The compiler could not do its work.
    Broke(String),
}

impl From<Refused> for LoadError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid(why) => LoadError::Invalid(why),
            Refused::Costly(what) => LoadError::Costly(what),
            Refused::Superseded => LoadError::Superseded,
            Refused::Broke(how) => LoadError::Uncompiled(how),
        }
    }
}

/// The result of the compiler: sealed code, which `cache` checks.
type Outcome = Result<Arc<[u8]>, Refused>;

/// One compilation, shared by all threads that wait for it.
struct Compilation {
    digest: Digest,
    /// The number of waiting threads; changed only while [`RUNNING`] is locked.
    waiting: AtomicUsize,
    /// True when a newer component has come, or nobody waits any more.
    is_superseded: AtomicBool,
    outcome: Mutex<Option<Outcome>>,
    ended: Condvar,
}

/// The compilations under way, by source.
static RUNNING: LazyLock<Mutex<HashMap<String, Arc<Compilation>>>> = LazyLock::new(Mutex::default);

/// Sealed code from a process of its own; `None` if no program was set.
///
/// # Errors
///
/// The reason why there is no code; one reason is that the [`Errand`] of this thread is over.
pub fn code(engine: &Engine, input: &Input<'_>) -> Result<Option<Arc<[u8]>>, LoadError> {
    let Some(program) = PROGRAM.get() else { return Ok(None) };
    let errand = Errand::current();
    let Some((compilation, is_ours)) = enter(input, &errand) else { return Err(LoadError::Superseded) };
    if is_ours {
        // On a thread of its own, because this thread may give up while others go on waiting.
        let (source, bytes, limits) = (input.source.to_owned(), input.bytes.to_vec(), input.limits);
        let (arguments, begun) = (Compile::of(engine, &limits).arguments(), Arc::clone(&compilation));
        let work = move || {
            let work = || run(program, &arguments, (&source, &bytes, &limits), &begun.is_superseded);
            let outcome = catch_unwind(AssertUnwindSafe(work));
            leave(&source, &begun, outcome.unwrap_or_else(|_| Err(Refused::Broke("its thread panicked".to_owned()))));
        };
        if let Err(error) = thread::Builder::new().name("compile".to_owned()).spawn(work) {
            leave(input.source, &compilation, Err(Refused::Broke(format!("no thread can be started: {error}"))));
        }
    }
    Ok(Some(wait(input.source, &compilation, &errand)?))
}

/// The compilation of an input, and whether the caller has to start it. A compilation of other bytes of the same source
/// is ended.
/// `None` when the errand is over.
fn enter(input: &Input<'_>, errand: &Errand) -> Option<(Arc<Compilation>, bool)> {
    let mut all = RUNNING.lock();
    if errand.is_over() {
        return None;
    }
    let running = all.get(input.source);
    let entered = if let Some(running) = running.filter(|running| running.digest == *input.digest) {
        running.waiting.fetch_add(1, Ordering::Relaxed);
        (Arc::clone(running), false)
    } else {
        if let Some(running) = running {
            running.is_superseded.store(true, Ordering::Relaxed);
        }
        let compilation = Arc::new(Compilation {
            digest: *input.digest,
            waiting: AtomicUsize::new(1),
            is_superseded: AtomicBool::new(false),
            outcome: Mutex::new(None),
            ended: Condvar::new(),
        });
        all.insert(input.source.to_owned(), Arc::clone(&compilation));
        (compilation, true)
    };
    // From here on the older errands can leave the compilation without ending it.
    errand.replace();
    Some(entered)
}

/// Waits for the outcome, or for the end of the errand.
fn wait(source: &str, compilation: &Arc<Compilation>, errand: &Errand) -> Outcome {
    let mut outcome = compilation.outcome.lock();
    loop {
        if let Some(outcome) = &*outcome {
            return outcome.clone();
        }
        if errand.is_over() {
            drop(outcome);
            give_up(source, compilation);
            return Err(Refused::Superseded);
        }
        compilation.ended.wait_for(&mut outcome, LOOK);
    }
}

/// Stops waiting for a compilation; the last one to leave ends it.
fn give_up(source: &str, compilation: &Arc<Compilation>) {
    let mut all = RUNNING.lock();
    if compilation.waiting.fetch_sub(1, Ordering::Relaxed) > 1 {
        return;
    }
    compilation.is_superseded.store(true, Ordering::Relaxed);
    if all.get(source).is_some_and(|running| Arc::ptr_eq(running, compilation)) {
        all.remove(source);
    }
}

fn leave(source: &str, compilation: &Arc<Compilation>, outcome: Outcome) {
    let mut all = RUNNING.lock();
    if all.get(source).is_some_and(|running| Arc::ptr_eq(running, compilation)) {
        all.remove(source);
    }
    drop(all);
    *compilation.outcome.lock() = Some(outcome);
    compilation.ended.notify_all();
}

/// Starts the compiler, and waits for its end or kills it.
fn run(
    program: &Path,
    arguments: &[String],
    (source, bytes, limits): (&str, &[u8], &StrategyLimits),
    is_superseded: &AtomicBool,
) -> Outcome {
    let began = Instant::now();
    let mut child = start(program, arguments)
        .map_err(|error| Refused::Broke(format!("the compiler cannot be started: {error}")))?;
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (done, wait) = channel();
    let read = thread::scope(|scope| {
        scope.spawn(move || {
            // It may have ended before it has read everything; its exit code says why.
            let _ = input.map(|mut input| input.write_all(bytes));
        });
        let words = scope.spawn(move || errors.map(|errors| taken(errors, WORDS)).unwrap_or_default());
        let code = scope.spawn(move || {
            let code = output.map(|output| taken(output, CODE_BYTES)).unwrap_or_default();
            let _ = done.send(());
            code
        });
        let mut said = PROGRESS;
        let ended = loop {
            match wait.recv_timeout(LOOK) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) if is_superseded.load(Ordering::Relaxed) => {
                    break Some(Refused::Superseded);
                }
                Err(RecvTimeoutError::Timeout) if began.elapsed() > limits.compile_timeout + GRACE => {
                    break Some(out_of_time(limits));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if began.elapsed() >= said {
                tracing::info!("{source} is still being compiled after {} s", said.as_secs());
                said += PROGRESS;
            }
        };
        if ended.is_some() {
            let _ = child.kill();
        }
        let status = child.wait();
        (ended, status, code.join().unwrap_or_default(), words.join().unwrap_or_default())
    });
    let (ended, status, code, words) = read;
    if let Some(refused) = ended {
        return Err(refused);
    }
    let status = status.map_err(|error| Refused::Broke(format!("the compiler is gone: {error}")))?;
    verdict(status, code, &String::from_utf8_lossy(&words), limits)
}

fn start(program: &Path, arguments: &[String]) -> std::io::Result<Child> {
    Command::new(program)
        .arg(child::COMMAND)
        .args(arguments)
        .env_clear()
        // Memory that the allocator takes ahead would not be held against the limit, and then threads would get none.
        .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Reads up to `most` bytes; the rest is read and discarded, so that the writer does not block.
fn taken(mut from: impl Read, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.by_ref().take(most).read_to_end(&mut bytes);
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    bytes
}

fn out_of_time(limits: &StrategyLimits) -> Refused {
    Refused::Costly(format!("takes longer than {} s to compile", limits.compile_timeout.as_secs_f64()))
}

/// Turns the exit status of the compiler into a result.
fn verdict(status: ExitStatus, code: Vec<u8>, words: &str, limits: &StrategyLimits) -> Outcome {
    use std::os::unix::process::ExitStatusExt as _;
    let words = one_line(words.trim());
    match status.code() {
        Some(0) => return Ok(code.into()),
        Some(child::INVALID) => return Err(Refused::Invalid(words)),
        Some(child::OUT_OF_TIME) => return Err(out_of_time(limits)),
        Some(child::OUT_OF_MEMORY) => return Err(out_of_memory(limits)),
        Some(_) | None => {}
    }
    // The words of Rust and of the system; the last ones are about the stack of a thread.
    let lacks_memory =
        ["memory allocation of", "Cannot allocate memory", "out of memory", "Resource temporarily unavailable"];
    if lacks_memory.iter().any(|sign| words.contains(sign)) {
        return Err(out_of_memory(limits));
    }
    Err(match status.signal() {
        // The cause of a panic is in the component.
        _ if status.code() == Some(101) => Refused::Costly(format!("crashes the compiler: {words}")),
        Some(signal) if signal == child::OUT_OF_PROCESSOR_TIME => out_of_time(limits),
        // The signal that the system sends to the largest process when memory runs out.
        Some(9) => {
            Refused::Costly("takes more memory to compile than the machine has: the compiler was killed".to_owned())
        }
        Some(signal) => Refused::Costly(format!("crashes the compiler (signal {signal}): {words}")),
        None => Refused::Broke(format!("the compiler failed ({status}): {words}")),
    })
}

fn out_of_memory(limits: &StrategyLimits) -> Refused {
    Refused::Costly(format!("takes more than {} MiB of memory to compile", limits.compile_memory >> 20))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn input<'a>(source: &'a str, digest: &'a Digest) -> Input<'a> {
        Input { source, bytes: b"", digest, trusted: false, limits: StrategyLimits::default() }
    }

    #[test]
    fn the_same_component_is_compiled_once_and_a_newer_one_ends_the_one_before() {
        let (one, other) = (Digest::of([&b"1"[..]]), Digest::of([&b"2"[..]]));
        let enter = |digest: &Digest| enter(&input("a test", digest), &Errand::default()).unwrap();
        let (first, is_ours) = enter(&one);
        assert!(is_ours);
        let (same, is_ours) = enter(&one);
        assert!(!is_ours && Arc::ptr_eq(&first, &same));
        let (newer, is_ours) = enter(&other);
        assert!(is_ours && first.is_superseded.load(Ordering::Relaxed));
        leave("a test", &first, Err(Refused::Superseded));
        let (still, is_ours) = enter(&other);
        assert!(!is_ours && Arc::ptr_eq(&newer, &still), "the end of the old one is not that of the new one");
        leave("a test", &newer, Ok(Arc::default()));
        assert_eq!(*still.outcome.lock(), Some(Ok(Arc::default())));
        assert!(enter(&one).1, "nobody compiles any more");
    }

    #[test]
    fn a_newer_errand_takes_over_what_it_needs_too_and_ends_what_nobody_needs() {
        let (shared, other) = (Digest::of([&b"1"[..]]), Digest::of([&b"2"[..]]));
        let old = Errand::default();
        let (compilation, _) = enter(&input("shared", &shared), &old).unwrap();
        let new = Errand::instead_of(old.clone());
        let (taken_over, is_ours) = enter(&input("shared", &shared), &new).unwrap();
        assert!(!is_ours && old.is_over() && Arc::ptr_eq(&compilation, &taken_over));
        assert_eq!(wait("shared", &compilation, &old), Err(Refused::Superseded));
        assert!(!compilation.is_superseded.load(Ordering::Relaxed), "the newer one waits for it");
        let newest = Errand::instead_of(new.clone());
        assert!(enter(&input("another", &other), &newest).unwrap().1);
        assert_eq!(wait("shared", &compilation, &new), Err(Refused::Superseded));
        assert!(compilation.is_superseded.load(Ordering::Relaxed), "nobody waits for it");
        assert!(enter(&input("shared", &shared), &new).is_none(), "what is over begins nothing");
        assert!(enter(&input("shared", &shared), &newest).unwrap().1, "what has ended is begun again");
    }

    #[test]
    fn each_end_of_the_compiler_says_what_it_means() {
        let limits = StrategyLimits { compile_memory: 64 << 20, ..StrategyLimits::default() };
        let end = |status: i32, words: &str| {
            let outcome = verdict(ExitStatus::from_raw(status), b"code".to_vec(), words, &limits);
            outcome.map(|code| code.len()).map_err(|refused| LoadError::from(refused).to_string())
        };
        assert_eq!(end(0, ""), Ok(4));
        assert_eq!(end(child::INVALID << 8, "bad magic\n"), Err("is not a valid component: bad magic".to_owned()));
        let memory = Err("takes more than 64 MiB of memory to compile".to_owned());
        assert_eq!(end(6, "memory allocation of 65536 bytes failed"), memory);
        assert_eq!(end(child::OUT_OF_MEMORY << 8, ""), memory);
        assert_eq!(end(24, ""), Err("takes longer than 300 s to compile".to_owned()));
        assert_eq!(end(child::OUT_OF_TIME << 8, ""), Err("takes longer than 300 s to compile".to_owned()));
        assert!(end(9, "").is_err_and(|error| error.contains("than the machine has")));
        assert!(end(11, "").is_err_and(|error| error.contains("signal 11")));
        assert!(end(1 << 8, "panicked").is_err_and(|error| error.contains("could not be compiled")));
    }
}
