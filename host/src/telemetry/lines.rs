//! Log lines go into a buffer in memory, from which a separate thread writes them.
//!
//! stderr may be a pipe that nobody reads, and then a write blocks forever; without the buffer, every task that logs
//! would block too. The buffer is bounded; lines beyond it are counted and dropped. Lines that come while the thread
//! writes are written together, with one system call.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::plain;

/// The most bytes that may wait to be written: some thousand lines.
const WAITING: usize = 1 << 20;
/// The capacity that is kept for the next lines; after a burst, the rest is freed.
const KEPT: usize = 64 << 10;
/// The pause before another attempt when stderr is a non-blocking terminal or pipe.
const AGAIN: Duration = Duration::from_millis(10);

/// A log that takes lines without blocking.
#[derive(Clone)]
pub struct Lines {
    shared: Arc<Shared>,
    notation: plain::Notation,
}

struct Shared {
    state: Mutex<Buffer>,
    /// Wakes the thread when there is something to write.
    more: Condvar,
    /// Wakes the callers of `flush` when everything is written.
    empty: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Buffer {
    waiting: Vec<u8>,
    /// True while the thread writes what it has taken.
    writing: bool,
    /// True while the thread sleeps.
    idle: bool,
}

impl Lines {
    /// Starts the thread that writes to `sink`. When it can write again after a loss, it calls `after_loss` with the
    /// number
    /// of lines that were dropped.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(
        notation: plain::Notation,
        sink: impl io::Write + Send + 'static,
        after_loss: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            more: Condvar::new(),
            empty: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = Arc::clone(&shared);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.write(sink, &after_loss))?;
        Ok(Self { shared, notation })
    }

    /// Takes one or several complete lines.
    pub fn put(&self, lines: &[u8]) {
        let mut state = self.shared.state.lock();
        if state.waiting.len() + lines.len() > WAITING {
            self.shared.dropped.fetch_add(1, Relaxed);
            return;
        }
        plain::append(lines, self.notation, &mut state.waiting);
        if state.idle {
            state.idle = false;
            self.shared.more.notify_one();
        }
    }

    /// Waits until everything is written, at most for `limit`.
    pub fn flush(&self, limit: Duration) {
        let mut state = self.shared.state.lock();
        let unwritten = |state: &mut Buffer| state.writing || !state.waiting.is_empty();
        self.shared.empty.wait_while_for(&mut state, unwritten, limit);
    }

    /// The notation for escapes in lines.
    pub fn notation(&self) -> plain::Notation {
        self.notation
    }

    /// The number of lines dropped so far.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }
}

impl Shared {
    /// Writes for as long as the process lives.
    fn write(&self, mut sink: impl io::Write, after_loss: &dyn Fn(u64)) {
        let (mut batch, mut told) = (Vec::new(), 0);
        loop {
            let mut state = self.state.lock();
            state.writing = false;
            while state.waiting.is_empty() {
                self.empty.notify_all();
                state.idle = true;
                self.more.wait(&mut state);
            }
            std::mem::swap(&mut state.waiting, &mut batch);
            (state.writing, state.idle) = (true, false);
            drop(state);
            // If the reader of the pipe has gone, nothing can be written and nobody can be told.
            let written = write_whole(&mut sink, &batch).is_ok();
            if batch.capacity() > KEPT {
                batch = Vec::new();
            }
            batch.clear();
            let dropped = self.dropped.load(Relaxed);
            if written && dropped > told {
                after_loss(dropped - told);
                told = dropped;
            }
        }
    }
}

fn write_whole(sink: &mut impl io::Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
    sink.flush()
}

/// The formatting layer makes one call of `write` per event.
impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// stderr without the standard library's lock: a write that hangs must not block a program that writes a last message
/// before it ends.
pub fn stderr() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd as _;
    Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A pipe: each write waits until a permit to go on comes.
    struct Gate(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl io::Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_gone| io::Error::from(io::ErrorKind::BrokenPipe))?;
            self.1.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn who_logs_never_waits_and_what_is_dropped_is_counted_and_told() {
        let (open, gate) = mpsc::channel();
        let (written, (tell, told)) = (Arc::<Mutex<Vec<u8>>>::default(), mpsc::channel());
        let sink = Gate(gate, Arc::clone(&written));
        let lines = Lines::start(plain::Notation::Text, sink, move |lost| tell.send(lost).unwrap_or_default()).unwrap();
        let line = [b'x'; 1024];
        // The thread may hold one batch while another one waits.
        for _ in 0..3 * WAITING / line.len() {
            lines.put(&line);
        }
        assert!(lines.dropped() > 0);
        lines.flush(Duration::from_millis(1));
        for _ in 0..3 {
            open.send(()).unwrap();
        }
        lines.flush(PATIENCE);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(lines.dropped()));
        let taken = 3 * WAITING / line.len() - usize::try_from(lines.dropped()).unwrap();
        assert_eq!(written.lock().len(), taken * line.len());
    }

    #[test]
    fn all_is_written_in_order_when_somebody_waits_for_it() {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (open, gate) = mpsc::channel();
        let lines = Lines::start(plain::Notation::Text, Gate(gate, Arc::clone(&written)), |_| {}).unwrap();
        for number in 0..100 {
            lines.put(format!("{number}\n").as_bytes());
            open.send(()).unwrap();
        }
        lines.flush(PATIENCE);
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(written.lock().clone()).unwrap(), expected);
    }
}
