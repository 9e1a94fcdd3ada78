//! The page that compares the shadows with the strategy that decides.

use std::fmt::Write as _;

use axum::Json;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::{Value, json};

use crate::html::escaped;
use crate::routing::{ShadowHealth, StrategyHealth};

/// The strategy of the route of everything, which comes first, with what the shadows of all routes have seen.
pub fn together(mut routes: impl Iterator<Item = StrategyHealth>) -> StrategyHealth {
    let mut all = routes.next().unwrap_or_default();
    for shadow in routes.flat_map(|health| health.shadows) {
        match all.shadows.iter_mut().find(|known| known.strategy.name == shadow.strategy.name) {
            Some(known) => {
                known.decisions += shadow.decisions;
                known.same_first += shadow.same_first;
                known.same_order += shadow.same_order;
                known.seconds += shadow.seconds;
                known.dropped += shadow.dropped;
            }
            None => all.shadows.push(shadow),
        }
    }
    all
}

/// The page, as JSON or HTML, depending on the request's `Accept` header.
pub fn answer(health: &StrategyHealth, headers: &HeaderMap) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/html") {
        Html(page(health)).into_response()
    } else {
        Json(report(health)).into_response()
    }
}

fn report(health: &StrategyHealth) -> Value {
    let shadow = |shadow: &ShadowHealth| {
        let faults: serde_json::Map<String, Value> =
            shadow.strategy.counters.faults.iter().map(|&(kind, count)| (kind.to_owned(), json!(count))).collect();
        json!({
            "name": shadow.strategy.name,
            "component": format!("{} {}", shadow.strategy.component, shadow.strategy.version).trim(),
            "sha256": shadow.strategy.digest,
            "state": shadow.strategy.state,
            "decisions": shadow.decisions,
            "same_first": shadow.same_first,
            "same_order": shadow.same_order,
            "agreement": share(shadow.same_first, shadow.decisions),
            "refusals": shadow.strategy.counters.refusals,
            "faults": faults,
            "mean_microseconds": mean_us(shadow),
            "missed": shadow.dropped,
        })
    };
    json!({"strategy": health.name, "shadows": health.shadows.iter().map(shadow).collect::<Vec<_>>()})
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn mean_us(shadow: &ShadowHealth) -> Option<f64> {
    (shadow.decisions > 0).then(|| (shadow.seconds * 1e9 / shadow.decisions as f64).round() / 1e3)
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2530;\
    background:#fff}h1{font-size:1.5rem}table{border-collapse:collapse;width:100%}th,td{padding:.5rem .75rem;text-align:right;\
    border-bottom:1px solid #d8dee6}th:first-child,td:first-child{text-align:left}th{font-weight:600;color:#4a5666}\
    meter{width:6rem;vertical-align:middle}.bad{color:#b3261e;font-weight:600}p{color:#4a5666}\
    @media(prefers-color-scheme:dark){body{background:#14181d;color:#e4e8ed}th,p{color:#a5b0bd}th,td{border-color:#333c47}\
    .bad{color:#ff8a80}}";

fn page(health: &StrategyHealth) -> String {
    let live = escaped(&health.name);
    let mut rows = String::new();
    for shadow in &health.shadows {
        let faults: u64 = shadow.strategy.counters.faults.iter().map(|(_, count)| count).sum();
        let percent =
            |part| share(part, shadow.decisions).map_or("-".to_owned(), |share| format!("{:.2} %", share * 100.0));
        let first = share(shadow.same_first, shadow.decisions).unwrap_or(0.0);
        let class = if faults > 0 { " class=bad" } else { "" };
        let mean = mean_us(shadow).map_or("-".to_owned(), |mean| format!("{mean:.1} µs"));
        let _ = write!(
            rows,
            "<tr><td>{}<td>{}<td>{}<td>{} <meter value={first:.4}></meter><td>{}<td{class}>{faults}<td>{}<td>{mean}<td>{}",
            escaped(&shadow.strategy.name),
            escaped(shadow.strategy.state),
            shadow.decisions,
            percent(shadow.same_first),
            percent(shadow.same_order),
            shadow.strategy.counters.refusals,
            shadow.dropped,
        );
    }
    if rows.is_empty() {
        rows.push_str("<tr><td colspan=9>None. Name strategies under <code>routing.shadow</code>.");
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\
         <meta name=viewport content=\"width=device-width\"><title>Pointsman: shadows</title><style>{STYLE}</style>\
         <h1>Shadows of {live}</h1><p>Strategies that see what <b>{live}</b> sees and whose decisions are only compared.\
         <table><thead><tr><th>strategy<th>state<th>decisions<th>same first<th>same order<th>faults<th>errors<th>mean time\
         <th>missed<tbody>{rows}</table>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_and_not_markup() {
        let strategy = StrategyHealth { name: "<script>alert(1)</script>&".to_owned(), ..StrategyHealth::default() };
        let health = StrategyHealth {
            shadows: vec![ShadowHealth { strategy: strategy.clone(), ..ShadowHealth::default() }],
            ..strategy
        };
        let page = page(&health);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;"), "{page}");
    }
}
