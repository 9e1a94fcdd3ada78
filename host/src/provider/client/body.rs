//! The body of a provider's answer, and the end of its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;

use super::AttemptError;
use super::connection::Connection;
use super::http2::Lease;
use super::played::{Pieces, PlayedBody};
use super::pool::Pool;

/// The body of an answer, with the connection that it comes from. Dropped before its end it closes the connection.
#[derive(Debug)]
pub struct AnswerBody {
    /// A piece that was read and given back.
    pub(super) unread: Bytes,
    pub(super) source: Source,
}

#[derive(Debug)]
pub(super) enum Source {
    Http {
        /// `None` at the end.
        connection: Option<Box<Connection>>,
        pool: Arc<Pool>,
    },
    /// From a connection with HTTP/2.
    Shared {
        incoming: Incoming,
        /// `None` at the end.
        lease: Option<Lease>,
    },
    Played(PlayedBody),
}

impl AnswerBody {
    /// The answer of a played provider, piece by piece.
    pub fn played(pieces: Pieces) -> Self {
        Self { unread: Bytes::new(), source: Source::Played(PlayedBody(Some(pieces))) }
    }

    /// Gives back the last piece, to be read again.
    pub fn unread(&mut self, bytes: Bytes) {
        self.unread = bytes;
    }

    /// Ends the reading of a body that is complete by its content. The connection is kept, and used for the next
    /// request if the body has ended by then by the rules of HTTP: servers send the two ends one after the other.
    pub fn retire(self) {
        if let Source::Http { connection: Some(mut connection), pool } = self.source
            && connection.settle()
        {
            pool.put(connection);
        }
    }

    /// The next piece of the body, `None` at its end. Trailers are dropped.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, AttemptError>>> {
        if !self.unread.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.unread))));
        }
        let (kept, pool) = match &mut self.source {
            Source::Http { connection, pool } => (connection, pool),
            Source::Shared { incoming, lease } => return poll_shared(incoming, lease, context),
            Source::Played(played) => return played.poll_chunk(context),
        };
        let Some(connection) = kept else { return Poll::Ready(None) };
        let piece = ready!(connection.poll_body(context));
        if piece.is_none()
            && let Some(connection) = kept.take()
        {
            pool.put(connection);
        }
        Poll::Ready(piece.map(|piece| piece.map_err(AttemptError::of_body)))
    }

    /// The same as [`AnswerBody::poll_chunk`], as a future.
    ///
    /// # Errors
    ///
    /// [`AttemptError`]: the body was cut or malformed.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, AttemptError>> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }
}

/// The next piece of a body that comes over a shared connection.
fn poll_shared(
    incoming: &mut Incoming,
    lease: &mut Option<Lease>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, AttemptError>>> {
    while lease.is_some() {
        match ready!(Pin::new(&mut *incoming).poll_frame(context)) {
            None => *lease = None,
            Some(Err(error)) => return Poll::Ready(Some(Err(AttemptError::of_body(error.into())))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(data))),
                Err(_trailers) => {}
            },
        }
    }
    Poll::Ready(None)
}
