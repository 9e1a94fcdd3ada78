//! Logs: where they go, which are written, and the one line that always is.

mod lines;
mod plain;

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

use crate::config::{LogFormat, LogLevel, Monitoring};
use lines::Lines;
use plain::Notation;

/// The target of the line that says where the server listens; scripts wait for it, so it is written at every level.
pub const LISTENING: &str = "pointsman::listening";

/// Variables that override the configured level.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `RUST_LOG`: full directives, first of all.
    pub rust_log: Option<String>,
    /// `OPTILLM_LOG_LEVEL`: a level.
    pub optillm_log_level: Option<String>,
}

/// Changes the level while logs are written.
#[derive(Clone, Default)]
pub struct Handle(Option<Arc<dyn Fn(LogLevel) + Send + Sync>>);

impl Handle {
    /// From now on `level` is the lowest that is logged, unless a variable of the start says otherwise.
    pub fn set_level(&self, level: LogLevel) {
        if let Some(set) = &self.0 {
            set(level);
        }
    }
}

/// The log of this process, once it has begun.
static LOG: OnceLock<Lines> = OnceLock::new();

/// Starts logging to stderr. Called once; a second call is ignored.
pub fn start(monitoring: &Monitoring, overrides: Overrides) -> Handle {
    let (filter, ignored) = filter(monitoring.log_level, &overrides);
    let (filter, filter_of) = reload::Layer::new(filter);
    let notation = match monitoring.log_format {
        LogFormat::Text => Notation::Text,
        LogFormat::Json => Notation::Json,
    };
    let log = lines::stderr().and_then(|stderr| Lines::start(notation, stderr, tell_of_loss));
    let Ok(log) = log else { return Handle::default() };
    let log = LOG.get_or_init(|| log).clone();
    let logs = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_writer(move || log.clone());
    let started = match monitoring.log_format {
        LogFormat::Text => logs.with(lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init(),
        LogFormat::Json => logs.with(lines.json().flatten_event(true)).try_init(),
    };
    if started.is_err() {
        return Handle::default();
    }
    // The standard library's own hook writes to stderr, and waits where nobody reads.
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        tracing::error!(thread, "the thread {thread} panicked, which is a mistake in pointsman: {panic}");
    }));
    if let Some(ignored) = ignored {
        tracing::warn!("{ignored}");
    }
    Handle(Some(Arc::new(move |level| {
        // An error means that the subscriber is gone, and with it the logs.
        let _ = filter_of.reload(self::filter(level, &overrides).0);
    })))
}

fn tell_of_loss(lines: u64) {
    let plural = if lines == 1 { " was" } else { "s were" };
    tracing::warn!(lines, "the log could not be written for a while: {lines} line{plural} dropped");
}

/// True when a line of the log is for programs, which look for each thing under its name.
pub fn is_structured() -> bool {
    LOG.get().is_some_and(|log| log.notation() == Notation::Json)
}

/// Lines of the log that were dropped because nobody took them.
pub fn dropped_lines() -> u64 {
    LOG.get().map_or(0, Lines::dropped)
}

/// Waits until the log is written, at most for `limit`: nobody may be reading it.
pub fn flush(limit: Duration) {
    if let Some(log) = LOG.get() {
        log.flush(limit);
    }
}

/// Writes a text for the user to stderr: behind the log, if there is one, and like it without waiting for a reader that
/// does not read.
pub fn say(text: &str) {
    match LOG.get() {
        Some(log) => log.put(format!("{text}\n").as_bytes()),
        // A reader that has gone away is no reason to panic.
        None => drop(writeln!(std::io::stderr(), "{text}")),
    }
}

/// The filter, and what was ignored in making it.
fn filter(configured: LogLevel, overrides: &Overrides) -> (EnvFilter, Option<String>) {
    let mut ignored = None;
    let mut level = match configured {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warn",
        LogLevel::Error => "error",
    };
    if let Some(wanted) = overrides.optillm_log_level.as_deref().filter(|wanted| !wanted.is_empty()) {
        match wanted.to_ascii_lowercase().as_str() {
            "trace" => level = "trace",
            "debug" => level = "debug",
            "info" => level = "info",
            "warning" | "warn" => level = "warn",
            "error" | "critical" => level = "error",
            _ => {
                ignored = Some(format!(
                    "OPTILLM_LOG_LEVEL is '{wanted}', which is none of DEBUG, INFO, WARNING, ERROR: ignored"
                ));
            }
        }
    }
    // Of the libraries only what went wrong; asked for by name, all of it.
    let configured = || EnvFilter::new(format!("warn,pointsman={level}"));
    let filter = match overrides.rust_log.as_deref().filter(|directives| !directives.is_empty()) {
        None => configured(),
        Some(directives) => EnvFilter::try_new(directives).unwrap_or_else(|error| {
            ignored = Some(format!("RUST_LOG is '{directives}', which cannot be read ({error}): ignored"));
            configured()
        }),
    };
    let listening: Result<Directive, _> = format!("{LISTENING}=info").parse();
    match listening {
        Ok(always) => (filter.add_directive(always), ignored),
        Err(_) => (filter, ignored),
    }
}
