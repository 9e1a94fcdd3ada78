//! The contents of pages, as data: tables of cells that are rendered here for a browser without script, and sent as JSON to
//! the script that keeps them up to date. The text of a cell is made in one place, so both show the same.

use std::fmt::Write as _;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::html::escaped;

/// The weight of a cell; its text says the same in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// The usual one.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Worth a look.
    Warn,
    /// Something is wrong.
    Bad,
    /// One of less weight.
    Faint,
}

impl Tone {
    /// Its class in the style sheet; empty for a plain one.
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Faint => "faint",
        }
    }
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// The text.
    pub text: String,
    /// The value to sort by, where the text does not begin with it.
    pub sort: Option<f64>,
    /// Its weight.
    pub tone: Tone,
    /// A share between 0 and 1, shown as a bar.
    pub meter: Option<f64>,
    /// An address of this site.
    pub link: Option<String>,
}

impl Cell {
    /// A plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A cell without content.
    pub fn none() -> Self {
        Self { text: "–".to_owned(), tone: Tone::Faint, sort: Some(-1.0), ..Self::default() }
    }

    /// A whole number.
    pub fn count(count: u64) -> Self {
        Self { text: grouped(count), sort: Some(count as f64), ..Self::default() }
    }

    /// Dollars.
    pub fn dollars(dollars: f64) -> Self {
        Self { text: money(dollars), sort: Some(dollars), ..Self::default() }
    }

    /// A time in seconds, in words.
    pub fn seconds(seconds: f64) -> Self {
        Self { text: span(seconds), sort: Some(seconds), ..Self::default() }
    }

    /// The same cell with this value to sort by.
    pub fn by(self, sort: f64) -> Self {
        Self { sort: Some(sort), ..self }
    }

    /// The same cell, seen so.
    pub fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    /// The same cell with a bar; full is 1.
    pub fn metered(self, share: f64) -> Self {
        Self { meter: Some((share.clamp(0.0, 1.0) * 1000.0).round() / 1000.0), ..self }
    }

    /// The same cell as a link.
    pub fn linked(self, to: String) -> Self {
        Self { link: Some(to), ..self }
    }

    /// The inside of its element, as HTML.
    fn inner(&self) -> String {
        let text = escaped(&self.text);
        let text = match &self.link {
            Some(link) => format!("<a href=\"{}\">{text}</a>", escaped(link)),
            None => text,
        };
        let meter = self.meter.map_or(String::new(), |share| {
            let class = if share >= 0.9 { " class=\"high\"" } else { "" };
            format!("<span aria-hidden=\"true\"><meter{class} value=\"{share}\"></meter></span>")
        });
        format!("{text}{meter}")
    }

    /// The element of a single figure outside of tables, which the script finds by its name.
    pub fn figure(&self, name: &str) -> String {
        format!("<dd id=\"f-{name}\" class=\"{}\">{}</dd>", self.tone.class(), self.inner())
    }
}

/// A plain cell is its text alone; others are an object with `t`, and with `s`, `c`, `m` and `h` as far as they apply.
impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { text, sort, tone, meter, link } = self;
        if sort.is_none() && *tone == Tone::Plain && meter.is_none() && link.is_none() {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("t", text)?;
        if let Some(sort) = sort {
            map.serialize_entry("s", sort)?;
        }
        if *tone != Tone::Plain {
            map.serialize_entry("c", tone.class())?;
        }
        if let Some(meter) = meter {
            map.serialize_entry("m", meter)?;
        }
        if let Some(link) = link {
            map.serialize_entry("h", link)?;
        }
        map.end()
    }
}

/// One row; its first cell names it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Tells it from others of its table.
    #[serde(rename = "k")]
    pub key: String,
    /// Its cells, one for each column.
    #[serde(rename = "c")]
    pub cells: Vec<Cell>,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// The meaning of the heading, where it is not plain.
    pub about: &'static str,
    /// The kind of its cells.
    pub holds: Holds,
}

/// The kind of the cells of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A text.
    Text,
    /// A long text.
    Words,
    /// A number.
    Number,
    /// A state, whose changes are read out.
    State,
}

impl Column {
    /// A column.
    pub const fn new(name: &'static str, holds: Holds, about: &'static str) -> Self {
        Self { name, about, holds }
    }

    fn class(&self) -> &'static str {
        match self.holds {
            Holds::Text => "",
            Holds::Words => "words",
            Holds::Number => "num",
            Holds::State => "state",
        }
    }
}

/// A table, with its rows.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// Its name for the script.
    pub id: &'a str,
    /// Its caption.
    pub caption: &'a str,
    /// Its columns.
    pub columns: &'a [Column],
    /// The sentence that stands there if it has no rows.
    pub empty: &'a str,
}

