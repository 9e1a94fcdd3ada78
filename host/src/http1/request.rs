//! The head of a request, read where it lies.

use std::mem::MaybeUninit;

use bytes::{Buf as _, BytesMut};
use http::{Method, Uri};

use super::MAX_FIELDS;
use super::fields::{Fields, Found, place};
use super::framing::{Framing, Version};

/// The head of a request.
#[derive(Debug)]
pub struct Head {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its headers.
    pub headers: Fields,
    /// The end of its body.
    pub framing: Framing,
    /// Its version.
    pub version: Version,
    /// True when the client may send another request after this one.
    pub keeps_alive: bool,
    /// True when the client waits to be told to send the body.
    pub expects_continue: bool,
}

/// The reason why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not HTTP/1.1, or says two things about the end of its body.
    Malformed,
    /// It has too many bytes or fields.
    TooLarge,
    /// Its target is too long.
    UrlTooLong,
}

/// The longest target, which is that of the library whose type it becomes.
const MAX_TARGET: usize = (u16::MAX - 1) as usize;

/// Takes the head of a request, of at most `max` bytes, from the beginning of `buffer`; `None` while it is not complete.
///
/// # Errors
///
/// [`Refusal`]: nothing that follows can be read either.
pub fn take(buffer: &mut BytesMut, max: usize) -> Result<Option<Head>, Refusal> {
    // Old clients send a line end too many after a body (RFC 9112, 2.2).
    while let Some(blank) = [&b"\r\n"[..], b"\n"].into_iter().find(|blank| buffer.starts_with(blank)) {
        buffer.advance(blank.len());
    }
    let mut room: [MaybeUninit<httparse::Header<'_>>; MAX_FIELDS] = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut read = httparse::Request::new(&mut []);
    let length = match read.parse_with_uninit_headers(buffer, &mut room) {
        Ok(httparse::Status::Complete(length)) if length <= max => length,
        Ok(httparse::Status::Partial) if buffer.len() < max => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (Some(method), Some(target), Some(minor)) = (read.method, read.path, read.version) else {
        return Err(Refusal::Malformed);
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_invalid| Refusal::Malformed)?;
    let version = if minor == 1 { Version::Http11 } else { Version::Http10 };
    let too_long = target.len() > MAX_TARGET;
    let (target, found) = (place(buffer, target.as_bytes()), Found::of(buffer, read.headers));
    let judge = found.judge;
    let headers = found.within(buffer.split_to(length));
    if too_long {
        return Err(Refusal::UrlTooLong);
    }
    let uri = Uri::from_maybe_shared(headers.share(target)).map_err(|_invalid| Refusal::Malformed)?;
    if !is_target(&uri, &method) {
        return Err(Refusal::Malformed);
    }
    let framing = judge.framing(version).map_err(|_unclear| Refusal::Malformed)?.unwrap_or(Framing::Empty);
    let expects = headers.get(http::header::EXPECT);
    let expects_continue =
        version == Version::Http11 && expects.is_some_and(|wanted| wanted.eq_ignore_ascii_case(b"100-continue"));
    let keeps_alive = judge.keeps_alive(version);
    Ok(Some(Head { method, uri, headers, framing, version, keeps_alive, expects_continue }))
}

/// True for a target of one of the four forms (RFC 9112, 3.2): a path, a URL, the authority of a CONNECT, an asterisk.
fn is_target(uri: &Uri, method: &Method) -> bool {
    match (uri.scheme(), uri.authority()) {
        (None, Some(_)) => method == Method::CONNECT,
        (None, None) => uri.path().starts_with('/') || uri.path() == "*",
        (Some(_), _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, Refusal> {
        take(&mut BytesMut::from(text), 1 << 16)
    }

    #[test]
    fn a_head_is_taken_from_the_buffer_when_it_is_complete_and_no_more() {
        let head = "POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX-A:  b \r\n\r\n";
        let text = format!("\r\n{head}abcGET");
        for length in 0..head.len() + 1 {
            assert!(read(&text[..length]).expect("well-formed so far").is_none(), "{length}");
        }
        let mut buffer = BytesMut::from(text.as_str());
        let taken = take(&mut buffer, 1 << 16).expect("well-formed").expect("complete");
        assert_eq!(&buffer[..], b"abcGET");
        assert_eq!((taken.framing, taken.keeps_alive, taken.expects_continue), (Framing::Length(3), true, false));
        assert_eq!((taken.method, taken.uri.query()), (Method::POST, Some("a=b")));
        assert_eq!(taken.headers.text("x-a"), Some("b"));
    }

    #[test]
    fn what_is_no_request_or_could_be_two_is_refused() {
        for (text, refusal) in [
            ("GET /\r\n\r\n", Refusal::Malformed),
            ("\rGET / HTTP/1.1\r\nhost: x\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.2\r\nhost: x\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/2.0\r\nhost: x\r\n\r\n", Refusal::Malformed),
            ("GET  / HTTP/1.1\r\nhost: x\r\n\r\n", Refusal::Malformed),
            ("GET x HTTP/1.1\r\nhost: x\r\n\r\n", Refusal::Malformed),
            ("G@T / HTTP/1.1\r\nhost: x\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nhost : x\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\n host: x\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nhost: x\r\n: y\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nhost: x\r\na: \0\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nhost: x\r\na: b\rc\r\n\r\n", Refusal::Malformed),
            (
                "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                Refusal::Malformed,
            ),
            ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", Refusal::Malformed),
        ] {
            assert_eq!(read(text).err(), Some(refusal), "{text:?}");
        }
        let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS));
        assert_eq!(read(&many).err(), Some(Refusal::TooLarge));
        let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(1 << 16));
        assert_eq!(take(&mut BytesMut::from(long.as_str()), 1 << 20).err(), Some(Refusal::UrlTooLong));
        assert_eq!(read(&long).err(), Some(Refusal::TooLarge));
    }

    #[test]
    fn what_is_unusual_and_clear_is_read() {
        for text in [
            "GET http://x/a HTTP/1.1\r\nhost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
            "CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\nhost: x\n\n",
            "BREW / HTTP/1.1\r\nhost:\r\n\r\n",
        ] {
            assert!(read(text).is_ok_and(|head| head.is_some()), "{text:?}");
        }
    }
}
