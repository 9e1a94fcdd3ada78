//! The story of a request under way, with everything that the request holds.
//!
//! It moves from the handler into the response body, and the sinks get the story when it is dropped. So there is one
//! log line and one count per request whatever happens to it, and its queue slot is free exactly when the request is
//! over.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::endpoint::LABELS;
use super::generation::Generation;
use super::limits::{End, Levels, Taken};
use crate::limits::spend::Key;
use crate::limits::{Moment, Nano, Prices, Spend, Usage};
use crate::metrics::Metrics;
use crate::observe::story::Inner;
use crate::observe::{self, Ledger, Story};
use crate::queue::QueuePermit;
use crate::routing::OutcomeKind;

/// By what the cost of a request is told, and where it is counted.
#[derive(Debug)]
pub struct Reckoning {
    /// The prices.
    pub prices: Arc<Prices>,
    /// What has been spent.
    pub spend: Arc<Spend>,
    /// The sum of a client's request, for a question of an approach.
    pub bill: Option<Arc<Bill>>,
    /// True when answers are to be explained.
    pub explain: bool,
}

impl Reckoning {
    /// That of a configuration.
    pub fn of(generation: &Generation, spend: &Arc<Spend>) -> Self {
        let (prices, spend) = (Arc::clone(&generation.prices), Arc::clone(spend));
        Self { prices, spend, bill: None, explain: generation.explain }
    }
}

/// What the questions of one request cost together.
#[derive(Debug, Default)]
pub struct Bill {
    nano: AtomicU64,
    is_known: AtomicBool,
}

impl Bill {
    fn add(&self, cost: Nano) {
        self.nano.fetch_add(cost.0, Relaxed);
        self.is_known.store(true, Relaxed);
    }

    /// The sum, if the price of any is known.
    pub fn sum(&self) -> Option<Nano> {
        self.is_known.load(Relaxed).then(|| Nano(self.nano.load(Relaxed)))
    }
}

/// The story, until it is given away.
#[derive(Debug)]
struct Told(Option<Box<Story>>);

impl Deref for Told {
    type Target = Story;

    fn deref(&self) -> &Story {
        self.0.as_deref().expect("it is given away at the end alone")
    }
}

impl DerefMut for Told {
    fn deref_mut(&mut self) -> &mut Story {
        self.0.as_deref_mut().expect("it is given away at the end alone")
    }
}

/// One request under way.
#[derive(Debug)]
pub struct Telling {
    story: Told,
    queue: Option<QueuePermit>,
    /// What it has taken from limits; nothing if it is under none.
    taken: Option<Box<Taken>>,
    metrics: Arc<Metrics>,
    /// Keeps the story, if any ledger does.
    ledger: Option<Arc<Ledger>>,
    /// The means to tell what it costs, once its configuration is known.
    reckoning: Option<Reckoning>,
    /// Counted by a drain.
    _in_flight: TaskTrackerToken,
}

impl Telling {
    /// Begins the story of a request.
    pub fn new(
        id: String,
        method: http::Method,
        path: String,
        metrics: Arc<Metrics>,
        in_flight: TaskTrackerToken,
    ) -> Self {
        Self {
            story: Told(Some(Box::new(Story::new(id, method, path, LABELS.len() - 1)))),
            ledger: None,
            queue: None,
            taken: None,
            metrics,
            reckoning: None,
            _in_flight: in_flight,
        }
    }

    /// Has the story kept in a ledger when it is over.
    pub fn kept_in(mut self, ledger: &Arc<Ledger>) -> Self {
        self.ledger = Some(Arc::clone(ledger));
        self
    }

    /// Keeps the slot of the queue until the request is over.
    pub fn hold(&mut self, permit: QueuePermit, wait: Duration) {
        self.metrics.queued(wait);
        self.story.waited(wait);
        self.story.queued = Some(wait);
        self.queue = Some(permit);
    }

    /// Keeps what was taken from limits until the request is over.
    pub fn take(&mut self, taken: Box<Taken>) {
        self.taken = Some(taken);
    }

    /// True when it is under limits, of which it has taken.
    pub fn is_limited(&self) -> bool {
        self.taken.is_some()
    }

    /// What it has taken from limits.
    pub fn taken(&mut self) -> Option<&mut Taken> {
        self.taken.as_deref_mut()
    }

    /// How far the limits that it is under are used up.
    pub fn levels(&self, now: Instant) -> Option<Levels> {
        self.taken.as_ref().map(|taken| taken.levels(now))
    }

    /// Takes note of a part of the answer that goes to the client: whole events, or all of it.
    pub fn deliver(&mut self, part: &[u8]) {
        if let Some(taken) = &mut self.taken {
            taken.deliver(part);
        }
    }

    /// Notes that it is a question of an approach, on behalf of a client's request.
    pub fn belongs_to(&mut self, approach: &str, step: &str) {
        self.story.inner = Some(Inner { approach: approach.to_owned(), step: step.to_owned() });
    }

