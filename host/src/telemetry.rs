//! Logs: where they go, which are written, and the one line that always is.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

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

/// Starts logging to stderr. Called once; a second call is ignored.
pub fn start(monitoring: &Monitoring, overrides: &Overrides) {
    let (filter, ignored) = filter(monitoring, overrides);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match monitoring.log_format {
        LogFormat::Text => {
            logs.with_target(false).with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
        LogFormat::Json => logs.json().flatten_event(true).with_target(false).try_init(),
    };
    if started.is_ok()
        && let Some(ignored) = ignored
    {
        tracing::warn!("{ignored}");
    }
}

/// The filter, and what was ignored in making it.
fn filter(monitoring: &Monitoring, overrides: &Overrides) -> (EnvFilter, Option<String>) {
    let mut ignored = None;
    let mut level = match monitoring.log_level {
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
