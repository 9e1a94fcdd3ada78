//! One attempt at one provider: send, wait until there is something to answer with, classify.
//!
//! An attempt is over for the dispatcher when it knows whether to answer with it. Until then nothing has reached the
//! client, so that everything that goes wrong here can be made good by the next provider.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use tokio::time::Instant;

pub mod asking;
mod held;
mod judged;
mod opening;
mod refusal;
pub mod switched;
mod unlabelled;

use super::endpoint::{Class, Endpoint};
use super::limits::delivered::Delivered;
use super::respond;
use super::stream::protocol::Protocol;
use super::stream::reader::Reader;
use super::stream::signs::Signs;
use super::stream::surplus::Surplus;
use super::stream::{Flow, Kind, Raw};
use super::usage::{self, Usage};
use crate::http1::fields::Fields;
use crate::limits::{Nano, Prices};
use crate::patience;
use crate::provider::Permit;
use crate::provider::client::{Answer, AnswerBody, AttemptError, Call};
use crate::provider::words::Words;
use crate::routing::{FailureKind, Outcome, Phase};
use asking::{Unasking, ask_without, is_refusal};
use held::{hold, is_media};
use opening::{is_event_stream, open_stream};
use refusal::{Asked, refused};
pub use switched::Switch;
use unlabelled::{Nature, look_into};

/// The most bytes up to which an answer that is no stream is held until it is whole; likewise an error text that is
/// passed on.
const MAX_HELD: usize = 1 << 20;

/// The prices, and that of the target if it has one of its own, of requests and of answers.
type Pricing<'a> = (&'a Prices, Option<(f64, f64)>);

/// The call to send, the same for every attempt but for the provider's own model and body.
pub struct Plan<'a> {
    /// The call to make.
    pub call: Call<'a>,
    /// The shape that a success must have.
    pub expected: Expected,
    /// The table of what the events of this endpoint's streams mean.
    pub protocol: Protocol,
    /// True when a stream was asked for.
    pub streaming: bool,
    /// The signs of life for the client, should it wait for a stream.
    pub signs: Option<&'a Signs>,
    /// The body to send instead, if the provider refuses one that asks for the usage of a stream. If it does not, the chunk
    /// with the usage is taken out of the answer.
    pub unasking: Option<Unasking<'a>>,
    /// What the answer is priced by.
    pub prices: Pricing<'a>,
}

/// The kind of answer that an endpoint gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Anything, perhaps nothing.
    Anything,
    /// Bytes of any sort.
    Bytes,
    /// A JSON object.
    Object,
    /// A JSON object that has choices.
    Choices,
}

impl Expected {
    /// The kind that belongs to an endpoint.
    pub fn of(endpoint: &Endpoint) -> Self {
        match endpoint.class {
            Class::Generate => match endpoint.path.as_str() {
                "chat/completions" | "completions" => Self::Choices,
                "audio/speech" => Self::Bytes,
                _ => Self::Object,
            },
            Class::Models | Class::Stored | Class::Session | Class::Other => Self::Anything,
        }
    }

    fn is_json(self) -> bool {
        match self {
            Self::Anything | Self::Bytes => false,
            Self::Object | Self::Choices => true,
        }
    }
}

/// The result of an attempt, as the dispatcher sees it.
pub enum Attempted {
    /// Answer with this.
    Answered(Answered),
    /// Try the next provider, if there is one.
    Failed(Failure),
}

/// The answer that the client gets.
pub struct Answered {
    /// The provider's status.
    pub status: StatusCode,
    /// The provider's headers, as they came.
    pub headers: Fields,
    /// The body.
    pub content: Content,
    /// The end of the attempt, as it is or is about to be.
    pub outcome: Outcome,
    /// Its tokens, if it is whole and names them. Not boxed, which would cost more than the moves.
    pub usage: Option<Usage>,
    /// What they cost, if there is a price.
    pub cost: Option<Nano>,
}

/// The body of an answer.
pub enum Content {
    /// All of it; the provider is done.
    Whole(Bytes),
    /// Its beginning, and the source of the rest. Boxed, because an answer is moved through all layers of the dispatcher, and
    /// each of them has room for it.
    Passing(Box<Passing>),
    /// A connection that has changed to WebSocket.
    Switched(Box<Switch>),
}

/// An answer that goes on.
pub struct Passing {
    /// The part that has been read.
    pub held: VecDeque<Bytes>,
    /// The rest.
    pub source: AnswerBody,
    /// Events or bytes.
    pub kind: Kind,
    /// The time by which the next event, or the whole, must have come.
    pub deadline: Instant,
    /// The attempt's slot, until the end.
    pub permit: Permit,
}

/// An attempt that brought nothing to answer with.
pub struct Failure {
    /// Its end.
    pub outcome: Outcome,
    /// True when bytes of the request may have reached the provider.
    pub sent: bool,
    /// The provider's own 404, in case every provider answers so.
    pub not_found: Option<Answered>,
    /// The reason of the end, in one line for client and log, with the provider's own words.
    pub reason: String,
    /// The provider's own words.
    pub words: Option<Box<Words>>,
    /// The chain of causes, for the log.
    pub detail: Option<String>,
    /// True when a warning in the log says so already.
    pub is_told: bool,
}

