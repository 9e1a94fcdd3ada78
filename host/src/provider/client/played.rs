//! A provider that a simulation plays in place of the network.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::Stream;

use super::{Answer, AttemptError, Call};

/// Plays a provider in a simulation. Everything above this module is the same as in a server.
pub trait Player: std::fmt::Debug + Send + Sync {
    /// Answers a request, or lets it fail, whenever the provider would.
    fn answer(&self, call: &Call<'_>) -> BoxFuture<'static, Result<Answer, AttemptError>>;
}

/// The body that a played provider sends; `None` when it has been sent whole.
pub(super) struct PlayedBody(pub(super) Option<Pieces>);

impl PlayedBody {
    pub(super) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, AttemptError>>> {
        let Some(pieces) = &mut self.0 else { return Poll::Ready(None) };
        let polled = pieces.as_mut().poll_next(context);
        if matches!(polled, Poll::Ready(None)) {
            self.0 = None;
        }
        polled
    }
}

/// The answer of a played provider, piece by piece.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, AttemptError>> + Send + Sync>>;

impl std::fmt::Debug for PlayedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlayedBody")
    }
}
