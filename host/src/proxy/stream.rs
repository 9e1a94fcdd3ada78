//! Passing an answer on as it comes, and knowing how it ended.
//!
//! [`Relay`] is the response body. It owns the attempt's permit and the request's log entry, so slots are free when the
//! body has ended and not before, and it reports the outcome exactly once: at the end, on an error, or from `Drop`.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};

pub mod events;

use crate::listener::Closer;
use crate::provider::Permit;
use crate::provider::client::AnswerBody;
use crate::proxy::access::Entry;
use crate::proxy::respond;
use crate::proxy::usage::UsageScanner;
use crate::routing::{FailureKind, Outcome, Phase};
use events::EventScanner;

/// An answer on its way to the client.
pub struct Relay {
    /// What was read while it was not yet clear whether to answer with this attempt.
    held: VecDeque<Bytes>,
    source: Option<AnswerBody>,
    kind: Kind,
    usage: UsageScanner,
    timer: Pin<Box<Sleep>>,
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
        Self { held, source: Some(source), kind, usage, timer, permit: Some(permit), entry, closer }
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
        let Some(source) = &mut this.source else { return Poll::Ready(None) };
        match source.poll_chunk(context) {
            Poll::Ready(Some(Ok(bytes))) => {
                if let Kind::Events { scanner, idle, .. } = &mut this.kind {
                    this.usage.feed(&bytes);
                    if scanner.feed(&bytes).event {
                        this.timer.as_mut().reset(Instant::now() + *idle);
                    }
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
                ready!(this.timer.as_mut().poll(context));
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
