//! A WebSocket of `responses` before its provider is known: waits for the client's first message, which names the model, and
//! finds a provider for it as for any request. Until that message has gone on, another provider may be tried.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::{Instant, sleep_until};

use super::events::{ClientEvent, Wish};
use super::frame::{self, CLOSE, PONG, TEXT};
use super::message::{Event, Messages};
use super::pump::Side;
use super::session::{FOR_ROOM, Session, farewell};
use crate::http1::fields::Fields;
use crate::listener::takeover::Taken;
use crate::observe::WebSocket;
use crate::observe::websocket::{Ended, Flow};
use crate::proxy::Proxy;
use crate::proxy::attempt::{Answered, Content};
use crate::proxy::dispatch::Job;
use crate::proxy::endpoint::{Endpoint, RESPONSES};
use crate::proxy::generation::Generation;
use crate::proxy::intake::budget::Reserved;
use crate::proxy::limits::Share;
use crate::proxy::reading;
use crate::proxy::respond::{self, ProxyError};
use crate::proxy::serve::Arrived;
use crate::proxy::telling::Telling;

/// The most bytes that are read ahead while a provider is sought.
const AHEAD: usize = 64 << 10;
/// The most bytes that are read at once.
const PIECE: usize = 16 << 10;

/// A client that has yet to say what it wants.
pub struct Wanting {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The client's query.
    pub query: Option<String>,
    /// The client's headers, with the key of the handshake with the provider.
    pub headers: Fields,
}

/// The client's connection, and how far its messages have come.
struct Waiting {
    client: Side,
    up: Messages,
    /// The memory of a large first message.
    room: Option<Reserved>,
}

/// Why there is no session.
enum Nothing {
    /// The client is gone.
    Left,
    /// The client closed its side, with this code.
    Closed(Option<u16>),
    /// The proxy ends it.
    Own(Ended, u16),
    /// The request is refused.
    Refused(ProxyError),
    /// A provider refuses it.
    Passed(StatusCode, Bytes),
}

impl Wanting {
    /// Holds the session on the client's connection.
    pub async fn run(self, proxy: Arc<Proxy>, generation: Arc<Generation>, mut story: Telling, taken: Taken) {
        let mut waiting = Waiting {
            client: Side::new(taken.stream, taken.early),
            // One more, as what is full is too large.
            up: Messages::keeping(generation.max_body_bytes.saturating_add(1)),
            room: None,
        };
        let found = match waiting.first(&proxy, &generation).await {
            Ok(first) => self.seek(&proxy, &generation, &mut story, first, &mut waiting).await,
            Err(nothing) => Err(nothing),
        };
        let (job, answered) = match found {
            Ok(found) => found,
            Err(nothing) => return waiting.end(nothing, story, &proxy).await,
        };
        let Answered { status, content, .. } = answered;
        let switch = match content {
            Content::Switched(switch) => switch,
            Content::Whole(text) => {
                story.ended(answered.outcome, Instant::now());
                return waiting.end(Nothing::Passed(status, text), story, &proxy).await;
            }
            // Errors are passed on whole.
            Content::Passing(_) => return waiting.end(Nothing::Passed(status, Bytes::new()), story, &proxy).await,
        };
        let mapped = story.mapped().map(Cow::into_owned);
        let first = job.body.with_model(mapped.as_deref().unwrap_or_else(|| job.body.model()));
        let Waiting { client, up, room } = waiting;
        let mut session = Session::new((proxy, generation, story), client, up, *switch, true);
        let endpoint = Endpoint::of(&Method::POST, "/v1/responses");
        let reserved = match &endpoint {
            Ok(endpoint) => session.reserve(endpoint, &job.body, &job.among.0, Share::Question).await,
            Err(error) => Err(error.clone()),
        };
        drop((job, room));
        match reserved {
            Ok(()) => {
                session.pass((true, TEXT), &first);
                // Boxed: it lives long.
                Box::pin(session.hold()).await;
            }
            Err(error) => session.refuse_and_end(error).await,
        }
    }

    /// Finds a provider for the first message, unless the client leaves.
    async fn seek(
        self,
        proxy: &Proxy,
        generation: &Generation,
        story: &mut Telling,
        first: Bytes,
        waiting: &mut Waiting,
    ) -> Result<(Job, Answered), Nothing> {
        let Self { endpoint, query, headers } = self;
        let found = async {
            let event = ClientEvent::read(&first).map_err(ProxyError::Message)?;
            if event.wish != Wish::Answer {
                return Err(ProxyError::Message("the first one must be a response.create"));
            }
            let body = reading::json(first, None, &generation.approaches.menu).await.map_err(ProxyError::Body)?;
            let (method, reserved, at) = (Method::GET, None, Instant::now());
            let began = story.began;
            story.waited(at - began);
            let arrived = Arrived { method, endpoint, query, headers, body, reserved, at };
            let job = proxy.admit(generation, arrived, story).await?;
            let answered = proxy.dispatch(generation, &job, story).await?;
            Ok((job, answered))
        };
        // Boxed: large, and given up when the client leaves.
        let found = Box::pin(found);
        tokio::select! {
            biased;
            found = found => found.map_err(Nothing::Refused),
            () = poll_fn(|context| waiting.client.poll_left(AHEAD, context)) => Err(Nothing::Left),
        }
    }
}

