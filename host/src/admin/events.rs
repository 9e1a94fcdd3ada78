//! `GET /admin/events.json`: what has happened to the server: reloads and what they changed, ejections and their ends, rate
//! limits, faults, outages, its start. The part of the OpenAPI document is `openapi/events.json`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::json;

use super::stories::{may_read, refusal};
use super::{Operations, named, own};
use crate::observe::ledger::Time;
use crate::observe::ledger::filter::{MOMENT, moment};
use crate::telemetry::{self, Event};

/// The names of the parameters.
pub(super) const PARAMETERS: [&str; 5] = ["since", "until", "kind", "level", "text"];

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    since: Time,
    until: Time,
    kind: Option<String>,
    /// The lowest level, as a number that falls.
    level: u8,
    text: Option<String>,
}

/// `GET /admin/events.json`.
pub(super) async fn events(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let id = operations.proxy.request_id(request.headers());
    let answer = match may_read(&operations, &request) {
        Err(error) => own(error),
        Ok(()) => match read(request.uri().query().unwrap_or_default(), Time::now()) {
            Ok(asked) => Json(json!({"events": asked.found()})).into_response(),
            Err((param, wrong)) => {
                let message = format!("`{param}` {wrong}.");
                refusal(StatusCode::BAD_REQUEST, Some(param), "invalid_query", &message)
            }
        },
    };
    named(answer, id)
}

/// Reads a query; the error is the parameter that is wrong, and what would be right.
pub(super) fn read(query: &str, now: Time) -> Result<Asked, (&'static str, String)> {
    let mut asked = Asked { since: Time(0), until: Time(i64::MAX), kind: None, level: severity("INFO"), text: None };
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "since" => asked.since = moment(&value, now).ok_or(("since", MOMENT.to_owned()))?,
            "until" => asked.until = moment(&value, now).ok_or(("until", MOMENT.to_owned()))?,
            "kind" => asked.kind = Some(value.into_owned()),
            "level" => {
                asked.level = severity(&value.to_ascii_uppercase());
                if asked.level == severity("") {
                    return Err(("level", "must be one of info, warn, error".to_owned()));
                }
            }
            "text" => asked.text = Some(value.into_owned()),
            _ => return Err(("query", format!("may have {}", PARAMETERS.map(|name| format!("`{name}`")).join(", ")))),
        }
    }
    Ok(asked)
}

/// A level as a number that falls with its weight.
fn severity(level: &str) -> u8 {
    match level {
        "ERROR" => 0,
        "WARN" | "WARNING" => 1,
        "INFO" => 2,
        _ => 3,
    }
}

impl Asked {
    /// The events, the oldest first.
    pub fn found(&self) -> Vec<Event> {
        let moment = |time: Time, else_: Timestamp| Timestamp::from_microsecond(time.0).unwrap_or(else_);
        let all = telemetry::events();
        let mut found = all.between(moment(self.since, Timestamp::MIN), moment(self.until, Timestamp::MAX));
        found.retain(|event| self.fits(event));
        found
    }

    fn fits(&self, event: &Event) -> bool {
        let mentions = |text: &String| {
            event.message.contains(text)
                || event.fields.values().filter_map(|value| value.as_str()).any(|value| value.contains(text))
        };
        self.kind.as_ref().is_none_or(|kind| *kind == event.kind)
            && severity(event.level) <= self.level
            && self.text.as_ref().is_none_or(mentions)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_query_says_what_is_looked_for() {
        let now = Time(1_800_000_000_000_000);
        let asked = read("since=1h&level=warn&kind=provider&text=500", now).expect("sound");
        assert_eq!((asked.since, asked.level), (Time(now.0 - 3_600_000_000), 1));
        let event = |level, message: &str| Event {
            number: 1,
            time: Timestamp::UNIX_EPOCH,
            level,
            kind: "provider".to_owned(),
            message: message.to_owned(),
            fields: serde_json::Map::new(),
        };
        assert!(asked.fits(&event("ERROR", "answered 500")) && asked.fits(&event("WARN", "500")));
        assert!(!asked.fits(&event("INFO", "500")) && !asked.fits(&event("WARN", "refused")));
        for (query, param) in [("since=soon", "since"), ("level=loud", "level"), ("colour=red", "query")] {
            assert_eq!(read(query, now).map_err(|(param, _)| param).unwrap_err(), param);
        }
    }

    #[test]
    fn the_document_describes_what_is_asked_and_answered() {
        let document: Value = serde_json::from_str(include_str!("openapi/events.json")).expect("JSON");
        let parameters = document["paths"]["/admin/events.json"]["get"]["parameters"].as_array().expect("a list");
        let names: Vec<&str> = parameters.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
        assert_eq!(names, PARAMETERS);
        let described = document["components"]["schemas"]["Event"]["properties"].as_object().expect("an object");
        let fields = serde_json::Map::from_iter([("provider".to_owned(), "a".into())]);
        let (kind, message) = ("provider".to_owned(), String::new());
        let event = Event { number: 1, time: Timestamp::UNIX_EPOCH, level: "INFO", kind, message, fields };
        let event = serde_json::to_value(event).expect("JSON");
        assert!(event.as_object().expect("an object").keys().eq(described.keys()), "{event}");
    }
}
