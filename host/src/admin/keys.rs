//! `/admin/keys`: makes, shows, changes and removes keys of clients. On the operators' listener alone.
//!
//! A key itself is in one answer only, to the request that made it. Every change is a line of the log, which says who
//! made it and what it was.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{Operations, limits, named, own};
use crate::clients::{ChangeError, Client, Keys, MAX_OVERLAP, Record};
use crate::config::{Digest, Expiry};
use crate::listener::Peer;
use crate::proxy::respond::{ProxyError, error_json};

/// A larger body describes no key.
const MAX_BODY: usize = 64 << 10;
/// The longest wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// `/admin/keys`: `GET` lists, `POST` makes one.
pub(super) async fn all(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let id = operations.proxy.request_id(request.headers());
    let keys = operations.proxy.clients();
    let answer = match (operations.admits(&request), request.method()) {
        (Err(error), _) => own(error),
        (Ok(()), &Method::GET | &Method::HEAD) => list(keys, request.uri().query().unwrap_or_default()).await,
        (Ok(()), &Method::POST) => create(&operations, request).await,
        (Ok(()), _) => own(ProxyError::WrongMethod("GET, HEAD, POST")),
    };
    named(answer, id)
}

/// `/admin/keys/{id}`: `GET` shows a key, `PATCH` changes it, `DELETE` removes it.
pub(super) async fn one(
    State(operations): State<Arc<Operations>>,
    Path(key): Path<String>,
    request: Request,
) -> Response {
    let id = operations.proxy.request_id(request.headers());
    let keys = operations.proxy.clients();
    let answer = match (operations.admits(&request), request.method()) {
        (Err(error), _) => own(error),
        (Ok(()), &Method::GET | &Method::HEAD) => show(keys, &key).await,
        (Ok(()), &Method::PATCH) => change(&operations, &key, request).await,
        (Ok(()), &Method::DELETE) => {
            let by = operator(&operations, &request);
            match keys.remove(&key).await {
                Ok(record) => {
                    told(&by, &record, "deleted", "");
                    let body = json!({"id": record.id, "name": record.name(), "deleted": true});
                    Json(body).into_response()
                }
                Err(error) => refused(&error),
            }
        }
        (Ok(()), _) => own(ProxyError::WrongMethod("GET, HEAD, PATCH, DELETE")),
    };
    named(answer, id)
}

/// `POST /admin/keys/{id}/rotate`, `/block` and `/unblock`.
pub(super) async fn act(
    State(operations): State<Arc<Operations>>,
    Path((key, action)): Path<(String, String)>,
    request: Request,
) -> Response {
    let id = operations.proxy.request_id(request.headers());
    let answer = match (operations.admits(&request), action.as_str()) {
        (Err(error), _) => own(error),
        (Ok(()), "rotate" | "block" | "unblock") if request.method() != Method::POST => {
            own(ProxyError::WrongMethod("POST"))
        }
        (Ok(()), "rotate") => rotate(&operations, &key, request).await,
        (Ok(()), "block" | "unblock") => {
            let by = operator(&operations, &request);
            let blocked = action == "block";
            match operations.proxy.clients().block(&key, blocked).await {
                Ok(record) => {
                    told(&by, &record, if blocked { "blocked" } else { "unblocked" }, "");
                    Json(of_record(&record)).into_response()
                }
                Err(error) => refused(&error),
            }
        }
        (Ok(()), _) => own(ProxyError::UnknownPath(request.uri().path().to_owned())),
    };
    named(answer, id)
}

async fn list(keys: &Keys, query: &str) -> Response {
    let records = match keys.records().await {
        Ok(records) => records,
        Err(error) => return refused(&ChangeError::Unread(error)),
    };
    match query {
        "" => {
            let configured = keys.configured();
            let of_file = configured.iter().map(|(client, place, expires)| of_file(client, place, *expires));
            let data: Vec<Value> = of_file.chain(records.iter().map(of_record)).collect();
            Json(json!({"object": "list", "data": data})).into_response()
        }
        "export" | "export=" | "export=true" => {
            // In the words of the file, so that it can be put there.
            let exported: Vec<Value> = records.iter().map(exported).collect();
            Json(json!({"clients": {"keys": exported}})).into_response()
        }
        _ => invalid(
            "The only parameter is `export`, which gives all keys made at run time as the file would have them.",
        ),
    }
}

