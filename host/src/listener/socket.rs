//! The two kinds of sockets that a listener can have: TCP and Unix sockets.
//!
//! Only this file knows the difference; the rest of the listener works with either kind.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, lookup_host};
use tokio::time::timeout;

use super::Peer;

/// The backlog, enough for a burst: with less the kernel drops connections, and their clients retry after a second.
const BACKLOG: u32 = 4096;

/// The permissions of a Unix socket: for the user that runs the proxy and for its group, which a web server in front of
/// the proxy can belong to.
const MODE: u32 = 0o660;

/// The time in which an existing Unix socket must accept a connection to count as in use.
const ANSWERS: Duration = Duration::from_secs(1);

/// The prefix in the configuration that marks a Unix socket.
const IN_FILE_SYSTEM: &str = "unix:";

/// The address that a listener is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

/// The beginning of URLs: `http://ADDRESS`, or `unix:PATH` for a Unix socket.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "{IN_FILE_SYSTEM}{}", path.display()),
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixSocket),
}

/// A Unix socket, whose file is removed when this is dropped.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, to notice when another process has put its own socket at the path.
    identity: Option<(u64, u64)>,
}

/// A connection that was accepted.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A connection to a Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Binds a listener; port 0 lets the system choose, and `unix:PATH` as the host means a Unix socket.
    ///
    /// # Errors
    ///
    /// When the name does not resolve or none of its addresses can be bound; when another process listens at the path,
    /// or the path is not a socket.
    pub async fn bind(host: &str, port: u16) -> io::Result<Self> {
        if let Some(path) = host.strip_prefix(IN_FILE_SYSTEM) {
            return UnixSocket::bind(Path::new(path)).await.map(Self::Unix);
        }
        let mut last = None;
        for address in lookup_host((host, port)).await? {
            match bind_address(address) {
                Ok(listener) => return Ok(Self::Tcp(listener)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
    }

    /// The place that it is bound to.
    ///
    /// # Errors
    ///
    /// When the system cannot tell.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(socket) => Ok(Address::Unix(socket.path.clone())),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    ///
    /// When the connection broke before it was accepted, or the system lacks resources.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().await.map(|(stream, peer)| (Stream::Tcp(stream), Peer(Some(peer))))
            }
            Self::Unix(socket) => socket.listener.accept().await.map(|(stream, _)| (Stream::Unix(stream), Peer(None))),
        }
    }
}

fn bind_address(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl UnixSocket {
    async fn bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                // If nobody answers, a process that was killed has left it behind.
                match timeout(ANSWERS, UnixStream::connect(path)).await {
                    Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
                    Ok(Err(error)) => return Err(error),
                    Ok(Ok(_)) | Err(_) => return Err(io::ErrorKind::AddrInUse.into()),
                }
            }
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is not a socket")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
        Ok(Self { listener, path: path.to_owned(), identity: identity(path) })
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // Another process may have removed it meanwhile, which is just as good.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Stream {
    /// Sends small pieces at once. Only a socket that has just been closed refuses the option.
    pub fn hurry(&self) {
        if let Self::Tcp(stream) = self {
            let _ = stream.set_nodelay(true);
        }
    }

    /// Waits for bytes and gives the first ones, which stay unread.
    ///
    /// # Errors
    ///
    /// When the connection broke.
    pub async fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(into).await,
            Self::Unix(stream) => loop {
                stream.readable().await?;
                let peek = || Ok(rustix::net::recv(stream, &mut *into, RecvFlags::PEEK)?.1);
                match stream.try_io(Interest::READABLE, peek) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    peeked => return peeked,
                }
            },
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_socket_left_behind_is_taken_over_one_in_use_is_not_and_it_goes_with_its_owner() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("p.sock");
        let host = format!("unix:{}", path.display());
        // A listener of the standard library does not remove its socket.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = Socket::bind(&host, 0).await.unwrap();
        assert_eq!(socket.address().unwrap().to_string(), host);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(Socket::bind(&host, 0).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert_eq!(Socket::bind(&host, 0).await.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn bytes_that_are_peeked_at_stay() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("p.sock");
        let socket = Socket::bind(&format!("unix:{}", path.display()), 0).await.unwrap();
        let mut client = UnixStream::connect(&path).await.unwrap();
        let (stream, peer) = socket.accept().await.unwrap();
        assert!(peer.is_loopback());
        client.write_all(b"x").await.unwrap();
        let mut first = [0];
        for _ in 0..2 {
            assert_eq!((stream.peek(&mut first).await.unwrap(), first), (1, *b"x"));
        }
    }
}
