use std::time::Duration;

use super::record::Millis;
use super::*;

fn story(id: &str) -> Box<Story> {
    let mut story = Story::new(id.to_owned(), http::Method::POST, "/v1/chat/completions".to_owned(), 0);
    story.asked_for("gpt-4", true);
    story.status = Some(200);
    story.took = Duration::from_millis(12);
    Box::new(story)
}

fn ids(ledger: &Ledger) -> Vec<String> {
    ledger.select(&Filter::default(), 100).iter().map(|record| record.request_id.to_string()).collect()
}

#[test]
fn a_story_is_found_as_soon_as_it_is_over() {
    let ledger = Ledger::new(10, None);
    ledger.take(story("a"));
    ledger.take(story("b"));
    let record = ledger.find("a").expect("kept");
    assert_eq!((&*record.model, record.stream, record.status), ("gpt-4", true, Some(200)));
    assert_eq!(record.duration_ms, Millis(12_000));
    assert_eq!(ids(&ledger), ["b", "a"]);
    assert!(ledger.find("c").is_none());
}

#[test]
fn the_oldest_make_room_for_the_latest() {
    let ledger = Ledger::new(3, None);
    for number in 0..10 {
        ledger.take(story(&number.to_string()));
    }
    assert_eq!(ids(&ledger), ["9", "8", "7"]);
    ledger.resize(1);
    assert_eq!((ids(&ledger).as_slice(), ledger.lost()), (["9".to_owned()].as_slice(), 0));
}

#[test]
fn a_ledger_that_nobody_settles_is_bounded_and_counts_what_its_listeners_lose() {
    let ledger = Ledger::new(10, None);
    for _ in 0..MOST_PENDING + 5 {
        ledger.take(story("x"));
    }
    assert_eq!((ledger.size().0, ledger.lost()), (10, 0), "the others have given way");
    let _heard = ledger.listen(1);
    for _ in 0..MOST_PENDING {
        ledger.take(story("x"));
    }
    assert_eq!(ledger.lost(), 10);
}

#[test]
fn a_story_becomes_a_record_when_somebody_asks_or_its_configuration_ends_or_it_is_old() {
    let ledger = Ledger::new(10, None);
    let records = || ledger.kept.lock().ring.len();
    let now = Instant::now();
    ledger.take(Box::new(Story { generation: 3, ..*story("a") }));
    let tick = |now, generation| {
        if ledger.is_due(now, generation) {
            ledger.settle();
        }
    };
    tick(now, 3);
    assert_eq!((records(), ledger.size().0), (0, 1));
    assert!(ledger.find("a").is_some());
    ledger.take(Box::new(Story { generation: 3, ..*story("b") }));
    tick(now, 4);
    assert_eq!(records(), 2, "it began with another configuration");
    ledger.take(story("refused"));
    tick(now + AGE / 2, 4);
    assert_eq!(records(), 2);
    tick(now + 2 * AGE, 4);
    assert_eq!(records(), 3);
    assert_eq!(ids(&ledger), ["refused", "b", "a"]);
}

#[test]
fn stories_and_records_together_stay_within_the_number() {
    let ledger = Ledger::new(10, None);
    for number in 0..30 {
        ledger.take(story(&number.to_string()));
        if number == 8 {
            ledger.settle();
        }
        assert!(!ledger.is_due(Instant::now(), 0));
        let held = ledger.kept.lock().ring.len() + ledger.pending.lock().stories.len();
        assert!(held <= 10, "{held} after {number}");
    }
    assert_eq!(ids(&ledger).len(), 10);
}

#[test]
fn a_listener_hears_of_every_record_and_a_full_one_misses_some() {
    let ledger = Ledger::new(0, None);
    ledger.take(story("unheard"));
    let (mut wide, mut narrow) = (ledger.listen(10), ledger.listen(1));
    ledger.take(story("a"));
    ledger.take(story("b"));
    ledger.settle();
    let mut heard = Vec::new();
    while let Ok(record) = wide.try_recv() {
        heard.push(record.request_id.to_string());
    }
    assert_eq!(heard, ["a", "b"]);
    assert_eq!(narrow.try_recv().expect("one").request_id.as_ref(), "a");
    assert!(narrow.try_recv().is_err());
    assert_eq!(ledger.lost(), 1);
    drop((wide, narrow));
    ledger.take(story("c"));
    ledger.settle();
    assert_eq!(ids(&ledger), [""; 0], "nothing is kept in memory");
}

#[test]
fn ten_thousand_records_take_less_than_their_bound() {
    let ledger = Ledger::new(10_000, None);
    for number in 0..12_000 {
        ledger.take(story(&format!("req_{number:0>32}")));
        if number == 8000 {
            ledger.settle();
        }
    }
    let (count, bytes) = ledger.size();
    assert_eq!(count, 10_000);
    assert!(bytes < MOST_BYTES, "{bytes}");
}

#[test]
fn what_a_folder_remembers_stands_before_what_is_new() {
    let ledger = Ledger::new(3, None);
    ledger.take(story("new"));
    ledger.settle();
    let old = |id: &str| Record { request_id: id.into(), ..Record::default() };
    ledger.remember(vec![old("1"), old("2"), old("3")]);
    assert_eq!(ids(&ledger), ["new", "3", "2"]);
}

#[test]
fn a_record_is_the_same_after_json() {
    let ledger = Ledger::new(1, None);
    ledger.take(story("a"));
    let record = ledger.find("a").expect("kept");
    let text = serde_json::to_string(&*record).expect("JSON");
    assert_eq!(serde_json::from_str::<Record>(&text).expect("a record"), *record);
}

#[test]
fn what_went_wrong_is_found_while_it_is_a_story_and_as_a_record_and_until_it_is_gone() {
    let ledger = Ledger::new(40, None);
    let failed = |id: &str| Box::new(Story { status: Some(503), error: Some("all_failed"), ..*story(id) });
    let trouble = || {
        let mut ids: Vec<_> = ledger.latest_trouble().iter().map(|record| record.request_id.to_string()).collect();
        ids.sort();
        ids
    };
    ledger.take(failed("a"));
    ledger.take(story("fine"));
    assert_eq!((trouble(), ledger.kept.lock().ring.len()), (vec!["a".to_owned()], 0), "no records are made for it");
    ledger.settle();
    ledger.take(failed("b"));
    assert_eq!(trouble(), ["a", "b"]);
    assert_eq!((trouble(), ledger.kept.lock().ring.len()), (vec!["a".to_owned(), "b".to_owned()], 2));
    for number in 0..39 {
        ledger.take(story(&number.to_string()));
    }
    assert!(!ledger.is_due(Instant::now(), 0));
    assert_eq!(trouble(), ["b"], "`a` is kept no more");
    ledger.take(story("last"));
    assert_eq!(trouble(), [""; 0]);
    for number in 100..135 {
        ledger.take(failed(&number.to_string()));
        if number == 110 {
            ledger.settle();
        }
    }
    let expected: Vec<String> = (110..135).map(|number| number.to_string()).collect();
    assert_eq!(trouble(), expected, "the latest 25");
    ledger.take(Box::new(Story {
        inner: Some(story::Inner { approach: "bon".into(), step: String::new() }),
        ..*failed("q")
    }));
    assert_eq!(trouble(), expected, "questions of approaches are shown with their request");
}
