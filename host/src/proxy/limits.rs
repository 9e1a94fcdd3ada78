//! The limits of clients, groups and routes on the way of a request: its likely cost is taken before it takes a slot, and
//! settled when its story ends.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use futures_util::future::join_all;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

pub mod delivered;
mod exhausted;
mod levels;
mod refusal;
mod taken;

use super::endpoint::{Class, Endpoint, LABELS, Label};
use super::generation::Generation;
use super::request::RequestBody;
use super::respond::ProxyError;
use super::telling::Telling;
use crate::clients::Client;
use crate::config::{Config, Unpriced};
use crate::limits::estimate::Estimates;
use crate::limits::reservation::MOST;
use crate::limits::terms::{Asked, Engine};
use crate::limits::{Account, Book, Clock, Cost, Moment, Owner, Refusal, Reservation, Unit, Until};
use crate::metrics::Metrics;
use crate::routing::eligible::EligibleSet;
use crate::routing::{ModelKey, Route};
pub use exhausted::{Exhausted, Lack};
pub use levels::Levels;
pub use refusal::Limited;
pub use taken::{End, Taken};

/// What all requests share to know whether they have the means.
#[derive(Debug)]
pub struct Means {
    clock: Arc<Clock>,
    estimates: Estimates,
    metrics: Arc<Metrics>,
    /// Where replicas share limits.
    engine: OnceLock<Arc<dyn Engine>>,
}

/// The accounts that a request takes from.
type Owners<'a> = [Option<&'a Arc<Account>>; MOST];

impl Means {
    /// By this clock.
    pub fn new(clock: Arc<Clock>, metrics: Arc<Metrics>) -> Self {
        Self { clock, estimates: Estimates::default(), metrics, engine: OnceLock::new() }
    }

    /// Has what limits lack be asked for from an engine.
    pub fn share(&self, engine: Arc<dyn Engine>) {
        // There is one engine in a process.
        drop(self.engine.set(engine));
    }

    /// The clock of limits.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The moment of an instant.
    pub fn moment(&self, now: Instant) -> Moment {
        self.clock.moment(now)
    }
}

/// The accounts of one configuration. The counters in them are those of the book, which outlive it.
#[derive(Debug, Default)]
pub struct Accounts {
    book: Arc<Book>,
    /// By the name of their route.
    routes: HashMap<String, Arc<Account>, RandomState>,
}

impl Accounts {
    /// The accounts of a configuration in this book.
    pub fn of(config: &Config, book: Arc<Book>) -> Self {
        let limited = config.routes.iter().filter(|route| !route.limits.is_empty());
        let account = |route: &crate::config::Route| {
            let owner = Owner::Route(route.name.as_str().into());
            (route.name.clone(), book.account(owner, &route.limits))
        };
        let routes: HashMap<_, _, _> = limited.map(account).collect();
        book.retain(|owner| !matches!(owner, Owner::Route(name) if !routes.contains_key(&**name)));
        Self { book, routes }
    }

    /// The book with all counters.
    pub fn book(&self) -> &Arc<Book> {
        &self.book
    }

    /// The account of a route, if it has limits.
    pub fn of_route(&self, route: &Route) -> Option<&Arc<Account>> {
        if self.routes.is_empty() { None } else { self.routes.get(&route.name) }
    }

    /// All accounts that a client's request on a route takes from: the client's, its group's, the route's.
    fn of_request<'a>(&'a self, client: Option<&'a Client>, route: &Route) -> Owners<'a> {
        let [own, group] = of_client(client);
        [own, group, self.of_route(route), None]
    }
}

/// The place of the route's account among those of a request.
const ROUTE: usize = 2;

/// The accounts of a client and of its group.
fn of_client(client: Option<&Client>) -> [Option<&Arc<Account>>; 2] {
    client.map_or([None, None], |client| [client.account.as_ref(), client.group_account()])
}

/// The part of a client's request that is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All of it.
    Whole,
    /// The request alone, whose tokens are those of the questions that an approach asks for it.
    Request,
    /// One of these questions: tokens alone.
    Question,
    /// All of it but its cost, which comes on top of a budget that is used up.
    Unpaid,
    /// One more answer in a session: a request and its tokens, while the session is what counts among those at once.
    Answer,
}

