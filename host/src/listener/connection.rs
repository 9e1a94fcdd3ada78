//! One connection, from its first byte to its end.
//!
//! Nothing is set up before the first byte arrives: an idle connection needs no buffers.

use std::future::Future;
use std::io::{self, BufRead as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::{Activity, Overdue, PhaseLimits};
use super::early::Early;
use super::farewell::{Farewells, WANTS_HTTP1, WANTS_TLS};
use super::http1;
use super::http2;
use super::socket::Stream;
use super::takeover::Taken;
use super::tls::HTTP2;
use super::{Admitted, BoxError, Closer, Peer, Settings, Site};

/// The first byte of a TLS connection: the type of a handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// The beginning of a connection with HTTP/2, as far as no method of HTTP/1.1 begins so (RFC 9113, 3.4).
const PREFACE: &[u8; 4] = b"PRI ";
/// The time that a connection has to close cleanly after it has been idle for too long.
const CLOSING: Duration = Duration::from_secs(1);

/// The first bytes of a connection.
struct First {
    bytes: [u8; PREFACE.len()],
    length: usize,
}

impl First {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The protocol that a client speaks, by its first bytes.
enum Spoken {
    Http1,
    Http2,
    /// As `P` and `PR` may begin either.
    Unclear,
}

fn spoken(first: &[u8]) -> Spoken {
    if first.starts_with(PREFACE) {
        Spoken::Http2
    } else if PREFACE.starts_with(first) {
        Spoken::Unclear
    } else {
        Spoken::Http1
    }
}

/// A connection that has been accepted.
#[derive(Debug)]
pub(super) struct Connection<T> {
    pub peer: Peer,
    pub site: T,
    pub settings: Arc<Settings>,
    pub close: CancellationToken,
    /// Cancelled when no requests are taken any more, and those in progress finish.
    pub stop: CancellationToken,
    pub farewells: Farewells,
    /// Tracks the requests of connections with HTTP/2.
    pub tasks: TaskTracker,
    /// Counts the connection for as long as it lives.
    pub admitted: Admitted,
}

impl<T: Site> Connection<T> {
    /// Serves plain HTTP.
    pub async fn serve_plain(self, stream: Stream) {
        let mut timer = std::pin::pin!(sleep(self.settings.idle_timeout));
        let Some(first) = self.first_bytes(&stream, timer.as_mut()).await else { return };
        match spoken(first.as_slice()) {
            Spoken::Http1 => self.serve_http1(stream, timer).await,
            Spoken::Http2 => self.serve_preface(stream, timer).await,
            // Boxed: hardly any client sends the first byte of a method by itself.
            Spoken::Unclear => Box::pin(self.serve_unclear(stream, timer)).await,
        }
    }

    /// Serves HTTP/2 to a client that began to speak it without asking.
    async fn serve_preface<S>(self, stream: S, timer: Pin<&mut Sleep>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if self.settings.http2 {
            // Boxed, so that the task of a connection with HTTP/1.1 has no room for it.
            return Box::pin(self.serve_http2(stream, timer)).await;
        }
        let mut stream = stream;
        let _ = timeout(CLOSING, async {
            stream.write_all(WANTS_HTTP1).await?;
            stream.shutdown().await
        })
        .await;
    }

    /// Serves a client that has sent too few bytes to tell what it speaks.
    async fn serve_unclear(self, mut stream: Stream, mut timer: Pin<&mut Sleep>) {
        timer.as_mut().reset(Instant::now() + self.settings.header_timeout);
        let mut early = Vec::with_capacity(PREFACE.len());
        while matches!(spoken(&early), Spoken::Unclear) {
            let read = tokio::select! {
                read = stream.read_u8() => read,
                () = timer.as_mut() => return,
                () = self.close.cancelled() => return,
            };
            let Ok(byte) = read else { return };
            early.push(byte);
        }
        let is_http1 = matches!(spoken(&early), Spoken::Http1);
        let stream = Early::new(early, stream);
        if is_http1 { self.serve_http1(stream, timer).await } else { self.serve_preface(stream, timer).await }
    }

    /// Serves HTTP over TLS.
    pub async fn serve_tls(self, stream: Stream, config: Arc<rustls::ServerConfig>) {
        let mut timer = std::pin::pin!(sleep(self.settings.idle_timeout));
        match self.first_bytes(&stream, timer.as_mut()).await {
            Some(first) if first.as_slice().first() == Some(&TLS_HANDSHAKE) => {}
            Some(_) => return self.farewells.say(stream, WANTS_TLS),
            None => return,
        }
        timer.as_mut().reset(Instant::now() + self.settings.header_timeout);
        let shaken = tokio::select! {
            shaken = TlsAcceptor::from(config).accept(stream) => shaken,
            () = timer.as_mut() => Err(io::ErrorKind::TimedOut.into()),
            () = self.close.cancelled() => return,
        };
        match shaken {
            Ok(mut stream) => {
                timer.as_mut().reset(Instant::now() + self.settings.idle_timeout);
                // The bytes that came together with the end of the handshake have been read from the socket already.
                let holds_bytes = stream.get_mut().1.reader().fill_buf().is_ok();
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
                if holds_bytes || self.first_bytes(stream.get_ref().0, timer.as_mut()).await.is_some() {
                    if is_http2 {
                        return Box::pin(self.serve_http2(stream, timer)).await;
                    }
                    self.serve_http1(stream, timer).await;
                } else {
                    // Without a close_notify some clients take the end of the connection for an attack.
                    let _ = timeout(CLOSING, stream.shutdown()).await;
                }
            }
            Err(error) => tracing::debug!(peer = %self.peer, %error, "a TLS handshake failed: {error}"),
        }
    }

    /// Waits for the first bytes, which stay unread; `None` when none come in time.
    ///
    /// It does not use `readable`, which is ready at once for a socket that has not been polled before.
    async fn first_bytes(&self, stream: &Stream, timer: Pin<&mut Sleep>) -> Option<First> {
        stream.hurry();
        let mut bytes = [0; PREFACE.len()];
        let length = tokio::select! {
            biased;
            peeked = stream.peek(&mut bytes) => peeked.ok()?,
            () = timer => return None,
            () = self.close.cancelled() => return None,
        };
        (length > 0).then_some(First { bytes, length })
    }

    async fn serve_http1<S>(self, stream: S, timer: Pin<&mut Sleep>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, site, settings, close, admitted: _admitted, .. } = self;
        let limits = PhaseLimits { head: settings.header_timeout, idle: settings.idle_timeout };
        let max_head = settings.max_header_bytes;
        // A connection must not keep settings in memory that a reload has replaced.
        drop(settings);
        let (activity, closer) = (Activity::new(), Closer::default());
        let (connection, line) = http1::connection(stream, (site, peer), &activity, max_head, closer.clone());
        let driven = Driven { peer, activity: &activity, limits, close: &close };
        let ended = {
            let connection = std::pin::pin!(connection);
            driven.drive(connection, timer, &closer.0.news).await
        };
        let takeover = closer.0.takeover.lock().take();
        if let Some(takeover) = takeover.filter(|_| ended)
            && let Some((stream, early)) = line.into_parts()
        {
            takeover.course(Taken { stream: Box::new(stream), early }).await;
        }
    }

    async fn serve_http2<S>(self, stream: S, timer: Pin<&mut Sleep>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, site, settings, stop, tasks, admitted: _admitted, .. } = self;
        let limits = PhaseLimits { head: settings.header_timeout, idle: settings.idle_timeout };
        let activity = Activity::new();
        let (mut connection, news) = http2::connection(stream, (site, peer), &activity, &settings, tasks);
        drop(settings);
        // A client is told at once to send its requests elsewhere, as its streams can finish all the same.
        let driven = Driven { peer, activity: &activity, limits, close: &stop };
        driven.drive(Pin::new(&mut connection), timer, &news).await;
    }
}

