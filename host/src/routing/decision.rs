//! What a strategy answered, made legal: always a permutation of the candidates it was offered.

use super::Candidate;

/// The order in which the candidates of one tier are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Indices of targets, first choice first: each candidate exactly once, but for those in `excluded`.
    pub order: Vec<u32>,
    /// A reason for each entry of `order`, as far as it goes; empty when the strategy gave none.
    pub reasons: Vec<u32>,
    /// Candidates that must not be tried for this request, now or later.
    pub excluded: Vec<u32>,
    /// Where the order comes from.
    pub origin: Origin,
}

/// Where a decision comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The strategy decided; the number is its reason, 0 when unspecified.
    Strategy {
        /// Index into the strategy's reasons.
        reason: u32,
    },
    /// The strategy returned an empty order: it has no opinion.
    Abstained,
    /// The strategy returned an error: it works, but not for this request.
    Refused,
    /// The strategy broke, or is being rebuilt after it broke.
    Faulted,
}

/// A strategy named a target that it was not offered, or one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("index {index} was {}", if *.twice { "named twice" } else { "not offered" })]
pub struct IllegalDecision {
    /// The offending index.
    pub index: u32,
    /// Whether it was legal the first time.
    pub twice: bool,
}

impl Decision {
    /// The order of the configuration: what the host uses whenever the strategy has none to give.
    pub fn default_order(candidates: &[Candidate], origin: Origin) -> Self {
        let order = candidates.iter().map(|candidate| candidate.target).collect();
        Self { order, reasons: Vec::new(), excluded: Vec::new(), origin }
    }

    /// Makes a decision of a strategy's answer: checks it against what was offered and appends what it left out.
    ///
    /// # Errors
    ///
    /// [`IllegalDecision`] when an index was not offered or stands twice.
    pub fn from_strategy(mut order: Vec<u32>, reason: u32, candidates: &[Candidate]) -> Result<Self, IllegalDecision> {
        if order.is_empty() {
            return Ok(Self::default_order(candidates, Origin::Abstained));
        }
        // Marks instead of nested searches: a thousand candidates must not cost a million comparisons.
        let mut named = vec![false; candidates.len()];
        for &index in &order {
            let Some(position) = position(index, candidates) else {
                return Err(IllegalDecision { index, twice: false });
            };
            if std::mem::replace(&mut named[position], true) {
                return Err(IllegalDecision { index, twice: true });
            }
        }
        if order.len() < candidates.len() {
            let left_out = candidates.iter().zip(&named).filter(|(_, named)| !**named);
            order.extend(left_out.map(|(candidate, _)| candidate.target));
        }
        Ok(Self { order, reasons: Vec::new(), excluded: Vec::new(), origin: Origin::Strategy { reason } })
    }
}

/// Where a target stands among the candidates, which are in the order of the targets, hence sorted by index.
fn position(index: u32, candidates: &[Candidate]) -> Option<usize> {
    // Where it must be if none before it is left out, as is the rule.
    let expected = index.checked_sub(candidates.first()?.target)? as usize;
    match candidates.get(expected) {
        Some(candidate) if candidate.target == index => Some(expected),
        _ => candidates.binary_search_by_key(&index, |candidate| candidate.target).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidates(targets: &[u32]) -> Vec<Candidate> {
        targets.iter().copied().map(Candidate::idle).collect()
    }

    #[test]
    fn appends_what_the_strategy_left_out() {
        let decision = Decision::from_strategy(vec![4], 7, &candidates(&[1, 4, 6])).expect("legal");
        assert_eq!(decision.order, [4, 1, 6]);
        assert_eq!(decision.origin, Origin::Strategy { reason: 7 });
    }

    #[test]
    fn an_empty_order_abstains() {
        let decision = Decision::from_strategy(vec![], 0, &candidates(&[1, 4])).expect("legal");
        assert_eq!((decision.order, decision.origin), (vec![1, 4], Origin::Abstained));
    }

    #[test]
    fn refuses_an_index_that_was_not_offered_and_one_named_twice() {
        let offered = candidates(&[1, 4]);
        let foreign = Decision::from_strategy(vec![1, 2], 0, &offered).expect_err("2 was not offered");
        assert_eq!(foreign.to_string(), "index 2 was not offered");
        let twice = Decision::from_strategy(vec![4, 4], 0, &offered).expect_err("4 stands twice");
        assert_eq!(twice.to_string(), "index 4 was named twice");
    }

    proptest! {
        #[test]
        fn a_decision_is_always_a_permutation_of_the_candidates(
            offered in proptest::collection::btree_set(0_u32..40, 1..20),
            answer in proptest::collection::vec(0_u32..50, 0..25),
        ) {
            let offered: Vec<u32> = offered.into_iter().collect();
            if let Ok(decision) = Decision::from_strategy(answer, 0, &candidates(&offered)) {
                let mut order = decision.order;
                order.sort_unstable();
                prop_assert_eq!(order, offered);
            }
        }
    }
}
