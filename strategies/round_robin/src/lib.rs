//! Takes the providers in turn: an exact rotation over the candidates of each request, counted by the host.

use pointsman_guest::{Candidates, Decision, NoConfig, Request, Setup, Strategy};

/// The strategy `round_robin`. Remembers nothing: whose turn it is follows from the request's number.
#[derive(Debug)]
pub struct RoundRobin;

impl Strategy for RoundRobin {
    type Config = NoConfig;

    const STATELESS: bool = true;

    fn new(_: &Setup, _: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }

    fn route(&mut self, request: &Request, candidates: &Candidates<'_>) -> Decision {
        candidates.rotate(request.seq).into()
    }
}

pointsman_guest::export!(RoundRobin);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_guest::testing::{Harness, play_fixtures};

    #[test]
    fn it_does_what_its_fixtures_say() {
        play_fixtures::<RoundRobin>("fixtures");
    }

    #[test]
    fn each_candidate_comes_first_once_per_turn() {
        let mut strategy = Harness::<RoundRobin>::new(["a", "b", "c"]);
        assert_eq!(strategy.route(), ["a", "b", "c"]);
        assert_eq!(strategy.route(), ["b", "c", "a"]);
        assert_eq!(strategy.route(), ["c", "a", "b"]);
        assert_eq!(strategy.route()[0], "a");
    }

    #[test]
    fn only_the_candidates_take_part() {
        let mut strategy = Harness::<RoundRobin>::new(["a", "b", "c", "d"]);
        strategy.offer(["b", "d"]);
        assert_eq!(strategy.route(), ["b", "d"]);
        assert_eq!(strategy.route(), ["d", "b"]);
        strategy.offer(["c"]);
        assert_eq!(strategy.route(), ["c"]);
    }

    #[test]
    fn the_others_share_what_a_failing_provider_leaves() {
        let mut strategy = Harness::<RoundRobin>::new(["a", "b", "c"]);
        let orders: Vec<_> = (0..600).map(|_| strategy.route()).collect();
        let second = |name| orders.iter().filter(|order| order[0] == "a" && order[1] == name).count();
        assert_eq!([second("b"), second("c")], [100, 100]);
    }
}
