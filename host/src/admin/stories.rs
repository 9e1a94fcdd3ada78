//! `GET /admin/stories`: the stories that are kept, the latest end first; and `GET /admin/stories/{id}`: one of them with the
//! questions that approaches have asked for it, as JSON or as the course of the request in words.
//!
//! Those in memory are looked at first, then those of the folder, off the tasks that serve requests. The part of the OpenAPI
//! document is `openapi/stories.json`.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use super::{Operations, named, own};
use crate::observe::Ledger;
use crate::observe::ledger::{Filter, Record, Time};
use crate::observe::why::Course;
use crate::proxy::respond::{self, ProxyError};

/// The stories that are shown unless another number is asked for.
const SHOWN: usize = 100;
/// The most that are shown.
const MOST: usize = 10_000;

/// `GET /admin/stories`.
pub(super) async fn all(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let id = operations.proxy.request_id(request.headers());
    let answer = match may_read(&operations, &request) {
        Err(error) => own(error),
        Ok(()) => match read(request.uri().query().unwrap_or_default()) {
            Err((param, message)) => refusal(StatusCode::BAD_REQUEST, Some(param), "invalid_query", &message),
            Ok((filter, most)) => listed(Arc::clone(operations.proxy.ledger()), filter, most).await,
        },
    };
    named(answer, id)
}

/// `GET /admin/stories/{id}`.
pub(super) async fn one(
    State(operations): State<Arc<Operations>>,
    Path(wanted): Path<String>,
    request: Request,
) -> Response {
    let id = operations.proxy.request_id(request.headers());
    let answer = match may_read(&operations, &request) {
        Err(error) => own(error),
        Ok(()) => match find(operations.proxy.ledger(), &wanted).await {
            Some((record, questions)) => shown(&record, &questions, request.headers()),
            None => {
                let message = format!(
                    "No request '{wanted}' is kept here. It may have been too long ago, or it was another replica's."
                );
                refusal(StatusCode::NOT_FOUND, None, "unknown_request", &message)
            }
        },
    };
    named(answer, id)
}

/// Refuses who is no operator, and what does not read.
pub(super) fn may_read(operations: &Operations, request: &Request) -> Result<(), ProxyError> {
    operations.admits(request)?;
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    if reads { Ok(()) } else { Err(ProxyError::WrongMethod("GET, HEAD")) }
}

/// The answer to a question that is wrong.
pub(super) fn refusal(status: StatusCode, param: Option<&str>, code: &str, message: &str) -> Response {
    let error = respond::error_json(message, "invalid_request_error", param, code);
    (status, [(CONTENT_TYPE, "application/json")], Body::from(error)).into_response()
}

/// The filter of a query, and the number of stories to show.
fn read(query: &str) -> Result<(Filter, usize), (&'static str, String)> {
    let (mut filter, mut most, now) = (Filter::default(), SHOWN, Time::now());
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name == "limit" {
            let wrong = || ("limit", format!("`limit` must be a number from 1 to {MOST}."));
            most = value.parse().ok().filter(|most| (1..=MOST).contains(most)).ok_or_else(wrong)?;
            continue;
        }
        let is_known = filter.set(&name, &value, now).map_err(|(name, wrong)| (name, format!("`{name}` {wrong}.")))?;
        if !is_known {
            let names = Filter::PARAMETERS.map(|name| format!("`{name}`")).join(", ");
            return Err(("query", format!("The parameters are {names} and `limit`.")));
        }
    }
    Ok((filter, most))
}

/// The stories that fit, the latest end first.
async fn listed(ledger: Arc<Ledger>, filter: Filter, most: usize) -> Response {
    let selected = tokio::task::spawn_blocking(move || (select(&ledger, &filter, most), ledger)).await;
    let Ok((stories, ledger)) = selected else { return own(ProxyError::Draining) };
    let stories: Vec<&Record> = stories.iter().map(|record| &**record).collect();
    Json(json!({"stories": stories, "kept": ledger.size().0, "lost": ledger.lost()})).into_response()
}

/// Selects from memory, and from the folder where that is not enough. Blocks while files are read.
pub(super) fn select(ledger: &Ledger, filter: &Filter, most: usize) -> Vec<Arc<Record>> {
    let mut stories = ledger.select(filter, most);
    let Some(reading) = ledger.reading().filter(|_| stories.len() < most) else { return stories };
    let known: HashSet<_> = stories.iter().map(|record| (Arc::clone(&record.request_id), record.time)).collect();
    let mut see = |record: Record| {
        if !known.contains(&(Arc::clone(&record.request_id), record.time)) {
            stories.push(Arc::new(record));
        }
        stories.len() < most
    };
    if let Err(error) = reading.backwards(filter, &mut see) {
        tracing::warn!("the stories of the folder cannot be read: {error}");
    }
    stories
}

/// A story by its id, with the questions that approaches have asked for it.
pub(super) async fn find(ledger: &Arc<Ledger>, id: &str) -> Option<(Arc<Record>, Vec<Arc<Record>>)> {
    if let Some(record) = ledger.find(id) {
        let questions = ledger.questions_of(id);
        return Some((record, questions));
    }
    let (reading, id) = (ledger.reading()?.clone(), id.to_owned());
    let found = tokio::task::spawn_blocking(move || reading.find(&id)).await.ok()?;
    match found {
        Ok(found) => found.map(|(record, questions)| (Arc::new(record), questions.into_iter().map(Arc::new).collect())),
        Err(error) => {
            tracing::warn!("the stories of the folder cannot be read: {error}");
            None
        }
    }
}

fn shown(record: &Record, questions: &[Arc<Record>], headers: &HeaderMap) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/plain") {
        return Course::of(record, questions).to_string().into_response();
    }
    let questions: Vec<&Record> = questions.iter().map(|question| &**question).collect();
    Json(json!({"story": record, "questions": questions})).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_query_says_what_is_looked_for() {
        let (filter, most) = read("client=team-a&outcome=5xx&limit=5&since=1h").expect("sound");
        assert_eq!((filter.client.as_deref(), most), (Some("team-a"), 5));
        for (query, param) in [("limit=0", "limit"), ("since=soon", "since"), ("colour=red", "query")] {
            assert_eq!(read(query).map_err(|(param, _)| param).unwrap_err(), param, "{query}");
        }
    }

    #[test]
    fn the_document_names_every_parameter() {
        let document: Value = serde_json::from_str(include_str!("openapi/stories.json")).expect("JSON");
        let parameters = document["paths"]["/admin/stories"]["get"]["parameters"].as_array().expect("a list");
        let names: Vec<&str> = parameters.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
        let expected: Vec<&str> = Filter::PARAMETERS.into_iter().chain(["limit"]).collect();
        assert_eq!(names, expected);
    }
}
