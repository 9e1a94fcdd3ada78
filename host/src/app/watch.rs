//! Looks at the files of a configuration, to see when they change.
//!
//! It polls, since notifications of the system miss some file systems and mounts. It has a thread of its own: a file
//! system that hangs must not hold up a request, and a task that runs twice a second would keep threads of the
//! runtime's pool from ending.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::config::{Config, StrategySource};

/// The interval at which the files are looked at. A change counts when it has not gone on for as long, so a file that
/// is still being written is left alone.
const PAUSE: Duration = Duration::from_millis(500);

/// The time that the clock of a file system may be behind: it moves with the ticks of the kernel.
const TICK: Duration = Duration::from_millis(10);

/// Files and their look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look(Vec<(PathBuf, Option<Print>)>);

/// Distinguishes a file from an earlier version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    /// The present look of these files. Waits for the file system.
    pub fn at(files: &[PathBuf]) -> Self {
        Self(files.iter().map(|file| (file.clone(), print(file))).collect())
    }

    /// The look of these files as they were before `begun`, when the first of them was about to be read. A file that
    /// has changed since may have been read before that, so it counts as one that was never seen.
    pub fn before(begun: SystemTime, files: &[PathBuf]) -> Self {
        let begun = begun.checked_sub(TICK).and_then(|begun| begun.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let is_older = |(seconds, nanoseconds): (i64, i64)| {
            let begun = (i64::try_from(begun.as_secs()).unwrap_or(i64::MAX), i64::from(begun.subsec_nanos()));
            (seconds, nanoseconds) < begun
        };
        let Self(mut look) = Self::at(files);
        for (_, print) in &mut look {
            *print = print.filter(|print| is_older(print.changed));
        }
        Self(look)
    }

    /// The look `later`, except that files in this look keep what it says of them.
    pub fn over(&self, later: Self) -> Self {
        let known = |file: &Path| self.0.iter().find(|(other, _)| other == file).map(|(_, print)| *print);
        let merged = later.0.into_iter().map(|(file, print)| (known(&file).unwrap_or(print), file));
        Self(merged.map(|(print, file)| (file, print)).collect())
    }

    /// True when a later look shows that one of these files has changed since.
    pub fn is_outdated_by(&self, later: &Self) -> bool {
        let changed = |(file, print): &(PathBuf, Option<Print>)| {
            later.0.iter().any(|(other, later)| other == file && later != print)
        };
        self.0.iter().any(changed)
    }
}

/// The files of a configuration that wants them to be watched.
pub fn files(config: &Config) -> Vec<PathBuf> {
    if !config.server.watch {
        return Vec::new();
    }
    let mut files = vec![config.file.clone()];
    for strategy in std::iter::once(&config.strategy).chain(&config.shadows) {
        if let StrategySource::File(file) = &strategy.source {
            files.push(file.clone());
        }
    }
    files.extend(config.names.iter().cloned());
    files.sort();
    files.dedup();
    files
}

/// These files and others, each once.
pub fn with(mut files: Vec<PathBuf>, others: &[PathBuf]) -> Vec<PathBuf> {
    // Nothing is watched if the configuration in force does not want it.
    if !files.is_empty() {
        files.extend_from_slice(others);
        files.sort();
        files.dedup();
    }
    files
}

/// Starts to look at `files`, which may change meanwhile. The receiver gets each look that differs from the one before,
/// first from the one they had when they were `read`, and has been the same twice in a row; the thread ends soon after
/// the receiver is dropped.
///
/// # Errors
///
/// When no thread can be started.
pub fn start(files: Arc<ArcSwap<Vec<PathBuf>>>, read: Look) -> std::io::Result<watch::Receiver<Look>> {
    let (looks, receiver) = watch::channel(read);
    thread::Builder::new().name("file-watch".to_owned()).spawn(move || {
        let mut latest = looks.borrow().clone();
        while !looks.is_closed() {
            thread::sleep(PAUSE);
            let now = Look::at(&files.load());
            if now == latest {
                looks.send_if_modified(|seen| {
                    let differs = *seen != now;
                    seen.clone_from(&now);
                    differs
                });
            }
            latest = now;
        }
    })?;
    Ok(receiver)
}

/// `None` when there is no such file, or it cannot be looked at.
fn print(file: &Path) -> Option<Print> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(file).ok()?;
    Some(Print {
        inode: found.ino(),
        length: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_or_replaced_looks_different_and_a_missing_one_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let look = || Look::at(std::slice::from_ref(&file));
        let missing = look();
        std::fs::write(&file, "one").unwrap();
        let written = look();
        assert!(missing != written && written == look());
        let other = folder.path().join("b");
        std::fs::write(&other, "two").unwrap();
        std::fs::rename(&other, &file).unwrap();
        assert_ne!(written, look());
    }

    #[test]
    fn a_file_that_was_written_after_the_reading_began_was_never_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "one").unwrap();
        let files = [file];
        let now = Look::at(&files);
        let began = SystemTime::now();
        assert_eq!(Look::before(began + Duration::from_secs(1), &files), now);
        let before = Look::before(began - Duration::from_secs(1), &files);
        assert!(before != now && before.is_outdated_by(&now));
    }

    #[test]
    fn a_file_that_changed_while_it_was_read_still_counts_as_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::write(&old, "1").unwrap();
        let before = Look::at(std::slice::from_ref(&old));
        std::fs::write(&old, "22").unwrap();
        std::fs::write(&new, "").unwrap();
        let after = Look::at(&[old, new]);
        let seen = before.over(after.clone());
        assert_ne!(seen, after);
        assert!(seen.is_outdated_by(&after) && !before.is_outdated_by(&before) && !before.is_outdated_by(&seen));
        assert_eq!(after.over(after.clone()), after);
    }
}
