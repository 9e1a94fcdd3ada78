//! An order under construction: what a strategy prefers, refined step by step.

use crate::bindings::pointsman::strategy::types as wit;
use crate::candidate::of;
use crate::{Candidate, Decision, Target, TargetIndex};

/// Candidates in order of preference. Made by the methods of [`Candidates`](crate::Candidates), refined by its own, and
/// returned from [`route`](crate::Strategy::route) with [`because`](Self::because) or `into()`.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    candidates: Vec<Candidate<'a>>,
    /// If these are only the first: all that were offered, of which the others follow as they stand here.
    offered: Option<(&'a [Target], &'a [wit::Candidate])>,
    /// The targets that must not be tried.
    excluded: Vec<TargetIndex>,
}

impl<'a> Order<'a> {
    pub(crate) fn new(candidates: Vec<Candidate<'a>>, excluded: Vec<TargetIndex>) -> Self {
        Self { candidates, offered: None, excluded }
    }

    /// These candidates, and then all others that were offered, in their order. The host adds them by itself, so nobody has to
    /// list them unless the order is refined further.
    pub(crate) fn beginning_with(
        first: Vec<Candidate<'a>>,
        targets: &'a [Target],
        offered: &'a [wit::Candidate],
    ) -> Self {
        Self { candidates: first, offered: Some((targets, offered)), excluded: Vec::new() }
    }

    /// The same order with all of its candidates listed.
    fn listed(mut self) -> Self {
        if let Some((targets, offered)) = self.offered.take() {
            let first: Vec<TargetIndex> = self.candidates.iter().map(|candidate| candidate.index()).collect();
            let others = offered.iter().filter(|facts| !first.contains(&facts.target));
            self.candidates.extend(others.map(|facts| of(targets, facts)));
        }
        self
    }

    /// The smallest key first. Stable: equal keys keep the order they had.
    ///
    /// ```
    /// # use pointsman_guest::{Candidates, Order, Request};
    /// fn least_busy_then_fastest<'a>(candidates: &Candidates<'a>) -> Order<'a> {
    ///     candidates.sort_by_key(|c| (c.in_flight(), c.latency()))
    /// }
    /// # let _ = least_busy_then_fastest;
    /// ```
    #[must_use]
    pub fn sort_by_key<K: Ord>(self, mut key: impl FnMut(Candidate<'a>) -> K) -> Self {
        let mut order = self.listed();
        order.candidates.sort_by_key(|candidate| key(*candidate));
        order
    }

    /// Those for which `first` returns true go before the others; both keep the order they had. All may be tried.
    #[must_use]
    pub fn prefer(self, mut first: impl FnMut(Candidate<'a>) -> bool) -> Self {
        self.sort_by_key(|candidate| !first(candidate))
    }

    /// Leaves out for good those for which `keep` returns false: the host never tries them for this request, not even
    /// as a last resort. To share requests evenly among those that are left, use
    /// [`Candidates::filter`](crate::Candidates::filter) before the order is made.
    #[must_use]
    pub fn filter(self, mut keep: impl FnMut(Candidate<'a>) -> bool) -> Self {
        let mut order = self.listed();
        let excluded = &mut order.excluded;
        order.candidates.retain(|candidate| {
            let kept = keep(*candidate);
            if !kept {
                excluded.push(candidate.index());
            }
            kept
        });
        order
    }

    /// Appends the candidates of `next` that this order does not contain. Those that either leaves out stay out.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let (mut order, next) = (self.listed(), next.listed());
        let is_new = |known: &[TargetIndex], index| !known.contains(&index);
        for index in next.excluded {
            if is_new(&order.excluded, index) {
                order.excluded.push(index);
            }
        }
        let mut known: Vec<TargetIndex> = order.candidates.iter().map(|candidate| candidate.index()).collect();
        for candidate in next.candidates {
            if is_new(&known, candidate.index()) {
                known.push(candidate.index());
                order.candidates.push(candidate);
            }
        }
        let excluded = &order.excluded;
        order.candidates.retain(|candidate| is_new(excluded, candidate.index()));
        order
    }

    /// Iterates over the candidates by preference.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Candidate<'a>> {
        self.clone().listed().candidates.into_iter()
    }

    /// True when nothing is left.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The decision for this order, with one of [`Strategy::REASONS`](crate::Strategy::REASONS).
    pub fn because(self, reason: &'static str) -> Decision {
        Decision::from(self).because(reason)
    }

    /// The decision for this order, with a reason for each candidate, from
    /// [`Strategy::REASONS`](crate::Strategy::REASONS). [`Decision::because`] may give one for the whole as well.
    pub fn because_each(self, reason: impl FnMut(Candidate<'a>) -> &'static str) -> Decision {
        let order = self.listed();
        let reasons = order.candidates.iter().copied().map(reason).collect();
        Decision { reasons, ..Decision::from(order) }
    }
}

impl<'a> FromIterator<Candidate<'a>> for Order<'a> {
    /// An order made by hand. A candidate that comes twice would make the decision illegal.
    fn from_iter<I: IntoIterator<Item = Candidate<'a>>>(candidates: I) -> Self {
        Self::new(candidates.into_iter().collect(), Vec::new())
    }
}

impl From<Order<'_>> for Decision {
    fn from(order: Order<'_>) -> Self {
        let Order { candidates, offered, excluded } = order;
        let goes_on = offered.is_some();
        Decision { goes_on, excluded, ..Decision::of(candidates.into_iter().map(Candidate::index).collect()) }
    }
}
