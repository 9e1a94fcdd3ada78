//! Frames of WebSocket (RFC 6455, 5.2): read as they pass, in whatever pieces they come, and written.

use bytes::{BufMut as _, BytesMut};

/// The opcode of the later frames of a message.
pub const CONTINUATION: u8 = 0;
/// The opcode of a message of text.
pub const TEXT: u8 = 1;
/// The opcode of a message of bytes.
pub const BINARY: u8 = 2;
/// The opcode of the last frame of each side.
pub const CLOSE: u8 = 8;
/// The opcode of a question whether anybody is there.
pub const PING: u8 = 9;
/// The opcode of the answer to it.
pub const PONG: u8 = 10;

/// The most bytes that the payload of a control frame may have.
pub const MOST_CONTROL: usize = 125;
/// The most bytes of a head: two, a length of eight, a mask of four.
const MOST_HEAD: usize = 14;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// True for the last frame of a message.
    pub fin: bool,
    /// The bits that extensions give a meaning to; none is agreed on here.
    pub reserved: u8,
    /// Its kind.
    pub opcode: u8,
    /// The bytes that the payload is masked with, in turn.
    pub mask: Option<[u8; 4]>,
    /// The length of the payload.
    pub length: u64,
}

impl Head {
    /// True for a close, a ping or a pong, which may stand between the frames of a message.
    pub fn is_control(&self) -> bool {
        self.opcode & 0x8 != 0
    }
}

/// The answer is no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no frames of WebSocket")]
pub struct Malformed;

/// The beginning of what is left of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A part of a head that is not complete.
    Part,
    /// The end of a head.
    Head(Head),
    /// A part of a payload.
    Payload,
}

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub struct Reader {
    head: [u8; MOST_HEAD],
    /// The bytes of a head that have come.
    have: usize,
    /// The bytes of a payload that have yet to come.
    left: u64,
}

impl Reader {
    /// True when the latest frame has ended, and none has begun.
    pub fn is_between_frames(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Reads as far as the end of a head or of a payload; returns the number of bytes, and what they are. `bytes` must not be
    /// empty.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for a head that no frame has.
    pub fn next(&mut self, bytes: &[u8]) -> Result<(usize, Found), Malformed> {
        if self.left > 0 {
            let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= taken as u64;
            return Ok((taken, Found::Payload));
        }
        let mut taken = 0;
        loop {
            let missing = self.length_of_head() - self.have;
            if missing == 0 {
                break;
            }
            let piece = &bytes[taken..bytes.len().min(taken + missing)];
            if piece.is_empty() {
                return Ok((taken, Found::Part));
            }
            self.head[self.have..self.have + piece.len()].copy_from_slice(piece);
            self.have += piece.len();
            taken += piece.len();
        }
        self.have = 0;
        let head = self.read()?;
        self.left = head.length;
        Ok((taken, Found::Head(head)))
    }

    /// The length of the head, as far as its first bytes tell.
    fn length_of_head(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.head[1] & 0x80 == 0 { 0 } else { 4 }
    }

    /// Reads a head that is complete.
    fn read(&self) -> Result<Head, Malformed> {
        let [first, second, rest @ ..] = &self.head;
        let long = |bytes: usize| rest[..bytes].iter().fold(0, |length, &byte| length << 8 | u64::from(byte));
        let (length, behind) = match second & 0x7f {
            126 => (long(2), 2),
            127 => (long(8), 8),
            short => (u64::from(short), 0),
        };
        let mask = (second & 0x80 != 0).then(|| [0, 1, 2, 3].map(|at| rest[behind + at]));
        let head = Head { fin: first & 0x80 != 0, reserved: first & 0x70, opcode: first & 0xf, mask, length };
        let is_long = head.is_control() && (length > MOST_CONTROL as u64 || !head.fin);
        if is_long || length > i64::MAX as u64 { Err(Malformed) } else { Ok(head) }
    }
}

/// Masks bytes, or unmasks them, which is the same; `at` is the place of the first of them in the payload.
pub fn mask(bytes: &mut [u8], mask: [u8; 4], at: u64) {
    for (place, byte) in (at..).zip(bytes) {
        *byte ^= mask[(place % 4) as usize];
    }
}

/// Writes a frame behind `out`. What goes to a provider has a `key` to be masked with, what goes to a client has none.
pub fn write(out: &mut BytesMut, (fin, opcode): (bool, u8), payload: &[u8], key: Option<[u8; 4]>) {
    out.reserve(MOST_HEAD + payload.len());
    out.put_u8(if fin { 0x80 } else { 0 } | opcode);
    let masked = if key.is_some() { 0x80 } else { 0 };
    match payload.len() {
        short @ ..126 => out.put_u8(masked | short as u8),
        medium @ ..=0xffff => {
            out.put_u8(masked | 126);
            out.put_u16(medium as u16);
        }
        long => {
            out.put_u8(masked | 127);
            out.put_u64(long as u64);
        }
    }
    let Some(key) = key else { return out.put_slice(payload) };
    out.put_slice(&key);
    let begin = out.len();
    out.put_slice(payload);
    mask(&mut out[begin..], key, 0);
}

/// The payload of a close: a code, and a reason that is cut to what fits.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(MOST_CONTROL - 2)];
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All heads and the payload of each, read in these pieces.
    fn read<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Vec<(Head, Vec<u8>)> {
        let (mut reader, mut frames) = (Reader::default(), Vec::<(Head, Vec<u8>)>::new());
        for mut piece in pieces {
            while !piece.is_empty() {
                let (taken, found) = reader.next(piece).expect("well formed");
                match found {
                    Found::Part => assert!(!reader.is_between_frames()),
                    Found::Head(head) => frames.push((head, Vec::new())),
                    Found::Payload => frames.last_mut().expect("a head").1.extend_from_slice(&piece[..taken]),
                }
                piece = &piece[taken..];
            }
        }
        assert!(reader.is_between_frames());
        for (head, payload) in &mut frames {
            if let Some(key) = head.mask {
                mask(payload, key, 0);
            }
        }
        frames
    }

