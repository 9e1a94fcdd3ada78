use serde_json::{Value, json};

use super::screen::{Opened, Press, Screen, Tab, Wish};
use super::series::Series;
use super::source::Reading;
use super::{meaning, text};
use crate::observe::ledger::record::{Attempt, Millis};
use crate::observe::ledger::{Record, Time};
use crate::observe::report::{Asked, Report, Tally};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A moment of `/metrics`: so many attempts that succeeded and failed, at a and b.
fn metrics(a: [u32; 2], b: [u32; 2]) -> Series {
    let attempts = |name: &str, [fine, failed]: [u32; 2]| {
        format!(
            "pointsman_attempts_total{{provider=\"{name}\",outcome=\"succeeded\"}} {fine}\n\
             pointsman_attempts_total{{provider=\"{name}\",outcome=\"failed\"}} {failed}\n\
             pointsman_attempt_duration_seconds_bucket{{provider=\"{name}\",le=\"0.1\"}} 0\n\
             pointsman_attempt_duration_seconds_bucket{{provider=\"{name}\",le=\"0.5\"}} {0}\n\
             pointsman_attempt_duration_seconds_bucket{{provider=\"{name}\",le=\"+Inf\"}} {0}\n",
            fine + failed
        )
    };
    let rest = "pointsman_requests_total{provider=\"a\"} 30\npointsman_queue_in_flight 3\npointsman_queue_waiting 0\n\
        pointsman_strategy_info{strategy=\"weighted\",component=\"weighted\",version=\"0.1.0\",sha256=\"0123456789abcdef\"} 1\n\
        pointsman_strategy_healthy{strategy=\"weighted\"} 1\npointsman_strategy_calls_total{strategy=\"weighted\"} 30\n\
        pointsman_strategy_faults_total{strategy=\"weighted\",kind=\"trapped\"} 2\n\
        pointsman_shadow_decisions_total{strategy=\"failover\"} 20\npointsman_shadow_same_first_total{strategy=\"failover\"} 15\n\
        pointsman_provider_limit{provider=\"b\",source=\"provider\",limit=\"tokens\"} 1000\n\
        pointsman_provider_limit_remaining{provider=\"b\",source=\"provider\",limit=\"tokens\"} 50\n\
        pointsman_limit{owner=\"c/search\",limit=\"rpm\"} 60\npointsman_limit_remaining{owner=\"c/search\",limit=\"rpm\"} 30\n";
    Series::read(&format!("{}{}{rest}", attempts("a", a), attempts("b", b)))
}

fn record(id: &str, provider: &str, status: u16) -> Record {
    let attempt = Attempt { provider: provider.into(), ..Attempt::default() };
    Record {
        request_id: id.into(),
        time: Time(1_800_000_000_000_000),
        client: Some("search".into()),
        model: "gpt-4o".into(),
        provider: Some(provider.into()),
        route: Some("default".into()),
        outcome: if status < 400 { "succeeded".into() } else { "failed".into() },
        status: Some(status),
        attempts: vec![attempt],
        duration_ms: Millis(1_200_000),
        first_byte_ms: Some(Millis(150_000)),
        prompt_tokens: Some(12_000),
        cost_nano: Some(30_000_000),
        ..Record::default()
    }
}

