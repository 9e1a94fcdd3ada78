//! The page of figures: the requests that are kept, added up by client, model or whatever else is asked for, as
//! `pointsman report` does it; and the questions that come up at night as links.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use super::cells::{Cell, Column, Holds, Row, Table, Tone, grouped, percent, short};
use super::{frame, guarded, html, query};
use crate::admin::Operations;
use crate::admin::report::made;
use crate::html::escaped;
use crate::observe::ledger::filter::Wrong;
use crate::observe::ledger::{Filter, Time};
use crate::observe::report::{Asked, By, Figures, Report, Spread, forms};

/// Questions, each with the query that answers it.
const QUESTIONS: [(&str, &str); 4] = [
    ("Who spends most?", "by=client%2Cmodel&since=24h"),
    ("Which provider is slow, since when?", "by=hour%2Cprovider&since=24h"),
    ("What fails, and whose fault is it?", "by=fault%2Coutcome%2Cprovider&outcome=failed&since=24h"),
    ("What does each strategy make of it?", "by=strategy%2Cprovider&since=24h"),
];

/// The fields of the form: parameter, label, and a hint.
const FIELDS: [(&str, &str, &str); 9] = [
    ("by", "Added up by", "client,model"),
    ("since", "Since", "24h"),
    ("until", "Until", "now"),
    ("client", "Client", ""),
    ("provider", "Provider", ""),
    ("route", "Route", ""),
    ("model", "Model", ""),
    ("strategy", "Strategy", ""),
    ("outcome", "End", "such as failed or 5xx"),
];

/// The columns behind those of the groups.
const COLUMNS: [Column; 10] = [
    Column::new("Requests", Holds::Number, "And their share of all that are shown"),
    Column::new("Failed", Holds::Number, "The client got an error, an answer that broke, or left before"),
    Column::new("Failovers", Holds::Number, "More than one provider was tried"),
    Column::new("Tokens in", Holds::Number, ""),
    Column::new("Out", Holds::Number, ""),
    Column::new("Cost", Holds::Number, "And its share of all that are shown"),
    Column::new("First p50", Holds::Number, "The time until the head of the answer"),
    Column::new("p95", Holds::Number, "The same for 95 % of the requests"),
    Column::new("Whole p95", Holds::Number, "The time until the end of the answer"),
    Column::new("Queue p95", Holds::Number, "The time in the queue"),
];

/// A row counts as slow beyond so many times the median of all rows, if it has so many requests.
const SLOW: (f64, u64) = (2.0, 5);

/// `GET /admin/report.html`.
pub(super) async fn report(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let answer = match operations.reader(&request) {
        Err(answer) => *answer,
        Ok(visitor) => {
            let (form, now) = (Form::read(query(&request)), Time::now());
            let asked = form.asked(now);
            let (status, result) = match asked {
                Err((name, wrong)) => (StatusCode::BAD_REQUEST, Err(format!("{name} {wrong}."))),
                Ok(asked) => match made(Arc::clone(operations.proxy.ledger()), asked, now).await {
                    Some(report) => (StatusCode::OK, Ok(report)),
                    None => (StatusCode::SERVICE_UNAVAILABLE, Err("The server is ending.".to_owned())),
                },
            };
            let mut body = form.html(result.as_ref());
            body.push_str(&what_if(&operations));
            html(status, frame("Report", "/admin/report.html", &visitor).around(&body))
        }
    };
    guarded(&operations, request.headers(), answer)
}

