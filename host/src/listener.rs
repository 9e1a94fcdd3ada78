//! The listener: accepts connections and serves HTTP/1.1 on each.
//!
//! Own loop instead of axum's, for what axum does not let one set: the listen backlog, limits on the head of a request,
//! and a way for a response body to say that its connection must not be used again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

/// Enough for a burst of connections: with fewer the kernel drops some, and their clients try again after a second.
const BACKLOG: u32 = 4096;
/// The head of a request must come within this time, and a connection without a request is closed after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A head of this size is refused with 431; by the way hyper reads, some of up to twice the size get through.
const MAX_HEAD: usize = 32 << 10;
/// How long to wait when the system is out of file descriptors, which only time can mend.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Lets a response end its connection: no further request is read from it.
#[derive(Clone, Debug, Default)]
pub struct Closer(Arc<Notify>);

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Closer {
    /// Closes the connection once the response in progress has been sent.
    pub fn close(&self) {
        self.0.notify_one();
    }
}

/// Binds the listener; port 0 lets the system choose.
///
/// # Errors
///
/// When the name does not resolve or none of its addresses can be bound.
pub async fn bind(host: &str, port: u16) -> std::io::Result<TcpListener> {
    let mut last = None;
    for address in tokio::net::lookup_host((host, port)).await? {
        match bind_address(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address")))
}

fn bind_address(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until `stop` is cancelled; those accepted go on, tracked by `connections`, and finish what they
/// are doing when `close` is cancelled.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: TaskTracker,
    stop: CancellationToken,
    close: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(serve_connection(stream, peer, router.clone(), close.clone()));
            }
            Err(error) => {
                // A connection that broke before it was accepted is nothing; a lack of descriptors passes.
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, router: Router, close: CancellationToken) {
    // Small events must go out at once. A socket that refuses the option is one that has just been closed.
    let _ = stream.set_nodelay(true);
    let closer = Closer::default();
    let extension = closer.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(extension.clone());
        request.extensions_mut().insert(Peer(peer));
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = closer.0.notified() => connection.as_mut().graceful_shutdown(),
            () = close.cancelled() => {
                connection.as_mut().graceful_shutdown();
                if let Err(error) = connection.as_mut().await {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
        }
    }
}
