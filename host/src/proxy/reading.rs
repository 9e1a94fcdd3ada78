//! Reads what routing needs from a client's body, by its content type.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

use super::endpoint::Endpoint;
use super::request::{BodyError, Menu, RequestBody};
use super::respond::ProxyError;
use crate::http1::fields::Fields;

/// A larger body is scanned on a thread of its own: even a hostile one of this size takes no more than a few ms.
const SCANNED_IN_PLACE: usize = 1 << 20;

/// Reads what routing needs from the body.
pub(super) async fn understand(
    endpoint: &Endpoint,
    method: &Method,
    headers: &mut Fields,
    bytes: Bytes,
    menu: &Arc<Menu>,
) -> Result<RequestBody, ProxyError> {
    let content_type = headers.text(CONTENT_TYPE).unwrap_or_default();
    let is = |kind: &str| content_type.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
    let sends = method == Method::POST || method == Method::PUT || method == Method::PATCH;
    let named = endpoint.model.as_deref();
    let is_encoded = headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != b"identity");
    if is("multipart/") {
        if is_encoded {
            return Err(ProxyError::Encoded);
        }
        return multipart(bytes, content_type, named, menu).await.map_err(ProxyError::Body);
    }
    let may_be_json = sends && is("application/json") && !bytes.is_empty();
    if !endpoint.json && !may_be_json {
        return Ok(RequestBody::opaque(bytes, named));
    }
    if is_encoded {
        return Err(ProxyError::Encoded);
    }
    // `curl -d` labels JSON as a form, and a provider would believe it.
    if !is("application/json") {
        headers.insert(CONTENT_TYPE, &HeaderValue::from_static("application/json"));
    }
    json(bytes, named, menu).await.map_err(ProxyError::Body)
}

/// Reads a JSON body; a large one on a thread of its own.
pub(super) async fn json(bytes: Bytes, named: Option<&str>, menu: &Arc<Menu>) -> Result<RequestBody, BodyError> {
    if bytes.len() <= SCANNED_IN_PLACE {
        return RequestBody::json(bytes, named, menu);
    }
    let (named, menu) = (named.map(str::to_owned), Arc::clone(menu));
    elsewhere(move || RequestBody::json(bytes, named.as_deref(), &menu)).await
}

/// Reads a form; a large one on a thread of its own.
async fn multipart(
    bytes: Bytes,
    content_type: &str,
    named: Option<&str>,
    menu: &Arc<Menu>,
) -> Result<RequestBody, BodyError> {
    if bytes.len() <= SCANNED_IN_PLACE {
        return RequestBody::multipart(bytes, content_type, named, menu);
    }
    let (content_type, named, menu) = (content_type.to_owned(), named.map(str::to_owned), Arc::clone(menu));
    elsewhere(move || RequestBody::multipart(bytes, &content_type, named.as_deref(), &menu)).await
}

/// Scans on a thread of its own.
async fn elsewhere(
    scan: impl FnOnce() -> Result<RequestBody, BodyError> + Send + 'static,
) -> Result<RequestBody, BodyError> {
    match tokio::task::spawn_blocking(scan).await {
        Ok(body) => body,
        // The task is never aborted, so this is a panic of the scanner, to be passed on.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