/// The question, as it was given.
struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a query; parameters without a value, and those that nobody knows, are left out.
    fn read(query: &[u8]) -> Self {
        let is_known = |name: &str| Asked::PARAMETERS.into_iter().chain(Filter::PARAMETERS).any(|known| known == name);
        let pairs =
            url::form_urlencoded::parse(query).map(|(name, value)| (name.into_owned(), value.trim().to_owned()));
        let mut given: Vec<_> = pairs.filter(|(name, value)| is_known(name) && !value.is_empty()).collect();
        if !given.iter().any(|(name, _)| name == "by") {
            given.push(("by".to_owned(), "client,model".to_owned()));
        }
        Self(given)
    }

    fn asked(&self, now: Time) -> Result<Asked, Wrong> {
        Asked::read(self.0.iter().cloned(), now)
    }

    fn value(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    fn answers(&self, query: &str) -> bool {
        let of = Self::read(query.as_bytes());
        let sorted = |form: &Self| {
            let mut pairs = form.0.clone();
            pairs.sort();
            pairs
        };
        sorted(&of) == sorted(self)
    }

    fn html(&self, result: Result<&Report, &String>) -> String {
        let mut out = String::from("<nav aria-label=\"Questions\"><ul class=\"questions\">");
        for (question, query) in QUESTIONS {
            let current = if self.answers(query) { " aria-current=\"true\"" } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "<li><a class=\"button\" href=\"/admin/report.html?{}\"{current}>{}</a></li>",
                escaped(query),
                escaped(question)
            );
        }
        out.push_str("</ul></nav><form method=\"get\" action=\"/admin/report.html\" class=\"search\">");
        for (name, label, hint) in FIELDS {
            let hint = if hint.is_empty() { String::new() } else { format!(" placeholder=\"{hint}\"") };
            let value = escaped(self.value(name));
            let _ = write!(
                out,
                "<label>{label}<input name=\"{name}\" value=\"{value}\"{hint} autocomplete=\"off\"></label>"
            );
        }
        let names = By::ALL.map(|(name, _)| name).join(", ");
        let _ = write!(
            out,
            "<p class=\"last\"><button>Show</button><a class=\"button\" href=\"/admin/report.html\">Clear</a></p></form>\
             <p class=\"note\">It is added up by {names}, with commas between. Times are such as 30m, 24h, 7d, 2026-11-26 or \
             2026-11-26T14:05:00Z.</p>"
        );
        match result {
            Ok(report) => self.table(&mut out, report),
            Err(problem) => {
                let _ = write!(out, "<p class=\"problem\" role=\"alert\">{}</p>", escaped(problem));
            }
        }
        out
    }

    fn table(&self, out: &mut String, report: &Report) {
        let Report { by, rows, other, total, .. } = report;
        let limit = slow(report);
        let mut shown: Vec<Row> = rows
            .iter()
            .map(|row| {
                let values: Vec<&str> = row.values().map(Option::unwrap_or_default).collect();
                let names = by.iter().zip(&values).enumerate().map(|(at, (one, value))| {
                    let cell = named(*one, value);
                    if at == 0 { cell.linked(self.stories(by, &values)) } else { cell }
                });
                Row { key: values.join("\n"), cells: cells(names, &row.figures, total, limit) }
            })
            .collect();
        let sums = |name: &str, figures: &Figures| {
            let names = (0..by.len()).map(|at| Cell::text(if at == 0 { name } else { "" }).toned(Tone::Faint));
            Row { key: format!("\n{name}"), cells: cells(names, figures, total, None) }
        };
        shown.extend(other.as_ref().map(|other| sums("other", other)));
        if rows.len() > 1 {
            shown.push(sums("all", total));
        }
        let heads = by.iter().map(|by| Column::new(by.name(), Holds::Text, ""));
        let columns: Vec<Column> = heads.chain(COLUMNS).collect();
        let mut caption = forms::span(report);
        if limit.is_some() {
            caption.push_str("; a p95 is marked where it is more than twice the median of all rows");
        }
        if total.unpriced > 0 {
            let _ = write!(caption, "; {} took tokens and have no price", grouped(total.unpriced));
        }
        Table { id: "report", caption: &format!("{caption}."), columns: &columns, empty: "No request fits." }
            .html(out, &shown);
    }

    /// The address of the stories of a group, as far as they can be asked for.
    fn stories(&self, by: &[By], values: &[&str]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let is_in_group = |name: &str| by.iter().any(|by| by.name() == name);
        for (name, value) in self.0.iter().filter(|(name, _)| name != "by" && !is_in_group(name)) {
            query.append_pair(name, value);
        }
        for (by, value) in by.iter().zip(values) {
            if Filter::PARAMETERS.contains(&by.name()) && !value.is_empty() {
                query.append_pair(by.name(), value);
            }
        }
        format!("/admin/stories.html?{}", query.finish())
    }
}

