//! The contents of the files that a configuration names: a file that was only touched has not changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::Hasher as _;
use std::io::Read as _;
use std::path::PathBuf;

use crate::config::Change;

/// Larger files than this are not read to their end; none that the server reads is.
const READ: u64 = 64 << 20;

/// Fingerprints of files, each by its path; `None` for one that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<PathBuf, Option<u64>>);

impl Contents {
    /// The fingerprints of the files as they are now. Waits for the file system.
    pub fn of(files: &[PathBuf]) -> Self {
        Self(files.iter().map(|file| (file.clone(), fingerprint(file))).collect())
    }

    /// The files that existed before and have other contents now.
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let both = self.0.iter().filter_map(|(file, old)| Some((file, old, after.0.get(file)?)));
        both.filter(|(_, old, new)| old != new)
            .map(|(file, ..)| Change::of(file.display().to_string(), "its content has changed"))
            .collect()
    }
}

fn fingerprint(file: &PathBuf) -> Option<u64> {
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut content = File::open(file).ok()?.take(READ);
    let mut hasher = std::hash::DefaultHasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match content.read(&mut buffer).ok()? {
            0 => return Some(hasher.finish()),
            read => hasher.write(buffer.get(..read).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_anew_with_the_same_content_has_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "one").unwrap();
        let before = Contents::of(std::slice::from_ref(&file));
        std::fs::write(&file, "one").unwrap();
        assert_eq!(before.changes(&Contents::of(std::slice::from_ref(&file))), []);
        std::fs::write(&file, "two").unwrap();
        assert_eq!(before.changes(&Contents::of(&[file])).len(), 1);
    }
}
