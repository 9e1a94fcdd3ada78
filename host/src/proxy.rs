//! The way of a request through the proxy: from HTTP to the dispatcher and back to HTTP.
//!
//! [`handle`] is the one handler of all OpenAI endpoints. Anything wrong with a request is found before it takes a slot
//! of the queue; a sound request goes to [`dispatch`].

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, UPGRADE};
use http::{Method, Response};
use http_body_util::Full;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod affinity;
pub mod approach;
pub mod attempt;
pub mod attributes;
pub mod dispatch;
pub mod encoding;
pub mod endpoint;
pub mod entropy;
pub mod generation;
pub mod headers;
pub mod intake;
pub mod limits;
pub mod models;
pub mod naming;
mod parts;
mod passing;
mod permitted;
mod reading;
pub mod reply;
pub mod request;
pub mod respond;
pub mod serve;
pub mod stored;
pub mod stream;
pub mod telling;
pub mod usage;
pub mod visitors;
pub mod websocket;
pub mod whole;
pub mod within;

use crate::clients::Keys;
use crate::config::ModelNames;
use crate::http1::fields::Fields;
use crate::limits::{Moment, Spend};
use crate::listener::{Arriving, Closer, Head, Peer};
use crate::metrics::Metrics;
use crate::observe::Ledger;
use crate::queue::Queue;
use attempt::Answered;
use attempt::asking::Refusers;
use dispatch::{Clock, Job};
use encoding::Encoding;
use endpoint::{Class, Endpoint};
use entropy::Entropy;
use generation::Generation;
use intake::budget::Budget;
use limits::Means;
use models::Catalogue;
use naming::Naming;
use passing::{finish_head, name_attempts, pass_on};
use reply::Reply;
use respond::{Form, ProxyError};
use serve::Arrived;
use stream::Ways;
use stream::early::{self, Early};
use stream::protocol::Protocol;
use telling::Telling;
use visitors::Bound;
use websocket::handshake::Offer;
use websocket::{Opened, Opening};

/// The header that names a request, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The state that all requests share.
pub struct Proxy {
    generation: ArcSwap<Generation>,
    queue: Queue,
    metrics: Arc<Metrics>,
    entropy: Entropy,
    /// The time of day for strategies.
    clock: Clock,
    /// Requests in flight, which a drain waits for.
    requests: TaskTracker,
    /// Cancelled when the server goes down.
    draining: CancellationToken,
    /// The models that providers list.
    catalogue: Catalogue,
    /// The memory that bodies may take.
    budget: Budget,
    /// What has been spent.
    spend: Arc<Spend>,
    /// The models that refuse to be asked for the usage of a stream.
    refusers: Refusers,
    /// The keys of clients.
    clients: Arc<Keys>,
    /// What is shared to keep limits.
    means: Arc<Means>,
    /// The stories that are kept.
    ledger: Arc<Ledger>,
}

impl Proxy {
    /// The proxy of a first configuration and its clients; `budget` is the memory that bodies may take.
    pub fn new(
        (generation, clients): (Generation, Arc<Keys>),
        queue: Queue,
        metrics: Arc<Metrics>,
        requests: TaskTracker,
        draining: CancellationToken,
        budget: Budget,
    ) -> Self {
        let means = Arc::new(Means::new(Arc::clone(generation.fleet.clock()), Arc::clone(&metrics)));
        let generation = ArcSwap::from_pointee(generation);
        let catalogue = Catalogue::new(requests.clone(), draining.clone());
        let entropy = Entropy::default();
        let clock = Clock::System;
        let (spend, refusers) = (Arc::default(), Refusers::default());
        Self {
            generation,
            queue,
            metrics,
            entropy,
            clock,
            requests,
            draining,
            catalogue,
            budget,
            spend,
            refusers,
            clients,
            means,
            ledger: Ledger::new(0, None),
        }
    }

    /// The same, which keeps the stories of its requests.
    pub fn keeping(self, ledger: Arc<Ledger>) -> Self {
        Self { ledger, ..self }
    }

    /// The same for a simulation, with its own random bits and clock.
    pub fn simulated(self, entropy: Entropy, clock: Clock) -> Self {
        if let Clock::Simulated { began, epoch_ms } = clock {
            self.means.clock().set(began, Moment::of_unix_ms(epoch_ms));
        }
        Self { entropy, clock, ..self }
    }
}

