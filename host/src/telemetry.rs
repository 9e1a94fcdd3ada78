//! Logging: its destination, its filter, the one line that is always written, and the lines that are kept as events.

mod events;
mod lines;
mod plain;

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

use crate::config::{LogFormat, LogLevel, Monitoring};
use events::Keeper;
pub use events::{Event, Events};
use lines::Lines;
use plain::Notation;

/// The target of the line with the server's address. Scripts wait for it, so it is written at every level.
pub const LISTENING: &str = "pointsman::listening";

/// Variables that override the configured level.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `RUST_LOG`: full directives, which override everything else.
    pub rust_log: Option<String>,
    /// `OPTILLM_LOG_LEVEL`: a level.
    pub optillm_log_level: Option<String>,
}

/// Changes the level at run time.
#[derive(Clone, Default)]
pub struct Handle(Option<Arc<dyn Fn(LogLevel) + Send + Sync>>);

impl Handle {
    /// Sets the lowest level that is logged, unless a variable overrode it at the start.
    pub fn set_level(&self, level: LogLevel) {
        if let Some(set) = &self.0 {
            set(level);
        }
    }
}

/// The log of this process, once it has started.
static LOG: OnceLock<Lines> = OnceLock::new();
/// What has happened since it has started.
static EVENTS: Events = Events::new();

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
    let logs = tracing_subscriber::registry().with(Keeper(&EVENTS).with_filter(Keeper::filter()));
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_writer(move || log.clone());
    let started = match monitoring.log_format {
        LogFormat::Text => {
            let lines = lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
            logs.with(lines.with_filter(filter)).try_init()
        }
        LogFormat::Json => logs.with(lines.json().flatten_event(true).with_filter(filter)).try_init(),
    };
    if started.is_err() {
        return Handle::default();
    }
    // The standard library's own hook writes to stderr, and blocks if nobody reads it.
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        tracing::error!(thread, "the thread {thread} panicked, which is a bug in pointsman: {panic}");
    }));
    if let Some(ignored) = ignored {
        tracing::warn!("{ignored}");
    }
    Handle(Some(Arc::new(move |level| {
        // An error means that the subscriber no longer exists, and so neither do the logs.
        let _ = filter_of.reload(self::filter(level, &overrides).0);
    })))
}

fn tell_of_loss(lines: u64) {
    let plural = if lines == 1 { " was" } else { "s were" };
    tracing::warn!(lines, "the log could not be written for a while, and {lines} line{plural} dropped");
}

/// True when log lines are JSON for programs, which look up each value by its name.
pub fn is_structured() -> bool {
    LOG.get().is_some_and(|log| log.notation() == Notation::Json)
}

/// What has happened since the log has started.
pub fn events() -> &'static Events {
    &EVENTS
}

/// The number of log lines that were dropped because stderr was not read in time.
pub fn dropped_lines() -> u64 {
    LOG.get().map_or(0, Lines::dropped)
}

/// Waits until the log is written, but at most for `limit`, because nobody may be reading it.
pub fn flush(limit: Duration) {
    if let Some(log) = LOG.get() {
        log.flush(limit);
    }
}

/// Writes a text for the user to stderr: after the lines of the log, if there is one, and without blocking on a reader
/// that does not read.
pub fn say(text: &str) {
    match LOG.get() {
        Some(log) => log.put(format!("{text}\n").as_bytes()),
        // A closed pipe must not cause a panic.
        None => drop(writeln!(std::io::stderr(), "{text}")),
    }
}

/// A text of somebody else's for a terminal: without characters that would move the cursor or turn the text around.
pub fn printable(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_ascii_control() { '\u{fffd}' } else { c }).collect();
    let mut shown = Vec::with_capacity(text.len());
    plain::append(text.as_bytes(), Notation::Text, &mut shown);
    String::from_utf8(shown).unwrap_or_default()
}

/// The filter, and a sentence about a variable that was ignored.
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
                ignored =
                    Some(format!("OPTILLM_LOG_LEVEL is ignored: '{wanted}' is none of DEBUG, INFO, WARNING, ERROR"));
            }
        }
    }
    // Dependencies log at `warn` unless the user's filter names them.
    let configured = || EnvFilter::new(format!("warn,pointsman={level}"));
    let filter = match overrides.rust_log.as_deref().filter(|directives| !directives.is_empty()) {
        None => configured(),
        Some(directives) => EnvFilter::try_new(directives).unwrap_or_else(|error| {
            ignored = Some(format!("RUST_LOG is ignored: '{directives}' cannot be read ({error})"));
            configured()
        }),
    };
    let listening: Result<Directive, _> = format!("{LISTENING}=info").parse();
    match listening {
        Ok(always) => (filter.add_directive(always), ignored),
        Err(_) => (filter, ignored),
    }
}
