//! Two wrappers that report to an [`Activity`]: one around the socket, one around the response's body.
//!
//! The HTTP library itself answers a head that it does not understand, without a body, and closes the connection. That
//! answer is replaced here by one with a body.
//!
//! This file stands apart from [`super::activity`], which knows phases and time but neither sockets nor HTTP.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::{Activity, InProgress};
use super::farewell::{HEAD_TOO_LARGE, NOT_HTTP, URL_TOO_LONG};

/// A socket whose traffic is noted.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    /// The rest of the answer that is sent in the library's place, once it has refused a head.
    instead: Option<&'static [u8]>,
    /// The number of bytes that may still be read and thrown away once nothing more is said.
    to_discard: usize,
}

/// The bytes that a client may still send after its head was refused, so that it can read the answer: closing a socket
/// that holds unread bytes resets the connection.
const MOST_DISCARDED: usize = 1 << 20;

impl<S> Watched<S> {
    /// Notes in `activity` what passes through `stream`.
    pub fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, instead: None, to_discard: 0 }
    }

    /// The socket, of which nothing is noted any more.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Notices when `bytes` are the library's own answer to a head that it refuses.
    fn look_for_refusal(&mut self, bytes: &[u8]) {
        if self.instead.is_none() && self.activity.is_in_head() {
            self.instead = instead_of(bytes);
            self.to_discard = if self.instead.is_some() { MOST_DISCARDED } else { 0 };
        }
    }

    fn sent(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(1..)) => self.activity.sent(),
            Poll::Pending => self.activity.stalled(),
            Poll::Ready(_) => {}
        }
        written
    }
}

/// The answer to send in place of the library's own, if `bytes` are one.
fn instead_of(bytes: &[u8]) -> Option<&'static [u8]> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
    let answer = match status {
        b"431" => HEAD_TOO_LARGE,
        b"414" => URL_TOO_LONG,
        b"400" => NOT_HTTP,
        _ => return None,
    };
    // Every answer of the proxy has a body or names its request, so this one is the library's.
    let empty = memchr::memmem::find(bytes, b"content-length: 0\r\n").is_some();
    let ours = memchr::memmem::find(bytes, b"x-request-id").is_some();
    (empty && !ours).then_some(answer)
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Sends the rest of the replacing answer; when it is complete, `in_place_of` bytes count as written.
    fn poll_instead(
        &mut self,
        mut rest: &'static [u8],
        in_place_of: usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        while !rest.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(context, rest);
            let written = ready!(self.sent(written))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            rest = &rest[written..];
            self.instead = Some(rest);
        }
        Poll::Ready(Ok(in_place_of))
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// Reads and discards what still comes, up to its end or a limit.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut sink = [0; 4096];
        while self.to_discard > 0 {
            let mut into = ReadBuf::new(&mut sink);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut into)) {
                Ok(()) if !into.filled().is_empty() => {
                    self.to_discard = self.to_discard.saturating_sub(into.filled().len());
                }
                Ok(()) | Err(_) => self.to_discard = 0,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        if into.filled().len() > before {
            self.activity.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.look_for_refusal(bytes);
        if let Some(rest) = self.instead {
            return self.poll_instead(rest, bytes.len(), context);
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = bytes.first() {
            self.look_for_refusal(first);
        }
        if let Some(rest) = self.instead {
            let all = bytes.iter().map(|piece| piece.len()).sum();
            return self.poll_instead(rest, all, context);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.sent(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        // Within the time limit of a head; see `Activity`.
        self.poll_discard(context).map(Ok)
    }
}

/// A response's body that keeps its request in progress until the HTTP library drops it.
#[derive(Debug)]
pub struct Answering<B> {
    body: B,
    _request: InProgress,
}

impl<B> Answering<B> {
    /// `body` as the answer to `request`.
    pub fn new(body: B, request: InProgress) -> Self {
        Self { body, _request: request }
    }
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_by_itself_is_told_from_the_proxys_answers() {
        let by_itself =
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(instead_of(by_itself), Some(HEAD_TOO_LARGE));
        for ours in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 17\r\n\r\n",
            b"data: HTTP/1.1 431",
        ] {
            assert_eq!(instead_of(ours), None);
        }
    }
}
