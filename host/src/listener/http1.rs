//! A connection with HTTP/1.1: a request in, its answer out, then the next.
//!
//! All of it runs in the connection's own task. The socket lies in a [`Line`], which the body of a request shares with the
//! connection, as whoever answers reads it; nothing else contends for the lock.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

mod answer;
mod incoming;
mod outbox;

use super::activity::Activity;
use super::arriving::{Arriving, Cut};
use super::connection::Served;
use super::farewell::{HEAD_TOO_LARGE, NOT_HTTP, URL_TOO_LONG};
use super::{Answering, BoxError, Closer, Head, Peer, Site};
use crate::http1::framing::{Framing, Version};
use crate::http1::request::{self, Refusal};
use crate::http1::rest::Rest;
use answer::Answer;
use outbox::Outbox;

/// The room for what is read at once: at the beginning, and once requests have filled it.
const LEAST_READ: usize = 2 << 10;
const MOST_READ: usize = 64 << 10;
/// The largest buffer that a connection keeps while it waits.
const MOST_KEPT: usize = 4 << 10;
/// The bytes that a client may still send after the last answer, so that it can read that: closing a socket that holds unread
/// bytes resets the connection.
const MOST_DISCARDED: usize = 1 << 20;
/// The limit of its time.
const DISCARDING: Duration = Duration::from_secs(5);