/// A value of a group.
fn named(by: By, value: &str) -> Cell {
    match (by, value) {
        (By::Client, "") => Cell::text("without a name").toned(Tone::Faint),
        (By::Provider, "") => Cell::text("none").toned(Tone::Faint),
        (By::Fault, "") => Cell::text("nothing failed").toned(Tone::Faint),
        (_, "") => Cell::text("–").toned(Tone::Faint),
        (By::Outcome, value) => Cell::text(value.replace('_', " ")),
        (By::Fault, value) => Cell::text(match value {
            "limits" => "a limit",
            "proxy" => "this server",
            "approach" => "an approach",
            "client" => "the client",
            "configuration" => "the configuration",
            _ => "the provider",
        }),
        (_, value) => Cell::text(value),
    }
}

/// The p95 in milliseconds beyond which a row is marked; nothing for few rows.
fn slow(report: &Report) -> Option<f64> {
    // Refusals are quick, and no measure.
    let answered = |figures: &Figures| figures.requests >= SLOW.1 && figures.failed < figures.requests;
    let known = report.rows.iter().filter(|row| answered(&row.figures));
    let mut times: Vec<f64> = known.filter_map(|row| Some(row.figures.first_byte_ms?.p95)).collect();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len().saturating_sub(1) / 2).filter(|_| times.len() >= 3);
    median.map(|median| median * SLOW.0)
}

fn cells(names: impl Iterator<Item = Cell>, figures: &Figures, total: &Figures, slow: Option<f64>) -> Vec<Cell> {
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let of = |count: u64, bad: Tone| match count {
        0 => Cell::count(0).toned(Tone::Faint),
        _ => {
            let share = share(count, figures.requests);
            Cell::text(format!("{} ({})", grouped(count), percent(share))).by(count as f64).toned(bad)
        }
    };
    let time = |spread: Option<Spread>, read: fn(&Spread) -> f64| {
        spread.map_or_else(Cell::none, |spread| {
            let ms = read(&spread);
            Cell::text(if ms >= 10_000.0 { format!("{} s", short(ms / 1000.0)) } else { format!("{} ms", short(ms)) })
                .by(ms)
        })
    };
    let p95 = figures.first_byte_ms.map_or(0.0, |spread| spread.p95);
    let is_slow = figures.requests >= SLOW.1 && slow.is_some_and(|slow| p95 > slow);
    let failed = if share(figures.failed, figures.requests) >= 0.1 { Tone::Bad } else { Tone::Warn };
    let cost = if figures.nano_dollars == 0 && figures.unpriced > 0 {
        Cell::text("no price").toned(Tone::Faint).by(-1.0)
    } else {
        bar(Cell::dollars(figures.cost), share(figures.nano_dollars, total.nano_dollars))
    };
    let first = time(figures.first_byte_ms, |spread| spread.p95);
    names
        .chain([
            bar(Cell::count(figures.requests), share(figures.requests, total.requests)),
            of(figures.failed, failed),
            of(figures.failovers, Tone::Plain),
            Cell::count(figures.prompt_tokens),
            Cell::count(figures.completion_tokens),
            cost,
            time(figures.first_byte_ms, |spread| spread.p50),
            if is_slow { Cell { text: format!("▲ {}", first.text), ..first }.toned(Tone::Warn) } else { first },
            time(figures.duration_ms, |spread| spread.p95),
            time(figures.queue_ms, |spread| spread.p95),
        ])
        .collect()
}

/// The cell with its share of all; that of all has none. A share is never in the colour of a limit that is nearly used up.
fn bar(cell: Cell, share: f64) -> Cell {
    if share < 1.0 { cell.metered(share.min(0.89)) } else { cell }
}

