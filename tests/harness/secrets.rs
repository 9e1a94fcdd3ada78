//! Keys that come to light: every key in these tests has a mark in it, and whatever the harness reads from the proxy, be
//! it an answer or a line of its log, is searched for that mark.

use std::io;
use std::sync::Once;

use http::HeaderMap;
use parking_lot::Mutex;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

/// A text that every key in the tests contains, so that a key shows wherever it comes to light.
pub const SECRET_MARK: &str = "zq7-s3cr3t";

/// True when a key is in `bytes`. Pieces may hide one at a cut; whole answers are searched once more.
pub fn holds_secret(bytes: &[u8]) -> bool {
    let mark = SECRET_MARK.as_bytes();
    // By its rarest letter, since much is read.
    bytes.iter().enumerate().any(|(at, byte)| *byte == b'z' && bytes[at..].starts_with(mark))
}

/// Claims that no key is in a piece of an answer.
#[track_caller]
pub(crate) fn claim_none(bytes: &[u8]) {
    assert!(!holds_secret(bytes), "a key is in an answer: {}", String::from_utf8_lossy(bytes));
}

/// The same of headers.
#[track_caller]
pub(crate) fn claim_none_in_headers(headers: &HeaderMap) {
    for (name, value) in headers {
        assert!(!holds_secret(value.as_bytes()), "a key is in the header {name}: {value:?}");
    }
}

static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Begins to log all that the host says in this process, only to look through it; harmless when called again. What its
/// libraries say is looked through where the real program runs.
pub(crate) fn watch_logs() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let filter = Targets::new().with_target("pointsman", LevelFilter::TRACE);
        let logs = tracing_subscriber::fmt::layer().with_writer(|| Sieve);
        // Not `try_init`, which would make the libraries' own logging run too, and the tests several times as long.
        // Where a test has its own log, that is looked through by the test.
        drop(tracing::subscriber::set_global_default(tracing_subscriber::registry().with(logs).with(filter)));
    });
}

/// Fails when a key was logged in this process.
///
/// # Panics
///
/// When one was, with the lines.
pub(crate) fn assert_none_logged() {
    let leaks = LEAKS.lock();
    assert!(leaks.is_empty() || std::thread::panicking(), "a key was logged: {}", leaks.join(""));
}

/// Keeps lines that hold a key, and nothing else.
struct Sieve;

impl io::Write for Sieve {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if holds_secret(line) {
            LEAKS.lock().push(String::from_utf8_lossy(line).into_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
