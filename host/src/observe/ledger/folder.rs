//! The folder that keeps stories over restarts: files of JSON lines, one record a line, appended to by one server.
//!
//! JSON lines, because every tool reads them (`jq`, DuckDB, `grep`), nothing but the last line can be torn, and a file that
//! is too old is removed as a whole. Each start begins a new file, so nobody appends to a torn line. What is written is
//! handed to the system at once and to the disk within a second. A full disk loses stories and counts them, and nothing
//! else: nobody waits for this.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use memchr::memmem;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::filter::Filter;
use super::record::Record;
use crate::config::LedgerFolder;

/// The name of the file by which a server claims a folder.
const LOCK: &str = "lock";
const PREFIX: &str = "stories-";
const SUFFIX: &str = ".jsonl";
/// A file is closed at this age, so that old stories can be removed.
const AGE: Duration = Duration::from_secs(3600);
/// The largest size at which a file is closed; of a small folder a part of its size.
const LARGEST: u64 = 32 << 20;
/// After a failure the next try to write is this much later.
const PAUSE: Duration = Duration::from_secs(5);
/// The records that may wait to be written.
pub const ROOM: usize = 16_384;

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be made or written.
    #[error("cannot be used as a folder")]
    Folder(#[source] io::Error),
    /// Another server writes to it.
    #[error("is in use by another server")]
    InUse,
}

/// Writes records into a folder.
#[derive(Debug)]
pub struct Writer {
    folder: LedgerFolder,
    /// Locked while this server writes here.
    _lock: File,
    current: Option<Current>,
    /// When it is tried again, and how many records were lost since it failed.
    failed: Option<(Instant, u64)>,
    is_dirty: bool,
    text: Vec<u8>,
}

#[derive(Debug)]
struct Current {
    file: File,
    size: u64,
    began: Instant,
}

impl Writer {
    /// Claims a folder, which is made if it does not exist.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when it cannot be used.
    pub fn open(folder: &LedgerFolder) -> Result<Self, OpenError> {
        fs::create_dir_all(&folder.path).map_err(OpenError::Folder)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.path.join(LOCK));
        let lock = lock.map_err(OpenError::Folder)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(OpenError::InUse),
            Err(fs::TryLockError::Error(error)) => return Err(OpenError::Folder(error)),
        }
        let folder = folder.clone();
        Ok(Self { folder, _lock: lock, current: None, failed: None, is_dirty: false, text: Vec::new() })
    }

    /// Writes what a ledger sends until `stop`, and then what is left. The returned future ends when all is on the disk.
    pub async fn run(mut self, mut records: Receiver<Arc<Record>>, stop: CancellationToken) {
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            let more = tokio::select! {
                biased;
                got = records.recv_many(&mut batch, 1024) => got > 0,
                _ = seconds.tick() => true,
                () = stop.cancelled() => {
                    while let Ok(record) = records.try_recv() {
                        batch.push(record);
                    }
                    false
                }
            };
            let taken = std::mem::take(&mut batch);
            let written = tokio::task::spawn_blocking(move || {
                self.write(&taken);
                if taken.is_empty() || !more {
                    self.sync();
                }
                self
            });
            let Ok(back) = written.await else { return };
            self = back;
            if !more {
                return;
            }
        }
    }

    /// Writes records; a failure is told once, until it works again.
    fn write(&mut self, records: &[Arc<Record>]) {
        if records.is_empty() {
            return;
        }
        let count = records.len() as u64;
        if let Some((until, lost)) = &mut self.failed
            && Instant::now() < *until
        {
            *lost += count;
            return;
        }
        let path = self.folder.path.display().to_string();
        match self.append(records) {
            Ok(()) => {
                if let Some((_, lost)) = self.failed.take() {
                    tracing::info!(path, lost, "stories can be written to {path} again; {lost} were lost meanwhile");
                }
            }
            Err(error) => {
                // What was written of the last line stays torn at the end of its file.
                self.current = None;
                if self.failed.is_none() {
                    let error = error.to_string();
                    tracing::warn!(
                        path,
                        error,
                        "stories cannot be written to {path}: {error}; they are in memory alone"
                    );
                }
                let lost = self.failed.map_or(0, |(_, lost)| lost) + count;
                self.failed = Some((Instant::now() + PAUSE, lost));
            }
        }
    }

    fn append(&mut self, records: &[Arc<Record>]) -> io::Result<()> {
        let largest = LARGEST.min(self.folder.max_bytes / 8);
        let is_full = |current: &Current| current.size >= largest || current.began.elapsed() >= AGE;
        if self.current.as_ref().is_none_or(is_full) {
            self.sync();
            self.current = None;
            self.tidy();
            let name = format!("{PREFIX}{}{SUFFIX}", Timestamp::now().strftime("%Y%m%dT%H%M%S%6fZ"));
            let file = OpenOptions::new().create_new(true).append(true).open(self.folder.path.join(name))?;
            self.current = Some(Current { file, size: 0, began: Instant::now() });
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        self.text.clear();
        for record in records {
            serde_json::to_writer(&mut self.text, &**record)?;
            self.text.push(b'\n');
        }
        current.file.write_all(&self.text)?;
        current.size += self.text.len() as u64;
        self.is_dirty = true;
        Ok(())
    }

    /// Has the system write what it has to the disk.
    fn sync(&mut self) {
        if let Some(current) = self.current.as_ref().filter(|_| self.is_dirty) {
            self.is_dirty = false;
            if let Err(error) = current.file.sync_data() {
                let path = self.folder.path.display().to_string();
                tracing::debug!(path, %error, "stories in {path} may not be on the disk");
            }
        }
    }

    /// Removes files that are too old, and the oldest while there are too many.
    fn tidy(&self) {
        let LedgerFolder { path, keep, max_bytes, .. } = &self.folder;
        let Ok(mut files) = files(path) else { return };
        let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
        while let Some(oldest) = files.front() {
            let age = SystemTime::now().duration_since(oldest.changed).unwrap_or_default();
            // Room for the file that begins now.
            if age < *keep && bytes + LARGEST.min(*max_bytes / 8) <= *max_bytes {
                return;
            }
            if fs::remove_file(&oldest.path).is_err() {
                return;
            }
            bytes -= oldest.bytes;
            files.pop_front();
        }
    }
}

