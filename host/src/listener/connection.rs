//! One connection, from its first byte to its end.
//!
//! Nothing is set up before the first byte arrives: hyper takes 16 KiB of buffers for a connection, which an idle one
//! does not need.

use std::io::{self, BufRead as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Overdue, PhaseLimits};
use super::farewell::{Farewells, WANTS_TLS};
use super::socket::Stream;
use super::watched::{Answering, Watched};
use super::{Admitted, Closer, Peer, Settings, Site};

/// The first byte of a TLS connection: the type of a handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// The most headers that a request may have.
const MAX_HEADERS: usize = 256;
/// The time that a connection has to close cleanly after it has been idle for too long.
const CLOSING: Duration = Duration::from_secs(1);

/// A connection that has been accepted.
#[derive(Debug)]
pub(super) struct Connection<T> {
    pub peer: Peer,
    pub site: T,
    pub settings: Arc<Settings>,
    pub close: CancellationToken,
    pub farewells: Farewells,
    /// Counts the connection for as long as it lives.
    pub admitted: Admitted,
}

impl<T: Site> Connection<T> {
    /// Serves plain HTTP.
    pub async fn serve_plain(self, stream: Stream) {
        let mut timer = std::pin::pin!(sleep(self.settings.idle_timeout));
        if self.first_byte(&stream, timer.as_mut()).await.is_some() {
            self.serve_http(stream, timer).await;
        }
    }

    /// Serves HTTP over TLS.
    pub async fn serve_tls(self, stream: Stream, config: Arc<rustls::ServerConfig>) {
        let mut timer = std::pin::pin!(sleep(self.settings.idle_timeout));
        match self.first_byte(&stream, timer.as_mut()).await {
            Some(TLS_HANDSHAKE) => {}
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
                if holds_bytes || self.first_byte(stream.get_ref().0, timer.as_mut()).await.is_some() {
                    self.serve_http(stream, timer).await;
                } else {
                    // Without a close_notify some clients take the end of the connection for an attack.
                    let _ = timeout(CLOSING, stream.shutdown()).await;
                }
            }
            Err(error) => tracing::debug!(peer = %self.peer, %error, "a TLS handshake failed: {error}"),
        }
    }

    /// Waits for the first byte, which stays unread; `None` when none comes in time.
    ///
    /// It does not use `readable`, which is ready at once for a socket that has not been polled before.
    async fn first_byte(&self, stream: &Stream, timer: Pin<&mut Sleep>) -> Option<u8> {
        stream.hurry();
        let mut first = [0];
        let peeked = tokio::select! {
            biased;
            peeked = stream.peek(&mut first) => peeked.ok()?,
            () = timer => return None,
            () = self.close.cancelled() => return None,
        };
        (peeked > 0).then_some(first[0])
    }

    async fn serve_http<S>(self, stream: S, mut timer: Pin<&mut Sleep>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, site, settings, close, farewells: _, admitted: _admitted } = self;
        let limits = PhaseLimits { head: settings.header_timeout, idle: settings.idle_timeout };
        let max_head = settings.max_header_bytes;
        // A connection must not keep settings in memory that a reload has replaced.
        drop(settings);
        let (activity, closer) = (Activity::new(), Closer::default());
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let in_progress = activity.begin();
            // Boxed, because hyper reserves room for it for the whole life of the connection, even while a stream runs.
            let answer = Box::pin(site.answer(request, peer, &closer));
            async move { Ok::<_, std::convert::Infallible>(answer.await.map(|body| Answering::new(body, in_progress))) }
        });
        let connection = http1::Builder::new()
            // The deadlines here are finer than hyper's, and need no timer per request.
            .header_read_timeout(None)
            .max_buf_size(max_head)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(Watched::new(stream, Arc::clone(&activity))), service);
        let mut connection = std::pin::pin!(connection);
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
                        return;
                    }
                    Err(Overdue::Unread) => {
                        tracing::debug!(peer = %peer, "a connection was closed: the client does not read its answer");
                        return;
                    }
                    Err(Overdue::Idle) => {
                        connection.as_mut().graceful_shutdown();
                        match timeout(CLOSING, connection.as_mut()).await {
                            Ok(ended) => log_end(peer, ended),
                            // A request that came at the last moment is not cut off.
                            Err(_) if activity.is_busy() => log_end(peer, connection.await),
                            Err(_) => {}
                        }
                        return;
                    }
                },
                () = closer.0.notified() => connection.as_mut().graceful_shutdown(),
                () = close.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn log_end(peer: Peer, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended: {error}");
    }
}
