//! `GET /admin/report`: the requests that are kept, added up by client, model or whatever else is asked for, as JSON or as a
//! table (CSV).
//!
//! Made anew for each question from what is in memory and in the folder, off the tasks that serve requests, one at a time:
//! a folder of a gigabyte takes some seconds. The part of the OpenAPI document is `openapi/report.json`.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;

use super::stories::{may_read, refusal};
use super::{Operations, named, own};
use crate::observe::Ledger;
use crate::observe::ledger::{Record, Time};
use crate::observe::report::{Asked, Report, Tally, forms};
use crate::proxy::respond::ProxyError;

/// Held by the report that is being made.
static TURN: Semaphore = Semaphore::const_new(1);

/// `GET /admin/report`.
pub(super) async fn report(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let id = operations.proxy.request_id(request.headers());
    let answer = match may_read(&operations, &request) {
        Err(error) => own(error),
        Ok(()) => {
            let now = Time::now();
            match read(request.uri().query().unwrap_or_default(), now) {
                Err((param, wrong)) => {
                    let message = format!("`{param}` {wrong}.");
                    refusal(StatusCode::BAD_REQUEST, Some(param), "invalid_query", &message)
                }
                Ok(asked) => match made(Arc::clone(operations.proxy.ledger()), asked, now).await {
                    Some(report) => written(report, request.headers()),
                    None => own(ProxyError::Draining),
                },
            }
        }
    };
    named(answer, id)
}

fn read(query: &str, now: Time) -> Result<Asked, (&'static str, String)> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    Asked::read(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())), now)
}

/// The report, when its turn has come; `None` when the server is ending.
pub(super) async fn made(ledger: Arc<Ledger>, asked: Asked, now: Time) -> Option<Report> {
    // An error means that the semaphore was closed, which never happens.
    let _turn = TURN.acquire().await.ok()?;
    tokio::task::spawn_blocking(move || add_up(&ledger, &asked, now)).await.ok()
}

fn written(report: Report, headers: &HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    if accepted.split(',').any(|kind| kind.trim().to_ascii_lowercase().starts_with("text/csv")) {
        return ([(CONTENT_TYPE, "text/csv; charset=utf-8")], forms::csv(&report)).into_response();
    }
    Json(report).into_response()
}

/// Adds up the records in memory, and those of the folder that are not there. Blocks while files are read.
fn add_up(ledger: &Ledger, asked: &Asked, now: Time) -> Report {
    let mut tally = Tally::new(asked, now);
    let recent = ledger.select(&asked.filter, usize::MAX);
    recent.iter().for_each(|record| tally.add(record));
    if let Some(reading) = ledger.reading() {
        let known: HashSet<_> = recent.iter().map(|record| (&*record.request_id, record.time)).collect();
        let mut see = |record: Record| {
            if !known.contains(&(&*record.request_id, record.time)) {
                tally.add(&record);
            }
            true
        };
        if let Err(error) = reading.backwards(&asked.filter, &mut see) {
            tracing::warn!("the stories of the folder cannot be read: {error}");
        }
    }
    tally.report()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::observe::ledger::Filter;
    use crate::observe::ledger::record::Millis;
    use crate::observe::report::By;

    #[test]
    fn the_document_describes_what_is_asked_and_answered() {
        let document: Value = serde_json::from_str(include_str!("openapi/report.json")).expect("JSON");
        let parameters = document["paths"]["/admin/report"]["get"]["parameters"].as_array().expect("a list");
        let names: Vec<&str> = parameters.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
        let expected: Vec<&str> = Asked::PARAMETERS.into_iter().chain(Filter::PARAMETERS).collect();
        assert_eq!(names, expected);
        assert_eq!(parameters[0]["schema"]["items"]["enum"], json!(By::ALL.map(|(name, _)| name)));
        let asked = read("by=client&timeline=1", Time(0)).expect("sound");
        let mut tally = Tally::new(&asked, Time(0));
        let time = Some(Millis(1));
        tally.add(&Record { first_byte_ms: time, queue_ms: time, overhead_ms: time, ..Record::default() });
        let report = serde_json::to_value(tally.report()).expect("JSON");
        let schemas = &document["components"]["schemas"];
        let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
        let described = |name: &str| keys(&schemas[name]["properties"]);
        let mut whole = described("Report");
        assert!(whole.remove("other"));
        assert_eq!(keys(&report), whole);
        assert_eq!(keys(&report["total"]), described("Figures"));
        assert_eq!(keys(&report["timeline"]), described("Timeline"));
        assert_eq!(keys(&report["total"]["own_ms"]), described("Spread"));
        let mut row = keys(&report["rows"][0]);
        assert!(row.remove("group"));
        assert_eq!(row, described("Figures"));
    }
}
