//! THE pipeline of a request that has been read: its route, the wait for a slot, the attempts. Both sockets and the
//! simulation feed it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use super::approach::plan::plan;
use super::attempt::Answered;
use super::dispatch::{Dispatcher, Job, destination};
use super::endpoint::{Class, Endpoint};
use super::generation::Generation;
use super::intake::budget::Reserved;
use super::limits::{Share, Wanted};
use super::request::RequestBody;
use super::respond::ProxyError;
use super::stream::protocol::Protocol;
use super::stream::signs::Signs;
use super::telling::{Reckoning, Telling};
use super::{Proxy, affinity, attributes, headers, models, permitted};
use crate::clients::Client;
use crate::http1::fields::Fields;
use crate::queue::{NoSlot, QueuePermit};
use crate::routing::Route;
use crate::routing::eligible::EligibleSet;

/// A request that has been read and is sound in itself.
pub struct Arrived {
    /// The client's method.
    pub method: Method,
    /// The endpoint that it asks for.
    pub endpoint: Endpoint,
    /// The client's query.
    pub query: Option<String>,
    /// The client's headers, all of them.
    pub headers: Fields,
    /// The client's body.
    pub body: RequestBody,
    /// The memory that it was given.
    pub reserved: Option<Reserved>,
    /// The time at which it had been read.
    pub at: Instant,
}

/// A route, and those of its targets that may serve a request.
type Among = (Arc<Route>, Arc<EligibleSet>);

impl Proxy {
    /// Finds the route of a request and waits for its slot.
    ///
    /// # Errors
    ///
    /// [`ProxyError`] when nobody serves its model, or there is no slot in time.
    pub async fn admit(
        &self,
        generation: &Generation,
        arrived: Arrived,
        story: &mut Telling,
    ) -> Result<Job, ProxyError> {
        let Arrived { method, endpoint, query, mut headers, body, reserved, at } = arrived;
        // Both may be about a header that providers do not get.
        let affinity = affinity::key(&generation.affinity, &headers, &body);
        let attributes = attributes::of(&generation.attributes, &headers, &body);
        headers::to_provider(&mut headers, &generation.forward_headers);
        if let Some(header) = &generation.clients_header {
            headers.remove(header);
        }
        story.asked_for(body.model(), body.streaming());
        story.generation = generation.number;
        story.reckons_by(Reckoning::of(generation, &self.spend));
        permitted::check(story.client.as_deref(), (&method, &endpoint), body.model())?;
        let found = destination(&generation.routes, &method, &endpoint, &body);
        let Some((route, eligible)) = found else {
            return Err(models::unknown(generation, body.model(), story.client.as_deref()));
        };
        story.routed(route);
        let is_session = endpoint.class == Class::Session;
        let run = if body.approach().is_some() || (generation.approaches.has_defaults() && !is_session) {
            let default = generation.approaches.default_of(&route.name);
            // Boxed: rare, and larger than what is around it.
            Box::pin(plan(&generation.approaches, (&method, &endpoint), &body, default)).await?.map(Box::new)
        } else {
            None
        };
        let share = if run.is_some() { Share::Request } else { Share::Whole };
        let model = body.model();
        let wanted = Wanted { endpoint: &endpoint, body: &body, route, eligible: &eligible, model, share };
        let (mut among, mut instead) = ((Arc::clone(route), Arc::clone(&eligible)), None);
        if let Err(error) = self.means.take(generation, &wanted, at, story).await {
            // Boxed: rare.
            (among, instead) = Box::pin(self.once_spent(generation, &wanted, error, story)).await?;
        }
        let deadline = at + generation.queue_timeout;
        let (permit, wait) = self.enter_queue(generation, deadline).await?;
        story.hold(permit, wait);
        let admitted = at + wait;
        let is_stream = Protocol::of(&endpoint.path) != Protocol::Other && !is_session;
        let signs = (body.streaming() && run.is_none() && is_stream).then(Signs::new);
        Ok(Job {
            method,
            endpoint,
            query,
            headers,
            body,
            reserved,
            affinity,
            attributes,
            among,
            instead,
            admitted,
            deadline,
            usage: generation.asks_for_usage || story.client.as_ref().is_some_and(|client| client.needs_usage()),
            signs,
            run,
        })
    }

    /// The model that a client is to get once its budget is used up, with its route.
    ///
    /// # Errors
    ///
    /// The refusal, where the client is to get none, or no limit but the budget allows it.
    async fn once_spent(
        &self,
        generation: &Generation,
        wanted: &Wanted<'_>,
        error: ProxyError,
        story: &mut Telling,
    ) -> Result<(Among, Option<String>), ProxyError> {
        let is_spent = matches!(&error, ProxyError::Limited(limited) if limited.is_spent());
        // The configuration is checked for it; a model that the client may not use is never asked for on its behalf.
        let instead =
            |client: &Arc<Client>| client.when_exhausted().filter(|model| client.may_use(model)).map(str::to_owned);
        let model = story.client.as_ref().and_then(instead);
        let model = model.filter(|_| is_spent && wanted.share == Share::Whole);
        let Some((model, route)) = model.and_then(|model| generation.routes.of(&model).map(|route| (model, route)))
        else {
            return Err(error);
        };
        let eligible = route.eligible(&model);
        let wanted = Wanted { route, eligible: &eligible, model: &model, share: Share::Unpaid, ..*wanted };
        self.means.take(generation, &wanted, Instant::now(), story).await?;
        tracing::info!(
            request_id = story.id.as_str(),
            "the request is for model {model} instead, as its client's budget is used up"
        );
        story.fell_back(&model, route);
        Ok(((Arc::clone(route), eligible), Some(model)))
    }

    /// Has a provider answer a job, or says why none does.
    ///
    /// # Errors
    ///
    /// [`ProxyError`]: nothing could be answered with.
    pub fn dispatch<'a>(
        &'a self,
        generation: &'a Generation,
        job: &'a Job,
        story: &'a mut Telling,
    ) -> impl Future<Output = Result<Answered, ProxyError>> + Send + 'a {
        // No future around a future: it is large, and each one more moves it once more.
        let (entropy, refusers, means) = (&self.entropy, &self.refusers, &self.means);
        Dispatcher { generation, entropy, means, clock: self.clock, refusers }.dispatch(job, story)
    }

    /// Takes a slot of the queue, and says how long that took.
    async fn enter_queue(
        &self,
        generation: &Generation,
        deadline: Instant,
    ) -> Result<(QueuePermit, Duration), ProxyError> {
        if let Some(permit) = self.queue.try_enter() {
            return Ok((permit, Duration::ZERO));
        }
        let queued = Instant::now();
        match self.queue.enter(deadline).await {
            Ok(permit) => Ok((permit, queued.elapsed())),
            Err(NoSlot::TimedOut) => Err(ProxyError::QueueTimeout(generation.queue_timeout)),
            Err(NoSlot::Full) => Err(ProxyError::QueueFull(self.queue.max_waiting())),
        }
    }
}
