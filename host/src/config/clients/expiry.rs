//! `expires`: the moment from which a key is not accepted any more.

use std::fmt;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::super::node::Node;
use super::super::problem::{Place, Reported};
use super::super::read::{Reader, Section, Text};

/// A moment, in whole seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(pub i64);

impl Expiry {
    /// Reads a date, whose whole day in UTC still counts, or a moment of RFC 3339, such as `2027-01-31T18:00:00+01:00`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() == "2027-01-31".len()
            && let Ok(date) = text.parse::<Date>()
        {
            let end = TimeZone::UTC.to_timestamp(date.checked_add(1.day()).ok()?.at(0, 0, 0, 0)).ok()?;
            return Some(Self(end.as_second()));
        }
        // As LiteLLM and Python write it.
        let text = text.replacen(' ', "T", 1);
        text.parse::<Timestamp>().ok().map(|moment| Self(moment.as_second()))
    }
}

/// In the form of RFC 3339.
impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(moment) => moment.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

/// The value of `expires`.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Section<'_>) -> Option<Expiry> {
    let (at, node) = entry.get("expires")?;
    at_place(reader, node, at).ok()
}

fn at_place(reader: &mut Reader<'_>, node: &Node, at: Place) -> Result<Expiry, Reported> {
    let Text { at, text, shown, .. } = reader.text_at(node, at, false)?;
    Expiry::parse(&text).ok_or_else(|| {
        let help = "2027-01-31 is valid to the end of that day in UTC, 2027-01-31T18:00:00+01:00 up to that moment";
        reader.not(&at, "a date or a moment", &shown, Some(help.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_lasts_to_its_end_and_a_moment_is_exact() {
        let shown = |text: &str| Expiry::parse(text).map(|moment| moment.to_string());
        assert_eq!(shown("2027-01-31").as_deref(), Some("2027-02-01T00:00:00Z"));
        assert_eq!(shown("2027-01-31T18:00:00+01:00").as_deref(), Some("2027-01-31T17:00:00Z"));
        assert_eq!(shown("2027-01-31 18:00:00.25Z").as_deref(), Some("2027-01-31T18:00:00Z"));
        for wrong in ["", "2027-02-30", "tomorrow", "2027", "31.01.2027", "2027-01-31T18:00:00", "9999-12-31T"] {
            assert_eq!(Expiry::parse(wrong), None, "{wrong}");
        }
    }
}