/// A request for which the means are taken.
pub struct Wanted<'a> {
    /// The endpoint that it asks for.
    pub endpoint: &'a Endpoint,
    /// Its body.
    pub body: &'a RequestBody,
    /// The route that it takes.
    pub route: &'a Route,
    /// Those of its targets that may serve it.
    pub eligible: &'a EligibleSet,
    /// The model that is asked for.
    pub model: &'a str,
    /// The part of it.
    pub share: Share,
}

impl Means {
    /// Takes the likely cost of a request from all limits that it is under, and leaves it to its story.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Limited`] when one of them has not enough.
    pub async fn take(
        self: &Arc<Self>,
        generation: &Generation,
        wanted: &Wanted<'_>,
        at: Instant,
        story: &mut Telling,
    ) -> Result<(), ProxyError> {
        if let Some(taken) = self.reserve(generation, wanted, at, story.client.as_deref()).await? {
            story.take(taken);
        }
        Ok(())
    }

    /// As [`Means::take`], for a client; what was taken is returned. `None` without limits.
    ///
    /// # Errors
    ///
    /// The same errors as [`Means::take`].
    pub async fn reserve(
        self: &Arc<Self>,
        generation: &Generation,
        wanted: &Wanted<'_>,
        at: Instant,
        client: Option<&Client>,
    ) -> Result<Option<Box<Taken>>, ProxyError> {
        let owners = generation.accounts.of_request(client, wanted.route);
        if owners.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut taken = Taken::new(Arc::clone(self), wanted, client);
        let mut cost = taken.cost(wanted);
        if wanted.share != Share::Unpaid
            && cost.tokens > 0
            && owners.iter().flatten().any(|account| account.counts(Unit::Money))
        {
            cost.nano = most(generation, wanted, (taken.prompt(), cost.tokens - taken.prompt()))?;
        }
        let reserved = match Reservation::take(owners, cost, self.moment(at)) {
            // Boxed: rare.
            Err(refusal) if refusal.until == Until::Ask => Box::pin(self.ask(owners, cost, refusal)).await,
            reserved => reserved,
        };
        match reserved {
            Ok(reservation) => {
                taken.reserve(reservation);
                Ok(Some(taken))
            }
            Err(refusal) => {
                let now = self.moment(Instant::now());
                Err(self.refused(*refusal, Levels::of(owners.into_iter().flatten(), now), now))
            }
        }
    }

    /// Asks the engine for what the limits lack, for all owners at once, and takes again. After the time that it has for all
    /// questions of a request the rest is taken without it: a request never fails because the engine is slow.
    async fn ask(&self, owners: Owners<'_>, cost: Cost, refusal: Box<Refusal>) -> Result<Reservation, Box<Refusal>> {
        let Some(engine) = self.engine.get() else { return Err(refusal) };
        let now = || self.moment(Instant::now());
        let until = Instant::now() + engine.patience();
        // Once, and once more where others were faster.
        while Instant::now() < until {
            let at = now();
            let lacks = |account: &&Arc<Account>| account.lacks(&cost, at).is_some_and(|lack| lack.until == Until::Ask);
            let asked = owners.into_iter().flatten().filter(lacks).map(|account| engine.ask(account.owner(), cost));
            match timeout_at(until, join_all(asked)).await {
                Ok(answers) if !answers.contains(&Asked::Late) => {}
                Ok(_) | Err(_) => break,
            }
            match Reservation::take(owners, cost, now()) {
                Err(again) if again.until == Until::Ask => {}
                reserved => return reserved,
            }
        }
        Reservation::take_late(owners, cost, now())
    }

