//! The frames that a client sends with HTTP/2, as far as it must be known whether a block of headers is open: pure state, no
//! sockets.
//!
//! The HTTP library reads the frames as well, but tells of a head only when it is complete.

/// The connection preface (RFC 9113, 3.4).
const PREFACE: usize = 24;
/// The head of a frame (RFC 9113, 4.1).
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
/// Of HEADERS and CONTINUATION: the block is complete with this frame.
const END_HEADERS: u8 = 4;

/// The place in a client's stream of frames.
#[derive(Debug)]
pub struct Frames {
    /// Bytes of the preface that have not come.
    preface: usize,
    /// True once the client's first frame has come, which must be SETTINGS.
    began: bool,
    head: [u8; HEAD],
    /// Bytes of `head` that have come.
    have: usize,
    /// Bytes of the frame's payload that have not come.
    left: usize,
    /// True when the frame is a part of a block of headers.
    is_block: bool,
    /// True when the block is complete with this frame.
    ends: bool,
    /// True between two frames of one block.
    between: bool,
}

impl Frames {
    /// A connection of which nothing has come.
    pub fn new() -> Self {
        Self {
            preface: PREFACE,
            began: false,
            head: [0; HEAD],
            have: 0,
            left: 0,
            is_block: false,
            ends: false,
            between: false,
        }
    }

    /// Bytes have come.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        let skip = |count: &mut usize, bytes: &mut &[u8]| {
            let step = (*count).min(bytes.len());
            *count -= step;
            *bytes = bytes.get(step..).unwrap_or_default();
        };
        while !bytes.is_empty() {
            if self.preface > 0 {
                skip(&mut self.preface, &mut bytes);
                continue;
            }
            if self.left > 0 {
                skip(&mut self.left, &mut bytes);
            } else if let Some((byte, rest)) = bytes.split_first() {
                if let Some(place) = self.head.get_mut(self.have) {
                    *place = *byte;
                }
                self.have += 1;
                bytes = rest;
                if self.have < HEAD {
                    continue;
                }
                let [high, middle, low, kind, flags, ..] = self.head;
                self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.is_block = matches!(kind, HEADERS | CONTINUATION);
                self.ends = flags & END_HEADERS != 0;
                self.began |= kind == SETTINGS;
                self.have = 0;
            }
            if self.left == 0 {
                self.between = self.is_block && !self.ends;
                self.is_block = false;
            }
        }
    }

    /// True while the preface, the first settings or a block of headers has begun and is not complete.
    pub fn are_in_head(&self) -> bool {
        !self.began || self.is_block || self.between
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    /// The answers after each byte, one for each change.
    fn changes(bytes: &[u8]) -> Vec<(usize, bool)> {
        let mut frames = Frames::new();
        let mut seen = vec![(0, frames.are_in_head())];
        for (at, byte) in bytes.iter().enumerate() {
            frames.feed(&[*byte]);
            if seen.last().is_some_and(|(_, last)| *last != frames.are_in_head()) {
                seen.push((at + 1, frames.are_in_head()));
            }
        }
        let mut whole = Frames::new();
        whole.feed(bytes);
        assert_eq!(whole.are_in_head(), frames.are_in_head());
        seen
    }

    #[test]
    fn a_block_is_open_from_its_first_frame_to_the_end_of_its_last() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, &[]));
        assert_eq!(changes(&bytes), [(0, true), (33, false)]);
        bytes.extend(frame(6, 0, &[0; 8]));
        bytes.extend(frame(HEADERS, 0, b"abc"));
        bytes.extend(frame(CONTINUATION, 0, b""));
        bytes.extend(frame(CONTINUATION, END_HEADERS, b"de"));
        bytes.extend(frame(0, 1, b"body"));
        let from = 33 + 17 + 9;
        assert_eq!(changes(&bytes), [(0, true), (33, false), (from, true), (from + 3 + 9 + 11, false)]);
        assert_eq!(changes(b"PRI * HTTP/2.0"), [(0, true)]);
    }
}
