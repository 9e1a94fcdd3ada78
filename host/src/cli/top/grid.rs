//! Tables of the screen, as data: sorted, selected and drawn in the same way whatever they show.

use std::cmp::Ordering;

/// The weight of a cell; its text says the same in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// The usual one.
    #[default]
    Plain,
    /// A state in which all is well.
    Good,
    /// A state that is worth a look.
    Warn,
    /// A state in which something is wrong.
    Bad,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cell {
    /// The text.
    pub text: String,
    /// The value to sort by, if it is no text.
    pub value: Option<f64>,
    /// Its weight.
    pub tone: Tone,
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A number that is shown as this text; a dash where it is not known.
    pub fn number(value: Option<f64>, show: impl Fn(f64) -> String) -> Self {
        let value = value.filter(|value| value.is_finite());
        Self {
            text: value.map_or_else(|| "–".to_owned(), show),
            value: Some(value.unwrap_or(f64::MIN)),
            tone: Tone::Plain,
        }
    }

    /// The same cell with this weight if `applies`.
    pub fn toned(self, tone: Tone, applies: bool) -> Self {
        if applies { Self { tone, ..self } } else { self }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        match (self.value, other.value) {
            // Numbers begin with the largest, texts with A.
            (Some(one), Some(two)) => two.total_cmp(&one),
            _ => self.text.cmp(&other.text),
        }
    }
}

/// One row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// The provider, client or request that the row is about; it decides what Enter opens.
    pub key: String,
    /// Its cells, one for each column.
    pub cells: Vec<Cell>,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its heading.
    pub name: &'static str,
    /// The width in columns of the terminal; 0 for the columns that all others leave.
    pub width: u16,
    /// True for numbers, which stand at the right.
    pub is_number: bool,
}

/// A column of texts.
pub(super) const fn words(name: &'static str, width: u16) -> Column {
    Column { name, width, is_number: false }
}

/// A column of numbers.
pub(super) const fn number(name: &'static str, width: u16) -> Column {
    Column { name, width, is_number: true }
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grid {
    /// Its columns.
    pub columns: &'static [Column],
    /// Its rows, in their usual order.
    pub rows: Vec<Row>,
}

impl Grid {
    /// Sorts by a column; `None` is the usual order.
    pub fn sort(&mut self, by: Option<usize>, is_reversed: bool) {
        if let Some(by) = by {
            let cell = |row: &Row| row.cells.get(by).cloned().unwrap_or_default();
            self.rows.sort_by(|one, other| cell(one).cmp(&cell(other)));
        }
        if is_reversed {
            self.rows.reverse();
        }
    }
}

/// A number per second.
pub(super) fn rate(value: f64) -> String {
    match value {
        ..0.05 => format!("{value:.2}"),
        0.05..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A share, as a percentage.
pub(super) fn percent(value: f64) -> String {
    if value == 0.0 || value >= 0.9995 { format!("{:.0} %", value * 100.0) } else { format!("{:.1} %", value * 100.0) }
}

/// A time in seconds, as milliseconds or seconds.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        ..0.01 => format!("{:.2} ms", seconds * 1000.0),
        0.01..1.0 => format!("{:.0} ms", seconds * 1000.0),
        1.0..100.0 => format!("{seconds:.1} s"),
        _ => format!("{:.0} s", seconds),
    }
}

/// A count.
pub(super) fn count(value: f64) -> String {
    match value {
        ..10_000.0 => format!("{value:.0}"),
        10_000.0..10_000_000.0 => format!("{:.0}k", value / 1e3),
        _ => format!("{:.0}M", value / 1e6),
    }
}

/// Dollars.
pub(super) fn dollars(value: f64) -> String {
    if value == 0.0 || value >= 10.0 { format!("{value:.2}") } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_by_value_and_texts_by_their_letters() {
        let row = |name: &str, value: Option<f64>| Row {
            key: name.to_owned(),
            cells: vec![Cell::text(name), Cell::number(value, count)],
        };
        let mut grid = Grid { columns: &[], rows: vec![row("b", Some(9.0)), row("c", None), row("a", Some(10.0))] };
        let order = |grid: &Grid| grid.rows.iter().map(|row| row.key.clone()).collect::<String>();
        grid.sort(None, true);
        assert_eq!(order(&grid), "acb");
        grid.sort(Some(0), false);
        assert_eq!(order(&grid), "abc");
        grid.sort(Some(1), false);
        assert_eq!((order(&grid).as_str(), grid.rows[2].cells[1].text.as_str()), ("abc", "–"));
        grid.sort(Some(1), true);
        assert_eq!(order(&grid), "cba");
    }

    #[test]
    fn figures_are_as_precise_as_they_need_to_be() {
        assert_eq!([0.0, 0.02, 3.13, 250.0].map(rate), ["0.00", "0.02", "3.1", "250"]);
        assert_eq!([0.0, 0.123, 1.0].map(percent), ["0 %", "12.3 %", "100 %"]);
        assert_eq!([0.0004, 0.25, 1.5, 200.0].map(time), ["0.40 ms", "250 ms", "1.5 s", "200 s"]);
        assert_eq!([7.0, 12_345.0, 9.9e7].map(count), ["7", "12k", "99M"]);
        assert_eq!([0.0, 0.5, 12.0].map(dollars), ["0.00", "0.5000", "12.00"]);
    }
}
