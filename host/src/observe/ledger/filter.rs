//! What is asked of a ledger: which records to show.

use std::time::Duration;

use jiff::Timestamp;

use super::record::{Millis, Record, Time};
use crate::config::span;

/// The properties that a record must have; `None` is any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The name of the client.
    pub client: Option<String>,
    /// A provider that was tried.
    pub provider: Option<String>,
    /// The name of the route.
    pub route: Option<String>,
    /// The model that was asked for, by the client or of the provider.
    pub model: Option<String>,
    /// The strategy that decided.
    pub strategy: Option<String>,
    /// The end.
    pub outcome: Option<Wanted>,
    /// The earliest beginning.
    pub since: Option<Time>,
    /// The latest beginning.
    pub until: Option<Time>,
    /// The least duration.
    pub slower_than: Option<Duration>,
    /// A part of the request's id, of the trace's, of the error's code or message, or of the reason of an attempt.
    pub text: Option<String>,
    /// True to show questions of approaches as well.
    pub inner: bool,
}

/// The end that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The client got an error, or an answer that broke.
    Failed,
    /// More than one provider was tried.
    FailedOver,
    /// A status, such as 429.
    Status(u16),
    /// A class of statuses, such as 5 for `5xx`.
    Class(u16),
    /// The name of an outcome, or the code of an error.
    Named(String),
}

impl Wanted {
    /// Reads one: `failed`, `failed_over`, `429`, `5xx`, or the name of an outcome or of an error.
    pub fn read(text: &str) -> Self {
        match text {
            "failed" | "error" | "errors" => Self::Failed,
            "failed_over" | "failover" | "failovers" => Self::FailedOver,
            _ => {
                let class = text.strip_suffix("xx").and_then(|class| class.parse().ok());
                let status = text.parse().ok().filter(|status| (100..1000).contains(status));
                let number = class.map(Self::Class).or(status.map(Self::Status));
                number.unwrap_or_else(|| Self::Named(text.to_owned()))
            }
        }
    }

    fn fits(&self, record: &Record) -> bool {
        match self {
            Self::Failed => record.failed(),
            Self::FailedOver => record.failed_over(),
            Self::Status(status) => record.status.unwrap_or(499) == *status,
            Self::Class(class) => record.status.unwrap_or(499) / 100 == *class,
            Self::Named(name) => *record.outcome == **name || record.error.as_deref() == Some(name),
        }
    }
}

/// A parameter of a query that is wrong, and why.
pub type Wrong = (&'static str, String);

impl Filter {
    /// The names of the parameters of [`Filter::set`].
    pub const PARAMETERS: [&str; 11] = [
        "client",
        "provider",
        "route",
        "model",
        "strategy",
        "outcome",
        "since",
        "until",
        "slower_than",
        "text",
        "inner",
    ];

    /// Sets a property by the name that it has in queries and on the command line; false if no property has that name.
    ///
    /// # Errors
    ///
    /// The name of the parameter, and what would be right.
    pub fn set(&mut self, name: &str, value: &str, now: Time) -> Result<bool, Wrong> {
        let text = Some(value.to_owned()).filter(|value| !value.is_empty());
        match name {
            "client" => self.client = text,
            "provider" => self.provider = text,
            "route" => self.route = text,
            "model" => self.model = text,
            "strategy" => self.strategy = text,
            "outcome" => self.outcome = text.as_deref().map(Wanted::read),
            "text" => self.text = text,
            "since" => self.since = text.map(|text| moment(&text, now).ok_or(("since", MOMENT.into()))).transpose()?,
            "until" => self.until = text.map(|text| moment(&text, now).ok_or(("until", MOMENT.into()))).transpose()?,
            "slower_than" => {
                let wrong = || ("slower_than", "must be a time such as `10s`, `500ms` or `2`, in seconds".into());
                self.slower_than = text.map(|text| span(&text).ok_or_else(wrong)).transpose()?;
            }
            "inner" => self.inner = matches!(value, "" | "1" | "true" | "yes"),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// True when a record has all of these properties.
    pub fn fits(&self, record: &Record) -> bool {
        let is =
            |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|wanted| value == Some(wanted));
        (self.inner || record.inner.is_none())
            && is(&self.client, record.client.as_deref())
            && is(&self.route, record.route.as_deref())
            && is(&self.strategy, record.strategy.as_deref())
            && self.provider.as_deref().is_none_or(|wanted| was_tried(record, wanted))
            && self.model.as_deref().is_none_or(|wanted| concerns(record, wanted))
            && self.outcome.as_ref().is_none_or(|wanted| wanted.fits(record))
            && self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time <= until)
            && self.slower_than.is_none_or(|least| record.duration_ms >= Millis::of(least))
            && self.text.as_deref().is_none_or(|text| mentions(record, text))
    }
}

fn was_tried(record: &Record, provider: &str) -> bool {
    record.attempts.iter().any(|attempt| *attempt.provider == *provider)
}

fn concerns(record: &Record, model: &str) -> bool {
    let names = [Some(&record.model), record.instead.as_ref(), record.provider_model.as_ref()];
    names.into_iter().flatten().any(|name| **name == *model)
}

fn mentions(record: &Record, text: &str) -> bool {
    let own = [Some(&record.request_id), record.error.as_ref(), record.message.as_ref()];
    let reasons = record.attempts.iter().map(|attempt| attempt.reason.as_ref());
    let has_trace = || record.trace.is_some_and(|trace| trace.id.to_string().contains(text));
    own.into_iter().chain(reasons).flatten().any(|field| field.contains(text)) || has_trace()
}

const MICROS_A_DAY: i64 = 24 * 3600 * 1_000_000;

/// Reads a time of day, such as `14:05` or `14:05:30`.
fn time_of_day(text: &str) -> Option<Duration> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_written_so = matches!(parts.len(), 2 | 3)
        && parts.iter().all(|part| matches!(part.len(), 1 | 2) && part.bytes().all(|byte| byte.is_ascii_digit()));
    let mut numbers = parts.iter().map(|part| part.parse::<u64>().ok());
    let (hours, minutes) = (numbers.next()??, numbers.next()??);
    let seconds = numbers.next().unwrap_or(Some(0))?;
    let is_sound = is_written_so && hours < 24 && minutes < 60 && seconds < 60;
    is_sound.then(|| Duration::from_secs(hours * 3600 + minutes * 60 + seconds))
}

