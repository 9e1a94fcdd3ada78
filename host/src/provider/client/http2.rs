//! Connections to one origin with HTTP/2, each shared by many requests.
//!
//! Unlike those with HTTP/1.1 they are driven by tasks of their own. A request that is given up costs a reset stream in place of a
//! connection. As all streams of a connection wait for one lost packet, and a provider allows so many and no more, there are several:
//! another one is opened before the last is full.

use std::error::Error as _;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::body::Source;
use super::connect::ConnectError;
use super::connection::{Broken, Fault, Progress};
use super::pool::{Fresh, Leased};
use super::stream::Stream;
use super::{Answer, AnswerBody, AttemptError, Call, Http};

/// The most connections to one origin; beyond, all are used more than they should be.
const MOST: usize = 64;
/// After so long without a word from a provider that owes an answer it is asked whether it is there, and how long it has to say so.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);
/// A connection that nobody has used for so long is closed. It is no risk to use one that the provider is just closing: its
/// GOAWAY tells which requests it has not looked at.
const IDLE: Duration = Duration::from_secs(60);
/// What a provider may send of one answer before it is read. The window of the connection has room for all streams that there may be:
/// with a smaller one, some clients that do not read their answers would hold up all others.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// The streams that a provider is taken to allow before it has said a number.
const UNTOLD: usize = 100;
/// The largest head of an answer.
const MAX_HEAD: u32 = 256 << 10;
/// For how long an origin that has chosen HTTP/1.1 is not asked again.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// The number of times that a request is sent which the provider says it has not looked at.
const MOST_TRIES: usize = 3;

impl Http {
    /// Sends a request on a connection with HTTP/2, and once more on another if the provider says that it has not looked at it.
    pub(super) async fn send_shared(&self, call: Call<'_>) -> Result<Answer, AttemptError> {
        let limit = call.connect.unwrap_or(self.connect_timeout);
        let mut tries = 0;
        loop {
            tries += 1;
            let (lease, fresh) = match self.pool.lease(limit).await.map_err(AttemptError::of_connect)? {
                Leased::Shared(lease, fresh) => (lease, fresh),
                Leased::Own(mut connection) => {
                    self.metrics.opened.inc();
                    return match connection.exchange(self.outgoing(&call, b"")).await {
                        Ok(head) => self.answer(head, connection),
                        Err(broken) => Err(AttemptError::of_head(broken)),
                    };
                }
            };
            if fresh == Fresh::Yes {
                self.metrics.opened.inc()
            } else {
                self.metrics.reused.inc()
            }
            match lease.exchange(self.shared_request(&call)).await {
                Ok(response) => {
                    let (head, incoming) = response.into_parts();
                    let source = Source::Shared { incoming, lease: Some(lease) };
                    let body = AnswerBody { unread: Bytes::new(), source };
                    let (status, headers) = (head.status, head.headers.into());
                    return Ok(Answer { status, headers, ends_with_connection: false, body });
                }
                Err(Broken { progress: Progress::Unsent, .. }) if tries < MOST_TRIES => self.metrics.stale.inc(),
                // As with HTTP/1.1: a server that closes an idle connection has read nothing.
                Err(broken) if lease.was_idle && !call.once && tries < MOST_TRIES && !is_reset(&broken.fault) => {
                    self.metrics.stale.inc();
                }
                Err(broken) => return Err(AttemptError::of_head(broken)),
            }
        }
    }