/// The reason why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It broke.
    #[error("it broke")]
    Io(#[from] io::Error),
    /// The client has left.
    #[error("the client left before it had its answer")]
    Left,
    /// The head of a request broke off.
    #[error("it ended within the head of a request")]
    HeadCut,
    /// The head of a request was refused.
    #[error("the head of a request was refused")]
    Refused(Refusal),
    /// An answer could not be completed.
    #[error("an answer broke off")]
    Answer(#[source] BoxError),
}

/// A connection with HTTP/1.1, and those who use its socket.
pub(super) struct Line<S> {
    wire: Mutex<Wire<S>>,
    /// True when no request is to be read any more.
    closing: AtomicBool,
    activity: Arc<Activity>,
    max_head: usize,
}

/// The socket, and how far its traffic has come.
struct Wire<S> {
    stream: S,
    /// The bytes that were read and not looked at.
    buffer: BytesMut,
    /// The room for the next read.
    room: usize,
    /// The rest of the present request.
    rest: Rest,
    /// The rest of the interim answer to a client that waits to be told to send its body.
    interim: &'static [u8],
}

/// The interim answer to a client that waits for it (RFC 9110, 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The part of a connection that reads the body of a request.
pub(super) trait Reading: Send + Sync {
    /// The next piece, `None` at the end.
    fn poll_piece(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>>;

    /// The same straight into `whole`; the number of bytes.
    fn poll_into(&self, context: &mut Context<'_>, whole: &mut BytesMut) -> Poll<Option<Result<usize, Cut>>>;

    /// The number of bytes that are to come, if it is known.
    fn left(&self) -> Option<u64>;

    /// True when nothing more is to come.
    fn is_over(&self) -> bool;
}

pin_project! {
    /// A connection that is being served.
    pub(super) struct Http1<S, F> {
        line: Arc<Line<S>>,
        #[pin]
        course: F,
    }
}

/// The connection that has `site` answer.
pub(super) fn connection<S, T>(
    stream: S,
    (site, peer): (T, Peer),
    activity: &Arc<Activity>,
    max_head: usize,
    closer: Closer,
) -> (impl Served + use<S, T>, Arc<Line<S>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: Site,
{
    let wire = Wire { stream, buffer: BytesMut::new(), room: LEAST_READ, rest: Rest::Nothing, interim: b"" };
    let (closing, activity) = (AtomicBool::new(false), Arc::clone(activity));
    let line = Arc::new(Line { wire: Mutex::new(wire), closing, activity, max_head });
    let course = course(Arc::clone(&line), site, peer, closer);
    (Http1 { line: Arc::clone(&line), course }, line)
}

impl<S, F: Future<Output = Result<(), Fault>>> Future for Http1<S, F> {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().course.poll(context).map_err(Into::into)
    }
}

impl<S, F: Future<Output = Result<(), Fault>>> Served for Http1<S, F> {
    fn shut(self: Pin<&mut Self>) {
        self.line.closing.store(true, Relaxed);
    }
}

/// Serves a connection to its end.
async fn course<S, T>(line: Arc<Line<S>>, site: T, peer: Peer, closer: Closer) -> Result<(), Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: Site,
{
    let mut outbox = Outbox::default();
    loop {
        let head = match poll_fn(|context| line.poll_head(context)).await {
            Ok(Some(head)) => head,
            Ok(None) => break,
            Err(Fault::Refused(refusal)) => {
                line.refuse(refusal, &mut outbox).await;
                return Err(Fault::Refused(refusal));
            }
            Err(fault) => return Err(fault),
        };
        let in_progress = line.activity.begin();
        let request::Head { method, uri, headers, framing, version, keeps_alive, expects_continue } = head;
        let is_head = method == http::Method::HEAD;
        let body = line.body(framing, expects_continue);
        let response = {
            let is_11 = version == Version::Http11;
            let version = if is_11 { http::Version::HTTP_11 } else { http::Version::HTTP_10 };
            let head = Head { method, uri, version, headers };
            // Boxed, or the connection would have room for it for its whole life, even while a stream runs.
            let mut answering = Box::pin(site.answer(head, body, peer, &closer));
            let answered = poll_fn(|context| match answering.as_mut().poll(context) {
                Poll::Ready(response) => Poll::Ready(Ok(response)),
                Poll::Pending => line.poll_left(context).map(Err),
            });
            answered.await?
        };
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let keeps_alive = keeps_alive && !line.closing.load(Relaxed) && line.is_read();
        outbox.push(line.rest_of_interim());
        let mut answer = Answer::begin(response, Asked { is_head, version, keeps_alive }, &mut outbox);
        poll_fn(|context| line.poll_answer(&mut answer, &mut outbox, context)).await?;
        let keeps_alive = answer.keeps_alive;
        drop(answer);
        drop(in_progress);
        if switches {
            return Ok(());
        }
        if !keeps_alive || line.closing.load(Relaxed) {
            break;
        }
    }
    line.end(!line.is_quiet()).await.map_err(Fault::Io)
}

/// What an answer must know of its request.
#[derive(Clone, Copy, Debug)]
struct Asked {
    is_head: bool,
    version: Version,
    keeps_alive: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Line<S> {
    /// The head of the next request; `None` when there is none, or none is wanted any more.
    fn poll_head(&self, context: &mut Context<'_>) -> Poll<Result<Option<request::Head>, Fault>> {
        let wire = &mut *self.wire.lock();
        if !wire.buffer.is_empty() {
            self.activity.received();
        }
        loop {
            if !wire.buffer.is_empty() {
                match request::take(&mut wire.buffer, self.max_head) {
                    Ok(Some(head)) => return Poll::Ready(Ok(Some(head))),
                    Ok(None) => {}
                    Err(refusal) => return Poll::Ready(Err(Fault::Refused(refusal))),
                }
            }
            if wire.buffer.is_empty() && self.closing.load(Relaxed) {
                return Poll::Ready(Ok(None));
            }
            match wire.poll_read(context) {
                Poll::Ready(Ok(1..)) => self.activity.received(),
                Poll::Ready(Ok(0)) if wire.buffer.is_empty() => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Fault::HeadCut)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {
                    if wire.buffer.is_empty() && wire.buffer.capacity() > MOST_KEPT {
                        wire.buffer = BytesMut::new();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// The body of the request whose head has just been taken.
    fn body(self: &Arc<Self>, framing: Framing, expects: bool) -> Arriving {
        let wire = &mut *self.wire.lock();
        if let Framing::Length(length) = framing
            && let Some(length) = usize::try_from(length).ok().filter(|length| *length <= wire.buffer.len())
        {
            wire.rest = Rest::Nothing;
            return Arriving::whole(wire.buffer.split_to(length).freeze());
        }
        // A request does not end with its connection.
        wire.rest = Rest::of(if framing == Framing::Close { Framing::Empty } else { framing });
        wire.interim = if expects { CONTINUE } else { b"" };
        match wire.rest {
            Rest::Nothing => Arriving::whole(Bytes::new()),
            Rest::Length(_) | Rest::Chunks(_) | Rest::All => Arriving::by(Arc::clone(self) as Arc<dyn Reading>),
        }
    }

    /// True when all of the present request has been read. What has come of it and was not wanted is thrown away.
    fn is_read(&self) -> bool {
        let wire = &mut *self.wire.lock();
        while matches!(wire.rest.take(&mut wire.buffer), Ok(Some(_))) {}
        wire.rest.is_over()
    }

    /// Ready when the client has left while its answer is being prepared or sent. A client that sends its next request early cannot
    /// be seen to leave.
    fn poll_left(&self, context: &mut Context<'_>) -> Poll<Fault> {
        let wire = &mut *self.wire.lock();
        if !wire.rest.is_over() || !wire.buffer.is_empty() {
            return Poll::Pending;
        }
        let mut room = [0; 512];
        let mut into = ReadBuf::new(&mut room);
        match ready!(Pin::new(&mut wire.stream).poll_read(context, &mut into)) {
            Ok(()) if into.filled().is_empty() => Poll::Ready(Fault::Left),
            Ok(()) => {
                wire.buffer.extend_from_slice(into.filled());
                Poll::Pending
            }
            Err(error) => Poll::Ready(error.into()),
        }
    }

    /// Sends an answer; ready when all of it has gone.
    fn poll_answer<B>(
        &self,
        answer: &mut Answer<B>,
        outbox: &mut Outbox,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>>
    where
        B: Answering + Unpin,
    {
        loop {
            let fed = answer.poll_feed(outbox, context);
            let sent = self.poll_sent(outbox, context);
            // Only now is the answer over for whoever made it: the client comes first.
            answer.let_go();
            match fed {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Answer(error))),
                Poll::Ready(Ok(())) => {
                    ready!(sent)?;
                    if answer.is_complete() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Pending => {
                    ready!(sent)?;
                    return self.poll_left(context).map(Err);
                }
            }
        }
    }

    /// Sends what waits.
    fn poll_sent(&self, outbox: &mut Outbox, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        outbox.poll_sent(&mut self.wire.lock().stream, &self.activity, context)
    }

    /// The rest of an interim answer that has begun.
    fn rest_of_interim(&self) -> &'static [u8] {
        let rest = std::mem::take(&mut self.wire.lock().interim);
        if rest.len() < CONTINUE.len() { rest } else { b"" }
    }

    /// Says why a head is refused, and ends the connection.
    async fn refuse(&self, refusal: Refusal, outbox: &mut Outbox) {
        outbox.push(match refusal {
            Refusal::Malformed => NOT_HTTP,
            Refusal::TooLarge => HEAD_TOO_LARGE,
            Refusal::UrlTooLong => URL_TOO_LONG,
        });
        if poll_fn(|context| self.poll_sent(outbox, context)).await.is_ok() {
            let _ = self.end(true).await;
        }
    }

    /// True when nothing is left of what the client has sent.
    fn is_quiet(&self) -> bool {
        let wire = self.wire.lock();
        wire.rest.is_over() && wire.buffer.is_empty()
    }

    /// Ends the connection: says so, and if the client has more to say, reads that for a while.
    async fn end(&self, lingers: bool) -> io::Result<()> {
        poll_fn(|context| Pin::new(&mut self.wire.lock().stream).poll_shutdown(context)).await?;
        if lingers {
            let _ = timeout(DISCARDING, poll_fn(|context| self.wire.lock().poll_discarded(context))).await;
        }
        Ok(())
    }
}

impl<S> Line<S> {
    /// The socket once the protocol has changed, and what came of the next protocol.
    pub(super) fn into_parts(self: Arc<Self>) -> Option<(S, Bytes)> {
        let wire = Arc::into_inner(self)?.wire.into_inner();
        Some((wire.stream, wire.buffer.freeze()))
    }
}
