//! The chunks of an answer that comes as a stream.

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr2_iter;

use super::completion::Usage;
use super::inner::{Begun, Failed, interrupted};
use super::object::Object;

/// A larger event is no chunk of a chat, and no more is kept of an answer that waits for its reader.
const MAX_UNREAD: usize = 8 << 20;

/// The chunks of an answer, as they come.
pub struct Chunks {
    /// `None` once it is at its end, or nobody wants more.
    begun: Option<Begun>,
    provider: String,
    unread: Unread,
    /// How it broke off: told after what came before.
    failed: Option<Failed>,
    /// The same, once it has been told.
    broken: Option<String>,
    /// What the latest chunk said of the tokens of the whole answer.
    usage: Option<Usage>,
}

impl Chunks {
    /// Those of an answer.
    pub fn new(begun: Begun) -> Self {
        Self { provider: begun.provider.clone(), begun: Some(begun), ..Self::none() }
    }

    /// None at all.
    pub fn none() -> Self {
        let (begun, provider, unread) = (None, String::new(), Unread::default());
        Self { begun, provider, unread, failed: None, broken: None, usage: None }
    }

    /// The provider that gives the answer.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Takes out what the answer has said of its tokens.
    pub fn take_usage(&mut self) -> Option<Usage> {
        self.usage.take()
    }

    /// Reads no further: the connection is closed.
    pub fn close(&mut self) {
        (self.begun, self.failed) = (None, None);
        self.unread = Unread::default();
    }

    /// The next chunk; `None` at the end of the answer.
    ///
    /// # Errors
    ///
    /// When the answer breaks off, which a stream says in an event; from then on each time.
    pub async fn next(&mut self) -> Result<Option<Object>, Failed> {
        loop {
            while let Some(event) = self.unread.event() {
                let Some(chunk) = data_of(&event).and_then(|data| serde_json::from_str::<Object>(&data).ok()) else {
                    continue;
                };
                if chunk.has("error") && !chunk.has("choices") {
                    let said: serde_json::Value = chunk.get("error").unwrap_or_default();
                    let how = said["message"].as_str().or(said.as_str()).unwrap_or("without a reason");
                    let how = format!("broke off its answer: {}", how.chars().take(300).collect::<String>());
                    self.close();
                    self.failed = Some(interrupted(&self.provider, &how));
                    break;
                }
                if let Some(usage) = chunk.get("usage") {
                    // Some say it in every chunk, of all that came so far.
                    self.usage = Some(usage);
                }
                return Ok(Some(chunk));
            }
            if let Some(failed) = self.failed.take() {
                self.broken = Some(failed.message.clone());
                return Err(failed);
            }
            if self.begun.is_none() {
                return match &self.broken {
                    None => Ok(None),
                    Some(_) => Err(interrupted(&self.provider, "broke off its answer before")),
                };
            }
            self.read().await;
        }
    }

    /// Reads on though nobody wants the chunks yet, so that the slot of the answer comes free. Can be dropped at any time.
    pub async fn fill(&mut self) {
        while self.begun.is_some() {
            self.read().await;
        }
    }

    /// Reads a piece.
    async fn read(&mut self) {
        let Some(begun) = &mut self.begun else { return };
        match begun.next().await {
            Ok(Some(piece)) if self.unread.bytes.len() + piece.len() > MAX_UNREAD => {
                self.failed = Some(begun.broken("sent more than is kept of an answer"));
                self.begun = None;
            }
            Ok(Some(piece)) => self.unread.bytes.extend_from_slice(&piece),
            Ok(None) => {
                self.begun = None;
                if !self.unread.bytes.is_empty() {
                    self.unread.bytes.extend_from_slice(b"\n\n");
                }
            }
            Err(failed) => (self.begun, self.failed) = (None, Some(failed)),
        }
    }
}

/// Bytes of a stream, up to the event that has not come whole yet.
#[derive(Debug, Default)]
struct Unread {
    bytes: BytesMut,
    /// So many of them hold no end of an event.
    searched: usize,
}

impl Unread {
    /// Takes a whole event out: all up to an empty line.
    fn event(&mut self) -> Option<Bytes> {
        let bytes = &self.bytes[..];
        for at in memchr2_iter(b'\n', b'\r', &bytes[self.searched..]).map(|at| at + self.searched) {
            let after = match &bytes[at..] {
                [b'\r', b'\n', ..] => at + 2,
                // The line feed of this carriage return may be on its way.
                [b'\r'] => break,
                _ => at + 1,
            };
            let end = match &bytes[after..] {
                [b'\r', b'\n', ..] => after + 2,
                [b'\r' | b'\n', ..] => after + 1,
                _ => continue,
            };
            let event = self.bytes.split_to(after).freeze();
            self.bytes.advance(end - after);
            self.searched = 0;
            return Some(event);
        }
        // The beginning of an end may be there.
        self.searched = self.bytes.len().saturating_sub(3);
        None
    }
}

/// The data of an event, its lines joined.
fn data_of(event: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(event).ok()?;
    let lines = text.split(['\n', '\r']).filter_map(|line| line.strip_prefix("data:"));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_end_at_an_empty_line_in_whatever_pieces_they_come() {
        for (text, events) in [
            ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
            ("data: a\r\n\r\ndata:b\r\n\r\n", vec!["a", "b"]),
            ("data: a\r\rdata: b\r\r\n", vec!["a", "b"]),
            (": sign\ndata: a\n\n\n\n: only a sign\n\nevent: x\ndata: b\ndata: c\n\nrest", vec!["a", "b\nc"]),
            ("data: {\"x\":\"\\n\\n\"}\n\n", vec!["{\"x\":\"\\n\\n\"}"]),
        ] {
            for size in 1..=text.len() {
                let mut unread = Unread::default();
                let mut found = Vec::new();
                for piece in text.as_bytes().chunks(size) {
                    unread.bytes.extend_from_slice(piece);
                    while let Some(event) = unread.event() {
                        found.extend(data_of(&event));
                    }
                }
                assert_eq!(found, events, "{text:?} in pieces of {size}");
            }
        }
    }
}
