//! The output of a run: lines for the operator's log, marked with the approach and the run.
//!
//! They are collected while the guest runs, and written when it pauses: the guest's small stack is no place for a logger.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

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
}

impl Voice {
    /// Of this run of an approach, whose lines count in `rate`.
    pub fn new(approach: Arc<str>, run: String, rate: Arc<Rate>) -> Self {
        Self { approach, run, rate, output: Mutex::default() }
    }

    /// Adds a line that the guest logged.
    pub fn log(&self, level: Level, text: &str) {
        self.output.lock().log(level, text);
    }

    /// Takes what was said, at the end of the run.
    pub fn take(&self) -> Said {
        self.output.lock().take()
    }

    /// Writes the lines that are finished.
    pub fn flush(&self) {
        let said = self.output.lock().take_lines();
        self.write(said);
    }

    /// Writes lines, as far as the rate allows.
    pub fn write(&self, said: Said) {
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
