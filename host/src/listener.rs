//! The listener: accepts connections up to a limit and serves each in a task of its own.
//!
//! It has its own accept loop, because axum's does not support all of this: the listen backlog, limits on connections,
//! heads and idleness that a reload may change, TLS, and response bodies that end their connection. Nothing in the loop
//! waits for a client.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use http::{Method, Request, Response, Uri, Version};
use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

mod activity;
mod arriving;
mod connection;
pub mod descriptors;
mod early;
pub mod exposure;
mod farewell;
mod frames;
mod http1;
mod http2;
pub mod socket;
pub mod takeover;
pub mod tls;
mod written;

use crate::config;
use crate::http1::fields::Fields;
pub use arriving::{Arriving, Cut};
use connection::Connection;
use farewell::Farewells;
use socket::Socket;
use takeover::Takeover;
pub use written::{Answering, Written};

/// The pause when the system has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The shortest time between two warnings about connections that are turned away.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// The settings of a listener. A reload swaps them as a whole; each connection reads them once, when it is accepted.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A larger head is refused with 431. At least 8 KiB.
    pub max_header_bytes: usize,
    /// Connections beyond this number are turned away.
    pub max_connections: usize,
    /// From the first byte of a head to its end, and for a TLS handshake.
    pub header_timeout: Duration,
    /// The longest time that a connection may be without a request.
    pub idle_timeout: Duration,
    /// True when clients may speak HTTP/2 as well as HTTP/1.1.
    pub http2: bool,
    /// The most requests at once on a connection with HTTP/2.
    pub max_streams: u32,
    /// If set, the listener accepts TLS only.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Settings {
    /// The settings of a configuration; `tls` is the result of [`tls::load`].
    pub fn new(server: &config::Server, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self {
            max_header_bytes: server.max_header_bytes,
            max_connections: server.max_connections,
            header_timeout: server.header_timeout,
            idle_timeout: server.idle_timeout,
            http2: server.http2,
            max_streams: server.max_streams,
            tls,
        }
    }
}

/// The counters of a listener.
#[derive(Debug, Default)]
pub struct Traffic {
    open: AtomicUsize,
    turned_away: AtomicU64,
}

impl Traffic {
    /// Connections being served now.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Connections refused since the start because there were too many.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Relaxed)
    }
}

/// One counted connection.
#[derive(Debug)]
struct Admitted(Arc<Traffic>);

