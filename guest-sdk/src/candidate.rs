//! The candidates of one request, as the strategy sees them: the facts about each target from the start, joined without
//! copying with the measurements of this moment.

use std::borrow::Cow;
use std::time::Duration;

use crate::bindings::pointsman::strategy::types as wit;
use crate::draw::{Table, Weights};
use crate::{Decision, Order, Price, Target, TargetIndex, draw, rendezvous};

/// One target that may be chosen now.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    target: &'a Target,
    facts: wit::Candidate,
}

impl<'a> Candidate<'a> {
    /// Its position in the configuration, by which strategies remember it (see [`Setup::index_of`](crate::Setup::index_of)).
    pub fn index(self) -> TargetIndex {
        self.facts.target
    }

    /// Its name, unique among the targets: the provider's, or `provider/model` where several targets share a provider.
    pub fn name(self) -> &'a str {
        &self.target.name
    }

    /// The name of its provider in the configuration.
    pub fn provider(self) -> &'a str {
        &self.target.provider
    }

    /// The provider's name of the model that it is asked for; empty if that depends on the client's request.
    pub fn model(self) -> &'a str {
        &self.target.model
    }

    /// The most tokens that a request and its answer may have together; `None` when the configuration does not say.
    pub fn context(self) -> Option<u32> {
        (self.target.context > 0).then_some(self.target.context)
    }

    /// True when this many tokens, of a request and its answer together, fit into its context; also true when the
    /// context is not known.
    pub fn has_room_for(self, tokens: u32) -> bool {
        self.context().is_none_or(|context| tokens <= context)
    }

    /// The dialect it speaks: `openai` or `azure`.
    pub fn kind(self) -> &'a str {
        &self.target.kind
    }

    /// Its configured weight: finite and above 0, by default 1.
    pub fn weight(self) -> f64 {
        self.target.weight
    }

    /// True when the host holds it back until every other target has failed or is unhealthy.
    pub fn fallback_only(self) -> bool {
        self.target.fallback_only
    }

    /// The requests that its provider may work on at once; `None` means without limit.
    pub fn max_concurrent(self) -> Option<u32> {
        (self.target.max_concurrent > 0).then_some(self.target.max_concurrent)
    }

    /// The models it is configured to serve; empty means any.
    pub fn models(self) -> &'a [String] {
        &self.target.models
    }

    /// Its price, if the configuration names one.
    pub fn price(self) -> Option<Price> {
        self.target.price
    }

    /// Its value for a key under `labels` in the configuration.
    pub fn label(self, key: &str) -> Option<&'a str> {
        self.target.labels.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Requests that its provider works on at this moment, streams that still run included.
    pub fn in_flight(self) -> u32 {
        self.facts.in_flight
    }

    /// True when the provider works on as many requests as it may: one more would wait for a slot.
    pub fn is_full(self) -> bool {
        self.max_concurrent().is_some_and(|limit| self.in_flight() >= limit)
    }

    /// Moving average of the time to the first byte of an answer; `None` until an attempt has succeeded. `None` sorts
    /// before every latency, so that sorting by it tries targets that are not known yet.
    pub fn latency(self) -> Option<Duration> {
        (self.facts.latency_us > 0).then(|| Duration::from_micros(self.facts.latency_us.into()))
    }

    /// Moving average of the share of attempts that failed, 0 to 1000.
    pub fn failure_permille(self) -> u32 {
        self.facts.failure_permille
    }

    /// The share that is left of the requests that its provider grants in a period, 0 to 1000; 1000 when nothing is known.
    pub fn requests_left(self) -> u32 {
        self.facts.requests_left
    }

    /// The share that is left of the tokens that its provider grants in a period, likewise.
    pub fn tokens_left(self) -> u32 {
        self.facts.tokens_left
    }
}

/// The targets that may be tried for one request, in the order of the configuration. There is at least one, unless all were
/// left out with [`filter`](Self::filter).
#[derive(Clone, Debug)]
pub struct Candidates<'a> {
    targets: &'a [Target],
    /// All that the host offers, if borrowed; else a part of them.
    facts: Cow<'a, [wit::Candidate]>,
    /// The weights that are ready for draws.
    table: Option<&'a Table>,
    /// The targets that were left out.
    excluded: Vec<TargetIndex>,
}

