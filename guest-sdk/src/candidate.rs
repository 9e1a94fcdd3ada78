//! The candidates of one request, as the strategy sees them: what the host said once about each provider, joined
//! without copying with what it measures now.

use std::time::Duration;

use crate::bindings::pointsman::strategy::types as wit;
use crate::{Order, Price, Provider, ProviderIndex, draw, rendezvous};

/// One provider that may be chosen now.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    provider: &'a Provider,
    facts: &'a wit::Candidate,
}

impl<'a> Candidate<'a> {
    /// Its position in the configuration, by which strategies remember it (see [`Setup::index_of`](crate::Setup::index_of)).
    pub fn index(self) -> ProviderIndex {
        self.facts.provider
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'a str {
        &self.provider.name
    }

    /// The dialect it speaks: `openai` or `azure`.
    pub fn kind(self) -> &'a str {
        &self.provider.kind
    }

    /// Its configured weight: finite and above 0, by default 1.
    pub fn weight(self) -> f64 {
        self.provider.weight
    }

    /// Whether the host holds it back until every other provider has failed or is unhealthy.
    pub fn fallback_only(self) -> bool {
        self.provider.fallback_only
    }

    /// How many requests it may work on at once; `None` means without limit.
    pub fn max_concurrent(self) -> Option<u32> {
        (self.provider.max_concurrent > 0).then_some(self.provider.max_concurrent)
    }

    /// The models it is configured to serve; empty means any.
    pub fn models(self) -> &'a [String] {
        &self.provider.models
    }

    /// What it costs, if the configuration says so.
    pub fn price(self) -> Option<Price> {
        self.provider.price
    }

    /// What the configuration says about it under `labels`.
    pub fn label(self, key: &str) -> Option<&'a str> {
        self.provider.labels.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Requests that it works on at this moment, streams that still run included.
    pub fn in_flight(self) -> u32 {
        self.facts.in_flight
    }

    /// Whether it works on as many requests as it may: one more would wait for a slot.
    pub fn is_full(self) -> bool {
        self.max_concurrent().is_some_and(|limit| self.in_flight() >= limit)
    }

    /// Moving average of the time to the first byte of an answer; `None` until an attempt has succeeded. `None` sorts
    /// before every latency, so that sorting by it tries what is not known yet.
    pub fn latency(self) -> Option<Duration> {
        (self.facts.latency_us > 0).then(|| Duration::from_micros(self.facts.latency_us.into()))
    }

    /// Moving average of the share of attempts that failed, 0 to 1000.
    pub fn failure_permille(self) -> u32 {
        self.facts.failure_permille
    }
}

/// The providers that may be tried for one request, in the order of the configuration; there is at least one.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    providers: &'a [Provider],
    facts: &'a [wit::Candidate],
}

impl<'a> Candidates<'a> {
    /// Every `facts[i].provider` must be an index into `providers`, which the contract promises.
    pub(crate) fn new(providers: &'a [Provider], facts: &'a [wit::Candidate]) -> Self {
        Self { providers, facts }
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one")]
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Goes through them in the order of the configuration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Candidate<'a>> + Clone + use<'a> {
        let this = *self;
        self.facts.iter().map(move |facts| this.of(facts))
    }

    fn of(self, facts: &'a wit::Candidate) -> Candidate<'a> {
        Candidate { provider: &self.providers[facts.provider as usize], facts }
    }

    /// The candidate that is provider `index`; `None` if that one is not offered this time.
    pub fn find(&self, index: ProviderIndex) -> Option<Candidate<'a>> {
        self.iter().find(|candidate| candidate.index() == index)
    }

    /// The order of the configuration.
    pub fn in_order(&self) -> Order<'a> {
        self.iter().collect()
    }

