//! One connection to a provider with HTTP/1.1: a request out, an answer in, then the next.
//!
//! Whoever uses a connection polls it; it has no task and no channel of its own. A request that is dropped drops its connection,
//! which is what cancels it at the provider.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use super::stream::Stream;
use crate::http1::chunks::Malformed;
use crate::http1::response::{self, Head};
use crate::http1::rest::Rest;

/// Interim answers (RFC 9110, 15.2) before the one that counts; a provider that sends more is broken.
const MOST_INTERIM: u8 = 16;

/// A body that is not larger is sent in one piece with its head.
const COPIED: usize = 8 << 10;

/// The room for what is read at once: at the beginning, and once an answer has filled it again and again.
const LEAST_READ: usize = 2 << 10;
const MOST_READ: usize = 64 << 10;
/// The most room that is made at once for the rest of a body whose length is known.
const MOST_AWAITED: usize = 256 << 10;

/// A request as it goes over the wire.
pub struct Outgoing {
    /// Its head; a small body may follow in it.
    pub head: Vec<u8>,
    /// Its body.
    pub body: Bytes,
    /// True when its answer has no body, whatever the answer's head says.
    pub is_head: bool,
}

/// Without what it holds: keys are in it.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("is_head", &self.is_head).finish_non_exhaustive()
    }
}

/// One connection. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// The bytes that were read and not looked at.
    buffer: BytesMut,
    /// The part of a request that the other side has not taken.
    unsent: Option<Unsent>,
    /// The rest of the present answer.
    rest: Rest,
    /// True when it can carry another request once the present answer has ended.
    keeps_alive: bool,
    /// The room for the next read.
    room: usize,
    /// The time at which it has lived long enough.
    pub(super) ends: Instant,
}

#[derive(Debug)]
struct Unsent {
    request: Outgoing,
    /// The bytes of its head, and of its body, that have gone out.
    head: usize,
    body: usize,
}

impl Unsent {
    fn has_begun(&self) -> bool {
        self.head > 0 || self.body > 0
    }
}

/// An exchange of which no head of an answer has come.
struct Exchange {
    is_head: bool,
    /// The number of interim answers.
    interim: u8,
    /// The fault that keeps the request from being sent.
    cut: Option<io::Error>,
}

/// The reason why an exchange or a body came to no good end.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// It ended too early.
    #[error("the connection ended before the answer did")]
    Ended,
    /// The bytes that came are no HTTP/1.1.
    #[error("the answer is not valid HTTP/1.1")]
    Malformed,
    /// Interim answers came without end.
    #[error("more than {MOST_INTERIM} interim answers came")]
    Flooded,
    /// A connection with HTTP/2 failed.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

/// An exchange that brought no head of an answer.
#[derive(Debug)]
pub struct Broken {
    /// The reason.
    pub fault: Fault,
    /// The progress that the exchange had made.
    pub progress: Progress,
}

/// The progress of an exchange when its connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No byte of the request was sent.
    Unsent,
    /// No byte of the answer had come.
    Sent,
    /// Some of the answer had come.
    Answering,
}

/// The state of a connection without a request, as its socket shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Another request can be sent on it.
    Usable,
    /// It cannot be used.
    Ended,
    /// It cannot be used, and the other side has sent what nobody asked for.
    Unasked,
}

