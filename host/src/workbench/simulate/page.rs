//! The result of a simulation as one self-contained HTML page with charts.

use std::fmt::Write as _;

use super::report::{millis, money, warnings};
use super::scenario::Scenario;
use super::tally::Report;
use crate::html::escaped;

/// Colours that people with colour blindness can tell apart (Okabe and Ito 2008).
const COLOURS: [&str; 8] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a7d00", "#7f7f7f"];

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 170.0;

const STYLE: &str = "*{box-sizing:border-box}body{font:16px/1.55 system-ui,sans-serif;max-width:76rem;margin:0 auto;padding:2rem 1.25rem;\
    color:#1d2530;background:#fff}h1{font-size:1.7rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}p{color:#4a5666;max-width:48rem}\
    .scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:.45rem .6rem;\
    text-align:right;border-bottom:1px solid #d8dee6;white-space:nowrap}th:first-child,td:first-child{text-align:left}th{color:#4a5666;\
    font-weight:600}.best{font-weight:700;color:#00694a}.bad{font-weight:700;color:#b3261e}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(25rem,1fr));gap:1.2rem}\
    figure{margin:0;border:1px solid #d8dee6;border-radius:.5rem;padding:.8rem}figcaption{font-weight:600;margin-bottom:.3rem}\
    svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:#4a5666}.grid{stroke:#e5e9ef}\
    .key{display:flex;flex-wrap:wrap;gap:.3rem 1rem;font-size:.9rem;margin:.4rem 0}.key i{display:inline-block;width:.8em;height:.8em;\
    border-radius:2px;margin-right:.35em}@media(prefers-color-scheme:dark){body{background:#14181d;color:#e4e8ed}p,th,svg text{color:#a5b0bd;\
    fill:#a5b0bd}th,td,figure{border-color:#333c47}.grid{stroke:#2a323b}.best{color:#4cd6a0}.bad{color:#ff8a80}}";

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
    for report in reports {
        stacked(&mut html, report, &providers);
    }
    html.push_str("</div>");
    let names: Vec<&str> = reports.iter().map(|report| report.strategy.as_str()).collect();
    html.push_str("<h2>How fast, and what failed</h2>");
    key(&mut html, &names);
    html.push_str("<div class=charts>");
    let firsts: Vec<Vec<f64>> = reports.iter().map(|report| report.timeline.first_token_p95_ms.clone()).collect();
    lines(&mut html, "95th percentile of the time to the first token, ms", reports, &firsts);
    let errors: Vec<Vec<f64>> = reports.iter().map(|report| rates(report, &report.timeline.errors)).collect();
    lines(&mut html, "errors per second", reports, &errors);
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

fn key(html: &mut String, names: &[&str]) {
    html.push_str("<div class=key>");
    for (name, colour) in names.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(html, "<span><i style=\"background:{colour}\"></i>{}</span>", escaped(name));
    }
    html.push_str("</div>");
}

/// The frame of a chart: its grid, its labels, and the position of a value.
fn frame(html: &mut String, caption: &str, most: f64, seconds: f64) {
    let _ = write!(
        html,
        "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {} {}\" role=img aria-label=\"{}\">",
        escaped(caption),
        WIDTH + 48.0,
        HEIGHT + 28.0,
        escaped(caption),
    );
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let y = 6.0 + HEIGHT * (1.0 - share);
        let _ = write!(
            html,
            "<path class=grid d=\"M44 {y:.1}H{:.1}\"/><text x=40 y={:.1} text-anchor=end>{}</text>",
            WIDTH + 44.0,
            y + 4.0,
            short(most * share)
        );
    }
    let step = time_step(seconds);
    for tick in 0..=(seconds / step + 1e-9) as u32 {
        let at = f64::from(tick) * step;
        let x = 44.0 + WIDTH * at / seconds;
        let anchor = if x > WIDTH + 24.0 { "end" } else { "middle" };
        let _ = write!(html, "<text x={x:.1} y={:.1} text-anchor={anchor}>{}</text>", HEIGHT + 22.0, span(at, step));
    }
}

