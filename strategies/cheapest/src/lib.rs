//! Takes the cheapest provider that has a slot free, and the next one when all its slots are taken.
//!
//! Prices are those under `providers[].price`; how much the answer weighs against the request is `output_share`. Equal
//! prices take turns by weight, and a provider without a price comes after all that have one.

use pointsman_guest::{Candidates, Decision, Request, Setup, Strategy};
use serde::Deserialize;

/// The configuration under `strategies.cheapest.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The share of the answer in all tokens, 0 to 1.
    pub output_share: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { output_share: 0.25 }
    }
}

/// The strategy `cheapest`.
#[derive(Debug)]
pub struct Cheapest {
    /// The rank of each provider by price, from 0; equal prices have the same rank.
    ranks: Vec<usize>,
}

const CHEAPEST: &str = "the cheapest";
const NEXT: &str = "the cheapest with a slot free";
const ALL_FULL: &str = "the cheapest, as none has a slot free";

impl Strategy for Cheapest {
    type Config = Config;

    const REASONS: &'static [&'static str] = &[CHEAPEST, NEXT, ALL_FULL];
    const STATELESS: bool = true;

    fn new(setup: &Setup, Config { output_share }: Config) -> Result<Self, String> {
        if !(0.0..=1.0).contains(&output_share) {
            return Err(format!("config.output_share: must be from 0 to 1, not {output_share}"));
        }
        let costs: Vec<f64> = setup
            .targets()
            .iter()
            .map(|provider| {
                let of = |price: pointsman_guest::Price| price.input + output_share * (price.output - price.input);
                provider.price.map_or(f64::INFINITY, of)
            })
            .collect();
        if costs.iter().all(|cost| cost.is_infinite()) {
            return Err("no provider has a price; say what a million tokens cost under `providers[].price`".to_owned());
        }
        let rank = |cost: &f64| costs.iter().filter(|other| *other < cost).count();
        Ok(Self { ranks: costs.iter().map(rank).collect() })
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        let rank = |index: u32| self.ranks.get(index as usize).copied().unwrap_or(usize::MAX);
        let order = candidates.weighted(request.seq).sort_by_key(|c| (c.is_full(), rank(c.index())));
        let cheapest = candidates.iter().map(|c| rank(c.index())).min();
        let reason = match order.iter().next() {
            Some(first) if first.is_full() => ALL_FULL,
            Some(first) if Some(rank(first.index())) == cheapest => CHEAPEST,
            _ => NEXT,
        };
        order.because(reason)
    }
}

pointsman_guest::export!(Cheapest);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_guest::testing::{Harness, TargetFixture, fixture, play_fixtures};

    fn providers() -> [TargetFixture; 4] {
        [
            fixture("unknown"),
            fixture("dear").price(3.0, 15.0),
            fixture("cheap").price(0.1, 0.4).max_concurrent(2),
            fixture("middling").price(0.5, 1.5),
        ]
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<Cheapest>("fixtures");
    }

    #[test]
    fn the_cheapest_goes_first_and_one_without_a_price_last() {
        let mut strategy = Harness::<Cheapest>::new(providers());
        assert_eq!(strategy.route(), ["cheap", "middling", "dear", "unknown"]);
        assert_eq!(strategy.reason(), Some(CHEAPEST));
    }

    #[test]
    fn a_full_one_spills_over_to_the_next() {
        let mut strategy = Harness::<Cheapest>::new(providers());
        strategy.candidate("cheap").in_flight = 2;
        assert_eq!(strategy.route(), ["middling", "dear", "unknown", "cheap"]);
        assert_eq!(strategy.reason(), Some(NEXT));
        strategy.offer(["cheap"]);
        assert_eq!(strategy.route(), ["cheap"]);
        assert_eq!(strategy.reason(), Some(ALL_FULL));
    }

    #[test]
    fn equal_prices_share_by_weight() {
        let price = |name| fixture(name).price(1.0, 1.0);
        let mut strategy = Harness::<Cheapest>::new([price("a").weight(3.0), price("b"), fixture("c").price(2.0, 2.0)]);
        strategy.assert_share("a", 0.75, 0.01, 1_000);
        strategy.assert_share("c", 0.0, 0.0, 1_000);
    }

    #[test]
    fn how_much_the_answer_weighs_is_configured() {
        let providers = || [fixture("long").price(1.0, 2.0), fixture("short").price(0.1, 4.0)];
        let first = |config| Harness::<Cheapest>::with_config(providers(), config).route().swap_remove(0);
        assert_eq!(first(r#"{"output_share": 0.9}"#), "long");
        assert_eq!(first(r#"{"output_share": 0.1}"#), "short");
    }

    #[test]
    fn says_what_is_missing() {
        let error = Harness::<Cheapest>::start(["a"], "{}").expect_err("no price");
        assert_eq!(error, "no provider has a price; say what a million tokens cost under `providers[].price`");
        let error = Harness::<Cheapest>::start(providers(), r#"{"output_share": 25}"#).expect_err("a percentage");
        assert_eq!(error, "config.output_share: must be from 0 to 1, not 25");
    }
}
