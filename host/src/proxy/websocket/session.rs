//! A session with a provider, from its first frame to its last: bytes go both ways as they come, in the one task of the
//! client's connection. What the provider says is read along for the tokens of its answers; what the client says only where
//! a limit, a list of models or another name of its model makes it matter, and then each message goes on once it is whole.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::frame::{self, CLOSE, CONTINUATION, Malformed, PING, PONG, TEXT};
use super::message::{Event, Messages};
use super::pump::{News, Pump, Side, Who};
use super::spent::Spent;
use super::wanted::close_code;
use crate::listener::takeover::Taken as Connection;
use crate::metrics::OpenWebSocket;
use crate::observe::WebSocket;
use crate::observe::websocket::{Ended, Flow};
use crate::provider::Permit;
use crate::proxy::Proxy;
use crate::proxy::attempt::Switch;
use crate::proxy::endpoint::{Label, REALTIME, RESPONSES};
use crate::proxy::generation::Generation;
use crate::proxy::intake::budget::Reserved;
use crate::proxy::respond::ProxyError;
use crate::proxy::telling::Telling;
use crate::routing::{FailureKind, Outcome};

mod asked;
mod over;

pub(super) use over::farewell;

/// The most bytes of a message that are kept to be looked at.
pub(super) const LOOKED_AT: usize = 1 << 20;
/// The most events of the proxy's own that wait for their turn.
const MOST_WAITING: usize = 16;
/// The time that both sides have for their last frames, once one has said that it is over.
pub(super) const CLOSING: Duration = Duration::from_secs(5);
/// The longest wait for the memory of a large message.
pub(super) const FOR_ROOM: Duration = Duration::from_secs(1);
/// The part of a drain that is left for the last frames.
const BEFORE_THE_END: Duration = Duration::from_secs(1);

/// A session whose provider is there.
pub struct Ready {
    proxy: Arc<Proxy>,
    generation: Arc<Generation>,
    story: Telling,
    switch: Switch,
}

impl Ready {
    /// With the provider that has answered.
    pub fn new(proxy: Arc<Proxy>, generation: Arc<Generation>, story: Telling, switch: Switch) -> Self {
        Self { proxy, generation, story, switch }
    }

    /// Holds the session on the client's connection.
    pub async fn run(self, taken: Connection) {
        let Self { proxy, generation, story, switch } = self;
        let is_restricted = story.client.as_ref().is_some_and(|client| client.models().is_some());
        let asked = story.instead.is_none() && story.mapped().is_none_or(|mapped| *mapped == story.model);
        let holds = story.is_limited() || is_restricted || !asked;
        let up = Messages::keeping(if holds { LOOKED_AT } else { 1 });
        let client = Side::new(taken.stream, taken.early);
        // Boxed: it lives long.
        Box::pin(Session::new((proxy, generation, story), client, up, switch, holds).hold()).await;
    }
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// One side said so.
    Closed(Who, Option<u16>),
    /// A side ended its connection without a word.
    Left(Who),
    /// The proxy ends it.
    Own(Ended, u16),
}

/// A session.
pub(super) struct Session {
    proxy: Arc<Proxy>,
    generation: Arc<Generation>,
    story: Telling,
    permit: Option<Permit>,
    pump: Pump,
    /// From the provider to the client.
    down: Messages,
    /// From the client to the provider.
    up: Messages,
    /// True when the messages of the client are looked at before they go on.
    holds: bool,
    is_responses: bool,
    /// True when a part of the client's present message has gone on.
    is_in_parts: bool,
    spent: Spent,
    /// Events for the client, until one may be put in.
    waiting: VecDeque<Bytes>,
    /// The close of each side: the client's, then the provider's.
    goodbyes: [Option<Option<u16>>; 2],
    /// The side that was the first to say so.
    first_goodbye: Option<Who>,
    /// True when there was a message since the clock was read.
    has_moved: bool,
    /// Messages that were too large to look at, or could not be read.
    unread: u64,
    /// The memory of a large message.
    room: Option<Reserved>,
    _open: OpenWebSocket,
}

