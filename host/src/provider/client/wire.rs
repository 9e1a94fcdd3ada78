//! The bytes of one connection to a provider, with an eye on who speaks when.
//!
//! The HTTP library says that an exchange failed, and neither whether a byte of the answer had come nor whether bytes
//! came that nobody had asked for. Both decide what may be done next, so they are noted here, below the library. Here too
//! interim answers are counted, which the library skips without end.

use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;

/// Interim answers (RFC 9110, 15.2) before the one that counts; a provider that sends more is broken.
const MOST_INTERIM: u8 = 16;

/// The position of the status's first digit in `HTTP/1.1 200 OK`.
const STATUS: usize = 9;

/// The side that speaks now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Turn {
    /// Nobody: the connection lies idle.
    Nobody,
    /// A request is being sent, and no byte of its answer has come.
    Ours,
    /// Bytes of an answer have come.
    Theirs,
    /// More interim answers came than anybody needs.
    Flooded,
    /// Bytes came while nobody had asked for any.
    Unasked,
}

impl Turn {
    fn of(number: u8) -> Self {
        [Turn::Nobody, Turn::Ours, Turn::Theirs, Turn::Flooded]
            .into_iter()
            .find(|turn| *turn as u8 == number)
            .unwrap_or(Turn::Unasked)
    }
}

/// The state that the two ends of a [`Wire`] share: the HTTP library, and whoever holds the connection.
///
/// Both run in one task; the atomic is for the compiler.
#[derive(Clone, Debug)]
pub struct Talk(Arc<AtomicU8>);

impl Default for Talk {
    fn default() -> Self {
        Self(Arc::new(AtomicU8::new(Turn::Ours as u8)))
    }
}

impl Talk {
    /// The side that speaks now.
    pub fn turn(&self) -> Turn {
        Turn::of(self.0.load(Relaxed))
    }

    /// Gives the turn to somebody.
    pub fn give(&self, turn: Turn) {
        self.0.store(turn as u8, Relaxed);
    }
}

/// A connection whose bytes are watched.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    talk: Talk,
    interim: Interim,
}

impl Wire {
    /// Notes in `talk` what passes through `stream`.
    pub fn new(stream: Stream, talk: Talk) -> Self {
        Self { stream, talk, interim: Interim::default() }
    }

    /// The connection, which nobody watches any more.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Looks at the socket itself whether anything lies there. The runtime only knows what it was told when it last
    /// looked for events, and a request must not go out after bytes that will be taken for its answer.
    fn listen(&self) -> Poll<io::Result<()>> {
        match rustix::net::recv(self.stream.as_fd(), &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Poll::Pending,
            // Its end, which reading nothing says.
            Ok((_, 0)) => Poll::Ready(Ok(())),
            Ok(_) => {
                // Under TLS it may be the other side's farewell.
                if !matches!(self.stream, Stream::Tls(_)) {
                    self.talk.give(Turn::Unasked);
                }
                Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let turn = self.talk.turn();
        if turn == Turn::Nobody {
            return self.listen();
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let bytes = &into.filled()[before..];
        if bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if turn == Turn::Ours {
            self.interim = Interim::default();
            self.talk.give(Turn::Theirs);
        }
        if self.interim.is_flooded_by(bytes) {
            self.talk.give(Turn::Flooded);
            return Poll::Ready(Err(io::Error::other("more than 16 interim answers")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Counts the interim answers before an answer, of which it sees the bytes as they come.
#[derive(Debug, Default)]
struct Interim {
    seen: u8,
    at: At,
}

#[derive(Debug)]
enum At {
    /// A status line, after so many bytes of it.
    Status(usize),
    /// The head of an interim answer; `ended` is true when its last line has just ended.
    Head { ended: bool },
    /// The answer that counts: nothing more is looked at.
    Past,
}

impl Default for At {
    fn default() -> Self {
        At::Status(0)
    }
}

impl Interim {
    /// True when with `bytes` there were too many.
    fn is_flooded_by(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            self.at = match self.at {
                At::Past => return false,
                At::Status(0) if byte == b'\r' || byte == b'\n' => At::Status(0),
                At::Status(STATUS) if byte == b'1' => At::Head { ended: false },
                At::Status(STATUS) => At::Past,
                At::Status(at) => At::Status(at + 1),
                At::Head { ended: true } if byte == b'\n' => {
                    self.seen += 1;
                    if self.seen > MOST_INTERIM {
                        return true;
                    }
                    At::Status(0)
                }
                At::Head { ended } => At::Head { ended: byte == b'\n' || ended && byte == b'\r' },
            };
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_interim_answers_are_read_over_in_whatever_pieces_and_no_more() {
        let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let answer = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 100 \r\n\r\n".repeat(40);
        for size in [1, 3, 40, 10_000] {
            let flooded = |text: &str| {
                let mut interim = Interim::default();
                text.as_bytes().chunks(size).any(|piece| interim.is_flooded_by(piece))
            };
            assert!(!flooded(&(early.repeat(16) + &answer)), "pieces of {size}");
            assert!(flooded(&early.repeat(17)), "pieces of {size}");
            assert!(flooded(&"HTTP/1.1 100 Continue\n\n".repeat(17)), "pieces of {size}");
        }
    }

    #[test]
    fn turns_are_what_was_given() {
        let talk = Talk::default();
        for turn in [Turn::Nobody, Turn::Ours, Turn::Theirs, Turn::Flooded, Turn::Unasked] {
            talk.give(turn);
            assert_eq!(talk.turn(), turn);
        }
    }
}