impl Connection {
    /// A connection that has just been opened, to be used until `ends`.
    pub fn new(stream: Stream, ends: Instant) -> Self {
        let (buffer, rest) = (BytesMut::new(), Rest::Nothing);
        Self { stream, buffer, unsent: None, rest, keeps_alive: true, room: LEAST_READ, ends }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    ///
    /// [`Broken`], which says how far it had come.
    pub async fn exchange(&mut self, request: Outgoing) -> Result<Head, Broken> {
        let mut progress = Exchange { is_head: request.is_head, interim: 0, cut: None };
        self.unsent = Some(Unsent { request, head: 0, body: 0 });
        poll_fn(|context| self.poll_head(&mut progress, context)).await
    }

    fn poll_head(&mut self, exchange: &mut Exchange, context: &mut Context<'_>) -> Poll<Result<Head, Broken>> {
        if exchange.cut.is_none()
            && let Poll::Ready(Err(error)) = self.poll_send(context)
        {
            // A server may answer, and close, before it has taken the whole request: then what it has said counts. Whether it has
            // is known when the end of the connection is read.
            (exchange.cut, self.keeps_alive) = (Some(error), false);
        }
        loop {
            match self.take_head(exchange) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(self.broken(fault, exchange))),
            }
            let ended = match ready!(self.poll_read(context)) {
                Ok(1..) => continue,
                Ok(0) => Fault::Ended,
                Err(error) => Fault::Io(error),
            };
            let fault = exchange.cut.take().map_or(ended, Fault::Io);
            return Poll::Ready(Err(self.broken(fault, exchange)));
        }
    }

    fn broken(&self, fault: Fault, exchange: &Exchange) -> Broken {
        let progress = if exchange.interim > 0 || !self.buffer.is_empty() {
            Progress::Answering
        } else if self.unsent.as_ref().is_some_and(|unsent| !unsent.has_begun()) {
            Progress::Unsent
        } else {
            Progress::Sent
        };
        Broken { fault, progress }
    }

    /// The head of the answer, if it has come: interim answers are read over, but for one that changes the protocol.
    fn take_head(&mut self, exchange: &mut Exchange) -> Result<Option<Head>, Fault> {
        while !self.buffer.is_empty() {
            let taken = response::take(&mut self.buffer, exchange.is_head).map_err(|_malformed| Fault::Malformed)?;
            let Some(head) = taken else { return Ok(None) };
            if head.status.is_informational() && head.status != http::StatusCode::SWITCHING_PROTOCOLS {
                exchange.interim += 1;
                if exchange.interim > MOST_INTERIM {
                    return Err(Fault::Flooded);
                }
                continue;
            }
            self.keeps_alive &= head.keeps_alive;
            self.rest = Rest::of(head.framing);
            return Ok(Some(head));
        }
        Ok(None)
    }

    /// The next piece of the answer's body, `None` at its end.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            match self.rest.take(&mut self.buffer) {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(None) if self.rest.is_over() => return Poll::Ready(None),
                Ok(None) => {}
                Err(Malformed) => return Poll::Ready(Some(Err(Fault::Malformed))),
            }
            if self.unsent.is_some() && matches!(self.poll_send(context), Poll::Ready(Err(_))) {
                // The answer may be complete all the same.
                (self.unsent, self.keeps_alive) = (None, false);
            }
            match ready!(self.poll_read(context)) {
                Ok(1..) => {}
                Ok(0) if matches!(self.rest, Rest::All) => self.rest = Rest::Nothing,
                Ok(0) => return Poll::Ready(Some(Err(Fault::Ended))),
                Err(error) => return Poll::Ready(Some(Err(Fault::Io(error)))),
            }
        }
    }

    /// Reads what has come into the buffer.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = match self.rest {
            Rest::Length(left) => usize::try_from(left).unwrap_or(usize::MAX).clamp(LEAST_READ, MOST_AWAITED),
            Rest::Nothing | Rest::Chunks(_) | Rest::All => self.room,
        };
        self.buffer.reserve(room);
        let spare = self.buffer.capacity() - self.buffer.len();
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), context, &mut self.buffer));
        if read.as_ref().is_ok_and(|read| *read >= spare) {
            self.room = (self.room * 2).min(MOST_READ);
        }
        Poll::Ready(read)
    }

    /// Sends what is left of the request.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(unsent) = &mut self.unsent {
            let (head, body) = (&unsent.request.head[unsent.head..], &unsent.request.body[unsent.body..]);
            let stream = Pin::new(&mut self.stream);
            let written = match (head.is_empty(), body.is_empty()) {
                (true, true) => {
                    ready!(stream.poll_flush(context))?;
                    self.unsent = None;
                    return Poll::Ready(Ok(()));
                }
                (false, false) => {
                    ready!(stream.poll_write_vectored(context, &[IoSlice::new(head), IoSlice::new(body)]))?
                }
                (false, true) => ready!(stream.poll_write(context, head))?,
                (true, false) => ready!(stream.poll_write(context, body))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len());
            unsent.head += of_head;
            unsent.body += written - of_head;
        }
        Poll::Ready(Ok(()))
    }

    /// True when nothing is known that keeps it from carrying another request.
    pub fn may_be_kept(&self) -> bool {
        self.keeps_alive && self.unsent.is_none()
    }

    /// True when more came than the answer.
    pub fn has_surplus(&self) -> bool {
        self.rest.is_over() && !self.buffer.is_empty()
    }

    /// Tells whether the next request can be sent on it, as far as anybody can know.
    ///
    /// It looks at the socket itself: the runtime only knows what it was told when it last looked for events, and a request must
    /// not go out before bytes that would be taken for its answer.
    pub fn look(&mut self) -> Look {
        if !self.is_at_rest() {
            return Look::Ended;
        }
        if !self.buffer.is_empty() {
            return Look::Unasked;
        }
        match rustix::net::recv(self.stream.as_fd(), &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Look::Usable,
            // Its end, which reading nothing says.
            Ok((_, 0)) | Err(_) => Look::Ended,
            Ok(_) => self.look_closely(),
        }
    }

    /// Ends the reading of an answer that is complete by its content, as far as its end has come. True when the connection is worth
    /// keeping: the end may come a moment later.
    pub fn settle(&mut self) -> bool {
        if !self.keeps_alive {
            return false;
        }
        match self.poll_body(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(None) | Poll::Pending => true,
            // There is more than the end, or the connection has broken.
            Poll::Ready(Some(_)) => false,
        }
    }

    /// True when request and answer have gone to their ends by the rules of HTTP.
    fn is_at_rest(&mut self) -> bool {
        self.keeps_alive && self.settle() && self.unsent.is_none() && self.rest.is_over()
    }

    /// Reads what lies there between two answers: under TLS it may be something that is no part of HTTP, as a session ticket, or
    /// the other side's farewell.
    fn look_closely(&mut self) -> Look {
        if !self.stream.is_tls() {
            return Look::Unasked;
        }
        let mut byte = [0; 1];
        let mut into = ReadBuf::new(&mut byte);
        match Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut into) {
            Poll::Pending => Look::Usable,
            Poll::Ready(Ok(())) if !into.filled().is_empty() => Look::Unasked,
            Poll::Ready(_) => Look::Ended,
        }
    }

    /// The connection once it has changed to another protocol, and the bytes of that which came already.
    pub fn into_stream(self) -> (Stream, Bytes) {
        (self.stream, self.buffer.freeze())
    }
}

/// True for a body that is copied behind its head.
pub fn is_copied(body: &Bytes) -> bool {
    body.len() <= COPIED
}
