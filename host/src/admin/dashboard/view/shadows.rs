//! The table of shadows: strategies that see what the one that decides sees, and whose decisions are only compared.

use super::super::cells::{Cell, Column, Holds, Row, Tone, percent, short};
use crate::admin::Operations;
use crate::routing::{Route, ShadowHealth};

/// Its columns.
pub const COLUMNS: &[Column] = &[
    Column::new("Shadow", Holds::Text, ""),
    Column::new("Beside", Holds::Text, "The strategy that decides, and its route"),
    Column::new("State", Holds::State, ""),
    Column::new("Decisions", Holds::Number, "Those that it has seen since the start"),
    Column::new("Same first", Holds::Number, "The share in which it would have tried the same provider first"),
    Column::new("Same order", Holds::Number, "The share in which its whole order was the same"),
    Column::new("Broke", Holds::Number, "Calls in which it broke, or answered with an error"),
    Column::new("A call takes", Holds::Number, "The mean of all"),
    Column::new("Missed", Holds::Number, "Decisions that came faster than shadows can follow"),
];

/// Its rows.
pub fn rows(operations: &Operations) -> Vec<Row> {
    let generation = operations.proxy.generation();
    let of_route = |route: &Route| {
        let health = route.strategy().health();
        let row = |shadow: &ShadowHealth| row(&route.name, &health.name, shadow);
        health.shadows.iter().map(row).collect::<Vec<_>>()
    };
    generation.routes.all().iter().flat_map(|route| of_route(route)).collect()
}

fn row(route: &str, decides: &str, shadow: &ShadowHealth) -> Row {
    let ShadowHealth { strategy, decisions, same_first, same_order, seconds, dropped } = shadow;
    let share = |part: u64| match decisions {
        0 => Cell::none(),
        _ => {
            let share = part as f64 / *decisions as f64;
            Cell::text(percent(share)).by(share).metered(share)
        }
    };
    let broke = strategy.counters.faults.iter().map(|(_, count)| count).sum::<u64>() + strategy.counters.refusals;
    let state = Cell::text(strategy.state.replace('_', " "));
    let took = (*decisions > 0).then(|| seconds * 1000.0 / *decisions as f64);
    let cells = vec![
        Cell::text(strategy.name.clone()),
        Cell::text(format!("{decides} on {route}")),
        state.toned(if strategy.state == "healthy" { Tone::Good } else { Tone::Bad }),
        Cell::count(*decisions),
        share(*same_first),
        share(*same_order),
        Cell::count(broke).toned(if broke > 0 { Tone::Bad } else { Tone::Faint }),
        took.map_or_else(Cell::none, |ms| Cell::text(format!("{} ms", short(ms))).by(ms)),
        Cell::count(*dropped),
    ];
    Row { key: format!("{route} {}", strategy.name), cells }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{StrategyCounters, StrategyHealth};

    #[test]
    fn agreement_and_breaks_are_told() {
        let counters = StrategyCounters {
            faults: vec![("trapped", 2), ("illegal", 0)],
            refusals: 1,
            ..StrategyCounters::default()
        };
        let strategy =
            StrategyHealth { name: "mine".to_owned(), state: "backing_off", counters, ..StrategyHealth::default() };
        let shadow =
            ShadowHealth { strategy, decisions: 200, same_first: 150, same_order: 100, seconds: 0.02, dropped: 5 };
        let row = row("default", "weighted", &shadow);
        let texts: Vec<&str> = row.cells.iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(
            texts,
            ["mine", "weighted on default", "backing off", "200", "75.0 %", "50.0 %", "3", "0.10 ms", "5"]
        );
        assert_eq!((row.cells[2].tone, row.cells[6].tone), (Tone::Bad, Tone::Bad));
        let idle = super::row("default", "weighted", &ShadowHealth::default());
        assert_eq!(idle.cells[4].text, "–");
    }
}
