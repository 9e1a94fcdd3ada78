//! Passes an answer on as it comes, and finds out how it ended.
//!
//! [`Relay`] is the response body. It owns the attempt's permit and the request's log story, so slots are free when the
//! body has ended and not before, and it reports the outcome exactly once: at the end, on an error, or from `Drop`.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};

mod counted;
pub mod early;
pub mod events;
mod kind;
pub mod pieces;
pub mod protocol;
pub mod reader;
pub mod signs;
pub mod surplus;

use crate::listener::{Closer, Written};
use crate::patience;
use crate::provider::Permit;
use crate::provider::client::AnswerBody;
use crate::proxy::naming::Naming;
use crate::proxy::respond;
use crate::proxy::telling::Telling;
use crate::routing::{FailureKind, Outcome, Phase};
use counted::Counted;
pub use kind::{Flow, Kind, Raw};
use pieces::Pieces;

/// The comment that keeps a silent stream alive: one line with one line feed, as some SDKs take a comment and a blank line
/// for an empty event.
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n");

/// An answer on its way to the client.
pub struct Relay {
    /// The chunks that were read while it was not yet clear whether to answer with this attempt.
    held: VecDeque<Bytes>,
    /// `None` when nothing more is to be read.
    source: Option<Pieces>,
    kind: Kind,
    usage: Counted,
    /// The time by which the next event or byte must have come. The timer is set anew only when it goes off, not with
    /// each event.
    due: Instant,
    /// The time at which a silent stream is to be kept alive, and the interval.
    alive: Option<(Instant, Duration)>,
    timer: Pin<Box<Sleep>>,
    /// True when there was an event since the clock was read.
    has_moved: bool,
    /// True when something was given to the client.
    has_given: bool,
    permit: Option<Permit>,
    story: Telling,
    closer: Closer,
    naming: Option<Naming>,
    /// The part of its head that is written out.
    pub(super) written: Option<Written>,
}

/// The body ended too early. The server closes the connection, so the client cannot take it for complete.
#[derive(Debug, thiserror::Error)]
#[error("provider {provider} {reason}")]
pub struct CutShort {
    provider: String,
    reason: String,
}

/// The settings of an answer that depend on the client's connection and configuration.
#[derive(Clone)]
pub struct Ways {
    /// Closes its connection.
    pub closer: Closer,
    /// `server.keep_alive`; `None` when it is off.
    pub keep_alive: Option<Duration>,
    /// The client's name of the model, if answers are to have it.
    pub naming: Option<Naming>,
}

impl Relay {
    /// Passes on `held` and then `source`; `deadline` is when the next event or byte must have come.
    pub fn new(
        mut held: VecDeque<Bytes>,
        source: AnswerBody,
        mut kind: Kind,
        deadline: Instant,
        permit: Permit,
        mut story: Telling,
        ways: Ways,
    ) -> Self {
        let Ways { closer, keep_alive, naming } = ways;
        let mut usage = Counted::of(&permit, &kind);
        let (is_over, alive) = match &mut kind {
            Kind::Events(flow) => {
                held.iter().for_each(|piece| usage.feed(piece));
                held.iter().for_each(|piece| story.deliver(piece));
                held.iter_mut().for_each(|events| *events = flow.shown(std::mem::take(events), naming.as_ref()));
                held.retain(|events| !events.is_empty());
                (flow.reader.progress().ended, keep_alive.map(|pause| (Instant::now() + pause, pause)))
            }
            Kind::Bytes(raw) => {
                if raw.is_json {
                    held.iter().for_each(|piece| usage.feed(piece));
                    held.iter().for_each(|piece| story.deliver(piece));
                }
                (held.iter().any(|piece| raw.take(piece)), None)
            }
        };
        let first = alive.map_or(deadline, |(alive, _)| deadline.min(alive));
        let mut relay = Self {
            held,
            source: Some(Pieces::of(source)),
            kind,
            usage,
            due: deadline,
            alive,
            timer: Box::pin(tokio::time::sleep_until(first)),
            has_moved: false,
            has_given: false,
            permit: Some(permit),
            story,
            closer,
            naming,
            written: None,
        };
        if is_over {
            relay.settle();
        }
        relay
    }

