//! The tables of the screen, made from a reading.

use std::collections::HashMap;

use serde_json::Value;

use super::grid::{Cell, Column, Grid, Row, Tone, count, dollars, number, percent, rate, time, words};
use super::limits::{least, left};
use super::series::Buckets;
use super::source::Reading;
use crate::limits::Nano;
use crate::observe::ledger::Record;
use crate::observe::report::{Figures, Report};

/// Outcomes that are no fault of the provider.
const INNOCENT: [&str; 3] = ["succeeded", "rejected", "cancelled"];

const PROVIDERS: [Column; 11] = [
    words("provider", 18),
    words("state", 16),
    number("share", 7),
    number("req/s", 7),
    number("failed", 7),
    number("p50", 8),
    number("p95", 8),
    number("p99", 8),
    number("in flight", 9),
    number("least left", 18),
    words("last trouble", 0),
];
const ROUTES: [Column; 9] = [
    words("route", 18),
    words("strategy", 16),
    words("state", 10),
    number("req/s", 7),
    number("failed", 7),
    number("first p50", 9),
    number("p95", 8),
    number("$/h", 9),
    words("models and targets", 0),
];
const STRATEGIES: [Column; 9] = [
    words("strategy", 18),
    words("part", 8),
    words("state", 12),
    number("req/s", 7),
    number("faults", 7),
    number("refused", 8),
    number("a call", 9),
    number("same first", 10),
    words("component", 0),
];
const CLIENTS: [Column; 9] = [
    words("client", 20),
    number("requests", 9),
    number("failed", 7),
    number("tokens in", 10),
    number("out", 8),
    number("$ in 1 h", 10),
    number("first p95", 9),
    number("least left", 18),
    words("", 0),
];
const REQUESTS: [Column; 11] = [
    words("time", 8),
    words("client", 14),
    words("model", 18),
    words("provider", 14),
    words("outcome", 14),
    number("status", 6),
    number("tries", 5),
    number("first", 8),
    number("whole", 8),
    number("$", 9),
    words("request", 0),
];
const EVENTS: [Column; 4] = [words("time", 19), words("kind", 9), words("level", 5), words("what", 0)];

/// The difference of two readings, by the keys of `now`.
fn since(now: HashMap<String, f64>, before: Option<HashMap<String, f64>>) -> HashMap<String, f64> {
    let (mut now, before) = (now, before.unwrap_or_default());
    for (key, value) in &mut now {
        *value = (*value - before.get(key).copied().unwrap_or(0.0)).max(0.0);
    }
    now
}

/// The rate per second of a metric by the values of a label, over the last ten seconds; empty without an earlier reading.
fn rates(reading: &Reading, metric: &str, label: &str) -> HashMap<String, f64> {
    let Some((before, seconds)) = &reading.shortly_ago else { return HashMap::new() };
    let come = since(reading.now.by(metric, label, &[]), Some(before.by(metric, label, &[])));
    come.into_iter().map(|(key, value)| (key, value / seconds.max(0.001))).collect()
}

