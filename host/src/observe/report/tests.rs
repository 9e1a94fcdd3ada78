use serde_json::json;

use super::*;
use crate::observe::ledger::record::{self, Attempt, Inner};

const NOW: Time = Time(1_800_000_000_000_000);

fn record(client: &str, model: &str, cost: Option<u64>) -> Record {
    Record {
        request_id: "req_1".into(),
        time: Time(NOW.0 - 60_000_000),
        client: Some(client.into()).filter(|client: &Text| !client.is_empty()),
        model: model.into(),
        outcome: "succeeded".into(),
        status: Some(200),
        duration_ms: Millis(200_000),
        first_byte_ms: Some(Millis(100_000)),
        prompt_tokens: Some(10),
        completion_tokens: Some(5),
        cost_nano: cost,
        ..Record::default()
    }
}

fn asked(query: &[(&str, &str)]) -> Asked {
    let pairs = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Asked::read(pairs, NOW).expect("sound")
}

fn report(query: &[(&str, &str)], records: &[Record]) -> Report {
    let asked = asked(query);
    let mut tally = Tally::new(&asked, NOW);
    records.iter().filter(|record| asked.filter.fits(record)).for_each(|record| tally.add(record));
    tally.report()
}

#[test]
fn a_query_says_by_what_since_when_and_of_which_requests() {
    let read = asked(&[
        ("by", "client, model"),
        ("by", "client,day"),
        ("since", "1h"),
        ("outcome", "failed"),
        ("timeline", "1"),
    ]);
    assert_eq!(read.by, [By::Client, By::Model, By::Day]);
    assert_eq!((read.filter.since, read.timeline), (Some(Time(NOW.0 - 3_600_000_000)), true));
    assert_eq!(asked(&[]).filter.since, Some(Time(NOW.0 - 86_400_000_000)), "a day");
    for (name, value, wrong) in [("by", "user", "by"), ("since", "soon", "since"), ("colour", "red", "query")] {
        let read = Asked::read([(name.to_owned(), value.to_owned())].into_iter(), NOW);
        assert_eq!(read.unwrap_err().0, wrong);
    }
    let backwards = [("since", "1h"), ("until", "2h")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(Asked::read(backwards.into_iter(), NOW).unwrap_err().0, "since");
}

#[test]
fn requests_are_added_up_by_what_is_asked_for_the_dearest_first() {
    let failed = Record { status: Some(502), outcome: "failed".into(), ..record("b", "m", None) };
    let records = [record("a", "m", Some(5)), record("b", "m", Some(20)), record("a", "n", Some(7)), failed];
    let by_client = report(&[("by", "client")], &records);
    let told: Vec<_> = by_client.rows.iter().map(|row| (&row.group["client"], &row.figures)).collect();
    assert_eq!((told[0].0, told[0].1.requests, told[0].1.nano_dollars, told[0].1.failed), (&json!("b"), 2, 20, 1));
    assert_eq!((told[1].0, told[1].1.nano_dollars, told[1].1.prompt_tokens), (&json!("a"), 12, 20));
    assert_eq!((by_client.total.requests, by_client.total.nano_dollars, by_client.total.unpriced), (4, 32, 1));
    let spread = by_client.total.first_byte_ms.expect("known");
    assert!((spread.p50 - 100.0).abs() < 1e-9 && (spread.max - 100.0).abs() < 1e-9, "{spread:?}");
    assert_eq!(by_client.total.queue_ms, None);
    assert_eq!(report(&[("by", "client,model")], &records).rows.len(), 3);
    assert!(report(&[], &records).rows.is_empty());
}

#[test]
fn rows_by_the_hour_follow_each_other_in_time() {
    let earlier = Record { time: Time(NOW.0 - 7_200_000_000), ..record("a", "m", Some(1)) };
    let report = report(&[("by", "hour,status"), ("since", "1d")], &[record("a", "m", Some(9)), earlier]);
    let hours: Vec<_> = report.rows.iter().map(|row| row.group["hour"].as_str().expect("a text")).collect();
    assert_eq!(hours, ["2027-01-15T06:00Z", "2027-01-15T07:00Z"]);
    assert_eq!(report.rows[0].group["status"], "200");
}

#[test]
fn what_an_approach_spends_counts_once() {
    let approach = Some(record::Approach { name: "moa".into(), calls: 2, depth: 1 });
    let whole = Record { approach, cost_nano: Some(30), prompt_tokens: Some(30), ..record("a", "m", None) };
    let question = |provider: &str, cost| Record {
        inner: Some(Inner { approach: "moa".into(), step: "draft".into() }),
        provider: Some(provider.into()),
        ..record("a", "m", Some(cost))
    };
    let records = [question("p", 10), question("q", 20), whole];
    let clients = report(&[("by", "client")], &records);
    assert_eq!((clients.total.requests, clients.total.nano_dollars, clients.total.prompt_tokens), (1, 30, 30));
    let all = report(&[("by", "provider"), ("inner", "1")], &records);
    assert_eq!((all.total.requests, all.total.nano_dollars), (3, 30));
    assert_eq!((&all.rows[0].group["provider"], all.rows[0].figures.nano_dollars), (&json!("q"), 20));
    assert_eq!(all.rows[2].group["provider"], Value::Null, "the request itself had no provider");
}

#[test]
fn a_report_holds_a_bounded_number_of_groups() {
    let records: Vec<Record> = (0..MOST_GROUPS + 7).map(|number| record(&number.to_string(), "m", Some(1))).collect();
    let report = report(&[("by", "client"), ("timeline", "1")], &records);
    assert_eq!(report.rows.len(), MOST_GROUPS);
    assert_eq!(report.other.expect("those beyond").requests, 7);
    assert_eq!(report.total.requests, MOST_GROUPS as u64 + 7);
    let timeline = report.timeline.expect("asked for");
    assert_eq!(timeline.groups.len(), 8);
    let lines: u64 = timeline.groups.iter().flat_map(|line| &line.requests).sum();
    assert_eq!((lines, timeline.requests.iter().sum::<u64>()), (report.total.requests, report.total.requests));
}

#[test]
fn a_report_is_the_same_after_json() {
    let tried = |provider: &str| Attempt { provider: provider.into(), ..Attempt::default() };
    let moved =
        Record { attempts: vec![tried("p"), tried("q")], queue_ms: Some(Millis(1500)), ..record("", "m", None) };
    let report = report(&[("by", "client,model"), ("timeline", "1")], &[record("a", "m", Some(5)), moved]);
    assert_eq!(report.total.failovers, 1);
    let text = serde_json::to_string(&report).expect("JSON");
    assert_eq!(serde_json::from_str::<Report>(&text).expect("a report"), report);
}

#[test]
fn tables_hold_no_formulas_and_no_characters_that_deceive() {
    let hostile = "=cmd|'/c calc'!A1,\"\u{1b}[31m\u{202e}";
    let report = report(&[("by", "client,model")], &[record("a", hostile, Some(1_500_000_000)), record("", "m", None)]);
    let csv = forms::csv(&report);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("client,model,requests,failed,failovers,prompt_tokens,"), "{csv}");
    assert!(lines[1].starts_with("a,\"'=cmd|"), "{csv}");
    assert!(lines[1].contains(",1.5,100,100,100,100,200,200,200,200,,,,,"), "{csv}");
    assert!(lines[2].starts_with(",m,1,0,0,10,5,0,0,0,1,0,"), "{csv}");
    let table = forms::table(&report);
    assert!(!table.contains(['\u{1b}', '\u{202e}']), "{table:?}");
    assert!(table.starts_with("2 requests from 2027-01-14T08:00:00Z to 2027-01-15T08:00:00Z\n"), "{table}");
    let first = table.lines().find(|line| line.starts_with("a  ")).expect("the row of a");
    assert!(first.contains("1.5000"), "{first}");
    assert!(table.lines().any(|line| line.starts_with("–  ") && line.contains("  –  ")), "{table}");
    assert!(
        table.contains("1 requests took tokens and have no price")
            && table.lines().any(|line| line.starts_with("all "))
    );
}
