//! A whole response body, which keeps the request's story until it is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::telling::Telling;
use crate::listener::Written;

/// The bytes of the answer.
pub struct Whole {
    bytes: Bytes,
    /// The part of its head that is written out.
    pub(super) written: Option<Written>,
    /// The story, dropped with the body: then the request is over.
    _story: Telling,
}

impl Whole {
    /// An answer of `bytes`.
    pub fn new(bytes: Bytes, story: Telling) -> Self {
        Self { bytes, written: None, _story: story }
    }

    /// The same, with a part of its head that is written out.
    pub fn below(self, written: Written) -> Self {
        Self { written: Some(written), ..self }
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
