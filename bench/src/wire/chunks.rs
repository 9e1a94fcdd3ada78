//! Takes the chunks of a transfer coding apart (RFC 9112, section 7.1): proxies cut streams as they like.

use anyhow::{bail, ensure};

/// Where in the coding we are.
#[derive(Debug, Default)]
enum State {
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
    state: State,
    /// What is left of the chunk.
    left: usize,
}

impl Chunks {
    /// Hands what `bytes` carry to `sink`.
    pub fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let State::Data = self.state {
                let (data, after) = bytes.split_at(self.left.min(bytes.len()));
                sink(data)?;
                self.left -= data.len();
                if self.left == 0 {
                    self.state = State::AfterData;
                }
                bytes = after;
                continue;
            }
            self.state = self.next(byte)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Whether the last chunk and the lines after it have come.
    pub fn ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn next(&mut self, byte: u8) -> anyhow::Result<State> {
        Ok(match (&self.state, byte) {
            (State::Size, b'\r' | b';') => State::Extension,
            (State::Size, digit) => {
                let Some(value) = char::from(digit).to_digit(16) else { bail!("{digit:#04x} in the size of a chunk") };
                ensure!(self.left < 1 << 40, "a chunk of more than a terabyte");
                self.left = self.left * 16 + value as usize;
                State::Size
            }
            (State::Extension, b'\n') if self.left == 0 => State::Trailer { empty: true },
            (State::Extension, b'\n') | (State::Data, _) => State::Data,
            (State::Extension, _) => State::Extension,
            (State::AfterData, b'\r') => State::AfterData,
            (State::AfterData, b'\n') => State::Size,
            (State::AfterData, other) => bail!("{other:#04x} after a chunk"),
            (State::Trailer { empty: true }, b'\n') => State::Ended,
            (State::Trailer { empty: true }, b'\r') | (State::Trailer { .. }, b'\n') => State::Trailer { empty: true },
            (State::Trailer { .. }, _) => State::Trailer { empty: false },
            (State::Ended, _) => bail!("more bytes after the last chunk"),
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
