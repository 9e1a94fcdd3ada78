//! `pointsman events`: what has happened to a running server.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::key::Server;
use super::report::say_json;
use super::say;
use crate::telemetry::printable;

#[derive(Debug, Args)]
pub(super) struct Events {
    /// Only events at this time or later: a moment such as 2026-11-26T14:05:00Z, a day, a time of day in UTC such as 14:05, or a
    /// span before now such as 30m or 24h [default: all of the latest 1,000].
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only events before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only events of this kind: reload, provider, strategy, approach, state, keys, ledger, server.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only events of at least this level: info, warn, error.
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// Only events that contain this text, such as the name of a provider.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(events: &Events) -> ExitCode {
    let Events { since, until, kind, level, text, server } = events;
    let given = [("since", since), ("until", until), ("kind", kind), ("level", level), ("text", text)];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let query = Serializer::new(String::new()).extend_pairs(given).finish();
    match server.read("pointsman events", &format!("/admin/events.json?{query}")) {
        Ok(answer) if server.wants_json() => say_json(&answer),
        Ok(answer) => say(&told(answer["events"].as_array().map(Vec::as_slice).unwrap_or_default())),
        Err(wrong) => return wrong.exit(),
    }
    ExitCode::SUCCESS
}

/// A line for each event.
fn told(events: &[Value]) -> String {
    let mut text = String::new();
    for event in events {
        let of = |name: &str| event[name].as_str().unwrap_or_default();
        // Seconds are enough here; the JSON has more.
        let time = of("time").split('.').next().unwrap_or_default().trim_end_matches('Z');
        let mark = if of("level") == "INFO" { " " } else { "!" };
        let mut lines = of("message").lines().map(printable);
        let first = lines.next().unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{time}Z {mark} {:8}  {first}", printable(of("kind")));
        for line in lines {
            let _ = writeln!(text, "{:33}{line}", "");
        }
    }
    if text.is_empty() { "Nothing has happened.".to_owned() } else { text.trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_event_has_a_line_that_nothing_can_forge() {
        let events = [
            json!({"time": "2026-11-26T14:05:00.123456Z", "level": "WARN", "kind": "provider", "message": "a \u{1b}[2J out"}),
            json!({"time": "2026-11-26T14:05:01Z", "level": "INFO", "kind": "reload", "message": "failed:\nline 3"}),
        ];
        assert_eq!(
            told(&events),
            "2026-11-26T14:05:00Z ! provider  a \u{fffd}[2J out\n2026-11-26T14:05:01Z   reload    failed:\n                                 line 3"
        );
        assert_eq!(told(&[]), "Nothing has happened.");
    }
}
