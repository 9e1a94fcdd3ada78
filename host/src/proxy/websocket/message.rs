//! Messages of WebSocket, put together from the frames of one direction as far as somebody wants to look at them.

use super::frame::{BINARY, CLOSE, Found, Head, MOST_CONTROL, Malformed, PING, PONG, Reader, TEXT, mask};

/// The memory that is kept for the next message.
const KEPT: usize = 64 << 10;

/// The bytes of a message from which on its memory counts among that of all bodies.
const LARGE: usize = 256 << 10;

/// The messages that end with some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing yet.
    Nothing,
    /// A message of text, which [`Messages::kept`] has.
    Text,
    /// Another message of data.
    Binary,
    /// A message goes on that has as many bytes as may be kept. The reader takes them now, or they are dropped.
    Full,
    /// A close with this code, if it has one.
    Close(Option<u16>),
    /// A ping.
    Ping,
    /// A pong.
    Pong,
}

/// Follows the messages of one direction.
#[derive(Debug)]
pub struct Messages {
    reader: Reader,
    /// The frame that has begun.
    frame: Option<(Head, u64)>,
    /// The opcode of the message that has begun.
    message: Option<u8>,
    /// That of the latest message, which may have ended.
    opcode: u8,
    /// True when some of the message was not kept, or cannot be read.
    is_partial: bool,
    /// True when the message was full before.
    is_spilled: bool,
    kept: Vec<u8>,
    /// The payload of the latest control frame.
    control: Vec<u8>,
    /// The most bytes of a message that are kept.
    most: usize,
    /// The number of messages of data that have ended.
    pub count: u64,
}

impl Messages {
    /// Keeps up to so many bytes of each message.
    pub fn keeping(most: usize) -> Self {
        Self {
            reader: Reader::default(),
            frame: None,
            message: None,
            opcode: TEXT,
            is_partial: false,
            is_spilled: false,
            kept: Vec::new(),
            control: Vec::new(),
            most,
            count: 0,
        }
    }

    /// True when a frame may be put in here.
    pub fn is_between_frames(&self) -> bool {
        self.reader.is_between_frames()
    }

    /// True when a message may be put in here.
    pub fn is_between_messages(&self) -> bool {
        self.message.is_none() && self.reader.is_between_frames()
    }

    /// The message that has ended, or is full, without what was taken of it before.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// True when so much of a message is kept that memory for all of it has to be there.
    pub fn is_large(&self) -> bool {
        self.kept.len() > LARGE
    }

    /// The most bytes of a message that are kept.
    pub fn most(&self) -> usize {
        self.most
    }

    /// True when the latest message is more than [`Messages::kept`].
    pub fn is_partial(&self) -> bool {
        self.is_partial || self.is_spilled
    }

    /// True when parts of the latest message have been [`Event::Full`].
    pub fn is_spilled(&self) -> bool {
        self.is_spilled
    }

    /// The opcode of the message that is full, or of the latest one.
    pub fn opcode(&self) -> u8 {
        self.opcode
    }

    /// The payload of the latest control frame.
    pub fn control(&self) -> &[u8] {
        &self.control
    }

    /// Reads up to the end of something; returns the number of bytes, and what has ended. `bytes` must not be empty.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for bytes that are no frames.
    pub fn next(&mut self, bytes: &[u8]) -> Result<(usize, Event), Malformed> {
        if self.message.is_none() && self.frame.is_none() {
            self.forget();
        }
        if self.kept.len() >= self.most {
            // It was full, and goes on.
            self.kept.clear();
        }
        // A head that comes alone ends nothing unless its payload is empty.
        match self.frame {
            None => {
                let (taken, found) = self.reader.next(bytes)?;
                if let Found::Head(head) = found {
                    self.begin(head)?;
                    if head.length == 0 {
                        return Ok((taken, self.end(head)));
                    }
                }
                Ok((taken, Event::Nothing))
            }
            Some((head, at)) => {
                // No more than fits, so that what is full is never more than may be kept.
                let room = if head.is_control() { MOST_CONTROL } else { self.most - self.kept.len() };
                let (taken, _) = self.reader.next(&bytes[..bytes.len().min(room)])?;
                self.keep(&head, at, &bytes[..taken]);
                self.frame = Some((head, at + taken as u64));
                if self.reader.is_between_frames() {
                    Ok((taken, self.end(head)))
                } else if !head.is_control() && self.kept.len() >= self.most {
                    self.is_spilled = true;
                    Ok((taken, Event::Full))
                } else {
                    Ok((taken, Event::Nothing))
                }
            }
        }
    }

    fn begin(&mut self, head: Head) -> Result<(), Malformed> {
        self.frame = Some((head, 0));
        if head.is_control() {
            self.control.clear();
            return Ok(());
        }
        match (self.message, head.opcode) {
            (None, TEXT | BINARY) => {
                self.message = Some(head.opcode);
                self.opcode = head.opcode;
            }
            (Some(_), 0) => {}
            _ => return Err(Malformed),
        }
        // Compressed, by an extension that nobody has agreed to.
        self.is_partial |= head.reserved != 0;
        Ok(())
    }

    fn keep(&mut self, head: &Head, at: u64, bytes: &[u8]) {
        let into = if head.is_control() { &mut self.control } else { &mut self.kept };
        let begin = into.len();
        into.extend_from_slice(bytes);
        if let Some(key) = head.mask {
            mask(&mut into[begin..], key, at);
        }
    }