    /// An exact rotation: with `seq` counting up from 0, usually [`Request::seq`](crate::Request::seq), each candidate
    /// comes first once in every `len()` requests.
    ///
    /// The rest stands behind it in cyclic order and takes one step of its own per turn, so that the requests of a
    /// provider that fails are shared by all the others and do not all fall on its neighbour.
    pub fn rotate(&self, seq: u32) -> Order<'a> {
        let mut order: Vec<_> = self.iter().collect();
        let turn = |len: usize| seq as usize % len;
        if order.len() > 1 {
            let first = turn(order.len());
            let turns = seq as usize / order.len();
            order.rotate_left(first);
            let rest = &mut order[1..];
            rest.rotate_left(turns % rest.len());
        }
        order.into_iter().collect()
    }

    /// A draw without replacement in proportion to the configured weights: see [`weighted_by`](Self::weighted_by).
    pub fn weighted(&self, seq: u32) -> Order<'a> {
        self.weighted_by(seq, Candidate::weight)
    }

    /// A draw without replacement in proportion to `weight`. With `seq` counting up, usually
    /// [`Request::seq`](crate::Request::seq), the share of each candidate in the first place stays within a few
    /// requests of its weight's share at all times, not merely in the long run as with dice; the second place is
    /// proportional among the rest, and so on, so failover follows the weights too.
    ///
    /// `seq` selects the point of a golden-ratio (Kronecker) sequence, which fills the unit interval evenly; the
    /// candidate on whose stretch of the interval it lands comes first, and its place within that stretch is the point
    /// with which the next one is drawn.
    ///
    /// A weight of 0, or one that is not finite or below 0, comes last, in the order of the configuration.
    pub fn weighted_by(&self, seq: u32, weight: impl FnMut(Candidate<'a>) -> f64) -> Order<'a> {
        let places = draw::without_replacement(self.iter().map(weight), draw::golden_ratio_point(seq));
        places.into_iter().map(|place| self.of(&self.facts[place])).collect()
    }

    /// Affinity: the same key meets the same candidate first, as long as it is offered, and when it is not only its own
    /// keys move, to the candidate that stands second for them. Keys are spread by weight (weighted rendezvous
    /// hashing, Schindelhauer and Schomaker 2005).
    ///
    /// The key is anything with bytes: `request.model.as_str()`, or a number's `to_le_bytes()`. Order depends on key,
    /// names and weights alone, so all replicas of a proxy agree on it.
    pub fn rendezvous(&self, key: impl AsRef<[u8]>) -> Order<'a> {
        let key = key.as_ref();
        let mut scored: Vec<_> = self.iter().map(|c| (rendezvous::score(key, c.name(), c.weight()), c)).collect();
        scored.sort_by(|(left, _), (right, _)| right.total_cmp(left));
        scored.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// Of two candidates drawn by chance the one with the smaller key comes first, then the other, then the rest, the
    /// smallest key first. Draws with `entropy`, usually [`Request::entropy`](crate::Request::entropy).
    ///
    /// The power of two choices (Mitzenmacher 2001): nearly as even as always taking the least, and without the herd
    /// that forms when several proxies, each seeing its own part, all take the same one.
    pub fn best_of_two<K: Ord>(&self, entropy: u32, mut key: impl FnMut(Candidate<'a>) -> K) -> Order<'a> {
        let len = self.len();
        let mut keyed: Vec<_> = self.iter().map(|candidate| (key(candidate), candidate)).collect();
        if len > 1 {
            // One place of all, and one of the others: the halves of `entropy` as fractions.
            let below = |half: u32, count: usize| (half as usize * count) >> 16;
            let first = below(entropy & 0xFFFF, len);
            let second = (first + 1 + below(entropy >> 16, len - 1)) % len;
            keyed.swap(0, first);
            keyed.swap(1, if second == 0 { first } else { second });
            if keyed[1].0 < keyed[0].0 {
                keyed.swap(0, 1);
            }
            keyed[2..].sort_by(|(left, _), (right, _)| left.cmp(right));
        }
        keyed.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// The smallest key first; ties in the order of the configuration. To let ties take turns, sort a
    /// [`rotate`](Self::rotate).
    pub fn sort_by_key<K: Ord>(&self, key: impl FnMut(Candidate<'a>) -> K) -> Order<'a> {
        self.in_order().sort_by_key(key)
    }

    /// Those for which `keep` holds, in the order of the configuration: see [`Order::filter`].
    pub fn filter(&self, keep: impl FnMut(Candidate<'a>) -> bool) -> Order<'a> {
        self.in_order().filter(keep)
    }
}

#[cfg(test)]
mod tests;
