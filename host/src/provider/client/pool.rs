//! Connections to one origin, kept for the next request.
//!
//! A connection is not driven by a task of its own: whoever uses it polls it along. So a request costs no hand-over
//! between tasks, dropping it gives it up, and a connection in the pool was intact when it was last polled.

use std::error::Error as _;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::time::Instant;

mod switch;

use super::connect::{ConnectError, Dialer, HTTP2};
use super::http2::{Lease, Shared};
use super::stream::Stream;
use super::wake::Together;
use super::wire::{Talk, Turn, Wire};
use crate::config::ProviderHttp;
use crate::patience;
pub use switch::Exchanged;

/// The most headers of an answer. Gateways and content delivery networks add to what the server behind them says.
const MAX_HEADERS: usize = 256;

/// An idle connection is closed after this long: below the 5 s after which common servers (uvicorn, Node) close theirs,
/// so that a request is seldom sent into a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(4);

/// The longest life of a connection, so that a provider's new addresses are used under load as well.
const LONGEST_LIFE: Duration = Duration::from_secs(300);
/// The share of its life by which a connection may live shorter, so that those opened together do not end together.
const LIFE_SPREAD: f64 = 0.2;

/// The time for which connections to an origin that spoke unasked are used once each.
const DISTRUST: Duration = Duration::from_secs(600);

/// The connections to one origin.
#[derive(Debug)]
pub struct Pool {
    dialer: Dialer,
    idle: Mutex<Idle>,
    /// The connections with HTTP/2.
    shared: Shared,
    /// The number of connections that have been opened, for the spread of their lives.
    opened: AtomicU32,
}

/// A connection that is kept for the next request.
#[derive(Debug, Default)]
struct Idle {
    /// Idle connections with the beginning of their idle time, the latest used last.
    connections: Vec<(Instant, Box<Connection>)>,
    /// Until then no connection is kept: the other side spoke unasked, and its next words would be taken for an answer.
    distrusted_until: Option<Instant>,
}

/// One connection. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// The future that reads and writes; `None` once the connection has ended.
    driver: Option<Driver>,
    together: Together,
    talk: Talk,
    /// The body of the last answer, of which only the end by the rules of HTTP has yet to come.
    tail: Option<Incoming>,
    /// The time at which it has lived long enough.
    ends: Instant,
}

type Driver = http1::Connection<TokioIo<Wire>, Full<Bytes>>;

/// The connection that a request is sent on, where HTTP/2 may be spoken.
pub enum Leased {
    /// A part of a connection with HTTP/2.
    Shared(Lease, Fresh),
    /// A connection with HTTP/1.1.
    Own(Box<Connection>),
}

/// The age of a connection: opened just now, or kept from an earlier request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// It was.
    Yes,
    /// It had been opened before.
    No,
}

/// An exchange that brought no head of an answer.
pub struct Broken {
    /// The reason.
    pub error: hyper::Error,
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
    /// Interim answers came without end.
    Flooded,
}

