//! The page of replicas: the version and configuration of each, which one differs, and the limits of all of them together.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use tokio::time::Instant;

use super::cells::{Cell, Column, Holds, Row, Table, Tone, span};
use super::view::{LIMITS, Level};
use super::{frame, guarded, html};
use crate::admin::Operations;
use crate::admin::replicas::Compared;
use crate::html::escaped;
use crate::limits::Unit;
use crate::state::valkey::fleet::Used;

/// The most limits on the page.
const MOST: usize = 500;
/// The most clients whose names are looked up.
const NAMED: usize = 100_000;

const COLUMNS: [Column; 8] = [
    Column::new("Replica", Holds::Text, "The machine, and the address for clients there"),
    Column::new("State", Holds::State, ""),
    Column::new("Differs in", Holds::Words, "In what it is not like most of them; with two, in what they are unlike"),
    Column::new("Version", Holds::Text, ""),
    Column::new("Configuration", Holds::Text, "A digest of it as it is written, without secrets and its own addresses"),
    Column::new("Number", Holds::Number, "Of the configuration: 1 at the start, and one more with each reload"),
    Column::new("Strategies", Holds::Words, "By route, with the first digits of the SHA-256 of the component"),
    Column::new("Up for", Holds::Number, ""),
];

/// `GET /admin/replicas.html`.
pub(super) async fn replicas(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let answer = match operations.reader(&request) {
        Err(answer) => *answer,
        Ok(visitor) => {
            let used = match operations.engines.valkey() {
                None => None,
                Some(valkey) => {
                    let now = operations.proxy.means().moment(Instant::now());
                    Some(valkey.used(operations.proxy.generation().accounts.book(), now).await)
                }
            };
            let mut body = table(&operations.replicas(), SystemTime::now());
            limits(&mut body, &operations, used);
            html(StatusCode::OK, frame("Replicas", "/admin/replicas.html", &visitor).around(&body))
        }
    };
    guarded(&operations, request.headers(), answer)
}

fn table(replicas: &[Compared], now: SystemTime) -> String {
    let mut out = String::new();
    let different = replicas.iter().filter(|one| !one.differs.is_empty()).count();
    let lead = match (replicas.len(), different) {
        (1, _) => "This one alone.".to_owned(),
        (count, 0) => format!("{count} replicas, all alike."),
        (count, 1) => format!("{count} replicas, and 1 is different."),
        (count, different) => format!("{count} replicas, and {different} are different."),
    };
    // Writing to a String cannot fail.
    let _ = write!(out, "<p class=\"lead\">{lead}</p>");
    let rows: Vec<Row> = replicas.iter().map(|one| row(one, now)).collect();
    let caption = "As they have told each other through the engine within the last seconds; one that is gone is forgotten after 15 s.";
    Table { id: "replicas", caption, columns: &COLUMNS, empty: "None." }.html(&mut out, &rows);
    out
}

fn row(Compared { replica, differs }: &Compared, now: SystemTime) -> Row {
    let tone = |what: &str| if differs.contains(&what) { Tone::Warn } else { Tone::Plain };
    let words: Vec<&str> = differs.iter().map(|what| if *what == "config" { "configuration" } else { *what }).collect();
    let differing = match words.as_slice() {
        [] => Cell::text("nothing").toned(Tone::Faint),
        words => Cell::text(format!("▲ {}", words.join(", "))).toned(Tone::Warn),
    };
    let this = if replica.is_this { " (this one)" } else { "" };
    let Some(card) = &replica.card else {
        let name = Cell::text(format!("{}{this}", replica.id));
        let mut cells = vec![name, Cell::text("of an older version").toned(Tone::Warn), differing];
        cells.extend((cells.len()..COLUMNS.len()).map(|_| Cell::none()));
        return Row { key: replica.id.clone(), cells };
    };
    let started = SystemTime::UNIX_EPOCH + Duration::from_secs(card.started.min(1 << 40));
    let up = now.duration_since(started).unwrap_or_default().as_secs_f64();
    let serves = card.state == "serving";
    let strategies: Vec<String> =
        card.strategies.iter().map(|(route, strategy)| format!("{route}: {strategy}")).collect();
    let cells = vec![
        Cell::text(format!("{}{this}", card.name)),
        Cell::text(card.state.clone()).toned(if serves { Tone::Good } else { Tone::Warn }),
        differing,
        Cell::text(card.version.clone()).toned(tone("version")),
        Cell::text(card.config.clone()).toned(tone("config")),
        Cell::count(card.generation),
        Cell::text(strategies.join("\n")).toned(tone("strategies")),
        Cell::text(span(up)).by(up),
    ];
    Row { key: replica.id.clone(), cells }
}

