//! Simulates one provider: its delays, its refusals and its cache.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, stream};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use memchr::memmem;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use super::dice::Dice;
use super::scenario::{Behaviour, Event};
use crate::http1::fields::Fields;
use crate::provider::client::{Answer, AnswerBody, AttemptError, Call, Pieces, Player};
use crate::routing::FailureKind;

/// The header in which the driver passes the random values of a request.
pub const DRAWN: &str = "x-drawn";

/// The time until a refused connection or an error is noticed.
const SOON: Duration = Duration::from_millis(5);

/// The random values of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The number of tokens of the answer.
    pub output_tokens: u32,
    /// The session; 0 is none.
    pub session: u32,
    /// True when it wants a stream.
    pub streaming: bool,
}

impl Drawn {
    /// Formats it as a header's value.
    pub fn write(self) -> Option<HeaderValue> {
        let Drawn { output_tokens, session, streaming } = self;
        HeaderValue::try_from(format!("{output_tokens} {session} {}", u8::from(streaming))).ok()
    }

    fn read(headers: &Fields) -> Option<Self> {
        let mut parts = headers.text(DRAWN)?.split(' ').map(str::parse::<u32>);
        let mut next = || parts.next()?.ok();
        Some(Self { output_tokens: next()?, session: next()?, streaming: next()? == 1 })
    }
}

/// A simulated provider.
#[derive(Debug)]
pub struct Actor {
    behaviour: Behaviour,
    began: Instant,
    slots: Option<Arc<Semaphore>>,
    dice: Dice,
    state: Mutex<Memory>,
    /// The number of answers that it has given.
    said: AtomicU64,
}

#[derive(Debug)]
struct Memory {
    /// The numbers of requests and of tokens that its limits still allow, and the time of that count.
    allowance: [f64; 2],
    at: Instant,
    /// The sessions in its cache, the latest last.
    remembered: VecDeque<u32>,
}

impl Actor {
    /// Starts to simulate the provider.
    pub fn new(behaviour: Behaviour, dice: Dice) -> Self {
        let began = Instant::now();
        let state = Memory { allowance: [f64::INFINITY; 2], at: began, remembered: VecDeque::new() };
        let slots = behaviour.slots.map(|slots| Arc::new(Semaphore::new(slots as usize)));
        Self { behaviour, began, slots, dice, state: Mutex::new(state), said: AtomicU64::new(0) }
    }

    /// The event that changes its behaviour now, if any.
    fn event(&self) -> Option<Event> {
        let now = self.began.elapsed().as_secs_f64();
        self.behaviour.events.iter().find(|event| event.from <= now && now < event.until).copied()
    }

    /// Its limits of requests and of tokens: how much comes back in a second, and how much it accumulates.
    fn limits(&self) -> [Option<(f64, f64)>; 2] {
        let Behaviour { requests_per_minute, tokens_per_minute, .. } = self.behaviour;
        // A provider accumulates unused requests up to a limit, but at least one.
        let requests = requests_per_minute.map(|rate| (rate / 60.0, (rate / 10.0).max(1.0)));
        [requests, tokens_per_minute.map(|rate| (rate / 60.0, rate))]
    }

    /// `None` if its limits allow one more request with so many tokens, otherwise the wait until they do.
    fn limited(&self, tokens: f64) -> Option<Duration> {
        let limits = self.limits();
        let mut state = self.state.lock();
        let now = Instant::now();
        let passed = (now - state.at).as_secs_f64();
        state.at = now;
        let mut wait: f64 = 0.0;
        // Nobody asks for more than there can be.
        let wanted = [1.0, limits[1].map_or(tokens, |(_, most)| tokens.min(most))];
        for ((left, wanted), limit) in state.allowance.iter_mut().zip(wanted).zip(limits) {
            let Some((per_second, most)) = limit else { continue };
            *left = (*left + passed * per_second).min(most);
            wait = wait.max((wanted - *left) / per_second);
        }
        if wait > 0.0 {
            return Some(Duration::from_secs_f64(wait));
        }
        for (left, wanted) in state.allowance.iter_mut().zip(wanted) {
            *left -= wanted;
        }
        None
    }

    /// What is left of its limits, in the headers of OpenAI.
    fn told(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !self.behaviour.tells_limits {
            return headers;
        }
        let left = self.state.lock().allowance;
        for ((unit, left), limit) in ["requests", "tokens"].into_iter().zip(left).zip(self.limits()) {
            let Some((per_second, most)) = limit else { continue };
            let reset = (most - left).max(0.0) / per_second;
            for (what, value) in [
                ("limit", format!("{most:.0}")),
                ("remaining", format!("{:.0}", left.max(0.0).floor())),
                ("reset", format!("{:.0}ms", reset * 1000.0)),
            ] {
                let name = http::HeaderName::try_from(format!("x-ratelimit-{what}-{unit}"));
                if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                    headers.insert(name, value);
                }
            }
        }
        headers
    }

    /// The factor for the time to the first token of this session; the session is then in the cache.
    fn reads(&self, session: u32) -> f64 {
        let Some(cache) = self.behaviour.cache.filter(|_| session > 0) else { return 1.0 };
        let mut state = self.state.lock();
        let known = state.remembered.iter().position(|known| *known == session);
        if let Some(place) = known {
            state.remembered.remove(place);
        }
        state.remembered.push_back(session);
        while state.remembered.len() > cache.sessions {
            state.remembered.pop_front();
        }
        if known.is_some() { cache.factor } else { 1.0 }
    }
}