    /// The call with the whole URL for its target, and the host there alone (RFC 9113, 8.3.1).
    fn shared_request(&self, call: &Call<'_>) -> Request<Full<Bytes>> {
        let mut request = self.request(call);
        let host = request.headers_mut().remove(header::HOST);
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(if self.pool.is_encrypted() { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        // A path, an authority and a scheme are a URI.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        request
    }
}

/// The connections to one origin.
#[derive(Debug, Default)]
pub struct Shared {
    lines: Mutex<Vec<Arc<Line>>>,
    /// Held by whoever opens a connection: a burst of requests opens one, and not one each.
    opening: tokio::sync::Mutex<()>,
    /// Until then the origin is taken to speak HTTP/1.1 alone.
    declined_until: Mutex<Option<Instant>>,
    tasks: Tasks,
}

/// Runs connections, and the bodies of requests.
#[derive(Clone, Debug, Default)]
struct Tasks(TaskTracker);

impl<F: Future<Output: Send + 'static> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// One connection.
#[derive(Debug)]
struct Line {
    sender: SendRequest<Full<Bytes>>,
    /// The most streams that the provider allows, as far as it has said so.
    allowed: Arc<AtomicUsize>,
    in_flight: AtomicUsize,
    /// The time of the latest request's end.
    used: Mutex<Instant>,
    /// The time at which it has lived long enough.
    ends: Instant,
}

impl Line {
    fn is_usable(&self, now: Instant) -> bool {
        now < self.ends && !self.sender.is_closed()
    }

    /// The number of requests beyond which another connection is opened: 80 % of what the provider allows.
    fn room(&self) -> usize {
        (self.allowed.load(Relaxed) / 5).saturating_mul(4).max(1)
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.in_flight.load(Relaxed) == 0 && now.duration_since(*self.used.lock()) >= IDLE
    }
}

/// A request's part of a connection. Dropping the answer's body before its end resets the stream.
#[derive(Debug)]
pub struct Lease {
    line: Arc<Line>,
    /// True when the connection had been opened before, and carried no other request.
    was_idle: bool,
}

impl Lease {
    fn of(line: &Arc<Line>, fresh: Fresh) -> Self {
        let others = line.in_flight.fetch_add(1, Relaxed);
        Self { line: Arc::clone(line), was_idle: others == 0 && fresh == Fresh::No }
    }

    /// Sends a request and waits for the head of its answer. Dropping the future resets the stream.
    ///
    /// # Errors
    ///
    /// [`Broken`], which says whether the provider can have looked at the request.
    pub async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Broken> {
        let mut sender = self.line.sender.clone();
        sender.try_send_request(request).await.map_err(|mut failed| {
            let unsent = failed.take_message().is_some();
            let error = failed.into_error();
            let progress = if unsent || is_refused(&error) { Progress::Unsent } else { Progress::Sent };
            Broken { fault: error.into(), progress }
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.line.used.lock() = Instant::now();
        self.line.in_flight.fetch_sub(1, Relaxed);
    }
}

/// True when the provider says that it has not looked at the request (RFC 9113, 8.7): its stream was refused, or is beyond the last
/// that counts on a connection that is going away.
fn is_refused(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else { return false };
    let reason = error.reason();
    let refused = error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM);
    let left = error.is_go_away() && reason == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (refused || left)
}

/// True when the provider, or this side, ended the stream and not the connection.
fn is_reset(fault: &Fault) -> bool {
    let Fault::Http2(error) = fault else { return false };
    error.source().and_then(|source| source.downcast_ref::<h2::Error>()).is_some_and(h2::Error::is_reset)
}

impl Shared {
    /// A part of the least used connection, if one has room.
    pub fn take(&self) -> Option<Lease> {
        let now = Instant::now();
        let mut lines = self.lines.lock();
        lines.retain(|line| line.is_usable(now));
        let line = lines.iter().min_by_key(|line| line.in_flight.load(Relaxed))?;
        let has_room = line.in_flight.load(Relaxed) < line.room() || lines.len() >= MOST;
        has_room.then(|| Lease::of(line, Fresh::No))
    }

    /// Waits for the turn to open a connection.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.opening.lock().await
    }

    /// Begins to speak HTTP/2 on a connection that lives until `ends`.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Http`].
    pub async fn begin(&self, stream: Stream, ends: Instant) -> Result<Lease, ConnectError> {
        let handshake = Builder::new(self.tasks.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = handshake.map_err(ConnectError::Http)?;
        let allowed = Arc::new(AtomicUsize::new(UNTOLD));
        let told = Arc::clone(&allowed);
        self.tasks.execute(async move {
            let mut connection = pin!(connection);
            let ended = poll_fn(|context| {
                let ended = connection.as_mut().poll(context);
                if ended.is_pending() {
                    told.store(connection.current_max_send_streams(), Relaxed);
                }
                ended
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "a connection to a provider ended: {error}");
            }
        });
        let used = Mutex::new(Instant::now());
        let line = Arc::new(Line { sender, allowed, in_flight: AtomicUsize::new(0), used, ends });
        let lease = Lease::of(&line, Fresh::Yes);
        self.lines.lock().push(line);
        Ok(lease)
    }

    /// True while the origin is taken to speak HTTP/1.1 alone.
    pub fn is_declined(&self) -> bool {
        self.declined_until.lock().is_some_and(|until| Instant::now() < until)
    }

    /// Notes that the origin has chosen HTTP/1.1.
    pub fn decline(&self) {
        *self.declined_until.lock() = Some(Instant::now() + ASK_AGAIN);
    }

    /// Closes what has been idle for too long; a connection with requests goes on until they have ended.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.lines.lock().retain(|line| line.is_usable(now) && !line.is_idle(now));
    }
}
