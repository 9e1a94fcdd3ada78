//! Moves bytes between two connections: reads from one only while little waits for the other, and never holds a byte back
//! that can be sent.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::listener::takeover::Duplex;

/// The bytes that may wait for one side before the other is read on.
const MOST_WAITING: usize = 64 << 10;
/// The most bytes that are read at once.
const PIECE: usize = 16 << 10;
/// The buffer of a side through which a large message has gone is given back.
const KEPT: usize = 256 << 10;

/// One of the two connections.
pub struct Side {
    stream: Box<dyn Duplex>,
    /// The bytes that wait to be sent.
    pub out: BytesMut,
    /// Bytes that came before this side was moved.
    early: Bytes,
    /// True when something was sent that may not have been passed on.
    is_unflushed: bool,
    has_ended: bool,
    /// The bytes that came from it.
    pub came: u64,
}

impl Side {
    /// A connection on which `early` came already.
    pub fn new(stream: Box<dyn Duplex>, early: Bytes) -> Self {
        Self { stream, out: BytesMut::new(), early, is_unflushed: false, has_ended: false, came: 0 }
    }

    /// Has bytes be read again before all others.
    pub fn unread(&mut self, bytes: Bytes) {
        self.came -= bytes.len() as u64;
        self.early = [&bytes[..], &self.early[..]].concat().into();
    }

    /// Ready when it has ended; keeps what comes meanwhile to be read later, up to so many bytes.
    pub fn poll_left(&mut self, most: usize, context: &mut Context<'_>) -> Poll<()> {
        while self.early.len() < most {
            let mut piece = [0; 1024];
            let mut into = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut into)) {
                Ok(()) if !into.filled().is_empty() => {
                    self.early = [&self.early[..], into.filled()].concat().into();
                }
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Sends what waits; ready once all of it is on its way.
    pub fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.out))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(sent);
            self.is_unflushed = true;
        }
        if self.out.capacity() > KEPT {
            self.out = BytesMut::new();
        }
        if self.is_unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads a piece; 0 at the end.
    pub fn poll_read(&mut self, into: &mut [u8], context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.early.is_empty() {
            let length = self.early.len().min(into.len());
            self.early.copy_to_slice(&mut into[..length]);
            self.came += length as u64;
            return Poll::Ready(Ok(length));
        }
        let mut into = ReadBuf::new(into);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut into))?;
        self.came += into.filled().len() as u64;
        Poll::Ready(Ok(into.filled().len()))
    }

    /// Sends everything, and says that nothing more comes.
    ///
    /// # Errors
    ///
    /// Of the connection.
    pub async fn finish(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_send(context)).await?;
        poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context)).await
    }
}

/// A side of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The client.
    Client,
    /// The provider.
    Provider,
}

/// The events of a connection.
#[derive(Debug)]
pub enum News {
    /// So many bytes came, which the pump has.
    Came(Who, usize),
    /// Nothing more comes, or nothing can be sent any more.
    Ended(Who),
}

/// The two connections.
pub struct Pump {
    /// The client's.
    pub client: Side,
    /// The provider's.
    pub provider: Side,
    /// The bytes that came last.
    pub piece: Vec<u8>,
    /// The side that is read first, in turn.
    first: Who,
}

impl Pump {
    /// Moves bytes between these two.
    pub fn new(client: Side, provider: Side) -> Self {
        Self { client, provider, piece: vec![0; PIECE], first: Who::Provider }
    }

    /// Sends what can be sent; ready when something has come, or one side has ended.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<News> {
        for (who, side) in [(Who::Client, &mut self.client), (Who::Provider, &mut self.provider)] {
            if !side.has_ended && matches!(side.poll_send(context), Poll::Ready(Err(_))) {
                side.has_ended = true;
                return Poll::Ready(News::Ended(who));
            }
        }
        let order = match self.first {
            Who::Client => [Who::Client, Who::Provider],
            Who::Provider => [Who::Provider, Who::Client],
        };
        for who in order {
            let (from, to) = match who {
                Who::Client => (&mut self.client, &mut self.provider),
                Who::Provider => (&mut self.provider, &mut self.client),
            };
            // What comes from the client may be answered at once.
            if from.has_ended || to.out.len() >= MOST_WAITING || from.out.len() >= 4 * MOST_WAITING {
                continue;
            }
            match from.poll_read(&mut self.piece, context) {
                Poll::Pending => {}
                Poll::Ready(Ok(came)) if came > 0 => {
                    self.first = if who == Who::Client { Who::Provider } else { Who::Client };
                    return Poll::Ready(News::Came(who, came));
                }
                Poll::Ready(Ok(_) | Err(_)) => {
                    from.has_ended = true;
                    return Poll::Ready(News::Ended(who));
                }
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn one_side_is_not_read_while_much_waits_for_the_other() {
        let (client, mut far_client) = duplex(1000);
        let (provider, mut far_provider) = duplex(1 << 20);
        let side = |stream| Side::new(Box::new(stream), Bytes::new());
        let mut pump = Pump::new(side(client), side(provider));
        far_provider.write_all(&vec![7; 500_000]).await.expect("room");
        let mut moved = 0;
        while let Some(News::Came(Who::Provider, came)) = poll_fn(|context| pump.poll(context)).now_or_never() {
            let piece = pump.piece[..came].to_vec();
            pump.client.out.extend_from_slice(&piece);
            moved += came;
        }
        assert!(moved <= 1000 + MOST_WAITING + PIECE, "{moved}");
        // The other way is open all the while.
        far_client.write_all(b"hello").await.expect("room");
        assert!(matches!(poll_fn(|context| pump.poll(context)).await, News::Came(Who::Client, 5)));
        let mut taken = vec![0; 1000];
        far_client.read_exact(&mut taken).await.expect("sent");
        while moved < 100_000 {
            match poll_fn(|context| pump.poll(context)).now_or_never() {
                Some(News::Came(Who::Provider, came)) => {
                    let piece = pump.piece[..came].to_vec();
                    pump.client.out.extend_from_slice(&piece);
                    moved += came;
                }
                _ => drop(far_client.read(&mut taken).await.expect("more comes")),
            }
        }
    }

    #[tokio::test]
    async fn an_end_is_told_once() {
        let (client, far_client) = duplex(1000);
        let (provider, _far_provider) = duplex(1000);
        let mut pump = Pump::new(
            Side::new(Box::new(client), Bytes::from_static(b"early")),
            Side::new(Box::new(provider), Bytes::new()),
        );
        drop(far_client);
        assert!(matches!(poll_fn(|context| pump.poll(context)).await, News::Came(Who::Client, 5)));
        assert_eq!(pump.piece[..5], *b"early");
        assert!(matches!(poll_fn(|context| pump.poll(context)).await, News::Ended(Who::Client)));
        assert!(poll_fn(|context| pump.poll(context)).now_or_never().is_none());
    }
}
