//! What goes on with a connection once it has changed to another protocol (RFC 9110, 7.8): whoever answered its last request
//! takes it over, in the connection's own task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

/// A stream of bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection whose HTTP is over.
pub struct Taken {
    /// The connection.
    pub stream: Box<dyn Duplex>,
    /// Bytes of the new protocol that came along with the last of HTTP.
    pub early: Bytes,
}

/// A way of going on with a connection.
type Course = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Goes on with a connection after the answer in progress, which must have status 101. Dropped unused if that answer
/// cannot be sent.
pub struct Takeover(Box<dyn FnOnce(Taken) -> Course + Send>);

impl Takeover {
    /// Goes on in this way.
    pub fn new<F: Future<Output = ()> + Send + 'static>(course: impl FnOnce(Taken) -> F + Send + 'static) -> Self {
        Self(Box::new(|taken| Box::pin(course(taken))))
    }

    /// Goes on with this connection, to its end.
    pub(super) fn course(self, taken: Taken) -> Course {
        (self.0)(taken)
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}
