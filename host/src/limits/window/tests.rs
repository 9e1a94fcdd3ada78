//! Windows at exact instants: ends of months, days on which clocks change, zones with half hours.

use jiff::civil::{Weekday, time};
use proptest::prelude::*;

use super::*;

fn calendar(period: Period, zone: &str, at: (i8, i8)) -> Calendar {
    let zone = TimeZone::get(zone).unwrap();
    Calendar::of(&Budget { nano: 1, period, zone, at: time(at.0, at.1, 0, 0), on_outage: None })
}

fn at(text: &str) -> Moment {
    moment(text.parse().unwrap())
}

/// The name of the window of a moment, and its bounds.
fn seen(calendar: &Calendar, now: &str) -> (String, String, String) {
    let window = calendar.window(at(now));
    (window.name, timestamp(window.start).to_string(), timestamp(window.end).to_string())
}

#[track_caller]
fn assert_seen(calendar: &Calendar, now: &str, name: &str, start: &str, end: &str) {
    assert_eq!(seen(calendar, now), (name.to_owned(), start.to_owned(), end.to_owned()), "{now}");
}

#[test]
fn a_day_begins_at_its_time_in_its_zone() {
    let utc = calendar(Period::Day, "UTC", (0, 0));
    assert_seen(&utc, "2026-11-26T00:00:00Z", "2026-11-26", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z");
    assert_seen(&utc, "2026-11-25T23:59:59.999999999Z", "2026-11-25", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z");
    let tokyo = calendar(Period::Day, "Asia/Tokyo", (9, 30));
    assert_seen(&tokyo, "2026-11-26T00:29:59Z", "2026-11-25", "2026-11-25T00:30:00Z", "2026-11-26T00:30:00Z");
    assert_seen(&tokyo, "2026-11-26T00:30:00Z", "2026-11-26", "2026-11-26T00:30:00Z", "2026-11-27T00:30:00Z");
    let kathmandu = calendar(Period::Day, "Asia/Kathmandu", (0, 0));
    assert_seen(&kathmandu, "2026-11-26T18:15:00Z", "2026-11-27", "2026-11-26T18:15:00Z", "2026-11-27T18:15:00Z");
}

#[test]
fn days_on_which_clocks_change_have_23_or_25_hours() {
    let berlin = calendar(Period::Day, "Europe/Berlin", (0, 0));
    assert_seen(&berlin, "2026-03-29T12:00:00Z", "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
    assert_seen(&berlin, "2026-10-25T12:00:00Z", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    // A time that is left out begins when the clock has moved on; one that comes twice, at the first.
    let half_past_two = calendar(Period::Day, "Europe/Berlin", (2, 30));
    assert_seen(&half_past_two, "2026-03-29T01:30:00Z", "2026-03-29", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z");
    assert_seen(&half_past_two, "2026-10-25T00:30:00Z", "2026-10-25", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
    assert_eq!(seen(&half_past_two, "2026-10-25T01:30:00Z").0, "2026-10-25");
}

#[test]
fn a_month_begins_on_its_day_or_its_last_one() {
    let first = calendar(Period::Month(1), "Europe/Berlin", (0, 0));
    assert_seen(&first, "2026-11-26T00:00:00Z", "2026-11", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z");
    let last = calendar(Period::Month(31), "UTC", (0, 0));
    assert_seen(&last, "2026-02-27T23:59:59Z", "2026-01", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z");
    assert_seen(&last, "2026-02-28T00:00:00Z", "2026-02", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z");
    assert_seen(&last, "2028-02-28T12:00:00Z", "2028-01", "2028-01-31T00:00:00Z", "2028-02-29T00:00:00Z");
    assert_seen(&last, "2026-12-31T00:00:00Z", "2026-12", "2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z");
    let middle = calendar(Period::Month(15), "UTC", (6, 0));
    assert_seen(&middle, "2026-01-15T05:59:59Z", "2025-12", "2025-12-15T06:00:00Z", "2026-01-15T06:00:00Z");
}

#[test]
fn a_week_begins_on_its_day() {
    let monday = calendar(Period::Week(Weekday::Monday), "UTC", (0, 0));
    assert_seen(&monday, "2026-11-26T12:00:00Z", "2026-11-23", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z");
    let sunday = calendar(Period::Week(Weekday::Sunday), "UTC", (12, 0));
    assert_seen(&sunday, "2026-11-22T11:59:59Z", "2026-11-15", "2026-11-15T12:00:00Z", "2026-11-22T12:00:00Z");
    assert_seen(&sunday, "2026-11-22T12:00:00Z", "2026-11-22", "2026-11-22T12:00:00Z", "2026-11-29T12:00:00Z");
}

#[test]
fn an_hour_begins_with_the_clock_of_its_zone() {
    let utc = calendar(Period::Hour, "UTC", (0, 0));
    assert_seen(&utc, "2026-11-26T12:59:59Z", "2026-11-26T12:00Z", "2026-11-26T12:00:00Z", "2026-11-26T13:00:00Z");
    let kolkata = calendar(Period::Hour, "Asia/Kolkata", (0, 0));
    assert_seen(&kolkata, "2026-11-26T12:45:00Z", "2026-11-26T12:30Z", "2026-11-26T12:30:00Z", "2026-11-26T13:30:00Z");
    // Of the hour that comes twice each one is a window.
    let berlin = calendar(Period::Hour, "Europe/Berlin", (0, 0));
    assert_ne!(seen(&berlin, "2026-10-25T00:30:00Z"), seen(&berlin, "2026-10-25T01:30:00Z"));
}

#[test]
fn all_time_never_ends() {
    let total = calendar(Period::Total, "UTC", (0, 0));
    let window = total.window(at("2026-11-26T12:59:59Z"));
    assert_eq!((window.name.as_str(), window.start, window.end), ("total", Moment(0), Moment(u64::MAX)));
}

#[test]
fn calendars_that_differ_have_other_ids() {
    let one = calendar(Period::Month(1), "Europe/Berlin", (0, 0));
    assert_eq!(one.id(), calendar(Period::Month(1), "Europe/Berlin", (0, 0)).id());
    for other in [
        calendar(Period::Month(2), "Europe/Berlin", (0, 0)),
        calendar(Period::Month(1), "UTC", (0, 0)),
        calendar(Period::Month(1), "Europe/Berlin", (0, 30)),
    ] {
        assert_ne!(one.id(), other.id());
    }
}

fn periods() -> impl Strategy<Value = Period> {
    prop_oneof![
        Just(Period::Hour),
        Just(Period::Day),
        (1_i8..=7).prop_map(|day| Period::Week(Weekday::from_monday_one_offset(day).unwrap())),
        (1_i8..=31).prop_map(Period::Month),
    ]
}

/// Zones with daylight saving, without, with half hours, with half an hour of saving, and one far to the east.
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Pacific/Kiritimati",
];

proptest! {
    #[test]
    fn windows_follow_each_other_without_a_gap(
        period in periods(),
        zone in 0..ZONES.len(),
        hour in 0_i8..24,
        minute in 0_i8..60,
        now in 100_000_000_000_000_000_u64..1_000_000_000_000_000_000,
    ) {
        let calendar = calendar(period, ZONES[zone], (hour, minute));
        let window = calendar.window(Moment(now));
        prop_assert!(window.start <= Moment(now) && Moment(now) < window.end, "{window:?}");
        let next = calendar.window(window.end);
        prop_assert_ne!(&next.name, &window.name);
        if period != Period::Hour {
            prop_assert_eq!(next.start, window.end);
            prop_assert_eq!(&calendar.window(Moment(window.end.0 - 1)), &window);
            prop_assert_eq!(&calendar.window(window.start), &window);
        }
    }
}
