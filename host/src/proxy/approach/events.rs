//! The chunks of an answer that comes as a stream.

use bytes::{Buf as _, BytesMut};
use memchr::memmem;

use super::inner::{Begun, Failed};
use super::object::Object;

/// A larger event is no chunk of a chat.
const MAX_EVENT: usize = 8 << 20;

/// The chunks of an answer, as they come.
pub struct Chunks {
    /// `None` once it is at its end, or nobody wants more.
    begun: Option<Begun>,
    provider: String,
    unread: BytesMut,
}

impl Chunks {
    /// Those of an answer.
    pub fn new(begun: Begun) -> Self {
        Self { provider: begun.provider.clone(), begun: Some(begun), unread: BytesMut::new() }
    }

    /// None at all.
    pub fn none() -> Self {
        Self { begun: None, provider: String::new(), unread: BytesMut::new() }
    }

    /// The provider that gives the answer.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Reads no further: the connection is closed.
    pub fn close(&mut self) {
        self.begun = None;
        self.unread = BytesMut::new();
    }

    /// The next chunk; `None` at the end of the answer.
    ///
    /// # Errors
    ///
    /// When the answer breaks off, which a stream says in an event.
    pub async fn next(&mut self) -> Result<Option<Object>, Failed> {
        loop {
            while let Some(event) = self.event() {
                let Some(data) = data_of(&event) else { continue };
                if data == "[DONE]" {
                    continue;
                }
                let Ok(chunk) = serde_json::from_str::<Object>(&data) else { continue };
                if chunk.has("error") && !chunk.has("choices") {
                    let said: serde_json::Value = chunk.get("error").unwrap_or_default();
                    let how = said["message"].as_str().unwrap_or("broke off").chars().take(300).collect::<String>();
                    let failed = self.begun.as_ref().map(|begun| begun.broken(&format!("broke off its answer: {how}")));
                    self.close();
                    if let Some(failed) = failed {
                        return Err(failed);
                    }
                    return Ok(None);
                }
                return Ok(Some(chunk));
            }
            let Some(begun) = &mut self.begun else { return Ok(None) };
            match begun.next().await? {
                Some(piece) if self.unread.len() + piece.len() > MAX_EVENT => {
                    return Err(begun.broken("sent an event that is too large"));
                }
                Some(piece) => self.unread.extend_from_slice(&piece),
                None => {
                    self.begun = None;
                    if !self.unread.is_empty() {
                        self.unread.extend_from_slice(b"\n\n");
                    }
                }
            }
        }
    }

    /// Takes a whole event out of what has come.
    fn event(&mut self) -> Option<Vec<u8>> {
        let ends = [b"\n\n".as_slice(), b"\r\n\r\n", b"\r\r"];
        let end = ends.iter().filter_map(|end| Some((memmem::find(&self.unread, end)?, end.len()))).min()?;
        let event = self.unread[..end.0].to_vec();
        self.unread.advance(end.0 + end.1);
        Some(event)
    }
}

/// The data of an event, its lines joined.
fn data_of(event: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(event).ok()?;
    let lines = text.split(['\n', '\r']).filter_map(|line| line.strip_prefix("data:"));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