async fn show(keys: &Keys, id: &str) -> Response {
    match keys.found(id).await {
        Ok(record) => Json(of_record(&record)).into_response(),
        Err(ChangeError::OfFile { .. }) => {
            let configured = keys.configured();
            let found = configured.iter().find(|(client, ..)| *client.name == *id);
            found.map_or_else(
                || refused(&ChangeError::Unknown(String::new())),
                |(client, place, expires)| Json(of_file(client, place, *expires)).into_response(),
            )
        }
        Err(error) => refused(&error),
    }
}

async fn create(operations: &Operations, request: Request) -> Response {
    let by = operator(operations, &request);
    let mut terms = match object(request).await {
        Ok(terms) => terms,
        Err(answer) => return answer,
    };
    let hash = match terms.remove("hash") {
        None | Some(Value::Null) => None,
        Some(hash) => match hash.as_str().and_then(Digest::parse) {
            Some(digest) => Some(digest),
            None => return invalid("`hash` must be `sha256:` and 64 hexadecimal digits; without it, a key is made."),
        },
    };
    terms.retain(|_, value| !value.is_null());
    match operations.proxy.clients().create(terms, hash).await {
        Ok((record, text)) => {
            told(&by, &record, "created", &listed(&record.terms));
            let mut body = of_record(&record);
            if let Some(text) = text {
                body["key"] = text.reveal().into();
            }
            secret(StatusCode::CREATED, body)
        }
        Err(error) => refused(&error),
    }
}

async fn change(operations: &Operations, id: &str, request: Request) -> Response {
    let by = operator(operations, &request);
    let terms = match object(request).await {
        Ok(terms) if terms.is_empty() => return invalid("The body must name what is to be changed."),
        Ok(terms) => terms,
        Err(answer) => return answer,
    };
    match operations.proxy.clients().change(id, &terms).await {
        Ok(record) => {
            told(&by, &record, "changed", &listed(&terms));
            Json(of_record(&record)).into_response()
        }
        Err(error) => refused(&error),
    }
}

async fn rotate(operations: &Operations, id: &str, request: Request) -> Response {
    let by = operator(operations, &request);
    let body = match object(request).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let days = MAX_OVERLAP.as_secs();
    let overlap = match body.get("overlap") {
        None => Some(Duration::ZERO),
        Some(seconds) => seconds.as_u64().map(Duration::from_secs).filter(|overlap| *overlap <= MAX_OVERLAP),
    };
    let (Some(overlap), true) = (overlap, body.keys().all(|key| key == "overlap")) else {
        return invalid(&format!(
            "The body may have `overlap`, a whole number of seconds from 0 to {days} for which the old key goes on."
        ));
    };
    match operations.proxy.clients().rotate(id, overlap).await {
        Ok((record, text)) => {
            told(&by, &record, "rotated", &format!("overlap of {} s", overlap.as_secs()));
            let mut body = of_record(&record);
            body["key"] = text.reveal().into();
            secret(StatusCode::OK, body)
        }
        Err(error) => refused(&error),
    }
}

/// The body of a request to operators' paths.
pub(super) async fn bytes(body: Body) -> Result<Bytes, Response> {
    #[expect(clippy::disallowed_methods, reason = "operators send it, and it is bounded in size and time")]
    let body = timeout(PATIENCE, to_bytes(body, MAX_BODY));
    match body.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(own(ProxyError::TooLarge(MAX_BODY))),
        Err(_elapsed) => Err(own(ProxyError::TooSlow)),
    }
}

/// The object in the body of a request; without a body it is empty.
async fn object(request: Request) -> Result<Map<String, Value>, Response> {
    let bytes = bytes(request.into_body()).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    // What is wrong with it is not shown, as it may hold a key.
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) | Err(_) => Err(invalid("The body must be a JSON object, such as {\"name\": \"search-prod\"}.")),
    }
}

