//! An order under construction: what a strategy prefers, refined step by step.

use crate::{Candidate, Decision};

/// Candidates in order of preference. Made by the methods of [`Candidates`](crate::Candidates), refined by its own, and
/// returned from [`route`](crate::Strategy::route) with [`because`](Self::because) or `into()`.
#[derive(Clone, Debug)]
pub struct Order<'a>(Vec<Candidate<'a>>);

impl<'a> Order<'a> {
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
    pub fn sort_by_key<K: Ord>(mut self, mut key: impl FnMut(Candidate<'a>) -> K) -> Self {
        self.0.sort_by_key(|candidate| key(*candidate));
        self
    }

    /// Those for which `first` holds go before the others; both keep the order they had.
    #[must_use]
    pub fn prefer(self, mut first: impl FnMut(Candidate<'a>) -> bool) -> Self {
        self.sort_by_key(|candidate| !first(candidate))
    }

    /// Leaves out those for which `keep` does not hold. They are not lost: after those that are named, the host tries
    /// them in the order of the configuration. If nothing is left, the strategy abstains.
    #[must_use]
    pub fn filter(mut self, mut keep: impl FnMut(Candidate<'a>) -> bool) -> Self {
        self.0.retain(|candidate| keep(*candidate));
        self
    }

    /// Puts behind this order whatever of `next` it does not contain.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        for candidate in next.0 {
            if !self.0.iter().any(|present| present.index() == candidate.index()) {
                self.0.push(candidate);
            }
        }
        self
    }

    /// Goes through the candidates by preference.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Candidate<'a>> {
        self.0.iter().copied()
    }

    /// Whether nothing is left, which as a decision abstains.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The decision for this order, with one of [`Strategy::REASONS`](crate::Strategy::REASONS).
    pub fn because(self, reason: &'static str) -> Decision {
        Decision::from(self).because(reason)
    }
}

impl<'a> FromIterator<Candidate<'a>> for Order<'a> {
    /// An order made by hand. A candidate that comes twice would make the decision illegal.
    fn from_iter<I: IntoIterator<Item = Candidate<'a>>>(candidates: I) -> Self {
        Self(candidates.into_iter().collect())
    }
}

impl From<Order<'_>> for Decision {
    fn from(order: Order<'_>) -> Self {
        Decision::of(order.0.into_iter().map(Candidate::index).collect())
    }
}
