//! When a rule holds: conditions on a request, of which all must hold.

use std::ops::RangeInclusive;

use pointsman_guest::{Request, Setup, Tier};

use crate::clock::{Days, Hours, Moment};
use crate::document::Value;
use crate::pattern::{Pattern, any};
use crate::reader::{At, Reader};

/// The keys that can stand under `when`.
const KEYS: [&str; 9] =
    ["model", "client", "attributes", "prompt_tokens", "max_tokens", "streaming", "hours", "days", "tier"];

const TIERS: [&str; 3] = ["primary", "fallback", "last_resort"];

/// Conditions; one that is not there always holds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct When {
    model: Option<Vec<Pattern>>,
    client: Option<Vec<Pattern>>,
    /// By name.
    attributes: Vec<(String, Vec<Pattern>)>,
    prompt_tokens: Option<RangeInclusive<u32>>,
    max_tokens: Option<RangeInclusive<u32>>,
    streaming: Option<bool>,
    hours: Option<Vec<Hours>>,
    days: Option<Days>,
    /// In the order of [`TIERS`].
    tier: Option<[bool; 3]>,
}

impl When {
    pub fn read(reader: &mut Reader, at: &At<'_>, setup: &Setup) -> Self {
        let Some(section) = reader.section(at, &KEYS) else { return Self::default() };
        let mut names = |key| section.get(key).map(|at| Pattern::several(reader, &at));
        let (model, client) = (names("model"), names("client"));
        let mut range = |key| section.get(key).and_then(|at| range(reader, &at));
        let (prompt_tokens, max_tokens) = (range("prompt_tokens"), range("max_tokens"));
        Self {
            model,
            client,
            attributes: section.get("attributes").map(|at| attributes(reader, &at, setup)).unwrap_or_default(),
            prompt_tokens,
            max_tokens,
            streaming: section.get("streaming").and_then(|at| reader.flag(&at)),
            hours: section.get("hours").map(|at| {
                let items = reader.several(&at);
                items.iter().filter_map(|item| Hours::read(reader, item)).collect()
            }),
            days: section.get("days").and_then(|at| Days::read(reader, &at)),
            tier: section.get("tier").map(|at| tiers(reader, &at)),
        }
    }

    /// True when it holds for every request.
    pub fn is_always(&self) -> bool {
        *self == Self::default()
    }

    /// True when all conditions hold. A value that a request does not have fits no condition.
    pub fn holds(&self, request: &Request, moment: Moment) -> bool {
        let fits = |patterns: &Option<Vec<Pattern>>, name: &str| patterns.as_ref().is_none_or(|all| any(all, name));
        let within = |range: &Option<RangeInclusive<u32>>, number: u32| {
            range.as_ref().is_none_or(|range| number > 0 && range.contains(&number))
        };
        self.streaming.is_none_or(|streaming| streaming == request.streaming)
            && within(&self.prompt_tokens, request.prompt_tokens)
            && within(&self.max_tokens, request.max_tokens)
            && self.days.is_none_or(|days| days.has(moment))
            && self.hours.as_ref().is_none_or(|hours| hours.iter().any(|hours| hours.has(moment)))
            && self.tier.is_none_or(|tiers| tiers[place(request.tier)])
            && fits(&self.model, &request.model)
            && fits(&self.client, &request.client)
            && self
                .attributes
                .iter()
                .all(|(name, patterns)| request.attribute(name).is_some_and(|value| any(patterns, value)))
    }
}

fn attributes(reader: &mut Reader, at: &At<'_>, setup: &Setup) -> Vec<(String, Vec<Pattern>)> {
    let mut attributes = Vec::new();
    for (name, at) in reader.entries(at) {
        if let Err(missing) = setup.wants_attribute(name) {
            reader.problem(&at.path, missing);
        }
        attributes.push((name.to_owned(), Pattern::several(reader, &at)));
    }
    attributes
}

/// `{above: 100, below: 200}`, either of them, or `"101-199"`.
fn range(reader: &mut Reader, at: &At<'_>) -> Option<RangeInclusive<u32>> {
    const WANTED: &str = "`{above: N}`, `{below: N}`, both, or a range such as \"1000-8000\"";
    let (first, last) = match at.value {
        Value::Map(_) => {
            let section = reader.section(at, &["above", "below"])?;
            let bounds = ["above", "below"].map(|key| section.get(key).map(|at| reader.whole(&at)));
            let [above, below] = match bounds {
                [None, None] => return reader.not(at, WANTED),
                // What is no number has been told.
                [Some(None), _] | [_, Some(None)] => return None,
                bounds => bounds.map(Option::flatten),
            };
            // As 64 bits, so that nothing is above the largest and nothing below 0.
            (above.map_or(0, |above| u64::from(above) + 1), below.map_or(u64::from(u32::MAX) + 1, u64::from))
        }
        Value::Text(text) => {
            let number = |text: &str| text.trim().parse::<u32>().ok().map(u64::from);
            let bounds = text.split_once('-').and_then(|(first, last)| Some((number(first)?, number(last)? + 1)));
            match bounds {
                Some(bounds) => bounds,
                None => return reader.not(at, WANTED),
            }
        }
        _ => return reader.not(at, WANTED),
    };
    match (u32::try_from(first), last.checked_sub(1).and_then(|last| u32::try_from(last).ok())) {
        (Ok(first), Some(last)) if first <= last && last > 0 => Some(first..=last),
        _ => {
            reader.problem(&at.path, "holds for no number");
            None
        }
    }
}

fn tiers(reader: &mut Reader, at: &At<'_>) -> [bool; 3] {
    let mut tiers = [false; 3];
    for item in reader.several(at) {
        if let Some(name) = reader.word(&item, &TIERS) {
            TIERS.iter().zip(&mut tiers).filter(|(known, _)| **known == name).for_each(|(_, tier)| *tier = true);
        }
    }
    tiers
}

/// The place of a tier among [`TIERS`].
fn place(tier: Tier) -> usize {
    match tier {
        Tier::Primary => 0,
        Tier::Fallback => 1,
        Tier::LastResort => 2,
    }
}
