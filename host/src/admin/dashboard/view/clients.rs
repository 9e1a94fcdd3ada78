//! The table of clients: their keys, the use of their limits, and their spending.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::super::cells::{Cell, Column, Holds, Row, Tone, grouped, money};
use crate::admin::Operations;
use crate::clients::{Client, Origin};
use crate::config::Expiry;
use crate::limits::{Account, Meter, Moment, Unit};

/// Its columns.
pub const COLUMNS: &[Column] = &[
    Column::new("Client", Holds::Text, ""),
    Column::new("State", Holds::State, "active, blocked, or expired"),
    Column::new("Key", Holds::Text, "Whether the key is in the file or was made at run time"),
    Column::new("Group", Holds::Text, ""),
    Column::new("Requests used", Holds::Words, "Used of the limits on requests"),
    Column::new("Tokens used", Holds::Words, "Used of the limits on tokens"),
    Column::new("Budget used", Holds::Words, "Used of the budgets"),
    Column::new("Today", Holds::Number, "Spent today, in UTC"),
    Column::new("Month", Holds::Number, "Spent since the first of the month, in UTC"),
];

/// The most rows.
const MOST: usize = 1000;

/// Its rows; the last one is the spending of clients without a key.
pub fn rows(
    operations: &Operations,
    today: &HashMap<String, u64>,
    month: &HashMap<String, u64>,
    now: Instant,
) -> Vec<Row> {
    let moment = operations.proxy.means().moment(now);
    let keys = operations.proxy.clients();
    let second = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let second = i64::try_from(second).unwrap_or(i64::MAX);
    let spent = |name: &str| [today, month].map(|sums| sums.get(name).copied().unwrap_or(0) as f64 / 1e9);
    let row = |(client, expires): (Arc<Client>, Option<Expiry>)| {
        let is_over = expires.is_some_and(|expires| expires.0 <= second);
        row(&client, is_over, spent(&client.name), moment)
    };
    let mut rows: Vec<Row> = keys.some(MOST).into_iter().map(row).collect();
    let [today, month] = spent("");
    if month > 0.0 {
        let mut cells = vec![Cell::text("without a key").toned(Tone::Faint)];
        cells.extend(std::iter::repeat_n(Cell::text(""), COLUMNS.len() - 3));
        cells.extend([Cell::dollars(today), Cell::dollars(month)]);
        rows.push(Row { key: String::new(), cells });
    }
    rows
}

fn row(client: &Client, is_over: bool, [today, month]: [f64; 2], now: Moment) -> Row {
    let state = match (client.blocked, is_over) {
        (true, _) => Cell::text("blocked").toned(Tone::Bad),
        (false, true) => Cell::text("expired").toned(Tone::Warn),
        (false, false) => Cell::text("active").toned(Tone::Good),
    };
    let link = format!("/admin/stories.html?{}", super::providers::query("client", &client.name));
    let accounts: Vec<&Account> =
        client.account.iter().chain(client.group_account()).map(|account| &**account).collect();
    let used = |unit| used(&accounts, unit, now);
    let cells = vec![
        Cell::text(&*client.name).linked(link),
        state,
        Cell::text(if matches!(client.origin, Origin::Store(_)) { "run time" } else { "file" }),
        Cell::text(client.group().unwrap_or_default()),
        used(Unit::Requests),
        used(Unit::Tokens),
        used(Unit::Money),
        Cell::dollars(today),
        Cell::dollars(month),
    ];
    Row { key: client.id().to_owned(), cells }
}

/// The use of limits on this unit: its own, and then its group's.
fn used(accounts: &[&Account], unit: Unit, now: Moment) -> Cell {
    let (mut texts, mut most) = (Vec::new(), 0.0_f64);
    for (at, account) in accounts.iter().enumerate() {
        let whose = if at > 0 || matches!(account.owner(), crate::limits::Owner::Group(_)) { "group " } else { "" };
        let meters = account.meters().iter().filter(|meter| meter.unit == unit);
        for (text, share) in meters.map(|meter| of_meter(meter, now)) {
            texts.push(format!("{whose}{text}"));
            most = most.max(share);
        }
        if let (Unit::Requests, Some((limit, held))) = (unit, account.parallel()) {
            texts.push(format!("{whose}at once {held} of {limit}"));
            most = most.max(f64::from(held) / f64::from(limit.max(1)));
        }
    }
    if texts.is_empty() {
        return Cell::text("").by(-1.0);
    }
    let tone = if most >= 1.0 {
        Tone::Bad
    } else if most >= 0.9 {
        Tone::Warn
    } else {
        Tone::Plain
    };
    Cell::text(texts.join("; ")).by(most).metered(most).toned(tone)
}

fn of_meter(meter: &Meter, now: Moment) -> (String, f64) {
    let (limit, left) = (meter.amount(), meter.remaining(now));
    let used = limit.saturating_sub(left);
    let share = used as f64 / limit.max(1) as f64;
    let text = if meter.unit == Unit::Money {
        format!("{} {} of {}", meter.name, money(used as f64 / 1e9), money(limit as f64 / 1e9))
    } else {
        format!("{} {} of {}", meter.name, grouped(used), grouped(limit))
    };
    (text, share)
}
