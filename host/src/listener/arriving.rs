//! The body of a request, in each of the ways in which it may come.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::http1::Reading;

/// The body of a request.
pub struct Arriving(Way);

enum Way {
    /// All of it came with the head.
    Whole(Bytes),
    /// It comes by the connection, of which this is the part that reads.
    Http1(Arc<dyn Reading>),
    Http2(Incoming),
}

/// A body ended too early, or is malformed.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// It ended.
    #[error("the connection ended before the body did")]
    Ended,
    /// The body is not in the form that its head announces.
    #[error("the body is not valid HTTP/1.1")]
    Malformed,
    /// A connection with HTTP/2 failed.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl Arriving {
    /// A body that is there.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Way::Whole(bytes))
    }

    /// A body that a connection with HTTP/1.1 reads.
    pub(super) fn by(reading: Arc<dyn Reading>) -> Self {
        Self(Way::Http1(reading))
    }

    /// All of the body, if it came with the head; it can be taken once.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        match &mut self.0 {
            Way::Whole(bytes) => Some(std::mem::take(bytes)),
            Way::Http1(_) | Way::Http2(_) => None,
        }
    }

    /// Reads what comes next straight into `whole`, which should have room for all that is expected; `None` at the end.
    pub fn poll_into(&mut self, context: &mut Context<'_>, whole: &mut BytesMut) -> Poll<Option<Result<usize, Cut>>> {
        if let Way::Http1(reading) = &self.0 {
            return reading.poll_into(context, whole);
        }
        while let Some(frame) = ready!(Pin::new(&mut *self).poll_frame(context)) {
            match frame.map(Frame::into_data) {
                Err(cut) => return Poll::Ready(Some(Err(cut))),
                Ok(Ok(data)) if !data.is_empty() => {
                    whole.extend_from_slice(&data);
                    return Poll::Ready(Some(Ok(data.len())));
                }
                // Trailers count for nothing.
                Ok(Ok(_) | Err(_)) => {}
            }
        }
        Poll::Ready(None)
    }
}

impl From<Incoming> for Arriving {
    fn from(incoming: Incoming) -> Self {
        Self(Way::Http2(incoming))
    }
}

impl fmt::Debug for Arriving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arriving")
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.0 {
            Way::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Way::Http1(reading) => reading.poll_piece(context).map(|piece| piece.map(|piece| piece.map(Frame::data))),
            Way::Http2(incoming) => Pin::new(incoming).poll_frame(context).map_err(Cut::Http2),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Way::Whole(bytes) => bytes.is_empty(),
            Way::Http1(reading) => reading.is_over(),
            Way::Http2(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Way::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Way::Http1(reading) => reading.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Way::Http2(incoming) => incoming.size_hint(),
        }
    }
}