/// A connection of either kind, once its first bytes are there.
pub(super) trait Served: Future<Output = Result<(), BoxError>> {
    /// Lets it finish what is in progress, and end.
    fn shut(self: Pin<&mut Self>);

    /// Tells it that there are news from one of its requests; true when it must be cut.
    fn told(self: Pin<&mut Self>) -> bool {
        self.shut();
        false
    }
}

/// The watch over a connection.
struct Driven<'a> {
    peer: Peer,
    activity: &'a Activity,
    limits: PhaseLimits,
    close: &'a CancellationToken,
}

impl Driven<'_> {
    /// Drives a connection until it ends or must; `news` is notified when one of its requests has something to tell it. True
    /// when HTTP came to its end on it without a fault.
    async fn drive(self, mut connection: Pin<&mut impl Served>, mut timer: Pin<&mut Sleep>, news: &Notify) -> bool {
        let Self { peer, activity, limits, close } = self;
        let mut closing = false;
        loop {
            let driven = std::future::poll_fn(|context| {
                if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                    return Poll::Ready(Ok(ended));
                }
                activity.poll_overdue(&limits, timer.as_mut(), context).map(Err)
            });
            tokio::select! {
                biased;
                ended = driven => match ended {
                    Ok(ended) => return log_end(peer, ended),
                    Err(Overdue::Head) => {
                        tracing::debug!(peer = %peer, "a connection was closed: the head of its request took too long");
                        return false;
                    }
                    Err(Overdue::Unread) => {
                        tracing::debug!(peer = %peer, "a connection was closed: the client does not read its answer");
                        return false;
                    }
                    Err(Overdue::Idle) => {
                        connection.as_mut().shut();
                        return match timeout(CLOSING, connection.as_mut()).await {
                            Ok(ended) => log_end(peer, ended),
                            // A request that came at the last moment is not cut off.
                            Err(_) if activity.is_busy() => log_end(peer, connection.await),
                            Err(_) => false,
                        };
                    }
                },
                () = news.notified() => {
                    if connection.as_mut().told() {
                        tracing::debug!(peer = %peer, "a connection was cut: its client resets one request after another");
                        return false;
                    }
                }
                () = close.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().shut();
                }
            }
        }
    }
}

/// True when it ended without a fault.
fn log_end(peer: Peer, ended: Result<(), BoxError>) -> bool {
    if let Err(error) = &ended {
        tracing::debug!(%peer, %error, "a connection ended: {error}");
    }
    ended.is_ok()
}
