//! Opens connections to providers: forward proxy, name, TCP, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl};
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use url::Host;

use super::names::{Name, Resolver};
use super::stream::Stream;
use super::trust::{Trust, TrustError};
use super::tunnel::{self, TunnelError};
use crate::config::{self, ProviderHttp, ProviderTls, Way};
use crate::routing::Lack;

/// The time for which an address is tried alone before the next is tried beside it (RFC 8305, 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// After how long without a byte the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The name of HTTP/2 in ALPN (RFC 9113, 3.1).
pub(super) const HTTP2: &[u8] = b"h2";

/// The destination of connections, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    host: Host<String>,
    port: u16,
    /// `None` is plain HTTP.
    tls: Option<ProviderTls>,
    way: Way,
    http: ProviderHttp,
}

/// The reason why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot resolve {0}")]
    Name(String, #[source] Arc<io::Error>),
    /// No address could be reached.
    #[error("cannot connect to {0}")]
    Tcp(SocketAddr, #[source] io::Error),
    /// Nobody listens on the socket, or it is not there.
    #[error("cannot connect to {}", .0.display())]
    Socket(PathBuf, #[source] io::Error),
    /// TLS cannot be set up on this machine.
    #[error("TLS cannot be set up")]
    Trust(#[source] Arc<TrustError>),
    /// The other side does not speak TLS, or is not who it should be.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The forward proxy cannot be reached.
    #[error("no connection to the forward proxy")]
    Proxy(#[source] Box<ConnectError>),
    /// The forward proxy does not let through.
    #[error("no way through the forward proxy")]
    Tunnel(#[source] TunnelError),
    /// The other side does not offer HTTP/2, and nothing else is wanted.
    #[error("the server does not offer HTTP/2")]
    NoHttp2,
    /// The HTTP handshake failed.
    #[error("HTTP cannot be set up")]
    Http(#[source] hyper::Error),
    /// The connection took too long.
    #[error("not connected in time")]
    TimedOut,
}

impl Origin {
    /// The origin of a provider; `None` for a URL that is neither http nor https, which the configuration refuses.
    pub fn of(provider: &config::Provider) -> Option<Self> {
        let url = &provider.base_url;
        Some(Self {
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
            tls: match url.scheme() {
                "http" => None,
                // The line of the configuration does not matter to a connection.
                "https" => Some(ProviderTls { line: 0, ..provider.tls.clone() }),
                _ => return None,
            },
            way: provider.way.clone(),
            // Without TLS nothing can be agreed on.
            http: match (provider.http, url.scheme()) {
                (ProviderHttp::Auto, "http") => ProviderHttp::One,
                (http, _) => http,
            },
        })
    }

    /// The TLS settings, where TLS is spoken.
    pub fn tls(&self) -> Option<&ProviderTls> {
        self.tls.as_ref()
    }

    /// The version of HTTP.
    pub fn http(&self) -> ProviderHttp {
        self.http
    }

    /// The value of the `Host` header (RFC 9110, 7.2).
    pub fn authority(&self) -> String {
        let default = if self.tls.is_some() { 443 } else { 80 };
        if self.port == default { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

/// Opens the connections of one origin.
#[derive(Debug)]
pub struct Dialer {
    origin: Origin,
    /// The name whose addresses are needed, the forward proxy's where there is one.
    name: Option<Arc<Name>>,
    trust: Option<Arc<Trust>>,
}

impl Dialer {
    /// Opens no connection and resolves no name before one is needed. `trust` holds the origin's TLS settings.
    pub fn new(origin: Origin, names: &Resolver, trust: Option<Arc<Trust>>) -> Self {
        let host = match &origin.way {
            Way::Direct => Some(&origin.host),
            Way::Proxy(proxy) => Some(&proxy.host),
            Way::Socket(_) => None,
        };
        let name = match host {
            Some(Host::Domain(name)) => Some(names.name(name)),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => None,
        };
        Self { origin, name, trust }
    }

    /// The destination of these connections.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Opens a connection, and offers these versions of HTTP where TLS is spoken.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: the most telling one, where several addresses were tried.
    pub async fn connect(&self, http: ProviderHttp) -> Result<Stream, ConnectError> {
        let Origin { host, port, tls, way, .. } = &self.origin;
        let stream = match way {
            Way::Socket(path) => {
                let connected = UnixStream::connect(path).await;
                return connected.map(Stream::Unix).map_err(|error| ConnectError::Socket(path.clone(), error));
            }
            Way::Direct => self.reach(host, *port).await?,
            Way::Proxy(proxy) => {
                let reached = self.reach(&proxy.host, proxy.port).await;
                let mut stream = reached.map_err(|error| ConnectError::Proxy(Box::new(error)))?;
                if tls.is_some() {
                    let target = format!("{host}:{port}");
                    tunnel::open(&mut stream, &target, proxy).await.map_err(ConnectError::Tunnel)?;
                }
                stream
            }
        };
        match &self.trust {
            None => Ok(Stream::Plain(stream)),
            Some(trust) => self.shake_hands(trust, stream, http).await,
        }
    }

    async fn shake_hands(&self, trust: &Trust, stream: TcpStream, http: ProviderHttp) -> Result<Stream, ConnectError> {
        let mut config = trust.config().map_err(ConnectError::Trust)?;
        let offered: &[&[u8]] = match http {
            ProviderHttp::One => &[],
            ProviderHttp::Two => &[HTTP2],
            ProviderHttp::Auto => &[HTTP2, b"http/1.1"],
        };
        if !offered.is_empty() {
            Arc::make_mut(&mut config).alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        }
        let name = match trust.server_name() {
            Some(name) => ServerName::try_from(name.to_owned()),
            None => self.server_name(),
        };
        let name = name.map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
        let shaken = TlsConnector::from(config).connect(name, stream).await;
        shaken.map(|stream| Stream::Tls(Box::new(stream))).map_err(ConnectError::Tls)
    }

    fn server_name(&self) -> Result<ServerName<'static>, InvalidDnsNameError> {
        match &self.origin.host {
            Host::Ipv4(address) => Ok(ServerName::IpAddress(IpAddr::V4(*address).into())),
            Host::Ipv6(address) => Ok(ServerName::IpAddress(IpAddr::V6(*address).into())),
            Host::Domain(name) => ServerName::try_from(name.clone()),
        }
    }

    async fn reach(&self, host: &Host<String>, port: u16) -> Result<TcpStream, ConnectError> {
        match (host, &self.name) {
            (Host::Ipv4(address), _) => connect_to((IpAddr::V4(*address), port).into()).await,
            (Host::Ipv6(address), _) => connect_to((IpAddr::V6(*address), port).into()).await,
            (Host::Domain(_), Some(name)) => connect_by_name(name, port).await,
            (Host::Domain(host), None) => {
                let error = Arc::new(io::Error::from(io::ErrorKind::NotFound));
                Err(ConnectError::Name(host.clone(), error))
            }
        }
    }
}

async fn connect_to(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let failed = |error| ConnectError::Tcp(address, error);
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    // Without Nagle's algorithm: the end of a request must not wait for the provider's acknowledgement of its
    // beginning.
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

/// Tries the addresses of a name, each time another one first, the next one beside the first when that takes long: a
/// machine that has an IPv6 address but no way out by it must not cost the whole timeout ("happy eyeballs", RFC 8305).
async fn connect_by_name(name: &Arc<Name>, port: u16) -> Result<TcpStream, ConnectError> {
    let unknown = |error| ConnectError::Name(name.host().to_owned(), error);
    let mut waiting = name.addresses(port).await.map_err(unknown)?.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut last = None;
    loop {
        match (waiting.next(), last) {
            (Some(address), before) => {
                trying.push(connect_to(address));
                last = before;
            }
            (None, Some(error)) if trying.is_empty() => {
                name.suspect();
                return Err(error);
            }
            (None, before) => last = before,
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

/// The failure to report of two. The system answers "no free port" also for an address of a kind that it does not
/// have, such as `::1` on a machine without IPv6, so what another address answered tells more.
fn more_telling(before: Option<ConnectError>, now: ConnectError) -> ConnectError {
    let lacks_ports =
        |error: &ConnectError| matches!(error, ConnectError::Tcp(_, io) if lack_of(io) == Some(Lack::Ports));
    match before {
        Some(before) if lacks_ports(&now) => before,
        _ => now,
    }
}

/// The resource that this machine lacked, if that is why something could not be opened.
pub(super) fn lack_of(error: &io::Error) -> Option<Lack> {
    match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE => Some(Lack::Files),
        Errno::NOMEM | Errno::NOBUFS => Some(Lack::Memory),
        Errno::ADDRNOTAVAIL => Some(Lack::Ports),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::{socket_keepalive, tcp_keepidle, tcp_keepintvl, tcp_nodelay};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_kernel_asks_after_a_minute_of_silence_whether_a_provider_is_still_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = connect_to(listener.local_addr().unwrap()).await.unwrap();
        assert_eq!((socket_keepalive(&stream), tcp_nodelay(&stream)), (Ok(true), Ok(true)));
        let asked = (tcp_keepidle(&stream), tcp_keepintvl(&stream));
        assert_eq!(asked, (Ok(Duration::from_secs(60)), Ok(Duration::from_secs(15))));
    }
}
