//! `limits:` and `budget:`, which every owner of limits may have: how much it may ask for, and what that may cost.
//!
//! The types are plain data; the room `limits` keeps the counters for them.

use std::time::Duration;

use jiff::civil::{Time, Weekday, time};
use jiff::tz::{TimeZone, db};

use super::node::{Node, NodeKind};
use super::problem::{Place, nearest};
use super::read::{Reader, Section};
use super::schema::{BUDGET, LIMITS};
use super::state::{OnOutage, on_outage};

/// The largest number of requests or tokens in a window: the counters of limits have steps of a nanosecond, and a
/// token of a larger limit would be a fraction of one.
const MAX_AMOUNT: u64 = 10_000_000_000;

/// The largest budget: 9 million dollars in billionths, which the scripts of a shared engine still count exactly.
const MAX_NANO: f64 = 9e15;

/// The longest rolling window, in days.
const MAX_DAYS: u32 = 366;

/// What one owner may use. Empty is without any limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests and tokens in a time; no two of the same kind and time.
    pub rates: Vec<Rate>,
    /// Requests at once.
    pub parallel: Option<u32>,
    /// Tokens of one request and its answer.
    pub tokens_per_request: Option<u64>,
    /// Money in a time; no two of the same time.
    pub budgets: Vec<Budget>,
    /// How rates and requests at once are kept while the engine that replicas share does not answer; by default as
    /// `state.on_outage` says.
    pub on_outage: Option<OnOutage>,
}

impl Limits {
    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        Self { on_outage: None, ..self.clone() } == Self::default()
    }
}

/// So many requests or tokens in a time, which come back continuously.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The key of the file, such as `rpm`.
    pub name: &'static str,
    /// The unit that is counted.
    pub counts: Counts,
    /// The number of units; at least 1.
    pub amount: u64,
    /// The time.
    pub window: Duration,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Requests.
    Requests,
    /// Tokens of requests and answers.
    Tokens,
}

/// So much money in a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// In billionths of a dollar; at least 1.
    pub nano: u64,
    /// The time.
    pub period: Period,
    /// The zone in which its windows begin.
    pub zone: TimeZone,
    /// The time of day at which they begin.
    pub at: Time,
    /// How it is kept while the engine that replicas share does not answer; by default as `state.on_outage` says.
    pub on_outage: Option<OnOutage>,
}

/// The windows of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// A day.
    Day,
    /// Seven days, from this day on.
    Week(Weekday),
    /// From this day of a month, or the last one of a month that is shorter, to that of the next.
    Month(i8),
    /// All time.
    Total,
    /// So many days of which no beginning is fixed: what is spent comes back continuously.
    Rolling(u32),
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Every rate by its key.
const RATES: [(&str, Counts, Duration); 6] = [
    ("rpm", Counts::Requests, MINUTE),
    ("rph", Counts::Requests, HOUR),
    ("rpd", Counts::Requests, DAY),
    ("tpm", Counts::Tokens, MINUTE),
    ("tph", Counts::Tokens, HOUR),
    ("tpd", Counts::Tokens, DAY),
];

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// The keys `limits` and `budget` of an owner's section.
pub(super) fn limits(reader: &mut Reader<'_>, owner: &Section<'_>) -> Limits {
    let section = reader.section(owner, "limits", Some(LIMITS));
    let mut amount = |key, wanted| reader.integer(&section, key, wanted, 1, MAX_AMOUNT);
    let rate = |(name, counts, window)| {
        let wanted = match counts {
            Counts::Requests => "a number of requests, 1 or more",
            Counts::Tokens => "a number of tokens, 1 or more",
        };
        amount(name, wanted).map(|amount| Rate { name, counts, amount, window })
    };
    let rates = RATES.into_iter().filter_map(rate).collect();
    let tokens_per_request = amount("tokens_per_request", "a number of tokens, 1 or more");
    let parallel = reader.count(&section, "parallel");
    let on_outage = on_outage(reader, &section);
    Limits { rates, parallel, tokens_per_request, budgets: budgets(reader, owner), on_outage }
}

/// The key `budget`: one, or a list of several.
fn budgets(reader: &mut Reader<'_>, owner: &Section<'_>) -> Vec<Budget> {
    let Some((at, node)) = owner.get("budget") else { return Vec::new() };
    let listed: Vec<(Place, &Node)> = match &node.kind {
        NodeKind::List(items) => items.iter().enumerate().map(|(i, item)| (at.item(i, item.line), item)).collect(),
        NodeKind::Map(_) | NodeKind::Scalar(_) => vec![(at, node)],
    };
    let mut budgets: Vec<(Budget, Place)> = Vec::new();
    for (at, node) in listed {
        let Ok(section) = reader.mapping(Some(node), at, Some(BUDGET)) else { continue };
        let Some(budget) = budget(reader, &section) else { continue };
        let same = |(other, _): &&(Budget, Place)| {
            std::mem::discriminant(&other.period) == std::mem::discriminant(&budget.period)
                && !matches!((other.period, budget.period), (Period::Rolling(one), Period::Rolling(two)) if one != two)
        };
        if let Some((_, other)) = budgets.iter().find(same) {
            let message = format!("is for the same time as {} on line {}", other.key, other.line);
            reader.findings.problem(&section.place("per"), message, Some("keep one of them".to_owned()));
        }
        budgets.push((budget, section.at));
    }
    budgets.into_iter().map(|(budget, _)| budget).collect()
}

