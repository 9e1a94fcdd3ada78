//! The binary `pointsman`, with its allocator; everything else is in the library.

/// A request allocates some hundred times, which is where the C libraries differ most; see docs/performance.md.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    pointsman::cli::main()
}