impl Admitted {
    fn new(traffic: &Arc<Traffic>) -> Self {
        traffic.open.fetch_add(1, Relaxed);
        Self(Arc::clone(traffic))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Lets a response end its connection: no further request is read from it. With HTTP/2 the end of a stream says all, and this
/// does nothing.
#[derive(Clone, Debug, Default)]
pub struct Closer(Arc<Told>);

/// The words of a response to its connection.
#[derive(Debug, Default)]
struct Told {
    news: Notify,
    takeover: Mutex<Option<Takeover>>,
}

impl Closer {
    /// Closes the connection once the response in progress has been sent.
    pub fn close(&self) {
        self.0.news.notify_one();
    }

    /// Has somebody else go on with the connection, once the response in progress has been sent, which must have status 101 and
    /// answer a request with HTTP/1.1 that asks for an upgrade.
    pub fn hand_over(&self, takeover: Takeover) {
        *self.0.takeover.lock() = Some(takeover);
    }
}

/// The other end of the connection; it has no address if it came through a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub Option<SocketAddr>);

impl Peer {
    /// True when the address shows that it is a process on this machine.
    pub fn is_loopback(self) -> bool {
        self.0.is_none_or(|address| address.ip().to_canonical().is_loopback())
    }
}

/// The text that logs use for it.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

/// An error of whatever kind.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The head of a request, in whatever version of HTTP it came.
#[derive(Debug)]
pub struct Head {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its version.
    pub version: Version,
    /// Its headers.
    pub headers: Fields,
}

impl Head {
    /// The same for whoever expects a request of the library.
    pub fn with<B>(self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.headers_mut() = self.headers.to_map();
        (*request.method_mut(), *request.uri_mut(), *request.version_mut()) = (self.method, self.uri, self.version);
        request
    }
}

/// The service that answers the requests of a listener.
pub trait Site: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Answering + Send + Unpin + 'static;

    /// Answers a request from `peer`; `closer` ends its connection.
    fn answer(
        &self,
        head: Head,
        body: Arriving,
        peer: Peer,
        closer: &Closer,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A router finds the peer among the extensions of its requests.
impl Site for Router {
    type Body = axum::body::Body;

    async fn answer(&self, head: Head, body: Arriving, peer: Peer, _closer: &Closer) -> Response<Self::Body> {
        let mut request = head.with(body);
        request.extensions_mut().insert(peer);
        match self.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// A bound socket, with everything that is needed to serve its connections.
#[derive(Debug)]
pub struct Listening<S> {
    /// The socket.
    pub socket: Socket,
    /// The service that answers requests.
    pub site: S,
    /// The settings, which a reload may change.
    pub settings: Arc<ArcSwap<Settings>>,
    /// The counters.
    pub traffic: Arc<Traffic>,
    /// Tracks the connections, those being turned away included.
    pub connections: TaskTracker,
    /// Stops accepting connections.
    pub stop: CancellationToken,
    /// Lets the connections finish their current request, and then ends them.
    pub close: CancellationToken,
}

/// Accepts connections until `stop` is cancelled. Accepted connections go on, tracked by `connections`, until `close`
/// is cancelled and their current request has finished.
pub async fn serve<S: Site>(listening: Listening<S>) {
    let Listening { socket, site, settings, traffic, connections, stop, close } = listening;
    let farewells = Farewells::new(connections.clone(), close.clone());
    let (mut crowded, mut starved) = (Seldom::default(), Seldom::default());
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // A connection that broke before it was accepted does not matter; a lack of descriptors is temporary.
                if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) && starved.is_due() {
                    tracing::warn!(
                        "the process has no file descriptors left: new connections wait; raise the limit (ulimit -n)"
                    );
                }
                tracing::debug!(%error, "a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let now = settings.load();
        if traffic.open() >= now.max_connections {
            let turned_away = 1 + traffic.turned_away.fetch_add(1, Relaxed);
            if crowded.is_due() {
                let limit = now.max_connections;
                tracing::warn!(
                    turned_away,
                    limit,
                    "{limit} connections are open, new ones are turned away (server.max_connections); \
                     {turned_away} so far"
                );
            }
            if now.tls.is_none() {
                farewells.say(stream, farewell::TOO_MANY);
            }
            continue;
        }
        let connection = Connection {
            peer,
            site: site.clone(),
            settings: Arc::clone(&now),
            close: close.clone(),
            stop: stop.clone(),
            farewells: farewells.clone(),
            tasks: connections.clone(),
            admitted: Admitted::new(&traffic),
        };
        // Two separate calls, so that the future of a plain connection is not as large as that of a TLS connection.
        if let Some(tls) = &now.tls {
            connections.spawn(connection.serve_tls(stream, Arc::clone(tls)));
        } else {
            connections.spawn(connection.serve_plain(stream));
        }
    }
}

/// Limits how often a frequent event is logged.
#[derive(Debug, Default)]
struct Seldom(Option<Instant>);

impl Seldom {
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now.duration_since(last) >= BETWEEN_WARNINGS);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_on_this_machine_is_known_by_either_form_of_its_address() {
        for (address, loopback) in
            [("127.0.0.1:1", true), ("[::1]:1", true), ("[::ffff:127.0.0.1]:1", true), ("10.0.0.1:1", false)]
        {
            assert_eq!(Peer(Some(address.parse().unwrap())).is_loopback(), loopback, "{address}");
        }
    }
}