    /// Sets by what its cost is told and where that is counted.
    pub fn reckons_by(&mut self, reckoning: Reckoning) {
        self.reckoning = Some(reckoning);
    }

    /// What the answer cost, if answers are to be explained.
    pub fn explained_cost(&self) -> Option<Nano> {
        self.story.cost.filter(|_| self.reckoning.as_ref().is_some_and(|reckoning| reckoning.explain))
    }

    /// Notes the usage of the answer, and finds what it cost.
    pub fn used(&mut self, usage: Option<Usage>) {
        let cost = usage.as_ref().and_then(|usage| self.cost_of(usage));
        self.paid(usage, cost);
    }

    /// Notes the usage of the answer, and what it cost.
    pub fn paid(&mut self, usage: Option<Usage>, cost: Option<Nano>) {
        (self.story.usage, self.story.cost) = (usage, cost);
    }

    /// What a usage costs at the provider of the latest attempt.
    pub fn cost_of(&self, usage: &Usage) -> Option<Nano> {
        let (prices, story) = (&self.reckoning.as_ref()?.prices, &self.story);
        if !prices.are_set() {
            return None;
        }
        let model = story.mapped()?;
        let price = story.target().and_then(|target| target.price);
        prices.cost_at((&story.provider()?.config.name, &model), price, usage)
    }

    /// True when there is no price for what it took; false when only that is not known.
    fn lacks_price(&self, prices: &Prices, model: &str) -> bool {
        let Some(provider) = self.story.provider().map(|provider| provider.config.name.as_str()) else { return false };
        let price = self.story.target().and_then(|target| target.price);
        self.story.usage.is_some()
            || (prices.entry_at((provider, model), price).is_none() && !prices.are_reported(provider))
    }

    /// Settles what it has taken from limits, by how it ended.
    fn settle_limits(&mut self, duration: Duration) {
        let Some(taken) = self.taken.take() else { return };
        let end = taken.end(&self.story);
        if let End::Estimated(usage) = &end {
            self.story.estimated = Some(usage.total());
            let cost = self.cost_of(usage);
            self.story.cost = self.story.cost.max(cost);
        }
        let now = self.story.began + duration;
        taken.settle(&end, self.story.cost, &self.story, now);
    }

    /// Counts what it cost.
    fn settle(&self) {
        let (Some(reckoning), story) = (&self.reckoning, &self.story) else { return };
        if story.approach.is_some() {
            // Its questions have counted.
            return;
        }
        if let (Some(bill), Some(cost)) = (&reckoning.bill, story.cost) {
            bill.add(cost);
        }
        let (Some(last), Some(model)) = (story.attempts.last(), story.mapped()) else { return };
        let is_answered = matches!(last.kind, OutcomeKind::Succeeded | OutcomeKind::Interrupted);
        let is_for_a_model = story.method == http::Method::POST && !model.is_empty();
        let is_known = story.usage.is_some() || story.estimated.is_some();
        if !(is_known || is_answered && is_for_a_model) {
            return;
        }
        let provider = last.provider.config.name.as_str();
        if story.cost.is_none() && reckoning.prices.are_set() && self.lacks_price(&reckoning.prices, &model) {
            last.provider.metrics.money.unpriced.inc();
            if reckoning.prices.is_new_unpriced(provider, &model) {
                tracing::warn!(
                    request_id = story.id.as_str(),
                    provider,
                    provider_model = &*model,
                    "no price is known of {model} at {provider}, so its requests count as unpriced; \
                     name one in `prices.models`, or see `pointsman prices show`"
                );
            }
        }
        let key = Key {
            client: story.client.as_ref().map_or("", |client| &client.name),
            route: story.route.as_ref().map_or("", |route| &route.name),
            provider,
            model: &model,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Moment::of_unix_ms(now.as_secs().saturating_mul(1000));
        reckoning.spend.count(now, key, &story.usage.unwrap_or_default(), story.cost);
    }

    /// Notes the status of the answer, and the code if it is an error of the proxy's own.
    pub fn answered(&mut self, status: http::StatusCode, error: Option<&'static str>, now: Instant) {
        let story = &mut self.story;
        story.status = Some(status.as_u16());
        story.error = error;
        let until_now = now - story.began;
        story.first_byte = Some(until_now);
        if !story.attempts.is_empty() && story.inner.is_none() {
            let own = until_now.saturating_sub(story.waited);
            story.overhead = Some(own);
            self.metrics.overhead(own);
        }
    }
}

impl Deref for Telling {
    type Target = Story;

    fn deref(&self) -> &Story {
        &self.story
    }
}

impl DerefMut for Telling {
    fn deref_mut(&mut self) -> &mut Story {
        &mut self.story
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let duration = self.story.began.elapsed();
        self.settle_limits(duration);
        self.settle();
        observe::count::count(&self.story, duration, &self.metrics);
        observe::log::write(&self.story, duration);
        if let (Some(ledger), Some(mut story)) = (&self.ledger, self.story.0.take()) {
            story.took = duration;
            ledger.take(story);
        }
    }
}
