//! What a client sends: the bodies of its requests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::{Cut, LEAST_READ, Line, MOST_DISCARDED, MOST_READ, Reading, Wire};
use crate::http1::chunks::Malformed;
use crate::http1::rest::Rest;

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Reads what has come into the buffer.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(self.room);
        let spare = self.buffer.capacity() - self.buffer.len();
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), context, &mut self.buffer));
        if read.as_ref().is_ok_and(|read| *read >= spare) {
            self.room = (self.room * 2).min(MOST_READ);
        }
        Poll::Ready(read)
    }

    /// Tells a client that waits for it to send its body.
    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, self.interim))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim = &self.interim[written..];
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Reads more of a body.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        if !self.interim.is_empty() {
            ready!(self.poll_interim(context)).map_err(Cut::Io)?;
        }
        match ready!(self.poll_read(context)) {
            Ok(1..) => Poll::Ready(Ok(())),
            Ok(0) => Poll::Ready(Err(Cut::Ended)),
            Err(error) => Poll::Ready(Err(Cut::Io(error))),
        }
    }

    /// Reads and throws away, up to the end or the most that is read so.
    pub(super) fn poll_discarded(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.buffer = BytesMut::new();
        let (mut sink, mut discarded) = ([0; LEAST_READ], 0);
        while discarded < MOST_DISCARDED {
            let mut into = ReadBuf::new(&mut sink);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut into)) {
                Ok(()) if !into.filled().is_empty() => discarded += into.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Reading for Line<S> {
    fn poll_piece(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        let wire = &mut *self.wire.lock();
        loop {
            match wire.rest.take(&mut wire.buffer) {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(None) if wire.rest.is_over() => return Poll::Ready(None),
                Ok(None) => {}
                Err(Malformed) => return Poll::Ready(Some(Err(Cut::Malformed))),
            }
            if let Err(cut) = ready!(wire.poll_more(context)) {
                return Poll::Ready(Some(Err(cut)));
            }
        }
    }

    fn poll_into(&self, context: &mut Context<'_>, whole: &mut BytesMut) -> Poll<Option<Result<usize, Cut>>> {
        {
            let wire = &mut *self.wire.lock();
            if let (Rest::Length(left), true, true) = (&wire.rest, wire.buffer.is_empty(), wire.interim.is_empty()) {
                let limit = usize::try_from(*left).unwrap_or(usize::MAX);
                let mut room = (&mut *whole).limit(limit);
                return match ready!(poll_read_buf(Pin::new(&mut wire.stream), context, &mut room)) {
                    Ok(0) => Poll::Ready(Some(Err(Cut::Ended))),
                    Ok(read) => {
                        wire.rest.took(read as u64);
                        Poll::Ready(Some(Ok(read)))
                    }
                    Err(error) => Poll::Ready(Some(Err(Cut::Io(error)))),
                };
            }
        }
        let piece = ready!(self.poll_piece(context));
        Poll::Ready(piece.map(|piece| {
            piece.map(|piece| {
                whole.extend_from_slice(&piece);
                piece.len()
            })
        }))
    }

    fn left(&self) -> Option<u64> {
        match self.wire.lock().rest {
            Rest::Nothing => Some(0),
            Rest::Length(left) => Some(left),
            Rest::Chunks(_) | Rest::All => None,
        }
    }

    fn is_over(&self) -> bool {
        self.wire.lock().rest.is_over()
    }
}
