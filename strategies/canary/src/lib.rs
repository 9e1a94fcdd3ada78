//! Gives one provider, the canary, a percentage of the requests, and the others the rest by weight.
//!
//! Requests that belong together (`routing.affinity`) meet the canary always or never, and more of them as the
//! percentage rises: those that meet the canary at 5 percent still do at 20. A request that belongs to no other is
//! drawn by chance. When the canary fails or is ejected, its requests go to the others like any failover.

use pointsman_guest::{Candidates, Decision, Request, Setup, Strategy, TargetIndex};
use serde::Deserialize;

/// The configuration under `strategies.canary.config`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the canary.
    pub provider: String,
    /// Its percentage of the requests, 0 to 100.
    pub percent: f64,
}

/// The strategy `canary`.
#[derive(Debug)]
pub struct Canary {
    provider: TargetIndex,
    /// Requests whose lot is below this meet the canary.
    share: f64,
}

const CANARY: &str = "one for the canary";
const OTHERS: &str = "one for the others";
const ABSENT: &str = "the canary cannot be chosen now";

impl Strategy for Canary {
    type Config = Config;

    const REASONS: &'static [&'static str] = &[CANARY, OTHERS, ABSENT];
    const STATELESS: bool = true;

    fn new(setup: &Setup, Config { provider, percent }: Config) -> Result<Self, String> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("config.percent: must be from 0 to 100, not {percent}"));
        }
        let provider = setup.index_of(&provider).map_err(|error| format!("config.provider: {error}"))?;
        Ok(Self { provider, share: percent / 100.0 })
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        let chosen = request.uniform() < self.share;
        let reason = match candidates.find(self.provider) {
            None => ABSENT,
            Some(_) if chosen => CANARY,
            Some(_) => OTHERS,
        };
        candidates.weighted(request.seq).prefer(|c| (c.index() == self.provider) == chosen).because(reason)
    }
}

pointsman_guest::export!(Canary);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_guest::testing::{Harness, play_fixtures};

    const NAMES: [(&str, f64); 3] = [("old", 3.0), ("new", 1.0), ("other", 1.0)];

    fn strategy(percent: f64) -> Harness<Canary> {
        Harness::with_config(NAMES, &format!(r#"{{"provider": "new", "percent": {percent}}}"#))
    }

    /// The first candidates for each of many keys, or for as many random numbers without one.
    fn firsts(percent: f64, with_key: bool) -> Vec<String> {
        let mut strategy = strategy(percent);
        let first = |number: u32| {
            // Not the multiples of the golden ratio, by which `weighted` takes its turns.
            let drawn = u64::from(number).wrapping_mul(0xD134_2543_DE82_EF95);
            strategy.request.entropy = (drawn >> 32) as u32;
            strategy.request.affinity = if with_key { drawn } else { 0 };
            strategy.route().swap_remove(0)
        };
        (1..=10_000).map(first).collect()
    }

    fn share(firsts: &[String], name: &str) -> f64 {
        firsts.iter().filter(|first| *first == name).count() as f64 / firsts.len() as f64
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<Canary>("fixtures");
    }

    #[test]
    fn the_canary_gets_its_percentage_and_the_others_the_rest_by_weight() {
        for with_key in [false, true] {
            for percent in [0.0, 5.0, 50.0, 100.0] {
                let firsts = firsts(percent, with_key);
                let expected = percent / 100.0;
                assert!((share(&firsts, "new") - expected).abs() < 0.01, "{percent}, {with_key}");
                assert!((share(&firsts, "old") - (1.0 - expected) * 0.75).abs() < 0.02, "{percent}, {with_key}");
            }
        }
    }

    #[test]
    fn who_has_met_the_canary_meets_it_again_and_when_there_is_more_of_it() {
        let (few, again, more) = (firsts(5.0, true), firsts(5.0, true), firsts(20.0, true));
        let met = |firsts: &[String]| firsts.iter().map(|first| first == "new").collect::<Vec<_>>();
        assert_eq!(met(&few), met(&again));
        assert!(met(&few).iter().zip(met(&more)).all(|(few, more)| !few || more));
    }

    #[test]
    fn without_the_canary_the_others_go_on() {
        let mut strategy = strategy(100.0);
        assert_eq!(strategy.route()[0], "new");
        assert_eq!(strategy.reason(), Some(CANARY));
        strategy.offer(["old", "other"]);
        assert_eq!(strategy.route().len(), 2);
        assert_eq!(strategy.reason(), Some(ABSENT));
    }

    #[test]
    fn says_what_is_wrong_with_its_config() {
        let error = |config| Harness::<Canary>::start(NAMES, config).expect_err("wrong");
        assert_eq!(error(r#"{"provider": "new", "percent": 101}"#), "config.percent: must be from 0 to 100, not 101");
        assert!(
            error(r#"{"provider": "gone", "percent": 1}"#).starts_with("config.provider: no target is named `gone`")
        );
        assert!(error("{}").contains("provider"));
    }
}
