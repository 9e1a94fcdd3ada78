//! The two kinds of sockets that clients come to: TCP, and one in the file system.
//!
//! Only this file knows the difference; whoever serves a connection does not know which kind it is.

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

/// Enough for a burst of connections: with fewer the kernel drops some, and their clients try again after a second.
const BACKLOG: u32 = 4096;

/// The permissions of a socket in the file system: for the user that the proxy runs as, and that user's group, in which
/// a web server before it can be.
const MODE: u32 = 0o660;

/// The time that a socket which is there already gets to say that somebody listens.
const ANSWERS: Duration = Duration::from_secs(1);

/// The prefix in the configuration that marks a socket in the file system.
const IN_FILE_SYSTEM: &str = "unix:";

/// The place that a listener is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

/// The beginning of URLs: `http://ADDRESS`, or what the configuration says of a socket in the file system.
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

/// A socket in the file system, which goes when its owner does.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: another process may have put its own in the place.
    identity: Option<(u64, u64)>,
}

/// A connection that was accepted.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A connection to a socket in the file system.
    Unix(UnixStream),
}

impl Socket {
    /// Binds a listener; port 0 lets the system choose, and `unix:PATH` as the host is a socket in the file system.
    ///
    /// # Errors
    ///
    /// When the name does not resolve or none of its addresses can be bound; when somebody listens at the path, or
    /// something else than a socket is there.
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
    /// When the system does not know.
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
    /// When it broke before, or the system lacks something.
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
                // Left behind by a process that was killed, unless somebody answers.
                match timeout(ANSWERS, UnixStream::connect(path)).await {
                    Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
                    Ok(Err(error)) => return Err(error),
                    Ok(Ok(_)) | Err(_) => return Err(io::ErrorKind::AddrInUse.into()),
                }
            }
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket is there")),
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
            // Whoever took it away meanwhile did what was to be done.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Stream {
    /// Small pieces go out at once. A socket that refuses the option is one that has just been closed.
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
        // A listener of the standard library leaves its socket behind.
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
