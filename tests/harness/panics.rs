//! Panics of the host, wherever they happen.
//!
//! A panic in a spawned task disappears in its `JoinHandle`, and a server answers the client with a closed connection
//! that may look like what the test expects. The hook keeps every panic that did not come from the tests themselves.

use std::sync::Once;

use parking_lot::Mutex;

static HOST_PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static INSTALL: Once = Once::new();

/// Starts to watch; harmless when called again.
pub fn watch() {
    INSTALL.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let from_tests = info.location().is_none_or(|location| location.file().starts_with("tests/"));
            if !from_tests {
                HOST_PANICS.lock().push(info.to_string());
            }
            previous(info);
        }));
    });
}

/// Fails when the host has panicked in this process.
///
/// # Panics
///
/// When it has, with all that it said.
pub fn assert_none() {
    let panics = HOST_PANICS.lock();
    assert!(panics.is_empty() || std::thread::panicking(), "the host panicked: {}", panics.join("\n"));
}
