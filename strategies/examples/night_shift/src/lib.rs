//! Prefers one provider during its shift, say a GPU server whose owners sleep, and keeps it for last otherwise. All
//! other providers take turns. Times are UTC.
//!
//! An example of a strategy of one's own: a typed config that is checked at the start, time as data, and reasons.

mod time_of_day;

use pointsman_guest::{Candidates, Decision, Request, Setup, Strategy, TargetIndex};
use serde::Deserialize;

use time_of_day::TimeOfDay;

/// The configuration under `strategies.night_shift.config`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the provider that works in shifts.
    pub provider: String,
    /// When its shift begins.
    pub from: TimeOfDay,
    /// When it ends; before `from` if it lasts over midnight.
    pub until: TimeOfDay,
}

/// The strategy `night_shift`.
#[derive(Debug)]
pub struct NightShift {
    provider: TargetIndex,
    from: TimeOfDay,
    until: TimeOfDay,
}

const ON_SHIFT: &str = "its shift: the provider goes first";
const OFF_SHIFT: &str = "not its shift: the provider is kept for last";
const ABSENT: &str = "the provider cannot be chosen now";

impl Strategy for NightShift {
    type Config = Config;

    const REASONS: &'static [&'static str] = &[ON_SHIFT, OFF_SHIFT, ABSENT];
    const STATELESS: bool = true;

    fn new(setup: &Setup, Config { provider, from, until }: Config) -> Result<Self, String> {
        if from == until {
            return Err(format!("config: a shift from {from} until {until} has no length"));
        }
        let provider = setup.index_of(&provider).map_err(|error| format!("config.provider: {error}"))?;
        Ok(Self { provider, from, until })
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        let on_shift = TimeOfDay::at(request.now_ms).is_within(self.from, self.until);
        let reason = match candidates.find(self.provider) {
            None => ABSENT,
            Some(_) if on_shift => ON_SHIFT,
            Some(_) => OFF_SHIFT,
        };
        candidates.rotate(request.seq).prefer(|c| (c.index() == self.provider) == on_shift).because(reason)
    }
}

pointsman_guest::export!(NightShift);

#[cfg(test)]
mod tests;
