//! Compares a body byte for byte with its expected content as it comes in.

use std::fmt;

/// A body: one piece a number of times, then another.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// The piece.
    pub repeated: &'static [u8],
    /// The number of repetitions.
    pub times: u32,
    /// The end of the body.
    pub last: &'static [u8],
}

/// The difference of a body from its script.
#[derive(Debug, PartialEq, Eq)]
pub struct Differs {
    at: usize,
    expected: String,
    found: String,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, expected, found } = self;
        write!(f, "at byte {at} of the body {expected:?} was expected, and {found:?} came")
    }
}

impl std::error::Error for Differs {}

/// The progress of a body.
#[derive(Debug)]
pub struct Reading {
    script: Script,
    /// Whole pieces so far.
    pieces: u32,
    /// Bytes of the current piece so far.
    inside: usize,
}

impl Reading {
    /// At the beginning.
    pub fn new(script: Script) -> Self {
        Self { script, pieces: 0, inside: 0 }
    }

    /// Compares the next bytes, and says how many of the repeated pieces they have completed.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<u32, Differs> {
        let before = self.pieces;
        while !bytes.is_empty() {
            let due = self.due();
            let length = due.len().min(bytes.len());
            if length == 0 || due[..length] != bytes[..length] {
                return Err(self.differs(bytes));
            }
            bytes = &bytes[length..];
            self.inside += length;
            if self.pieces < self.script.times && self.inside == self.script.repeated.len() {
                (self.pieces, self.inside) = (self.pieces + 1, 0);
            }
        }
        Ok(self.pieces - before)
    }

    /// To be called at the end of the body: whether all of it has come.
    pub fn end(&self) -> Result<(), Differs> {
        if self.due().is_empty() { Ok(()) } else { Err(self.differs(b"")) }
    }

    /// The rest of the current piece.
    fn due(&self) -> &'static [u8] {
        let piece = if self.pieces < self.script.times { self.script.repeated } else { self.script.last };
        &piece[self.inside..]
    }

    fn differs(&self, found: &[u8]) -> Differs {
        let shown = |bytes: &[u8]| match bytes {
            b"" => "the end".to_owned(),
            bytes => String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned(),
        };
        let at = self.pieces as usize * self.script.repeated.len() + self.inside;
        Differs { at, expected: shown(self.due()), found: shown(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: Script = Script { repeated: b"tick ", times: 2, last: b"done" };

    fn read(pieces: &[&[u8]]) -> Result<u32, Differs> {
        let mut reading = Reading::new(SCRIPT);
        let mut events = 0;
        for piece in pieces {
            events += reading.feed(piece)?;
        }
        reading.end().map(|()| events)
    }

    #[test]
    fn a_whole_body_passes_however_it_is_cut() {
        assert_eq!(read(&[b"tick tick done"]), Ok(2));
        assert_eq!(read(&[b"ti", b"ck t", b"", b"ick do", b"ne"]), Ok(2));
    }

    #[test]
    fn a_body_without_its_end_does_not_pass() {
        assert_eq!(read(&[b"tick tick do"]).unwrap_err().at, 12);
        assert_eq!(read(&[b"tick tick "]).unwrap_err().found, "the end");
    }

    #[test]
    fn a_wrong_byte_and_a_byte_too_many_are_found() {
        assert_eq!(read(&[b"tick tock done"]).unwrap_err().at, 5);
        assert_eq!(read(&[b"tick tick done", b"!"]).unwrap_err().expected, "the end");
        assert_eq!(read(&[b"tick done"]).unwrap_err().at, 5);
    }
}
