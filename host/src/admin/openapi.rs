//! The description of the paths for operators in OpenAPI 3.1.

use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::Value;

use super::Operations;

/// The description, put together from its parts.
pub static OPENAPI: LazyLock<String> = LazyLock::new(|| {
    let parts = [
        include_str!("openapi/operators.json"),
        include_str!("openapi/spend.json"),
        include_str!("openapi/stories.json"),
        include_str!("openapi/config.json"),
        include_str!("openapi/report.json"),
        include_str!("openapi/events.json"),
        include_str!("openapi/dashboard.json"),
        include_str!("openapi/replicas.json"),
    ];
    let mut parts = parts.iter().map(|part| serde_json::from_str::<Value>(part).unwrap_or_default());
    let mut document = parts.next().unwrap_or_default();
    for mut part in parts {
        for place in ["/paths", "/components/schemas"] {
            let more = part.pointer_mut(place).and_then(Value::as_object_mut).map(std::mem::take);
            if let Some(known) = document.pointer_mut(place).and_then(Value::as_object_mut) {
                known.extend(more.unwrap_or_default());
            }
        }
    }
    document.to_string()
});

/// `GET /admin/openapi.json`: what can be asked here.
pub(super) async fn openapi(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    operations.shown(&request, || ([(http::header::CONTENT_TYPE, "application/json")], OPENAPI.as_str()))
}
