//! Limits and budgets: what a request may take, what it is charged with however it ends, and how a refusal reads.
//!
//! The tests of ends use limits per day, of which next to nothing comes back while a test runs.

mod clients;
mod ends;
mod refusals;

use std::time::Duration;

use harness::{Proxy, eventually};
use serde_json::{Value, json};

/// A route of everything with these limits.
fn route(limits: Value) -> Value {
    json!({"routes": [{"name": "all", "models": ["*"], "limits": limits}]})
}

/// What is left of a limit of the route.
async fn left(proxy: &Proxy, limit: &str) -> f64 {
    proxy.metric(&format!("pointsman_limit_remaining{{limit=\"{limit}\",owner=\"r/all\"}}")).await
}

/// Waits until a limit of the route has so much left, with what may come back meanwhile.
async fn wait_for_left(proxy: &Proxy, limit: &str, wanted: f64) {
    let near = |left: f64| left >= wanted && left <= wanted + 3.0;
    eventually(&format!("{wanted} of {limit} are left"), async || near(left(proxy, limit).await)).await;
}

/// Long enough to be no wait of a test.
const AGES: Duration = Duration::from_secs(600);
