//! Writes the record: a bounded queue, a thread, and two files of bounded size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Line, Run};

/// The runs that may wait to be written; more are left out, and the record says so.
const WAITING: usize = 1024;

/// The memory that they may take together.
const WAITING_BYTES: usize = 64 << 20;

/// The pause after the file could not be written, for instance because the disk is full.
const PAUSE: Duration = Duration::from_secs(60);

/// The settings of a record: its path, and the size of a file at which it is put aside as `FILE.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The file.
    pub path: PathBuf,
    /// Its limit in bytes; a run that has begun to be written may go beyond it.
    pub max_bytes: u64,
}

/// Takes the runs of a process.
pub struct Recorder {
    target: Target,
    /// `None` once it has ended.
    runs: Mutex<Option<SyncSender<(Run, usize)>>>,
    bytes: Arc<AtomicUsize>,
    /// Runs that are missing since the last line.
    missing: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Recorder {
    /// Opens the file.
    ///
    /// # Errors
    ///
    /// When that cannot be done.
    pub fn open(target: Target) -> io::Result<Arc<Self>> {
        let output = Output::open(&target)?;
        let (runs, received) = sync_channel(WAITING);
        let (bytes, missing) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let mut writing = Writing {
            target: target.clone(),
            output: Some(output),
            failed: None,
            bytes: Arc::clone(&bytes),
            missing: Arc::clone(&missing),
        };
        let thread = thread::Builder::new().name("runs".to_owned()).spawn(move || writing.write(&received))?;
        let (runs, thread) = (Mutex::new(Some(runs)), Mutex::new(Some(thread)));
        Ok(Arc::new(Self { target, runs, bytes, missing, thread }))
    }

    /// The file, and its limit.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Takes a run whose texts have so many bytes. Never waits.
    pub(super) fn take(&self, run: Run, weight: usize) {
        let runs = self.runs.lock();
        let Some(runs) = &*runs else { return };
        let waiting = self.bytes.fetch_add(weight, Relaxed).saturating_add(weight);
        if waiting > WAITING_BYTES || runs.try_send((run, weight)).is_err() {
            self.bytes.fetch_sub(weight, Relaxed);
            self.leave_out();
        }
    }

    /// Notes that a run is missing.
    pub(super) fn leave_out(&self) {
        self.missing.fetch_add(1, Relaxed);
    }

    /// Takes no more, and returns when all that was taken is in the file.
    pub fn finish(&self) {
        *self.runs.lock() = None;
        if let Some(thread) = self.thread.lock().take() {
            // A panic in it has been reported.
            let _ = thread.join();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The current file.
struct Output {
    file: File,
    bytes: u64,
}

impl Output {
    fn open(target: &Target) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        if let Some(folder) = target.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&target.path)?;
        let bytes = file.metadata()?.len();
        // A process that was killed may have left a line unfinished.
        if bytes > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self { file, bytes })
    }

    fn line(&mut self, line: &Line, target: &Target) -> io::Result<()> {
        if self.bytes >= target.max_bytes {
            fs::rename(&target.path, aside(&target.path))?;
            *self = Self::open(target)?;
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.bytes += text.len() as u64;
        self.file.write_all(&text)
    }
}

/// The end that writes.
struct Writing {
    target: Target,
    /// `None` while it cannot be written.
    output: Option<Output>,
    /// When that was found.
    failed: Option<Instant>,
    bytes: Arc<AtomicUsize>,
    missing: Arc<AtomicU64>,
}

impl Writing {
    /// Writes until no more runs can come. Those that cannot be written are missing.
    fn write(&mut self, runs: &Receiver<(Run, usize)>) {
        while let Ok((run, weight)) = runs.recv() {
            if self.output.is_none() && self.failed.is_none_or(|failed| failed.elapsed() >= PAUSE) {
                self.output = self.or_pause(Output::open(&self.target));
            }
            let written = self.output.as_mut().map(|output| {
                let missing = self.missing.swap(0, Relaxed);
                let gap = if missing > 0 { output.line(&Line::Gap { runs: missing }, &self.target) } else { Ok(()) };
                gap.and_then(|()| output.line(&Line::Run(Box::new(run)), &self.target))
            });
            if written.and_then(|written| self.or_pause(written)).is_none() {
                self.output = None;
                self.missing.fetch_add(1, Relaxed);
            }
            self.bytes.fetch_sub(weight, Relaxed);
        }
        let missing = self.missing.swap(0, Relaxed);
        if let Some(output) = self.output.as_mut().filter(|_| missing > 0) {
            let ended = output.line(&Line::Gap { runs: missing }, &self.target);
            self.or_pause(ended);
        }
    }

    /// The result of writing, if it went well; after an error a pause begins.
    fn or_pause<T>(&mut self, done: io::Result<T>) -> Option<T> {
        let error = match done {
            Ok(done) => {
                self.failed = None;
                return Some(done);
            }
            Err(error) => error,
        };
        if self.failed.replace(Instant::now()).is_none() {
            tracing::error!(
                "the record of runs pauses: {} cannot be written: {error}; it is tried again after {} s",
                self.target.path.display(),
                PAUSE.as_secs()
            );
        }
        None
    }
}

/// The path of the file before this one.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::approach::Request;

    fn run(id: &str) -> Run {
        Run {
            format: super::super::FORMAT,
            id: id.to_owned(),
            approach: "bon".to_owned(),
            digest: String::new(),
            request: Request { entropy: u64::MAX, ..Request::default() },
            parameters: "{}".to_owned(),
            wants: Vec::new(),
            papers: Vec::new(),
            ended: None,
        }
    }

    fn lines(path: &Path) -> Vec<Line> {
        let text = fs::read_to_string(path).expect("a record");
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    }

    #[test]
    fn what_was_taken_is_in_a_file_for_its_owner_alone_and_a_full_one_is_put_aside() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let target = Target { path: folder.path().join("deep/runs.ndjson"), max_bytes: 2000 };
        let recorder = Recorder::open(target.clone()).expect("opens");
        recorder.leave_out();
        recorder.take(run("first"), 0);
        recorder.finish();
        let mode = fs::metadata(&target.path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(lines(&target.path), [Line::Gap { runs: 1 }, Line::Run(Box::new(run("first")))]);
        let recorder = Recorder::open(target.clone()).expect("opens");
        (0..20).for_each(|number| recorder.take(run(&number.to_string()), 0));
        drop(recorder);
        for file in [&target.path, &aside(&target.path)] {
            assert!(fs::metadata(file).expect("there").len() < 2500, "{}", file.display());
        }
        let heavy = Target { path: folder.path().join("heavy"), max_bytes: 2000 };
        Recorder::open(heavy.clone()).expect("opens").take(run("heavy"), WAITING_BYTES + 1);
        assert_eq!(lines(&heavy.path), [Line::Gap { runs: 1 }]);
        fs::write(&target.path, "{\"half\"").expect("ours");
        Recorder::open(target.clone()).expect("opens").take(run("next"), 0);
        let text = fs::read_to_string(&target.path).expect("a record");
        assert!(text.starts_with("{\"half\"\n{\"record\":\"run\",") && text.ends_with("}\n"), "{text}");
    }
}
