//! Opens connections to providers: name, TCP, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

use crate::routing::Lack;

/// How long an address is tried alone before the next is tried beside it (RFC 8305, 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// After how long without a byte the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Where connections of one kind lead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    host: Host<String>,
    port: u16,
    tls: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot resolve {0}")]
    Name(String, #[source] Option<io::Error>),
    /// No address could be reached.
    #[error("cannot connect to {0}")]
    Tcp(SocketAddr, #[source] io::Error),
    /// The other side does not speak TLS, or is not who it should be.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    /// Nothing can be said over it.
    #[error("HTTP cannot be set up")]
    Http(#[source] hyper::Error),
    /// Not in time.
    #[error("not connected in time")]
    TimedOut,
}

/// A connection, with TLS or without.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Origin {
    /// The origin of an http or https URL; `None` for any other, which the configuration refuses.
    pub fn of(url: &Url) -> Option<Self> {
        Some(Self {
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
            tls: match url.scheme() {
                "http" => false,
                "https" => true,
                _ => return None,
            },
        })
    }

    /// What the `Host` header names (RFC 9110, 7.2).
    pub fn authority(&self) -> String {
        let default = if self.tls { 443 } else { 80 };
        if self.port == default { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: the last one, where several addresses were tried.
    pub async fn connect(&self, tls: &Arc<rustls::ClientConfig>) -> Result<Stream, ConnectError> {
        let stream = match &self.host {
            Host::Ipv4(address) => connect_to((IpAddr::V4(*address), self.port).into()).await?,
            Host::Ipv6(address) => connect_to((IpAddr::V6(*address), self.port).into()).await?,
            Host::Domain(name) => connect_by_name(name, self.port).await?,
        };
        if !self.tls {
            return Ok(Stream::Plain(stream));
        }
        let name = self.server_name().map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
        let shaken = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        shaken.map(|stream| Stream::Tls(Box::new(stream))).map_err(ConnectError::Tls)
    }

    fn server_name(&self) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
        match &self.host {
            Host::Ipv4(address) => Ok(ServerName::IpAddress(IpAddr::V4(*address).into())),
            Host::Ipv6(address) => Ok(ServerName::IpAddress(IpAddr::V6(*address).into())),
            Host::Domain(name) => ServerName::try_from(name.clone()),
        }
    }
}

async fn connect_to(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let failed = |error| ConnectError::Tcp(address, error);
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    // The end of a request must not wait for the provider's acknowledgement of its beginning.
    stream.set_nodelay(true).map_err(failed)?;
    keep_alive(&stream).map_err(|error| failed(error.into()))?;
    Ok(stream)
}

/// Has the kernel ask now and then whether the other side is still there: boxes in the middle forget connections on
/// which nothing happens, and a provider that thinks for minutes says nothing.
fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    set_socket_keepalive(stream, true)?;
    set_tcp_keepidle(stream, KEEPALIVE)?;
    set_tcp_keepintvl(stream, KEEPALIVE / 4)
}

/// What this machine lacked, if that is why something could not be opened.
pub(super) fn lack_of(error: &io::Error) -> Option<Lack> {
    match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE => Some(Lack::Files),
        Errno::NOMEM | Errno::NOBUFS => Some(Lack::Memory),
        Errno::ADDRNOTAVAIL => Some(Lack::Ports),
        _ => None,
    }
}

/// Tries the addresses of a name in the system's order, the next one beside the first when that takes long: a machine
/// that has an IPv6 address but no way out by it must not cost the whole timeout ("happy eyeballs", RFC 8305).
async fn connect_by_name(name: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let unknown = |error| ConnectError::Name(name.to_owned(), error);
    let addresses: Vec<_> = lookup_host((name, port)).await.map_err(|error| unknown(Some(error)))?.collect();
    let mut waiting = addresses.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut last = None;
    loop {
        match waiting.next() {
            Some(address) => trying.push(connect_to(address)),
            None if trying.is_empty() => return Err(last.unwrap_or_else(|| unknown(None))),
            None => {}
        }
        let patience = async {
            match waiting.len() {
                0 => std::future::pending().await,
                _ => sleep(ATTEMPT_DELAY).await,
            }
        };
        tokio::select! {
            biased;
            Some(tried) = trying.next() => match tried {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(more_telling(last, error)),
            },
            () = patience => {}
        }
    }
}

/// Of two failures the one to report. The system answers "no free port" also for an address of a kind that it does not
/// have, such as `::1` on a machine without IPv6, so what another address answered tells more.
fn more_telling(before: Option<ConnectError>, now: ConnectError) -> ConnectError {
    let is_local = |error: &ConnectError| matches!(error, ConnectError::Tcp(_, io) if lack_of(io) == Some(Lack::Ports));
    match before {
        Some(before) if is_local(&now) => before,
        _ => now,
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Plain(stream) => stream.as_fd(),
            Stream::Tls(stream) => stream.get_ref().0.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
