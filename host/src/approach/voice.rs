//! The output of a run: lines for the operator's log, marked with the approach and the run.
//!
//! They are collected while the guest runs, and written when it pauses: the guest's small stack is no place for a logger.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::wasm::Fault;
use crate::wasm::output::{Level, Line, Output, Rate, Said};

/// The most bytes of one write.
const WRITE_BYTES: usize = 4096;

/// The voice of one run.
pub struct Voice {
    approach: Arc<str>,
    run: String,
    /// Shared by all runs of the approach.
    rate: Arc<Rate>,
    output: Mutex<Output>,
    /// The lines of standard error that the last [`Voice::flush`] has written.
    flushed: Mutex<Vec<Line>>,
}

impl Voice {
    /// Of this run of an approach, whose lines count in `rate`.
    pub fn new(approach: Arc<str>, run: String, rate: Arc<Rate>) -> Self {
        Self { approach, run, rate, output: Mutex::default(), flushed: Mutex::default() }
    }

    /// Adds a line that the guest logged.
    pub fn log(&self, level: Level, text: &str) {
        self.output.lock().log(level, text);
    }

    /// Ends the run; writes its last lines, and returns its answer or how it broke. The message of a panic becomes that of
    /// the fault.
    pub fn end<T>(&self, returned: wasmtime::Result<T>) -> Result<T, Fault> {
        let mut said = self.output.lock().take();
        let ended = returned.map_err(|error| {
            // A tick of the epoch may have come between the message and the trap.
            let flushed = std::mem::take(&mut *self.flushed.lock());
            let count = flushed.len();
            said.lines.splice(..0, flushed);
            let fault = Fault::of(&error, &mut said);
            // A fault takes all lines of standard error as its message, or none. These have been written already.
            if said.lines.first().is_some_and(|line| line.stderr) {
                said.lines.drain(..count);
            }
            fault
        });
        self.write(said);
        ended
    }

    /// Writes the lines that are finished.
    pub fn flush(&self) {
        let said = self.output.lock().take_lines();
        let stderr = said.lines.iter().filter(|line| line.stderr).cloned();
        {
            let mut flushed = self.flushed.lock();
            flushed.clear();
            flushed.extend(stderr);
        }
        self.write(said);
    }

    /// Writes lines, as far as the rate allows.
    fn write(&self, said: Said) {
        if said.lines.is_empty() && said.dropped == 0 {
            return;
        }
        self.rate.add_dropped(said.dropped);
        let (now, approach, run) = (Instant::now(), &*self.approach, self.run.as_str());
        for Line { level, text, .. } in said.lines {
            let Some(dropped) = self.rate.admit(now) else { continue };
            if dropped > 0 {
                tracing::warn!(approach, run, "{dropped} lines of approach {approach} were dropped");
            }
            match level {
                Level::Debug => tracing::debug!(approach, run, "{text}"),
                Level::Info => tracing::info!(approach, run, "{text}"),
                Level::Warn => tracing::warn!(approach, run, "{text}"),
                Level::Error => tracing::error!(approach, run, "{text}"),
            }
        }
    }
}

/// Standard output or standard error of a run.
#[derive(Clone)]
pub struct Print {
    /// Where it goes.
    pub voice: Arc<Voice>,
    /// True for standard error.
    pub stderr: bool,
}

impl IsTerminal for Print {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Print {
    /// For WASI 0.3, which is not linked.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Print {
    async fn ready(&mut self) {}
}

impl OutputStream for Print {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        let mut output = self.voice.output.lock();
        if self.stderr {
            output.stderr(&bytes)
        } else {
            output.stdout(&bytes)
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::Trap;

    use super::*;

    fn voice() -> Arc<Voice> {
        Arc::new(Voice::new("an approach".into(), "run 1".to_owned(), Arc::default()))
    }

    #[test]
    fn the_message_of_a_panic_is_that_of_its_fault_even_if_it_came_in_two_parts() {
        let voice = voice();
        let mut stderr = Print { voice: Arc::clone(&voice), stderr: true };
        stderr.write("panicked at lib.rs:1:\n".into()).expect("written");
        voice.flush();
        stderr.write("as commanded\n".into()).expect("written");
        let fault = voice.end::<()>(Err(Trap::UnreachableCodeReached.into())).expect_err("a fault");
        assert_eq!(fault, Fault::Trapped("panicked at lib.rs:1: as commanded".to_owned()));
    }

    #[test]
    fn what_was_said_long_ago_is_not_part_of_a_fault() {
        let voice = voice();
        let mut stderr = Print { voice: Arc::clone(&voice), stderr: true };
        stderr.write("a warning\n".into()).expect("written");
        voice.flush();
        voice.flush();
        let fault = voice.end::<()>(Err(Trap::StackOverflow.into())).expect_err("a fault");
        assert_eq!(fault, Fault::Trapped("call stack exhausted".to_owned()));
    }
}
