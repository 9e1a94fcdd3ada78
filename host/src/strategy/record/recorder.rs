//! Writes the record: a bounded queue, a thread, and two files of bounded size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Line, Start};
use crate::routing::RecordHealth;

/// The lines that may wait to be written; more are dropped, and the record says so.
const WAITING: usize = 8192;

/// Memory that they may take together. A line is some hundred bytes, and with a thousand candidates 16 KiB.
const WAITING_BYTES: usize = 16 << 20;

/// The pause after the file could not be written, for instance because the disk is full.
const PAUSE: Duration = Duration::from_secs(60);

/// The settings of a record: its path, and the size of a file at which it is put aside as `FILE.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The file.
    pub path: PathBuf,
    /// Its limit in bytes; together with the one put aside it takes up twice as much.
    pub max_bytes: u64,
}

/// Takes the lines of all instances of a process. Drops them until it is given a file.
#[derive(Default)]
pub struct Recorder {
    /// Looked at by every decision.
    is_on: AtomicBool,
    /// Counts the files that were begun, so that an instance can tell whether the current one names it.
    session: AtomicU64,
    instances: AtomicU64,
    queue: ArcSwapOption<Queue>,
    writer: Mutex<Option<(Target, JoinHandle<()>)>>,
    dropped: AtomicU64,
    /// The reason why nothing is written at present, if something should be.
    failing: Arc<Mutex<Option<String>>>,
}

/// A record that is ready to go on: nothing in it can fail any more.
pub struct Recording(Next);

enum Next {
    /// The record goes on as it is.
    Same,
    /// The record ends.
    Nothing,
    /// The record goes on in another file.
    Begun { target: Target, queue: Queue, thread: JoinHandle<()> },
}

struct Queue {
    lines: SyncSender<Line>,
    /// Memory of the lines that wait.
    bytes: Arc<AtomicUsize>,
    /// Lines dropped since the last one that was taken.
    missing: AtomicU64,
}

impl Queue {
    /// Takes a line if there is room for it.
    fn put(&self, line: Line) -> bool {
        let weight = line.weight();
        if self.bytes.fetch_add(weight, Ordering::Relaxed).saturating_add(weight) <= WAITING_BYTES
            && self.lines.try_send(line).is_ok()
        {
            return true;
        }
        self.bytes.fetch_sub(weight, Ordering::Relaxed);
        false
    }
}

impl Recorder {
    /// True when anything is recorded.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// The number of the record that is being written; each one must name its instances.
    pub fn session(&self) -> u64 {
        self.session.load(Ordering::Relaxed)
    }

    /// A number for an instance.
    pub fn next_instance(&self) -> u64 {
        self.instances.fetch_add(1, Ordering::Relaxed)
    }

    /// Lines that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The state of the record, if there is to be one.
    pub fn health(&self) -> Option<RecordHealth> {
        let path = self.writer.lock().as_ref().map(|(target, _)| target.path.clone())?;
        Some(RecordHealth { path, failing: self.failing.lock().clone(), missing: self.dropped() })
    }

