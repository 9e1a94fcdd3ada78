//! `GET /admin/spend`: what has been spent, by client, route, provider, model or day, as JSON or as a table (CSV).
//!
//! `by` names what the sums are for, with commas between; `since` and `until` are days in UTC, both included. With
//! `replicas=all` it is what all replicas together have spent of budgets, as the engine knows it. Its part of the OpenAPI
//! document is `openapi/spend.json`.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Operations;
use super::stories::refusal;
use crate::limits::spend::Day;
use crate::limits::spend::report::{By, Report};
use crate::limits::{Nano, Spend, Unit};
use crate::proxy::respond;

/// The answer to a request with this query and these headers.
pub(super) fn answer(spend: &Spend, query: Option<&str>, headers: &HeaderMap) -> Response {
    let report = match read(query.unwrap_or_default()) {
        Ok((by, since, until)) => Report::of(spend, by, since..=until),
        Err((param, message)) => {
            let error = respond::error_json(&message, "invalid_request_error", Some(param), "invalid_query");
            let json = [(CONTENT_TYPE, "application/json")];
            return (StatusCode::BAD_REQUEST, json, Body::from(error)).into_response();
        }
    };
    let accepted = headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    if accepted.split(',').any(|kind| kind.trim().to_ascii_lowercase().starts_with("text/csv")) {
        return ([(CONTENT_TYPE, "text/csv; charset=utf-8")], report.to_csv()).into_response();
    }
    Json(report.to_json()).into_response()
}

/// True when the question is not about this replica alone.
pub(super) fn concerns_all(query: Option<&str>) -> bool {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.any(|(name, value)| name == "replicas" && value != "this")
}

/// The most clients whose names are looked up.
const NAMED: usize = 100_000;

/// What all replicas have spent of budgets, in the windows of now. More than that is not shared.
pub(super) async fn of_all(operations: &Operations, query: Option<&str>) -> Response {
    let wrong = |message: &str| refusal(StatusCode::BAD_REQUEST, Some("replicas"), "invalid_query", message);
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    if !pairs.all(|(name, value)| name == "replicas" && value == "all") {
        return wrong(
            "`replicas` is `this` or `all`. With `all` the answer is what has been spent of budgets in their present windows: \
             leave out `by`, `since` and `until`.",
        );
    }
    let Some(valkey) = operations.engines.valkey() else {
        return wrong("`replicas=all` needs an engine that replicas share (`state`); this server has none.");
    };
    let generation = operations.proxy.generation();
    let now = operations.proxy.means().moment(Instant::now());
    let all = match valkey.used(generation.accounts.book(), now).await {
        Ok(all) => all,
        Err(why) => {
            let message = format!("The engine is out of reach ({why}), so what all replicas have spent is not known.");
            return refusal(StatusCode::SERVICE_UNAVAILABLE, None, "engine_unavailable", &message);
        }
    };
    let names = operations.names_by_id(NAMED);
    let budgets = all.iter().filter(|used| used.unit == Unit::Money);
    let row = |used: &crate::state::valkey::fleet::Used| {
        let (kind, name) = operations.named_owner(&used.owner, &names);
        json!({
            "owner": kind,
            "name": name,
            "per": &*used.name,
            "window": used.window,
            "limit": Nano(used.amount).dollars(),
            "cost": Nano(used.used).dollars(),
            "nano_dollars": used.used,
        })
    };
    let rows: Vec<Value> = budgets.map(row).collect();
    Json(json!({"replicas": valkey.replicas(), "budgets": rows})).into_response()
}

/// What is asked for; the error is the parameter that is wrong, and why.
fn read(query: &str) -> Result<(Vec<By>, Day, Day), (&'static str, String)> {
    let (mut by, mut since, mut until) = (Vec::new(), Day(0), Day(u32::MAX));
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let day = |param| value.parse::<Day>().map_err(|wrong| (param, format!("`{param}` {wrong}.")));
        match &*key {
            "by" => {
                for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                    let known = By::ALL.iter().find(|(known, _)| *known == name);
                    let Some((_, one)) = known else {
                        let names = By::ALL.map(|(name, _)| name).join(", ");
                        return Err(("by", format!("`by` may have {names}, with commas between.")));
                    };
                    if !by.contains(one) {
                        by.push(*one);
                    }
                }
            }
            "since" => since = day("since")?,
            "until" => until = day("until")?,
            "replicas" => {}
            _ => return Err(("query", "The parameters are `by`, `since`, `until` and `replicas`.".to_owned())),
        }
    }
    if since > until {
        return Err(("since", "`since` must not be later than `until`.".to_owned()));
    }
    if by.is_empty() {
        by.push(By::Client);
    }
    Ok((by, since, until))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::limits::spend::Key;
    use crate::limits::{Moment, Usage};

    #[test]
    fn a_query_names_what_to_add_up_by_and_the_days() {
        let asked = read("by=client,model&by=day&since=2026-11-01&until=2026-11-30").expect("sound");
        assert_eq!(asked.0, [By::Client, By::Model, By::Day]);
        assert_eq!((asked.1.to_string(), asked.2.to_string()), ("2026-11-01".to_owned(), "2026-11-30".to_owned()));
        assert_eq!(read("").expect("sound").0, [By::Client]);
        for (query, param) in [
            ("by=user", "by"),
            ("since=yesterday", "since"),
            ("until=2026-02-30", "until"),
            ("since=2026-02-02&until=2026-02-01", "since"),
            ("form=csv", "query"),
        ] {
            assert_eq!(read(query).map_err(|(param, _)| param).unwrap_err(), param, "{query}");
        }
    }

    /// The keys of an object, sorted.
    fn keys(value: &Value) -> Vec<&str> {
        let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn the_document_describes_what_is_answered() {
        let document: Value = serde_json::from_str(include_str!("openapi/spend.json")).expect("JSON");
        let (schemas, spend) = (&document["components"]["schemas"], Spend::default());
        let key = Key { client: "c", route: "r", provider: "p", model: "m" };
        spend.count(Moment::of_unix_ms(1_800_000_000_000), key, &Usage::of(Some(1), Some(1)), None);
        let by = By::ALL.map(|(_, by)| by).to_vec();
        let report = Report::of(&spend, by, Day(0)..=Day(u32::MAX)).to_json();
        let described = &schemas["Spend"]["properties"];
        assert_eq!(keys(&report), keys(described));
        assert_eq!(keys(&report["rows"][0]), keys(&described["rows"]["items"]["properties"]));
        assert_eq!(keys(&report["total"]), keys(&described["total"]["properties"]));
        assert_eq!(keys(&report["total"]["tokens"]), keys(&schemas["SpentTokens"]["properties"]));
        let parameters = document["paths"]["/admin/spend"]["get"]["parameters"].as_array().expect("a list");
        let names: Vec<&Value> = parameters.iter().map(|parameter| &parameter["name"]).collect();
        assert_eq!(names, ["by", "since", "until", "replicas"]);
        let values: Vec<&str> = By::ALL.iter().map(|(name, _)| *name).collect();
        assert_eq!(parameters[0]["schema"]["items"]["enum"], serde_json::json!(values));
    }
}
