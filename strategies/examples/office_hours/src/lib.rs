//! Uses expensive targets in office hours, as long as the budget of the day lasts, and cheap ones otherwise.
//!
//! An example of time, of labels, and of learning from outcomes. What was spent is what the host reports of answers that
//! tell their tokens, of this process, since its start: a brake and no account. A budget that holds is the host's,
//! `providers[].budget`.

use pointsman_guest::{Candidate, Candidates, Decision, Outcome, Request, Setup, Strategy};
use serde::Deserialize;

/// The configuration under `strategies.office_hours.config`. Times are UTC.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The hour at which the office opens, 0 to 23.
    pub from: u8,
    /// The hour at which it closes, above `from`, up to 24.
    pub until: u8,
    /// The most that the expensive targets may cost in a day, in the unit of `price`.
    pub budget: f64,
}

/// The strategy `office_hours`.
#[derive(Debug)]
pub struct OfficeHours {
    config: Config,
    /// For each target whether it is expensive: its label `cost` says `high`.
    expensive: Vec<bool>,
    /// The cost of the expensive targets on `day`, a day since 1970.
    spent: f64,
    day: u64,
}

const OPEN: &str = "office hours: the expensive ones first";
const CLOSED: &str = "no office hours: the expensive ones last";
const SPENT: &str = "the budget of the day is spent: the cheap ones alone";

const HOUR_MS: u64 = 3_600_000;

impl Strategy for OfficeHours {
    type Config = Config;

    const REASONS: &'static [&'static str] = &[OPEN, CLOSED, SPENT];
    const OBSERVES: bool = true;

    fn new(setup: &Setup, config: Config) -> Result<Self, String> {
        let Config { from, until, budget } = config;
        if from >= until || until > 24 {
            return Err(format!(
                "config: an office that is open from {from} until {until} is none; write hours of one day"
            ));
        }
        if !(budget.is_finite() && budget > 0.0) {
            return Err(format!("config.budget: must be above 0, not {budget}"));
        }
        let is_expensive = |target: &pointsman_guest::Target| {
            target.labels.iter().any(|(key, value)| key == "cost" && value == "high")
        };
        let expensive: Vec<_> = setup.targets().iter().map(is_expensive).collect();
        match setup.targets().iter().zip(&expensive).find(|(target, expensive)| **expensive && target.price.is_none()) {
            Some((target, _)) => Err(format!("target {} has no price, so what it costs is not known", target.name)),
            None if !expensive.contains(&true) => Err("no target has the label `cost: high`".to_owned()),
            None => Ok(Self { config, expensive, spent: 0.0, day: 0 }),
        }
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        let (day, hour) = (request.now_ms / (24 * HOUR_MS), request.now_ms / HOUR_MS % 24);
        if day != self.day {
            (self.day, self.spent) = (day, 0.0);
        }
        let is_expensive = |candidate: Candidate<'_>| self.expensive[candidate.index() as usize];
        if self.spent >= self.config.budget {
            return candidates.filter(|c| !is_expensive(c)).weighted(request.seq).because(SPENT);
        }
        let open = (u64::from(self.config.from)..u64::from(self.config.until)).contains(&hour);
        let (first, last) = candidates.split(|c| is_expensive(c) == open);
        first.weighted(request.seq).then(last.weighted(request.seq)).because(if open { OPEN } else { CLOSED })
    }

    fn observe(&mut self, outcomes: &[Outcome]) {
        let of_expensive_ones = outcomes.iter().filter(|outcome| self.expensive[outcome.target as usize]);
        self.spent += of_expensive_ones.map(|outcome| outcome.cost).sum::<f64>();
    }
}

pointsman_guest::export!(OfficeHours);

#[cfg(test)]
mod tests;
