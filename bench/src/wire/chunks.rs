//! Decodes the chunked transfer coding (RFC 9112, section 7.1): proxies cut streams as they like.

use anyhow::{bail, ensure};

/// The position within the coding.
#[derive(Debug, Default)]
enum Position {
    #[default]
    Size,
    /// Up to the end of the line that gave the size.
    Extension,
    Data,
    /// The line end after a chunk.
    AfterData,
    /// The lines after the last chunk; whether the current one has anything in it.
    Trailer {
        empty: bool,
    },
    Ended,
}

/// A body in chunks.
#[derive(Debug, Default)]
pub struct Chunks {
    state: Position,
    /// The number of bytes left in the chunk.
    left: usize,
}

impl Chunks {
    /// Hands what `bytes` carry to `sink`.
    pub fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Position::Data = self.state {
                let (data, after) = bytes.split_at(self.left.min(bytes.len()));
                sink(data)?;
                self.left -= data.len();
                if self.left == 0 {
                    self.state = Position::AfterData;
                }
                bytes = after;
                continue;
            }
            self.state = self.next(byte)?;
            bytes = rest;
        }
        Ok(())
    }

    /// True when the last chunk and the lines after it have come.
    pub fn ended(&self) -> bool {
        matches!(self.state, Position::Ended)
    }

    fn next(&mut self, byte: u8) -> anyhow::Result<Position> {
        Ok(match (&self.state, byte) {
            (Position::Size, b'\r' | b';') => Position::Extension,
            (Position::Size, digit) => {
                let Some(value) = char::from(digit).to_digit(16) else { bail!("{digit:#04x} in the size of a chunk") };
                ensure!(self.left < 1 << 40, "a chunk of more than a terabyte");
                self.left = self.left * 16 + value as usize;
                Position::Size
            }
            (Position::Extension, b'\n') if self.left == 0 => Position::Trailer { empty: true },
            (Position::Extension, b'\n') | (Position::Data, _) => Position::Data,
            (Position::Extension, _) => Position::Extension,
            (Position::AfterData, b'\r') => Position::AfterData,
            (Position::AfterData, b'\n') => Position::Size,
            (Position::AfterData, other) => bail!("{other:#04x} after a chunk"),
            (Position::Trailer { empty: true }, b'\n') => Position::Ended,
            (Position::Trailer { empty: true }, b'\r') | (Position::Trailer { .. }, b'\n') => {
                Position::Trailer { empty: true }
            }
            (Position::Trailer { .. }, _) => Position::Trailer { empty: false },
            (Position::Ended, _) => bail!("more bytes after the last chunk"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> anyhow::Result<(Vec<u8>, bool)> {
        let (mut chunks, mut out) = (Chunks::default(), Vec::new());
        for piece in pieces {
            chunks.feed(piece, |data| {
                out.extend_from_slice(data);
                Ok(())
            })?;
        }
        Ok((out, chunks.ended()))
    }

    #[test]
    fn chunks_are_joined_however_they_are_cut() {
        let whole: &[u8] = b"5\r\nhello\r\nB;x=1\r\n over there\r\n0\r\ntrailer: 1\r\n\r\n";
        assert_eq!(read(&[whole]).unwrap(), (b"hello over there".to_vec(), true));
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(read(&bytes).unwrap(), (b"hello over there".to_vec(), true));
    }

    #[test]
    fn a_body_without_its_last_chunk_has_not_ended() {
        assert_eq!(read(&[b"2\r\nhi\r\n"]).unwrap(), (b"hi".to_vec(), false));
        assert_eq!(read(&[b"2\r\nhi\r\n0\r\n"]).unwrap(), (b"hi".to_vec(), false));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        assert!(read(&[b"hello"]).is_err());
        assert!(read(&[b"5\r\nhello over there"]).is_err(), "a size that is too small");
        assert!(read(&[b"0\r\n\r\nHTTP/1.1 200 OK"]).is_err());
    }
}
