//! The table of limits that are used up furthest, of whomever they are.

use std::cmp::Reverse;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::cells::{Cell, Column, Holds, Row, Tone, grouped, money, percent};
use super::providers::query;
use crate::admin::{Operations, levels};
use crate::limits::{Account, Moment, Owner, Unit};

/// Its columns.
pub const COLUMNS: &[Column] = &[
    Column::new(
        "Whose",
        Holds::Text,
        "Of a client, a group, a route, an account at providers, or a provider as it says itself",
    ),
    Column::new("Limit", Holds::Text, "Its key in the configuration, or what the provider calls it"),
    Column::new("Used", Holds::Number, "The share that is used up"),
    Column::new("Left", Holds::Number, ""),
    Column::new("Of", Holds::Number, ""),
    Column::new("All back in", Holds::Number, "The time until all of it can be used again if nobody uses any"),
];

/// The most rows.
const MOST: usize = 25;
/// All limits are looked at this often: there may be a hundred thousand.
const AGE: Duration = Duration::from_secs(5);

/// The rows as they were looked up last.
#[derive(Debug, Default)]
pub struct Fullest(Mutex<(Option<Instant>, Vec<Row>)>);

impl Fullest {
    /// The rows, the fullest first.
    pub fn rows(&self, operations: &Operations, now: Instant) -> Vec<Row> {
        let mut known = self.0.lock();
        if known.0.is_none_or(|at| now.saturating_duration_since(at) >= AGE) {
            *known = (Some(now), rows(operations, now));
        }
        known.1.clone()
    }
}

/// A limit, and the rest of it; money in dollars.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// `client`, `group`, `route`, `account` or `provider`.
    pub kind: &'static str,
    /// The name of its owner.
    pub name: String,
    /// The name of the limit.
    pub limit: String,
    /// The limit.
    pub most: f64,
    /// The rest.
    pub left: f64,
    /// True for money.
    pub is_money: bool,
    /// The time until all of it is back.
    pub back: Option<Duration>,
}

impl Level {
    fn used(&self) -> f64 {
        if self.most > 0.0 { (1.0 - self.left / self.most).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Its row.
    pub fn row(&self) -> Row {
        let Self { kind, name, limit, most, left, is_money, back } = self;
        let used = self.used();
        let tone = match used {
            0.98.. => Tone::Bad,
            0.9.. => Tone::Warn,
            _ => Tone::Plain,
        };
        let amount = |amount: f64| {
            let text = if *is_money { money(amount) } else { grouped(amount.max(0.0) as u64) };
            Cell::text(text).by(amount)
        };
        let whose = Cell::text(format!("{kind} {name}"));
        let whose = match *kind {
            "client" | "route" | "provider" => whose.linked(format!("/admin/stories.html?{}", query(kind, name))),
            _ => whose,
        };
        let cells = vec![
            whose,
            Cell::text(limit.clone()),
            Cell::text(percent(used)).by(used).metered(used).toned(tone),
            amount(*left),
            amount(*most),
            back.map_or_else(Cell::none, |back| Cell::seconds(back.as_secs_f64())),
        ];
        Row { key: format!("{kind} {name} {limit}"), cells }
    }
}

fn rows(operations: &Operations, now: Instant) -> Vec<Row> {
    let moment = operations.proxy.means().moment(now);
    let generation = operations.proxy.generation();
    let accounts = generation.accounts.book().accounts();
    let mut all: Vec<(Level, Option<Owner>)> = Vec::new();
    for account in &accounts {
        let of_one = of_account(account, moment).into_iter();
        all.extend(of_one.filter(|level| level.used() > 0.0).map(|level| (level, Some(account.owner().clone()))));
    }
    for provider in generation.fleet.providers() {
        let said = levels::levels(provider, now).into_iter().filter(|level| level.source == "provider");
        let level = |level: crate::metrics::state::Level| {
            let (kind, name) = ("provider", provider.config.name.clone());
            let most = level.most?;
            let level =
                Level { kind, name, limit: level.limit, most, left: level.remaining, is_money: false, back: None };
            (level.used() > 0.0).then_some((level, None))
        };
        all.extend(said.filter_map(level));
    }
    let fullest = |level: &Level| Reverse((level.used() * 1e6) as u64);
    all.sort_by_cached_key(|(level, _)| (fullest(level), level.kind, level.name.clone(), level.limit.clone()));
    all.truncate(MOST);
    let named = |(mut level, owner): (Level, Option<Owner>)| {
        // The owner of a key made at run time is known by the key's id.
        if let Some(Owner::Client(id)) = owner
            && let Some(client) = operations.proxy.clients().made(&id)
        {
            level.name = client.name.to_string();
        }
        level.row()
    };
    all.into_iter().map(named).collect()
}

fn of_account(account: &Account, now: Moment) -> Vec<Level> {
    let owner = account.owner();
    let (kind, name) = (Owner::KINDS[owner.kind()], owner.name().to_owned());
    let level = |limit: String, most: f64, left: f64, is_money: bool, back: Option<Duration>| Level {
        kind,
        name: name.clone(),
        limit,
        most,
        left,
        is_money,
        back,
    };
    let mut all: Vec<Level> = Vec::new();
    for meter in account.meters() {
        let is_money = meter.unit == Unit::Money;
        // Billionths of a dollar.
        let unit = if is_money { 1e9 } else { 1.0 };
        let limit = if is_money { format!("dollars per {}", meter.name) } else { meter.name.to_string() };
        let limit = limit.replace("per total", "in all");
        let (most, left) = (meter.amount() as f64 / unit, meter.remaining(now) as f64 / unit);
        let back = Some(meter.full(now).since(now)).filter(|back| back.as_secs() < 400 * 86_400);
        all.push(level(limit, most, left, is_money, back));
    }
    if let Some((most, held)) = account.parallel() {
        all.push(level("parallel".to_owned(), most.into(), most.saturating_sub(held).into(), false, None));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_nearly_used_up_is_marked() {
        let level = |left: f64| Level {
            kind: "client",
            name: "a&b".to_owned(),
            limit: "dollars per day".to_owned(),
            most: 50.0,
            left,
            is_money: true,
            back: Some(Duration::from_secs(90)),
        };
        let row = level(4.0).row();
        let texts: Vec<&str> = row.cells.iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(texts, ["client a&b", "dollars per day", "92.0 %", "$4.00", "$50.00", "1 min 30 s"]);
        assert_eq!(row.cells[0].link.as_deref(), Some("/admin/stories.html?client=a%26b"));
        let tone = |left: f64| level(left).row().cells[2].tone;
        assert_eq!([10.0, 4.0, 0.5].map(tone), [Tone::Plain, Tone::Warn, Tone::Bad]);
    }
}