    /// The end of a frame.
    fn end(&mut self, head: Head) -> Event {
        self.frame = None;
        match head.opcode {
            CLOSE => {
                let code = self.control.first_chunk().map(|code| u16::from_be_bytes(*code));
                return Event::Close(code);
            }
            PING => return Event::Ping,
            PONG => return Event::Pong,
            _ if head.is_control() => return Event::Nothing,
            _ if head.fin => {}
            _ if self.kept.len() >= self.most => {
                self.is_spilled = true;
                return Event::Full;
            }
            _ => return Event::Nothing,
        }
        self.count += 1;
        match self.message.take() {
            Some(TEXT) => Event::Text,
            _ => Event::Binary,
        }
    }

    /// Forgets the message that has ended.
    fn forget(&mut self) {
        (self.is_partial, self.is_spilled) = (false, false);
        self.kept.clear();
        self.kept.shrink_to(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::frame::{self, CONTINUATION};
    use super::*;

    /// The messages that ended, with the text of each, when the bytes come in these pieces.
    fn read(messages: &mut Messages, pieces: &[&[u8]]) -> Vec<(Event, String)> {
        let mut events = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (taken, event) = messages.next(rest).expect("well formed");
                rest = &rest[taken..];
                let text = match event {
                    Event::Nothing => continue,
                    Event::Text | Event::Binary | Event::Full => messages.kept(),
                    Event::Close(_) | Event::Ping | Event::Pong => messages.control(),
                };
                events.push((event, String::from_utf8_lossy(text).into_owned()));
            }
        }
        events
    }

    fn fragmented() -> BytesMut {
        let mut bytes = BytesMut::new();
        let key = Some([3, 1, 4, 1]);
        frame::write(&mut bytes, (false, TEXT), b"one ", key);
        frame::write(&mut bytes, (true, PING), b"there?", key);
        frame::write(&mut bytes, (false, CONTINUATION), b"", key);
        frame::write(&mut bytes, (true, PONG), b"", key);
        frame::write(&mut bytes, (true, CONTINUATION), b"two", key);
        frame::write(&mut bytes, (true, BINARY), b"\x01", key);
        frame::write(&mut bytes, (true, CLOSE), &frame::close(1000, "done"), key);
        bytes
    }

    #[test]
    fn a_message_in_fragments_with_control_frames_between_is_one_wherever_it_is_cut() {
        let bytes = fragmented();
        let expected = [
            (Event::Ping, "there?"),
            (Event::Pong, ""),
            (Event::Text, "one two"),
            (Event::Binary, "\x01"),
            (Event::Close(Some(1000)), "\u{3}\u{fffd}done"),
        ];
        for cut in 0..=bytes.len() {
            let events = read(&mut Messages::keeping(100), &[&bytes[..cut], &bytes[cut..]]);
            let events: Vec<_> = events.iter().map(|(event, text)| (*event, text.as_str())).collect();
            assert_eq!(events[..4], expected[..4], "cut at {cut}");
            assert_eq!(events[4].0, expected[4].0, "cut at {cut}");
        }
    }

    #[test]
    fn a_message_that_is_too_large_comes_in_parts_and_the_next_is_whole_again() {
        let mut bytes = BytesMut::new();
        frame::write(&mut bytes, (false, TEXT), b"abcdefg", None);
        frame::write(&mut bytes, (false, CONTINUATION), b"hij", None);
        frame::write(&mut bytes, (true, CONTINUATION), b"klm", Some([1, 2, 3, 4]));
        frame::write(&mut bytes, (true, TEXT), b"whole", None);
        for cut in 0..=bytes.len() {
            let mut messages = Messages::keeping(5);
            let events = read(&mut messages, &[&bytes[..cut], &bytes[cut..]]);
            let parts: String = events[..events.len() - 1].iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(parts, "abcdefghijklm", "cut at {cut}: {events:?}");
            assert_eq!(events.last(), Some(&(Event::Text, "whole".to_owned())));
            assert!(!messages.is_partial() && messages.is_between_messages() && messages.count == 2);
        }
    }

    #[test]
    fn frames_out_of_order_are_no_messages() {
        let mut alone = BytesMut::new();
        frame::write(&mut alone, (true, CONTINUATION), b"x", None);
        assert_eq!(Messages::keeping(9).next(&alone), Err(Malformed));
        let mut twice = BytesMut::new();
        frame::write(&mut twice, (false, TEXT), b"x", None);
        frame::write(&mut twice, (true, TEXT), b"y", None);
        let mut messages = Messages::keeping(9);
        let first = read(&mut messages, &[&twice[..3]]);
        assert!(first.is_empty() && !messages.is_between_messages() && messages.is_between_frames());
        assert_eq!(messages.next(&twice[3..]), Err(Malformed));
    }

    #[test]
    fn what_is_compressed_counts_as_not_read() {
        let mut bytes = BytesMut::new();
        frame::write(&mut bytes, (true, TEXT | 0x40), b"x", None);
        let mut messages = Messages::keeping(9);
        assert_eq!(read(&mut messages, &[&bytes]).len(), 1);
        assert!(messages.is_partial());
    }
}