/// An answer that no cache keeps.
fn secret(status: StatusCode, body: Value) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn of_record(record: &Record) -> Value {
    let mut body = json!({"object": "key", "id": record.id, "source": "store"});
    if let Value::Object(members) = &mut body {
        members.extend(record.terms.clone());
    }
    body["blocked"] = record.blocked.into();
    body["created"] = Expiry(record.created).to_string().into();
    body["changed"] = Expiry(record.changed).to_string().into();
    let until = record.hashes.iter().filter_map(|accepted| accepted.until).max();
    if let Some(until) = until {
        body["old_key_until"] = Expiry(until).to_string().into();
    }
    body
}

fn of_file(client: &Client, place: &str, expires: Option<Expiry>) -> Value {
    let mut body = json!({
        "object": "key", "id": client.id(), "source": "file", "place": place, "name": &*client.name, "blocked": client.blocked,
    });
    if let Some(group) = client.group() {
        body["group"] = group.into();
    }
    if let Some(models) = client.models() {
        body["models"] = models.to_vec().into();
    }
    if let (Some(account), Value::Object(members)) = (&client.account, &mut body) {
        members.extend(limits::written(account));
    }
    if let Some(model) = client.when_exhausted() {
        body["when_exhausted"] = model.into();
    }
    if let Some(share) = client.notify() {
        body["notify"] = share.into();
    }
    if let Some(expires) = expires {
        body["expires"] = expires.to_string().into();
    }
    body
}

/// A key in the words of the file. A blocked one is made to have expired, since the file has no other way to say it.
fn exported(record: &Record) -> Value {
    let mut key = record.terms.clone();
    if let Some(accepted) = record.hashes.last() {
        key.insert("hash".to_owned(), accepted.hash.as_str().into());
    }
    if record.blocked {
        key.insert("expires".to_owned(), Expiry(record.changed).to_string().into());
    }
    Value::Object(key)
}

fn refused(error: &ChangeError) -> Response {
    let (status, code) = match error {
        ChangeError::NoStore(_) => (StatusCode::CONFLICT, "no_key_store"),
        ChangeError::Unknown(_) => (StatusCode::NOT_FOUND, "key_not_found"),
        ChangeError::OfFile { .. } => (StatusCode::CONFLICT, "key_of_file"),
        ChangeError::Taken(_) => (StatusCode::CONFLICT, "name_taken"),
        ChangeError::SameKey(_) => (StatusCode::CONFLICT, "key_exists"),
        ChangeError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid_key"),
        ChangeError::Store(_) | ChangeError::Unread(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
        ChangeError::NoRandomness(_) => (StatusCode::INTERNAL_SERVER_ERROR, "no_randomness"),
    };
    let kind = if status.is_server_error() { "proxy_error" } else { "invalid_request_error" };
    answer(status, kind, code, &format!("{error}."))
}

fn invalid(message: &str) -> Response {
    answer(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_key", message)
}

fn answer(status: StatusCode, kind: &str, code: &'static str, message: &str) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], Body::from(error_json(message, kind, None, code))).into_response()
}

/// Who asks, as far as it is known: every operator has the same key.
pub(super) fn operator(operations: &Operations, request: &Request) -> String {
    let who = if operations.proxy.generation().operators.have_key() { "server.admin.api_key" } else { "nobody's key" };
    let address = request.extensions().get::<Peer>().and_then(|peer| peer.0).map(|address| address.ip());
    address.map_or_else(|| who.to_owned(), |address| format!("{who} from {address}"))
}

/// The line of the log about a change.
fn told(operator: &str, record: &Record, what: &'static str, how: &str) {
    let (id, name) = (record.id.as_str(), record.name());
    let detail = (!how.is_empty()).then_some(how);
    tracing::info!(
        audit = true,
        operator,
        key_id = id,
        client = name,
        change = what,
        detail,
        "key {name} ({id}) {what}"
    );
}

/// The names of these terms.
fn listed(terms: &Map<String, Value>) -> String {
    terms.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}