impl Session {
    /// Between this client, of which `up` follows the messages, and the provider.
    pub(super) fn new(
        (proxy, generation, story): (Arc<Proxy>, Arc<Generation>, Telling),
        client: Side,
        up: Messages,
        switch: Switch,
        holds: bool,
    ) -> Self {
        let Switch { stream, early, permit } = switch;
        let open = proxy.metrics.websockets.open();
        Self {
            is_responses: story.endpoint == Label::Responses as usize,
            proxy,
            generation,
            story,
            permit: Some(permit),
            pump: Pump::new(client, Side::new(Box::new(stream), early)),
            down: Messages::keeping(LOOKED_AT),
            up,
            holds,
            is_in_parts: false,
            spent: Spent::default(),
            waiting: VecDeque::new(),
            goodbyes: [None, None],
            first_goodbye: None,
            has_moved: false,
            unread: 0,
            room: None,
            _open: open,
        }
    }

    /// Holds it to its end.
    pub(super) async fn hold(mut self) {
        let end = self.talk().await;
        self.over(end).await;
    }

    /// Ends it before it has begun, as its first answer is refused.
    pub(super) async fn refuse_and_end(mut self, error: ProxyError) {
        self.story.sentence = Some(error.sentence());
        let (text, status, code) = error.into_event(RESPONSES, None);
        self.story.error = Some(code);
        // There is room for the first event.
        let _ = self.tell(text);
        self.over(End::Own(Ended::Refused, close_code(status))).await;
    }

    /// Moves bytes until it is over.
    async fn talk(&mut self) -> End {
        let settings = self.generation.websocket;
        let draining = self.proxy.draining.clone();
        let longest = settings.max_duration.map(|longest| self.story.began + longest);
        let (mut moved, mut drained, mut parting) = (Instant::now(), None, None);
        let mut timer = pin!(sleep_until(moved));
        loop {
            if self.goodbyes.iter().all(Option::is_some) && self.pump.client.out.is_empty() {
                return self.closed();
            }
            if self.first_goodbye.is_some() && parting.is_none() {
                parting = Some(Instant::now() + CLOSING);
            }
            let now = Instant::now();
            if std::mem::take(&mut self.has_moved) {
                moved = now;
            }
            if drained.is_none() && draining.is_cancelled() {
                let limit = self.generation.drain_timeout;
                drained = Some(now + limit.saturating_sub(BEFORE_THE_END.min(limit / 4)));
            }
            let idle = settings.idle_timeout.map(|idle| moved + idle);
            let due = [idle, longest, drained, parting].into_iter().flatten().min();
            // Looked at each time, since sides that always have something to say leave the timer no turn.
            if due.is_some_and(|due| due <= now) {
                let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
                return if passed(parting) {
                    self.closed()
                } else if passed(drained) {
                    End::Own(Ended::Drained, 1001)
                } else if passed(longest) {
                    End::Own(Ended::TooLong, 1001)
                } else {
                    End::Own(Ended::Idle, 1001)
                };
            }
            if let Some(due) = due {
                timer.as_mut().reset(due);
            }
            let news = tokio::select! {
                biased;
                news = poll_fn(|context| self.pump.poll(context)) => news,
                () = timer.as_mut(), if due.is_some() => continue,
                () = draining.cancelled(), if drained.is_none() => continue,
            };
            match news {
                News::Came(who, came) => {
                    let piece = std::mem::take(&mut self.pump.piece);
                    let taken = match who {
                        Who::Provider => self.take_down(&piece[..came]),
                        Who::Client => self.take_up(&piece[..came]).await,
                    };
                    self.pump.piece = piece;
                    if let Err(end) = taken {
                        return end;
                    }
                }
                News::Ended(_) if self.first_goodbye.is_some() => return self.closed(),
                News::Ended(who) => return End::Left(who),
            }
        }
    }

    /// The end of a session of which one side has said that it is over.
    fn closed(&self) -> End {
        let who = self.first_goodbye.unwrap_or(Who::Client);
        End::Closed(who, self.goodbyes[who as usize].flatten())
    }

