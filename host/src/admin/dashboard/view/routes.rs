//! The table of routes with their strategies.

use std::collections::HashMap;

use super::super::cells::{Cell, Column, Holds, Row, Tone, grouped, percent, short};
use super::super::past::Minute;
use crate::admin::Operations;
use crate::observe::ledger::Filter;
use crate::routing::{Route, ShadowHealth, StrategyHealth};

/// Its columns.
pub const COLUMNS: &[Column] = &[
    Column::new("Route", Holds::Text, ""),
    Column::new("Models", Holds::Words, ""),
    Column::new("Strategy", Holds::Text, ""),
    Column::new(
        "State",
        Holds::State,
        "Whether the strategy decides; while it is out, the order of the configuration is used",
    ),
    Column::new("Requests", Holds::Number, "Of the latest stories, those that took this route"),
    Column::new("Reasons", Holds::Words, "What decided, in the words of the strategy, in those stories"),
    Column::new("Decision", Holds::Number, "The moving average of the time that a call takes"),
    Column::new("Faults", Holds::Number, "Calls in which the strategy broke, since the start, under this name"),
    Column::new("Shadows", Holds::Words, "How often each would have chosen the same provider first"),
];

/// The most stories that are looked at for reasons.
const LOOKED_AT: usize = 1000;

/// The decisions of one route among the latest stories.
#[derive(Debug, Default)]
struct Decided {
    requests: u64,
    reasons: HashMap<String, u64>,
}

/// Its rows.
pub fn rows(operations: &Operations, _: &Minute) -> Vec<Row> {
    let mut decided = HashMap::<String, Decided>::new();
    let stories = operations.proxy.ledger().select(&Filter { inner: true, ..Filter::default() }, LOOKED_AT);
    for story in &stories {
        let Some(route) = &story.route else { continue };
        let of = decided.entry(route.to_string()).or_default();
        of.requests += 1;
        for offer in &story.offers {
            let Some(origin) = offer.origin.as_deref() else { continue };
            let reason =
                offer.reason.as_deref().unwrap_or(if origin == "strategy" { "no reason given" } else { origin });
            *of.reasons.entry(reason.to_owned()).or_default() += 1;
        }
    }
    let generation = operations.proxy.generation();
    generation.routes.all().iter().map(|route| row(route, decided.remove(&route.name).unwrap_or_default())).collect()
}

fn row(route: &Route, decided: Decided) -> Row {
    let health = route.strategy().health();
    let models = if route.is_named() { route.models().join(", ") } else { "all others".to_owned() };
    let component = format!("{} {}", health.component, health.version);
    let strategy = match component.trim() {
        "" => health.name.clone(),
        component if component.starts_with(&health.name) => component.to_owned(),
        component => format!("{} ({component})", health.name),
    };
    let cells = vec![
        Cell::text(route.name.clone())
            .linked(format!("/admin/stories.html?{}", super::providers::query("route", &route.name))),
        Cell::text(models),
        Cell::text(strategy),
        state(&health),
        Cell::count(decided.requests),
        Cell::text(reasons(decided.reasons)),
        health
            .mean_call
            .map_or_else(Cell::none, |seconds| Cell::text(format!("{} ms", short(seconds * 1000.0))).by(seconds)),
        faults(&health),
        Cell::text(health.shadows.iter().map(shadow).collect::<Vec<_>>().join("; ")),
    ];
    Row { key: route.name.clone(), cells }
}

fn state(health: &StrategyHealth) -> Cell {
    if let Some(why) = &health.rolled_back {
        return Cell::text(format!("rolled back: {why}")).toned(Tone::Bad);
    }
    let text = health.state.replace('_', " ");
    let trial = if health.on_trial { ", on trial" } else { "" };
    let slow = if health.slow { ", slow" } else { "" };
    let tone = match health.state {
        "healthy" if health.slow => Tone::Warn,
        "healthy" => Tone::Good,
        _ => Tone::Bad,
    };
    Cell::text(format!("{text}{trial}{slow}")).toned(tone)
}

fn faults(health: &StrategyHealth) -> Cell {
    let all: u64 = health.counters.faults.iter().map(|(_, count)| count).sum();
    if all == 0 {
        return Cell::count(0).toned(Tone::Faint);
    }
    let kinds = health.counters.faults.iter().filter(|(_, count)| *count > 0);
    let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{} {kind}", grouped(*count))).collect();
    Cell::text(kinds.join(", ").replace('_', " ")).by(all as f64).toned(Tone::Bad)
}

fn shadow(shadow: &ShadowHealth) -> String {
    let name = &shadow.strategy.name;
    if shadow.decisions == 0 {
        return format!("{name}: nothing seen yet");
    }
    let share = shadow.same_first as f64 / shadow.decisions as f64;
    format!("{name}: the same in {} of {}", percent(share), grouped(shadow.decisions))
}

/// The most frequent reasons, with their shares.
fn reasons(reasons: HashMap<String, u64>) -> String {
    let all: u64 = reasons.values().sum();
    let mut sorted: Vec<(String, u64)> = reasons.into_iter().collect();
    sorted.sort_by(|(one, few), (other, many)| many.cmp(few).then_with(|| one.cmp(other)));
    let rest = sorted.len().saturating_sub(4);
    sorted.truncate(4);
    let written = |(reason, count): &(String, u64)| format!("{reason} {}", percent(*count as f64 / all.max(1) as f64));
    let more = (rest > 0).then(|| format!("and {rest} more"));
    sorted.iter().map(written).chain(more).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_reasons_come_first() {
        let of = [("sticky", 6), ("a", 1), ("b", 1), ("shortest wait", 2), ("c", 1), ("d", 1)];
        let text = reasons(of.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect());
        assert_eq!(text, "sticky 50.0 %; shortest wait 16.7 %; a 8.3 %; b 8.3 %; and 2 more");
        assert_eq!(reasons(HashMap::new()), "");
    }

    #[test]
    fn a_strategy_that_was_rolled_back_says_why() {
        let health = StrategyHealth { state: "healthy", rolled_back: Some("it trapped".into()), ..Default::default() };
        assert_eq!((state(&health).text.as_str(), state(&health).tone), ("rolled back: it trapped", Tone::Bad));
    }
}