    /// Takes a line. Never waits.
    pub fn take(&self, line: Line) {
        let queue = self.queue.load();
        let Some(queue) = queue.as_ref() else { return };
        if queue.missing.load(Ordering::Relaxed) > 0 {
            // Taken away first: instances that decide at the same time must not both tell of it.
            let missing = queue.missing.swap(0, Ordering::Relaxed);
            if missing > 0 && !queue.put(Line::Gap { lines: missing }) {
                queue.missing.fetch_add(missing, Ordering::Relaxed);
            }
        }
        if !queue.put(line) {
            queue.missing.fetch_add(1, Ordering::Relaxed);
            if self.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!("the record of decisions is incomplete: they come faster than they can be written");
            }
        }
    }

    /// Writes to `target` from now on, or nowhere. Returns when all earlier lines are on the disk.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened; nothing has changed then.
    pub fn record_to(&self, target: Option<&Target>) -> io::Result<()> {
        self.go_on(self.prepare(target)?);
        Ok(())
    }

    /// Opens the file for `target` and begins the thread that writes it, which has nothing to write before
    /// [`Recorder::go_on`].
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn prepare(&self, target: Option<&Target>) -> io::Result<Recording> {
        if self.writer.lock().as_ref().map(|(current, _)| current) == target {
            return Ok(Recording(Next::Same));
        }
        let Some(target) = target else { return Ok(Recording(Next::Nothing)) };
        let output = Output::open(target)?;
        let (lines, received) = sync_channel(WAITING);
        let bytes = Arc::new(AtomicUsize::new(0));
        let waiting = Arc::clone(&bytes);
        let failing = Arc::clone(&self.failing);
        let mut writing =
            Writing { output: Some(output), target: target.clone(), starts: Vec::new(), failing, pause: PAUSE };
        let write = move || writing.write(&received, &waiting);
        let thread = thread::Builder::new().name("record".to_owned()).spawn(write)?;
        let queue = Queue { lines, bytes, missing: AtomicU64::new(0) };
        Ok(Recording(Next::Begun { target: target.clone(), queue, thread }))
    }

    /// Goes on with what was prepared. Returns when all earlier lines are on the disk.
    pub fn go_on(&self, recording: Recording) {
        if matches!(recording.0, Next::Same) {
            return;
        }
        let mut writer = self.writer.lock();
        self.is_on.store(false, Ordering::Relaxed);
        self.queue.store(None);
        if let Some((_, thread)) = writer.take() {
            // The thread ends when the last sender is gone; a panic in it has been reported.
            let _ = thread.join();
        }
        *self.failing.lock() = None;
        if let Next::Begun { target, queue, thread } = recording.0 {
            *writer = Some((target, thread));
            self.queue.store(Some(Arc::new(queue)));
            self.session.fetch_add(1, Ordering::Relaxed);
            self.is_on.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.queue.store(None);
        if let Some((_, thread)) = self.writer.lock().take() {
            let _ = thread.join();
        }
    }
}

/// The current file.
struct Output {
    target: Target,
    file: BufWriter<File>,
    bytes: u64,
    /// Lines that are not on the disk yet.
    unwritten: u64,
}

/// The end that writes: a file, or the wait for one.
struct Writing {
    /// `None` while it cannot be written.
    output: Option<Output>,
    target: Target,
    /// The instances that have spoken, to be named again at the head of the next file.
    starts: Vec<Start>,
    failing: Arc<Mutex<Option<String>>>,
    pause: Duration,
}

impl Output {
    fn open(target: &Target) -> io::Result<Self> {
        if let Some(folder) = target.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut file = open(&target.path)?;
        let bytes = file.metadata()?.len();
        // A process that was killed may have left a line unfinished.
        if bytes > 0 && !ends_a_line(&target.path)? {
            file.write_all(b"\n")?;
        }
        Ok(Self { target: target.clone(), file: BufWriter::new(file), bytes, unwritten: 0 })
    }

    fn line(&mut self, line: &Line, starts: &[Start]) -> io::Result<()> {
        if self.bytes >= self.target.max_bytes {
            self.rotate(starts)?;
        }
        self.put(line)
    }

    fn put(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.bytes += text.len() as u64;
        self.unwritten += 1;
        self.file.write_all(&text)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.unwritten = 0;
        Ok(())
    }

    /// Puts the file aside and begins another one, which first names the instances that are still in use.
    fn rotate(&mut self, starts: &[Start]) -> io::Result<()> {
        self.flush()?;
        fs::rename(&self.target.path, aside(&self.target.path))?;
        self.file = BufWriter::new(open(&self.target.path)?);
        self.bytes = 0;
        self.name(starts)
    }

    /// Names the instances that are still in use.
    fn name(&mut self, starts: &[Start]) -> io::Result<()> {
        starts.iter().try_for_each(|start| self.put(&Line::Start(Start { resumed: true, ..start.clone() })))
    }
}