    /// Ready with `true` when the provider is too slow, and with `false` when a sign of life for the client is due.
    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let (has_moved, has_given) = (std::mem::take(&mut self.has_moved), std::mem::take(&mut self.has_given));
        if has_moved || has_given {
            let now = Instant::now();
            if has_moved {
                self.due = now + self.idle();
            }
            if has_given && let Some((alive, pause)) = &mut self.alive {
                *alive = now + *pause;
            }
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            let fired = self.timer.deadline();
            let next = self.alive.map_or(self.due, |(alive, _)| alive.min(self.due));
            if fired < next {
                self.timer.as_mut().reset(next);
            } else if fired >= self.due {
                // Data that arrived while the process was paused is read first.
                let Some(later) = patience::forgiven(self.due, Instant::now()) else { return Poll::Ready(true) };
                self.due = later;
            } else {
                self.has_given = true;
                return Poll::Ready(false);
            }
        }
    }

    fn idle(&self) -> Duration {
        match &self.kind {
            Kind::Events(flow) => flow.idle,
            Kind::Bytes(raw) => raw.idle,
        }
    }

    /// True when the stream has reported an error: nothing can be added to that.
    fn has_failed(&self) -> bool {
        matches!(&self.kind, Kind::Events(flow) if flow.reader.progress().failed)
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(mut permit) = self.permit.take() {
            self.story.ended(outcome, Instant::now());
            self.story.used(self.usage.found());
            permit.used(self.story.usage.as_ref(), self.story.cost);
            self.usage.tell(&mut permit);
            permit.report(outcome);
        }
    }

    /// Reports an interruption; returns the provider's name, and the reason in one line.
    fn report_interruption(&mut self, cause: Outcome) -> (String, String) {
        let Some(mut permit) = self.permit.take() else { return <(String, String)>::default() };
        let (name, reason) = (permit.provider().config.name.clone(), permit.describe(cause, None));
        self.story.ended(Outcome::Interrupted, Instant::now());
        self.story.used(self.usage.found());
        permit.used(self.story.usage.as_ref(), self.story.cost);
        self.usage.tell(&mut permit);
        permit.report_because(Outcome::Interrupted, &reason);
        (name, reason)
    }

    /// The provider's answer is complete, whatever happens to its connection.
    fn settle(&mut self) {
        if let Some(source) = self.source.take() {
            source.retire();
        }
        let outcome = if self.has_failed() { Outcome::Interrupted } else { Outcome::Succeeded };
        self.report(outcome);
    }

    /// The provider broke off: say so within the format if there is one, otherwise by breaking off as well.
    fn interrupted(&mut self, cause: Outcome) -> Option<Result<Frame<Bytes>, CutShort>> {
        // Dropping the source closes the provider's connection.
        self.source = None;
        let (provider, reason) = self.report_interruption(cause);
        // No further request is read from this connection, whatever the client makes of the body.
        self.closer.close();
        if self.has_failed() {
            tracing::debug!(
                request_id = self.story.id.as_str(),
                provider,
                "provider {provider} {reason} after an error in its stream"
            );
            return None;
        }
        tracing::warn!(
            request_id = self.story.id.as_str(),
            provider,
            "provider {provider} {reason} after its answer had begun; the client was told"
        );
        Some(match &self.kind {
            Kind::Events(flow) => {
                let frame = respond::interruption(&flow.reader, &provider, &reason);
                Ok(Frame::data(frame))
            }
            Kind::Bytes(_) => Err(CutShort { provider, reason }),
        })
    }

    /// The frame to pass on of a piece, if there is anything whole in it.
    fn take(&mut self, piece: Bytes) -> Option<Result<Frame<Bytes>, CutShort>> {
        let (whole, is_over) = match &mut self.kind {
            Kind::Events(flow) => match flow.reader.feed(piece) {
                Ok(fed) => {
                    self.usage.feed(&fed.whole);
                    self.story.deliver(&fed.whole);
                    self.has_moved |= fed.moved;
                    (flow.shown(fed.whole, self.naming.as_ref()), flow.reader.progress().ended)
                }
                Err(events::Oversized) => {
                    let limit = events::MAX_EVENT;
                    tracing::warn!(
                        request_id = self.story.id.as_str(),
                        "an event of a stream is larger than {limit} bytes"
                    );
                    return self.interrupted(Outcome::Failed(FailureKind::Malformed));
                }
            },
            Kind::Bytes(raw) => {
                self.has_moved = true;
                if raw.is_json {
                    self.usage.feed(&piece);
                    self.story.deliver(&piece);
                }
                let is_over = raw.take(&piece);
                (piece, is_over)
            }
        };
        if is_over {
            self.settle();
        }
        (!whole.is_empty()).then(|| {
            self.has_given = true;
            Ok(Frame::data(whole))
        })
    }

    /// The provider's body has ended by the rules of HTTP, but it may not be complete.
    fn end(&mut self) -> Option<Result<Frame<Bytes>, CutShort>> {
        let Kind::Events(flow) = &mut self.kind else {
            self.settle();
            return None;
        };
        let last = flow.reader.close();
        if let Some(last) = &last {
            self.usage.feed(last);
            self.story.deliver(last);
        }
        let last = last.map(|last| flow.shown(last, self.naming.as_ref())).filter(|last| !last.is_empty());
        if flow.reader.may_end() || flow.reader.progress().failed {
            self.settle();
            return last.map(|last| Ok(Frame::data(last)));
        }
        let frame = self.interrupted(Outcome::Failed(FailureKind::CutShort));
        match (last, frame) {
            (Some(last), Some(Ok(frame))) => {
                self.held.extend(frame.into_data());
                Some(Ok(Frame::data(last)))
            }
            (_, frame) => frame,
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutShort>>> {
        let this = &mut *self;
        if let Some(bytes) = this.held.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        while let Some(source) = &mut this.source {
            match source.poll_next(context) {
                Poll::Ready(Some(Ok(piece))) => {
                    if let Some(frame) = this.take(piece) {
                        return Poll::Ready(Some(frame));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(this.end()),
                Poll::Ready(Some(Err(error))) => {
                    let cause = error.outcome;
                    tracing::debug!(
                        request_id = this.story.id.as_str(),
                        error = respond::chain(&error),
                        "answer broke off"
                    );
                    return Poll::Ready(this.interrupted(cause));
                }
                Poll::Pending => {
                    if ready!(this.poll_due(context)) {
                        return Poll::Ready(this.interrupted(Outcome::TimedOut { phase: Phase::Idle }));
                    }
                    if matches!(&this.kind, Kind::Events(flow) if flow.reader.is_at_boundary()) {
                        return Poll::Ready(Some(Ok(Frame::data(KEEP_ALIVE))));
                    }
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none() && self.held.is_empty()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.permit.is_some() {
            // The SDKs leave at an error event.
            self.report(if self.has_failed() { Outcome::Interrupted } else { Outcome::Cancelled });
        }
    }
}