impl Waiting {
    /// Waits for the first message of data.
    async fn first(&mut self, proxy: &Proxy, generation: &Generation) -> Result<Bytes, Nothing> {
        let mut piece = vec![0; PIECE];
        let limits = generation.websocket;
        let (idle, longest) = (limits.idle_timeout, limits.max_duration);
        let limit = [idle, longest].into_iter().flatten().min();
        let due = limit.map(|limit| Instant::now() + limit);
        let ended = if limit == idle { Ended::Idle } else { Ended::TooLong };
        loop {
            let came = tokio::select! {
                biased;
                came = poll_fn(|context| {
                    // What cannot be sent now is sent when something comes.
                    drop(self.client.poll_send(context));
                    self.client.poll_read(&mut piece, context)
                }) => came,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    return Err(Nothing::Own(ended, 1001));
                }
                () = proxy.draining.cancelled() => return Err(Nothing::Own(Ended::Drained, 1001)),
            };
            let Ok(came @ 1..) = came else { return Err(Nothing::Left) };
            let mut rest = &piece[..came];
            while !rest.is_empty() {
                let malformed = |_| Nothing::Own(Ended::Malformed, 1002);
                let (taken, event) = self.up.next(rest).map_err(malformed)?;
                rest = &rest[taken..];
                if self.up.is_large() && self.room.is_none() {
                    let room = proxy.budget.reserve(Some(self.up.most() as u64), FOR_ROOM).await;
                    self.room = Some(room.map_err(Nothing::Refused)?);
                }
                match event {
                    Event::Nothing | Event::Pong => {}
                    Event::Ping => {
                        let payload = self.up.control().to_vec();
                        if self.client.out.len() < AHEAD {
                            frame::write(&mut self.client.out, (true, PONG), &payload, None);
                        }
                    }
                    Event::Close(code) => return Err(Nothing::Closed(code)),
                    Event::Text if !self.up.is_partial() => {
                        let first = Bytes::copy_from_slice(self.up.kept());
                        self.client.unread(Bytes::copy_from_slice(rest));
                        return Ok(first);
                    }
                    Event::Full => return Err(Nothing::Own(Ended::TooLarge, 1009)),
                    Event::Text | Event::Binary => {
                        return Err(Nothing::Refused(ProxyError::Message("it is no text")));
                    }
                }
            }
        }
    }

    /// Tells the client why there is no session, and ends its connection.
    async fn end(self, nothing: Nothing, mut story: Telling, proxy: &Proxy) {
        let Self { mut client, up, .. } = self;
        let (mut by, mut event) = ("proxy", None);
        let (ended, code) = match nothing {
            Nothing::Left => {
                by = "client";
                (Ended::Left, None)
            }
            Nothing::Closed(code) => {
                by = "client";
                let payload = code.map_or_else(Vec::new, |code| frame::close(code, ""));
                frame::write(&mut client.out, (true, CLOSE), &payload, None);
                (Ended::Closed, code)
            }
            Nothing::Own(ended, code) => (ended, Some(code)),
            Nothing::Refused(error) => {
                story.sentence = Some(error.sentence());
                let (text, status, code) = error.into_event(RESPONSES, None);
                story.error = Some(code);
                event = Some(text);
                (Ended::Refused, Some(close_code(status)))
            }
            Nothing::Passed(status, text) => {
                event = Some(respond::passed_on(status, &text));
                (Ended::Refused, Some(close_code(status)))
            }
        };
        if let Some(event) = event {
            frame::write(&mut client.out, (true, TEXT), &event, None);
        }
        if let Some(code) = code.filter(|_| by == "proxy") {
            frame::write(&mut client.out, (true, CLOSE), &frame::close(code, ended.reason()), None);
        }
        let from_client = Flow { messages: up.count, bytes: client.came };
        let from_provider = Flow::default();
        let (answers, unread) = (0, 0);
        story.websocket = Some(Box::new(WebSocket { ended, by, code, from_client, from_provider, answers, unread }));
        let route = story.route.as_ref().map_or("", |route| &route.name);
        proxy.metrics.websockets.ended(route, ended.name());
        if ended != Ended::Left {
            farewell(client, up, by == "proxy").await;
        }
    }
}

/// The code of the close behind an error with this status (RFC 6455, 7.4.1): a client may come again for some of them.
pub(super) fn close_code(status: StatusCode) -> u16 {
    match status.as_u16() {
        413 => 1009,
        429 | 503 => 1013,
        500.. => 1011,
        _ => 1008,
    }
}
