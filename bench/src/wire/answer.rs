//! Reads and checks one answer.

use anyhow::{Context as _, bail, ensure};
use httparse::{EMPTY_HEADER, Response, Status};

use super::ORIGIN;
use super::chunks::Chunks;
use super::script::{Reading, Script};

/// The data in the head of an answer.
#[derive(Debug)]
pub struct Head {
    /// Its own bytes.
    pub length: usize,
    /// Which of the mock's providers has answered: 0 or 1; `None` where a proxy does not pass on what says so.
    pub provider: Option<usize>,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    Length(usize),
    Chunks(Chunks),
}

impl Head {
    /// Reads a head; `None` when more of it must come.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let mut headers = [EMPTY_HEADER; 48];
        let mut response = Response::new(&mut headers);
        let Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
        if response.code != Some(200) {
            bail!("the answer was: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(1000)]));
        }
        let (mut framing, mut provider) = (None, None);
        for header in response.headers.iter() {
            let value = || std::str::from_utf8(header.value);
            if header.name.eq_ignore_ascii_case("content-length") {
                framing = Some(Framing::Length(value()?.parse()?));
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                ensure!(value()?.eq_ignore_ascii_case("chunked"), "transfer-encoding: {}", value()?);
                framing = Some(Framing::Chunks(Chunks::default()));
            } else if header.name.eq_ignore_ascii_case(ORIGIN) {
                provider = Some(usize::from(header.value != b"a"));
            }
        }
        Ok(Some(Self { length, provider, framing: framing.context("the answer has neither a length nor chunks")? }))
    }
}

/// The body of an answer as it comes in.
#[derive(Debug)]
pub struct Body {
    framing: Framing,
    /// `None` when it is not compared.
    reading: Option<Reading>,
}

impl Body {
    /// The body after `head`, which must be as `script` has it, if there is one.
    ///
    /// # Errors
    ///
    /// Nobody says who has answered, although the body is compared, and so is to be passed on as it is.
    pub fn new(head: Head, script: Option<Script>) -> anyhow::Result<Self> {
        ensure!(head.provider.is_some() || script.is_none(), "the answer has no {ORIGIN}");
        Ok(Self { framing: head.framing, reading: script.map(Reading::new) })
    }

    /// Reads the next bytes, and says how many repeated pieces they have completed.
    pub fn feed(&mut self, bytes: &[u8]) -> anyhow::Result<u32> {
        let mut read = |data: &[u8]| match &mut self.reading {
            Some(reading) => Ok(reading.feed(data)?),
            None => anyhow::Ok(0),
        };
        match &mut self.framing {
            Framing::Length(left) => {
                ensure!(bytes.len() <= *left, "{} bytes more than the length says", bytes.len() - *left);
                *left -= bytes.len();
                read(bytes)
            }
            Framing::Chunks(chunks) => {
                let mut pieces = 0;
                chunks.feed(bytes, |data| {
                    pieces += read(data)?;
                    Ok(())
                })?;
                Ok(pieces)
            }
        }
    }

    /// True when the body has ended; an error when it ended too early.
    pub fn ended(&self) -> anyhow::Result<bool> {
        let ended = match &self.framing {
            Framing::Length(left) => *left == 0,
            Framing::Chunks(chunks) => chunks.ended(),
        };
        if let Some(reading) = self.reading.as_ref().filter(|_| ended) {
            reading.end()?;
        }
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: Script = Script { repeated: b"tick ", times: 1, last: b"done" };

    fn read(answer: &str) -> anyhow::Result<bool> {
        let head = Head::parse(answer.as_bytes())?.context("half a head")?;
        let rest = &answer.as_bytes()[head.length..];
        let mut body = Body::new(head, Some(SCRIPT))?;
        body.feed(rest)?;
        body.ended()
    }

    #[test]
    fn a_right_answer_is_found_right() {
        assert!(read("HTTP/1.1 200 OK\r\ncontent-length: 9\r\nx-bench-provider: b\r\n\r\ntick done").unwrap());
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Bench-Provider: a\r\n\r\n";
        assert!(read(&format!("{chunked}9\r\ntick done\r\n0\r\n\r\n")).unwrap());
        assert!(!read(&format!("{chunked}9\r\ntick done\r\n")).unwrap(), "not ended yet");
    }

    #[test]
    fn other_answers_say_what_was_seen() {
        let said = |answer: &str| format!("{:#}", read(answer).unwrap_err());
        let refused = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\noops";
        assert!(said(refused).contains("oops"));
        let short = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-bench-provider: a\r\n\r\ntick ";
        assert!(said(short).contains("\"done\" was expected"), "{}", said(short));
        assert!(said("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").contains("x-bench-provider"));
        assert!(said("HTTP/1.1 200 OK\r\nx-bench-provider: a\r\n\r\n").contains("neither"));
    }
}
