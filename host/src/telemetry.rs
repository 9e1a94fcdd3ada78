//! Logs: where they go, which are written, and the one line that always is.

use std::sync::Arc;

use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

use crate::config::{LogFormat, LogLevel, Monitoring};

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

/// Starts logging to stderr. Called once; a second call is ignored.
pub fn start(monitoring: &Monitoring, overrides: Overrides) -> Handle {
    let (filter, ignored) = filter(monitoring.log_level, &overrides);
    let (filter, filter_of) = reload::Layer::new(filter);
    let logs = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr);
    let started = match monitoring.log_format {
        LogFormat::Text => logs.with(lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init(),
        LogFormat::Json => logs.with(lines.json().flatten_event(true)).try_init(),
    };
    if started.is_err() {
        return Handle::default();
    }
    if let Some(ignored) = ignored {
        tracing::warn!("{ignored}");
    }
    Handle(Some(Arc::new(move |level| {
        // An error means that the subscriber is gone, and with it the logs.
        let _ = filter_of.reload(self::filter(level, &overrides).0);
    })))
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
