//! Connections to one origin, kept for the next request.
//!
//! A connection is not driven by a task of its own: whoever uses it polls it along. So a request costs no hand-over
//! between tasks, to give it up is to drop it, and what lies here is known to have been whole when it was last looked
//! at.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
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

/// An idle connection is closed after this long: below the 5 s after which common servers (uvicorn, Node) close theirs,
/// so that a request is not sent into a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(4);

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
    driver: Option<http1::Connection<TokioIo<Stream>, Full<Bytes>>>,
}

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
    pub async fn take(&self) -> Option<Box<Connection>> {
        loop {
            let (since, mut connection) = self.idle.lock().pop()?;
            let is_usable = poll_fn(|context| Poll::Ready(connection.is_usable(context)));
            if since.elapsed() < IDLE && is_usable.await {
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
        let handshake = http1::Builder::new().handshake(TokioIo::new(stream)).await;
        let (sender, driver) = handshake.map_err(ConnectError::Http)?;
        Ok(Box::new(Connection { sender, driver: Some(driver) }))
    }

    /// Keeps a connection for the next request.
    pub fn put(&self, connection: Box<Connection>) {
        self.idle.lock().push((Instant::now(), connection));
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

impl Connection {
    /// Reads and writes what can be. How a connection ended is told by what it carried.
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && Pin::new(driver).poll(context).is_ready()
        {
            self.driver = None;
        }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    ///
    /// [`Unsent`], with the request if the connection had ended before any of it was sent.
    pub async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unsent> {
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        poll_fn(|context| {
            self.drive(context);
            answer.as_mut().poll(context)
        })
        .await
        .map_err(|mut failed| Unsent { request: failed.take_message(), error: failed.into_error() })
    }

    /// The next frame of the answer's body.
    pub fn poll_body(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Asking first tells the connection that there is somebody to read for.
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        self.drive(context);
        Pin::new(body).poll_frame(context)
    }

    /// Whether the next request can be sent on it, as far as anybody can know.
    pub fn is_usable(&mut self, context: &mut Context<'_>) -> bool {
        self.drive(context);
        self.driver.is_some() && self.sender.is_ready()
    }
}
