//! Spending, added up by client, route, provider, model or day.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::{Day, Row, Spend};
use crate::limits::money::Nano;
use crate::limits::usage::Part;

/// A property that rows can be added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The client.
    Client,
    /// The route.
    Route,
    /// The provider.
    Provider,
    /// The provider's name for the model.
    Model,
    /// The day, in UTC.
    Day,
}

impl By {
    /// All of them, with their names.
    pub const ALL: [(&str, Self); 5] = [
        ("client", Self::Client),
        ("route", Self::Route),
        ("provider", Self::Provider),
        ("model", Self::Model),
        ("day", Self::Day),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, by)| *by == self).map_or("", |(name, _)| name)
    }

    fn of(self, row: &Row) -> String {
        match self {
            Self::Client => row.client.clone(),
            Self::Route => row.route.clone(),
            Self::Provider => row.provider.clone(),
            Self::Model => row.model.clone(),
            Self::Day => row.day.to_string(),
        }
    }
}

/// Spending over some days, added up.
#[derive(Debug)]
pub struct Report {
    by: Vec<By>,
    days: RangeInclusive<Day>,
    /// By the values of `by`, in their order.
    rows: BTreeMap<Vec<String>, Row>,
    total: Row,
}

impl Report {
    /// Adds up the rows.
    pub fn of(spend: &Spend, by: Vec<By>, days: RangeInclusive<Day>) -> Self {
        let (mut rows, mut total) = (BTreeMap::<Vec<String>, Row>::new(), Row::default());
        spend.each(days.clone(), |row| {
            rows.entry(by.iter().map(|by| by.of(row)).collect()).or_default().add(row);
            total.add(row);
        });
        Self { by, days, rows, total }
    }

    /// As JSON: costs in dollars, and exactly in nano-dollars.
    pub fn to_json(&self) -> Value {
        let row = |(values, row): (&Vec<String>, &Row)| {
            let mut object = Map::new();
            for (by, value) in self.by.iter().zip(values) {
                // A client that showed no key has no name.
                let value = if *by == By::Client && value.is_empty() { Value::Null } else { json!(value) };
                object.insert(by.name().to_owned(), value);
            }
            object.extend(figures(row));
            Value::Object(object)
        };
        json!({
            "since": Some(self.days.start()).filter(|day| **day > Day(0)).map(Day::to_string),
            "until": Some(self.days.end()).filter(|day| **day < Day(u32::MAX)).map(Day::to_string),
            "by": self.by.iter().map(|by| by.name()).collect::<Vec<_>>(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "total": figures(&self.total),
        })
    }

    /// As CSV (RFC 4180), with a line of names.
    pub fn to_csv(&self) -> String {
        let names = self.by.iter().map(|by| by.name());
        let figures = ["requests", "unpriced", "prompt_tokens", "completion_tokens"];
        let parts = Part::ALL.map(Part::name);
        let head: Vec<&str> = names.chain(figures).chain(parts).chain(["cost"]).collect();
        let mut text = head.join(",") + "\r\n";
        for (values, row) in &self.rows {
            values.iter().for_each(|value| text.push_str(&(cell(value) + ",")));
            let sum = |parts: &[Part]| parts.iter().map(|part| row.tokens[*part as usize]).sum::<u64>();
            // Writing to a String cannot fail.
            let _ = write!(text, "{},{},{},{}", row.requests, row.unpriced, sum(&Part::PROMPT), sum(&Part::ANSWER));
            row.tokens.iter().for_each(|tokens| text.push_str(&format!(",{tokens}")));
            let _ = write!(text, ",{}\r\n", Nano(row.nano));
        }
        text
    }
}

/// The figures of a row.
fn figures(row: &Row) -> Map<String, Value> {
    let sum = |parts: &[Part]| parts.iter().map(|part| row.tokens[*part as usize]).sum::<u64>();
    let parts = Part::ALL.map(|part| (part.name().to_owned(), json!(row.tokens[part as usize])));
    let mut figures = Map::new();
    figures.insert("requests".to_owned(), json!(row.requests));
    figures.insert("unpriced".to_owned(), json!(row.unpriced));
    figures.insert("prompt_tokens".to_owned(), json!(sum(&Part::PROMPT)));
    figures.insert("completion_tokens".to_owned(), json!(sum(&Part::ANSWER)));
    figures.insert("tokens".to_owned(), Value::Object(parts.into_iter().collect()));
    figures.insert("cost".to_owned(), json!(Nano(row.nano).dollars()));
    figures.insert("nano_dollars".to_owned(), json!(row.nano));
    figures
}

/// A value in a cell that no spreadsheet takes for a formula or for several cells.
pub fn cell(value: &str) -> String {
    let value: String = value.chars().filter(|c| !c.is_control()).collect();
    let is_formula = value.starts_with(['=', '+', '-', '@']);
    let value = if is_formula { format!("'{value}") } else { value };
    if value.contains([',', '"', ';']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Usage;
    use crate::limits::clock::Moment;
    use crate::limits::spend::Key;

    fn spend() -> Spend {
        let spend = Spend::default();
        for (day, client, model, nano) in
            [(20_500, "a", "m", 5), (20_500, "a", "=n,\"", 7), (20_501, "a", "m", 11), (20_502, "", "m", 500_000_000)]
        {
            let now = Moment::of_unix_ms(day * 86_400_000);
            let key = Key { client, route: "r", provider: "p", model };
            spend.count(now, key, &Usage::of(Some(2), Some(1)), Some(Nano(nano)));
        }
        spend
    }

    #[test]
    fn rows_are_added_up_by_what_is_asked_for() {
        let days = Day(20_500)..=Day(20_501);
        let json = Report::of(&spend(), vec![By::Client, By::Model], days).to_json();
        assert_eq!((&json["since"], &json["until"]), (&json!("2026-02-16"), &json!("2026-02-17")));
        let rows = json["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 2);
        assert_eq!((&rows[1]["client"], &rows[1]["model"]), (&json!("a"), &json!("m")));
        assert_eq!((&rows[1]["requests"], &rows[1]["nano_dollars"]), (&json!(2), &json!(16)));
        assert_eq!((&json["total"]["prompt_tokens"], &json["total"]["nano_dollars"]), (&json!(6), &json!(23)));
    }

    #[test]
    fn a_table_has_one_line_for_each_row_and_no_formulas() {
        let csv = Report::of(&spend(), vec![By::Model], Day(0)..=Day(u32::MAX)).to_csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].starts_with("model,requests,unpriced,prompt_tokens,completion_tokens,input,"), "{csv}");
        assert_eq!(lines[1], "\"'=n,\"\"\",1,0,2,1,2,0,0,0,0,0,1,0,0,0,0.000000007");
        assert_eq!(lines[2], "m,3,0,6,3,6,0,0,0,0,0,3,0,0,0,0.500000016");
    }

    #[test]
    fn a_client_without_a_name_is_null_in_json() {
        let json = Report::of(&spend(), vec![By::Client], Day(20_502)..=Day(20_502)).to_json();
        assert_eq!((&json["rows"][0]["client"], &json["rows"][0]["cost"]), (&Value::Null, &json!(0.5)));
    }
}
