//! Lines for the operator's log, marked with the strategy's name. The host cuts a line after 1 KiB and keeps at most 10
//! per second: log what happens rarely, and state why a request went where it went with
//! [`Decision::because`](crate::Decision::because) instead.
//!
//! Natively, in tests, the lines go to standard error.

use crate::bindings::pointsman::strategy::host_log::Level;

/// For the developer of the strategy.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message.as_ref());
}

/// Something the operator may want to know.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message.as_ref());
}

/// Something the operator should look at.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message.as_ref());
}

/// Something that prevents the strategy from doing its work.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message.as_ref());
}

#[cfg(target_arch = "wasm32")]
fn write(level: Level, message: &str) {
    crate::bindings::pointsman::strategy::host_log::log(level, message);
}

#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::print_stderr, reason = "there is no host; the test runner shows it when a test fails")]
fn write(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}
