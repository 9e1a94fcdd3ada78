//! Connections to one origin, kept for the next request.
//!
//! A connection is not driven by a task of its own: whoever uses it polls it along. So a request costs no hand-over
//! between tasks, to give it up is to drop it, and what lies here is known to have been whole when it was last looked
//! at.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::connect::{ConnectError, Origin, Stream};
use super::wake::Together;

/// An idle connection is closed after this long: below the 5 s after which common servers (uvicorn, Node) close theirs,
/// so that a request is not sent into a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(4);

/// The most headers of an answer. Gateways and content delivery networks add to what the server behind them says.
const MAX_HEADERS: usize = 256;

/// The connections to one origin.
#[derive(Debug)]
pub struct Pool {
    origin: Origin,
    tls: Arc<rustls::ClientConfig>,
    /// Idle ones, the latest used last.
    idle: Mutex<Vec<(Instant, Box<Connection>)>>,
}

/// One connection. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// What reads and writes; `None` once the connection has ended.
    driver: Option<Driver>,
    together: Together,
}

type Driver = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// A request that could not be sent.
pub struct Unsent {
    /// Why.
    pub error: hyper::Error,
    /// The request, when no byte of it was sent.
    pub request: Option<Request<Full<Bytes>>>,
}

impl Pool {
    /// No connection is opened before it is needed.
    pub fn new(origin: Origin, tls: Arc<rustls::ClientConfig>) -> Self {
        Self { origin, tls, idle: Mutex::default() }
    }

    /// Where they lead.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The connection that was used last, if it is still whole.
    pub fn take(&self) -> Option<Box<Connection>> {
        loop {
            let (since, mut connection) = self.idle.lock().pop()?;
            if since.elapsed() < IDLE && connection.is_usable() {
                return Some(connection);
            }
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], of which [`ConnectError::TimedOut`] after `limit`.
    pub async fn open(&self, limit: Duration) -> Result<Box<Connection>, ConnectError> {
        let opened = timeout(limit, self.origin.connect(&self.tls)).await;
        let stream = opened.map_err(|_elapsed| ConnectError::TimedOut)??;
        let handshake = http1::Builder::new().max_headers(MAX_HEADERS).handshake(TokioIo::new(stream)).await;
        let (sender, driver) = handshake.map_err(ConnectError::Http)?;
        Ok(Box::new(Connection { sender, driver: Some(driver), together: Together::default() }))
    }

    /// Keeps a connection for the next request, if it can carry one.
    pub fn put(&self, mut connection: Box<Connection>) {
        connection.together.forget();
        if connection.is_usable() {
            self.idle.lock().push((Instant::now(), connection));
        }
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        let mut idle = self.idle.lock();
        let old = idle.partition_point(|(since, _)| since.elapsed() >= IDLE);
        let closed: Vec<_> = idle.drain(..old).collect();
        drop(idle);
        drop(closed);
    }
}

/// Reads and writes what can be. How a connection ended is told by what it carried.
fn drive(driver: &mut Option<Driver>, context: &mut Context<'_>) {
    if let Some(alive) = driver
        && Pin::new(alive).poll(context).is_ready()
    {
        *driver = None;
    }
}

impl Connection {
    /// Whether the next request can be sent on it, as far as anybody can know.
    fn is_usable(&mut self) -> bool {
        let Self { sender, driver, together } = self;
        let _pending = together.poll_quietly(|context| {
            drive(driver, context);
            Poll::<()>::Pending
        });
        driver.is_some() && sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    ///
    /// [`Unsent`], with the request if the connection had ended before any of it was sent.
    pub async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unsent> {
        let Self { sender, driver, together } = self;
        let mut answer = pin!(sender.try_send_request(request));
        let answered = poll_fn(|context| {
            together.poll(context, |context| {
                drive(driver, context);
                answer.as_mut().poll(context)
            })
        });
        answered.await.map_err(|mut failed| Unsent { request: failed.take_message(), error: failed.into_error() })
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
