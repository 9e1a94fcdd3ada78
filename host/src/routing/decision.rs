//! The answer of a strategy, made legal: always a permutation of the candidates it was offered, less those that it
//! excluded.

use super::Candidate;

/// The order in which the candidates of one tier are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Indices of targets, first choice first: each candidate exactly once, but for those in `excluded`.
    pub order: Vec<u32>,
    /// A reason for each of the first entries of `order`; empty when the strategy gave none.
    pub reasons: Vec<u32>,
    /// Candidates that must not be tried for this request, now or later.
    pub excluded: Vec<u32>,
    /// The origin of the order.
    pub origin: Origin,
}

/// The origin of a decision.
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

/// The answer of a strategy, not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Indices of targets, first choice first; may leave candidates out.
    pub order: Vec<u32>,
    /// Its reason, 0 when unspecified.
    pub reason: u32,
    /// A reason for each entry of `order`, or none.
    pub reasons: Vec<u32>,
    /// Candidates that must not be tried.
    pub excluded: Vec<u32>,
}

/// A decision that the contract does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalDecision {
    /// More indices than there are candidates.
    #[error("{named} indices for {offered} candidates")]
    TooMany {
        /// The number of indices in the order and among those excluded.
        named: usize,
        /// The number of candidates.
        offered: usize,
    },
    /// An index that belongs to no candidate.
    #[error("index {0} was not offered")]
    NotOffered(u32),
    /// An index that stands twice in the order, or twice among those excluded.
    #[error("index {0} was named twice")]
    Twice(u32),
    /// An index that stands in the order and among those excluded.
    #[error("index {0} was chosen and excluded")]
    Contradiction(u32),
    /// Reasons for some entries of the order and not for others.
    #[error("{reasons} reasons for an order of {order}")]
    Reasons {
        /// The number of reasons.
        reasons: usize,
        /// The length of the order.
        order: usize,
    },
}

impl Decision {
    /// The order of the configuration, which the host uses whenever the strategy has none to give.
    pub fn default_order(candidates: &[Candidate], origin: Origin) -> Self {
        let order = candidates.iter().map(|candidate| candidate.target).collect();
        Self { order, reasons: Vec::new(), excluded: Vec::new(), origin }
    }

    /// Makes a decision of a strategy's answer: checks it against what was offered and appends what it left out.
    ///
    /// # Errors
    ///
    /// [`IllegalDecision`] when the contract does not allow it.
    pub fn from_strategy(given: Given, candidates: &[Candidate]) -> Result<Self, IllegalDecision> {
        let Given { mut order, reason, reasons, excluded } = given;
        if order.is_empty() && excluded.is_empty() && reasons.is_empty() {
            return Ok(Self::default_order(candidates, Origin::Abstained));
        }
        let (named, offered) = (order.len() + excluded.len(), candidates.len());
        if order.len() > offered || excluded.len() > offered {
            return Err(IllegalDecision::TooMany { named, offered });
        }
        if !reasons.is_empty() && reasons.len() != order.len() {
            return Err(IllegalDecision::Reasons { reasons: reasons.len(), order: order.len() });
        }
        if named <= FEW {
            let positions = few(&order, &excluded, candidates)?;
            if named < offered {
                let mut from = 0;
                for position in positions.into_iter().take(named).chain([offered]) {
                    order.extend(candidates[from..position].iter().map(|candidate| candidate.target));
                    from = position + 1;
                }
            }
            return Ok(Self { order, reasons, excluded, origin: Origin::Strategy { reason } });
        }
        // Marks instead of nested searches: a thousand candidates must not cost a million comparisons.
        let mut marks = vec![Mark::LeftOut; offered];
        for (indices, mark) in [(&order, Mark::Chosen), (&excluded, Mark::Excluded)] {
            for &index in indices {
                let position = position(index, candidates).ok_or(IllegalDecision::NotOffered(index))?;
                match std::mem::replace(&mut marks[position], mark) {
                    Mark::LeftOut => {}
                    before if before == mark => return Err(IllegalDecision::Twice(index)),
                    Mark::Chosen | Mark::Excluded => return Err(IllegalDecision::Contradiction(index)),
                }
            }
        }
        if named < offered {
            let left_out = candidates.iter().zip(&marks).filter(|(_, mark)| **mark == Mark::LeftOut);
            order.extend(left_out.map(|(candidate, _)| candidate.target));
        }
        Ok(Self { order, reasons, excluded, origin: Origin::Strategy { reason } })
    }
}

/// So many indices are compared with each other rather than marked.
const FEW: usize = 16;

/// The positions of the candidates that a strategy has named, at most [`FEW`], in ascending order.
fn few(order: &[u32], excluded: &[u32], candidates: &[Candidate]) -> Result<[usize; FEW], IllegalDecision> {
    let mut positions = [usize::MAX; FEW];
    for (place, &index) in order.iter().chain(excluded).enumerate() {
        positions[place] = position(index, candidates).ok_or(IllegalDecision::NotOffered(index))?;
        if positions[..place].contains(&positions[place]) {
            let is_contradiction = place >= order.len() && !excluded[..place - order.len()].contains(&index);
            let wrong = if is_contradiction { IllegalDecision::Contradiction } else { IllegalDecision::Twice };
            return Err(wrong(index));
        }
    }
    positions.sort_unstable();
    Ok(positions)
}

