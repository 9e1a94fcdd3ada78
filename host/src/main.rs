//! The binary `pointsman`, with its allocator; everything else is in the library.

/// A request allocates some hundred times, which is where the C libraries differ most; see docs/performance.md.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    give_memory_back_soon();
    pointsman::cli::main()
}

/// Has the allocator return memory that nobody uses within half a second. By its default it would take so long that a server
/// which does little keeps what reading its configuration took. `MIMALLOC_PURGE_DELAY` goes before it.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "an option of a C library; see SAFETY")]
fn give_memory_back_soon() {
    /// `mi_option_purge_delay` in mimalloc.h.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    /// In milliseconds; arenas wait ten times as long.
    const DELAY: std::ffi::c_long = 50;
    // SAFETY: it stores a number in the allocator's table of options, while there is one thread.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, DELAY) };
}
