//! The overview at one moment: single figures by name, and the rows of its tables.

mod clients;
mod latest;
mod limits;
mod providers;
mod routes;
mod shadows;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use tokio::time::Instant;

use super::cells::{Cell, Column, Row, Tone, grouped, short, span};
use super::past::{Minute, Past};
use crate::admin::Operations;
use crate::limits::spend::Day;
use crate::metrics::read::Scale;

pub use latest::row as story_row;
pub use limits::{Fullest, Level};

/// The columns of the table of providers.
pub const PROVIDERS: &[Column] = providers::COLUMNS;
/// The columns of the table of routes.
pub const ROUTES: &[Column] = routes::COLUMNS;
/// The columns of the table of shadows.
pub const SHADOWS: &[Column] = shadows::COLUMNS;
/// The columns of the table of limits.
pub const LIMITS: &[Column] = limits::COLUMNS;
/// The columns of the table of clients.
pub const CLIENTS: &[Column] = clients::COLUMNS;
/// The columns of tables of stories.
pub const STORIES: &[Column] = latest::COLUMNS;

/// The spending of today is looked up this often, and that of the month six times less often: it may be many rows.
const SPEND_AGE: Duration = Duration::from_secs(10);

/// The overview at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// Single figures.
    pub figures: Figures,
    /// The rows of tables.
    pub tables: Tables,
}

/// Single figures by their names.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<(&'static str, Cell)>);

/// Rows of each table.
#[derive(Clone, Debug, Serialize)]
pub struct Tables {
    /// The providers, in the order of the configuration.
    pub providers: Vec<Row>,
    /// The routes, that of everything last.
    pub routes: Vec<Row>,
    /// The shadows of all routes.
    pub shadows: Vec<Row>,
    /// The limits that are used up furthest.
    pub limits: Vec<Row>,
    /// The keys of clients, and groups.
    pub clients: Vec<Row>,
    /// The latest failovers and refusals.
    pub latest: Vec<Row>,
}

impl Figures {
    fn set(&mut self, name: &'static str, cell: Cell) {
        self.0.push((name, cell));
    }

    /// One of them; nothing if there is none of this name.
    pub fn get(&self, name: &str) -> Cell {
        self.0.iter().find(|(other, _)| *other == name).map_or_else(Cell::none, |(_, cell)| cell.clone())
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, cell) in &self.0 {
            map.serialize_entry(name, cell)?;
        }
        map.end()
    }
}

/// The spending of clients, as it was looked up last; in nano-dollars.
#[derive(Debug, Default)]
pub struct Spent(Mutex<SpentBy>);

#[derive(Debug, Default)]
struct SpentBy {
    today: HashMap<String, u64>,
    month: HashMap<String, u64>,
    looked: [Option<Instant>; 2],
}

impl SpentBy {
    fn refresh(&mut self, operations: &Operations, now: Instant) {
        let moment = operations.proxy.means().moment(now);
        let today = Day::of(moment);
        let is_due = |looked: Option<Instant>, age| looked.is_none_or(|at| now.saturating_duration_since(at) >= age);
        if is_due(self.looked[0], SPEND_AGE) {
            (self.today, self.looked[0]) = (sums(operations, today, today), Some(now));
        }
        if is_due(self.looked[1], 6 * SPEND_AGE) {
            (self.month, self.looked[1]) = (sums(operations, first_of_month(today), today), Some(now));
        }
    }
}

fn sums(operations: &Operations, since: Day, until: Day) -> HashMap<String, u64> {
    let mut sums = HashMap::<String, u64>::new();
    operations.proxy.spend().each(since..=until, |row| match sums.get_mut(&row.client) {
        Some(sum) => *sum = sum.saturating_add(row.nano),
        None => drop(sums.insert(row.client.clone(), row.nano)),
    });
    sums
}

/// The first day of the month, in UTC.
fn first_of_month(today: Day) -> Day {
    let text = today.to_string();
    let of_month: u32 = text.rsplit('-').next().and_then(|day| day.parse().ok()).unwrap_or(1);
    Day(today.0.saturating_sub(of_month.saturating_sub(1)))
}

impl View {
    /// The overview now.
    pub fn of(operations: &Operations, past: &Past, now: Instant) -> Self {
        let minute = past.minute(now);
        let mut spent = operations.dashboard.spent.0.lock();
        spent.refresh(operations, now);
        let latest = operations.proxy.ledger();
        Self {
            figures: figures(operations, &minute, now),
            tables: Tables {
                providers: providers::rows(operations, past, &minute, now),
                routes: routes::rows(operations, &minute),
                shadows: shadows::rows(operations),
                limits: operations.dashboard.fullest.rows(operations, now),
                clients: clients::rows(operations, &spent.today, &spent.month, now),
                latest: latest::rows(latest),
            },
        }
    }
}

