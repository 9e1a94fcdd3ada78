//! The head of an answer, read where it lies.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::StatusCode;

use super::MAX_FIELDS;
use super::fields::{Fields, Found};
use super::framing::{Framing, Version};

/// The largest head of an answer.
pub const MAX_HEAD: usize = 256 << 10;

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: Fields,
    /// The end of its body.
    pub framing: Framing,
    /// True when the connection can carry another request after it.
    pub keeps_alive: bool,
}

/// The bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Takes the head of an answer from the beginning of `buffer`; `None` while it is not complete. An answer to `HEAD` has no body.
///
/// # Errors
///
/// [`Malformed`]: nothing that follows can be read either.
pub fn take(buffer: &mut BytesMut, to_head: bool) -> Result<Option<Head>, Malformed> {
    let mut room: [MaybeUninit<httparse::Header<'_>>; MAX_FIELDS] = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut read = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut read, buffer, &mut room) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD => return Ok(None),
        Ok(_) | Err(_) => return Err(Malformed),
    };
    let (Some(code), Some(minor)) = (read.code, read.version) else { return Err(Malformed) };
    let status = StatusCode::from_u16(code).map_err(|_invalid| Malformed)?;
    let version = if minor == 1 { Version::Http11 } else { Version::Http10 };
    let found = Found::of(buffer, read.headers);
    let judge = found.judge;
    let headers = found.within(buffer.split_to(length));
    let said = judge.framing(version).map_err(|_unclear| Malformed)?;
    // Neither has a body, whatever its fields say (RFC 9112, 6.3).
    let bodiless = to_head || status.is_informational() || matches!(code, 204 | 304);
    let framing = if bodiless { Framing::Empty } else { said.unwrap_or(Framing::Close) };
    let keeps_alive = framing != Framing::Close && judge.keeps_alive(version);
    Ok(Some(Head { status, headers, framing, keeps_alive }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, to_head: bool) -> Result<Option<(u16, Framing, bool)>, Malformed> {
        let taken = take(&mut BytesMut::from(text), to_head)?;
        Ok(taken.map(|head| (head.status.as_u16(), head.framing, head.keeps_alive)))
    }

    #[test]
    fn the_end_of_a_body_follows_from_its_head() {
        for (text, to_head, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false, (200, Framing::Length(2), true)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false, (200, Framing::Empty, true)),
            ("HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n", false, (200, Framing::Chunked, true)),
            ("HTTP/1.1 200 \r\nconnection: close\r\n\r\n", false, (200, Framing::Close, false)),
            ("HTTP/1.1 200 OK\r\n\r\n", false, (200, Framing::Close, false)),
            ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n", false, (200, Framing::Length(2), false)),
            (
                "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\n",
                false,
                (200, Framing::Length(2), true),
            ),
            ("HTTP/1.1 204 No\r\n\r\n", false, (204, Framing::Empty, true)),
            ("HTTP/1.1 304 No\r\ncontent-length: 7\r\n\r\n", false, (304, Framing::Empty, true)),
            ("HTTP/1.1 103 Hints\r\n\r\n", false, (103, Framing::Empty, true)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", true, (200, Framing::Empty, true)),
            ("HTTP/1.1 200 OK\ncontent-length: 7\n\n", false, (200, Framing::Length(7), true)),
        ] {
            assert_eq!(read(text, to_head), Ok(Some(expected)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_answer_or_could_be_two_is_refused() {
        let flood = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(MAX_HEAD));
        for text in [
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "ok",
            "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            &flood,
        ] {
            assert_eq!(read(text, false), Err(Malformed), "{text:?}");
        }
    }
}
