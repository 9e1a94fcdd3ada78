//! What waits to be sent to a client.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

use super::super::activity::Activity;

/// A piece that is not larger is copied, so that it goes out in one write with what is around it.
const COPIED: usize = 4 << 10;
/// With so much waiting, no more is produced.
const ENOUGH: usize = 16 << 10;
/// The largest buffer that is kept.
const MOST_KEPT: usize = 2 << 10;

/// What waits to be sent: small pieces together, then perhaps a large one, and what ends that.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    buffer: Vec<u8>,
    /// The bytes of `buffer` that have gone.
    gone: usize,
    large: Bytes,
    after: &'static [u8],
}

impl Outbox {
    /// The buffer for small pieces, which must not be used while there is no room.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Adds a small piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// Adds a piece of any size, and what ends it.
    pub fn put(&mut self, piece: Bytes, after: &'static [u8]) {
        if piece.len() > COPIED {
            (self.large, self.after) = (piece, after);
        } else {
            self.buffer.reserve(piece.len() + after.len());
            self.buffer.extend_from_slice(&piece);
            self.buffer.extend_from_slice(after);
        }
    }

    /// True when there is room for more.
    pub fn has_room(&self) -> bool {
        self.large.is_empty() && self.after.is_empty() && self.buffer.len() < ENOUGH
    }

    /// Sends all of it.
    pub fn poll_sent<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        activity: &Activity,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let small = self.buffer.get(self.gone..).unwrap_or_default();
            let stream = Pin::new(&mut *stream);
            let written = if self.large.is_empty() && self.after.is_empty() {
                if small.is_empty() {
                    break;
                }
                stream.poll_write(context, small)
            } else {
                let all = [IoSlice::new(small), IoSlice::new(&self.large), IoSlice::new(self.after)];
                stream.poll_write_vectored(context, &all)
            };
            let Poll::Ready(written) = written else {
                activity.stalled();
                return Poll::Pending;
            };
            let mut written = written?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            activity.sent();
            let of_small = written.min(small.len());
            self.gone += of_small;
            written -= of_small;
            let of_large = written.min(self.large.len());
            self.large.advance(of_large);
            self.after = self.after.get(written - of_large..).unwrap_or_default();
        }
        if self.gone > 0 {
            self.gone = 0;
            self.buffer.clear();
            if self.buffer.capacity() > MOST_KEPT {
                self.buffer = Vec::new();
            }
        }
        if ready!(Pin::new(stream).poll_flush(context)).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn pieces_go_out_in_their_order_however_little_the_client_takes() {
        for size in [1, 7, 4096, 1 << 20] {
            let (mut ours, mut theirs) = tokio::io::duplex(size);
            let (activity, mut outbox) = (Activity::new(), Outbox::default());
            let mut expected = Vec::new();
            let sending = async move {
                for large in [1, COPIED, COPIED + 1, 20_000] {
                    outbox.push(b"head ");
                    outbox.put(vec![b'x'; large].into(), b" end ");
                    poll_fn(|context| outbox.poll_sent(&mut ours, &activity, context)).await.expect("an open pipe");
                    assert!(outbox.has_room());
                }
            };
            for large in [1, COPIED, COPIED + 1, 20_000] {
                expected.extend([b"head ", &vec![b'x'; large][..], b" end "].concat());
            }
            let mut read = Vec::new();
            let (_, sent) = tokio::join!(theirs.read_to_end(&mut read), sending);
            let () = sent;
            assert_eq!(read, expected, "a pipe of {size}");
        }
    }
}