/// The percentiles of a histogram by provider, over the last minute.
fn recent(reading: &Reading, histogram: &str) -> HashMap<String, Buckets> {
    let before = reading.minute_ago.as_ref().map(|before| before.buckets(histogram, "provider")).unwrap_or_default();
    let now = reading.now.buckets(histogram, "provider");
    now.into_iter().map(|(provider, buckets)| (provider.clone(), buckets.since(before.get(&provider)))).collect()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn failed(share: Option<f64>) -> Cell {
    let is = |least: f64| share.is_some_and(|share| share >= least);
    Cell::number(share, percent).toned(Tone::Warn, is(0.01)).toned(Tone::Bad, is(0.1))
}

fn state(name: &str, more: &str) -> Cell {
    let tone = match name {
        "admitted" | "healthy" => Tone::Good,
        "ejected" | "backing_off" | "faulted" => Tone::Bad,
        _ => Tone::Warn,
    };
    Cell { text: format!("{name}{more}"), value: None, tone }
}

/// The providers.
pub(super) fn providers(reading: &Reading) -> Grid {
    let attempts = rates(reading, "pointsman_attempts_total", "provider");
    let before = reading.minute_ago.as_ref();
    let window = |wanted: &[(&str, &str)]| {
        let earlier = before.map(|before| before.by("pointsman_attempts_total", "provider", wanted));
        since(reading.now.by("pointsman_attempts_total", "provider", wanted), earlier)
    };
    let tried = window(&[]);
    let innocent = INNOCENT.map(|outcome| window(&[("outcome", outcome)]));
    let all: f64 = tried.values().sum();
    let firsts = recent(reading, "pointsman_time_to_first_token_seconds");
    let wholes = recent(reading, "pointsman_attempt_duration_seconds");
    let limits = ["pointsman_provider_limit_remaining", "pointsman_provider_limit"];
    let limits = least(reading, limits, "provider");
    let row = |provider: &Value| {
        let name = text(provider, "name");
        let tried = tried.get(name).copied().filter(|tried| *tried > 0.0);
        let fine: f64 = innocent.iter().filter_map(|outcome| outcome.get(name)).sum();
        let times = firsts.get(name).filter(|buckets| buckets.total() > 0.0).or(wholes.get(name));
        let percentile = |share: f64| Cell::number(times.and_then(|times| times.quantile(share)), time);
        let out = provider["out_for_seconds"].as_f64().map_or(String::new(), |seconds| format!(" {}", time(seconds)));
        let in_flight = provider["in_flight"].as_f64();
        let most = provider["max_concurrent"].as_f64();
        let slots = |value: f64| most.map_or(count(value), |most| format!("{}/{}", count(value), count(most)));
        let is_full = most.is_some() && in_flight >= most;
        let trouble = provider["reason"].as_str().or(provider.pointer("/last_error/reason").and_then(Value::as_str));
        let cells = vec![
            Cell::text(name),
            state(text(provider, "state"), &out),
            Cell::number(tried.map(|tried| tried / all), percent),
            Cell::number(attempts.get(name).copied(), rate),
            failed(tried.map(|tried| ((tried - fine) / tried).max(0.0))),
            percentile(0.5),
            percentile(0.95),
            percentile(0.99),
            Cell::number(in_flight, slots).toned(Tone::Warn, is_full),
            left(limits.get(name)),
            Cell::text(trouble.unwrap_or_default()),
        ];
        Row { key: name.to_owned(), cells }
    };
    Grid { columns: &PROVIDERS, rows: list(&reading.health, "providers").iter().map(row).collect() }
}

/// The figures of each group of a report by one name, and the hours that it is about.
fn figures(report: Option<&Report>) -> (HashMap<&str, &Figures>, f64) {
    let Some(report) = report else { return (HashMap::new(), 1.0) };
    let figures = report.rows.iter().map(|row| (row.values().next().flatten().unwrap_or_default(), &row.figures));
    (figures.collect(), report.until.since(report.since).as_secs_f64() / 3600.0)
}

fn share_of_failed(figures: &Figures) -> Option<f64> {
    (figures.requests > 0).then(|| figures.failed as f64 / figures.requests as f64)
}

/// The routes.
pub(super) fn routes(reading: &Reading) -> Grid {
    let (figures, hours) = figures(reading.reports[1].as_ref());
    let row = |name: &str, strategy: &Value, serves: String| {
        let figures = figures.get(name).copied();
        let first = figures.and_then(|figures| figures.first_byte_ms);
        let cells = vec![
            Cell::text(name),
            Cell::text(text(strategy, "name")),
            state(text(strategy, "state"), ""),
            Cell::number(figures.map(|figures| figures.requests as f64 / hours / 3600.0), rate),
            failed(figures.and_then(share_of_failed)),
            Cell::number(first.map(|first| first.p50 / 1000.0), time),
            Cell::number(first.map(|first| first.p95 / 1000.0), time),
            Cell::number(figures.map(|figures| figures.cost / hours), dollars),
            Cell::text(serves),
        ];
        Row { key: name.to_owned(), cells }
    };
    let named = |names: &[Value]| names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    let of_route = |route: &Value| {
        let serves = format!("{} at {}", named(list(route, "models")), named(list(route, "targets")));
        row(text(route, "name"), &route["strategy"], serves)
    };
    let mut rows: Vec<Row> = list(&reading.health, "routes").iter().map(of_route).collect();
    if rows.is_empty() {
        let providers = list(&reading.health, "providers").iter().map(|provider| text(provider, "name"));
        let serves = format!("every model at {}", providers.collect::<Vec<_>>().join(", "));
        rows.push(row("default", &reading.health["strategy"], serves));
    }
    Grid { columns: &ROUTES, rows }
}

/// The strategies that decide, and their shadows.
pub(super) fn strategies(reading: &Reading) -> Grid {
    let sums = |metric: &str| reading.now.by(metric, "strategy", &[]);
    let calls = rates(reading, "pointsman_strategy_calls_total", "strategy");
    let decisions = rates(reading, "pointsman_shadow_decisions_total", "strategy");
    let (faults, refusals) = (sums("pointsman_strategy_faults_total"), sums("pointsman_strategy_refusals_total"));
    let mean = sums("pointsman_strategy_call_mean_seconds");
    let sign = |metric: &str, name: &str, value: f64| {
        reading.now.each(metric, ["strategy"]).any(|([known], is)| known == name && is == value)
    };
    let broke = |faults: Option<&f64>| {
        let is_any = faults.is_some_and(|faults| *faults > 0.0);
        Cell::number(faults.copied(), count).toned(Tone::Bad, is_any)
    };
    let mut rows = Vec::new();
    for ([name, component, version, sha256], _) in
        reading.now.each("pointsman_strategy_info", ["strategy", "component", "version", "sha256"])
    {
        if rows.iter().any(|row: &Row| row.key == name) {
            continue;
        }
        let word = if sign("pointsman_strategy_healthy", name, 0.0) {
            "faulted"
        } else if sign("pointsman_strategy_rolled_back", name, 1.0) {
            "rolled back"
        } else if sign("pointsman_strategy_on_trial", name, 1.0) {
            "on trial"
        } else if sign("pointsman_strategy_slow", name, 1.0) {
            "slow"
        } else {
            "healthy"
        };
        let digest: String = sha256.chars().take(12).collect();
        let cells = vec![
            Cell::text(name),
            Cell::text("decides"),
            state(word, ""),
            Cell::number(calls.get(name).copied(), rate),
            broke(faults.get(name)),
            Cell::number(refusals.get(name).copied(), count),
            Cell::number(mean.get(name).copied(), time),
            Cell::number(None, percent),
            Cell::text(format!("{component} {version} {digest}")),
        ];
        rows.push(Row { key: name.to_owned(), cells });
    }
    let (seen, same) = (sums("pointsman_shadow_decisions_total"), sums("pointsman_shadow_same_first_total"));
    let (seconds, faults) = (sums("pointsman_shadow_call_seconds_total"), sums("pointsman_shadow_faults_total"));
    let mut shadows: Vec<&String> = seen.keys().collect();
    shadows.sort();
    for name in shadows {
        let seen = seen.get(name).copied().filter(|seen| *seen > 0.0);
        let part = |sums: &HashMap<String, f64>| Some(sums.get(name).copied().unwrap_or(0.0) / seen?);
        let cells = vec![
            Cell::text(name),
            Cell::text("shadow"),
            Cell::text("watches"),
            Cell::number(decisions.get(name).copied(), rate),
            broke(faults.get(name)),
            Cell::number(None, count),
            Cell::number(part(&seconds), time),
            Cell::number(part(&same), percent),
            Cell::text(""),
        ];
        rows.push(Row { key: name.clone(), cells });
    }
    Grid { columns: &STRATEGIES, rows }
}

/// The clients of the last hour.
pub(super) fn clients(reading: &Reading) -> Grid {
    let limits = least(reading, ["pointsman_limit_remaining", "pointsman_limit"], "owner");
    let row = |name: Option<&str>, figures: &Figures| {
        let least = name.and_then(|name| limits.get(&format!("c/{name}")));
        let first = figures.first_byte_ms.map(|first| first.p95 / 1000.0);
        let cells = vec![
            Cell::text(name.unwrap_or("(without a name)")),
            Cell::number(Some(figures.requests as f64), count),
            failed(share_of_failed(figures)),
            Cell::number(Some(figures.prompt_tokens as f64), count),
            Cell::number(Some(figures.completion_tokens as f64), count),
            Cell::number(Some(figures.cost), dollars),
            Cell::number(first, time),
            left(least),
            Cell::text(if figures.unpriced > 0 { "some without a price" } else { "" }),
        ];
        Row { key: name.unwrap_or_default().to_owned(), cells }
    };
    let rows = reading.reports[0].iter().flat_map(|report| &report.rows);
    Grid { columns: &CLIENTS, rows: rows.map(|group| row(group.values().next().flatten(), &group.figures)).collect() }
}

/// Requests, the latest end first.
pub(super) fn requests<'r>(records: impl Iterator<Item = &'r Record>) -> Grid {
    let row = |record: &Record| {
        let text = |text: Option<&str>| Cell::text(text.unwrap_or_default());
        let clock = record.time.to_string().get(11..19).unwrap_or_default().to_owned();
        let tone = if record.failed() { Tone::Bad } else { Tone::Plain };
        let tries = record.attempts.len() as u64 + record.more_attempts;
        let millis = |time: Option<f64>| time.map(|millis| millis / 1000.0);
        let cells = vec![
            Cell::text(clock),
            text(record.client.as_deref()),
            Cell::text(&*record.model),
            text(record.provider.as_deref()),
            Cell::text(&*record.outcome).toned(tone, true),
            Cell::number(record.status.map(f64::from), count).toned(tone, true),
            Cell::number(Some(tries as f64), count).toned(Tone::Warn, record.failed_over()),
            Cell::number(millis(record.first_byte_ms.map(|first| first.get())), time),
            Cell::number(millis(Some(record.duration_ms.get())), time),
            Cell::number(record.cost_nano.map(|nano| Nano(nano).dollars()), dollars),
            Cell::text(&*record.request_id),
        ];
        Row { key: record.request_id.to_string(), cells }
    };
    Grid { columns: &REQUESTS, rows: records.map(row).collect() }
}

/// Events, the latest first.
pub(super) fn events(reading: &Reading) -> Grid {
    let row = |event: &Value| {
        let tone = match text(event, "level") {
            "ERROR" => Tone::Bad,
            "WARN" => Tone::Warn,
            _ => Tone::Plain,
        };
        let time: String = text(event, "time").chars().take(19).collect();
        let message = text(event, "message");
        let cells = vec![
            Cell::text(time),
            Cell::text(text(event, "kind")),
            Cell::text(text(event, "level")).toned(tone, true),
            Cell::text(message.lines().next().unwrap_or_default()),
        ];
        Row { key: message.to_owned(), cells }
    };
    Grid { columns: &EVENTS, rows: reading.events.iter().rev().map(row).collect() }
}
