//! A guest's output: lines for the operator's log.
//!
//! They are collected in bounded space while the guest runs, and written after the call has ended and its lock is free.
//! So logging does not delay other requests, and the message of a panic can be logged together with its fault.

use std::mem;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Longer lines are cut.
pub const LINE_BYTES: usize = 1024;

/// Lines kept of one call, and lines logged per second.
const LINES: usize = 10;

/// The level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// One line, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its level.
    pub level: Level,
    /// At most [`LINE_BYTES`] and an ellipsis.
    pub text: String,
    /// True when it was printed to standard error.
    pub stderr: bool,
}

/// The output of one call.
#[derive(Debug, Default)]
pub struct Said {
    /// The first lines.
    pub lines: Vec<Line>,
    /// The number of further lines.
    pub dropped: u64,
}

/// Collects a guest's output during a call.
#[derive(Debug, Default)]
pub struct Output {
    said: Said,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    /// Adds a line that the guest logged.
    pub fn log(&mut self, level: Level, text: &str) {
        self.said.add(|| Line { level, text: one_line(text), stderr: false });
    }

    /// Takes bytes from standard output, which become lines of level info.
    pub fn stdout(&mut self, bytes: &[u8]) {
        print(&mut self.said, stdout_line, &mut self.stdout, bytes);
    }

    /// Takes bytes from standard error, which become lines of level warn.
    pub fn stderr(&mut self, bytes: &[u8]) {
        print(&mut self.said, stderr_line, &mut self.stderr, bytes);
    }

    /// Returns the finished lines, during a call.
    pub fn take_lines(&mut self) -> Said {
        mem::take(&mut self.said)
    }

    /// Ends the call and returns its output, including unfinished lines.
    pub fn take(&mut self) -> Said {
        // Ends the unfinished lines of both streams.
        if !self.stdout.is_empty() {
            self.stdout(b"\n");
        }
        if !self.stderr.is_empty() {
            self.stderr(b"\n");
        }
        mem::take(&mut self.said)
    }
}

fn stdout_line(text: &[u8]) -> Line {
    Line { level: Level::Info, text: one_line(&String::from_utf8_lossy(text)), stderr: false }
}

fn stderr_line(text: &[u8]) -> Line {
    Line { level: Level::Warn, text: one_line(&String::from_utf8_lossy(text)), stderr: true }
}

/// Splits output into lines; `partial` is the unfinished line.
fn print(said: &mut Said, line: fn(&[u8]) -> Line, partial: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        append(partial, &rest[..end]);
        if !partial.is_empty() {
            said.add(|| line(partial));
            partial.clear();
        }
        rest = &rest[end + 1..];
    }
    append(partial, rest);
}

/// Adds to a line, up to one byte beyond the limit, so that it can be marked as cut.
fn append(partial: &mut Vec<u8>, bytes: &[u8]) {
    let room = (LINE_BYTES + 1).saturating_sub(partial.len());
    partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

impl Said {
    /// Adds a line. Lines beyond the limit are only counted.
    fn add(&mut self, line: impl FnOnce() -> Line) {
        if self.lines.len() < LINES {
            self.lines.push(line());
        } else {
            self.dropped += 1;
        }
    }

    /// Takes the lines from standard error out and joins them: the message of a panic, if the call has trapped.
    pub fn take_last_words(&mut self) -> Option<String> {
        let words: Vec<Line> = self.lines.extract_if(.., |line| line.stderr).collect();
        let texts = words.iter().map(|line| line.text.as_str());
        // Rust's hint about RUST_BACKTRACE, which is of no use here.
        let texts: Vec<&str> = texts.filter(|text| !text.starts_with("note: run with `RUST_BACKTRACE=")).collect();
        (!texts.is_empty()).then(|| one_line(&texts.join(" ")))
    }
}

/// A text of the guest as one line: cut, and with control characters escaped, so that it cannot forge another line.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LINE_BYTES + 4));
    for char in text.trim_end().chars() {
        if line.len() + char.len_utf8() > LINE_BYTES {
            line.push('…');
            break;
        }
        if char.is_control() && char != '\t' { line.extend(char.escape_default()) } else { line.push(char) }
    }
    line
}

/// Lets a limited number of lines per second through and counts the others.
#[derive(Debug, Default)]
pub struct Rate(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: usize,
    dropped: u64,
}

impl Rate {
    /// Returns `None` if a line must not be written now, otherwise the number of lines dropped since the last one.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock();
        if window.began.is_none_or(|began| now.duration_since(began) >= Duration::from_secs(1)) {
            window.began = Some(now);
            window.lines = 0;
        }
        if window.lines == LINES {
            window.dropped += 1;
            return None;
        }
        window.lines += 1;
        Some(mem::take(&mut window.dropped))
    }

    /// Counts lines that were dropped elsewhere.
    pub fn add_dropped(&self, lines: u64) {
        self.0.lock().dropped += lines;
    }
}

/// Writes a strategy's lines to the log, marked with its name.
#[derive(Debug, Default)]
pub struct Journal {
    name: String,
    rate: Rate,
}

impl Journal {
    /// The journal of the strategy with this name.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rate: Rate::default() }
    }

    /// Writes the output of a call, as far as the rate allows.
    pub fn write(&self, said: Said) {
        if said.lines.is_empty() && said.dropped == 0 {
            return;
        }
        self.rate.add_dropped(said.dropped);
        let now = Instant::now();
        for Line { level, text, .. } in said.lines {
            let Some(dropped) = self.rate.admit(now) else { continue };
            let strategy = self.name.as_str();
            if dropped > 0 {
                tracing::warn!(strategy, "{dropped} lines of strategy {strategy} were dropped");
            }
            match level {
                Level::Debug => tracing::debug!(strategy, "{text}"),
                Level::Info => tracing::info!(strategy, "{text}"),
                Level::Warn => tracing::warn!(strategy, "{text}"),
                Level::Error => tracing::error!(strategy, "{text}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(said: &Said) -> Vec<&str> {
        said.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn prints_become_lines_however_they_are_cut() {
        let mut output = Output::default();
        for piece in ["one\ntw", "o", "\n\nthree"] {
            output.stdout(piece.as_bytes());
        }
        assert_eq!(texts(&output.take()), ["one", "two", "three"]);
        assert_eq!(texts(&output.take()), [""; 0]);
    }

    #[test]
    fn a_flood_takes_bounded_space() {
        let mut output = Output::default();
        output.stderr(&vec![b'x'; 1 << 20]);
        for _ in 0..1000 {
            output.stderr(b"\ny");
        }
        let said = output.take();
        assert_eq!((said.lines.len(), said.dropped), (LINES, 991));
        assert_eq!(said.lines[0].text, format!("{}…", "x".repeat(LINE_BYTES)));
    }

    #[test]
    fn a_line_cannot_pass_for_another() {
        assert_eq!(one_line("a\nERROR b\u{1b}[0m \t\r\n"), "a\\nERROR b\\u{1b}[0m");
    }

    #[test]
    fn ten_lines_a_second_and_the_rest_is_counted() {
        let (rate, start) = (Rate::default(), Instant::now());
        let admitted = (0..25).filter(|_| rate.admit(start).is_some()).count();
        assert_eq!(admitted, LINES);
        assert_eq!(rate.admit(start + Duration::from_secs(1)), Some(15));
        assert_eq!(rate.admit(start + Duration::from_secs(1)), Some(0));
    }
}
