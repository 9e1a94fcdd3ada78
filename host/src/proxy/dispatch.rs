//! THE loop: from a request to an answer, through tiers and attempts.
//!
//! Offer a tier, let the strategy order it, attempt in that order, and go on as `routing::outcome` says. Each provider
//! is tried at most once, and once more where all have failed softly and some of `routing.retries` is left; nothing
//! reaches the client before an attempt has succeeded.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Method;
use tokio::time::{Instant, sleep};

mod course;
mod decide;
mod fallback;
mod hedge;
mod room;

use super::approach::Agenda;
use super::attempt::asking::{Refusers, Unasking};
use super::attempt::{Answered, Attempted, Expected, Plan, attempt, switched};
use super::attributes::Attributes;
use super::endpoint::{Class, Endpoint};
use super::entropy::Entropy;
use super::generation::Generation;
use super::intake::budget::Reserved;
use super::limits::Means;
use super::request::RequestBody;
use super::respond::ProxyError;
use super::stored;
use super::stream::protocol::Protocol;
use super::stream::signs::Signs;
use super::telling::Telling;
use super::websocket::query::with_model;
use crate::http1::fields::Fields;
use crate::observe::trace::{TRACEPARENT, Traceparent};
use crate::provider::Permit;
use crate::provider::client::Call;
use crate::routing::eligible::EligibleSet;
use crate::routing::{Observer, Route, Routes, Tier};
use course::Course;

/// The pause before the first retry; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A pause is moved by up to this share, so that clients that failed together do not come back together.
const JITTER: f64 = 0.1;

/// The request of a client, read and checked.
pub struct Job {
    /// The client's method.
    pub method: Method,
    /// The endpoint that it asks for.
    pub endpoint: Endpoint,
    /// The client's query.
    pub query: Option<String>,
    /// The client's headers, as far as they are forwarded.
    pub headers: Fields,
    /// The client's body.
    pub body: RequestBody,
    /// The memory that it was given.
    pub reserved: Option<Reserved>,
    /// Equal for requests that belong together; 0 when nothing is known.
    pub affinity: u64,
    /// The values of its headers and body that strategies are told.
    pub attributes: Attributes,
    /// The route of its model, and those of its targets that serve it.
    pub among: (Arc<Route>, Arc<EligibleSet>),
    /// The model to ask for in place of the client's, as its budget is used up.
    pub instead: Option<String>,
    /// When it was given its slot of the queue.
    pub admitted: Instant,
    /// The end of its wait for slots.
    pub deadline: Instant,
    /// True when the usage of a stream is needed, whether the client asks for it or not: for a limit, a budget or its cost.
    pub usage: bool,
    /// The signs of life for a client that waits for a stream.
    pub signs: Option<Arc<Signs>>,
    /// The approaches that are to answer it; `None` for a request that a provider answers as it is.
    pub run: Option<Box<Agenda>>,
}

/// The surroundings of the loop.
pub struct Dispatcher<'a> {
    /// The configuration that the request began with.
    pub generation: &'a Generation,
    /// Random bits for the strategy.
    pub entropy: &'a Entropy,
    /// What is shared to keep limits.
    pub means: &'a Arc<Means>,
    /// The time of day for the strategy.
    pub clock: Clock,
    /// The models that refuse to be asked for the usage of a stream.
    pub refusers: &'a Refusers,
}

/// The time of day.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The system's.
    System,
    /// The clock of a simulation.
    Simulated {
        /// When it began.
        began: Instant,
        /// The time of day at that moment, in milliseconds since 1970.
        epoch_ms: u64,
    },
}

impl Clock {
    fn now_ms(self) -> u64 {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match self {
            Clock::System => millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Clock::Simulated { began, epoch_ms } => epoch_ms.saturating_add(millis(began.elapsed())),
        }
    }
}

/// The end of a round through the tiers.
#[expect(
    clippy::large_enum_variant,
    reason = "most rounds have an answer, and a box for it would cost more than the moves"
)]
enum Round {
    /// Somebody answered.
    Answered(Answered),
    /// Nobody answered, and there is nobody left to ask.
    Failed,
    /// Nobody answered, and nobody else may be asked.
    Ended,
}

