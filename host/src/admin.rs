//! What operators and their load balancers ask: `/health` and `/ready`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::provider::ejection::Standing;
use crate::provider::{Fleet, Provider};
use crate::proxy::respond::ProxyError;
use crate::proxy::{Proxy, REQUEST_ID};

/// `GET /health`: the state of everything, without keys and addresses. Always 200: a proxy whose providers are all ill
/// is alive, and restarting it would not help.
pub async fn health(State(proxy): State<Arc<Proxy>>, method: Method, headers: HeaderMap) -> Response {
    let fleet = proxy.fleet();
    let providers: Vec<Value> = fleet.providers().iter().map(|provider| state_of(fleet, provider)).collect();
    let strategy = fleet.strategy().health();
    let faults: serde_json::Map<String, Value> =
        strategy.counters.faults.iter().map(|&(kind, count)| (kind.to_owned(), json!(count))).collect();
    let body = json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "draining": proxy.is_draining(),
        "strategy": {"name": fleet.strategy().name(), "state": strategy.state, "faults": faults},
        "queue": {"in_flight": proxy.queue().in_flight(), "waiting": proxy.queue().waiting()},
        "providers": providers,
    });
    answer(&proxy, &method, &headers, StatusCode::OK, body)
}

/// `GET /ready`: whether new requests are welcome.
pub async fn ready(State(proxy): State<Arc<Proxy>>, method: Method, headers: HeaderMap) -> Response {
    if proxy.is_draining() {
        answer(&proxy, &method, &headers, StatusCode::SERVICE_UNAVAILABLE, json!({"status": "draining"}))
    } else {
        answer(&proxy, &method, &headers, StatusCode::OK, json!({"status": "ready"}))
    }
}

fn answer(proxy: &Proxy, method: &Method, headers: &HeaderMap, status: StatusCode, body: Value) -> Response {
    let mut response = if method == Method::GET || method == Method::HEAD {
        (status, Json(body)).into_response()
    } else {
        ProxyError::WrongMethod("GET").into_response(0)
    };
    if let Ok(id) = HeaderValue::try_from(proxy.request_id(headers)) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn state_of(fleet: &Fleet, provider: &Provider) -> Value {
    let now = Instant::now();
    let snapshot = fleet.snapshot();
    let health = snapshot.of(provider.index);
    let throttled = health.throttled_for(now);
    let state = match health.standing(now) {
        Standing::Ejected => "ejected",
        Standing::Probing => "probing",
        Standing::Admitted if throttled.is_some() => "throttled",
        Standing::Admitted => "admitted",
    };
    let mut fields = json!({
        "name": provider.config.name,
        "state": state,
        "healthy": health.standing(now) == Standing::Admitted,
        "fallback_only": provider.config.fallback_only,
        "in_flight": provider.in_flight(),
    });
    if let Some(reason) = health.reason() {
        fields["reason"] = json!(reason);
    }
    if let Some(limit) = provider.config.max_concurrent {
        fields["max_concurrent"] = json!(limit);
    }
    let cooldown = health.ejected_until().and_then(|until| until.checked_duration_since(now));
    if let Some(wait) = cooldown.max(throttled).filter(|wait| !wait.is_zero()) {
        fields["out_for_seconds"] = json!(wait.as_secs_f64());
    }
    fields
}
