//! Gives each provider its weight's share of the requests, evenly spread: after any number of requests the counts are
//! within a few of the exact proportion.

use pointsman_guest::{Candidates, Decision, NoConfig, Request, Setup, Strategy};

/// The strategy `weighted`. The weights are those of the providers in the configuration.
#[derive(Debug)]
pub struct Weighted;

impl Strategy for Weighted {
    type Config = NoConfig;

    const STATELESS: bool = true;

    fn new(_: &Setup, _: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        candidates.weighted(request.seq).into()
    }
}

pointsman_guest::export!(Weighted);

#[cfg(test)]
mod tests;
