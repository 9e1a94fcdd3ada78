//! Times of day and days of the week, at a fixed distance from UTC: a component has no table of time zones, so what
//! changes with summer time is for the operator to change.

use crate::reader::{At, Reader};

const MINUTES_A_DAY: i64 = 24 * 60;

/// The days of a week, as they are written.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The offset of the operator's clock from UTC.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// In minutes, east of Greenwich above 0.
    offset: i64,
}

/// The day and time that the operator's clock and calendar show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since midnight.
    minute: u16,
    /// 0 for Monday.
    day: u8,
}

impl Clock {
    /// Reads `utc_offset`.
    pub fn read(reader: &mut Reader, at: &At<'_>) -> Option<Self> {
        let wanted = "a distance from UTC, written as \"+02:00\" or \"-05:30\", up to 14 hours";
        let offset = reader.text(at)?;
        let parsed = match offset.as_bytes().first() {
            Some(b'+') => minutes(&offset[1..]),
            Some(b'-') => minutes(&offset[1..]).map(|minutes| -minutes),
            _ => None,
        };
        match parsed.filter(|offset| offset.abs() <= 14 * 60) {
            Some(offset) => Some(Self { offset }),
            None => reader.not(at, wanted),
        }
    }

    /// The day and time that it shows at an instant, in milliseconds since 1970.
    pub fn at(self, now_ms: u64) -> Moment {
        // Bounded by 2^64 / 60,000.
        let minutes = (now_ms / 60_000) as i64 + self.offset;
        let (days, minute) = (minutes.div_euclid(MINUTES_A_DAY), minutes.rem_euclid(MINUTES_A_DAY));
        // The first day of 1970 was a Thursday.
        Moment { minute: minute as u16, day: (days + 3).rem_euclid(7) as u8 }
    }
}

/// A part of each day, from a minute until just before another; over midnight where that is the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hours {
    from: u16,
    until: u16,
}

impl Hours {
    pub fn read(reader: &mut Reader, at: &At<'_>) -> Option<Self> {
        let text = reader.text(at)?;
        let parsed = text.split_once('-').and_then(|(from, until)| Some((minutes(from)?, minutes(until)?)));
        match parsed.filter(|(from, until)| *from < MINUTES_A_DAY && *until <= MINUTES_A_DAY) {
            Some((from, until)) if from % MINUTES_A_DAY == until % MINUTES_A_DAY => {
                reader.problem(&at.path, format!("{text} has no length; leave it out for the whole day"));
                None
            }
            Some((from, until)) => Some(Self { from: from as u16, until: until as u16 }),
            None => {
                let wrong = crate::reader::shown(text);
                reader.problem(&at.path, format!("{wrong} are no hours; write HH:MM-HH:MM, such as \"22:00-06:00\""));
                None
            }
        }
    }

    pub fn has(self, moment: Moment) -> bool {
        let Self { from, until } = self;
        let minute = moment.minute;
        if from < until { (from..until).contains(&minute) } else { minute >= from || minute < until }
    }
}

/// Some days of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Days([bool; 7]);

impl Days {
    /// Reads a day, or a range such as `mon-fri`, or a list of these.
    pub fn read(reader: &mut Reader, at: &At<'_>) -> Option<Self> {
        let mut days = Self::default();
        for item in reader.several(at) {
            let Some(text) = reader.text(&item) else { continue };
            let place = |name: &str| DAYS.iter().position(|day| *day == name);
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (Some(first), Some(last)) = (place(first), place(last)) else {
                reader.not::<()>(&item, "one of mon, tue, wed, thu, fri, sat, sun, or a range such as \"mon-fri\"");
                continue;
            };
            let mut day = first;
            days.0[day] = true;
            while day != last {
                day = (day + 1) % DAYS.len();
                days.0[day] = true;
            }
        }
        Some(days)
    }

    pub fn has(self, moment: Moment) -> bool {
        self.0[usize::from(moment.day)]
    }
}

/// `HH:MM`, up to 24:00.
fn minutes(text: &str) -> Option<i64> {
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes) = text.trim().split_once(':')?;
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= MINUTES_A_DAY).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_shows_the_day_and_the_minute_at_its_distance_from_utc() {
        // Saturday, the 15th of August 2026, 22:30 UTC.
        let now_ms = 1_786_833_000_000;
        let shown = |offset| Clock { offset }.at(now_ms);
        assert_eq!(shown(0), Moment { minute: 22 * 60 + 30, day: 5 });
        assert_eq!(shown(120), Moment { minute: 30, day: 6 });
        assert_eq!(shown(-23 * 60), Moment { minute: 23 * 60 + 30, day: 4 });
        assert_eq!(Clock { offset: -60 }.at(0), Moment { minute: 23 * 60, day: 2 }, "before 1970");
    }
}
