//! WASI 0.2 for approaches: wasmtime's own, linked interface by interface, so that what is not granted shows when a
//! component is loaded.
//!
//! Clocks follow the host's, randomness follows from the request's seed, prints become log lines. There are no arguments,
//! no environment, no input and no files: the types of files are linked because a standard library imports them, but
//! without an opened folder nothing can be reached through them. Sockets and HTTP are not linked.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random};
use wasmtime_wasi::{WasiCtx, WasiView};
use wasmtime_wasi_io::bindings::wasi::io;

use super::voice::{Print, Voice};
use crate::wasm::dice::Dice;

/// The interfaces that are linked.
const LINKED: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The most random bytes that a guest may ask for at once.
const RANDOM_BYTES: u64 = 64 << 10;

/// The most streams, pollables and errors that a guest may have at once.
const RESOURCES: usize = 1000;

/// The time of the host, from the millisecond at which the request says that it begins.
struct Clock {
    began: Instant,
    now_ms: u64,
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms).saturating_add(self.began.elapsed())
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Random numbers that follow from a seed.
pub struct Seeded(Dice);

/// A guest asked for more random bytes at once than it may.
#[derive(Debug, thiserror::Error)]
#[error("wanted {0} random bytes at once")]
struct TooManyBytes(u64);

impl Seeded {
    /// The numbers that follow from this seed.
    pub fn of(seed: u64) -> Self {
        Self(Dice::of(seed))
    }

    fn bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        if count > RANDOM_BYTES {
            return Err(TooManyBytes(count).into());
        }
        Ok(self.0.bytes(usize::try_from(count)?))
    }
}

impl random::random::Host for Seeded {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.0.roll())
    }
}

impl random::insecure::Host for Seeded {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.0.roll())
    }
}

impl random::insecure_seed::Host for Seeded {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.0.roll(), self.0.roll()))
    }
}

/// What WASI needs of a run.
pub struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    /// Its random numbers.
    pub random: Seeded,
}

impl Wasi {
    /// For a run that begins at this millisecond since 1970, with this seed.
    pub fn new(voice: &Arc<Voice>, now_ms: u64, entropy: u64) -> Self {
        let began = Instant::now();
        let mut builder = WasiCtx::builder();
        builder
            .wall_clock(Clock { began, now_ms })
            .monotonic_clock(Clock { began, now_ms })
            .stdout(Print { voice: Arc::clone(voice), stderr: false })
            .stderr(Print { voice: Arc::clone(voice), stderr: true });
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Self { ctx: builder.build(), table, random: Seeded::of(entropy) }
    }

    /// As wasmtime's WASI wants it.
    pub fn view(&mut self) -> wasmtime_wasi::WasiCtxView<'_> {
        wasmtime_wasi::WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// True when the import of this name is linked.
pub fn is_linked(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    LINKED.contains(&interface) && version.starts_with("0.2.")
}

/// The table of streams and pollables alone.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links everything in [`LINKED`]. `random` finds the random numbers.
pub fn link<T: WasiView>(linker: &mut Linker<T>, random: fn(&mut T) -> &mut Seeded) -> wasmtime::Result<()> {
    let l = linker;
    io::error::add_to_linker::<T, Io>(l, |state| state.ctx().table)?;
    io::poll::add_to_linker::<T, Io>(l, |state| state.ctx().table)?;
    io::streams::add_to_linker::<T, Io>(l, |state| state.ctx().table)?;
    clocks::wall_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
    clocks::monotonic_clock::add_to_linker::<T, WasiClocks>(l, T::clocks)?;
    random::random::add_to_linker::<T, HasSelf<Seeded>>(l, random)?;
    random::insecure::add_to_linker::<T, HasSelf<Seeded>>(l, random)?;
    random::insecure_seed::add_to_linker::<T, HasSelf<Seeded>>(l, random)?;
    cli::environment::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::exit::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(l, T::cli)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(l, T::cli)?;
    filesystem::preopens::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
    filesystem::types::add_to_linker::<T, WasiFilesystem>(l, T::filesystem)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_http_are_not_linked() {
        for name in ["wasi:cli/stdout@0.2.0", "wasi:io/poll@0.2.12", "wasi:filesystem/types@0.2.6"] {
            assert!(is_linked(name), "{name}");
        }
        for name in ["wasi:sockets/tcp@0.2.0", "wasi:http/types@0.2.0", "wasi:cli/stdout@0.3.0", "wasi:cli/stdout"] {
            assert!(!is_linked(name), "{name}");
        }
    }

    #[test]
    fn randomness_follows_from_the_seed() {
        use random::insecure_seed::Host as _;
        use random::random::Host as _;
        let numbers = |seed| {
            let mut random = Seeded::of(seed);
            (random.get_random_bytes(9).unwrap(), random.get_random_u64().unwrap(), random.insecure_seed().unwrap())
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert!(Seeded::of(7).get_random_bytes(RANDOM_BYTES + 1).is_err());
    }
}
