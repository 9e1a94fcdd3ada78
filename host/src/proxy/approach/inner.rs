//! One question to the model, as any request goes: through a slot of the queue, the strategy, failover and limits.

use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::body::Body;
use super::kept::{Refused, Theirs};
use crate::approach::FailureKind;
use crate::clients::Client;
use crate::config::ModelNames;
use crate::listener::Closer;
use crate::metrics::Metrics;
use crate::observe::trace::Traced;
use crate::proxy::Proxy;
use crate::proxy::dispatch::{Job, destination};
use crate::proxy::generation::Generation;
use crate::proxy::limits::{Share, Wanted};
use crate::proxy::models;
use crate::proxy::naming::Naming;
use crate::proxy::passing::{PROVIDER, pass_on, with_headers};
use crate::proxy::permitted;
use crate::proxy::reply::Reply;
use crate::proxy::request::RequestBody;
use crate::proxy::respond::{ProxyError, Tried};
use crate::proxy::stream::Ways;
use crate::proxy::telling::{Bill, Reckoning, Telling};
use crate::queue::QueuePermit;
use crate::routing::Outcome;

/// A larger answer is not kept.
const MAX_ANSWER: usize = 8 << 20;

/// A larger error text is not passed on.
const MAX_REFUSAL: usize = 1 << 20;

/// By this header a client says that two requests are one, which the calls of an approach are not.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The slot of a call: the client's own, or one more of the queue.
#[derive(Debug)]
pub struct Held {
    _own: Option<OwnedSemaphorePermit>,
    _more: Option<QueuePermit>,
    _parallel: Option<OwnedSemaphorePermit>,
}

/// Everything that the calls of one client's request share.
pub struct Asking {
    pub proxy: Arc<Proxy>,
    pub generation: Arc<Generation>,
    /// The client's request.
    pub job: Job,
    pub client: Option<Arc<Client>>,
    /// The id of the client's request.
    pub id: String,
    /// One permit: the slot of the queue that the client's request holds.
    pub own: Arc<Semaphore>,
    /// `approach.parallel`.
    pub parallel: Arc<Semaphore>,
    /// The sum of what they cost.
    pub bill: Arc<Bill>,
    /// The place of the client's request in a trace.
    pub trace: Option<Traced>,
}

/// The name and number of a call, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// The approach that asks.
    pub approach: &'a str,
    /// The step that it asks for.
    pub step: &'a str,
    /// Counts the calls of a request from 1.
    pub number: u32,
}

/// A call that came to nothing.
#[derive(Debug)]
pub struct Failed {
    pub kind: FailureKind,
    pub message: String,
    pub refused: Refused,
}

impl Failed {
    fn own(error: ProxyError) -> Self {
        let kind = match &error {
            ProxyError::AllThrottled { .. } | ProxyError::Limited(_) => FailureKind::Throttled,
            ProxyError::UnknownModel { .. }
            | ProxyError::ModelNotAllowed(_)
            | ProxyError::Unpriced { .. }
            | ProxyError::Body(_) => FailureKind::Rejected,
            _ => FailureKind::Unavailable,
        };
        Self { kind, message: error.sentence(), refused: Refused::Own(Box::new(error)) }
    }
}

/// An answer whose head has come.
pub struct Begun {
    /// The provider that gives it.
    pub provider: String,
    body: Pin<Box<Reply>>,
    counted: Counted,
    _held: Held,
}

/// Counts a call when it has ended: by its client or its time, unless it is told otherwise.
struct Counted {
    metrics: Arc<Metrics>,
    approach: String,
    result: &'static str,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.approaches.called(&self.approach, self.result);
    }
}

/// The label in metrics.
fn label(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Rejected => "rejected",
        FailureKind::TooLong => "too_long",
        FailureKind::Throttled => "throttled",
        FailureKind::Unavailable => "unavailable",
        FailureKind::Exhausted => "exhausted",
        FailureKind::Illegal => "illegal",
    }
}

