//! `/health`: the state of everything, as JSON.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Operations, levels, reads};
use crate::provider::ejection::{Health, Standing};
use crate::provider::{Fleet, Provider};
use crate::routing::{Route, StrategyHealth};

/// `GET /health`: the state of everything, without keys and addresses. The status is always 200: if all providers are
/// unhealthy, the proxy itself is alive, and restarting it would not help.
pub(super) async fn health(State(operations): State<Arc<Operations>>, method: Method, headers: HeaderMap) -> Response {
    let proxy = &operations.proxy;
    let generation = proxy.generation();
    let fleet = &generation.fleet;
    let providers: Vec<Value> = fleet.providers().iter().map(|provider| state_of(fleet, provider)).collect();
    let strategy_state = state_of_strategy(generation.routes.everything().strategy().health());
    let mut config = operations.status.shown();
    config["generation"] = json!(generation.number);
    config["since"] = json!(httpdate::fmt_http_date(generation.since));
    let mut body = json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "draining": operations.is_leaving(),
        "config": config,
        "strategy": strategy_state,
        "queue": {"in_flight": proxy.queue().in_flight(), "waiting": proxy.queue().waiting()},
        "providers": providers,
    });
    if let Some(state) = operations.engines.shown() {
        body["state"] = state;
    }
    if generation.routes.are_named() {
        let named = generation.routes.all().iter().filter(|route| route.is_named());
        body["routes"] = named.map(|route| state_of_route(route)).collect();
    }
    reads(proxy, &method, &headers, StatusCode::OK, body)
}

/// A strategy's state, for operators.
fn state_of_strategy(strategy: StrategyHealth) -> Value {
    let faults: serde_json::Map<String, Value> =
        strategy.counters.faults.iter().map(|&(kind, count)| (kind.to_owned(), json!(count))).collect();
    let mut strategy_state = json!({
        "name": strategy.name,
        "state": strategy.state,
        "component": format!("{} {}", strategy.component, strategy.version).trim(),
        "sha256": strategy.digest,
        "faults": faults,
        "on_trial": strategy.on_trial,
    });
    strategy_state["slow"] = json!(strategy.slow);
    if let Some(seconds) = strategy.mean_call {
        strategy_state["mean_call_ms"] = json!((seconds * 1e6).round() / 1e3);
    }
    if let Some(record) = &strategy.record {
        strategy_state["record"] = json!({
            "state": if record.failing.is_some() { "failing" } else { "writing" },
            "missing": record.missing,
        });
        if let Some(why) = &record.failing {
            strategy_state["record"]["reason"] = json!(why);
        }
    }
    if let Some(why) = strategy.rolled_back {
        strategy_state["rolled_back"] = json!(why);
    }
    strategy_state
}

/// A route's state: its models, its targets and its strategy.
fn state_of_route(route: &Route) -> Value {
    let targets: Vec<&str> = route.targets().iter().map(|target| target.name.as_str()).collect();
    json!({
        "name": route.name,
        "models": route.models(),
        "targets": targets,
        "strategy": state_of_strategy(route.strategy().health()),
    })
}

fn state_of(fleet: &Fleet, provider: &Provider) -> Value {
    let now = Instant::now();
    let snapshot = fleet.snapshot();
    let health = snapshot.of(provider.seat());
    let throttled = health.throttles().longest(now);
    let mut fields = json!({
        "name": provider.config.name,
        "state": state_word(health, now),
        "healthy": health.standing(now) == Standing::Admitted,
        "fallback_only": provider.config.fallback_only,
        "in_flight": provider.in_flight(),
    });
    let latency = provider.latency();
    if latency.first_byte_us() > 0 {
        fields["latency_ms"] = json!((f64::from(latency.first_byte_us()) / 100.0).round() / 10.0);
    }
    fields["failure_share"] = json!(f64::from(latency.failure_permille()) / 1000.0);
    let is_out = throttled.is_some() || health.standing(now) != Standing::Admitted;
    if let Some(reason) = health.reason().filter(|_| is_out) {
        fields["reason"] = json!(reason);
    } else if let Some((reason, ago)) = provider.seat().last_error().get(now) {
        fields["last_error"] = json!({"reason": reason, "seconds_ago": ago.as_secs()});
    }
    if let Some(limit) = provider.config.max_concurrent {
        fields["max_concurrent"] = json!(limit);
    }
    if let Some(said) = levels::said(provider, now) {
        fields["said"] = said;
    }
    if let Some(account) = levels::account(provider, now) {
        fields["account"] = account;
    }
    let cooldown = health.ejected_until().and_then(|until| until.checked_duration_since(now));
    if let Some(wait) = cooldown.max(throttled).filter(|wait| !wait.is_zero()) {
        fields["out_for_seconds"] = json!(wait.as_secs_f64());
    }
    fields
}

/// A provider's state in a word, one of [`STATES`](crate::metrics::state::STATES).
pub(super) fn state_word(health: &Health, now: Instant) -> &'static str {
    match health.standing(now) {
        Standing::Ejected => "ejected",
        Standing::Probing => "probing",
        Standing::Admitted if health.throttles().longest(now).is_some() => "throttled",
        Standing::Admitted => "admitted",
    }
}
