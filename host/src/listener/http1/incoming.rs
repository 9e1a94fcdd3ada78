//! What a client sends: the bodies of its requests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::{Cut, LEAST_READ, Line, MOST_DISCARDED, MOST_READ, Reading, Rest, Wire};

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

    /// The piece of the body that has come, never an empty one.
    pub(super) fn take_piece(&mut self) -> Result<Option<Bytes>, Cut> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let piece = match &mut self.rest {
            Rest::Nothing => return Ok(None),
            Rest::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
                *left -= here as u64;
                if *left == 0 {
                    self.rest = Rest::Nothing;
                }
                self.buffer.split_to(here)
            }
            Rest::Chunks(chunks) => {
                let decoded = chunks.decode(&mut self.buffer).map_err(|_malformed| Cut::Malformed)?;
                if chunks.are_over() {
                    self.rest = Rest::Nothing;
                }
                let mut piece = self.buffer.split_to(decoded.used);
                piece.truncate(decoded.data.end);
                piece.advance(decoded.data.start);
                piece
            }
        };
        Ok((!piece.is_empty()).then(|| piece.freeze()))
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
            match wire.take_piece() {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(None) if matches!(wire.rest, Rest::Nothing) => return Poll::Ready(None),
                Ok(None) => {}
                Err(cut) => return Poll::Ready(Some(Err(cut))),
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
                let left = *left;
                let limit = usize::try_from(left).unwrap_or(usize::MAX);
                let mut room = (&mut *whole).limit(limit);
                return match ready!(poll_read_buf(Pin::new(&mut wire.stream), context, &mut room)) {
                    Ok(0) => Poll::Ready(Some(Err(Cut::Ended))),
                    Ok(read) => {
                        let left = left - read as u64;
                        wire.rest = if left == 0 { Rest::Nothing } else { Rest::Length(left) };
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
            Rest::Chunks(_) => None,
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.wire.lock().rest, Rest::Nothing)
    }
}
