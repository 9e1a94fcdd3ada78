//! `GET /admin/config`: the configuration in force, each key with its value and where that comes from, for `pointsman config
//! show --url`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;
use url::form_urlencoded;

use super::Operations;

/// Secrets are not told; `defaults=false` leaves out what nobody has set.
pub(super) async fn settings(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    operations.shown(&request, || {
        let query = request.uri().query().unwrap_or_default();
        let without =
            form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "defaults" && value == "false");
        let mut answer = operations.status.in_force().json(!without);
        answer["generation"] = json!(operations.proxy.generation().number);
        Json(answer)
    })
}
