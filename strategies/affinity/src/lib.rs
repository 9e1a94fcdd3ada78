//! Keeps requests that belong together at one provider, whose cache then knows their beginning, as long as it is not
//! much busier than the others: rendezvous hashing with bounded loads.
//!
//! Which requests belong together says `routing.affinity` of the configuration. Of the providers each key has an order of
//! its own (weighted rendezvous hashing, Schindelhauer and Schomaker 2005), in which those go behind that work on more than
//! `balance` times what is theirs by weight (Mirrokni, Thorup and Zadimoghaddam 2016). A request that belongs to no other
//! goes to the least busy.

use pointsman_guest::{Candidate, Candidates, Decision, Request, Setup, Strategy};
use serde::Deserialize;

/// The configuration under `strategies.affinity.config`.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The multiple of its share of the requests in flight that a provider may have before others take over; above 1.
    /// Nearer to 1 is more even, higher keeps more together.
    pub balance: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { balance: 1.25 }
    }
}

/// The strategy `affinity`.
#[derive(Debug)]
pub struct Affinity {
    balance: f64,
}

const HOME: &str = "where requests like this are at home";
const BUSY: &str = "the next one for requests like this, as their own is busy";
const FREE: &str = "belongs to no other: the least busy";

impl Strategy for Affinity {
    type Config = Config;

    const REASONS: &'static [&'static str] = &[HOME, BUSY, FREE];
    const STATELESS: bool = true;

    fn new(_: &Setup, Config { balance }: Config) -> Result<Self, String> {
        if balance > 1.0 && balance <= 1000.0 {
            Ok(Self { balance })
        } else {
            Err(format!("config.balance: must be above 1, and 1000 at most, not {balance}"))
        }
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        if request.affinity == 0 {
            let load = |c: Candidate<'_>| ((f64::from(c.in_flight()) + 1.0) / c.weight() * 1e6) as u64;
            return candidates.rotate(request.seq).sort_by_key(|c| (c.is_full(), load(c))).because(FREE);
        }
        let (in_flight, weight) = candidates.iter().fold((1.0, 0.0), |(in_flight, weight), candidate| {
            (in_flight + f64::from(candidate.in_flight()), weight + candidate.weight())
        });
        let bound = |c: Candidate<'_>| (self.balance * in_flight * c.weight() / weight).ceil();
        let has_room = |c: Candidate<'_>| !c.is_full() && f64::from(c.in_flight()) < bound(c);
        let order = candidates.rendezvous(request.affinity.to_le_bytes());
        let at_home = order.iter().next().is_some_and(has_room);
        order.prefer(has_room).because(if at_home { HOME } else { BUSY })
    }
}

pointsman_guest::export!(Affinity);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use pointsman_guest::testing::{Harness, fixture, play_fixtures};

    fn first(strategy: &mut Harness<Affinity>, key: u64) -> String {
        strategy.request.affinity = key;
        strategy.route().swap_remove(0)
    }

    fn key(number: u64) -> u64 {
        (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<Affinity>("fixtures");
    }

    #[test]
    fn what_belongs_together_stays_together() {
        let mut strategy = Harness::<Affinity>::new(["a", "b", "c"]);
        let homes: Vec<_> = (0..100).map(|number| first(&mut strategy, key(number))).collect();
        let again: Vec<_> = (0..100).map(|number| first(&mut strategy, key(number))).collect();
        assert_eq!(homes, again);
        assert_eq!(strategy.reason(), Some(HOME));
        let mut counts = HashMap::new();
        homes.iter().for_each(|home| *counts.entry(home).or_insert(0) += 1);
        assert!(counts.len() == 3 && counts.values().all(|count| *count > 15), "{counts:?}");
    }

    #[test]
    fn only_the_keys_of_the_one_that_left_move() {
        let mut strategy = Harness::<Affinity>::new(["a", "b", "c"]);
        let before: Vec<_> = (0..100).map(|number| first(&mut strategy, key(number))).collect();
        strategy.offer(["a", "c"]);
        for (number, home) in (0..).zip(before) {
            let now = first(&mut strategy, key(number));
            assert!(home == "b" || now == home, "{number}: {home} then {now}");
        }
    }

    #[test]
    fn one_that_is_too_busy_gives_to_the_next_of_that_key() {
        let mut strategy = Harness::<Affinity>::new(["a", "b", "c"]);
        strategy.request.affinity = key(0);
        let order = strategy.route();
        strategy.candidate(&order[0]).in_flight = 10;
        let now = strategy.route();
        assert_eq!(now, [&order[1], &order[2], &order[0]].map(String::as_str));
        assert_eq!(strategy.reason(), Some(BUSY));
        for name in &order[1..] {
            strategy.candidate(name).in_flight = 10;
        }
        assert_eq!(strategy.route(), order, "all are as busy");
    }

    #[test]
    fn one_without_a_free_slot_gives_to_the_next() {
        let limited = |name| fixture(name).max_concurrent(1);
        let mut strategy = Harness::<Affinity>::new([limited("a"), limited("b")]);
        strategy.request.affinity = key(3);
        let order = strategy.route();
        strategy.candidate(&order[0]).in_flight = 1;
        assert_eq!(strategy.route()[0], order[1]);
    }

    #[test]
    fn what_belongs_to_no_other_goes_to_the_least_busy_in_turn() {
        let mut strategy = Harness::<Affinity>::new([("a", 1.0), ("b", 1.0), ("c", 2.0)]);
        strategy.candidate("a").in_flight = 5;
        strategy.candidate("c").in_flight = 3;
        assert_eq!(strategy.route(), ["b", "c", "a"]);
        assert_eq!(strategy.reason(), Some(FREE));
    }

    #[test]
    fn a_balance_that_makes_no_sense_is_refused() {
        for balance in ["1", "0", "-2", "1e9"] {
            let config = format!(r#"{{"balance": {balance}}}"#);
            let error = Harness::<Affinity>::start(["a"], &config).expect_err("makes no sense");
            assert!(error.starts_with("config.balance: must be above 1"), "{error}");
        }
    }
}