    fn say_goodbye(&mut self, who: Who, code: Option<u16>) {
        self.goodbyes[who as usize].get_or_insert(code);
        self.first_goodbye.get_or_insert(who);
    }

    /// Takes in bytes of the provider.
    fn take_down(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut rest = bytes;
        while !rest.is_empty() && self.goodbyes[Who::Provider as usize].is_none() {
            let (taken, event) = self.down.next(rest).map_err(malformed)?;
            self.pump.client.out.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            match event {
                Event::Nothing | Event::Ping | Event::Pong => {}
                Event::Full | Event::Binary => self.has_moved = true,
                Event::Text => {
                    self.has_moved = true;
                    self.look_down()?;
                }
                Event::Close(code) => self.say_goodbye(Who::Provider, code),
            }
            self.put_waiting();
        }
        Ok(())
    }

    /// Sends the client what waits for it, if an event may stand here.
    fn put_waiting(&mut self) {
        if !self.down.is_between_messages() {
            return;
        }
        for event in self.waiting.drain(..) {
            frame::write(&mut self.pump.client.out, (true, TEXT), &event, None);
        }
    }

    /// Tells the client something, as soon as an event may stand there.
    fn tell(&mut self, event: Bytes) -> Result<(), End> {
        if self.waiting.len() >= MOST_WAITING {
            return Err(End::Own(Ended::Limited, 1008));
        }
        self.waiting.push_back(event);
        self.put_waiting();
        Ok(())
    }

    /// Sees to it that the memory of large messages is that of bodies, of which all together have only so much.
    async fn make_room(&mut self) -> Result<(), End> {
        if !self.holds || !self.up.is_large() {
            self.room = None;
        } else if self.room.is_none() {
            match self.proxy.budget.reserve(Some(self.up.most() as u64), FOR_ROOM).await {
                Ok(room) => self.room = Some(room),
                Err(error) => {
                    self.refuse(error, None)?;
                    return Err(End::Own(Ended::Crowded, 1013));
                }
            }
        }
        Ok(())
    }

    /// Takes in bytes of the client.
    async fn take_up(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut rest = bytes;
        while !rest.is_empty() && self.goodbyes[Who::Client as usize].is_none() {
            let (taken, event) = self.up.next(rest).map_err(malformed)?;
            if !self.holds {
                self.pump.provider.out.extend_from_slice(&rest[..taken]);
            }
            rest = &rest[taken..];
            match event {
                Event::Nothing => {}
                Event::Ping => self.pass_control(PING),
                Event::Pong => self.pass_control(PONG),
                Event::Close(code) => {
                    self.pass_control(CLOSE);
                    self.say_goodbye(Who::Client, code);
                }
                Event::Text | Event::Binary | Event::Full => {
                    self.has_moved = true;
                    if self.holds {
                        self.look_up(event).await?;
                    }
                }
            }
            self.make_room().await?;
        }
        Ok(())
    }

    /// Passes a control frame of the client on, where messages are held.
    fn pass_control(&mut self, opcode: u8) {
        if self.holds {
            let payload = self.up.control().to_vec();
            self.pass((true, opcode), &payload);
        }
    }

    /// Sends the provider a frame.
    pub(super) fn pass(&mut self, kind: (bool, u8), payload: &[u8]) {
        let key = self.proxy.entropy.bits().to_ne_bytes();
        frame::write(&mut self.pump.provider.out, kind, payload, Some(key));
    }

    /// Passes on what is kept of the client's message: all of it, or a part.
    fn pass_kept(&mut self, event: Event, opcode: u8) {
        let is_whole = event != Event::Full;
        let opcode = if std::mem::replace(&mut self.is_in_parts, !is_whole) { CONTINUATION } else { opcode };
        let key = self.proxy.entropy.bits().to_ne_bytes();
        frame::write(&mut self.pump.provider.out, (is_whole, opcode), self.up.kept(), Some(key));
    }
}

fn malformed(_: Malformed) -> End {
    End::Own(Ended::Malformed, 1002)
}