    /// Checks that the limits of a client and its group leave anything at all, for one that has yet to say what it wants.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Limited`].
    pub fn check(&self, client: Option<&Client>) -> Result<(), ProxyError> {
        let [own, group] = of_client(client);
        let owners = [own, group, None, None];
        let now = self.moment(Instant::now());
        let cost = Cost { requests: 1, tokens: 1, nano: 1, parallel: true, ..Cost::default() };
        match Reservation::take(owners, cost, now) {
            // What others hold may be had when it is needed.
            Err(refusal) if refusal.until != Until::Ask => {
                Err(self.refused(*refusal, Levels::of(owners.into_iter().flatten(), now), now))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Writes how far the limits of a request are used up, or those of its client where it has taken nothing.
    pub fn write_levels(&self, story: &Telling, headers: &mut HeaderMap) {
        let now = Instant::now();
        let levels = story.levels(now).or_else(|| {
            let owners = of_client(story.client.as_deref());
            let is_limited = owners.iter().any(Option::is_some);
            is_limited.then(|| Levels::of(owners.into_iter().flatten(), self.moment(now)))
        });
        if let Some(levels) = levels {
            levels.write(headers);
        }
    }

    /// Counts a refusal, and makes it an error.
    fn refused(&self, refusal: Refusal, levels: Levels, now: Moment) -> ProxyError {
        self.metrics.limits.refused(Owner::KINDS[refusal.owner.kind()], refusal.unit.name());
        ProxyError::Limited(Box::new(Limited { refusal, levels, at: now }))
    }
}

/// The most that a request of so many tokens, of prompt and answer, may cost at any of its targets.
///
/// # Errors
///
/// [`ProxyError::Unpriced`] when nobody knows what it costs at one of them.
fn most(generation: &Generation, wanted: &Wanted<'_>, tokens: (u64, u64)) -> Result<u64, ProxyError> {
    let Wanted { route, model, .. } = wanted;
    let prices = &generation.prices;
    // Of a thousand targets, nearly all have the price of the one before.
    let (mut most, mut before) = (0, None);
    let taken = route.taken(model);
    for index in wanted.eligible.targets() {
        let target = route.target(*index);
        let provider = generation.fleet.provider(target.provider);
        let called = target.model_for(&provider.config, model, taken);
        let is_same = |(model, price): &(Cow<'_, str>, _)| *model == called && *price == target.price;
        if prices.are_common() && before.as_ref().is_some_and(is_same) {
            continue;
        }
        match prices.most_at((&provider.config.name, &called), target.price, tokens) {
            Some(cost) => most = most.max(cost.0),
            None if prices.unpriced == Unpriced::Free => {}
            None => {
                provider.metrics.money.unpriced.inc();
                let (provider, model) = (provider.config.name.clone(), called.into_owned());
                return Err(ProxyError::Unpriced { provider, model });
            }
        }
        before = Some((called, target.price));
    }
    Ok(most)
}

/// True when the answers of an endpoint are text of a model, whose length only the model knows.
fn answers_with_text(endpoint: &Endpoint) -> bool {
    const TEXT: [usize; 4] =
        [Label::Chat as usize, Label::Completions as usize, Label::Responses as usize, Label::Messages as usize];
    endpoint.class == Class::Generate && TEXT.contains(&endpoint.label().min(LABELS.len()))
}

/// The key under which the length of a client's answers is learned.
fn answer_key(client: Option<&Client>, model: ModelKey) -> ModelKey {
    client.map_or(model, |client| ModelKey::of(&client.name).with(model))
}

impl Taken {
    /// The cost that it is likely to have.
    fn cost(&self, wanted: &Wanted<'_>) -> Cost {
        let is_request = wanted.share != Share::Question;
        let is_alone = is_request && wanted.share != Share::Answer;
        let cost = Cost { requests: is_request.into(), parallel: is_alone, ..Cost::default() };
        if wanted.share == Share::Request {
            return cost;
        }
        if wanted.endpoint.class == Class::Session {
            // Each of its answers is charged when it is there; until then it is enough that something is left.
            return Cost { tokens: 1, ..cost };
        }
        // Of several answers each may be as long as one.
        let choices = u64::from(wanted.body.choices());
        let most = u64::from(wanted.body.max_tokens()).saturating_mul(choices);
        let likely = self.likely_answer().saturating_mul(choices);
        let answer = if most > 0 { likely.min(most) } else { likely };
        // Half of the guess is surely there; the rest may be spaces.
        let named_tokens = if self.prompt() > 0 || most > 0 { self.prompt() / 2 + most } else { 0 };
        Cost { tokens: self.prompt() + answer, named_tokens, ..cost }
    }
}
