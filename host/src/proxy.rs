//! The way of a request through the proxy: from HTTP to the dispatcher and back to HTTP.
//!
//! [`handle`] is the one handler of all OpenAI endpoints. What is wrong with a request is found before it takes a slot
//! of the queue; what is right with it goes to [`dispatch`].

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod access;
pub mod affinity;
pub mod attempt;
pub mod dispatch;
pub mod encoding;
pub mod endpoint;
pub mod entropy;
pub mod generation;
pub mod headers;
pub mod intake;
pub mod models;
pub mod naming;
pub mod reply;
pub mod request;
pub mod respond;
pub mod stored;
pub mod stream;
pub mod usage;
pub mod visitors;
pub mod whole;

use crate::config::ModelNames;
use crate::listener::{Closer, Peer};
use crate::metrics::Metrics;
use crate::queue::{NoSlot, Queue, QueuePermit};
use crate::routing::Outcome;
use access::Entry;
use attempt::{Answered, Content, Passing};
use dispatch::{Clock, Dispatcher, Order};
use encoding::Encoding;
use endpoint::{Class, Endpoint};
use entropy::Entropy;
use generation::Generation;
use intake::budget::Budget;
use models::Catalogue;
use naming::Naming;
use reply::Reply;
use request::{Approach, BodyError, RequestBody};
use respond::{Form, ProxyError};
use stream::early::{self, Early};
use stream::protocol::Protocol;
use stream::signs::Signs;
use stream::{Kind, Relay, Ways};
use usage::Usage;
use visitors::Bound;
use whole::Whole;

/// The header that names a request, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header that names the provider that answered.
const PROVIDER: HeaderName = HeaderName::from_static("x-pointsman-provider");

/// The header that says how many providers it took.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-pointsman-attempts");

/// A larger body is scanned on a thread of its own: even a hostile one of this size takes no more than a few ms.
const SCANNED_IN_PLACE: usize = 1 << 20;

/// Everything that requests share.
pub struct Proxy {
    generation: ArcSwap<Generation>,
    queue: Queue,
    metrics: Arc<Metrics>,
    entropy: Entropy,
    approach: Approach,
    /// Requests in flight, which a drain waits for.
    requests: TaskTracker,
    /// Cancelled when the server goes down.
    draining: CancellationToken,
    /// The models that providers list.
    catalogue: Catalogue,
    /// The memory that bodies may take.
    budget: Budget,
}

impl Proxy {
    /// The proxy of a first configuration; `approach` is what a request gets that names none, `budget` the memory that
    /// bodies may take.
    pub fn new(
        generation: Generation,
        queue: Queue,
        metrics: Arc<Metrics>,
        approach: Approach,
        requests: TaskTracker,
        draining: CancellationToken,
        budget: Budget,
    ) -> Self {
        let generation = ArcSwap::from_pointee(generation);
        let catalogue = Catalogue::new(requests.clone(), draining.clone());
        let entropy = Entropy::default();
        Self { generation, queue, metrics, entropy, approach, requests, draining, catalogue, budget }
    }

    /// What new requests begin with.
    pub fn generation(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// Puts the next generation in force for requests that begin from now on.
    pub fn succeed(&self, next: Generation) {
        self.generation.store(Arc::new(next));
    }

    /// The global queue.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whether the server is going down.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// The id of a request: the client's if it is sane, else a new one.
    pub fn request_id(&self, headers: &HeaderMap) -> String {
        let sane = |id: &&str| {
            (1..=128).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
        };
        let client = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane);
        client.map_or_else(|| self.entropy.request_id(), str::to_owned)
    }
}