impl Writing {
    /// Writes until no more lines can come. Lines that cannot be written are missing, and writing is tried again after
    /// a pause: a full disk is seldom full for ever.
    fn write(&mut self, lines: &Receiver<Line>, waiting: &AtomicUsize) {
        let taken = |line: &Line| waiting.fetch_sub(line.weight(), Ordering::Relaxed);
        while let Ok(first) = lines.recv() {
            taken(&first);
            let mut written = self.line(&first);
            while written.is_ok()
                && let Ok(line) = lines.try_recv()
            {
                taken(&line);
                written = self.line(&line);
            }
            let Err(error) = written.and_then(|()| self.output.as_mut().map_or(Ok(()), Output::flush)) else {
                continue;
            };
            let Some(missing) = self.fail(&error, lines, waiting) else { return };
            self.resume(missing, lines, waiting);
        }
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        if let Line::Start(start) = line {
            // No earlier instance of this name writes any more in this place.
            self.starts.retain(|known| known.strategy != start.strategy || known.place != start.place);
            self.starts.push(start.clone());
        }
        match &mut self.output {
            Some(output) => output.line(line, &self.starts),
            None => Ok(()),
        }
    }

    /// Gives the file up for a while, and returns the number of lines that are missing by then, or `None` if no more
    /// can come.
    fn fail(&mut self, error: &io::Error, lines: &Receiver<Line>, waiting: &AtomicUsize) -> Option<u64> {
        let path = self.target.path.display();
        let seconds = self.pause.as_secs();
        if self.failing.lock().replace(error.to_string()).is_none() {
            tracing::error!(
                "the record of decisions pauses: {path} cannot be written: {error}; it is tried again each {seconds} s"
            );
        }
        let lost = self.output.take().map_or(0, |output| {
            let lost = output.unwritten;
            // The rest of the buffer must not be written later, in the middle of something else.
            drop(output.file.into_parts());
            lost
        });
        let (begun, mut missing) = (Instant::now(), lost);
        loop {
            match lines.recv_timeout(self.pause.saturating_sub(begun.elapsed())) {
                Ok(line) => {
                    waiting.fetch_sub(line.weight(), Ordering::Relaxed);
                    missing += 1;
                    // Without a file, only the instances are remembered.
                    let _ = self.line(&line);
                }
                Err(RecvTimeoutError::Timeout) => return Some(missing),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Tries to write again, until that works or no more lines can come.
    fn resume(&mut self, mut missing: u64, lines: &Receiver<Line>, waiting: &AtomicUsize) {
        loop {
            let opened = Output::open(&self.target).and_then(|mut output| {
                output.put(&Line::Gap { lines: missing })?;
                output.name(&self.starts)?;
                output.flush()?;
                Ok(output)
            });
            match opened {
                Ok(output) => {
                    self.output = Some(output);
                    *self.failing.lock() = None;
                    tracing::info!(
                        "the record of decisions goes on in {}: {missing} lines are missing",
                        self.target.path.display()
                    );
                    return;
                }
                Err(error) => match self.fail(&error, lines, waiting) {
                    Some(more) => missing += more,
                    None => return,
                },
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn ends_a_line(path: &Path) -> io::Result<bool> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The path of the file before this one.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::super::Ended;
    use super::*;

    fn lines(path: &Path) -> Vec<Line> {
        let text = fs::read_to_string(path).expect("a record");
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    }

    fn start(instance: u64) -> Line {
        Line::Start(Start {
            format: super::super::FORMAT,
            instance,
            place: 0,
            resumed: false,
            strategy: "s".to_owned(),
            component: String::new(),
            version: String::new(),
            digest: String::new(),
            reasons: Vec::new(),
            route: String::new(),
            providers: Vec::new(),
            attributes: Vec::new(),
            prompt: false,
            config: "{}".to_owned(),
        })
    }

    fn told(instance: u64) -> Line {
        Line::Outcomes { instance, outcomes: Vec::new() }
    }

    #[test]
    fn what_was_taken_is_in_the_file_when_it_is_put_away() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let target = Target { path: folder.path().join("deep/record.ndjson"), max_bytes: 1 << 20 };
        let recorder = Recorder::default();
        recorder.take(told(0));
        assert!(!recorder.is_on());
        recorder.record_to(Some(&target)).expect("opens");
        assert!(recorder.is_on());
        let expected: Vec<Line> = (0..1000).map(told).collect();
        for line in &expected {
            recorder.take(line.clone());
        }
        recorder.record_to(None).expect("closes");
        assert_eq!((lines(&target.path), recorder.dropped()), (expected, 0));
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_next_one_says_who_speaks() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let target = Target { path: folder.path().join("record"), max_bytes: 1000 };
        let recorder = Recorder::default();
        recorder.record_to(Some(&target)).expect("opens");
        recorder.take(start(1));
        recorder.take(start(2));
        (0..100).for_each(|_| recorder.take(told(2)));
        recorder.record_to(None).expect("closes");
        let (now, before) = (lines(&target.path), lines(&aside(&target.path)));
        for file in [&target.path, &aside(&target.path)] {
            assert!(fs::metadata(file).expect("there").len() < 1300, "{}", file.display());
        }
        assert!(before.len() > 3);
        let Line::Start(first) = &now[0] else { panic!("who speaks: {:?}", now[0]) };
        assert_eq!((first.instance, first.resumed), (2, true));
        assert!(now[1..].iter().all(|line| *line == told(2)));
    }

    #[test]
    fn all_that_are_in_use_are_named_again() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let target = Target { path: folder.path().join("record"), max_bytes: 1000 };
        let recorder = Recorder::default();
        recorder.record_to(Some(&target)).expect("opens");
        for (instance, place) in [(0, 0), (1, 1), (2, 0)] {
            let Line::Start(start) = start(instance) else { panic!("a start") };
            recorder.take(Line::Start(Start { place, ..start }));
        }
        (0..20).for_each(|_| recorder.take(told(1)));
        recorder.record_to(None).expect("closes");
        let [Line::Start(one), Line::Start(two), ..] = &lines(&target.path)[..] else { panic!("who speaks") };
        assert_eq!((one.instance, two.instance), (1, 2), "0 has been replaced by 2");
    }

    #[test]
    fn a_record_is_appended_to_after_a_restart() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let target = Target { path: folder.path().join("record"), max_bytes: 1 << 20 };
        for instance in 0..2 {
            let recorder = Recorder::default();
            recorder.record_to(Some(&target)).expect("opens");
            recorder.take(start(instance));
        }
        assert_eq!(lines(&target.path), [start(0), start(1)]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_changes_nothing() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let recorder = Recorder::default();
        let target = |path: &str| Target { path: folder.path().join(path), max_bytes: 1 << 20 };
        recorder.record_to(Some(&target("record"))).expect("opens");
        recorder.record_to(Some(&target("record/below"))).expect_err("a file is no folder");
        recorder.take(told(0));
        recorder.record_to(None).expect("closes");
        assert_eq!(lines(&target("record").path), [told(0)]);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_what_is_too_much_is_missing() {
        let (lines, received) = sync_channel(WAITING);
        let queue = Queue { lines, bytes: Arc::default(), missing: AtomicU64::new(0) };
        let long =
            |instance| Line::Outcomes { instance, outcomes: vec![Ended::Short(0, String::new(), 0, 0); 1 << 14] };
        let taken = (0..100).take_while(|instance| queue.put(long(*instance))).count();
        assert!((10..40).contains(&taken), "{taken}");
        assert!(queue.bytes.load(Ordering::Relaxed) <= WAITING_BYTES && received.try_iter().count() == taken);
        assert!(queue.put(told(0)), "a short line has room yet");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_record_goes_on_when_the_disk_is_not_full_any_more() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("record");
        std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
        let target = Target { path: path.clone(), max_bytes: 1 << 20 };
        let (failing, waiting) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let output = Some(Output::open(&target).expect("opens"));
        let pause = Duration::from_millis(20);
        let mut writing = Writing { output, target, starts: Vec::new(), failing: Arc::clone(&failing), pause };
        let (lines, received) = sync_channel(WAITING);
        let thread = thread::spawn({
            let waiting = Arc::clone(&waiting);
            move || writing.write(&received, &waiting)
        });
        let send = |line: Line| {
            waiting.fetch_add(line.weight(), Ordering::Relaxed);
            lines.send(line).expect("somebody reads");
        };
        send(start(3));
        super::super::super::tests::eventually("it fails", || failing.lock().is_some());
        send(told(3));
        fs::remove_file(&path).expect("ours");
        super::super::super::tests::eventually("it goes on", || failing.lock().is_none());
        send(told(3));
        drop(lines);
        thread.join().expect("no panic");
        let written = super::tests::lines(&path);
        let [Line::Gap { lines: 1..=2 }, Line::Start(again), rest @ ..] = &written[..] else { panic!("{written:?}") };
        assert!(again.instance == 3 && again.resumed && rest.iter().all(|line| *line == told(3)), "{written:?}");
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }
}
