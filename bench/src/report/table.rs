//! Tables of text.

use std::fmt;

use crate::results::Results;
use crate::stats::Spread;
use crate::targets::{Form, OTHER_FORMS, Target};

/// Rows of cells, the first one being the head.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With a head.
    pub fn new<'a>(head: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rows: vec![head.into_iter().map(str::to_owned).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
        let widths: Vec<usize> =
            (0..columns).map(|column| self.rows.iter().map(|row| cell(row, column)).max().unwrap_or(0)).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
            if number == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                writeln!(f, "{}", rules.join("  "))?;
            }
        }
        Ok(())
    }
}

/// `median [least–most]`; the median alone where there is but one sample.
pub fn cell(spread: Spread, digits: usize) -> String {
    let Spread { median, min, max, samples } = spread;
    match samples {
        1 => format!("{median:.digits$}"),
        _ => format!("{median:.digits$} [{min:.digits$}–{max:.digits$}]"),
    }
}

/// The basis of a row: the figure alone, or beside another target's.
enum Basis {
    /// The figure itself.
    Plain,
    /// Its ratio to nginx's figure.
    ToNginx,
    /// Its difference from the figure without a proxy.
    Added,
}

/// The rows of the table of all targets: title, measure, figure, basis, digits.
const ROWS: &[(&str, &str, &str, Basis, usize)] = &[
    ("1 KB: CPU µs/request", "1k", "cpu_us", Basis::Plain, 1),
    ("  x nginx", "1k", "cpu_us", Basis::ToNginx, 2),
    ("  requests/s", "1k", "per_second", Basis::Plain, 0),
    ("  load and mock, of their core", "1k", "load_core_share", Basis::Plain, 2),
    ("32 KB: CPU µs/request", "32k", "cpu_us", Basis::Plain, 1),
    ("  x nginx", "32k", "cpu_us", Basis::ToNginx, 2),
    ("  requests/s", "32k", "per_second", Basis::Plain, 0),
    ("1 MB: CPU µs/request", "1m", "cpu_us", Basis::Plain, 0),
    ("  x nginx", "1m", "cpu_us", Basis::ToNginx, 2),
    ("  requests/s", "1m", "per_second", Basis::Plain, 0),
    ("SSE 5 ms apart: CPU µs/event", "paced", "cpu_us", Basis::Plain, 1),
    ("  x nginx", "paced", "cpu_us", Basis::ToNginx, 2),
    ("  events/s (12,800 offered)", "paced", "per_second", Basis::Plain, 0),
    ("  wakes/event", "paced", "wakes", Basis::Plain, 2),
    ("SSE one by one: CPU µs/event", "alone", "cpu_us", Basis::Plain, 1),
    ("  x nginx", "alone", "cpu_us", Basis::ToNginx, 2),
    ("  events/s (3,200 offered)", "alone", "per_second", Basis::Plain, 0),
    ("  wakes/event", "alone", "wakes", Basis::Plain, 2),
    ("  500 requests/s between: CPU µs/each", "mixed", "cpu_us", Basis::Plain, 1),
    ("  x nginx", "mixed", "cpu_us", Basis::ToNginx, 2),
    ("SSE together: CPU µs/event", "burst", "cpu_us", Basis::Plain, 1),
    ("  x nginx", "burst", "cpu_us", Basis::ToNginx, 2),
    ("  events/s", "burst", "per_second", Basis::Plain, 0),
    ("500/s: p50 µs", "rate500", "p50_us", Basis::Plain, 0),
    ("  added p50", "rate500", "p50_us", Basis::Added, 0),
    ("  added p99", "rate500", "p99_us", Basis::Added, 0),
    ("2,000/s: p50 µs", "rate2000", "p50_us", Basis::Plain, 0),
    ("  added p50", "rate2000", "p50_us", Basis::Added, 0),
    ("  added p99", "rate2000", "p99_us", Basis::Added, 0),
    ("RSS idle, MB", "1k", "rss_idle_mb", Basis::Plain, 1),
    ("RSS loaded, MB", "1k", "rss_loaded_mb", Basis::Plain, 1),
    ("RSS per live stream, KB", "slow", "kb_per_stream", Basis::Plain, 1),
    ("1,000 streams, all begun, ms", "slow", "all_begun_ms", Basis::Plain, 0),
];

/// The other forms of Pointsman beside the plain one; `None` when they were not measured.
pub fn forms(results: &Results) -> Option<Table> {
    const PLAIN: &str = Target::Pointsman(Form::Plain).name();
    let mut table = Table::new(["1 KB", "CPU µs/request", "more than plain", "requests/s", "RSS loaded, MB"]);
    let targets = results.targets();
    let forms: Vec<&str> = OTHER_FORMS.map(|form| Target::Pointsman(form).name()).into_iter().collect();
    if !forms.iter().any(|form| targets.contains(form)) {
        return None;
    }
    for name in [PLAIN].into_iter().chain(forms) {
        let more = results.difference(name, PLAIN, "1k", "cpu_us").filter(|_| name != PLAIN);
        let spread = |figure| results.spread(name, "1k", figure);
        let cells = [(spread("cpu_us"), 1), (more, 1), (spread("per_second"), 0), (spread("rss_loaded_mb"), 1)];
        let cells = cells.map(|(spread, digits)| spread.map_or("–".to_owned(), |spread| cell(spread, digits)));
        table.row([name.to_owned()].into_iter().chain(cells));
    }
    Some(table)
}

/// All figures of all targets; rows without any are left out.
pub fn figures(results: &Results) -> Table {
    let forms = OTHER_FORMS.map(|form| Target::Pointsman(form).name());
    let targets: Vec<&str> = results.targets().into_iter().filter(|name| !forms.contains(name)).collect();
    let mut table = Table::new([""].into_iter().chain(targets.iter().copied()));
    for (title, measure, figure, kind, digits) in ROWS {
        let of = |target: &&str| match kind {
            Basis::Plain => results.spread(target, measure, figure),
            Basis::ToNginx => results.ratio(target, "nginx", measure, figure),
            Basis::Added => results.difference(target, "direct", measure, figure),
        };
        let spreads: Vec<Option<Spread>> = targets.iter().map(of).collect();
        if spreads.iter().any(Option::is_some) {
            let cells =
                spreads.into_iter().map(|spread| spread.map_or("–".to_owned(), |spread| cell(spread, *digits)));
            table.row([(*title).to_owned()].into_iter().chain(cells));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["", "µs"]);
        table.row(["nginx".to_owned(), cell(Spread { median: 36.24, min: 32.0, max: 41.7, samples: 5 }, 1)]);
        table.row(["envoy".to_owned(), cell(Spread { median: 126.0, min: 126.0, max: 126.0, samples: 1 }, 1)]);
        assert_eq!(table.to_string(), "       µs\n-----  ----------------\nnginx  36.2 [32.0–41.7]\nenvoy  126.0\n");
    }
}