impl Asking {
    /// A slot for a call. The client's own serves its calls one after the other, so that a request that is in always gets on;
    /// those beside it take whichever comes first, the own one or one more of the queue.
    async fn slot(&self) -> Held {
        // Neither semaphore is ever closed.
        let parallel = Arc::clone(&self.parallel).acquire_owned().await.ok();
        if let Ok(own) = Arc::clone(&self.own).try_acquire_owned() {
            return Held { _own: Some(own), _more: None, _parallel: parallel };
        }
        tokio::select! {
            biased;
            own = Arc::clone(&self.own).acquire_owned() => Held { _own: own.ok(), _more: None, _parallel: parallel },
            more = self.proxy.queue.enter_beside() => Held { _own: None, _more: Some(more), _parallel: parallel },
        }
    }

    /// Asks, and waits for the head of the answer.
    pub async fn ask(&self, body: &Body, label: Label<'_>, deadline: Instant) -> Result<Begun, Failed> {
        let (metrics, approach) = (Arc::clone(&self.proxy.metrics), label.approach.to_owned());
        let mut counted = Counted { metrics, approach, result: "cancelled" };
        let asked = self.answered(body, label, deadline).await;
        let sorted = match asked {
            Ok((response, outcome, held)) => sort(response, outcome, held).await,
            Err(failed) => Err(failed),
        };
        match sorted {
            Ok((provider, body, held)) => Ok(Begun { provider, body, counted, _held: held }),
            Err(failed) => {
                counted.result = self::label(failed.kind);
                Err(failed)
            }
        }
    }

    async fn answered(
        &self,
        body: &Body,
        label: Label<'_>,
        deadline: Instant,
    ) -> Result<(Response<Reply>, Outcome, Held), Failed> {
        let held = self.slot().await;
        let read = RequestBody::composed(body.to_bytes());
        let body = read.map_err(|error| Failed::own(ProxyError::Body(error)))?;
        permitted::may_use(self.client.as_deref(), body.model()).map_err(Failed::own)?;
        let job = self.job_for(body, deadline)?;
        let id = format!("{}/{}", self.id, label.number);
        let path = format!("/v1/{}", job.endpoint.path);
        let token = self.proxy.requests.token();
        let story = Telling::new(id, Method::POST, path, Arc::clone(&self.proxy.metrics), token);
        let mut story = story.kept_in(self.proxy.ledger());
        story.belongs_to(label.approach, label.step);
        story.trace = self.trace.map(|trace| Box::new(trace.question(label.number)));
        let spend = &self.proxy.spend;
        story.reckons_by(Reckoning { bill: Some(Arc::clone(&self.bill)), ..Reckoning::of(&self.generation, spend) });
        story.generation = self.generation.number;
        story.client.clone_from(&self.client);
        story.endpoint = job.endpoint.label();
        story.asked_for(job.body.model(), job.body.streaming());
        story.routed(&job.among.0);
        let (route, eligible) = (&*job.among.0, &*job.among.1);
        let (endpoint, body, model, share) = (&job.endpoint, &job.body, job.body.model(), Share::Question);
        let wanted = Wanted { endpoint, body, route, eligible, model, share };
        let means = self.proxy.means();
        means.take(&self.generation, &wanted, job.admitted, &mut story).await.map_err(Failed::own)?;
        let answered = Box::pin(self.proxy.dispatch(&self.generation, &job, &mut story)).await.map_err(Failed::own)?;
        let outcome = answered.outcome;
        let naming = match self.generation.model_names {
            ModelNames::Provider => None,
            ModelNames::Client => Naming::of(self.job.body.model()),
        };
        let ways = Ways { closer: Closer::default(), keep_alive: None, naming };
        Ok((with_headers(pass_on(answered, story, ways, false)), outcome, held))
    }

    /// The request to the provider.
    fn job_for(&self, body: RequestBody, deadline: Instant) -> Result<Job, Failed> {
        let template = &self.job;
        let among = if body.model() == template.body.model() {
            template.among.clone()
        } else {
            let found = destination(&self.generation.routes, &Method::POST, &template.endpoint, &body);
            let unknown = || Failed::own(models::unknown(&self.generation, body.model(), self.client.as_deref()));
            found.map(|(route, eligible)| (Arc::clone(route), eligible)).ok_or_else(unknown)?
        };
        let mut headers = template.headers.clone();
        for name in [ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, IDEMPOTENCY_KEY] {
            headers.remove(name);
        }
        Ok(Job {
            method: Method::POST,
            endpoint: template.endpoint.clone(),
            query: template.query.clone(),
            headers,
            body,
            reserved: None,
            affinity: template.affinity,
            attributes: template.attributes.clone(),
            among,
            instead: None,
            admitted: Instant::now(),
            deadline,
            usage: template.usage,
            signs: None,
            run: None,
        })
    }
}

