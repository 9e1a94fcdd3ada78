//! In which order those are tried that a rule leaves: `then` and `otherwise`.

use pointsman_guest::{Candidate, Candidates, Order, Request, Setup, Target};

use crate::reader::{At, Reader};
use crate::targets::Chosen;

const NAMES: [&str; 5] = ["weighted", "round_robin", "least_busy", "cheapest", "failover"];

/// As the built-in strategies of these names do it.
#[derive(Clone, Debug)]
pub(crate) enum Ranking {
    Weighted,
    /// Each as often as any other. By the even draw of `weighted`: turns that `seq` counts would be out of step where
    /// requests of several rules alternate.
    RoundRobin,
    LeastBusy {
        /// The number of requests that a target without a limit and with a weight of 1 counts for.
        usual: f64,
    },
    Cheapest {
        /// The rank of each target by price, from 0.
        ranks: Vec<usize>,
    },
    Failover {
        /// The place of each target in the rule; those that it does not name come last.
        places: Vec<usize>,
    },
}

impl Ranking {
    pub fn read(reader: &mut Reader, at: &At<'_>, setup: &Setup) -> Option<Self> {
        let targets = setup.targets();
        Some(match reader.word(at, &NAMES)? {
            "weighted" => Self::Weighted,
            "round_robin" => Self::RoundRobin,
            "least_busy" => Self::LeastBusy { usual: usual(targets) },
            "cheapest" if targets.iter().all(|target| target.price.is_none()) => {
                reader.problem(
                    &at.path,
                    "no target has a price; say what a million tokens cost under `providers[].price`",
                );
                return None;
            }
            "cheapest" => Self::Cheapest { ranks: ranks(targets) },
            _ => Self::Failover { places: Vec::new() },
        })
    }

    /// The same for a rule, which may name targets in an order of its own.
    pub fn within(self, lists: &[&Option<Chosen>], setup: &Setup) -> Self {
        let Self::Failover { .. } = self else { return self };
        let place = |index| lists.iter().filter_map(|list| list.as_ref()?.place(index)).next().unwrap_or(usize::MAX);
        Self::Failover { places: (0..).zip(setup.targets()).map(|(index, _)| place(index)).collect() }
    }

    pub fn order<'a>(&self, request: &Request, candidates: &Candidates<'a>) -> Order<'a> {
        let listed = |places: &[usize], candidate: Candidate<'a>| {
            places.get(candidate.index() as usize).copied().unwrap_or(usize::MAX)
        };
        match self {
            Self::Weighted => candidates.weighted(request.seq),
            Self::RoundRobin => candidates.weighted_by(request.seq, |_| 1.0),
            Self::LeastBusy { usual } => {
                candidates.best_of_two(request.entropy, |candidate| (candidate.is_full(), load(candidate, *usual)))
            }
            Self::Cheapest { ranks } => candidates
                .weighted(request.seq)
                .sort_by_key(|candidate| (candidate.is_full(), listed(ranks, candidate))),
            Self::Failover { places } => candidates.sort_by_key(|candidate| listed(places, candidate)),
        }
    }
}

/// The usual limit per weight, among targets that have one.
fn usual(targets: &[Target]) -> f64 {
    let limited = targets.iter().filter(|target| target.max_concurrent > 0);
    let (slots, weights) = limited.fold((0.0, 0.0), |(slots, weights), target| {
        (slots + f64::from(target.max_concurrent), weights + target.weight)
    });
    if weights > 0.0 { slots / weights } else { 1.0 }
}

/// The share of its capacity that it would use with one request more, in millionths.
fn load(candidate: Candidate<'_>, usual: f64) -> u64 {
    let capacity = candidate.max_concurrent().map_or(candidate.weight() * usual, f64::from);
    ((f64::from(candidate.in_flight()) + 1.0) / capacity * 1e6) as u64
}

/// By price, with a quarter of all tokens in the answer; those without a price last.
fn ranks(targets: &[Target]) -> Vec<usize> {
    let cost = |target: &Target| target.price.map_or(f64::INFINITY, |price| price.input * 0.75 + price.output * 0.25);
    let costs: Vec<f64> = targets.iter().map(cost).collect();
    costs.iter().map(|cost| costs.iter().filter(|other| *other < cost).count()).collect()
}