    fn samples() -> (BytesMut, Vec<(u8, Vec<u8>)>) {
        let mut out = BytesMut::new();
        let mut expected = Vec::new();
        for (number, length) in [0, 1, 125, 126, 127, 300, 65_535, 65_536].into_iter().enumerate() {
            let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let key = (number % 2 == 1).then_some([1, 2, 3, 254]);
            write(&mut out, (true, TEXT), &payload, key);
            write(&mut out, (true, PING), b"hm", key);
            expected.push((TEXT, payload));
            expected.push((PING, b"hm".to_vec()));
        }
        (out, expected)
    }

    #[test]
    fn frames_of_every_length_are_read_as_they_were_written() {
        let (bytes, expected) = samples();
        for size in [1, 2, 3, 7, 14, 1000, 1 << 20] {
            let frames = read(bytes.chunks(size));
            let frames: Vec<_> = frames.into_iter().map(|(head, payload)| (head.opcode, payload)).collect();
            assert_eq!(frames, expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_cut_at_any_place_makes_no_difference() {
        let mut bytes = BytesMut::new();
        write(&mut bytes, (false, TEXT), &[b'a'; 130], Some([9, 8, 7, 6]));
        write(&mut bytes, (true, PONG), b"p", Some([0, 0, 0, 1]));
        write(&mut bytes, (true, CONTINUATION), b"end", None);
        let whole = read([&bytes[..]].into_iter());
        assert_eq!(whole.len(), 3);
        for first in 0..bytes.len() {
            for second in [first, (first + 1).min(bytes.len()), (first + 5).min(bytes.len())] {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(read(pieces.into_iter()), whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn heads_that_no_frame_has_are_refused() {
        let huge = [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0];
        let long_ping = [0x89, 126, 0, 126];
        let part_of_a_ping = [0x09, 1];
        for bytes in [&huge[..], &long_ping, &part_of_a_ping] {
            assert_eq!(Reader::default().next(bytes), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let payload = close(1001, &"ä".repeat(100));
        assert_eq!(payload[..2], 1001_u16.to_be_bytes());
        let reason = std::str::from_utf8(&payload[2..]).expect("whole characters");
        assert_eq!(reason.chars().count(), 61);
    }
}