/// The forms of a moment that are understood.
pub const MOMENT: &str = "must be a time such as `2026-11-26T14:05:00Z`, `14:05` (in UTC), `2026-11-26`, or a span before now such as `30m`, `24h` or `7d`";

/// Reads a moment: RFC 3339, a day in UTC, the latest time of day in UTC, or a span before now.
pub fn moment(text: &str, now: Time) -> Option<Time> {
    if let Some(span) = span(text) {
        return Some(now.minus(span));
    }
    if let Some(time) = time_of_day(text) {
        let today = Time(now.0 - now.0.rem_euclid(MICROS_A_DAY)).plus(time);
        return Some(if today > now { Time(today.0 - MICROS_A_DAY) } else { today });
    }
    let day = || jiff::tz::TimeZone::UTC.to_timestamp(text.parse::<jiff::civil::Date>().ok()?.into()).ok();
    let timestamp = text.parse::<Timestamp>().ok().or_else(day)?;
    Some(Time::of(timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::trace::{SpanId, Trace, TraceId};

    const NOW: Time = Time(1_800_000_000_000_000);

    #[test]
    fn moments_are_read_as_people_write_them() {
        assert_eq!(moment("1h", NOW), Some(Time(NOW.0 - 3_600_000_000)));
        assert_eq!(moment("2027-01-15", NOW), Some(Time(1_799_971_200_000_000)));
        assert_eq!(moment("2027-01-15T08:00:00Z", NOW), Some(NOW));
        assert_eq!(moment("2027-02-30", NOW), None);
        // It is 08:00 in UTC.
        assert_eq!(moment("07:59", NOW), Some(Time(NOW.0 - 60_000_000)));
        assert_eq!(moment("8:00:00", NOW), Some(NOW));
        assert_eq!(moment("8:00:01", NOW), Some(Time(NOW.0 + 1_000_000 - MICROS_A_DAY)), "that of yesterday");
        for wrong in ["24:00", "14:60", "14:", "14:005", ":30", "1:2:3:4", "+1:30", "14:05:60"] {
            assert_eq!(moment(wrong, NOW), None, "{wrong}");
        }
    }

    #[test]
    fn a_filter_names_the_parameter_that_is_wrong() {
        let mut filter = Filter::default();
        assert_eq!(filter.set("client", "team-a", NOW), Ok(true));
        assert_eq!(filter.set("colour", "red", NOW), Ok(false));
        assert_eq!(filter.set("since", "yesterday", NOW).map_err(|(name, _)| name), Err("since"));
        assert_eq!(filter.set("slower_than", "fast", NOW).map_err(|(name, _)| name), Err("slower_than"));
        for name in Filter::PARAMETERS {
            assert_eq!(filter.set(name, "", NOW), Ok(true), "{name}");
        }
    }

    #[test]
    fn a_record_fits_when_it_has_all_that_is_asked_for() {
        let record = Record {
            request_id: "req_1".into(),
            time: NOW,
            client: Some("team-a".into()),
            outcome: "failed".into(),
            status: Some(502),
            error: Some("all_providers_failed".into()),
            duration_ms: Millis(2_000_000),
            trace: Some(Trace { id: TraceId(0xbeef), span: SpanId(1), parent: None, is_sampled: true }),
            ..Record::default()
        };
        let fits = |asked: &[(&str, &str)]| {
            let mut filter = Filter::default();
            for (name, value) in asked {
                assert_eq!(filter.set(name, value, NOW), Ok(true));
            }
            filter.fits(&record)
        };
        assert!(fits(&[]) && fits(&[("client", "team-a"), ("outcome", "failed"), ("slower_than", "2s")]));
        assert!(
            fits(&[("outcome", "5xx")]) && fits(&[("outcome", "502")]) && fits(&[("outcome", "all_providers_failed")])
        );
        assert!(
            fits(&[("text", "providers")]) && fits(&[("since", "1m")]) && fits(&[("until", "2027-01-15T08:00:00Z")])
        );
        assert!(!fits(&[("client", "team-b")]) && !fits(&[("outcome", "4xx")]) && !fits(&[("slower_than", "3")]));
        assert!(!fits(&[("provider", "a")]) && !fits(&[("text", "req_2")]) && !fits(&[("until", "1m")]));
        assert!(fits(&[("text", "0000000000000000000000000000beef")]), "by its trace");
    }
}
