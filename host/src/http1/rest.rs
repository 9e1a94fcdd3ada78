//! What is still to come of a message's body, in whatever form it comes.

use bytes::{Buf as _, Bytes, BytesMut};

use super::chunks::{Chunks, Malformed};
use super::framing::Framing;

/// The rest of a body.
#[derive(Debug)]
pub enum Rest {
    /// There is nothing more.
    Nothing,
    /// So many bytes, more than none.
    Length(u64),
    /// Chunks.
    Chunks(Chunks),
    /// Everything up to the end of the connection.
    All,
}

impl Rest {
    /// All of a body, before any of it has come.
    pub fn of(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Nothing,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunks(Chunks::default()),
            Framing::Close => Self::All,
        }
    }

    /// True when nothing more is to come.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Notes that `read` bytes of a known length have been taken.
    pub fn took(&mut self, read: u64) {
        if let Self::Length(left) = self {
            *left = left.saturating_sub(read);
            if *left == 0 {
                *self = Self::Nothing;
            }
        }
    }

    /// Takes the piece that has come from `buffer`, never an empty one.
    ///
    /// # Errors
    ///
    /// [`Malformed`]: the bytes are no chunks.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        if buffer.is_empty() {
            return Ok(None);
        }
        let piece = match self {
            Self::Nothing => return Ok(None),
            Self::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                self.took(here as u64);
                buffer.split_to(here)
            }
            Self::Chunks(chunks) => {
                let decoded = chunks.decode(buffer)?;
                if chunks.are_over() {
                    *self = Self::Nothing;
                }
                let mut piece = buffer.split_to(decoded.used);
                piece.truncate(decoded.data.end);
                piece.advance(decoded.data.start);
                piece
            }
            Self::All => buffer.split(),
        };
        Ok((!piece.is_empty()).then(|| piece.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(framing: Framing, text: &str) -> (Vec<String>, String, bool) {
        let (mut rest, mut buffer, mut pieces) = (Rest::of(framing), BytesMut::from(text), Vec::new());
        while let Some(piece) = rest.take(&mut buffer).expect("well-formed") {
            pieces.push(String::from_utf8_lossy(&piece).into_owned());
        }
        (pieces, String::from_utf8_lossy(&buffer).into_owned(), rest.is_over())
    }

    #[test]
    fn a_piece_is_what_belongs_to_the_body_and_no_more() {
        let one = |piece: &str, left: &str, over| (vec![piece.to_owned()], left.to_owned(), over);
        assert_eq!(taken(Framing::Length(3), "abcGET"), one("abc", "GET", true));
        assert_eq!(taken(Framing::Length(5), "abc"), one("abc", "", false));
        assert_eq!(taken(Framing::Chunked, "1\r\na\r\n2\r\nbc\r\n0\r\n\r\nGET"), one("abc", "GET", true));
        assert_eq!(taken(Framing::Chunked, "3\r\nab"), one("ab", "", false));
        assert_eq!(taken(Framing::Close, "abc"), one("abc", "", false));
        assert_eq!(taken(Framing::Empty, "GET"), (Vec::new(), "GET".to_owned(), true));
        let mut buffer = BytesMut::from("x\r\n");
        assert!(Rest::of(Framing::Chunked).take(&mut buffer).is_err());
    }
}