/// Handles a request for any endpoint of the OpenAI API.
pub async fn handle(
    proxy: &Arc<Proxy>,
    request: Request<Incoming>,
    (peer, bound): (Peer, &Bound),
    closer: &Closer,
) -> Response<Reply> {
    let id = proxy.request_id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut entry = Entry::new(id, method, path, Arc::clone(&proxy.metrics), proxy.requests.token());
    if let Some(address) = peer.0 {
        entry.came_from(address.ip());
    }
    // As far as this function is concerned a request with a chunked body may hold a Content-Length as well, which the
    // HTTP library drops in that case; no second request is read after one (RFC 9112, 6.1).
    let mut closes = request.headers().contains_key(http::header::TRANSFER_ENCODING);
    let (head, body) = request.into_parts();
    let mut body = Some(body);
    let form = Form::of(&head.uri);
    let answer = match proxy.serve(head, &mut body, bound, &mut entry).await {
        Ok(Prepared::Own(response)) => Ok(Answer::Own(response)),
        Ok(Prepared::Order(order, generation)) => {
            let (keep_alive, admitted) = (generation.keep_alive, order.admitted);
            let naming = match generation.model_names {
                ModelNames::Provider => None,
                ModelNames::Client => Naming::of(order.body.model()),
            };
            let mut assumed = None;
            let answered = if let Some(signs) = order.signs.clone() {
                let (protocol, id) = (Protocol::of(&order.endpoint.path), entry.id().to_owned());
                let mut course = early::course(Arc::clone(proxy), generation, order, entry);
                let arrived = early::follow(&mut course, &signs, admitted, keep_alive).await;
                let Some((back, answered)) = arrived else {
                    let asked = signs.show();
                    let ways = Ways { closer: closer.clone(), keep_alive, naming };
                    let mut response = Early::new(course, signs, protocol, admitted, ways).begin(asked);
                    finish_head(response.headers_mut(), &id, closes);
                    return response;
                };
                entry = back;
                answered
            } else {
                let dispatcher = Dispatcher { generation: &generation, entropy: &proxy.entropy, clock: Clock::System };
                let answered = dispatcher.dispatch(&order, &mut entry).await;
                let model = order.body.model();
                match answered {
                    Ok(answered)
                        if order.endpoint.class == Class::Models && !models::is_described(&answered, model) =>
                    {
                        assumed = models::assumed(&generation, model);
                        Err(ProxyError::UnknownModel(model.to_owned()))
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
        Ok(Answer::Provider(answered, ways)) => return pass_on(answered, entry, ways, closes),
        Err(error) => {
            let mut response = error.into_response(form, entry.id(), entry.attempts());
            name_attempts(response.headers_mut(), &entry);
            response
        }
    };
    if let Some(unread) = body {
        // The HTTP library would close the connection without a word, and the client send its next request into it.
        closes |= !intake::discard(unread).await;
    }
    finish_head(response.headers_mut(), entry.id(), closes);
    let code = response.extensions().get::<respond::Code>().map(|code| code.0);
    entry.answered(response.status(), code, Instant::now());
    response.map(Reply::Own)
}

/// The result of reading a request.
#[expect(clippy::large_enum_variant, reason = "most are orders, and a box for each would cost more than the moves")]
enum Prepared {
    /// The proxy's own answer.
    Own(Response<Full<Bytes>>),
    /// Something for a provider, under the configuration that it began with.
    Order(Order, Arc<Generation>),
}

/// What a request is answered with.
#[expect(clippy::large_enum_variant, reason = "most come from providers, and it is moved once")]
enum Answer {
    /// By the proxy itself.
    Own(Response<Full<Bytes>>),
    /// By a provider.
    Provider(Answered, Ways),
}

impl Proxy {
    /// Takes `body` when it reads it.
    async fn serve(
        &self,
        head: Parts,
        body: &mut Option<Incoming>,
        bound: &Bound,
        entry: &mut Entry,
    ) -> Result<Prepared, ProxyError> {
        if self.is_draining() {
            return Err(ProxyError::Draining);
        }
        let generation = self.generation();
        entry.under(&generation);
        if let Some(answer) = generation.visitors.preflight(&head.method, &head.headers) {
            return answer.map(Prepared::Own);
        }
        let asked = (head.version, &head.uri, &head.headers);
        generation.visitors.admit(asked, bound, !generation.api_keys.is_empty(), false)?;
        if head.uri.path() == "/" {
            return front_page(&head.method).map(Prepared::Own);
        }
        if !generation.admits(&head.headers) {
            return Err(ProxyError::WrongKey);
        }
        if is_upgrade(&head.headers) {
            return Err(ProxyError::Upgrade);
        }
        let mut endpoint = Endpoint::of(&head.method, head.uri.path())?;
        entry.at(endpoint.label());
        if endpoint.class == Class::Models {
            if let Some(response) = self.catalogue.answer(&generation, &endpoint.path).await {
                return Ok(Prepared::Own(response));
            }
            let id = models::wanted(&endpoint.path).unwrap_or_default();
            if !models::is_asked_for(&generation, &id) {
                return models::assumed(&generation, &id).map(Prepared::Own).ok_or(ProxyError::UnknownModel(id));
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
        entry.waited(arrived - entry.began());
        let body = self.understand(&endpoint, &head.method, &mut headers, bytes).await?;
        // It may be about a header that providers do not get.
        let affinity = affinity::key(&generation.affinity, &headers, &body);
        headers::to_provider(&mut headers, &generation.forward_headers);
        entry.asked_for(body.model(), body.streaming());
        if dispatch::eligible(&generation.fleet, &head.method, &endpoint, &body).providers().is_empty() {
            return Err(ProxyError::UnknownModel(body.model().to_owned()));
        }
        let deadline = arrived + generation.queue_timeout;
        let (permit, wait) = self.enter_queue(deadline).await?;
        entry.hold(permit, wait);
        let query = head.uri.query().map(str::to_owned);
        let admitted = arrived + wait;
        let signs = (body.streaming() && Protocol::of(&endpoint.path) != Protocol::Other).then(Signs::new);
        let method = head.method;
        let order = Order { method, endpoint, query, headers, body, reserved, affinity, admitted, deadline, signs };
        Ok(Prepared::Order(order, generation))
    }

    /// Takes a slot of the queue, and says how long that took.
    async fn enter_queue(&self, deadline: Instant) -> Result<(QueuePermit, Duration), ProxyError> {
        if let Some(permit) = self.queue.try_enter() {
            return Ok((permit, Duration::ZERO));
        }
        let queued = Instant::now();
        match self.queue.enter(deadline).await {
            Ok(permit) => Ok((permit, queued.elapsed())),
            Err(NoSlot::TimedOut) => Err(ProxyError::QueueTimeout(self.generation().queue_timeout)),
            Err(NoSlot::Full) => Err(ProxyError::QueueFull(self.queue.max_waiting())),
        }
    }

    /// Reads what routing needs from the body.
    async fn understand(
        &self,
        endpoint: &Endpoint,
        method: &Method,
        headers: &mut HeaderMap,
        bytes: Bytes,
    ) -> Result<RequestBody, ProxyError> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is = |kind: &str| content_type.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
        let sends = method == Method::POST || method == Method::PUT || method == Method::PATCH;
        let named = endpoint.model.as_deref();
        let is_encoded = headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
        if is("multipart/") {
            if is_encoded {
                return Err(ProxyError::Encoded);
            }
            return multipart(bytes, content_type, named, self.approach).await.map_err(ProxyError::Body);
        }
        let may_be_json = sends && is("application/json") && !bytes.is_empty();
        if !endpoint.json && !may_be_json {
            return Ok(RequestBody::opaque(bytes, named));
        }
        if is_encoded {
            return Err(ProxyError::Encoded);
        }
        // `curl -d` says that it sends a form; a provider would believe it.
        if !is("application/json") {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        json(bytes, named, self.approach).await.map_err(ProxyError::Body)
    }
}

/// True when the client wants to speak another protocol, such as WebSocket. Passed on without it, the request would
/// mean something else.
fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|wanted| wanted.as_bytes().to_ascii_lowercase().starts_with(b"websocket"))
}

/// The answer to somebody who looks whether anything is there; needs no key.
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

/// Reads a JSON body; a large one where it holds up no other request.
async fn json(bytes: Bytes, named: Option<&str>, approach: Approach) -> Result<RequestBody, BodyError> {
    if bytes.len() <= SCANNED_IN_PLACE {
        return RequestBody::json(bytes, named, approach);
    }
    let named = named.map(str::to_owned);
    elsewhere(move || RequestBody::json(bytes, named.as_deref(), approach)).await
}

/// Reads a form; a large one where it holds up no other request.
async fn multipart(
    bytes: Bytes,
    content_type: &str,
    named: Option<&str>,
    approach: Approach,
) -> Result<RequestBody, BodyError> {
    if bytes.len() <= SCANNED_IN_PLACE {
        return RequestBody::multipart(bytes, content_type, named, approach);
    }
    let (content_type, named) = (content_type.to_owned(), named.map(str::to_owned));
    elsewhere(move || RequestBody::multipart(bytes, &content_type, named.as_deref(), approach)).await
}

/// Scans on a thread of its own.
async fn elsewhere(
    scan: impl FnOnce() -> Result<RequestBody, BodyError> + Send + 'static,
) -> Result<RequestBody, BodyError> {
    match tokio::task::spawn_blocking(scan).await {
        Ok(body) => body,
        // The task is never aborted, so this is a panic of the scanner, to be passed on.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Turns a provider's answer into the client's.
fn pass_on(answered: Answered, mut entry: Entry, ways: Ways, closes: bool) -> Response<Reply> {
    let Answered { status, mut headers, content, outcome } = answered;
    let (is_whole, is_stream) = match &content {
        Content::Whole(_) => (true, false),
        Content::Passing(passing) => (false, matches!(passing.kind, Kind::Events(_))),
    };
    headers::to_client(&mut headers);
    headers.remove(SET_COOKIE);
    if is_whole || is_stream {
        headers.remove(CONTENT_LENGTH);
    }
    if is_stream {
        headers::let_events_pass(&mut headers);
    }
    if let Some(theirs) = headers.remove(REQUEST_ID) {
        headers.insert("x-pointsman-provider-request-id", theirs);
    }
    finish_head(&mut headers, entry.id(), closes);
    name_attempts(&mut headers, &entry);
    let now = Instant::now();
    entry.answered(status, None, now);
    let body = match content {
        Content::Whole(bytes) => {
            if outcome == Outcome::Succeeded {
                entry.used(Usage::of(&bytes));
            }
            entry.ended(outcome, now);
            let bytes = match ways.naming.filter(|_| outcome == Outcome::Succeeded) {
                Some(naming) => naming.answer(bytes),
                None => bytes,
            };
            Reply::Whole(Whole::new(bytes, entry))
        }
        Content::Passing(Passing { held, source, kind, deadline, permit }) => {
            Reply::Relay(Box::new(Relay::new(held, source, kind, deadline, permit, entry, ways)))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Writes the end of every answer's head.
fn finish_head(headers: &mut HeaderMap, id: &str, closes: bool) {
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    if closes {
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Says which provider answered, or failed last, and after how many attempts.
fn name_attempts(headers: &mut HeaderMap, entry: &Entry) {
    if let Some(name) = entry.provider().and_then(|provider| provider.name_header.clone()) {
        headers.insert(PROVIDER, name);
    }
    if let Some(Ok(decision)) = entry.decision().map(HeaderValue::try_from) {
        headers.insert("x-pointsman-decision", decision);
    }
    if entry.attempts() > 1 {
        headers.insert(ATTEMPTS, HeaderValue::from(entry.attempts()));
    }
}
