//! Reads the file of a component, within bounds, and rejects files of other kinds.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::load_error::LoadError;
use super::output::one_line;

/// Reads a component's file, if it has at most `most` bytes.
///
/// # Errors
///
/// When it cannot be read or is too large.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?;
    if !kind.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed shows that there is more.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > most { Err(LoadError::TooLarge(most)) } else { Ok(bytes) }
}

/// Tells the kinds of file apart by their first bytes.
pub fn check_format(bytes: &[u8]) -> Result<(), LoadError> {
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadError::Precompiled);
    }
    // https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md: magic, version, layer.
    match bytes.first_chunk::<8>() {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(LoadError::CoreModule),
        _ => Err(LoadError::NotWebAssembly),
    }
}

/// An error with all its causes, on one line.
pub fn chain(error: &wasmtime::Error) -> String {
    one_line(&format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_file_cannot_be_read() {
        let error = read(Path::new("/no/such.wasm"), 10).expect_err("missing");
        assert_eq!(error.to_string(), "cannot read /no/such.wasm");
        assert!(matches!(read(Path::new("/"), 10), Err(LoadError::Unreadable { .. })));
    }
}