impl<'a> Candidates<'a> {
    /// Every `facts[i].target` must be an index into `targets`, which the contract promises.
    pub(crate) fn new(targets: &'a [Target], facts: &'a [wit::Candidate]) -> Self {
        Self { targets, facts: Cow::Borrowed(facts), table: None, excluded: Vec::new() }
    }

    /// The same, with the weights of `targets`.
    pub(crate) fn with_table(mut self, table: &'a Table) -> Self {
        self.table = Some(table);
        self
    }

    /// The number of candidates.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// True when all were left out.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Iterates over them in the order of the configuration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Candidate<'a>> + Clone + use<'a, '_> {
        let targets = self.targets;
        self.facts.iter().map(move |facts| of(targets, facts))
    }

    /// The candidate that is target `index`; `None` if that one is not offered this time.
    pub fn find(&self, index: TargetIndex) -> Option<Candidate<'a>> {
        self.iter().find(|candidate| candidate.index() == index)
    }

    /// Leaves out for good those for which `keep` returns false: the host never tries them for this request, not even
    /// as a last resort. The methods of the result, such as `weighted`, spread requests over the others alone, each
    /// with its full share.
    ///
    /// If no target is left here or in a later tier, the client gets a 503 with the reason of the decision. To have
    /// targets merely tried later, use [`Order::prefer`].
    ///
    /// ```
    /// # use pointsman_guest::{Candidates, Decision, Request};
    /// fn europe_alone(request: &Request, candidates: &Candidates<'_>) -> Decision {
    ///     candidates.filter(|c| c.label("region") == Some("eu")).weighted(request.seq).into()
    /// }
    /// # let _ = europe_alone;
    /// ```
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(Candidate<'a>) -> bool) -> Self {
        let mut excluded = self.excluded.clone();
        let mut kept = Vec::with_capacity(self.facts.len());
        for facts in self.facts.iter() {
            if keep(of(self.targets, facts)) {
                kept.push(*facts);
            } else {
                excluded.push(facts.target);
            }
        }
        Self { targets: self.targets, facts: Cow::Owned(kept), table: None, excluded }
    }

    /// Two groups: those for which `first` returns true, and the others. Put each into an order of its own and join
    /// these with [`Order::then`]; then nobody is left out.
    ///
    /// ```
    /// # use pointsman_guest::{Candidates, Decision, Request};
    /// fn europe_by_weight_and_then_the_others(request: &Request, candidates: &Candidates<'_>) -> Decision {
    ///     let (europe, others) = candidates.split(|c| c.label("region") == Some("eu"));
    ///     europe.weighted(request.seq).then(others.weighted(request.seq)).into()
    /// }
    /// # let _ = europe_by_weight_and_then_the_others;
    /// ```
    #[must_use]
    pub fn split(&self, mut first: impl FnMut(Candidate<'a>) -> bool) -> (Self, Self) {
        let (chosen, others): (Vec<_>, Vec<_>) = self.facts.iter().partition(|facts| first(of(self.targets, facts)));
        let group = |facts| Self {
            targets: self.targets,
            facts: Cow::Owned(facts),
            table: None,
            excluded: self.excluded.clone(),
        };
        (group(chosen), group(others))
    }

    fn order(&self, candidates: impl IntoIterator<Item = Candidate<'a>>) -> Order<'a> {
        Order::new(candidates.into_iter().collect(), self.excluded.clone())
    }

    /// These places first, then the others in the order of the configuration, which the host adds by itself.
    fn first(&self, places: &[usize]) -> Option<Order<'a>> {
        let Cow::Borrowed(offered) = self.facts else { return None };
        let first = places.iter().map(|place| of(self.targets, &offered[*place])).collect();
        (!places.is_empty()).then(|| Order::beginning_with(first, self.targets, offered))
    }

    /// The order of the configuration.
    pub fn in_order(&self) -> Order<'a> {
        let first: &[usize] = if self.is_empty() { &[] } else { &[0] };
        self.first(first).unwrap_or_else(|| self.order(self.iter()))
    }

    /// An exact rotation: with `seq` counting up from 0, usually [`Request::seq`](crate::Request::seq), each candidate
    /// comes first once in every `len()` requests.
    ///
    /// The rest follows in cyclic order and takes one step of its own per turn, so that the requests of a target that
    /// fails are shared by all the others and do not all fall on its neighbour.
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
        self.order(order)
    }

    /// A draw without replacement in proportion to the configured weights: see [`weighted_by`](Self::weighted_by).
    pub fn weighted(&self, seq: u32) -> Order<'a> {
        match (self.table, &self.facts) {
            (Some(table), Cow::Borrowed(offered)) => {
                table.of(self.targets, offered, |weights| self.drawn(weights, seq))
            }
            _ => self.weighted_by(seq, Candidate::weight),
        }
    }

    fn drawn(&self, weights: &Weights, seq: u32) -> Order<'a> {
        let point = draw::golden_ratio_point(seq);
        let first = weights.are_all_drawable().then(|| self.first(weights.draw(point).places())).flatten();
        first.unwrap_or_else(|| {
            self.order(weights.order(point).into_iter().map(|place| of(self.targets, &self.facts[place])))
        })
    }

    /// A draw without replacement in proportion to `weight`. With `seq` counting up, usually
    /// [`Request::seq`](crate::Request::seq), the share of each candidate in the first place stays within a few
    /// requests of its weight's share at all times, and not only in the long run as with random numbers; the second
    /// place is proportional among the rest, and so on, so failover follows the weights too.
    ///
    /// `seq` selects the point of a golden-ratio (Kronecker) sequence, which fills the unit interval evenly; the
    /// candidate on whose stretch of the interval it lands comes first, and its place within that stretch is the point
    /// with which the next one is drawn.
    ///
    /// A weight of 0, or one that is not finite or below 0, comes last, in the order of the configuration.
    pub fn weighted_by(&self, seq: u32, weight: impl FnMut(Candidate<'a>) -> f64) -> Order<'a> {
        self.drawn(&Weights::new(self.iter().map(weight)), seq)
    }

    /// Affinity: the same key has the same candidate first, as long as that one is offered. When it is not, only its
    /// own keys move, to the candidate that is second for them. Keys are spread by weight (weighted rendezvous hashing,
    /// Schindelhauer and Schomaker 2005).
    ///
    /// The key can be any bytes: `request.model.as_str()`, or a number's `to_le_bytes()`. The order depends only on the
    /// key, the names and the weights, so all replicas of a proxy agree on it.
    pub fn rendezvous(&self, key: impl AsRef<[u8]>) -> Order<'a> {
        let key = key.as_ref();
        let mut scored: Vec<_> = self.iter().map(|c| (rendezvous::score(key, c.name(), c.weight()), c)).collect();
        scored.sort_by(|(left, _), (right, _)| right.total_cmp(left));
        self.order(scored.into_iter().map(|(_, candidate)| candidate))
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
            // One place among all, and one among the others: the halves of `entropy` as fractions.
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
        self.order(keyed.into_iter().map(|(_, candidate)| candidate))
    }

    /// The smallest key first; ties in the order of the configuration. To let ties take turns, sort a
    /// [`rotate`](Self::rotate).
    pub fn sort_by_key<K: Ord>(&self, key: impl FnMut(Candidate<'a>) -> K) -> Order<'a> {
        self.in_order().sort_by_key(key)
    }

    /// Those for which `first` returns true go before the others; both in the order of the configuration.
    pub fn prefer(&self, first: impl FnMut(Candidate<'a>) -> bool) -> Order<'a> {
        self.in_order().prefer(first)
    }
}

pub(crate) fn of<'a>(targets: &'a [Target], facts: &wit::Candidate) -> Candidate<'a> {
    Candidate { target: &targets[facts.target as usize], facts: *facts }
}

impl From<Candidates<'_>> for Decision {
    /// The order of the configuration, without those that were left out.
    fn from(candidates: Candidates<'_>) -> Self {
        candidates.in_order().into()
    }
}

#[cfg(test)]
mod tests;