/// Handles a request for any endpoint of the OpenAI API.
pub async fn handle(
    proxy: &Arc<Proxy>,
    (head, body): (Head, Arriving),
    (peer, bound): (Peer, &Bound),
    closer: &Closer,
) -> Response<Reply> {
    let id = proxy.request_id(&head.headers);
    let (method, path) = (head.method.clone(), head.uri.path().to_owned());
    let story = Telling::new(id, method, path, Arc::clone(&proxy.metrics), proxy.requests.token());
    let mut story = story.kept_in(&proxy.ledger);
    if let Some(address) = peer.0 {
        story.came_from(address.ip());
    }
    let mut closes = false;
    let mut body = Some(body);
    let form = Form::of(&head.uri);
    let answer = match proxy.serve(head, &mut body, bound, &mut story).await {
        Ok(Prepared::Own(response)) => Ok(Answer::Own(response)),
        Ok(Prepared::WebSocket(opening)) => {
            // Boxed: rare.
            match Box::pin(websocket::open(proxy, *opening, &mut story)).await {
                Ok(Opened::Session(session)) => return session.begin(story, closer),
                Ok(Opened::Refused(answered)) => {
                    let ways = Ways { closer: closer.clone(), keep_alive: None, naming: None };
                    Ok(Answer::Provider(*answered, ways))
                }
                Err(error) => Err(error),
            }
        }
        Ok(Prepared::Job(mut job, generation)) => {
            if let Some(plan) = job.run.take() {
                // Boxed: rare, and larger than the way of a plain request.
                let (proxy, closer) = (Arc::clone(proxy), closer.clone());
                return Box::pin(approach::answer::answer(proxy, generation, (job, *plan), story, closer, closes))
                    .await;
            }
            let (keep_alive, admitted) = (generation.keep_alive, job.admitted);
            let naming = match generation.model_names {
                ModelNames::Provider => None,
                ModelNames::Client => Naming::of(job.body.model()),
            };
            let mut assumed = None;
            let answered = if let Some(signs) = job.signs.clone() {
                let (protocol, id) = (Protocol::of(&job.endpoint.path), story.id.as_str().to_owned());
                let levels = story.levels(Instant::now());
                let mut course = early::course(Arc::clone(proxy), generation, job, story);
                let arrived = early::follow(&mut course, &signs, admitted, keep_alive).await;
                let Some((back, answered)) = arrived else {
                    let asked = signs.show();
                    let ways = Ways { closer: closer.clone(), keep_alive, naming };
                    let mut response = Early::new(course, signs, protocol, admitted, ways).begin(asked);
                    finish_head(response.headers_mut(), &id, closes);
                    if let Some(levels) = levels {
                        levels.write(response.headers_mut());
                    }
                    return response;
                };
                story = back;
                answered
            } else {
                // Boxed, as the attempts within it are.
                let answered = Box::pin(proxy.dispatch(&generation, &job, &mut story)).await;
                let model = job.body.model();
                match answered {
                    Ok(answered) if job.endpoint.class == Class::Models && !models::is_described(&answered, model) => {
                        assumed = models::assumed(&generation, model);
                        Err(models::unknown(&generation, model, story.client.as_deref()))
                    }
                    answered => answered,
                }
            };
            match assumed {
                Some(response) => Ok(Answer::Own(response)),
                None => answered
                    .map(|answered| Answer::Provider(answered, Ways { closer: closer.clone(), keep_alive, naming })),
            }
        }
        Err(error) => Err(error),
    };
    let mut response = match answer {
        Ok(Answer::Own(response)) => response,
        Ok(Answer::Provider(answered, ways)) => return pass_on(answered, story, ways, closes),
        Err(error) => {
            story.sentence = Some(error.sentence());
            let mut response = error.into_response(form, story.id.as_str(), story.attempts.len());
            name_attempts(response.headers_mut(), &story, Instant::now());
            response
        }
    };
    if let Some(unread) = body {
        // Without this header the HTTP library would close the connection without notice, and the client would send its
        // next request into it.
        closes |= !intake::discard(unread).await;
    }
    proxy.means.write_levels(&story, response.headers_mut());
    finish_head(response.headers_mut(), story.id.as_str(), closes);
    let code = response.extensions().get::<respond::Code>().map(|code| code.0);
    story.answered(response.status(), code, Instant::now());
    response.map(Reply::Own)
}

/// The result of reading a request.
#[expect(clippy::large_enum_variant, reason = "most are orders, and a box for each would cost more than the moves")]
enum Prepared {
    /// The proxy's own answer.
    Own(Response<Full<Bytes>>),
    /// A job for a provider, under the configuration that it began with.
    Job(Job, Arc<Generation>),
    /// A WebSocket to be opened.
    WebSocket(Box<Opening>),
}