impl Table<'_> {
    /// Writes the table as HTML, in a box that can be scrolled by keyboard.
    pub fn html(&self, out: &mut String, rows: &[Row]) {
        let Table { id, caption, columns, empty } = self;
        let (caption, count) = (escaped(caption), columns.len());
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "<div class=\"box\" role=\"group\" tabindex=\"0\" aria-labelledby=\"c-{id}\">\
             <table id=\"t-{id}\" class=\"cols-{count}\"><caption id=\"c-{id}\">{caption}</caption><thead><tr>"
        );
        for column in *columns {
            let about =
                if column.about.is_empty() { String::new() } else { format!(" title=\"{}\"", escaped(column.about)) };
            let _ = write!(out, "<th scope=\"col\" class=\"{}\"{about}>{}</th>", column.class(), escaped(column.name));
        }
        out.push_str("</tr></thead><tbody>");
        for row in rows {
            let _ = write!(out, "<tr data-key=\"{}\">", escaped(&row.key));
            for (at, (cell, column)) in row.cells.iter().zip(*columns).enumerate() {
                let class = format!("{} {}", column.class(), cell.tone.class());
                let class = class.trim();
                let sort = cell.sort.map_or(String::new(), |sort| format!(" data-s=\"{sort}\""));
                let live = if column.holds == Holds::State { " aria-live=\"polite\"" } else { "" };
                let (open, close) = if at == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
                let _ = write!(out, "<{open} class=\"{class}\"{sort}{live}>{}</{close}>", cell.inner());
            }
            out.push_str("</tr>");
        }
        let hidden = if rows.is_empty() { "" } else { " hidden" };
        let _ = write!(out, "</tbody></table><p id=\"e-{id}\" class=\"none\"{hidden}>{}</p></div>", escaped(empty));
    }
}

/// A number with spaces between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            // No line is broken at this space.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number to three digits or so.
pub fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => grouped(number.round() as u64),
        size if size >= 10.0 => format!("{number:.1}"),
        0.0 => "0".to_owned(),
        size if size < 0.01 => "< 0.01".to_owned(),
        _ => format!("{number:.2}"),
    }
}

/// Dollars, to the cent or to two digits.
pub fn money(dollars: f64) -> String {
    match dollars {
        0.0 => "$0".to_owned(),
        dollars if dollars >= 1.0 => {
            format!("${}{}", grouped(dollars as u64), &format!("{:.2}", dollars.fract().min(0.994))[1..])
        }
        dollars if dollars >= 0.01 => format!("${dollars:.3}"),
        dollars if dollars >= 0.000_01 => format!("${dollars:.5}"),
        _ => "< $0.00001".to_owned(),
    }
}

/// A time in seconds as its two largest units.
pub fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0 if seconds > 0.0 => "< 1 s".to_owned(),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

/// A share as percent.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.1 => "< 0.1 %".to_owned(),
        percent if percent >= 99.95 => "100 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_read_well() {
        assert_eq!((grouped(7), grouped(1_234_567)), ("7".into(), "1\u{202f}234\u{202f}567".into()));
        assert_eq!(["0", "< 0.01", "0.50", "12.3", "1\u{202f}235"], [0.0, 0.001, 0.5, 12.34, 1234.6].map(short)[..]);
        assert_eq!(
            ["$0", "$0.00012", "$0.012", "$3.50", "$1\u{202f}200.99"],
            [0.0, 0.000_12, 0.012, 3.5, 1200.999].map(money)[..]
        );
        assert_eq!(
            ["0 s", "< 1 s", "59 s", "2 min 5 s", "3 h 0 min", "2 d 1 h"],
            [0.0, 0.2, 59.0, 125.0, 10_800.0, 176_400.0].map(span)[..]
        );
        assert_eq!(["0 %", "< 0.1 %", "12.5 %", "100 %"], [0.0, 0.0001, 0.125, 0.9999].map(percent)[..]);
    }

    #[test]
    fn nothing_in_a_cell_becomes_markup() {
        let evil = "\"><script>alert('1')</script>&";
        let columns = [Column::new("name", Holds::Text, "\"><b>"), Column::new("state", Holds::State, "")];
        let cells =
            vec![Cell::text(evil).linked(format!("/admin?{evil}")), Cell::text(evil).metered(0.5).toned(Tone::Bad)];
        let mut html = String::new();
        let table = Table { id: "x", caption: evil, columns: &columns, empty: evil };
        table.html(&mut html, &[Row { key: evil.to_owned(), cells }]);
        html.push_str(&Cell::text(evil).figure("y"));
        assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains("\">&lt;"), "{html}");
        assert_eq!(html.matches("&lt;script&gt;").count(), 7, "{html}");
        // Every attribute is closed where it was opened: no quote of a value is left.
        assert_eq!(html.matches('"').count() % 2, 0);
    }

    #[test]
    fn a_plain_cell_is_its_text_in_json() {
        let json = |cell: Cell| serde_json::to_value(cell).unwrap();
        assert_eq!(json(Cell::text("a")), "a");
        assert_eq!(
            json(Cell::text("a").by(1.0).toned(Tone::Bad).metered(0.25).linked("/b".into())),
            serde_json::json!({"t": "a", "s": 1.0, "c": "bad", "m": 0.25, "h": "/b"})
        );
        assert_eq!(json(Cell::text("a").linked("/b".into())), serde_json::json!({"t": "a", "h": "/b"}));
    }
}