/// The treatment of a candidate by a strategy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    LeftOut,
    Chosen,
    Excluded,
}

/// The position of a target among the candidates, which are in the order of the targets, hence sorted by index.
fn position(index: u32, candidates: &[Candidate]) -> Option<usize> {
    // Its usual place: the one it has if no target before it is left out.
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

    fn given(order: &[u32], excluded: &[u32]) -> Given {
        Given { order: order.to_vec(), excluded: excluded.to_vec(), ..Given::default() }
    }

    #[test]
    fn appends_what_the_strategy_left_out() {
        let answer = Given { reason: 7, ..given(&[4], &[]) };
        let decision = Decision::from_strategy(answer, &candidates(&[1, 4, 6])).expect("legal");
        assert_eq!(decision.order, [4, 1, 6]);
        assert_eq!(decision.origin, Origin::Strategy { reason: 7 });
    }

    #[test]
    fn an_empty_order_abstains_unless_somebody_is_excluded() {
        let offered = candidates(&[1, 4]);
        let decision = Decision::from_strategy(Given::default(), &offered).expect("legal");
        assert_eq!((decision.order, decision.origin), (vec![1, 4], Origin::Abstained));
        let decision = Decision::from_strategy(given(&[], &[1]), &offered).expect("legal");
        assert_eq!((decision.order, decision.origin), (vec![4], Origin::Strategy { reason: 0 }));
        let nobody = Decision::from_strategy(given(&[], &[4, 1]), &offered).expect("legal");
        assert_eq!((nobody.order, nobody.excluded), (vec![], vec![4, 1]));
    }

    #[test]
    fn what_the_contract_does_not_allow_is_refused() {
        let refused = |answer, text: &str| {
            let error = Decision::from_strategy(answer, &candidates(&[1, 4])).expect_err(text);
            assert_eq!(error.to_string(), text);
        };
        refused(given(&[1, 2], &[]), "index 2 was not offered");
        refused(given(&[1], &[2]), "index 2 was not offered");
        refused(given(&[4, 4], &[]), "index 4 was named twice");
        refused(given(&[1], &[4, 4]), "index 4 was named twice");
        refused(given(&[1, 4], &[4]), "index 4 was chosen and excluded");
        refused(given(&[1, 4, 1], &[]), "3 indices for 2 candidates");
        refused(Given { reasons: vec![1], ..given(&[1, 4], &[]) }, "1 reasons for an order of 2");
        refused(Given { reasons: vec![1], ..Given::default() }, "1 reasons for an order of 0");
    }

    /// The definition: what was named in its order, then what was left out in that of the configuration.
    fn by_definition(answer: &Given, offered: &[u32]) -> Result<Vec<u32>, IllegalDecision> {
        let Given { order, excluded, .. } = answer;
        if order.len() > offered.len() || excluded.len() > offered.len() {
            return Err(IllegalDecision::TooMany { named: order.len() + excluded.len(), offered: offered.len() });
        }
        for (place, index) in order.iter().chain(excluded).enumerate() {
            let own = if place < order.len() { &order[..place] } else { &excluded[..place - order.len()] };
            match index {
                index if !offered.contains(index) => return Err(IllegalDecision::NotOffered(*index)),
                index if own.contains(index) => return Err(IllegalDecision::Twice(*index)),
                index if place >= order.len() && order.contains(index) => {
                    return Err(IllegalDecision::Contradiction(*index));
                }
                _ => {}
            }
        }
        let left_out = offered.iter().filter(|index| !order.contains(index) && !excluded.contains(index));
        Ok(order.iter().chain(left_out).copied().collect())
    }

    proptest! {
        #[test]
        fn a_decision_is_always_a_permutation_of_the_candidates(
            offered in proptest::collection::btree_set(0_u32..40, 1..40),
            answer in proptest::collection::vec(0_u32..50, 0..25),
            excluded in proptest::collection::vec(0_u32..50, 0..5),
        ) {
            let offered: Vec<u32> = offered.into_iter().collect();
            if let Ok(decision) = Decision::from_strategy(given(&answer, &excluded), &candidates(&offered)) {
                let mut all = decision.order;
                all.extend(decision.excluded);
                all.sort_unstable();
                prop_assert_eq!(all, offered);
            }
        }

        #[test]
        fn a_decision_is_what_its_definition_says_however_much_is_named(
            offered in proptest::collection::btree_set(0_u32..60, 1..60),
            picks in proptest::collection::vec(any::<proptest::sample::Index>(), 1..40),
            chosen in 0_usize..40,
            stranger in proptest::option::weighted(0.1, 0_u32..60),
        ) {
            let offered: Vec<u32> = offered.into_iter().collect();
            // Mostly each once, so that many are legal.
            let mut named: Vec<u32> = Vec::new();
            for pick in picks {
                let index = *pick.get(&offered);
                if !named.contains(&index) || named.len() % 11 == 7 {
                    named.push(index);
                }
            }
            named.extend(stranger);
            let (order, excluded) = named.split_at(chosen.min(named.len()));
            let answer = given(order, excluded);
            let expected = by_definition(&answer, &offered);
            let decision = Decision::from_strategy(answer, &candidates(&offered));
            prop_assert_eq!(decision.map(|decision| decision.order), expected);
        }
    }
}
