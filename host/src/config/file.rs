//! Reads a file that the user names: only a regular one, of bounded size, and without ever waiting for a writer.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

/// The content of a file, at most one byte more than `limit`. A FIFO, a device or a folder is an error: opening a FIFO
/// blocks until somebody writes to it, which may be never.
///
/// # Errors
/// When it cannot be read, or is no regular file.
pub(super) fn read_bounded(file: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let opened = File::from(open(file, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    let kind = opened.metadata()?.file_type();
    if !kind.is_file() {
        let kind = if kind.is_dir() { "a folder" } else { "a pipe, a socket or a device" };
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind} and not a regular file")));
    }
    let mut bytes = Vec::new();
    opened.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