fn figures(operations: &Operations, minute: &Minute, now: Instant) -> Figures {
    let proxy = &operations.proxy;
    let generation = proxy.generation();
    let mut all = Figures::default();
    all.set("version", Cell::text(env!("CARGO_PKG_VERSION")));
    all.set("generation", Cell::text(generation.number.to_string()));
    let since = SystemTime::now().duration_since(generation.since).unwrap_or_default();
    all.set("since", Cell::text(format!("{} ago", span(since.as_secs_f64()))));
    all.set("uptime", Cell::text(span(now.saturating_duration_since(operations.began).as_secs_f64())));
    all.set("serving", serving(operations));
    all.set(
        "reload",
        match operations.status.latest() {
            None => Cell::text("none yet"),
            Some(latest) => {
                let tone = if latest.result == "failed" { Tone::Bad } else { Tone::Plain };
                let ago = SystemTime::now().duration_since(latest.at).unwrap_or_default();
                Cell::text(format!("{}, {} ago", latest.result, span(ago.as_secs_f64())))
                    .toned(tone)
                    .linked("/admin/config.html".to_owned())
            }
        },
    );
    all.set("engine", engine(operations));
    all.set("replicas", replicas(operations));
    let fleet = &generation.fleet;
    let snapshot = fleet.snapshot();
    let states = fleet.providers().iter().map(|provider| super::super::state_word(snapshot.of(provider.seat()), now));
    let out = states.filter(|state| *state != "admitted").count();
    let count = fleet.providers().len();
    let tone = if out == 0 {
        Tone::Good
    } else if out == count {
        Tone::Bad
    } else {
        Tone::Warn
    };
    all.set(
        "providers",
        Cell::text(match out {
            0 => format!("all {} take requests", grouped(count as u64)),
            _ => format!("{} of {} take requests", grouped((count - out) as u64), grouped(count as u64)),
        })
        .toned(tone),
    );
    let queue = proxy.queue();
    let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let of = |part: usize, whole: usize| {
        let tone = if share(part, whole) >= 0.9 { Tone::Warn } else { Tone::Plain };
        Cell::text(format!("{} of {}", grouped(part as u64), grouped(whole as u64)))
            .metered(share(part, whole))
            .toned(tone)
    };
    all.set("in-flight", of(queue.in_flight(), queue.capacity()));
    all.set("waiting", of(queue.waiting(), queue.max_waiting()));
    let times = |counts: &crate::metrics::read::Counts, scale| {
        let written = |share| counts.quantile(scale, share).map(|seconds| format!("{} ms", short(seconds * 1000.0)));
        match (written(0.5), written(0.95), written(0.99)) {
            (Some(half), Some(most), Some(nearly)) => Cell::text(format!("{half} / {most} / {nearly}")),
            _ => Cell::none(),
        }
    };
    all.set("queue-wait", times(&minute.queue_waits, Scale::Waits));
    all.set("overhead", times(&minute.overheads, Scale::Short));
    all.set("connections", Cell::count(operations.traffic.open() as u64));
    all.set("requests", Cell::text(short(minute.ended as f64 / minute.seconds)));
    let failed = minute.attempts.failed;
    all.set(
        "errors",
        Cell::text(short(failed as f64 / minute.seconds)).toned(if failed > 0 { Tone::Warn } else { Tone::Plain }),
    );
    all.set(
        "alone",
        Cell::text(short(minute.alone as f64 / minute.seconds)).toned(if minute.alone > 0 {
            Tone::Warn
        } else {
            Tone::Plain
        }),
    );
    let ledger = proxy.ledger();
    all.set(
        "stories",
        Cell::text(match ledger.lost() {
            0 => grouped(ledger.size().0 as u64),
            lost => format!("{}, {} lost", grouped(ledger.size().0 as u64), grouped(lost)),
        }),
    );
    all
}

/// The number of replicas, and how many differ from the others.
fn replicas(operations: &Operations) -> Cell {
    let Some(valkey) = operations.engines.valkey() else { return Cell::text("this one alone") };
    let different = operations.replicas().iter().filter(|one| !one.differs.is_empty()).count();
    let count = valkey.replicas();
    let cell = match different {
        0 => Cell::text(count.to_string()),
        1 => Cell::text(format!("{count}, 1 is different")).toned(Tone::Warn),
        _ => Cell::text(format!("{count}, {different} are different")).toned(Tone::Warn),
    };
    cell.linked("/admin/replicas.html".to_owned())
}

/// Whether requests are welcome, in words.
fn serving(operations: &Operations) -> Cell {
    if operations.proxy.is_draining() {
        Cell::text("draining: no new requests").toned(Tone::Bad)
    } else if operations.is_leaving() {
        Cell::text("about to drain").toned(Tone::Warn)
    } else if !operations.engines.are_ready() {
        Cell::text("not ready: the engine does not answer").toned(Tone::Bad)
    } else {
        Cell::text("serving").toned(Tone::Good)
    }
}

/// The engine behind limits and keys.
fn engine(operations: &Operations) -> Cell {
    let Some(shown) = operations.engines.shown() else { return Cell::text("none") };
    let of = |name: &str| shown[name].as_str().unwrap_or_default();
    let file = shown["file"]["state"].as_str();
    let state = if of("state").is_empty() { file.unwrap_or_default() } else { of("state") };
    let tone = if shown["degraded"] == true { Tone::Bad } else { Tone::Good };
    let reason = shown["reason"].as_str().or_else(|| shown["file"]["reason"].as_str());
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    Cell::text(format!("{}, {state}{reason}", of("engine"))).toned(tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_with_its_first_day() {
        for (today, first) in [("2026-11-26", "2026-11-01"), ("2028-02-29", "2028-02-01"), ("2026-01-01", "2026-01-01")]
        {
            let day: Day = today.parse().unwrap();
            assert_eq!(first_of_month(day).to_string(), first);
        }
    }
}
