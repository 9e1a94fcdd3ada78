//! A report as a table for a terminal and as CSV for a spreadsheet. Its JSON is its own.

use std::fmt::Write as _;

use super::{Figures, Report, Row, Spread};
use crate::limits::Nano;
use crate::limits::spend::report::cell;
use crate::telemetry::printable;

/// A figure by the name of its column.
type Column<T> = (&'static str, fn(&Figures) -> T);

/// The columns of a table beside those of `by`, each with the figure that it shows.
const COLUMNS: [Column<String>; 16] = [
    ("requests", |figures| figures.requests.to_string()),
    ("failed", |figures| share(figures.failed, figures.requests)),
    ("failovers", |figures| share(figures.failovers, figures.requests)),
    ("in", |figures| figures.prompt_tokens.to_string()),
    ("cached", |figures| figures.cached_tokens.to_string()),
    ("out", |figures| figures.completion_tokens.to_string()),
    ("cost", cost),
    ("first p50", |figures| millis(figures.first_byte_ms, |spread| spread.p50)),
    ("p95", |figures| millis(figures.first_byte_ms, |spread| spread.p95)),
    ("p99", |figures| millis(figures.first_byte_ms, |spread| spread.p99)),
    ("whole p50", |figures| millis(figures.duration_ms, |spread| spread.p50)),
    ("p95", |figures| millis(figures.duration_ms, |spread| spread.p95)),
    ("p99", |figures| millis(figures.duration_ms, |spread| spread.p99)),
    ("queue p95", |figures| millis(figures.queue_ms, |spread| spread.p95)),
    ("own p50", |figures| millis(figures.own_ms, |spread| spread.p50)),
    ("p95", |figures| millis(figures.own_ms, |spread| spread.p95)),
];

/// The headings and rows of a table, for a terminal and for a page: the groups, those beyond, and all of them.
pub fn rows(report: &Report) -> (Vec<String>, Vec<Vec<String>>) {
    let names = report.by.iter().map(|by| by.name());
    let head = names.chain(COLUMNS.iter().map(|(name, _)| *name)).map(str::to_owned).collect();
    let cells = |names: Vec<String>, figures: &Figures| {
        names.into_iter().chain(COLUMNS.iter().map(|(_, show)| show(figures))).collect::<Vec<_>>()
    };
    let row = |row: &Row| cells(row.values().map(|value| value.unwrap_or("–").to_owned()).collect(), &row.figures);
    let mut rows: Vec<Vec<String>> = report.rows.iter().map(row).collect();
    let named = |name: &str| {
        let blank = std::iter::repeat_n(String::new(), report.by.len().saturating_sub(1));
        std::iter::once(name.to_owned()).take(report.by.len()).chain(blank).collect()
    };
    rows.extend(report.other.as_ref().map(|other| cells(named("other"), other)));
    if rows.len() != 1 {
        rows.push(cells(named("all"), &report.total));
    }
    (head, rows)
}

/// The report as a table, with a line about what it holds.
pub fn table(report: &Report) -> String {
    let (head, rows) = rows(report);
    let texts = |row: &Vec<String>| row.iter().map(|text| printable(text)).collect::<Vec<_>>();
    let all: Vec<Vec<String>> = std::iter::once(&head).chain(&rows).map(texts).collect();
    let width = |at: usize| all.iter().filter_map(|row| row.get(at)).map(|text| text.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|at| width(at).unwrap_or(0)).collect();
    let mut text = format!("{}\n\n", span(report));
    for row in &all {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a String cannot fail.
            let _ =
                if at < report.by.len() { write!(line, "{cell:<width$}  ") } else { write!(line, "{cell:>width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(
        "\ntimes in ms: to the head of the answer, to its end, in the queue, and what the proxy itself took\n",
    );
    if report.total.unpriced > 0 {
        let _ = writeln!(text, "{} requests took tokens and have no price", report.total.unpriced);
    }
    text
}

/// The span of time and the sum, in words.
pub fn span(report: &Report) -> String {
    let Report { since, until, total, .. } = report;
    let plural = if total.requests == 1 { "" } else { "s" };
    format!("{} request{plural} from {since:.0} to {until:.0}", total.requests)
}

/// As CSV (RFC 4180), with a line of names; shares and sums are left to whoever reads it.
pub fn csv(report: &Report) -> String {
    const COUNTS: [Column<u64>; 9] = [
        ("requests", |figures| figures.requests),
        ("failed", |figures| figures.failed),
        ("failovers", |figures| figures.failovers),
        ("prompt_tokens", |figures| figures.prompt_tokens),
        ("completion_tokens", |figures| figures.completion_tokens),
        ("cached_tokens", |figures| figures.cached_tokens),
        ("reasoning_tokens", |figures| figures.reasoning_tokens),
        ("estimated_tokens", |figures| figures.estimated_tokens),
        ("unpriced", |figures| figures.unpriced),
    ];
    const TIMES: [Column<Option<Spread>>; 4] = [
        ("first_byte_ms", |figures| figures.first_byte_ms),
        ("duration_ms", |figures| figures.duration_ms),
        ("queue_ms", |figures| figures.queue_ms),
        ("own_ms", |figures| figures.own_ms),
    ];
    let mut head: Vec<String> = report.by.iter().map(|by| by.name().to_owned()).collect();
    head.extend(COUNTS.iter().map(|(name, _)| (*name).to_owned()));
    head.push("cost".to_owned());
    head.extend(TIMES.iter().flat_map(|(name, _)| ["p50", "p95", "p99", "max"].map(|part| format!("{name}_{part}"))));
    let mut text = head.join(",") + "\r\n";
    let mut line = |names: Vec<String>, figures: &Figures| {
        let mut cells: Vec<String> = names.iter().map(|name| cell(name)).collect();
        cells.extend(COUNTS.iter().map(|(_, read)| read(figures).to_string()));
        cells.push(Nano(figures.nano_dollars).to_string());
        for (_, read) in &TIMES {
            let Spread { p50, p95, p99, max } = read(figures).unwrap_or_default();
            let is_known = read(figures).is_some();
            cells.extend([p50, p95, p99, max].map(|time| if is_known { time.to_string() } else { String::new() }));
        }
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    };
    for row in &report.rows {
        line(row.values().map(|value| value.unwrap_or_default().to_owned()).collect(), &row.figures);
    }
    if let Some(other) = &report.other {
        line(report.by.iter().map(|_| "other".to_owned()).collect(), other);
    }
    if report.by.is_empty() {
        line(Vec::new(), &report.total);
    }
    text
}

/// A number of requests, with its share of all of them.
fn share(part: u64, of: u64) -> String {
    if part == 0 { "0".to_owned() } else { format!("{part} ({:.1} %)", 100.0 * part as f64 / of.max(1) as f64) }
}

/// Dollars; a dash where no price is known.
fn cost(figures: &Figures) -> String {
    if figures.nano_dollars == 0 && figures.unpriced > 0 {
        return "–".to_owned();
    }
    let places = if figures.cost == 0.0 || figures.cost >= 100.0 { 2 } else { 4 };
    format!("{:.places$}", figures.cost)
}

fn millis(spread: Option<Spread>, read: fn(&Spread) -> f64) -> String {
    let Some(spread) = spread else { return "–".to_owned() };
    let millis = read(&spread);
    let places = if millis < 10.0 { 2 } else { usize::from(millis < 100.0) };
    format!("{millis:.places$}")
}
