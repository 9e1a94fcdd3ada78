//! Uses up the budget of each provider evenly over its day. Of those that are on pace the one goes first whose answers
//! have cost least so far; those that are ahead of their pace go behind, and those with nothing left last.
//!
//! An example of what the host tells about limits, and of learning what answers cost. The host keeps the account:
//! `providers[].budget` holds whatever happens here, over restarts and replicas. The strategy only decides who spends when,
//! so that nobody's budget is gone by noon.

use pointsman_guest::{Candidate, Candidates, Decision, Outcome, OutcomeKind, Request, Setup, Strategy};
use serde::Deserialize;

/// The configuration under `strategies.budgets.config`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The hour at which the day of the budgets begins, 0 to 23 in UTC.
    pub begins: u8,
}

/// The strategy `budgets`.
#[derive(Debug)]
pub struct Budgets {
    begins: u64,
    /// For each target the average cost of its answers; 0 until one has told it.
    costs: Vec<f64>,
}

const CHEAPEST: &str = "on pace: the one that costs least";
const AHEAD: &str = "all are ahead of their pace: the one that has most left";

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// A new cost counts so much.
const NEW: f64 = 0.1;
/// How far a budget may be ahead of the day, in thousandths: one large answer is no reason to turn away.
const LEEWAY: u32 = 20;

impl Strategy for Budgets {
    type Config = Config;

    const REASONS: &'static [&'static str] = &[CHEAPEST, AHEAD];
    const OBSERVES: bool = true;

    fn new(setup: &Setup, Config { begins }: Config) -> Result<Self, String> {
        if begins > 23 {
            return Err(format!("config.begins: must be an hour from 0 to 23, not {begins}"));
        }
        Ok(Self { begins: begins.into(), costs: vec![0.0; setup.targets().len()] })
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        // What is left of the day, in thousandths: a budget on pace has as much left.
        let passed = (request.now_ms + DAY_MS - self.begins * HOUR_MS) % DAY_MS;
        let left = 1000 - u32::try_from(passed * 1000 / DAY_MS).unwrap_or(1000);
        let on_pace = |c: Candidate<'_>| c.tokens_left() > 0 && c.tokens_left() + LEEWAY >= left;
        let (first, behind) = candidates.split(on_pace);
        let reason = if first.is_empty() { AHEAD } else { CHEAPEST };
        // Nanounits, as costs that differ must not be equal; those not known go first, to become known.
        let cost = |c: Candidate<'_>| (self.costs[c.index() as usize] * 1e9) as u64;
        let first = first.rotate(request.seq).sort_by_key(cost);
        first.then(behind.sort_by_key(|c| std::cmp::Reverse(c.tokens_left()))).because(reason)
    }

    fn observe(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes.iter().filter(|one| one.kind == OutcomeKind::Succeeded && one.cost > 0.0) {
            let cost = &mut self.costs[outcome.target as usize];
            *cost = if *cost > 0.0 { *cost + NEW * (outcome.cost - *cost) } else { outcome.cost };
        }
    }
}

pointsman_guest::export!(Budgets);

#[cfg(test)]
mod tests;