impl Pool {
    /// No connection is opened before it is needed.
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer, idle: Mutex::default(), shared: Shared::default(), opened: AtomicU32::new(0) }
    }

    /// True when requests may go over connections with HTTP/2.
    pub fn is_shared(&self) -> bool {
        match self.dialer.origin().http() {
            ProviderHttp::One => false,
            ProviderHttp::Two => true,
            ProviderHttp::Auto => !self.shared.is_declined(),
        }
    }

    /// True when TLS is spoken.
    pub fn is_encrypted(&self) -> bool {
        self.dialer.origin().tls().is_some()
    }

    /// A part of a connection with HTTP/2, and whether it had to be opened; a connection of its own where the other side chose
    /// HTTP/1.1.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], of which [`ConnectError::TimedOut`] after `limit`.
    pub async fn lease(&self, limit: Duration) -> Result<Leased, ConnectError> {
        if let Some(lease) = self.shared.take() {
            return Ok(Leased::Shared(lease, Fresh::No));
        }
        let opened = patience::until(Instant::now() + limit, async {
            let _turn = self.shared.turn().await;
            // Whoever had the turn before has opened one for several.
            if let Some(lease) = self.shared.take() {
                return Ok(Leased::Shared(lease, Fresh::No));
            }
            let wanted = self.dialer.origin().http();
            let stream = self.dialer.connect(wanted).await?;
            let agreed = if stream.is_tls() { stream.alpn() == Some(HTTP2) } else { true };
            match (agreed, wanted) {
                (true, _) => self.shared.begin(stream, self.end()).await.map(|lease| Leased::Shared(lease, Fresh::Yes)),
                (false, ProviderHttp::Auto) => {
                    self.shared.decline();
                    self.begin(stream).await.map(Leased::Own)
                }
                (false, ProviderHttp::One | ProviderHttp::Two) => Err(ConnectError::NoHttp2),
            }
        });
        opened.await.map_err(|_elapsed| ConnectError::TimedOut)?
    }

    /// The end of the life of a connection that is opened now.
    fn end(&self) -> Instant {
        Instant::now() + life(self.opened.fetch_add(1, Relaxed))
    }

    /// The connection that was used last, if it is still whole and quiet.
    pub fn take(&self) -> Option<Box<Connection>> {
        loop {
            let (since, mut connection) = self.idle.lock().connections.pop()?;
            let now = Instant::now();
            if now.duration_since(since) >= IDLE || now >= connection.ends {
                continue;
            }
            match connection.look() {
                Look::Usable => return Some(connection),
                Look::Ended => {}
                Look::Unasked => self.distrust(),
            }
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], of which [`ConnectError::TimedOut`] after `limit`.
    pub async fn open(&self, limit: Duration) -> Result<Box<Connection>, ConnectError> {
        let opened = patience::until(Instant::now() + limit, self.dialer.connect(ProviderHttp::One)).await;
        self.begin(opened.map_err(|_elapsed| ConnectError::TimedOut)??).await
    }

    /// Begins to speak HTTP/1.1.
    async fn begin(&self, stream: Stream) -> Result<Box<Connection>, ConnectError> {
        let talk = Talk::default();
        let wire = TokioIo::new(Wire::new(stream, talk.clone()));
        let handshake = http1::Builder::new().max_headers(MAX_HEADERS).handshake(wire).await;
        let (sender, driver) = handshake.map_err(ConnectError::Http)?;
        let ends = self.end();
        Ok(Box::new(Connection { sender, driver: Some(driver), together: Together::default(), talk, tail: None, ends }))
    }

    /// Sends a request on `connection` and waits for the head of its answer.
    ///
    /// # Errors
    ///
    /// [`Broken`], which says how far it had come.
    pub async fn exchange(
        &self,
        connection: &mut Connection,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Broken> {
        let exchanged = connection.exchange(request).await;
        // Something had come between the last look and this one.
        if matches!(&exchanged, Err(Broken { progress: Progress::Unsent, .. }))
            && connection.talk.turn() == Turn::Theirs
        {
            self.distrust();
        }
        exchanged
    }

    /// Keeps a connection for the next request, if it can carry one.
    pub fn put(&self, mut connection: Box<Connection>) {
        connection.together.forget();
        let look = connection.look();
        connection.talk.give(Turn::Nobody);
        let now = Instant::now();
        match look {
            Look::Usable if now < connection.ends => {
                let mut idle = self.idle.lock();
                if idle.distrusted_until.is_none_or(|until| now >= until) {
                    idle.connections.push((now, connection));
                }
            }
            Look::Usable | Look::Ended => {}
            Look::Unasked => self.distrust(),
        }
    }

    /// Keeps a connection whose answer, `body`, has said that it is over before HTTP did: it is used again if that end has
    /// come by then, and else closed. Servers send the two one after the other.
    pub fn put_ending(&self, mut connection: Box<Connection>, body: Incoming) {
        connection.together.forget();
        connection.tail = Some(body);
        let now = Instant::now();
        let mut idle = self.idle.lock();
        if now < connection.ends && idle.distrusted_until.is_none_or(|until| now >= until) {
            idle.connections.push((now, connection));
        }
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        let mut idle = self.idle.lock();
        let old = idle.connections.partition_point(|(since, _)| since.elapsed() >= IDLE);
        let closed: Vec<_> = idle.connections.drain(..old).collect();
        drop(idle);
        drop(closed);
        self.shared.sweep();
    }

    /// Takes note that the other side spoke unasked. Its words on a kept connection may be taken for the answer to the
    /// next request, should they come between two looks; so none is kept for a while.
    fn distrust(&self) {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        let before = idle.distrusted_until.replace(now + DISTRUST);
        let closed = std::mem::take(&mut idle.connections);
        drop(idle);
        drop(closed);
        if before.is_none_or(|until| now >= until) {
            let (host, minutes) = (self.dialer.origin().authority(), DISTRUST.as_secs() / 60);
            tracing::warn!(
                host,
                "the server at {host} sent bytes that nobody had asked for: for {minutes} min each connection to it \
                 carries one request"
            );
        }
    }
}

/// The failure of an exchange, and the point that it had come to.
fn broken(mut failed: TrySendError<Request<Full<Bytes>>>, talk: &Talk) -> Broken {
    Broken {
        progress: match talk.turn() {
            _ if failed.take_message().is_some() => Progress::Unsent,
            Turn::Nobody | Turn::Ours => Progress::Sent,
            Turn::Theirs | Turn::Unasked => Progress::Answering,
            Turn::Flooded => Progress::Flooded,
        },
        error: failed.into_error(),
    }
}

/// The life of the connection that is opened as `number`th. Multiples of the golden ratio are spread evenly.
fn life(number: u32) -> Duration {
    let share = f64::from(number.wrapping_mul(0x9E37_79B9)) / f64::from(u32::MAX);
    LONGEST_LIFE.mul_f64(1.0 - LIFE_SPREAD * share)
}

/// Reads and writes what can be, and says how the connection ended when it did.
fn drive(driver: &mut Option<Driver>, context: &mut Context<'_>) -> Option<hyper::Result<()>> {
    let Poll::Ready(ended) = Pin::new(driver.as_mut()?).poll(context) else { return None };
    *driver = None;
    Some(ended)
}

/// The state of a connection without a request, as its socket shows it.
enum Look {
    Usable,
    Ended,
    Unasked,
}

impl Connection {
    /// Tells whether the next request can be sent on it, as far as anybody can know.
    fn look(&mut self) -> Look {
        let Self { sender, driver, together, talk, tail, .. } = self;
        let ended = together.poll_quietly(|context| {
            if let Some(body) = tail {
                match Pin::new(body).poll_frame(context) {
                    Poll::Ready(None) => *tail = None,
                    // There is something behind the end.
                    Poll::Ready(Some(_)) => return Poll::Ready(Ok(())),
                    Poll::Pending => {}
                }
            }
            drive(driver, context).map_or(Poll::Pending, Poll::Ready)
        });
        if tail.is_some() {
            return Look::Ended;
        }
        match ended {
            Poll::Pending if sender.is_ready() => Look::Usable,
            // An error without a cause, where nothing was expected, is one about what came.
            Poll::Ready(Err(error)) if error.source().is_none() && !error.is_incomplete_message() => Look::Unasked,
            _ if talk.turn() == Turn::Unasked => Look::Unasked,
            _ => Look::Ended,
        }
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Broken> {
        let Self { sender, driver, together, talk, .. } = self;
        talk.give(Turn::Ours);
        let mut answer = pin!(sender.try_send_request(request));
        let answered = poll_fn(|context| {
            together.poll(context, |context| {
                // The body that it carried tells how it ended.
                drive(driver, context);
                answer.as_mut().poll(context)
            })
        });
        answered.await.map_err(|failed| broken(failed, talk))
    }

    /// The next frame of the answer's body.
    pub fn poll_body(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { driver, together, .. } = self;
        together.poll(context, |context| {
            // Asking first tells the connection that there is somebody to read for.
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) {
                return Poll::Ready(frame);
            }
            drive(driver, context);
            Pin::new(&mut *body).poll_frame(context)
        })
    }
}
