//! Connections to one origin, kept for the next request.
//!
//! A connection is not driven by a task of its own: whoever uses it polls it along. So a request costs no hand-over
//! between tasks, dropping it gives it up, and a connection in the pool was intact when it was last polled.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::connect::{ConnectError, Dialer, HTTP2};
use super::connection::{Connection, Look};
use super::http2::{Lease, Shared};
use super::stream::Stream;
use crate::config::ProviderHttp;
use crate::patience;

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
                    Ok(Leased::Own(self.begin(stream)))
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
        Ok(self.begin(opened.map_err(|_elapsed| ConnectError::TimedOut)??))
    }

    /// Begins to speak HTTP/1.1.
    fn begin(&self, stream: Stream) -> Box<Connection> {
        Box::new(Connection::new(stream, self.end()))
    }

    /// Keeps a connection for the next request, if it may carry one: that is looked at when it is taken.
    pub fn put(&self, connection: Box<Connection>) {
        if connection.has_surplus() {
            return self.distrust();
        }
        let now = Instant::now();
        if !connection.may_be_kept() || now >= connection.ends {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.distrusted_until.is_none_or(|until| now >= until) {
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

/// The life of the connection that is opened as `number`th. Multiples of the golden ratio are spread evenly.
fn life(number: u32) -> Duration {
    let share = f64::from(number.wrapping_mul(0x9E37_79B9)) / f64::from(u32::MAX);
    LONGEST_LIFE.mul_f64(1.0 - LIFE_SPREAD * share)
}
