//! The result of a simulation as one self-contained HTML page with charts.

use std::fmt::Write as _;

use super::report::{millis, money, warnings};
use super::scenario::Scenario;
use super::tally::Report;
use crate::html::chart::{Axis, STYLE, key, lines, stacked};
use crate::html::escaped;

/// The page.
pub fn page(scenario: &Scenario, reports: &[Report]) -> String {
    let script = &scenario.script;
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{}",
        escaped(&script.description),
        title = escaped(&script.name),
    );
    for warning in warnings(reports) {
        let _ = write!(html, "<p class=bad>{}", escaped(&warning));
    }
    summary(&mut html, reports);
    let providers: Vec<&str> = reports
        .first()
        .map(|report| report.providers.iter().map(|provider| provider.name.as_str()).collect())
        .unwrap_or_default();
    html.push_str("<h2>Who answered</h2><p>Answers per second, by provider, over the simulated time.");
    key(&mut html, &providers);
    html.push_str("<div class=charts>");
    let axis = |report: &Report| Axis::Seconds(report.timeline.seconds * report.timeline.arrivals.len() as f64);
    for report in reports {
        let of = |name: &&str| report.timeline.answered.get(*name).map(|counts| rates(report, counts));
        let layers: Vec<Vec<f64>> = providers.iter().map(|name| of(name).unwrap_or_default()).collect();
        stacked(&mut html, &report.strategy, axis(report), &layers);
    }
    html.push_str("</div>");
    let names: Vec<&str> = reports.iter().map(|report| report.strategy.as_str()).collect();
    html.push_str("<h2>How fast, and what failed</h2>");
    key(&mut html, &names);
    html.push_str("<div class=charts>");
    let axis = reports.first().map_or(Axis::Seconds(1.0), axis);
    let firsts: Vec<Vec<f64>> = reports.iter().map(|report| report.timeline.first_token_p95_ms.clone()).collect();
    lines(&mut html, "95th percentile of the time to the first token, ms", axis, &firsts);
    let errors: Vec<Vec<f64>> = reports.iter().map(|report| rates(report, &report.timeline.errors)).collect();
    lines(&mut html, "errors per second", axis, &errors);
    html.push_str("</div>");
    shares(&mut html, reports);
    let _ = write!(html, "<p>Seed {}. The same scenario gives the same page.", script.seed);
    html
}

fn rates(report: &Report, counts: &[usize]) -> Vec<f64> {
    counts.iter().map(|count| *count as f64 / report.timeline.seconds).collect()
}

fn summary(html: &mut String, reports: &[Report]) {
    type Figure = (&'static str, fn(&Report) -> f64, fn(f64) -> String, bool);
    let percent = |value: f64| format!("{value:.2} %");
    let figures: [Figure; 9] = [
        ("answered", |r| 100.0 * r.answered as f64 / r.requests.max(1) as f64, percent, true),
        ("failovers", |r| r.failovers as f64, millis, false),
        ("first token ms", |r| r.first_token_ms.p50, millis, false),
        ("p95", |r| r.first_token_ms.p95, millis, false),
        ("p99", |r| r.first_token_ms.p99, millis, false),
        ("latency ms", |r| r.latency_ms.p50, millis, false),
        ("p95", |r| r.latency_ms.p95, millis, false),
        ("queue p95", |r| r.queue_wait_ms.p95, millis, false),
        ("cost", |r| r.cost, money, false),
    ];
    html.push_str("<div class=scroll><table><thead><tr><th>strategy<th>requests");
    for (name, ..) in &figures {
        let _ = write!(html, "<th>{name}");
    }
    html.push_str("<tbody>");
    for report in reports {
        let _ = write!(html, "<tr><td>{}<td>{}", escaped(&report.strategy), report.requests);
        for (_, read, show, more_is_better) in &figures {
            let (own, all) = (read(report), reports.iter().map(read));
            let best = if *more_is_better { all.fold(f64::MIN, f64::max) } else { all.fold(f64::MAX, f64::min) };
            let differs = own.is_finite() && reports.iter().any(|other| show(read(other)) != show(best));
            let class = if differs && show(own) == show(best) { " class=best" } else { "" };
            let _ = write!(html, "<td{class}>{}", show(own));
        }
    }
    html.push_str("</table></div>");
}

fn shares(html: &mut String, reports: &[Report]) {
    html.push_str("<h2>Shares</h2><div class=scroll><table><thead><tr><th>provider");
    for report in reports {
        let _ = write!(html, "<th>{}", escaped(&report.strategy));
    }
    html.push_str("<tbody>");
    let names = reports.first().map(|report| report.providers.iter().map(|provider| &provider.name));
    for (index, name) in names.into_iter().flatten().enumerate() {
        let _ = write!(html, "<tr><td>{}", escaped(name));
        for report in reports {
            let _ = write!(html, "<td>{:.1} %", report.providers[index].share * 100.0);
        }
    }
    html.push_str("</table></div>");
}