fn stacked(html: &mut String, report: &Report, providers: &[&str]) {
    let layers: Vec<Vec<f64>> = providers
        .iter()
        .map(|name| report.timeline.answered.get(*name).map(|counts| rates(report, counts)).unwrap_or_default())
        .collect();
    let pieces = report.timeline.arrivals.len();
    let total = |piece: usize| layers.iter().filter_map(|layer| layer.get(piece)).sum::<f64>();
    let most = round_up((0..pieces).map(total).fold(0.0, f64::max));
    frame(html, &report.strategy, most, report.timeline.seconds * pieces as f64);
    let mut floor = vec![0.0; pieces];
    for (layer, colour) in layers.iter().zip(COLOURS.iter().cycle()) {
        let top: Vec<f64> = floor.iter().zip(layer).map(|(floor, value)| floor + value).collect();
        let upper = path(&top, most, false);
        let lower = path(&floor, most, true);
        let _ = write!(html, "<path fill=\"{colour}\" d=\"M{upper}L{lower}Z\"/>");
        floor = top;
    }
    html.push_str("</svg></figure>");
}

fn lines(html: &mut String, caption: &str, reports: &[Report], series: &[Vec<f64>]) {
    let most = round_up(series.iter().flatten().copied().fold(0.0, f64::max));
    let seconds = reports.first().map_or(1.0, |report| report.timeline.seconds * report.timeline.arrivals.len() as f64);
    frame(html, caption, most, seconds);
    for (values, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let _ =
            write!(html, "<path fill=none stroke=\"{colour}\" stroke-width=1.6 d=\"M{}\"/>", path(values, most, false));
    }
    html.push_str("</svg></figure>");
}

/// The points of a curve, from left to right or back.
fn path(values: &[f64], most: f64, back: bool) -> String {
    let last = values.len().saturating_sub(1).max(1) as f64;
    let point = |(place, value): (usize, &f64)| {
        format!("{:.1} {:.1}", 44.0 + WIDTH * place as f64 / last, 6.0 + HEIGHT * (1.0 - value / most))
    };
    let mut points: Vec<String> = values.iter().enumerate().map(point).collect();
    if back {
        points.reverse();
    }
    points.join("L")
}

/// The next larger number whose quarters are short numbers too.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 8.0, 10.0].into_iter().map(|factor| factor * unit).find(|step| *step >= value).unwrap_or(value)
}

/// The label of a tick, without rounding, because its axis ends at a number from [`round_up`].
fn short(value: f64) -> String {
    let (value, unit) = if value >= 10_000.0 { (value / 1000.0, "k") } else { (value, "") };
    let digits = format!("{value:.6}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// The step between two ticks of a time axis: a round number of seconds, minutes or hours, for at most six ticks.
fn time_step(seconds: f64) -> f64 {
    const STEPS: [f64; 20] = [
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
        14_400.0, 28_800.0, 86_400.0,
    ];
    let days = (seconds / 6.0 / 86_400.0).ceil() * 86_400.0;
    STEPS.into_iter().find(|step| seconds / step <= 6.0).unwrap_or(days)
}

/// The label of a moment on an axis whose ticks are `step` apart.
fn span(seconds: f64, step: f64) -> String {
    if step >= 3600.0 {
        format!("{} h", short(seconds / 3600.0))
    } else if step >= 60.0 {
        format!("{} min", short(seconds / 60.0))
    } else {
        format!("{} s", short(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_number_that_people_like() {
        for (value, end) in [(0.0, 1.0), (3.1, 4.0), (9.0, 10.0), (10.0, 10.0), (240.0, 400.0), (0.02, 0.02)] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn a_tick_says_exactly_where_it_stands() {
        let ticks = |most: f64| [0.25, 0.5, 0.75, 1.0].map(|share| short(round_up(most) * share));
        assert_eq!(ticks(0.9), ["0.25", "0.5", "0.75", "1"]);
        assert_eq!(ticks(15.0), ["5", "10", "15", "20"]);
        assert_eq!(ticks(70_000.0), ["20k", "40k", "60k", "80k"]);
        let times = |seconds: f64| {
            let step = time_step(seconds);
            (0..=(seconds / step) as u32).map(|tick| span(f64::from(tick) * step, step)).collect::<Vec<_>>()
        };
        assert_eq!(times(900.0), ["0 min", "5 min", "10 min", "15 min"]);
        assert_eq!(times(1500.0), ["0 min", "5 min", "10 min", "15 min", "20 min", "25 min"]);
        assert_eq!(times(20.0), ["0 s", "5 s", "10 s", "15 s", "20 s"]);
    }
}
