//! The windows of a budget: calendar times, each with a name, so that a new window is a new counter and nothing has to
//! be reset.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::Moment;
use crate::config::{Budget, Period};

/// The calendar of a budget.
#[derive(Clone, Debug)]
pub struct Calendar {
    period: Period,
    zone: TimeZone,
    at: Time,
    /// Differs from that of every other calendar.
    id: u64,
}

/// One window: from its start on, before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Unlike those of all other windows of the calendar: the date on which it begins, for a month without the day, for
    /// an hour the time in UTC, for all time `total`.
    pub name: String,
    /// Its first moment.
    pub start: Moment,
    /// The first moment after it.
    pub end: Moment,
}

/// The nanoseconds from 1970 to 2025.
const ORIGIN: i128 = 1_735_689_600_000_000_000;

/// The moment as a time of the calendar.
pub fn timestamp(moment: Moment) -> Timestamp {
    Timestamp::from_nanosecond(ORIGIN + i128::from(moment.0)).unwrap_or(Timestamp::MAX)
}

/// A time of the calendar as a moment; one before 2025 is the beginning of 2025.
fn moment(time: Timestamp) -> Moment {
    let since = time.as_nanosecond() - ORIGIN;
    Moment(u64::try_from(since.max(0)).unwrap_or(u64::MAX))
}

impl Calendar {
    /// The calendar of a budget.
    pub fn of(budget: &Budget) -> Self {
        let (period, zone, at) = (budget.period, budget.zone.clone(), budget.at);
        let mut hasher = DefaultHasher::new();
        (period, zone.iana_name(), at).hash(&mut hasher);
        Self { period, zone, at, id: hasher.finish() }
    }

    /// The windows, the zone in which they begin, and the time of day.
    pub fn parts(&self) -> (Period, &TimeZone, Time) {
        (self.period, &self.zone, self.at)
    }

    /// A number that another calendar does not have.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The window in which a moment lies.
    pub fn window(&self, now: Moment) -> Window {
        let at = timestamp(now);
        match self.period {
            Period::Total | Period::Rolling(_) => {
                Window { name: "total".to_owned(), start: Moment(0), end: Moment(u64::MAX) }
            }
            Period::Hour => {
                // By the offset that holds now: zones may be half an hour off.
                let offset = i64::from(self.zone.to_offset(at).seconds());
                let local = at.as_second().saturating_add(offset);
                let start = local.saturating_sub(local.rem_euclid(3600)).saturating_sub(offset);
                let start = Timestamp::from_second(start).unwrap_or(at);
                let end = start.checked_add(1.hour()).unwrap_or(Timestamp::MAX);
                Window { name: start.strftime("%Y-%m-%dT%H:%MZ").to_string(), start: moment(start), end: moment(end) }
            }
            Period::Day | Period::Week(_) | Period::Month(_) => {
                let (date, start, end) = self.around(at);
                let form = if matches!(self.period, Period::Month(_)) { "%Y-%m" } else { "%Y-%m-%d" };
                Window { name: date.strftime(form).to_string(), start: moment(start), end: moment(end) }
            }
        }
    }

    /// The date on which the window of a time begins, its start and its end.
    fn around(&self, now: Timestamp) -> (Date, Timestamp, Timestamp) {
        let mut date = self.first(self.zone.to_datetime(now).date().saturating_add(1.day()));
        while self.start(date) > now {
            let before = self.first(date.saturating_sub(1.day()));
            if before >= date {
                break;
            }
            date = before;
        }
        let (mut next, mut start) = (self.next(date), self.start(date));
        // Days that a zone has skipped have no length, and are passed over.
        while self.start(next) <= now && next > date {
            (date, start) = (next, self.start(next));
            next = self.next(date);
        }
        (date, start, self.start(next))
    }

    /// The first day of the window after the one that begins on `date`.
    fn next(&self, date: Date) -> Date {
        match self.period {
            Period::Week(_) => date.saturating_add(7.days()),
            Period::Month(day) => on(day, date.last_of_month().saturating_add(1.day())),
            Period::Hour | Period::Day | Period::Total | Period::Rolling(_) => date.saturating_add(1.day()),
        }
    }

    /// The latest first day of a window that is no later than `date`.
    fn first(&self, date: Date) -> Date {
        match self.period {
            Period::Week(weekday) => date.saturating_sub(i64::from(date.weekday().since(weekday)).days()),
            Period::Month(day) => {
                let this = on(day, date);
                if this <= date { this } else { on(day, date.first_of_month().saturating_sub(1.day())) }
            }
            Period::Hour | Period::Day | Period::Total | Period::Rolling(_) => date,
        }
    }

    /// The start of the window whose first day is `date`: in a gap of the zone's clock after it, of two the first.
    fn start(&self, date: Date) -> Timestamp {
        let zoned = self.zone.to_ambiguous_zoned_datetime(date.to_datetime(self.at)).compatible();
        zoned.map_or(Timestamp::MAX, |zoned| zoned.timestamp())
    }
}

/// That day of a date's month, or the month's last one.
fn on(day: i8, month: Date) -> Date {
    Date::new(month.year(), month.month(), day.min(month.days_in_month())).unwrap_or(month)
}

#[cfg(test)]
mod tests;
