//! The table of the latest failovers and refusals.

use super::super::cells::{Cell, Column, Holds, Row, Tone};
use crate::observe::Ledger;
use crate::observe::ledger::Record;
use crate::observe::why::span;

/// Its columns.
pub const COLUMNS: &[Column] = &[
    Column::new("Time", Holds::Text, "When the request came, in UTC"),
    Column::new("Request", Holds::Text, "Leads to its course in words"),
    Column::new("Client", Holds::Text, ""),
    Column::new("Model", Holds::Text, ""),
    Column::new("Attempts", Holds::Words, ""),
    Column::new("Status", Holds::Number, "Of the answer; 499 if the client had left before"),
    Column::new("End", Holds::Text, "The outcome of the last attempt, or the code of the proxy's own error"),
    Column::new("Took", Holds::Number, ""),
];

/// Its rows, the latest first.
pub fn rows(ledger: &Ledger) -> Vec<Row> {
    let mut all = ledger.latest_trouble();
    all.sort_by_key(|record| std::cmp::Reverse(record.time.plus(record.duration_ms.duration())));
    all.iter().map(|record| row(record)).collect()
}

/// The row of a story.
pub fn row(record: &Record) -> Row {
    let time = record.time.to_string();
    let shown = time.get(..19).map_or_else(|| time.clone(), |time| time.replace('T', " "));
    let link = format!("/admin/why.html?{}", super::providers::query("id", &record.request_id));
    let (status, tone) = match record.status {
        None => (499, Tone::Faint),
        Some(status) if status >= 500 => (status, Tone::Bad),
        Some(status) if status >= 400 => (status, Tone::Warn),
        Some(status) => (status, if record.failed() { Tone::Bad } else { Tone::Good }),
    };
    let cells = vec![
        Cell::text(shown).by(record.time.0 as f64),
        Cell::text(&*record.request_id).linked(link),
        Cell::text(record.client.as_deref().unwrap_or_default()),
        Cell::text(&*record.model),
        Cell::text(attempts(record)),
        Cell::text(status.to_string()).by(status.into()).toned(tone),
        Cell::text(record.outcome.replace('_', " ")),
        Cell::text(span(record.duration_ms)).by(record.duration_ms.get()),
    ];
    // Ids that clients choose may come twice.
    Row { key: format!("{} {}", record.time.0, record.request_id), cells }
}

/// The attempts in a line.
fn attempts(record: &Record) -> String {
    let attempt = |attempt: &crate::observe::ledger::record::Attempt| {
        let status = attempt.status.map_or(String::new(), |status| format!(" {status}"));
        format!("{}: {}{status}", attempt.provider, attempt.outcome.replace('_', " "))
    };
    match record.attempts.len() {
        0 => "none".to_owned(),
        _ => record.attempts.iter().map(attempt).collect::<Vec<_>>().join(" → "),
    }
}
