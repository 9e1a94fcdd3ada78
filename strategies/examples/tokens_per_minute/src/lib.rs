//! Sends requests where tokens are left: in proportion to `weight` and to what is left of the limits of each provider,
//! both those that its answers tell and those that the operator sets. Who has too little left for a request goes last.
//!
//! An example of what the host tells about limits: `requests-left` and `tokens-left` in thousandths. A provider that has
//! told nothing has all of it left, so it is tried and tells.

use pointsman_guest::{Candidate, Candidates, Decision, NoConfig, Request, Setup, Strategy};

/// The strategy `tokens_per_minute`.
#[derive(Debug)]
pub struct TokensPerMinute {
    /// For each target the tokens that its provider grants in a minute, by its label `tpm`; 0 where it has none.
    granted: Vec<u64>,
}

const ROOM: &str = "in proportion to what is left";
const SCARCE: &str = "nobody has enough left: the one that has most";

/// Less than this is a provider's last reserve, in thousandths: requests under way may have taken it already.
const RESERVE: u32 = 30;
/// The tokens of an answer whose length the client does not limit.
const ANSWER: u32 = 500;

impl TokensPerMinute {
    /// The smaller share of the two that are left, in thousandths.
    fn left(c: Candidate<'_>) -> u32 {
        c.requests_left().min(c.tokens_left())
    }

    /// True when a provider has the tokens for a request left, and more than its reserve.
    fn has_room(&self, c: Candidate<'_>, tokens: u32) -> bool {
        let granted = self.granted[c.index() as usize];
        let left = u64::from(c.tokens_left()) * granted / 1000;
        Self::left(c) > RESERVE && (granted == 0 || left >= u64::from(tokens))
    }
}

impl Strategy for TokensPerMinute {
    type Config = NoConfig;

    const REASONS: &'static [&'static str] = &[ROOM, SCARCE];
    const STATELESS: bool = true;

    fn new(setup: &Setup, _: NoConfig) -> Result<Self, String> {
        let granted = |target: &pointsman_guest::Target| {
            let label = target.labels.iter().find(|(key, _)| key == "tpm").map(|(_, value)| value);
            let Some(label) = label else { return Ok(0) };
            label
                .parse()
                .map_err(|_| format!("target {}: the label `tpm` must be a number, not `{label}`", target.name))
        };
        Ok(Self { granted: setup.targets().iter().map(granted).collect::<Result<_, _>>()? })
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        let tokens = request.tokens(ANSWER);
        let (room, scarce) = candidates.split(|c| self.has_room(c, tokens));
        let reason = if room.is_empty() { SCARCE } else { ROOM };
        let first = room.weighted_by(request.seq, |c| c.weight() * f64::from(Self::left(c)));
        first.then(scarce.sort_by_key(|c| std::cmp::Reverse(Self::left(c)))).because(reason)
    }
}

pointsman_guest::export!(TokensPerMinute);

#[cfg(test)]
mod tests;