/// The answer to a request.
enum Answer {
    /// An answer of the proxy itself.
    Own(Response<Full<Bytes>>),
    /// An answer of a provider.
    Provider(Answered, Ways),
}

impl Proxy {
    /// Takes `body` when it reads it.
    async fn serve(
        &self,
        mut head: Head,
        body: &mut Option<Arriving>,
        bound: &Bound,
        story: &mut Telling,
    ) -> Result<Prepared, ProxyError> {
        if self.is_draining() {
            return Err(ProxyError::Draining);
        }
        let generation = self.generation();
        if let Some(tracing) = &generation.tracing {
            story.trace = Some(Box::new(tracing.begin(&mut head.headers, || self.entropy.next())));
        }
        if let Some(answer) = generation.visitors.preflight(&head.method, &head.headers) {
            return answer.map(Prepared::Own);
        }
        let asked = (head.version, &head.uri, &head.headers);
        generation.visitors.admit(asked, bound, self.clients.refuse_unknown(), false)?;
        if head.uri.path() == "/" {
            return front_page(&head.method).map(Prepared::Own);
        }
        let offer = is_upgrade(&head.headers).then(|| Box::new(Offer::take(&mut head.headers)));
        permitted::identify(&self.clients, &head.headers, story)?;
        if let Some(offer) = offer {
            return Opening::of(head, *offer, generation, story).map(|opening| Prepared::WebSocket(Box::new(opening)));
        }
        let mut endpoint = Endpoint::of(&head.method, head.uri.path())?;
        story.endpoint = endpoint.label();
        if endpoint.class == Class::Models {
            if let Some(response) = self.catalogue.answer(&generation, &endpoint.path, story.client.as_deref()).await {
                return Ok(Prepared::Own(response));
            }
            let id = models::wanted(&endpoint.path).unwrap_or_default();
            let client = story.client.as_deref();
            if client.is_some_and(|client| !client.may_use(&id)) {
                return Err(models::unknown(&generation, &id, client));
            }
            if !models::is_asked_for(&generation, &id) {
                return models::assumed(&generation, &id)
                    .map(Prepared::Own)
                    .ok_or_else(|| models::unknown(&generation, &id, client));
            }
            endpoint.model = Some(id);
        }
        let encoding = Encoding::of(&head.headers);
        let limit = generation.max_body_bytes;
        let (mut bytes, mut reserved) = match body.take() {
            Some(body) => intake::read(body, &head.headers, limit, &self.budget).await?,
            None => (Bytes::new(), None),
        };
        let mut headers = head.headers;
        if let Ok(Some(encoding)) = encoding {
            if let Some(reserved) = &mut reserved {
                reserved.grow(bytes.len() + limit, bytes.len() + limit).await?;
            }
            bytes = encoding.decode(bytes, limit).await?;
            if let Some(reserved) = &mut reserved {
                reserved.shrink(bytes.len());
            }
            headers.remove(CONTENT_ENCODING);
        }
        let arrived = Instant::now();
        let waited = arrived - story.began;
        story.waited(waited);
        let body =
            reading::understand(&endpoint, &head.method, &mut headers, bytes, &generation.approaches.menu).await?;
        let query = head.uri.query().map(str::to_owned);
        let arrived = Arrived { method: head.method, endpoint, query, headers, body, reserved, at: arrived };
        let job = self.admit(&generation, arrived, story).await?;
        Ok(Prepared::Job(job, generation))
    }
}

/// True when the client wants to change to another protocol, such as WebSocket. The request would mean something else
/// if it were passed on without that header.
fn is_upgrade(headers: &Fields) -> bool {
    headers.get(UPGRADE).is_some_and(|wanted| wanted.to_ascii_lowercase().starts_with(b"websocket"))
}

/// The answer at the root, for anybody who checks that the server is there; it needs no key.
fn front_page(method: &Method) -> Result<Response<Full<Bytes>>, ProxyError> {
    if method != Method::GET && method != Method::HEAD {
        return Err(ProxyError::WrongMethod("GET, HEAD"));
    }
    let text = concat!(
        "Pointsman ",
        env!("CARGO_PKG_VERSION"),
        ", a proxy for the OpenAI API: its endpoints begin with /v1/, its state is at /health, \
         its documentation in the README.md that comes with it.\n"
    );
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}