impl Player for Actor {
    fn answer(&self, call: &Call<'_>) -> BoxFuture<'static, Result<Answer, AttemptError>> {
        let event = self.event();
        if event.is_some_and(|event| event.down) {
            return async {
                sleep(SOON).await;
                let mut refused = AttemptError::failed(FailureKind::Refused);
                refused.sent = false;
                Err(refused)
            }
            .boxed();
        }
        // Only the active check sends such requests.
        if call.method == Method::GET {
            let takes = self.behaviour.check.map_or(SOON, Duration::from_secs_f64);
            return after(takes, StatusCode::OK, HeaderMap::new());
        }
        let Some(drawn) = Drawn::read(call.headers) else { return soon(StatusCode::BAD_REQUEST, HeaderMap::new()) };
        let call_tokens = u32::try_from(call.body.len() / 4).unwrap_or(u32::MAX);
        if let Some(wait) = self.limited(f64::from(call_tokens) + f64::from(drawn.output_tokens)) {
            let mut headers = self.told();
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil() as u64));
            return soon(StatusCode::TOO_MANY_REQUESTS, headers);
        }
        let errors = event.and_then(|event| event.errors).unwrap_or(self.behaviour.errors);
        if self.dice.happens(errors) {
            return soon(StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new());
        }
        let slow = event.map_or(1.0, |event| event.slow);
        let of_model = self.behaviour.models.get(call.model);
        let first = of_model.map_or(self.behaviour.first_token, |model| model.first_token);
        let speed = of_model.map_or(self.behaviour.tokens_per_second, |model| model.tokens_per_second);
        let first = self.dice.spread(first.median, first.p95) * slow * self.reads(drawn.session);
        let rest = f64::from(drawn.output_tokens) / speed * slow;
        let [first, rest] = [first, rest].map(|seconds| Duration::from_secs_f64(seconds.min(1e7)));
        let slots = self.slots.clone();
        // Approaches ask for several choices, and not for a stream where their client reads one.
        let streaming = drawn.streaming && memmem::find(&call.body, b"\"stream\":true").is_some();
        // Each with a text of its own, as approaches take equal answers for one.
        let count = wanted(&call.body);
        let from = self.said.fetch_add(count, Relaxed);
        let choices = from..from + count;
        let tells_usage = memmem::find(&call.body, b"include_usage").is_some();
        let mut headers = self.told();
        async move {
            let slot = match slots {
                // The semaphore is never closed.
                Some(slots) => slots.acquire_owned().await.ok(),
                None => None,
            };
            let content_type = if streaming { "text/event-stream" } else { "application/json" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            let tokens = (call_tokens, drawn.output_tokens);
            let body = if streaming {
                streamed(first, rest, slot, tells_usage.then_some(tokens))
            } else {
                whole(first + rest, slot, choices, tokens)
            };
            Ok(Answer {
                status: StatusCode::OK,
                headers: headers.into(),
                ends_with_connection: false,
                body: AnswerBody::played(body),
            })
        }
        .boxed()
    }
}

/// An answer without details.
fn soon(status: StatusCode, headers: HeaderMap) -> BoxFuture<'static, Result<Answer, AttemptError>> {
    after(SOON, status, headers)
}

/// The same, after a delay.
fn after(takes: Duration, status: StatusCode, headers: HeaderMap) -> BoxFuture<'static, Result<Answer, AttemptError>> {
    async move {
        sleep(takes).await;
        let body = AnswerBody::played(Box::pin(stream::iter([Ok(Bytes::from_static(b"{}"))])));
        Ok(Answer { status, headers: headers.into(), ends_with_connection: false, body })
    }
    .boxed()
}

/// The number of choices that a request wants.
fn wanted(body: &[u8]) -> u64 {
    let Some(at) = memmem::find(body, b"\"n\":") else { return 1 };
    let digits = body[at + 4..].iter().take_while(|byte| byte.is_ascii_digit()).take(3);
    digits.fold(0, |n, digit| n * 10 + u64::from(digit - b'0')).clamp(1, 128)
}

fn whole(after: Duration, slot: Option<OwnedSemaphorePermit>, choices: Range<u64>, tokens: (u32, u32)) -> Pieces {
    Box::pin(stream::once(async move {
        sleep(after).await;
        drop(slot);
        let (prompt, completion) = (tokens.0, u64::from(tokens.1) * (choices.end - choices.start));
        let choice = |number| {
            format!(r#"{{"message":{{"role":"assistant","content":"answer {number}"}},"finish_reason":"stop"}}"#)
        };
        let choices: Vec<String> = choices.map(choice).collect();
        let usage = format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}"#);
        Ok(format!(r#"{{"choices":[{}],"usage":{usage}}}"#, choices.join(",")).into())
    }))
}

/// A stream with its first event and its end, before which its usage stands if that was asked for.
fn streamed(first: Duration, rest: Duration, slot: Option<OwnedSemaphorePermit>, usage: Option<(u32, u32)>) -> Pieces {
    let usage = usage.map(|(prompt, completion)| {
        let usage = format!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}"#);
        format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n")
    });
    let pieces = [
        (first, Bytes::from_static(b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n")),
        (rest, format!("{}data: [DONE]\n\n", usage.unwrap_or_default()).into()),
    ];
    Box::pin(stream::unfold((pieces.into_iter(), slot), |(mut pieces, slot)| async move {
        let (after, piece) = pieces.next()?;
        sleep(after).await;
        Some((Ok(piece), (pieces, slot)))
    }))
}