/// The commands that play what another strategy would have made of the requests.
fn what_if(operations: &Operations) -> String {
    let generation = operations.proxy.generation();
    let mut strategies: Vec<String> = Vec::new();
    for route in generation.routes.all() {
        let name = route.strategy().name().to_owned();
        if !strategies.contains(&name) {
            strategies.push(name);
        }
    }
    let other = if strategies.iter().any(|name| name == "failover") { "weighted" } else { "failover" };
    if !strategies.iter().any(|name| name == other) {
        strategies.push(other.to_owned());
    }
    let named: String = strategies.iter().take(6).map(|name| format!(" --strategy {name}")).collect();
    let folder = operations.proxy.ledger().reading().map(|reading| reading.path().display().to_string());
    let (folder, note) = match folder {
        Some(folder) => (folder, ""),
        None => (
            "LEDGER".to_owned(),
            " This server keeps stories in memory alone; <code>monitoring.ledger: {path: ledger}</code> keeps them on disk.",
        ),
    };
    let commands = format!(
        "pointsman scenario from-ledger {folder} --config proxy_config.yaml > mine.yaml\n\
         pointsman simulate mine.yaml{named} --html what-if.html"
    );
    format!(
        "<section aria-labelledby=\"h-what-if\"><h2 id=\"h-what-if\">What would another strategy have cost?</h2>\
         <p>These two commands play the requests that are kept on disk once more, and write a page that sets what happened \
         beside what each strategy would have made of it: cost, failovers and times.{note}</p>\
         <pre tabindex=\"0\"><code>{}</code></pre></section>",
        escaped(&commands)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ledger::Record;
    use crate::observe::ledger::record::Millis;
    use crate::observe::report::Tally;

    const NOW: Time = Time(1_800_000_000_000_000);
    const EVIL: &str = "\"><script>alert(1)</script>";

    fn record(client: &str, first: u64, nano: u64) -> Record {
        Record {
            time: Time(NOW.0 - 60_000_000),
            client: Some(client.into()),
            model: "m".into(),
            outcome: "succeeded".into(),
            status: Some(200),
            first_byte_ms: Some(Millis(first)),
            cost_nano: Some(nano),
            ..Record::default()
        }
    }

    fn page(query: &str, records: &[Record]) -> String {
        let form = Form::read(query.as_bytes());
        match form.asked(NOW) {
            Ok(asked) => {
                let mut tally = Tally::new(&asked, NOW);
                records.iter().filter(|record| asked.filter.fits(record)).for_each(|record| tally.add(record));
                form.html(Ok(&tally.report()))
            }
            Err((name, wrong)) => form.html(Err(&format!("{name} {wrong}."))),
        }
    }

    #[test]
    fn the_dearest_stands_first_and_leads_to_its_stories() {
        let page = page("since=1h&colour=red", &[record("a", 100_000, 5), record("b", 100_000, 1_000_000_000)]);
        let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing in {page}"));
        assert!(place(">b</a>") < place(">a</a>"), "{page}");
        assert!(place("/admin/stories.html?since=1h&amp;client=b&amp;model=m") > 0);
        assert!(page.contains("value=\"client,model\"") && !page.contains("red"), "{page}");
        assert!(page.contains("2 requests from "), "{page}");
    }

    #[test]
    fn a_group_that_is_slow_beside_the_others_is_marked() {
        let mut records = Vec::new();
        for (client, first) in [("a", 100_000), ("b", 110_000), ("slow", 900_000)] {
            records.extend((0..5).map(|_| record(client, first, 1)));
        }
        let page = page("by=client", &records);
        assert_eq!(page.matches('▲').count(), 1, "{page}");
        let row = page.split("<tr ").find(|row| row.contains(">slow</a>")).expect("a row");
        assert!(row.contains("▲ "), "{row}");
    }

    #[test]
    fn questions_are_links_and_the_one_that_is_answered_is_marked() {
        let page = page(QUESTIONS[2].1, &[Record { status: Some(500), ..record("a", 1, 1) }]);
        assert_eq!(page.matches("aria-current").count(), 1, "{page}");
        assert!(page.contains("the provider</a>"), "{page}");
        for (question, query) in QUESTIONS {
            assert!(Form::read(query.as_bytes()).asked(NOW).is_ok(), "{question}");
        }
    }

    #[test]
    fn nothing_that_is_given_or_kept_becomes_markup() {
        let query: String = FIELDS
            .iter()
            .map(|(name, ..)| {
                format!("{name}={}&", url::form_urlencoded::byte_serialize(EVIL.as_bytes()).collect::<String>())
            })
            .collect();
        let wrong = page(&query, &[]);
        assert!(wrong.contains("role=\"alert\"") && !wrong.contains("<script"), "{wrong}");
        let right = page("by=client,model", &[record(EVIL, 1, 1)]);
        assert!(right.contains("&lt;script&gt;") && !right.contains("<script"), "{right}");
    }
}
