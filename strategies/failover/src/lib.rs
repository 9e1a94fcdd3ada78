//! Takes the first provider of the configuration, and the next one when it fails or is unhealthy.

use pointsman_guest::{Candidates, Decision, NoConfig, Request, Setup, Strategy};

/// The strategy `failover`. That unhealthy providers are left out is the host's work.
#[derive(Debug)]
pub struct Failover;

impl Strategy for Failover {
    type Config = NoConfig;

    const STATELESS: bool = true;

    fn new(_: &Setup, _: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn route(&mut self, _: &Request, candidates: &Candidates<'_>) -> Decision {
        candidates.in_order().into()
    }
}

pointsman_guest::export!(Failover);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_guest::testing::{Harness, play_fixtures};

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<Failover>("fixtures");
    }

    #[test]
    fn the_first_candidate_of_the_configuration_always_comes_first() {
        let mut strategy = Harness::<Failover>::new([("a", 0.1), ("b", 5.0), ("c", 1.0)]);
        strategy.candidate("a").in_flight = 100;
        for _ in 0..10 {
            assert_eq!(strategy.route(), ["a", "b", "c"]);
        }
        strategy.offer(["c", "b"]);
        assert_eq!(strategy.route(), ["b", "c"]);
    }
}
