//! HTTP/1.1 on the wire (RFC 9112), the same for clients and providers: pure functions from bytes to heads and bodies.
//!
//! Heads are read once, where they lie in the receive buffer, and the values of their fields share its memory. The way in which
//! a body ends is judged in one place ([`framing`]) for both directions, and strictly: whatever two readers might take for
//! different lengths is refused, since a proxy that reads it differently from the server behind it lets one client's
//! bytes become another client's request.

pub mod chunks;
pub mod framing;
pub mod request;
pub mod response;
pub mod write;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

use framing::Judge;

/// The most fields that a head may have. Gateways and content delivery networks add to what the server behind them says.
pub const MAX_FIELDS: usize = 256;

/// The number of fields for which a map of headers has room beside those that came: the proxy adds some.
const ADDED: usize = 4;

/// The place of a field in its head.
#[derive(Clone, Copy, Debug)]
struct Span {
    name: (usize, usize),
    value: (usize, usize),
}

/// The places of `parts`, which lie in `whole`.
fn place(whole: &[u8], part: &[u8]) -> (usize, usize) {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    (start, start + part.len())
}

fn places(head: &[u8], fields: &[httparse::Header<'_>]) -> Vec<Span> {
    let span = |field: &httparse::Header<'_>| Span {
        name: place(head, field.name.as_bytes()),
        value: place(head, field.value),
    };
    fields.iter().map(span).collect()
}

/// The fields of a head: what they say about framing and the connection, and all of them as a map.
struct Fields {
    headers: HeaderMap,
    judge: Judge,
}

/// Reads the fields; `None` when one has a value that no header may have.
fn fields(head: &Bytes, spans: &[Span]) -> Option<Fields> {
    let mut fields = Fields { headers: HeaderMap::with_capacity(spans.len() + ADDED), judge: Judge::default() };
    for Span { name, value } in spans {
        let name = HeaderName::from_bytes(head.get(name.0..name.1)?).ok()?;
        let value = HeaderValue::from_maybe_shared(head.slice(value.0..value.1)).ok()?;
        if name == CONTENT_LENGTH {
            fields.judge.length(value.as_bytes());
        } else if name == TRANSFER_ENCODING {
            fields.judge.transfer(value.as_bytes());
        } else if name == CONNECTION {
            fields.judge.connection(value.as_bytes());
        }
        fields.headers.try_append(name, value).ok()?;
    }
    Some(fields)
}

#[cfg(test)]
mod compare;
#[cfg(test)]
mod tests;