fn budget(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Budget> {
    let wanted = "a number of dollars above 0 and up to 9000000";
    let usd = reader.number_that(section, "usd", wanted, |usd| (0.5..=MAX_NANO).contains(&(usd * 1e9)));
    for (key, help) in [("usd", "such as usd: 50"), ("per", "hour, day, week, month, total, or such as 30d")] {
        if section.get(key).is_none() {
            reader.findings.problem(&section.place(key), "is required", Some(help.to_owned()));
        }
    }
    let period = period(reader, section);
    let zone = zone(reader, section);
    let at = time_of_day(reader, section);
    let on_outage = on_outage(reader, section);
    let meaningless = match period? {
        Period::Day => ["starts", "", ""],
        Period::Week(_) | Period::Month(_) => ["", "", ""],
        Period::Hour => ["starts", "at", ""],
        Period::Total | Period::Rolling(_) => ["starts", "at", "time_zone"],
    };
    for key in meaningless.into_iter().filter(|key| section.get(key).is_some()) {
        let message = format!("has no meaning for a budget per {}", period?.name());
        reader.findings.problem(&section.place(key), message, Some("leave it out".to_owned()));
    }
    // Exact: below 2 to the 53rd.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0.5 and 9e15")]
    let nano = (usd? * 1e9).round() as u64;
    Some(Budget { nano, period: period?, zone: zone?, at: at?, on_outage })
}

impl Period {
    /// Its name as in the file: `hour`, `day`, `week`, `month`, `total`, or such as `30d`.
    pub fn name(self) -> std::borrow::Cow<'static, str> {
        match self {
            Self::Hour => "hour".into(),
            Self::Day => "day".into(),
            Self::Week(_) => "week".into(),
            Self::Month(_) => "month".into(),
            Self::Total => "total".into(),
            Self::Rolling(days) => format!("{days}d").into(),
        }
    }
}

/// The keys `per` and `starts`.
fn period(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Period> {
    const WANTED: &str = "hour, day, week, month, total, or a number of days such as 30d";
    let found = reader.text(section, "per").ok()??;
    let per = found.text.as_str();
    let days = || {
        let days = per.strip_suffix('d').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        days.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days))
    };
    Some(match per {
        "hour" => Period::Hour,
        "day" => Period::Day,
        "week" => Period::Week(weekday(reader, section)?),
        "month" => {
            let wanted = "a day of the month from 1 to 31";
            let day = section.get("starts").map(|_| reader.integer(section, "starts", wanted, 1, 31));
            Period::Month(day.map_or(Some(1), |day| day.and_then(|day| i8::try_from(day).ok()))?)
        }
        "total" => Period::Total,
        _ => {
            let Some(days) = days() else {
                let near = nearest(per, &["hour", "day", "week", "month", "total"]);
                let help = match per.ends_with('d') {
                    true => Some(format!("at most {MAX_DAYS}d, and at least 1d")),
                    false => near.map(|near| format!("did you mean `{near}`?")),
                };
                reader.not(&found.at, WANTED, &found.shown, help);
                return None;
            };
            Period::Rolling(days)
        }
    })
}

/// The key `starts` of a budget per week.
fn weekday(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Weekday> {
    let Some((at, node)) = section.get("starts") else { return Some(Weekday::Monday) };
    if node.describe() == "a number" {
        reader.not(&at, "a day of the week", "a number", Some("such as starts: monday".to_owned()));
        return None;
    }
    reader.one_of(section, "starts", &WEEKDAYS, true)
}

/// The key `time_zone`; without one, UTC.
fn zone(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<TimeZone> {
    let Some(found) = reader.text(section, "time_zone").ok()? else { return Some(TimeZone::UTC) };
    if let Ok(zone) = TimeZone::get(&found.text) {
        return Some(zone);
    }
    let known: Vec<String> = db().available().map(|name| name.to_string()).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let help = match nearest(&found.text, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "such as Europe/Berlin, America/New_York or UTC".to_owned(),
    };
    reader.not(&found.at, "the name of a time zone", &found.shown, Some(help));
    None
}

/// The key `at`; without it, midnight.
fn time_of_day(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Time> {
    let Some((at, node)) = section.get("at") else { return Some(Time::midnight()) };
    let help = || Some("such as at: \"06:30\"".to_owned());
    if node.describe() != "a text" {
        reader.not(&at, "a time of day", node.describe(), help());
        return None;
    }
    let found = reader.text_at(node, at, false).ok()?;
    let two = |text: &str, max: i8| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i8>().ok().filter(|number| digits && *number <= max)
    };
    let parsed = found.text.split_once(':').and_then(|(hour, minute)| Some((two(hour, 23)?, two(minute, 59)?)));
    if parsed.is_none() {
        reader.not(&found.at, "a time of day", &found.shown, help());
    }
    parsed.map(|(hour, minute)| time(hour, minute, 0, 0))
}
