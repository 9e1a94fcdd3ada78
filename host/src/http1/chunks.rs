//! The chunked coding (RFC 9112, 7.1), read in place: the data of all chunks that have come is moved together, so that what is
//! passed on is one piece.

use std::ops::Range;

/// The most digits of a chunk's size.
const MAX_DIGITS: u8 = 16;
/// The most bytes of chunk extensions in one body: nobody uses them, but they would be read without end.
const MAX_EXTENSIONS: u32 = 16 << 10;
/// The most bytes of the trailer section.
const MAX_TRAILERS: u32 = 16 << 10;

/// The bytes are no chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The place in a body of chunks.
#[derive(Clone, Debug)]
pub struct Chunks {
    state: State,
    /// Bytes of extensions so far.
    extensions: u32,
    /// Bytes of the trailer section so far.
    trailers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a size, after so many digits of it.
    Size(u8, u64),
    /// In the blanks behind a size, which some servers write.
    Blank(u64),
    /// In an extension.
    Extension(u64),
    /// Before the line feed that ends the line of a size.
    SizeEnd(u64),
    /// In the data of a chunk, of which so many bytes are to come.
    Data(u64),
    /// Behind the data of a chunk.
    DataReturn,
    DataEnd,
    /// At the beginning of a line of the trailer section, in a name there, in a value, and before the line feed that ends it.
    Line,
    Name,
    Trailer,
    TrailerEnd,
    /// Before the line feed that ends all.
    End,
    Over,
}

/// What was found in the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The place of the data, now in one piece.
    pub data: Range<usize>,
    /// The number of bytes that belong to the body; what follows is no part of it.
    pub used: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { state: State::Size(0, 0), extensions: 0, trailers: 0 }
    }
}

impl Chunks {
    /// True when the body has ended.
    pub fn are_over(&self) -> bool {
        self.state == State::Over
    }

    /// Reads what has come, and moves its data together.
    ///
    /// # Errors
    ///
    /// [`Malformed`]; nothing of it can be used then.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, Malformed> {
        let mut data = 0..0;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            self.state = match self.state {
                State::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    if data.is_empty() {
                        data = at..at + here;
                    } else {
                        bytes.copy_within(at..at + here, data.end);
                        data.end += here;
                    }
                    at += here;
                    self.state = match left - here as u64 {
                        0 => State::DataReturn,
                        left => State::Data(left),
                    };
                    continue;
                }
                State::Over => break,
                state => self.step(state, byte)?,
            };
            at += 1;
        }
        Ok(Decoded { data, used: at })
    }

    /// Reads one byte that is no data.
    fn step(&mut self, state: State, byte: u8) -> Result<State, Malformed> {
        Ok(match (state, byte) {
            (State::Size(digits, size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < MAX_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                State::Size(digits + 1, size << 4 | u64::from(digit))
            }
            (State::Size(0, _), _) => return Err(Malformed),
            (State::Size(_, size) | State::Blank(size), b'\r') => State::SizeEnd(size),
            (State::Size(_, size) | State::Blank(size), b' ' | b'\t') => State::Blank(self.extended(size)?),
            (State::Size(_, size) | State::Blank(size), b';') => State::Extension(self.extended(size)?),
            (State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => State::Extension(self.extended(size)?),
            (State::SizeEnd(0), b'\n') => State::Line,
            (State::SizeEnd(size), b'\n') => State::Data(size),
            (State::DataReturn, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size(0, 0),
            (State::Line, b'\r') => State::End,
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::Line | State::Name, byte) if is_of_name(byte) => self.trailing(State::Name)?,
            (State::Name, b':') | (State::Trailer, b'\t' | b' '..=b'~' | 0x80..) => self.trailing(State::Trailer)?,
            (State::TrailerEnd, b'\n') => State::Line,
            (State::End, b'\n') => State::Over,
            _ => return Err(Malformed),
        })
    }

    /// Counts a byte of the trailer section.
    fn trailing(&mut self, state: State) -> Result<State, Malformed> {
        self.trailers += 1;
        if self.trailers > MAX_TRAILERS { Err(Malformed) } else { Ok(state) }
    }

    /// Counts a byte of an extension, or of what stands in its place.
    fn extended(&mut self, size: u64) -> Result<u64, Malformed> {
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS { Err(Malformed) } else { Ok(size) }
    }
}

/// True for a byte that the name of a field may have (RFC 9110, 5.6.2).
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of a body that comes in pieces of this size, and how much is left behind it.
    fn read(body: &[u8], size: usize) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let (mut chunks, mut data, mut left) = (Chunks::default(), Vec::new(), 0);
        for piece in body.chunks(size) {
            let mut piece = piece.to_vec();
            let decoded = chunks.decode(&mut piece)?;
            data.extend_from_slice(&piece[decoded.data]);
            left += piece.len() - decoded.used;
        }
        Ok((data, left, chunks.are_over()))
    }

    #[test]
    fn data_is_found_in_whatever_pieces_it_comes() {
        let long = format!("{:x}\r\n{}\r\n0\r\n\r\n", 300, "y".repeat(300));
        for (body, data, left) in [
            ("3\r\nabc\r\n0\r\n\r\n", "abc", 0),
            ("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET", "abcde", 3),
            ("00000000000000A\r\n0123456789\r\n000\r\n\r\n", "0123456789", 0),
            ("1;a=b\r\nx\r\n1 ; c=\"d e\"\r\ny\r\n0;z\r\n\r\n", "xy", 0),
            ("1 \t\r\nx\r\n0 \r\n\r\n", "x", 0),
            ("0\r\nx-sum: 1\r\ny: \u{e9}\r\n\r\n", "", 0),
            ("1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", "\r\n", 0),
            (&long, &"y".repeat(300), 0),
        ] {
            for size in 1..=body.len() {
                assert_eq!(read(body.as_bytes(), size), Ok((data.into(), left, true)), "{body:?} by {size}");
            }
        }
    }

    #[test]
    fn what_readers_could_take_for_different_lengths_is_refused() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(17 << 10));
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(5000));
        for body in [
            "\r\nabc\r\n0\r\n\r\n",
            "g\r\n",
            "-1\r\nx\r\n",
            "+1\r\nx\r\n",
            "0x1\r\nx\r\n",
            " 1\r\nx\r\n",
            "1_0\r\n",
            "00000000000000001\r\nx\r\n",
            "10000000000000001\r\nx\r\n",
            "1\nx\r\n",
            "1\r\rx\r\n",
            "1\rx\r\n",
            "1 1\r\nx\r\n",
            "1;a\nx\r\n",
            "1;a\r\rx\r\n",
            "1;a\0\r\nx\r\n",
            "1\r\nxy\r\n0\r\n\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nx\r0\r\n\r\n",
            "1\r\nx0\r\n\r\n",
            "0\r\n\n",
            "0\r\na: b\n\r\n",
            "0\r\n a: b\r\n\r\n",
            "0\r\na: b\r\n\r\r",
            "0\r\na\0: b\r\n\r\n",
            "0\r\na b: c\r\n\r\n",
            "0\r\na\r\n\r\n",
            "0\r\n: a\r\n\r\n",
            &long,
            &trailers,
        ] {
            for size in [1, 2, 7, body.len()] {
                assert_eq!(read(body.as_bytes(), size), Err(Malformed), "{:?} by {size}", body.get(..40));
            }
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_not_over() {
        let body = "3\r\nabc\r\n0\r\nx: y\r\n\r\n";
        for length in 0..body.len() {
            let (_, _, over) = read(&body.as_bytes()[..length], 4).expect("well-formed so far");
            assert!(!over, "{length}");
        }
    }
}
