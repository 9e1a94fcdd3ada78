//! What came of a simulation, as a table.

use std::fmt::Write as _;

use super::scenario::Scenario;
use super::tally::{Report, Spread};

/// The strategies side by side.
pub fn table(scenario: &Scenario, reports: &[Report]) -> String {
    let script = &scenario.script;
    let mut text = format!("{}\n", script.name);
    if !script.description.is_empty() {
        let _ = writeln!(text, "{}", script.description.trim());
    }
    let head = [
        "strategy",
        "requests",
        "answered",
        "errors",
        "failovers",
        "first token",
        "p95",
        "p99",
        "latency",
        "p95",
        "p99",
        "queue p95",
        "cost",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(reports.iter().map(row));
    text.push_str(&grid(&rows));
    text.push_str("\ntimes in ms: median, 95th and 99th percentile, of the requests that were answered\n");
    let mut rows = vec![vec!["provider".to_owned()]];
    rows[0].extend(reports.iter().map(|report| format!("{} %", report.strategy)));
    rows[0].extend(reports.iter().map(|report| format!("p95 with {}", report.strategy)));
    let names = reports.first().map(|report| report.providers.iter().map(|provider| provider.name.clone()));
    for (index, name) in names.into_iter().flatten().enumerate() {
        let mut row = vec![name];
        row.extend(reports.iter().map(|report| format!("{:.1}", report.providers[index].share * 100.0)));
        row.extend(reports.iter().map(|report| millis(report.providers[index].first_token_ms.p95)));
        rows.push(row);
    }
    text.push_str(&grid(&rows));
    text.push_str("\nshare of the answers, and the 95th percentile of ms to the first token");
    for report in reports.iter().filter(|report| !report.errors.is_empty()) {
        let errors: Vec<String> = report.errors.iter().map(|(status, count)| format!("{count} x {status}")).collect();
        let _ = write!(text, "\nerrors with {}: {}", report.strategy, errors.join(", "));
    }
    text
}

fn row(report: &Report) -> Vec<String> {
    let Spread { p50, p95, p99, .. } = report.first_token_ms;
    let latency = report.latency_ms;
    let errors: usize = report.errors.values().sum();
    let share = |count: usize| format!("{count} ({:.2} %)", 100.0 * count as f64 / report.requests.max(1) as f64);
    vec![
        report.strategy.clone(),
        report.requests.to_string(),
        share(report.answered),
        share(errors),
        report.failovers.to_string(),
        millis(p50),
        millis(p95),
        millis(p99),
        millis(latency.p50),
        millis(latency.p95),
        millis(latency.p99),
        millis(report.queue_wait_ms.p95),
        format!("{:.2}", report.cost),
    ]
}

/// As people read it.
pub fn millis(value: f64) -> String {
    format!("{value:.0}")
}

/// Columns as wide as they must be; the first to the left, the others to the right.
fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        text.push('\n');
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if column == 0 { write!(text, "{cell:width$}") } else { write!(text, "  {cell:>width$}") };
        }
    }
    text.push('\n');
    text
}
