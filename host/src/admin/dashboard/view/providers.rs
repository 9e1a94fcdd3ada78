//! The table of providers.

use tokio::time::Instant;

use super::super::cells::{Cell, Column, Holds, Row, Tone, grouped, percent, short, span};
use super::super::past::{Minute, Past};
use crate::admin::{Operations, levels, state_word};
use crate::metrics::state::Level;
use crate::provider::ejection::Standing;
use crate::provider::{Fleet, Provider};

/// Its columns.
pub const COLUMNS: &[Column] = &[
    Column::new("Provider", Holds::Text, ""),
    Column::new(
        "State",
        Holds::State,
        "admitted, throttled (it limits our rate), ejected, or probing (it has yet to prove itself)",
    ),
    Column::new("Why, or the latest error", Holds::Words, ""),
    Column::new("Since", Holds::Number, "For how long it has been in this state, as far as was seen"),
    Column::new("Out for", Holds::Number, "The time until it is tried again"),
    Column::new("Share", Holds::Number, "Its share of all attempts of the last minute"),
    Column::new("Req/s", Holds::Number, "Attempts per second in the last minute"),
    Column::new("In flight", Holds::Number, "Requests that it works on, and its limit"),
    Column::new(
        "Limits left",
        Holds::Words,
        "What is left of its limits, as it says itself or as the configuration does",
    ),
    Column::new(
        "p50",
        Holds::Number,
        "To the first token of a stream in the last minute; to the end of the answer (w) if nothing streamed",
    ),
    Column::new("p95", Holds::Number, "The same for 95 % of the requests"),
    Column::new("p99", Holds::Number, "The same for 99 % of the requests"),
    Column::new("Errors", Holds::Number, "Failed attempts of the last minute, and their share"),
    Column::new("Failovers", Holds::Number, "Attempts here after another provider had failed, since the start"),
    Column::new("Spend", Holds::Number, "What its answers have cost since the start"),
];

/// Its rows.
pub fn rows(operations: &Operations, past: &Past, minute: &Minute, now: Instant) -> Vec<Row> {
    let generation = operations.proxy.generation();
    let fleet = &generation.fleet;
    fleet.providers().iter().map(|provider| row(fleet, provider, past, minute, now)).collect()
}

fn row(fleet: &Fleet, provider: &Provider, past: &Past, all: &Minute, now: Instant) -> Row {
    let name = &provider.config.name;
    let snapshot = fleet.snapshot();
    let health = snapshot.of(provider.seat());
    let state = state_word(health, now);
    let throttled = health.throttles().longest(now);
    let is_out = throttled.is_some() || health.standing(now) != Standing::Admitted;
    let why = match health.reason().filter(|_| is_out) {
        Some(reason) => Cell::text(reason),
        None => match provider.seat().last_error().get(now) {
            Some((reason, ago)) => Cell::text(format!("{reason}, {} ago", span(ago.as_secs_f64()))).toned(Tone::Faint),
            None => Cell::text(""),
        },
    };
    let ejected = health.ejected_until().and_then(|until| until.checked_duration_since(now));
    let out_for = ejected.max(throttled).filter(|wait| !wait.is_zero());
    let track = past.provider(name);
    let (minute, seconds) = track.map_or_else(|| (Default::default(), 1.0), |track| track.minute(now));
    let share = if all.attempts.attempts == 0 { 0.0 } else { minute.attempts as f64 / all.attempts.attempts as f64 };
    let [half, most, nearly] = [0.5, 0.95, 0.99].map(|wanted| match minute.quantile(wanted) {
        (Some(ms), is_whole) => Cell::text(format!("{} ms{}", short(ms), if is_whole { " w" } else { "" })).by(ms),
        (None, _) => Cell::none(),
    });
    let errors = match minute.failed {
        0 => Cell::count(0).toned(Tone::Faint),
        failed => {
            let share = failed as f64 / minute.attempts.max(1) as f64;
            let tone = if share >= 0.1 { Tone::Bad } else { Tone::Warn };
            Cell::text(format!("{} ({})", grouped(failed), percent(share))).by(failed as f64).toned(tone)
        }
    };
    let in_flight = provider.in_flight();
    let in_flight = match provider.config.max_concurrent {
        Some(limit) => Cell::text(format!("{in_flight} of {limit}"))
            .by(in_flight.into())
            .metered(f64::from(in_flight) / f64::from(limit.max(1))),
        None => Cell::count(in_flight.into()),
    };
    let idle = if minute.attempts == 0 { Tone::Faint } else { Tone::Plain };
    let cells = vec![
        Cell::text(name.clone()).linked(format!("/admin/stories.html?{}", query("provider", name))),
        toned(state, provider.config.fallback_only),
        why,
        track.map_or_else(Cell::none, |track| Cell::seconds(now.saturating_duration_since(track.since).as_secs_f64())),
        out_for.map_or_else(Cell::none, |wait| Cell::seconds(wait.as_secs_f64()).toned(Tone::Warn)),
        Cell::text(percent(share)).by(share).toned(idle),
        Cell::text(short(minute.attempts as f64 / seconds)).by(minute.attempts as f64 / seconds).toned(idle),
        in_flight,
        left(&levels::levels(provider, now)),
        half,
        most,
        nearly,
        errors,
        track.map_or_else(Cell::none, |track| Cell::count(track.now().failovers)),
        track.map_or_else(Cell::none, |track| Cell::dollars(track.now().cost)),
    ];
    Row { key: name.clone(), cells }
}