fn limits(out: &mut String, operations: &Operations, used: Option<Result<Vec<Used>, String>>) {
    out.push_str("<section aria-labelledby=\"h-limits\"><h2 id=\"h-limits\">Limits and budgets of all replicas</h2>");
    let mut used = match used {
        Some(Ok(used)) => used,
        Some(Err(why)) => {
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "<p class=\"problem\" role=\"alert\">The engine is out of reach ({}), so what all have used is not known.</p></section>",
                escaped(&why)
            );
            return;
        }
        None => {
            out.push_str(
                "<p>No engine is shared (<code>state</code>), so limits are those of this server: see \
                 <a href=\"/admin\">Overview</a>.</p></section>",
            );
            return;
        }
    };
    let share = |one: &Used| one.used as f64 / one.amount.max(1) as f64;
    used.sort_by(|one, other| share(other).total_cmp(&share(one)).then_with(|| one.owner.cmp(&other.owner)));
    let all = used.len();
    used.truncate(MOST);
    let names = operations.names_by_id(NAMED);
    let row = |used: &Used| {
        let (kind, name) = operations.named_owner(&used.owner, &names);
        level(kind, name, used).row()
    };
    let rows: Vec<Row> = used.iter().map(row).collect();
    let caption = if all > MOST {
        format!("The {MOST} of {all} that are used up furthest, as the engine counts them.")
    } else {
        "As the engine counts them, those that are used up furthest first.".to_owned()
    };
    // It is not known here when they are back.
    let columns = LIMITS.get(..5).unwrap_or(LIMITS);
    Table { id: "limits", caption: &caption, columns, empty: "No limits are set." }.html(out, &rows);
    out.push_str(
        "<p class=\"note\">Requests, latencies, stories, the state of strategies, and what was spent by model, provider and day are \
         each replica's own: its dashboard shows them.</p></section>",
    );
}

fn level(kind: &'static str, name: String, used: &Used) -> Level {
    let is_money = used.unit == Unit::Money;
    // Billionths of a dollar.
    let unit = if is_money { 1e9 } else { 1.0 };
    let limit = match &used.window {
        Some(window) if window != "total" => format!("dollars per {}, {window}", used.name),
        Some(_) if &*used.name == "total" => "dollars in all".to_owned(),
        Some(_) => format!("dollars per {}", used.name),
        None => used.name.to_string(),
    };
    let (most, left) = (used.amount as f64 / unit, used.amount.saturating_sub(used.used) as f64 / unit);
    Level { kind, name, limit, most, left, is_money, back: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::limits::Owner;
    use crate::state::valkey::fleet::{Card, Replica};

    const EVIL: &str = "\"><script>alert(1)</script>";

    fn compared(id: &str, differs: Vec<&'static str>, is_this: bool) -> Compared {
        let card = Card {
            name: format!("{EVIL} {id}"),
            version: EVIL.to_owned(),
            config: EVIL.to_owned(),
            strategies: BTreeMap::from([(EVIL.to_owned(), EVIL.to_owned())]),
            state: EVIL.to_owned(),
            ..Card::default()
        };
        Compared { replica: Replica { id: id.to_owned(), card: Some(card), is_this }, differs }
    }

    #[test]
    fn the_replica_that_differs_is_marked_in_words() {
        let silent = Compared {
            replica: Replica { id: "old".to_owned(), card: None, is_this: false },
            differs: vec!["version", "config", "strategies"],
        };
        let all = [compared("a", vec![], true), compared("b", vec![], false), silent];
        let page = table(&all, SystemTime::now());
        assert!(page.contains("3 replicas, and 1 is different."), "{page}");
        assert!(
            page.contains("▲ version, configuration, strategies") && page.contains("of an older version"),
            "{page}"
        );
        assert_eq!(page.matches("(this one)").count(), 1);
        assert!(!page.contains("<script"), "{page}");
        assert!(table(&all[..2], SystemTime::now()).contains("2 replicas, all alike."));
    }

    #[test]
    fn budgets_are_named_by_their_windows() {
        let used = |name: &str, window: Option<&str>| Used {
            owner: Owner::Client("a".into()),
            unit: if window.is_some() { Unit::Money } else { Unit::Requests },
            name: name.into(),
            window: window.map(str::to_owned),
            amount: 2_000_000_000,
            used: 500_000_000,
        };
        let limit = |used: &Used| level("client", "a".to_owned(), used);
        let month = limit(&used("month", Some("2026-11")));
        assert_eq!((month.limit.as_str(), month.left, month.most), ("dollars per month, 2026-11", 1.5, 2.0));
        assert_eq!(limit(&used("total", Some("total"))).limit, "dollars in all");
        assert_eq!(limit(&used("rpm", None)).limit, "rpm");
    }
}
