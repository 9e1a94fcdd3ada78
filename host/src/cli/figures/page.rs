//! A report as one self-contained page with charts.

use std::fmt::Write as _;

use crate::html::chart::{Axis, STYLE, key, lines, stacked};
use crate::html::escaped;
use crate::observe::report::{Line, Report, Timeline, forms};

/// The page.
pub(super) fn page(report: &Report) -> String {
    let by: Vec<&str> = report.by.iter().map(|by| by.name()).collect();
    let title = format!("Requests by {}", by.join(", "));
    let title = if by.is_empty() { "Requests".to_owned() } else { title };
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{}, in UTC.",
        escaped(&forms::span(report)),
    );
    if let Some(timeline) = &report.timeline {
        charts(&mut html, timeline);
    }
    table(&mut html, report);
    html
}

fn charts(html: &mut String, timeline: &Timeline) {
    let Timeline { since, step_seconds, requests, failed, cost, first_byte_p50_ms, first_byte_p95_ms, groups } =
        timeline;
    let step = *step_seconds as f64;
    let axis = Axis::Clock(since.0 as f64 / 1e6, step * requests.len() as f64);
    let rates = |counts: &[u64]| counts.iter().map(|count| *count as f64 / step).collect::<Vec<f64>>();
    if !groups.is_empty() {
        html.push_str("<h2>Who asked</h2>");
        let names: Vec<String> = groups.iter().map(name).collect();
        key(html, &names.iter().map(String::as_str).collect::<Vec<_>>());
        html.push_str("<div class=charts>");
        let layers: Vec<Vec<f64>> = groups.iter().map(|line| rates(&line.requests)).collect();
        stacked(html, "requests per second", axis, &layers);
        let per_hour = |costs: &Vec<f64>| costs.iter().map(|cost| cost / step * 3600.0).collect();
        if cost.iter().any(|cost| *cost > 0.0) {
            let layers: Vec<Vec<f64>> = groups.iter().map(|line| per_hour(&line.cost)).collect();
            stacked(html, "dollars per hour", axis, &layers);
        }
        html.push_str("</div>");
    }
    html.push_str("<h2>How fast, and what failed</h2><div class=charts>");
    let known = |times: &[Option<f64>]| times.iter().map(|time| time.unwrap_or(f64::NAN)).collect::<Vec<f64>>();
    let times = [known(first_byte_p50_ms), known(first_byte_p95_ms)];
    lines(html, "ms to the head of the answer: median and 95th percentile", axis, &times);
    lines(html, "failed requests per second", axis, &[rates(failed)]);
    html.push_str("</div>");
}

/// The name of a group on a chart.
fn name(line: &Line) -> String {
    let value = |value: &String| if value.is_empty() { "–".to_owned() } else { value.clone() };
    let Some(group) = &line.group else { return "all others".to_owned() };
    group.iter().map(value).collect::<Vec<_>>().join(", ")
}

fn table(html: &mut String, report: &Report) {
    let (head, rows) = forms::rows(report);
    let class = |at: usize| if at < report.by.len() { " class=name" } else { "" };
    html.push_str("<h2>Figures</h2><p>Times in ms: to the head of the answer, to its end, in the queue, and what the proxy itself took.");
    html.push_str("<div class=scroll><table><thead><tr>");
    for (at, name) in head.iter().enumerate() {
        let _ = write!(html, "<th{}>{}", class(at), escaped(name));
    }
    html.push_str("<tbody>");
    for row in &rows {
        html.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let _ = write!(html, "<td{}>{}", class(at), escaped(cell));
        }
    }
    html.push_str("</table></div>");
    if report.total.unpriced > 0 {
        let _ = write!(html, "<p class=bad>{} requests took tokens and have no price.", report.total.unpriced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ledger::record::Millis;
    use crate::observe::ledger::{Record, Time};
    use crate::observe::report::{Asked, Tally};

    #[test]
    fn names_are_no_markup_and_nothing_comes_from_elsewhere() {
        let now = Time(1_800_000_000_000_000);
        let given =
            [("by", "client,model"), ("timeline", "true")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let asked = Asked::read(given.into_iter(), now).expect("sound");
        let mut tally = Tally::new(&asked, now);
        tally.add(&Record {
            time: Time(now.0 - 1_000_000),
            client: Some("<img src=x onerror=alert(1)>".into()),
            model: "\"><script>".into(),
            cost_nano: Some(2_000_000_000),
            first_byte_ms: Some(Millis(1500)),
            ..Record::default()
        });
        let page = page(&tally.report());
        assert!(!page.contains("<img") && !page.contains("<script") && !page.contains("http"), "{page}");
        assert_eq!((page.matches("<svg").count(), page.matches("</svg>").count()), (4, 4));
        assert!(page.contains("Requests by client, model") && page.contains("&lt;img src=x"), "{page}");
        assert!(page.contains("<td>2.0000"), "{page}");
    }
}
