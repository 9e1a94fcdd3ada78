//! The part of an answer's head that is written out by whoever makes the answer, with no map of headers in between.

use bytes::Bytes;
use http::header::DATE;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Body;

use super::BoxError;
use crate::http1::write;

/// The usual size.
const USUAL: usize = 512;

/// Fields of a head, as HTTP/1.1 has them.
#[derive(Debug)]
pub struct Written {
    text: Vec<u8>,
    has_date: bool,
}

/// The body of an answer, which may have a part of its head written out.
pub trait Answering: Body<Data = Bytes, Error: Into<BoxError>> {
    /// Takes that part.
    fn take_written(&mut self) -> Option<Written> {
        None
    }
}

impl Answering for axum::body::Body {}

impl Default for Written {
    fn default() -> Self {
        Self { text: Vec::with_capacity(USUAL), has_date: false }
    }
}

impl Written {
    /// Adds a field, whose name is in lower case and whose value is one that a header can have.
    pub fn put(&mut self, name: &[u8], value: &[u8]) {
        self.has_date |= name == DATE.as_str().as_bytes();
        write::field(&mut self.text, name, value);
    }

    /// Adds a field, unless its value is one that a header cannot have.
    pub fn put_text(&mut self, name: &HeaderName, value: &str) {
        if value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            write::field(&mut self.text, name.as_str().as_bytes(), value.as_bytes());
        }
    }

    /// All of it, with a line end behind each field.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// True when there is a `Date` among it.
    pub(super) fn has_date(&self) -> bool {
        self.has_date
    }

    /// Puts all of it into a map.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        let mut rest = self.text.as_slice();
        while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
            let line = &rest[..end];
            rest = &rest[end + 2..];
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            // What was written was legal.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()))
            {
                headers.append(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_TYPE, VARY};

    use super::*;

    #[test]
    fn what_is_written_out_is_the_same_in_a_map() {
        let mut written = Written::default();
        written.put(b"content-type", b"text/plain; a=\"b: c\"");
        written.put(b"vary", b"\xe9");
        assert!(!written.has_date());
        written.put(b"date", b"then");
        written.put_text(&HeaderName::from_static("x-empty"), "");
        written.put_text(&HeaderName::from_static("x-bad"), "a\r\nb: c");
        assert!(written.has_date());
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        written.add_to(&mut headers);
        let expected = [
            (VARY, HeaderValue::from_static("Origin")),
            (VARY, HeaderValue::from_bytes(b"\xe9").expect("legal")),
            (CONTENT_TYPE, HeaderValue::from_static("text/plain; a=\"b: c\"")),
            (DATE, HeaderValue::from_static("then")),
            (HeaderName::from_static("x-empty"), HeaderValue::from_static("")),
        ];
        assert_eq!(
            headers,
            expected.into_iter().fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
        );
    }
}
