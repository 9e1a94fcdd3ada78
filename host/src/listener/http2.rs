//! HTTP/2: many requests on one connection, each in a task of its own.
//!
//! The HTTP library bounds heads, floods of CONTINUATION, empty frames and of settings, and streams that are reset before they are
//! looked at (CVE-2023-44487). What it does not know is here: answers that the client does not read, requests that are begun
//! only to be reset, and the phases of the connection.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, Request, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::http2::{self, Builder};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::task::TaskTracker;

use super::activity::{Activity, InProgress};
use super::connection::Served;
use super::frames::Frames;
use super::{Answering as _, BoxError, Closer, Head, Peer, Settings, Site};

/// What a client may send of one body before it is read, and of all bodies together.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// The bytes of one answer that wait for the client's window.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that the client may reset before the HTTP library has handed them over.
const RESET_EARLY: usize = 20;
/// Requests that a client may reset before their answers are complete: so many at once, and so many in a second. People who leave
/// reset one now and then; a gateway with a thousand of them behind one connection stays far below.
const RESETS: f64 = 200.0;
const RESETS_PER_SECOND: f64 = 20.0;

/// The connection that has `site` answer, and what is notified of all that it must be told.
pub(super) fn connection<T: Site, S>(
    stream: S,
    (site, peer): (T, Peer),
    activity: &Arc<Activity>,
    settings: &Settings,
    tasks: TaskTracker,
) -> (impl Served + Unpin + use<T, S>, Arc<Notify>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (latest, abuse) = (Arc::default(), Arc::new(Abuse::new()));
    let streams = Streams { tasks, idle: settings.idle_timeout, latest: Arc::clone(&latest) };
    let (news, counted, busy) = (Arc::clone(&abuse.news), Arc::clone(&abuse), Arc::clone(activity));
    let service = service_fn(move |request: Request<Incoming>| {
        let (parts, body) = as_in_http1(request).into_parts();
        let (method, uri, version) = (parts.method, parts.uri, parts.version);
        let head = Head { method, uri, version, headers: parts.headers.into() };
        let flow = Arc::new(Flow::new());
        *latest.lock() = Some(Arc::clone(&flow));
        let counted = Counted { abuse: Arc::clone(&counted), is_whole: false, request: Some(busy.begin()) };
        let site = site.clone();
        Box::pin(async move {
            // An answer ends its own stream, and no other.
            let mut answer = site.answer(head, body.into(), peer, &Closer::default()).await;
            if let Some(written) = answer.body_mut().take_written() {
                written.add_to(answer.headers_mut());
            }
            Ok::<_, Infallible>(answer.map(|body| Streamed::new(body, flow, counted)))
        })
    });
    let connection = Builder::new(streams)
        .max_concurrent_streams(settings.max_streams)
        .max_header_list_size(u32::try_from(settings.max_header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESET_EARLY)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .serve_connection(TokioIo::new(Watched::new(stream, Arc::clone(activity))), service);
    // Boxed: it is large, and the connections of most clients are not of this kind.
    (Multiplexed { connection: Box::pin(connection), abuse }, news)
}

/// A connection of the HTTP library.
trait Shut: Future<Output = hyper::Result<()>> {
    fn shut(self: Pin<&mut Self>);
}

impl<I, B, S, E> Shut for http2::Connection<I, S, E>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: Body + 'static,
    B::Error: Into<BoxError>,
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<BoxError>,
    E: Http2ServerConnExec<S::Future, B>,
{
    fn shut(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// A connection whose client is watched for requests that it resets.
struct Multiplexed<C> {
    connection: Pin<Box<C>>,
    abuse: Arc<Abuse>,
}

impl<C: Shut> Future for Multiplexed<C> {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.connection.as_mut().poll(context).map_err(Into::into)
    }
}

impl<C: Shut> Served for Multiplexed<C> {
    fn shut(mut self: Pin<&mut Self>) {
        self.connection.as_mut().shut();
    }

    fn told(self: Pin<&mut Self>) -> bool {
        let left = self.abuse.left.lock().0;
        if left < 0.0 {
            self.shut();
        }
        left < -RESETS
    }
}

/// Runs the requests of one connection.
#[derive(Clone, Debug)]
struct Streams {
    tasks: TaskTracker,
    /// The longest time for which a client may leave an answer unread.
    idle: Duration,
    /// The flow of the request that the service was called with last. The library calls the service and hands its future over
    /// right after, so this is how the two find each other.
    latest: Arc<Mutex<Option<Arc<Flow>>>>,
}

/// The request as everything behind expects it: the host in its header, and the path alone in the target.
fn as_in_http1(mut request: Request<Incoming>) -> Request<Incoming> {
    let host = request.uri().authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    if request.method() != http::Method::CONNECT
        && let Some(path) = request.uri().path_and_query().cloned()
    {
        *request.uri_mut() = Uri::from(path);
    }
    request
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let flow = self.latest.lock().take().unwrap_or_else(|| Arc::new(Flow::new()));
        self.tasks.spawn(Attended { stream, flow, idle: self.idle, timer: None });
    }
}

/// The pace at which a client reads an answer.
#[derive(Debug)]
struct Flow {
    began: Instant,
    /// The moment at which the latest piece was given to the library, if it has not asked for another since: milliseconds from
    /// `began`, plus one; else 0. It asks when the client has taken the piece before.
    given: AtomicU64,
}

impl Flow {
    fn new() -> Self {
        Self { began: Instant::now(), given: AtomicU64::new(0) }
    }

    fn give(&self) {
        self.given.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX >> 1) + 1, Relaxed);
    }

    fn ask(&self) {
        self.given.store(0, Relaxed);
    }

    fn unread_since(&self) -> Option<Instant> {
        let since = self.given.load(Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_millis(since))
    }
}