/// Makes one attempt. Dropping the future closes the provider's connection and reports `Cancelled`.
pub async fn attempt(mut permit: Permit, plan: Plan<'_>) -> Attempted {
    if plan.streaming {
        permit.keep_to(permit.bounds().of_stream());
    }
    let bounds = *permit.bounds();
    let deadline = permit.began() + bounds.request.limit;
    let Plan { call, expected, protocol, streaming, signs, unasking, prices } = plan;
    let model = call.model;
    let is_head = call.method == Method::HEAD;
    let asked = Asked { method: call.method.clone(), endpoint: call.endpoint, model: call.model };
    let provider = permit.provider().clone();
    let unasking = unasking.map(|Unasking { body, refusers }| (Call { body, ..call.clone() }, refusers));
    let mut takes_out = unasking.is_some();
    let mut answer = match patience::until(deadline, provider.client.send(call)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return fail(permit, error),
        Err(_elapsed) => return fail(permit, AttemptError::timed_out(Phase::Request)),
    };
    if let Some((call, refusers)) = unasking.filter(|_| is_refusal(&answer)) {
        // Boxed: rare.
        match Box::pin(ask_without(&provider, call, deadline, refusers)).await {
            Ok((other, refused)) => (answer, takes_out) = (other, !refused),
            Err(error) => return fail(permit, error),
        }
    }
    permit.told(&answer.headers);
    provider.masks.mask_headers(&mut answer.headers);
    // HTTP forbids the body of either.
    let bodiless = is_head || answer.status == StatusCode::NOT_MODIFIED;
    let expected = if bodiless { Expected::Anything } else { expected };
    if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        // A server without capacity has none for any model.
        permit.limits_account();
    }
    if Outcome::of_status(answer.status.as_u16(), None) != Outcome::Succeeded {
        // Boxed, as those below are: rare, and larger than the way of an answer that is whole.
        return Box::pin(refused(answer, permit, deadline, &asked)).await;
    }
    let nature = match nature(&mut answer, &mut permit, deadline, streaming, expected).await {
        Ok(nature) => nature,
        Err(error) => return fail(permit, error),
    };
    let opened = match nature {
        Nature::Events => {
            let reader = Reader::new(protocol);
            let flow = Flow { reader, idle: bounds.idle.limit, surplus: takes_out.then(Surplus::default) };
            Box::pin(open_stream(answer, &mut permit, flow, deadline, signs)).await
        }
        Nature::Document => hold(answer, &mut permit, deadline, expected).await,
        Nature::Bytes => Box::pin(pass(answer, &mut permit, deadline)).await,
    };
    match opened {
        Ok(opened) => succeed(opened, permit, protocol, (model, prices)),
        Err(error) => fail(permit, error),
    }
}

/// The kind of a success, by its label or, where a stream was asked for and the label denies it, by its beginning.
async fn nature(
    answer: &mut Answer,
    permit: &mut Permit,
    deadline: Instant,
    streaming: bool,
    expected: Expected,
) -> Result<Nature, AttemptError> {
    if is_event_stream(&answer.headers) {
        Ok(Nature::Events)
    } else if streaming && (expected.is_json() || !is_media(&answer.headers)) {
        Box::pin(look_into(answer, permit, deadline)).await
    } else {
        Ok(Nature::Document)
    }
}

/// Waits for the first bytes of what is passed on as it comes.
async fn pass(answer: Answer, permit: &mut Permit, deadline: Instant) -> Result<Opened, AttemptError> {
    let Answer { status, headers, mut body, .. } = answer;
    let first = next_chunk(&mut body, deadline, Phase::Request).await?;
    let first = first.ok_or_else(|| AttemptError::failed(FailureKind::Empty))?;
    permit.first_byte();
    let idle = permit.bounds().idle.limit;
    let kind = Kind::Bytes(Raw::new(&headers, idle));
    Ok(Opened { status, headers, held: VecDeque::from([first]), rest: Some((body, kind, Instant::now() + idle)) })
}

/// A success whose body has begun, or is whole.
struct Opened {
    status: StatusCode,
    headers: Fields,
    held: VecDeque<Bytes>,
    /// `None` when `held` is all of it.
    rest: Option<(AnswerBody, Kind, Instant)>,
}

fn succeed(
    opened: Opened,
    mut permit: Permit,
    protocol: Protocol,
    (model, (prices, target)): (&str, Pricing<'_>),
) -> Attempted {
    let Opened { status, headers, held, rest } = opened;
    let (content, usage, cost) = match rest {
        Some((source, kind, deadline)) => {
            (Content::Passing(Box::new(Passing { held, source, kind, deadline, permit })), None, None)
        }
        None => {
            let whole = join(held);
            let usage = usage::of(&whole);
            let at = (permit.provider().config.name.as_str(), model);
            let cost = usage.as_ref().and_then(|usage| prices.cost_at(at, target, usage));
            permit.used(usage.as_ref(), cost);
            if permit.counts_tokens() && usage.is_none() {
                let mut text = Delivered::new(protocol);
                text.feed(&whole);
                permit.brought(text.bytes);
            }
            permit.report(Outcome::Succeeded);
            (Content::Whole(whole), usage, cost)
        }
    };
    Attempted::Answered(Answered { status, headers, content, outcome: Outcome::Succeeded, usage, cost })
}

fn fail(permit: Permit, error: AttemptError) -> Attempted {
    let detail = std::error::Error::source(&error).map(respond::chain);
    let AttemptError { outcome, sent, words, .. } = error;
    let reason = permit.describe(outcome, words.as_deref());
    let is_told = permit.report_because(outcome, &reason);
    Attempted::Failed(Failure { outcome, sent, not_found: None, reason, words, detail, is_told })
}

async fn next_chunk(body: &mut AnswerBody, deadline: Instant, phase: Phase) -> Result<Option<Bytes>, AttemptError> {
    match patience::until(deadline, body.chunk()).await {
        Ok(chunk) => chunk.transpose(),
        Err(_elapsed) => Err(AttemptError::timed_out(phase)),
    }
}

/// The pieces as one; a single piece is not copied.
fn join(mut pieces: VecDeque<Bytes>) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

fn content_type(headers: &Fields) -> &str {
    headers.text(CONTENT_TYPE).unwrap_or_default().trim_start()
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