/// A file with records.
#[derive(Debug)]
struct Stored {
    path: PathBuf,
    bytes: u64,
    changed: SystemTime,
}

/// The files of a folder, the oldest first.
fn files(folder: &Path) -> io::Result<VecDeque<Stored>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            continue;
        }
        // One that was removed meanwhile is left out.
        if let Ok(about) = entry.metadata() {
            let changed = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push(Stored { path: entry.path(), bytes: about.len(), changed });
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files.into())
}

/// Reads the records of a folder, or of one of its files.
#[derive(Clone, Debug)]
pub struct Reading {
    path: PathBuf,
}

impl Reading {
    /// The folder, or the file of it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a folder, or a file of it.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn files(&self) -> io::Result<VecDeque<Stored>> {
        if self.path.is_dir() {
            return files(&self.path);
        }
        let about = fs::metadata(&self.path)?;
        let changed = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(VecDeque::from([Stored { path: self.path.clone(), bytes: about.len(), changed }]))
    }

    /// Shows every record that a filter lets through, the latest end first, until `see` returns false. Lines that are no
    /// records, such as a torn last one, are passed over.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn backwards(&self, filter: &Filter, see: &mut dyn FnMut(Record) -> bool) -> io::Result<()> {
        for file in self.files()?.into_iter().rev() {
            if is_before(&file, filter) {
                return Ok(());
            }
            let text = fs::read(&file.path)?;
            for line in text.split(|byte| *byte == b'\n').rev() {
                if !show(line, filter, see) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The same, the earliest end first.
    ///
    /// # Errors
    ///
    /// As [`Reading::backwards`].
    pub fn forwards(&self, filter: &Filter, see: &mut dyn FnMut(Record) -> bool) -> io::Result<()> {
        for file in self.files()?.into_iter().filter(|file| !is_before(file, filter)) {
            let text = fs::read(&file.path)?;
            for line in text.split(|byte| *byte == b'\n') {
                if !show(line, filter, see) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The latest request with this id, and the questions that approaches have asked for it.
    ///
    /// # Errors
    ///
    /// As [`Reading::backwards`].
    pub fn find(&self, id: &str) -> io::Result<Option<(Record, Vec<Record>)>> {
        let quoted = serde_json::to_string(id).unwrap_or_default();
        // Of the request itself, and of its questions, whose ids go on behind it.
        let needle = format!("\"request_id\":{}", quoted.trim_end_matches('"'));
        let finder = memmem::Finder::new(needle.as_bytes());
        let (mut found, mut questions) = (None, Vec::new());
        for file in self.files()?.into_iter().rev() {
            let text = fs::read(&file.path)?;
            if finder.find(&text).is_none() {
                // Questions end before their request, so they may be in the file before that.
                if found.is_some() {
                    break;
                }
                continue;
            }
            for line in text.split(|byte| *byte == b'\n').rev().filter(|line| finder.find(line).is_some()) {
                let Ok(record) = serde_json::from_slice::<Record>(line) else { continue };
                if record.parent() == Some(id) {
                    questions.push(record);
                } else if &*record.request_id == id && found.is_none() {
                    found = Some(record);
                }
            }
        }
        questions.sort_by_key(|question| question.time);
        Ok(found.map(|found| (found, questions)))
    }
}

/// True when all that a file holds ended before what is asked for began.
fn is_before(file: &Stored, filter: &Filter) -> bool {
    let micros = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    filter.since.is_some_and(|since| micros(file.changed) < u128::try_from(since.0).unwrap_or(0))
}

/// Shows the record of a line, if it is one that fits; false when no more are wanted.
fn show(line: &[u8], filter: &Filter, see: &mut dyn FnMut(Record) -> bool) -> bool {
    match serde_json::from_slice::<Record>(line) {
        Ok(record) if filter.fits(&record) => see(record),
        Ok(_) | Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ledger::Time;

    fn folder(path: &Path) -> LedgerFolder {
        LedgerFolder { path: path.to_owned(), keep: Duration::from_secs(3600), max_bytes: 1 << 20, line: 1 }
    }

    fn record(id: &str) -> Arc<Record> {
        Arc::new(Record { request_id: id.into(), time: Time::now(), outcome: "succeeded".into(), ..Record::default() })
    }

    fn ids(reading: &Reading) -> Vec<String> {
        let mut ids = Vec::new();
        let mut see = |record: Record| {
            ids.push(record.request_id.to_string());
            true
        };
        reading.forwards(&Filter::default(), &mut see).expect("readable");
        ids
    }

    #[test]
    fn what_is_written_is_read_again_over_restarts_and_torn_lines() {
        let place = tempfile::tempdir().expect("a folder");
        let mut writer = Writer::open(&folder(place.path())).expect("free");
        writer.write(&[record("a"), record("b")]);
        drop(writer);
        let reading = Reading::of(place.path());
        let first = reading.files().expect("readable").pop_front().expect("one").path;
        let mut torn = OpenOptions::new().append(true).open(&first).expect("there");
        torn.write_all(b"{\"request_id\":\"c\",\"ti").expect("written");
        let mut writer = Writer::open(&folder(place.path())).expect("free again");
        writer.write(&[record("d")]);
        assert_eq!(ids(&reading), ["a", "b", "d"]);
        let mut latest = None;
        let mut see = |record: Record| {
            latest = Some(record.request_id);
            false
        };
        reading.backwards(&Filter::default(), &mut see).expect("readable");
        assert_eq!(latest.as_deref(), Some("d"));
        assert_eq!(&*reading.find("b").expect("readable").expect("there").0.request_id, "b");
        assert!(reading.find("c").expect("readable").is_none());
    }

    #[test]
    fn a_request_is_found_with_its_questions_and_not_with_those_of_another() {
        let place = tempfile::tempdir().expect("a folder");
        let mut writer = Writer::open(&folder(place.path())).expect("free");
        let inner = || super::super::record::Inner { approach: "moa".into(), step: "draft".into() };
        let question = |id: &str| Arc::new(Record { inner: Some(inner()), ..Record::clone(&record(id)) });
        writer.write(&[question("r/1"), question("r2/1"), question("r/2"), record("r2"), record("r")]);
        let (found, questions) = Reading::of(place.path()).find("r").expect("readable").expect("there");
        assert_eq!(&*found.request_id, "r");
        let ids: Vec<&str> = questions.iter().map(|question| &*question.request_id).collect();
        assert_eq!(ids, ["r/1", "r/2"]);
    }

    #[test]
    fn a_folder_has_one_writer_at_a_time() {
        let place = tempfile::tempdir().expect("a folder");
        let first = Writer::open(&folder(place.path())).expect("free");
        assert!(matches!(Writer::open(&folder(place.path())), Err(OpenError::InUse)));
        drop(first);
        assert!(Writer::open(&folder(place.path())).is_ok());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_bytes() {
        let place = tempfile::tempdir().expect("a folder");
        let mut writer = Writer::open(&folder(place.path())).expect("free");
        let batch: Vec<_> = (0..200).map(|number| record(&format!("{number:0>100}"))).collect();
        for _ in 0..60 {
            writer.write(&batch);
        }
        let bytes: u64 = files(place.path()).expect("readable").iter().map(|file| file.bytes).sum();
        assert!(bytes <= 1 << 20, "{bytes}");
        let ids = ids(&Reading::of(place.path()));
        assert!(ids.len() > 1000 && ids.len() < 12_000, "{}", ids.len());
        assert!(ids.last().is_some_and(|last| last.ends_with("199")));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_loses_records_and_nothing_else() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("ledger");
        let mut writer = Writer::open(&folder(&path)).expect("free");
        fs::remove_dir_all(&path).expect("removed");
        writer.write(&[record("a"), record("b")]);
        assert!(matches!(writer.failed, Some((_, 2))));
        fs::create_dir(&path).expect("made again");
        writer.failed = writer.failed.map(|(_, lost)| (Instant::now(), lost));
        writer.write(&[record("c")]);
        assert!(writer.failed.is_none());
        assert_eq!(ids(&Reading::of(&path)), ["c"]);
    }
}