/// Counts requests that were reset.
#[derive(Debug)]
struct Abuse {
    /// The number of resets that are left, and since when.
    left: Mutex<(f64, Instant)>,
    /// Notified when a request is over, since the connection may be idle then.
    news: Arc<Notify>,
}

impl Abuse {
    fn new() -> Self {
        Self { left: Mutex::new((RESETS, Instant::now())), news: Arc::default() }
    }

    fn count(&self) {
        let mut left = self.left.lock();
        let now = Instant::now();
        let back = now.duration_since(left.1).as_secs_f64() * RESETS_PER_SECOND;
        *left = ((left.0 + back).min(RESETS) - 1.0, now);
    }
}

/// A request that is in progress, and counts as reset unless its answer was complete.
#[derive(Debug)]
struct Counted {
    abuse: Arc<Abuse>,
    is_whole: bool,
    request: Option<InProgress>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.is_whole {
            self.abuse.count();
        }
        // First, or the connection could look before the request is over.
        self.request = None;
        self.abuse.news.notify_one();
    }
}

/// A response's body that notes whether it is read to its end.
#[derive(Debug)]
struct Streamed<B: Body> {
    body: B,
    flow: Arc<Flow>,
    counted: Counted,
}

impl<B: Body> Streamed<B> {
    fn new(body: B, flow: Arc<Flow>, mut counted: Counted) -> Self {
        counted.is_whole = body.is_end_stream();
        Self { body, flow, counted }
    }
}

impl<B: Body + Unpin> Body for Streamed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.flow.ask();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(_)) => self.flow.give(),
            // A body that breaks is not the client's doing.
            Some(Err(_)) | None => self.counted.is_whole = true,
        }
        self.counted.is_whole |= self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// The library's future of one stream, which is dropped when the client does not read its answer: that resets the stream.
    struct Attended<F> {
        #[pin]
        stream: F,
        flow: Arc<Flow>,
        idle: Duration,
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<F: Future<Output = ()>> Future for Attended<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.stream.poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let Some(since) = this.flow.unread_since() else { return Poll::Pending };
            let deadline = since + *this.idle;
            match this.timer.as_mut().as_pin_mut() {
                None => this.timer.set(Some(sleep_until(deadline))),
                Some(timer) if timer.is_elapsed() => timer.reset(deadline),
                Some(_) => {}
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(context));
            }
            if Instant::now() >= deadline {
                tracing::debug!("a stream was reset: the client does not read its answer");
                return Poll::Ready(());
            }
        }
    }
}

/// A socket whose traffic is noted.
#[derive(Debug)]
struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    frames: Frames,
}

impl<S> Watched<S> {
    /// Notes in `activity` what passes through `stream`.
    fn new(stream: S, activity: Arc<Activity>) -> Self {
        activity.in_head(true);
        Self { stream, activity, frames: Frames::new() }
    }

    fn sent(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(1..)) => self.activity.flowed(),
            Poll::Pending => self.activity.stalled(),
            Poll::Ready(_) => {}
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        self.frames.feed(into.filled().get(before..).unwrap_or_default());
        self.activity.in_head(self.frames.are_in_head());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