/// One parameter of a query, escaped.
pub fn query(name: &str, value: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}

fn toned(state: &'static str, is_fallback: bool) -> Cell {
    let (tone, sort) = match state {
        "ejected" => (Tone::Bad, 0.0),
        "probing" => (Tone::Warn, 1.0),
        "throttled" => (Tone::Warn, 2.0),
        _ => (Tone::Good, 3.0),
    };
    let text = if is_fallback { format!("{state} (fallback)") } else { state.to_owned() };
    Cell::text(text).toned(tone).by(sort)
}

/// The rest of limits, the shortest with a bar.
fn left(levels: &[Level]) -> Cell {
    if levels.is_empty() {
        return Cell::text("");
    }
    let written = |level: &Level| {
        let amount =
            |amount: f64| if level.limit.starts_with("usd") { format!("${amount:.2}") } else { grouped(amount as u64) };
        let of = level.most.map_or(String::new(), |most| format!(" of {}", amount(most)));
        format!("{} {}{of}", level.limit, amount(level.remaining))
    };
    let share = |level: &Level| level.most.filter(|most| *most > 0.0).map(|most| level.remaining / most);
    let least = levels.iter().filter_map(share).fold(1.0, f64::min);
    let texts: Vec<String> = levels.iter().map(written).collect();
    let tone = if least < 0.1 { Tone::Warn } else { Tone::Plain };
    // The bar is what is used, as elsewhere.
    Cell::text(texts.join("; ")).by(least).metered(1.0 - least).toned(tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_with_its_limit() {
        let level = |limit: &str, most, remaining| Level { source: "config", limit: limit.to_owned(), most, remaining };
        let cell = left(&[
            level("rpm", Some(60.0), 40.0),
            level("usd per day", Some(10.0), 0.5),
            level("tokens", None, 9000.0),
        ]);
        assert_eq!(cell.text, "rpm 40 of 60; usd per day $0.50 of $10.00; tokens 9\u{202f}000");
        assert_eq!((cell.meter, cell.tone), (Some(0.95), Tone::Warn));
        assert_eq!(left(&[]).text, "");
    }

    #[test]
    fn names_are_escaped_in_addresses() {
        assert_eq!(query("provider", "a&b=\"<c>"), "provider=a%26b%3D%22%3Cc%3E");
    }
}