/// An answer of the model: its provider, what is to come of it, and the slot that it holds.
type Sorted = (String, Pin<Box<Reply>>, Held);

/// Sorts an answer: one of the model, or a refusal, which is read whole.
async fn sort(response: Response<Reply>, outcome: Outcome, held: Held) -> Result<Sorted, Failed> {
    let (head, body) = response.into_parts();
    let provider = head.headers.get(PROVIDER).and_then(|name| name.to_str().ok()).unwrap_or_default().to_owned();
    let mut body = Box::pin(body);
    if head.status.is_success() {
        return Ok((provider, body, held));
    }
    let kind = match (outcome, head.status.as_u16()) {
        (Outcome::ContextWindow(_), _) | (_, 413) => FailureKind::TooLong,
        (_, 429) => FailureKind::Throttled,
        (_, 400..=499) => FailureKind::Rejected,
        _ => FailureKind::Unavailable,
    };
    let text = rest(&mut body, MAX_REFUSAL).await.unwrap_or_default();
    Err(refusal(kind, head.status, &head.headers, text))
}

/// The next bytes of an answer; `None` at its end, and an error when it breaks off.
async fn next(body: &mut Pin<Box<Reply>>) -> Result<Option<Bytes>, String> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
}

/// All that is left of an answer that is not too large.
async fn rest(body: &mut Pin<Box<Reply>>, most: usize) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(piece) = next(body).await? {
        if whole.is_empty() && body.is_end_stream() {
            return Ok(piece);
        }
        if whole.len() + piece.len() > most {
            return Err(format!("gave an answer of more than {} MiB", most >> 20));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// The answer of a provider that is none of the model.
fn refusal(kind: FailureKind, status: StatusCode, headers: &HeaderMap, body: Bytes) -> Failed {
    let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let said = said.as_ref().and_then(|said| said["error"]["message"].as_str().or(said["error"].as_str()));
    let said = said.map(|said| said.chars().filter(|c| !c.is_control()).take(300).collect::<String>());
    let message = format!("the provider answered {status}: {}", said.unwrap_or_else(|| "without a reason".to_owned()));
    let mut kept = HeaderMap::new();
    for name in [http::header::CONTENT_TYPE, RETRY_AFTER, PROVIDER] {
        if let Some(value) = headers.get(&name) {
            kept.insert(name, HeaderValue::clone(value));
        }
    }
    Failed { kind, message, refused: Refused::Theirs(Box::new(Theirs { status, headers: kept, body })) }
}

impl Begun {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    ///
    /// When the answer breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        match next(&mut self.body).await {
            Ok(Some(piece)) => Ok(Some(piece)),
            Ok(None) => {
                self.counted.result = "succeeded";
                Ok(None)
            }
            Err(how) => Err(self.broken(&how)),
        }
    }

    /// The whole answer, as `read` understands it.
    ///
    /// # Errors
    ///
    /// When it breaks off, is too large to be kept, or is none of the model.
    pub async fn whole<T>(mut self, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, Failed> {
        let whole = rest(&mut self.body, MAX_ANSWER).await.map_err(|how| self.broken(&how))?;
        let read = read(&whole).ok_or_else(|| self.broken("gave an answer without choices"))?;
        self.counted.result = "succeeded";
        Ok(read)
    }

    /// The failure of an answer that had begun.
    pub fn broken(&mut self, how: &str) -> Failed {
        let failed = interrupted(&self.provider, how);
        self.counted.result = label(failed.kind);
        failed
    }
}

/// The failure of an answer of this provider that had begun.
pub fn interrupted(provider: &str, how: &str) -> Failed {
    let tried =
        Tried { provider: provider.to_owned(), outcome: Outcome::Interrupted, reason: how.to_owned(), words: None };
    let error = ProxyError::AllFailed { tried: vec![tried], any_healthy: true };
    let message = format!("provider {provider} {how}");
    Failed { kind: FailureKind::Unavailable, message, refused: Refused::Own(Box::new(error)) }
}
