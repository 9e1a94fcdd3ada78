//! Prefers the targets whose label `region` is the one in the config. They take turns, and so do the others after them.

use pointsman_guest::{Candidate, Candidates, Decision, Order, Request, Setup, Strategy};
use serde::Deserialize;

/// The configuration under `strategies.{{name}}.config`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The targets with this value of the label `region` go first.
    pub region: String,
}

/// The strategy. It remembers only its config: whose turn it is follows from the request's number.
#[derive(Debug)]
pub struct RegionFirst {
    region: String,
}

const IN_REGION: &str = "in the region";
const NOBODY: &str = "nobody of the region can be chosen now";

impl Strategy for RegionFirst {
    type Config = Config;

    const REASONS: &'static [&'static str] = &[IN_REGION, NOBODY];
    // Nothing that it is asked changes what it answers later; no longer true once `route` writes to `self`.
    const STATELESS: bool = true;

    fn new(setup: &Setup, Config { region }: Config) -> Result<Self, String> {
        let is_here = |(key, value): &(String, String)| key == "region" && *value == region;
        if !setup.targets().iter().any(|target| target.labels.iter().any(is_here)) {
            return Err(format!("config.region: no target has the label region: {region}"));
        }
        Ok(Self { region })
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        let (mut here, mut others): (Vec<_>, Vec<_>) =
            candidates.iter().partition(|c| c.label("region") == Some(&self.region));
        take_turns(&mut here, request.seq);
        take_turns(&mut others, request.seq);
        let reason = if here.is_empty() { NOBODY } else { IN_REGION };
        here.into_iter().chain(others).collect::<Order>().because(reason)
    }
}

/// Each comes first once in as many requests as there are candidates here.
fn take_turns(candidates: &mut [Candidate<'_>], seq: u32) {
    if let Some(turn) = (seq as usize).checked_rem(candidates.len()) {
        candidates.rotate_left(turn);
    }
}

pointsman_guest::export!(RegionFirst);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_guest::testing::{Harness, TargetFixture, fixture, play_fixtures};

    fn providers() -> [TargetFixture; 4] {
        let (eu, us) = (("region", "eu"), ("region", "us"));
        [
            fixture("a").label(us.0, us.1),
            fixture("b").label(eu.0, eu.1),
            fixture("c").label(eu.0, eu.1),
            fixture("d"),
        ]
    }

    #[test]
    fn it_does_what_the_fixtures_say() {
        play_fixtures::<RegionFirst>("fixtures");
    }

    #[test]
    fn the_region_goes_first_and_takes_turns() {
        let mut strategy = Harness::<RegionFirst>::with_config(providers(), r#"{"region": "eu"}"#);
        assert_eq!(strategy.route(), ["b", "c", "a", "d"]);
        assert_eq!(strategy.reason(), Some(IN_REGION));
        strategy.request.seq = 3;
        assert_eq!(strategy.route(), ["c", "b", "d", "a"]);
    }

    #[test]
    fn without_the_region_the_others_take_turns() {
        let mut strategy = Harness::<RegionFirst>::with_config(providers(), r#"{"region": "eu"}"#);
        strategy.offer(["a", "d"]);
        assert_eq!(strategy.route(), ["a", "d"]);
        assert_eq!(strategy.reason(), Some(NOBODY));
        assert_eq!(strategy.route(), ["d", "a"]);
    }

    #[test]
    fn a_wrong_config_is_explained() {
        let error = |config| Harness::<RegionFirst>::start(providers(), config).expect_err("the config is wrong");
        assert_eq!(error(r#"{"region": "mars"}"#), "config.region: no target has the label region: mars");
        assert!(error("{}").contains("region"), "{}", error("{}"));
        assert!(error("nonsense").starts_with("config"), "{}", error("nonsense"));
    }
}
