//! Limits on the screen: how much is left of those of an owner, and a table of all.

use std::collections::HashMap;

use super::grid::{Cell, Column, Grid, Row, Tone, count, dollars, number, percent, words};
use super::source::Reading;

const LIMITS: [Column; 5] =
    [words("whose", 30), words("limit", 22), number("used", 8), number("left", 14), number("of", 14)];

/// The smallest part that is left of a limit of each owner, with the limit's name.
pub(super) fn least(reading: &Reading, [remaining, limit]: [&str; 2], owner: &str) -> HashMap<String, (f64, String)> {
    let most: HashMap<[&str; 2], f64> = reading.now.each(limit, [owner, "limit"]).collect();
    let mut least = HashMap::<String, (f64, String)>::new();
    for (labels, left) in reading.now.each(remaining, [owner, "limit"]) {
        let Some(most) = most.get(&labels).filter(|most| **most > 0.0) else { continue };
        let share = left / most;
        let known = least.entry(labels[0].to_owned()).or_insert((f64::INFINITY, String::new()));
        if share < known.0 {
            *known = (share, labels[1].to_owned());
        }
    }
    least
}

/// The same as a cell.
pub(super) fn left(least: Option<&(f64, String)>) -> Cell {
    let Some((share, limit)) = least else { return Cell::number(None, percent) };
    // The least first.
    let cell = Cell { text: format!("{} {limit}", percent(*share)), value: Some(-share), tone: Tone::Plain };
    cell.toned(Tone::Warn, *share < 0.25).toned(Tone::Bad, *share < 0.1)
}

/// The limits of which something is used, the fullest first.
pub(super) fn limits(reading: &Reading) -> Grid {
    let mut all: Vec<(String, String, f64, f64)> = Vec::new();
    let mut add = |metrics: [&str; 2], owner: &str, whose: &dyn Fn(&str) -> String| {
        let most: HashMap<[&str; 2], f64> = reading.now.each(metrics[1], [owner, "limit"]).collect();
        for (labels, left) in reading.now.each(metrics[0], [owner, "limit"]) {
            if let Some(most) = most.get(&labels).filter(|most| **most > 0.0 && left < **most) {
                all.push((whose(labels[0]), labels[1].to_owned(), left, *most));
            }
        }
    };
    add(["pointsman_limit_remaining", "pointsman_limit"], "owner", &|owner| {
        let kinds = [("c/", "client"), ("g/", "group"), ("r/", "route"), ("p/", "account")];
        let known = kinds.iter().find_map(|(sign, kind)| Some(format!("{kind} {}", owner.strip_prefix(sign)?)));
        known.unwrap_or_else(|| owner.to_owned())
    });
    let of_providers = ["pointsman_provider_limit_remaining", "pointsman_provider_limit"];
    add(of_providers, "provider", &|name| format!("provider {name}"));
    let used = |(_, _, left, most): &(String, String, f64, f64)| 1.0 - left / most;
    all.sort_by(|one, other| used(other).total_cmp(&used(one)).then_with(|| one.0.cmp(&other.0)));
    let row = |limit: &(String, String, f64, f64)| {
        let (whose, name, left, most) = limit;
        let used = used(limit);
        let amount = |amount: f64| Cell::number(Some(amount), if name.starts_with("usd") { dollars } else { count });
        let share = Cell::number(Some(used), percent).toned(Tone::Warn, used > 0.75).toned(Tone::Bad, used > 0.9);
        let cells = vec![Cell::text(whose.clone()), Cell::text(name.clone()), share, amount(*left), amount(*most)];
        Row { key: whose.clone(), cells }
    };
    Grid { columns: &LIMITS, rows: all.iter().map(row).collect() }
}
