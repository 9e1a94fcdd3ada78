//! Takes the less busy of two providers drawn by chance: the power of two choices (Mitzenmacher 2001).
//!
//! A provider is as busy as it has requests in flight in relation to `max_concurrent`, or without that to its `weight`.

use pointsman_guest::{Candidate, Candidates, Decision, NoConfig, Request, Setup, Strategy};

/// The strategy `least_busy`.
#[derive(Debug)]
pub struct LeastBusy {
    /// The `max_concurrent` of a provider without one and with a weight of 1; what is usual among those that have one.
    usual: f64,
}

const DRAWN: &str = "the less busy of two";

impl Strategy for LeastBusy {
    type Config = NoConfig;

    const REASONS: &'static [&'static str] = &[DRAWN];
    const STATELESS: bool = true;

    fn new(setup: &Setup, _: NoConfig) -> Result<Self, String> {
        let limits = setup.targets().iter().filter(|provider| provider.max_concurrent > 0);
        let (slots, weights) = limits.fold((0.0, 0.0), |(slots, weights), provider| {
            (slots + f64::from(provider.max_concurrent), weights + provider.weight)
        });
        Ok(Self { usual: if weights > 0.0 { slots / weights } else { 1.0 } })
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        candidates.best_of_two(request.entropy, |c| (c.is_full(), self.load(c))).because(DRAWN)
    }
}

impl LeastBusy {
    /// The share of its capacity that it would use with one request more, in millionths.
    fn load(&self, candidate: Candidate<'_>) -> u64 {
        let capacity = candidate.max_concurrent().map_or(candidate.weight() * self.usual, f64::from);
        ((f64::from(candidate.in_flight()) + 1.0) / capacity * 1e6) as u64
    }
}

pointsman_guest::export!(LeastBusy);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_guest::testing::{Harness, fixture, play_fixtures};

    /// Pairs of halves of `entropy` that draw every pair there is, evenly.
    fn draws() -> impl Iterator<Item = u32> {
        (0..64).flat_map(|one| (0..64).map(move |other| one << 10 | other << 26))
    }

    fn firsts(strategy: &mut Harness<LeastBusy>, name: &str) -> usize {
        let first = |entropy| {
            strategy.request.entropy = entropy;
            strategy.route().swap_remove(0)
        };
        draws().map(first).filter(|first| first == name).count()
    }

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<LeastBusy>("fixtures");
    }

    #[test]
    fn of_two_the_less_busy_one_goes_first() {
        let mut strategy = Harness::<LeastBusy>::new(["a", "b"]);
        strategy.candidate("a").in_flight = 3;
        strategy.candidate("b").in_flight = 2;
        assert_eq!(firsts(&mut strategy, "b"), draws().count());
        assert_eq!(strategy.reason(), Some(DRAWN));
    }

    #[test]
    fn the_busiest_of_many_is_never_the_first() {
        let mut strategy = Harness::<LeastBusy>::new(["a", "b", "c"]);
        strategy.candidate("b").in_flight = 1;
        assert_eq!(firsts(&mut strategy, "b"), 0);
    }

    #[test]
    fn the_idle_ones_share_evenly() {
        let mut strategy = Harness::<LeastBusy>::new(["a", "b", "c", "d"]);
        for name in ["a", "b", "c", "d"] {
            let share = firsts(&mut strategy, name) as f64 / draws().count() as f64;
            assert!((share - 0.25).abs() < 0.02, "{name}: {share}");
        }
    }

    #[test]
    fn what_counts_is_the_share_of_its_slots() {
        let (small, large) = (fixture("small").max_concurrent(2), fixture("large").max_concurrent(20));
        let mut strategy = Harness::<LeastBusy>::new([small, large]);
        strategy.candidate("small").in_flight = 1;
        strategy.candidate("large").in_flight = 8;
        assert_eq!(strategy.route(), ["large", "small"]);
    }

    #[test]
    fn without_slots_the_weight_is_the_capacity() {
        let mut strategy = Harness::<LeastBusy>::new([("a", 1.0), ("b", 4.0)]);
        strategy.candidate("a").in_flight = 1;
        strategy.candidate("b").in_flight = 5;
        assert_eq!(strategy.route(), ["b", "a"]);
        strategy.candidate("b").in_flight = 9;
        assert_eq!(strategy.route(), ["a", "b"]);
    }

    #[test]
    fn a_full_one_waits_behind_all_others() {
        let full = fixture("full").max_concurrent(4).weight(100.0);
        let mut strategy = Harness::<LeastBusy>::new([full, fixture("a"), fixture("b")]);
        strategy.candidate("full").in_flight = 4;
        strategy.candidate("a").in_flight = 90;
        strategy.candidate("b").in_flight = 90;
        assert_eq!(firsts(&mut strategy, "full"), 0);
    }
}
