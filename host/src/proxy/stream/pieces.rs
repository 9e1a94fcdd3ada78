//! Joins small pieces that a provider sends, and gives other tasks their turn after a number of pieces.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use crate::provider::client::{AnswerBody, AttemptError};

/// Pieces of at most this size are joined.
const SMALL: usize = 2 << 10;
/// Joined pieces grow to at most this size.
const GATHERED: usize = 16 << 10;
/// The number of pieces that are taken before other tasks get their turn: a provider can send them without end.
const TURN: usize = 64;

/// Takes pieces from the body of an answer.
pub struct Pieces {
    source: AnswerBody,
    /// The piece behind the last joined ones.
    behind: Option<Option<Result<Bytes, AttemptError>>>,
    /// The last piece came without waiting, so there may be more.
    in_burst: bool,
    /// Pieces that may still be taken in this turn.
    turn: usize,
}

impl Pieces {
    /// The pieces of `source`.
    pub fn of(source: AnswerBody) -> Self {
        Self { source, behind: None, in_burst: false, turn: TURN }
    }

    /// Ends the reading; see [`AnswerBody::retire`].
    pub fn retire(self) {
        if self.behind.is_none() {
            self.source.retire();
        }
    }

    /// The next piece, `None` at the end. Small ones that have already arrived are joined: the server's work for each
    /// costs more than the copy. The first piece of a burst goes alone, as there is nearly never another one yet.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, AttemptError>>> {
        if self.turn == 0 {
            self.turn = TURN;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.turn -= 1;
        if let Some(behind) = self.behind.take() {
            return Poll::Ready(behind);
        }
        let polled = self.source.poll_chunk(context);
        let was_in_burst = std::mem::replace(&mut self.in_burst, polled.is_ready());
        let piece = match polled {
            Poll::Ready(Some(Ok(piece))) if was_in_burst && piece.len() <= SMALL => piece,
            Poll::Ready(other) => return Poll::Ready(other),
            Poll::Pending => {
                self.turn = TURN;
                return Poll::Pending;
            }
        };
        let mut gathered = BytesMut::new();
        while self.turn > 0 {
            self.turn -= 1;
            match self.source.poll_chunk(context) {
                Poll::Ready(Some(Ok(more))) if more.len() <= SMALL && gathered.len() + more.len() <= GATHERED => {
                    if gathered.is_empty() {
                        gathered.reserve(2 * SMALL);
                        gathered.extend_from_slice(&piece);
                    }
                    gathered.extend_from_slice(&more);
                }
                Poll::Ready(behind) => {
                    self.behind = Some(behind);
                    break;
                }
                Poll::Pending => {
                    self.in_burst = false;
                    break;
                }
            }
        }
        Poll::Ready(Some(Ok(if gathered.is_empty() { piece } else { gathered.freeze() })))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn pieces_without_end_let_others_have_their_turn() {
        let endless = stream::repeat_with(|| Ok(Bytes::from(vec![b'x'; SMALL + 1])));
        let mut pieces = Pieces::of(AnswerBody::played(Box::pin(endless)));
        let taken = poll_fn(|context| {
            let mut taken = 0;
            while pieces.poll_next(context).is_ready() {
                taken += 1;
            }
            Poll::Ready(taken)
        });
        assert_eq!(taken.await, TURN);
    }

    #[tokio::test]
    async fn small_pieces_behind_the_first_come_as_one() {
        let words = ["one ", "two ", "three"].map(|word| Ok(Bytes::from_static(word.as_bytes())));
        let mut pieces = Pieces::of(AnswerBody::played(Box::pin(stream::iter(words))));
        let mut next =
            async || poll_fn(|context| pieces.poll_next(context)).await.map(|piece| piece.expect("no error"));
        assert_eq!(next().await.as_deref(), Some(&b"one "[..]));
        assert_eq!(next().await.as_deref(), Some(&b"two three"[..]));
        assert_eq!(next().await, None);
    }
}
