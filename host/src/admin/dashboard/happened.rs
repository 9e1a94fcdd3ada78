//! The page of events, as `pointsman events` lists them: reloads with their changes, ejections, rate limits, faults, outages.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use super::cells::{Cell, Column, Holds, Row, Table, Tone};
use super::{frame, guarded, html, query};
use crate::admin::Operations;
use crate::admin::events::{Asked, PARAMETERS, read};
use crate::html::escaped;
use crate::observe::ledger::Time;
use crate::telemetry::Event;

/// The most events on a page.
const SHOWN: usize = 300;

/// The fields of the form: parameter, label, and a hint.
const FIELDS: [(&str, &str, &str); 3] = [
    ("since", "Since", "such as 2026-11-26T14:00:00Z or 30m"),
    ("until", "Until", "such as 2026-11-26T14:10:00Z"),
    ("text", "Text", "such as the name of a provider"),
];

/// The kinds of events, with the words for them.
const KINDS: [(&str, &str); 9] = [
    ("", "anything"),
    ("reload", "reloads"),
    ("provider", "providers"),
    ("strategy", "strategies"),
    ("approach", "approaches"),
    ("state", "the shared state"),
    ("keys", "keys"),
    ("ledger", "the ledger"),
    ("server", "the server"),
];
const LEVELS: [(&str, &str); 3] = [("", "everything"), ("warn", "warnings and errors"), ("error", "errors")];

const COLUMNS: [Column; 4] = [
    Column::new("Time", Holds::Text, "In UTC"),
    Column::new("About", Holds::Text, ""),
    Column::new("Level", Holds::State, ""),
    Column::new("What", Holds::Words, ""),
];

/// `GET /admin/events.html`.
pub(super) async fn events(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let answer = match operations.reader(&request) {
        Err(answer) => *answer,
        Ok(visitor) => {
            let (form, now) = (Form::read(query(&request)), Time::now());
            let (status, body) = match form.asked(now) {
                Ok(asked) => (StatusCode::OK, form.html(Ok(asked.found().as_slice()))),
                Err((name, wrong)) => (StatusCode::BAD_REQUEST, form.html(Err(format!("{name} {wrong}.").as_str()))),
            };
            html(status, frame("Events", "/admin/events.html", &visitor).around(&body))
        }
    };
    guarded(&operations, request.headers(), answer)
}

/// The question, as it was given.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(query: &[u8]) -> Self {
        let pairs =
            url::form_urlencoded::parse(query).map(|(name, value)| (name.into_owned(), value.trim().to_owned()));
        Self(pairs.filter(|(name, value)| PARAMETERS.contains(&name.as_str()) && !value.is_empty()).collect())
    }

    fn asked(&self, now: Time) -> Result<Asked, (&'static str, String)> {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish();
        read(&query, now)
    }

    fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    fn html(&self, found: Result<&[Event], &str>) -> String {
        let mut out = String::from("<form method=\"get\" action=\"/admin/events.html\" class=\"search\">");
        for (name, label, hint) in FIELDS {
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "<label>{label}<input name=\"{name}\" value=\"{}\" placeholder=\"{hint}\" autocomplete=\"off\"></label>",
                escaped(self.value(name))
            );
        }
        self.choice(&mut out, "kind", "About", &KINDS);
        self.choice(&mut out, "level", "Level", &LEVELS);
        out.push_str(
            "<p class=\"last\"><button>Show</button><a class=\"button\" href=\"/admin/events.html\">Clear</a></p></form>",
        );
        let events = match found {
            Ok(events) => events,
            Err(problem) => {
                let _ = write!(out, "<p class=\"problem\" role=\"alert\">{}</p>", escaped(problem));
                return out;
            }
        };
        let rows: Vec<Row> = events.iter().rev().take(SHOWN).map(row).collect();
        let caption = match events.len() {
            count if count > SHOWN => format!("The latest {SHOWN} of {count}, the latest first."),
            _ => "The latest first; they are kept in memory, so they begin with this process.".to_owned(),
        };
        let empty = "Nothing that is kept fits.";
        Table { id: "events", caption: &caption, columns: &COLUMNS, empty }.html(&mut out, &rows);
        out
    }

    fn choice(&self, out: &mut String, name: &str, label: &str, options: &[(&str, &str)]) {
        let _ = write!(out, "<label>{label}<select name=\"{name}\">");
        let chosen = self.value(name);
        for (value, words) in options {
            let selected = if *value == chosen { " selected" } else { "" };
            let _ = write!(out, "<option value=\"{value}\"{selected}>{words}</option>");
        }
        if !options.iter().any(|(value, _)| *value == chosen) {
            let chosen = escaped(chosen);
            let _ = write!(out, "<option value=\"{chosen}\" selected>{chosen}</option>");
        }
        out.push_str("</select></label>");
    }
}

fn row(event: &Event) -> Row {
    let Event { number, time, level, kind, message, .. } = event;
    let (word, tone) = match *level {
        "ERROR" => ("error", Tone::Bad),
        "WARN" => ("warning", Tone::Warn),
        _ => ("note", Tone::Plain),
    };
    let shown = time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let cells = vec![
        Cell::text(shown).by(time.as_microsecond() as f64),
        Cell::text(kind.clone()),
        Cell::text(word).toned(tone),
        Cell::text(message.clone()),
    ];
    Row { key: number.to_string(), cells }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const EVIL: &str = "\"><script>alert(1)</script>";

    fn event(number: u64, level: &'static str, message: &str) -> Event {
        let (kind, message) = ("reload".to_owned(), message.to_owned());
        Event { number, time: Timestamp::UNIX_EPOCH, level, kind, message, fields: serde_json::Map::new() }
    }

    #[test]
    fn the_latest_stands_first_and_nothing_becomes_markup() {
        let query = format!(
            "kind={0}&text={0}&colour=red",
            url::form_urlencoded::byte_serialize(EVIL.as_bytes()).collect::<String>()
        );
        let form = Form::read(query.as_bytes());
        let page = form.html(Ok([event(1, "INFO", "first"), event(2, "WARN", EVIL)].as_slice()));
        assert!(!page.contains("<script") && !page.contains("colour"), "{page}");
        assert!(page.find("data-key=\"2\"") < page.find("data-key=\"1\""), "{page}");
        assert!(page.contains("warning") && page.contains("1970-01-01 00:00:00"), "{page}");
    }

    #[test]
    fn what_is_wrong_is_said_above_an_empty_page() {
        let form = Form::read(b"since=soon");
        let problem = form.asked(Time(0)).map_err(|(name, wrong)| format!("{name} {wrong}.")).unwrap_err();
        let page = form.html(Err(problem.as_str()));
        assert!(page.contains("role=\"alert\">since must be a time") && page.contains("value=\"soon\""), "{page}");
    }
}
