//! Requests as they go over the wire with HTTP/1.1.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, Method, Uri};

use super::Call;
use super::connection::{Outgoing, is_copied};
use crate::http1::write;

/// The usual size of a head, beyond what a provider's own headers take.
const USUAL: usize = 512;

/// The headers that every request to one provider has, written out once. Without a text: keys are in them.
#[derive(Clone)]
pub struct OwnFields {
    names: Vec<HeaderName>,
    text: Bytes,
}

impl fmt::Debug for OwnFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnFields").field("names", &self.names).finish_non_exhaustive()
    }
}

impl OwnFields {
    /// These headers.
    pub fn of(own: &HeaderMap) -> Self {
        let mut text = Vec::new();
        own.iter().for_each(|(name, value)| write::field(&mut text, name.as_str().as_bytes(), value.as_bytes()));
        Self { names: own.keys().cloned().collect(), text: text.into() }
    }

    fn has(&self, name: &[u8]) -> bool {
        self.names.iter().any(|own| own.as_str().as_bytes() == name)
    }

    /// The request that `call` makes to `target`, with these headers in the place of the client's of the same name, and `more`.
    pub fn request(&self, call: &Call<'_>, target: &Uri, more: &[u8]) -> Outgoing {
        let Call { method, headers, body, .. } = call;
        let is_copied = is_copied(body);
        let room = USUAL + self.text.len() + if is_copied { body.len() } else { 0 };
        let mut head = Vec::with_capacity(room);
        head.extend_from_slice(method.as_str().as_bytes());
        head.push(b' ');
        if let Some(authority) = target.authority() {
            // Before a forward proxy.
            head.extend_from_slice(target.scheme_str().unwrap_or("http").as_bytes());
            head.extend_from_slice(b"://");
            head.extend_from_slice(authority.as_str().as_bytes());
        }
        head.extend_from_slice(target.path().as_bytes());
        if let Some(query) = target.query() {
            head.push(b'?');
            head.extend_from_slice(query.as_bytes());
        }
        head.extend_from_slice(b" HTTP/1.1\r\n");
        head.extend_from_slice(&self.text);
        head.extend_from_slice(more);
        for (name, value) in headers.iter() {
            if name != CONTENT_LENGTH.as_str().as_bytes() && !self.has(name) {
                write::field(&mut head, name, value);
            }
        }
        // Some servers want the length of an empty body.
        if !body.is_empty() || method == Method::POST || headers.has(CONTENT_LENGTH) {
            write::content_length(&mut head, body.len() as u64);
        }
        head.extend_from_slice(b"\r\n");
        let mut rest = body.clone();
        if is_copied {
            head.extend_from_slice(&rest);
            rest = Bytes::new();
        }
        Outgoing { head, body: rest, is_head: method == Method::HEAD }
    }
}
