//! The results of a simulation as tables for a terminal, with warnings in sentences.

use std::fmt::Write as _;

use super::scenario::Scenario;
use super::tally::used::Used;
use super::tally::{Decided, Report, Spread};

/// Columns of a terminal.
const WIDTH: usize = 80;

/// Compares the strategies side by side.
pub fn table(scenario: &Scenario, reports: &[Report]) -> String {
    let script = &scenario.script;
    let mut text = format!("{}\n", script.name);
    if !script.description.is_empty() {
        let _ = writeln!(text, "{}", filled(script.description.trim()));
    }
    text.push_str(&grid(&counts(reports)));
    let head = ["strategy", "first token", "p95", "p99", "latency", "p95", "p99", "queue p95"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(reports.iter().map(times));
    text.push_str(&grid(&rows));
    let note = "times in ms: median, 95th and 99th percentile, of the requests that were answered";
    let _ = writeln!(text, "\n{}", filled(note));
    let mut rows = vec![vec!["provider".to_owned()]];
    for report in reports {
        rows[0].extend([format!("{} %", shown(&report.strategy)), "p95".to_owned()]);
    }
    let names = reports.first().map(|report| report.providers.iter().map(|provider| provider.name.clone()));
    for (index, name) in names.into_iter().flatten().enumerate() {
        let mut row = vec![name];
        for provider in reports.iter().filter_map(|report| report.providers.get(index)) {
            row.extend([format!("{:.1}", provider.share * 100.0), millis(provider.first_token_ms.p95)]);
        }
        rows.push(row);
    }
    text.push_str(&grid(&rows));
    text.push_str("\nshare of the answers, and the 95th percentile of ms to the first token");
    text.push_str(&accounts(reports));
    for report in reports.iter().filter(|report| !report.errors.is_empty()) {
        let errors: Vec<String> = report.errors.iter().map(|(status, count)| format!("{count} x {status}")).collect();
        let _ = write!(text, "\nerrors with {}: {}", report.strategy, errors.join(", "));
    }
    text
}

/// The table of what was used of the accounts of providers; empty when none has limits.
fn accounts(reports: &[Report]) -> String {
    let head = ["strategy", "provider", "limit", "of", "left", "had no room", "waited", "ms"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for report in reports {
        for provider in &report.providers {
            let Some(Used { refused, waited, mean_wait_ms, limits, .. }) = &provider.account else { continue };
            for (place, limit) in limits.iter().enumerate() {
                let number = |value: f64| if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
                let mut row = vec![shown(&report.strategy), provider.name.clone(), limit.name.clone()];
                row.extend([number(limit.limit), number(limit.left)]);
                if place == 0 {
                    row.extend([refused.to_string(), waited.to_string(), millis(*mean_wait_ms)]);
                }
                rows.push(row);
            }
        }
    }
    if rows.len() == 1 {
        return String::new();
    }
    let note = "limits of accounts at the end; attempts that found no room there, those that waited for it, and how long on average";
    format!("\n{}\n{}", grid(&rows), filled(note))
}

/// A sentence for each strategy that did not always decide, because its figures are then partly those of the default
/// order.
pub fn warnings(reports: &[Report]) -> Vec<String> {
    let mut warnings = Vec::new();
    for Report { strategy, decided, .. } in reports {
        let Decided { decisions, faults, refusals, abstentions, fault_kinds, last_fault } = decided;
        let of = |count: u64| {
            format!("{count} of {decisions} decisions ({:.2} %)", 100.0 * count as f64 / (*decisions).max(1) as f64)
        };
        if *faults > 0 {
            let kinds: Vec<String> = fault_kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let last = last_fault.as_ref().map(|last| format!("; the last fault: {last}")).unwrap_or_default();
            warnings.push(format!(
                "WARNING: {strategy} BROKE: {} used the order of the configuration instead ({}){last}",
                of(*faults),
                kinds.join(", ")
            ));
        }
        if *refusals > 0 {
            warnings.push(format!(
                "WARNING: {strategy} refused: {} used the order of the configuration, because it returned an error",
                of(*refusals)
            ));
        }
        if *abstentions > 0 {
            warnings
                .push(format!("note: {strategy} abstained: {} used the order of the configuration", of(*abstentions)));
        }
    }
    warnings
}

/// The table of counts. A rare count, such as faults, has a column only if it is not 0 for every strategy.
fn counts(reports: &[Report]) -> Vec<Vec<String>> {
    type Column = (&'static str, fn(&Report) -> String);
    type Rare = (&'static str, fn(&Report) -> u64);
    let columns: [Column; 5] = [
        ("requests", |report| report.requests.to_string()),
        ("answered", |report| share(report.answered, report.requests)),
        ("errors", |report| share(report.errors.values().sum(), report.requests)),
        ("failovers", |report| report.failovers.to_string()),
        ("cost", |report| money(report.cost)),
    ];
    let rare: [Rare; 4] = [
        ("hedges", |report| report.hedges as u64),
        ("faults", |report| report.decided.faults),
        ("refusals", |report| report.decided.refusals),
        ("abstentions", |report| report.decided.abstentions),
    ];
    let rare = rare.into_iter().filter(|(_, read)| reports.iter().any(|report| read(report) > 0));
    let rare: Vec<Rare> = rare.collect();
    let mut rows = vec![vec!["strategy".to_owned()]];
    rows[0].extend(columns.iter().map(|(name, _)| (*name).to_owned()));
    rows[0].extend(rare.iter().map(|(name, _)| (*name).to_owned()));
    for report in reports {
        let mut row = vec![shown(&report.strategy)];
        row.extend(columns.iter().map(|(_, read)| read(report)));
        row.extend(rare.iter().map(|(_, read)| read(report).to_string()));
        rows.push(row);
    }
    rows
}

/// A short name of a strategy for a table: the file name of a path.
fn shown(strategy: &str) -> String {
    let file = std::path::Path::new(strategy).file_name().map(|name| name.to_string_lossy().into_owned());
    file.unwrap_or_else(|| strategy.to_owned())
}

fn share(count: usize, of: usize) -> String {
    format!("{count} ({:.2} %)", 100.0 * count as f64 / of.max(1) as f64)
}

fn times(report: &Report) -> Vec<String> {
    let Spread { p50, p95, p99, .. } = report.first_token_ms;
    let latency = report.latency_ms;
    let times = [p50, p95, p99, latency.p50, latency.p95, latency.p99, report.queue_wait_ms.p95];
    std::iter::once(shown(&report.strategy)).chain(times.map(millis)).collect()
}

/// Formats a number for people.
pub fn millis(value: f64) -> String {
    format!("{value:.0}")
}

/// The text for a cost, or a dash if it is not known.
pub fn money(value: f64) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.2}") }
}

/// A table with columns of the necessary width; the first is aligned left, the others right. Columns that do not fit
/// into a terminal follow below, with the first column repeated.
fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let first = widths.first().copied().unwrap_or(0);
    let mut text = String::new();
    let mut begin = 1;
    while begin < columns.max(2) {
        let (mut end, mut taken) = (begin, first);
        while end < columns && (end == begin || taken + 2 + widths[end] <= WIDTH) {
            taken += 2 + widths[end];
            end += 1;
        }
        for row in rows {
            let _ = write!(text, "\n{:first$}", row.first().map(String::as_str).unwrap_or_default());
            for (column, &width) in widths.iter().enumerate().take(end).skip(begin) {
                let cell = row.get(column).map(String::as_str).unwrap_or_default();
                let _ = write!(text, "  {cell:>width$}");
            }
        }
        text.push('\n');
        begin = end.max(begin + 1);
    }
    text
}

/// Wraps a text to the width of a terminal.
fn filled(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_wide_for_a_terminal_stands_below() {
        let row =
            |label: &str| std::iter::once(label.to_owned()).chain((0..20).map(|n| format!("column {n}"))).collect();
        let rows: Vec<Vec<String>> = vec![row("head"), row("one")];
        let text = grid(&rows);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.matches("head").count(), 3, "{text}");
        for column in 0..20 {
            assert_eq!(text.split_whitespace().filter(|word| **word == column.to_string()).count(), 2, "{text}");
        }
        assert!(filled(&"word ".repeat(100)).lines().all(|line| line.len() <= WIDTH));
    }
}
