//! Passing an answer on as it comes, and knowing how it ended.
//!
//! [`Relay`] is the response body. It owns the attempt's permit and the request's log entry, so slots are free when the
//! body has ended and not before, and it reports the outcome exactly once: at the end, on an error, or from `Drop`.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};

pub mod events;

use crate::listener::Closer;
use crate::provider::Permit;
use crate::provider::client::{AnswerBody, AttemptError};
use crate::proxy::access::Entry;
use crate::proxy::respond;
use crate::proxy::usage::UsageScanner;
use crate::routing::{FailureKind, Outcome, Phase};
use events::EventScanner;

/// Pieces of at most this size are put together,
const SMALL: usize = 2 << 10;
/// up to this size.
const GATHERED: usize = 16 << 10;

/// An answer on its way to the client.
pub struct Relay {
    /// What was read while it was not yet clear whether to answer with this attempt.
    held: VecDeque<Bytes>,
    source: Option<AnswerBody>,
    /// What came behind the pieces that were passed on as one.
    behind: Option<Option<Result<Bytes, AttemptError>>>,
    /// The last piece came without waiting, so there may be more.
    in_burst: bool,
    kind: Kind,
    usage: UsageScanner,
    /// When the next event, or the whole, must have come. Only a timer that goes off is set anew, not one for each event.
    due: Instant,
    timer: Pin<Box<Sleep>>,
    /// There was an event since the clock was read.
    has_moved: bool,
    permit: Option<Permit>,
    entry: Entry,
    closer: Closer,
}

/// What is passed on.
pub enum Kind {
    /// Events.
    Events {
        /// Reads along.
        scanner: EventScanner,
        /// `timeouts.idle`.
        idle: Duration,
        /// Whether an end without a sign of completeness is a cut.
        must_complete: bool,
    },
    /// Anything else, bounded as a whole.
    Bytes,
}

/// A body that ended before its end. The server closes the connection, so the client cannot take it for whole.
#[derive(Debug, thiserror::Error)]
#[error("provider {provider} {outcome}")]
pub struct CutShort {
    provider: String,
    outcome: Outcome,
}

impl Relay {
    /// Passes on `held` and then `source`; `deadline` is when the next event, or the whole, must have come.
    pub fn new(
        held: VecDeque<Bytes>,
        source: AnswerBody,
        kind: Kind,
        deadline: Instant,
        permit: Permit,
        entry: Entry,
        closer: Closer,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(deadline));
        let mut usage = UsageScanner::default();
        if matches!(kind, Kind::Events { .. }) {
            held.iter().for_each(|piece| usage.feed(piece));
        }
        Self {
            held,
            source: Some(source),
            behind: None,
            in_burst: false,
            kind,
            usage,
            due: deadline,
            timer,
            has_moved: false,
            permit: Some(permit),
            entry,
            closer,
        }
    }

    /// The next piece. Small ones that have already arrived come as one: what the server does for each costs more than the
    /// copy. The first piece of a burst goes alone, as nearly always no other is there.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, AttemptError>>> {
        if let Some(behind) = self.behind.take() {
            return Poll::Ready(behind);
        }
        let Some(source) = &mut self.source else { return Poll::Ready(None) };
        let polled = source.poll_chunk(context);
        let was_in_burst = std::mem::replace(&mut self.in_burst, polled.is_ready());
        let piece = match ready!(polled) {
            Some(Ok(piece)) if was_in_burst && piece.len() <= SMALL => piece,
            other => return Poll::Ready(other),
        };
        let mut gathered = BytesMut::new();
        loop {
            match source.poll_chunk(context) {
                Poll::Ready(Some(Ok(more))) if more.len() <= SMALL && gathered.len() + more.len() <= GATHERED => {
                    if gathered.is_empty() {
                        gathered.reserve(2 * SMALL);
                        gathered.extend_from_slice(&piece);
                    }
                    gathered.extend_from_slice(&more);
                }
                Poll::Ready(behind) => {
                    self.behind = Some(behind);
                    break;
                }
                Poll::Pending => {
                    self.in_burst = false;
                    break;
                }
            }
        }
        Poll::Ready(Some(Ok(if gathered.is_empty() { piece } else { gathered.freeze() })))
    }

    /// Whether the time for the next event, or for the whole, is over.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Kind::Events { idle, .. } = &self.kind
            && std::mem::take(&mut self.has_moved)
        {
            self.due = Instant::now() + *idle;
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            if self.timer.deadline() >= self.due {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.due);
        }
    }

    fn report(&mut self, outcome: Outcome) -> String {
        let Some(permit) = self.permit.take() else { return String::new() };
        let provider = permit.provider().config.name.clone();
        self.entry.ended(outcome, Instant::now());
        self.entry.used(self.usage.found());
        permit.report(outcome);
        provider
    }

    /// The provider broke off: say so within the format if there is one, else by breaking off as well.
    fn interrupted(&mut self, cause: Outcome) -> Result<Frame<Bytes>, CutShort> {
        // Dropping the source closes the provider's connection.
        self.source = None;
        self.behind = None;
        let provider = self.report(Outcome::Interrupted);
        tracing::warn!(
            request_id = self.entry.id(),
            provider,
            cause = %cause,
            "provider {provider} {cause} after its answer had begun; the client was told"
        );
        // No further request on this connection: whatever the client makes of the body, it ends here.
        self.closer.close();
        match self.kind {
            Kind::Events { .. } => {
                let frame = respond::error_event(&provider, cause);
                Ok(Frame::data(frame))
            }
            Kind::Bytes => Err(CutShort { provider, outcome: cause }),
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
        if this.source.is_none() {
            return Poll::Ready(None);
        }
        match this.poll_piece(context) {
            Poll::Ready(Some(Ok(bytes))) => {
                if let Kind::Events { scanner, .. } = &mut this.kind {
                    this.usage.feed(&bytes);
                    this.has_moved |= scanner.feed(&bytes).event;
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Poll::Ready(None) => {
                if let Kind::Events { scanner, must_complete: true, .. } = &this.kind
                    && !scanner.is_complete()
                {
                    let cut = Outcome::Failed(FailureKind::CutShort);
                    return Poll::Ready(Some(this.interrupted(cut)));
                }
                this.source = None;
                this.report(Outcome::Succeeded);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let cause = error.outcome;
                tracing::debug!(request_id = this.entry.id(), error = respond::chain(&error), "answer broke off");
                Poll::Ready(Some(this.interrupted(cause)))
            }
            Poll::Pending => {
                ready!(this.poll_overdue(context));
                let phase = match this.kind {
                    Kind::Events { .. } => Phase::Idle,
                    Kind::Bytes => Phase::Request,
                };
                Poll::Ready(Some(this.interrupted(Outcome::TimedOut { phase })))
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.report(Outcome::Cancelled);
        }
    }
}