fn report(by: &str, since: &str, records: &[Record]) -> Option<Report> {
    let now = Time(1_800_000_001_000_000);
    let given = [("by", by), ("since", since)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let asked = Asked::read(given.into_iter(), now).expect("sound");
    let mut tally = Tally::new(&asked, now);
    records.iter().for_each(|record| tally.add(record));
    Some(tally.report())
}

fn reading() -> Reading {
    let requests = vec![record("req_2", "b", 502), record("req_1", "a", 200)];
    let health: Value = json!({
        "status": "ok", "version": "0.1.0", "draining": false, "config": {"generation": 3, "since": "today"},
        "strategy": {"name": "weighted", "state": "healthy"},
        "providers": [
            {"name": "a", "state": "admitted", "in_flight": 2, "max_concurrent": 4},
            {"name": "b\u{1b}[2J", "state": "ejected", "in_flight": 0, "out_for_seconds": 12.5, "reason": "answered 500: overloaded"},
        ],
    });
    Reading {
        health,
        now: metrics([90, 0], [10, 10]),
        shortly_ago: Some((metrics([70, 0], [10, 0]), 10.0)),
        minute_ago: Some(metrics([50, 0], [10, 0])),
        reports: [report("client", "1h", &requests), report("route", "5m", &requests)],
        requests,
        events: vec![
            json!({"time": "2026-11-26T14:05:00.000000Z", "level": "INFO", "kind": "reload", "message": "changed: a.weight: 1 -> 3"}),
            json!({"time": "2026-11-26T14:06:00.000000Z", "level": "WARN", "kind": "provider", "message": "provider b was ejected\nfor 1 s"}),
        ],
    }
}

fn screen(tab: Tab) -> Screen {
    Screen { tab, reading: Some(reading()), ..Screen::new() }
}

/// The words of the line of the screen that begins so.
fn line(screen: &Screen, begin: &str) -> Vec<String> {
    let text = text(screen, 150);
    let found = text.lines().find(|line| line.trim_start().starts_with(begin));
    assert!(found.is_some(), "{begin} is missing in\n{text}");
    found.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn providers_show_their_state_share_rate_and_latency() {
    let screen = screen(Tab::Providers);
    let all = text(&screen, 150);
    assert!(all.starts_with("pointsman 0.1.0: ok, configuration 3 since today\n"), "{all}");
    assert!(all.contains("50.0 % failed in 1 h") && all.contains("3 in flight"), "{all}");
    let a = line(&screen, "a ");
    assert_eq!(a[..7], ["a", "admitted", "80.0", "%", "2.0", "0", "%"], "{all}");
    assert!(a.contains(&"2/4".to_owned()) && a.contains(&"300".to_owned()), "the median lies within its bucket: {a:?}");
    let b = line(&screen, "b\u{fffd}[2J");
    assert_eq!(b[1..4], ["ejected", "12.5", "s"], "{all}");
    assert!(all.contains("answered 500: overloaded") && !all.contains('\u{1b}'), "{all}");
}

#[test]
fn routes_strategies_and_clients_have_their_figures() {
    let routes = text(&screen(Tab::Routes), 150);
    assert!(routes.contains("default") && routes.contains("every model at a, b"), "{routes}");
    let strategies = screen(Tab::Strategies);
    assert_eq!(line(&strategies, "weighted")[..5], ["weighted", "decides", "healthy", "0.00", "2"]);
    assert!(line(&strategies, "weighted").contains(&"0123456789ab".to_owned()));
    assert!(
        line(&strategies, "failover").join(" ").contains("shadow watches") && text(&strategies, 150).contains("75.0 %")
    );
    let clients = line(&screen(Tab::Clients), "search").join(" ");
    assert_eq!(clients, "search 2 50.0 % 24k 0 0.0600 150 ms 50.0 % rpm");
}

#[test]
fn requests_can_be_limited_to_those_that_failed_and_opened() {
    let mut screen = screen(Tab::Requests);
    assert!(text(&screen, 150).contains("req_1") && text(&screen, 150).contains("req_2"));
    screen.press(Press::Failed);
    let failed = text(&screen, 150);
    assert!(!failed.contains("req_1") && failed.contains("req_2") && failed.contains("failed requests"), "{failed}");
    assert_eq!(screen.press(Press::Open), Some(Wish::Why("req_2".to_owned())));
    let lines: Vec<String> = (0..50).map(|number| format!("step {number}")).collect();
    screen.opened.push(Opened::Text { title: "why".to_owned(), text: lines.join("\n"), from: 0 });
    screen.press(Press::Move(3));
    let shown = text(&screen, 150);
    assert!(!shown.contains("step 2") && shown.contains("step 3"), "{shown}");
    screen.press(Press::End(true));
    assert!(text(&screen, 150).contains("step 49"));
    screen.press(Press::Back);
    assert!(text(&screen, 150).contains("req_2"));
}

#[test]
fn a_provider_opens_its_requests_and_one_of_them_its_course() {
    let mut screen = screen(Tab::Providers);
    screen.press(Press::Move(-5));
    assert_eq!(screen.press(Press::Open), Some(Wish::Requests("provider", "a".to_owned())));
    let records = vec![record("req_9", "a", 200), record("req_8", "a", 200)];
    screen.opened.push(Opened::Requests { of: "provider a".to_owned(), records, selected: 0 });
    screen.press(Press::Move(1));
    assert!(text(&screen, 150).contains("provider a"));
    assert_eq!(screen.press(Press::Open), Some(Wish::Why("req_8".to_owned())));
    screen.press(Press::Tab(3));
    assert!(screen.opened.is_empty() && screen.tab == Tab::Clients);
}

#[test]
fn rows_are_sorted_by_the_column_that_was_chosen() {
    let mut screen = screen(Tab::Providers);
    let order =
        |screen: &Screen| screen.grid().expect("a table").0.rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>();
    let usual = order(&screen);
    screen.press(Press::Reverse);
    assert_eq!(order(&screen), usual.iter().rev().cloned().collect::<Vec<_>>());
    screen.press(Press::Reverse);
    for _ in 0..5 {
        screen.press(Press::Sort);
    }
    // By the share of failures: the largest first.
    assert!(text(&screen, 150).contains("failed▾"));
    for _ in 0..7 {
        screen.press(Press::Sort);
    }
    assert_eq!((screen.sorted(), order(&screen)), ((None, false), usual), "after the last column the usual order");
    screen.press(Press::Next(false));
    assert_eq!(screen.tab, Tab::Events);
    screen.press(Press::Next(true));
    assert_eq!(screen.tab, Tab::Providers);
}

#[test]
fn what_changed_stands_among_the_events_the_latest_first() {
    let mut screen = screen(Tab::Events);
    let shown = text(&screen, 150);
    let place = |text: &str| shown.find(text).expect("shown");
    assert!(place("provider b was ejected") < place("a.weight: 1 -> 3"), "{shown}");
    assert_eq!(screen.press(Press::Open), None);
    assert!(text(&screen, 150).contains("for 1 s"), "all lines of it");
}

#[test]
fn the_fullest_limit_stands_first_and_leads_to_the_requests_of_its_owner() {
    let mut screen = screen(Tab::Limits);
    let shown = text(&screen, 150);
    let place = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{text} is missing in {shown}"));
    assert!(place("provider b") < place("client search"), "{shown}");
    assert_eq!(line(&screen, "client search")[..6], ["client", "search", "rpm", "50.0", "%", "30"]);
    screen.press(Press::Move(1));
    assert_eq!(screen.press(Press::Open), Some(Wish::Requests("client", "search".to_owned())));
}

#[test]
fn a_small_terminal_and_a_server_without_anything_are_no_trouble() {
    for width in [1, 20, 60] {
        for tab in Tab::ALL {
            text(&screen(tab), width);
        }
    }
    let empty = Reading {
        health: Value::Null,
        now: Series::default(),
        shortly_ago: None,
        minute_ago: None,
        requests: Vec::new(),
        reports: [None, None],
        events: Vec::new(),
    };
    for tab in Tab::ALL {
        let mut screen =
            Screen { tab, reading: Some(empty.clone()), trouble: Some("out of reach".to_owned()), ..Screen::new() };
        assert!(text(&screen, 100).contains("out of reach"));
        for press in [Press::Open, Press::Move(1), Press::End(true), Press::Sort, Press::Back] {
            screen.press(press);
        }
    }
    assert!(text(&Screen::new(), 80).contains("reading ..."));
}

#[test]
fn keys_mean_what_the_last_line_says() {
    let key = |code| meaning(KeyEvent::new(code, KeyModifiers::NONE));
    assert_eq!(key(KeyCode::Char('2')), Some(Press::Tab(1)));
    assert_eq!((key(KeyCode::Enter), key(KeyCode::Esc)), (Some(Press::Open), Some(Press::Back)));
    assert_eq!((key(KeyCode::Char('q')), key(KeyCode::Char('x'))), (Some(Press::Quit), None));
    let control = |char| meaning(KeyEvent::new(KeyCode::Char(char), KeyModifiers::CONTROL));
    assert_eq!((control('c'), control('q')), (Some(Press::Quit), None));
    assert_eq!(key(KeyCode::Char('p')), Some(Press::Pause));
}