impl Dispatcher<'_> {
    /// Finds a provider that answers, or says why none does.
    ///
    /// # Errors
    ///
    /// [`ProxyError`]: nothing could be answered with.
    pub async fn dispatch(self, job: &Job, story: &mut Telling) -> Result<Answered, ProxyError> {
        let (route, eligible) = self.destination(job);
        story.affinity = job.affinity;
        story.routed(&route);
        let falls_back = job.endpoint.class == Class::Generate && route.falls_back();
        let mut course = Course::new(job, route, eligible);
        if let Some(instead) = &job.instead {
            course.ask_for(instead);
        }
        course.retries = self.retries(job, &course.route.fallbacks.on_failure);
        let mut answered = self.follow(&mut course, story, job.admitted).await?;
        if falls_back {
            // Boxed, because it is rare, and as large as the course that it repeats.
            answered = Box::pin(self.fall_back(answered, &mut course, story)).await?;
        }
        let Some(answered) = answered else {
            let limited = self.limited(&course, Instant::now()).filter(|_| course.failed.is_empty());
            return limited.map_or_else(|| course.end(&self.generation.fleet), Err);
        };
        if let Some(provider) = story.provider() {
            stored::learn(job, &answered, &provider.config.name, &self.generation.fleet);
        }
        Ok(answered)
    }

    /// The number of attempts that a request gets after every candidate has failed softly: none while there are other
    /// models to ask for.
    fn retries(&self, job: &Job, instead: &[String]) -> u32 {
        if job.endpoint.class == Class::Stored || !instead.is_empty() { 0 } else { self.generation.retries }
    }

    /// Follows a course to an answer, or to its end without one: `None`.
    async fn follow(
        &self,
        course: &mut Course<'_>,
        story: &mut Telling,
        // The clock is read only where time has passed.
        mut now: Instant,
    ) -> Result<Option<Answered>, ProxyError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let attempts = story.attempts.len();
            let mut round = self.round(course, story, now).await;
            if course.retrying && story.attempts.len() == attempts && !course.tried.is_empty() {
                // All candidates have been asked in this retry and those before it, so it starts again from the
                // beginning.
                course.tried.clear();
                round = self.round(course, story, now).await;
            }
            match round {
                Ok(Round::Answered(answered)) => return Ok(Some(answered)),
                Ok(Round::Ended) => return Ok(None),
                Ok(Round::Failed) => {}
                // It waited for a slot for a retry, so the client is told how the attempts failed.
                Err(_) if course.retrying => return Ok(None),
                // Other models may have room, where the route names any.
                Err(ProxyError::ProvidersLimited(_)) if !course.route.fallbacks.on_failure.is_empty() => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            now = Instant::now();
            let wait = pause.mul_f64(1.0 + JITTER * (f64::from(self.entropy.bits()) / f64::from(u32::MAX) * 2.0 - 1.0));
            if course.retries == 0 || !course.failed_softly() || now + wait >= course.job.deadline {
                return Ok(None);
            }
            if !std::mem::replace(&mut course.retrying, true) {
                course.tried.clear();
            }
            course.retries -= 1;
            sleep(wait).await;
            let until = Instant::now();
            story.waited(until - now);
            (now, pause) = (until, pause * 2);
        }
    }

    /// The route of a request, and those of its targets that may serve it: for a stored thing only the one that stores
    /// it.
    fn destination(&self, job: &Job) -> (Arc<Route>, Arc<EligibleSet>) {
        let Generation { fleet, routes, .. } = self.generation;
        let Some(home) = stored::home(job, fleet) else { return job.among.clone() };
        let at_home = |route: &Arc<Route>| {
            let target = (0..).zip(route.targets()).find(|(_, target)| target.provider == home);
            target.map(|(target, _)| (Arc::clone(route), Arc::new(EligibleSet::alone(target))))
        };
        at_home(&job.among.0).or_else(|| at_home(routes.everything())).unwrap_or_else(|| job.among.clone())
    }

    /// One round through the tiers, from `now` on; of a retry, up to its one attempt.
    async fn round(&self, course: &mut Course<'_>, story: &mut Telling, mut now: Instant) -> Result<Round, ProxyError> {
        let (fleet, job) = (&self.generation.fleet, course.job);
        for tier in Tier::ALL {
            let mut candidates = fleet.offer(tier, course.among(), course.model, &course.tried, now);
            course.leave_out(&mut candidates);
            if candidates.is_empty() {
                self.note_nobody(tier, course, story, now);
                continue;
            }
            course.any_healthy |= tier != Tier::LastResort;
            let (mut pending, decided) = self.ordered(tier, candidates, course, story, now);
            now = decided;
            loop {
                let permit = self.next_permit(&mut pending, tier, course, story, now).await;
                let began = match &permit {
                    Ok(Some((_, permit))) => permit.began(),
                    Ok(None) | Err(_) => Instant::now(),
                };
                story.waited(began - now);
                story.slots += began - now;
                now = began;
                let Some((index, mut permit)) = permit? else { break };
                // It stands there once, and mostly first.
                if let Some(place) = pending.iter().position(|&other| other == index) {
                    pending.remove(place);
                }
                course.tried.push(index);
                permit.observed_by(Arc::clone(&course.route) as Arc<dyn Observer>, index);
                if let Some(timeouts) = &course.route.timeouts {
                    permit.keep_to(permit.bounds().on(timeouts));
                }
                permit.excuse(course.excuse(&permit.provider().config.name));
                let (mut at, mut index) = (story.attempted(permit.provider().clone(), index, began), index);
                let told = story.told(at);
                let attempted = match course.hedged_after() {
                    // Boxed, or each future around it would have room for it, up to that of the connection, which is moved.
                    None => Box::pin(self.attempt((index, permit), course, told)).await,
                    Some(after) => {
                        // Boxed, because it is rare, and larger than an attempt.
                        let hedged =
                            Box::pin(self.hedge((at, index, permit), after, &pending, tier, course, story)).await;
                        pending.retain(|other| !hedged.tried.contains(other));
                        course.tried.extend(hedged.tried);
                        if let Some((at, index, failure)) = hedged.failed {
                            course.note((at, index), failure, story, Instant::now());
                        }
                        (at, index) = hedged.last;
                        hedged.attempted
                    }
                };
                now = Instant::now();
                story.waited(now - began);
                let failure = match attempted {
                    Attempted::Answered(answered) => {
                        story.won(at, now);
                        return Ok(Round::Answered(answered));
                    }
                    Attempted::Failed(failure) => failure,
                };
                let sent = failure.sent;
                course.note((at, index), failure, story, now);
                // A thing that is stored at one provider is not at another, and nothing may be done to it twice.
                if job.endpoint.class == Class::Stored && sent {
                    return Ok(Round::Ended);
                }
                if course.retrying {
                    return Ok(Round::Failed);
                }
            }
        }
        Ok(Round::Failed)
    }

    /// Makes an attempt at the target of this index, whose provider is told of a span.
    async fn attempt(
        &self,
        (index, permit): (u32, Permit),
        course: &Course<'_>,
        told: Option<Traceparent>,
    ) -> Attempted {
        let Job { method, endpoint, query, headers, body, signs, .. } = course.job;
        let telling = told.map(|told| {
            let mut headers = headers.clone();
            headers.insert(TRACEPARENT, &told.to_header());
            headers
        });
        let headers = telling.as_ref().unwrap_or(headers);
        let provider = permit.provider().clone();
        if let Some(signs) = signs {
            signs.asking(provider.name_header.clone());
        }
        let asked = course.asked();
        let target = course.route.target(index);
        let model = target.model_for(&provider.config, asked, course.route.taken(asked));
        let protocol = Protocol::of(&endpoint.path);
        let connect = Some(permit.bounds().connect.limit);
        if endpoint.class == Class::Session {
            let (method, endpoint, query) = (method.clone(), &*endpoint.path, with_model(query.as_deref(), &model));
            let (query, model, body) = (query.as_deref(), &*model, Bytes::new());
            let call = Call { method, endpoint, query, model, headers, body, connect, once: true };
            // Boxed: rare.
            return Box::pin(switched::attempt(permit, call)).await;
        }
        let asks = course.job.usage
            && body.leaves_usage_open()
            && matches!(protocol, Protocol::Chat | Protocol::Completions)
            && provider.config.stream_usage
            && !self.refusers.have(&provider.config.name, &model);
        let unasking = asks.then(|| Unasking { body: body.with_model(&model), refusers: self.refusers });
        let call = Call {
            method: method.clone(),
            endpoint: &endpoint.path,
            query: query.as_deref(),
            model: &model,
            headers,
            body: if asks { body.asking_for_usage(&model) } else { body.with_model(&model) },
            connect,
            once: endpoint.class == Class::Stored,
        };
        let plan = Plan {
            call,
            expected: Expected::of(endpoint),
            protocol,
            streaming: body.streaming(),
            signs: signs.as_deref(),
            unasking,
            prices: (&self.generation.prices, target.price),
        };
        attempt(permit, plan).await
    }
}

/// The route of a request, and those of its targets that may serve it. A request that makes something and names no
/// model goes only to targets that list no models, if there are any: it could otherwise reach a provider that serves
/// only its listed ones. Stored things belong only to the route of everything. `None` when nobody serves it.
pub fn destination<'r>(
    routes: &'r Routes,
    method: &Method,
    endpoint: &Endpoint,
    body: &RequestBody,
) -> Option<(&'r Arc<Route>, Arc<EligibleSet>)> {
    let model = body.model();
    let stored = endpoint.class == Class::Stored;
    let route = if stored { Some(routes.everything()) } else { routes.of(model) }?;
    let any = endpoint.makes(method) && !stored && model.is_empty();
    let eligible = if any { Arc::clone(route.unlisted()) } else { route.eligible(model) };
    (!eligible.is_empty()).then_some((route, eligible))
}
