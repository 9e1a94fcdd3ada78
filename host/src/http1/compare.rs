//! What this codec and hyper make of the same bytes: two readers that disagree are what request smuggling is made of.
//!
//! A test and a fuzz target share it. The codec may refuse what hyper reads; what it reads must be what hyper reads.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::rt::ReadBufCursor;
use pointsman::http1::chunks::Chunks;
use pointsman::http1::framing::Framing;
use pointsman::http1::{request, response};

/// One message: how it begins, its fields in the order of their names, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    first: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Message {
    fn new(first: String, headers: &http::HeaderMap, body: Vec<u8>) -> Self {
        let field =
            |(name, value): (&http::HeaderName, &http::HeaderValue)| (name.to_string(), value.as_bytes().into());
        // Of several lengths, which are equal, hyper keeps one.
        let fields = headers.iter().filter(|(name, _)| *name != http::header::CONTENT_LENGTH);
        let mut fields: Vec<_> = fields.map(field).collect();
        // The order of fields of one name stays.
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        Self { first, fields, body }
    }
}

/// Takes the bytes of a body from `buffer`; `None` when it is malformed or not complete.
fn body(buffer: &mut BytesMut, framing: Framing) -> Option<Vec<u8>> {
    match framing {
        Framing::Empty => Some(Vec::new()),
        Framing::Length(length) => {
            let length = usize::try_from(length).ok().filter(|length| *length <= buffer.len())?;
            Some(buffer.split_to(length).to_vec())
        }
        Framing::Chunked => {
            let mut chunks = Chunks::default();
            let decoded = chunks.decode(buffer).ok().filter(|_| chunks.are_over())?;
            Some(buffer.split_to(decoded.used)[decoded.data].to_vec())
        }
        Framing::Close => Some(buffer.split().to_vec()),
    }
}

/// The complete requests that the codec reads.
pub fn requests(bytes: &[u8]) -> Vec<Message> {
    let (mut buffer, mut seen) = (BytesMut::from(bytes), Vec::new());
    while let Ok(Some(head)) = request::take(&mut buffer, 1 << 16) {
        let Some(body) = body(&mut buffer, head.framing) else { break };
        let first = format!("{} {}", head.method, head.uri);
        let is_tunnel = head.method == http::Method::CONNECT;
        seen.push(Message::new(first, &head.headers.to_map(), body));
        if !head.keeps_alive || is_tunnel {
            break;
        }
    }
    seen
}

/// The first answer that the codec reads, if it is complete.
pub fn answer(bytes: &[u8], to_head: bool) -> Option<Message> {
    let mut buffer = BytesMut::from(bytes);
    loop {
        let head = response::take(&mut buffer, to_head).ok()??;
        if head.status.is_informational() && head.status != http::StatusCode::SWITCHING_PROTOCOLS {
            continue;
        }
        let body = body(&mut buffer, head.framing)?;
        return Some(Message::new(head.status.as_str().to_owned(), &head.headers.to_map(), body));
    }
}

/// A connection on which all bytes lie ready, once something was written where that is waited for.
struct Lying {
    bytes: Bytes,
    waits: bool,
}

impl hyper::rt::Read for Lying {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.waits {
            return Poll::Pending;
        }
        let here = into.remaining().min(self.bytes.len());
        into.put_slice(&self.bytes.split_to(here));
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Lying {
    fn poll_write(mut self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.waits = false;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Polls a future that never waits for anything outside of itself.
fn drive<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..10_000).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// The complete requests that hyper reads.
pub fn requests_of_hyper(bytes: &[u8]) -> Vec<Message> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            let message = Message::new(format!("{} {}", head.method, head.uri), &head.headers, body);
            seen.borrow_mut().push(message);
            Ok::<_, hyper::Error>(http::Response::new(Full::<Bytes>::default()))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .half_close(true)
        .max_headers(pointsman::http1::MAX_FIELDS)
        .serve_connection(Lying { bytes: Bytes::copy_from_slice(bytes), waits: false }, service);
    let _ = drive(connection);
    seen.take()
}

/// The first answer that hyper reads, if it is complete.
pub fn answer_of_hyper(bytes: &[u8], to_head: bool) -> Option<Message> {
    let line = Lying { bytes: Bytes::copy_from_slice(bytes), waits: true };
    let builder = hyper::client::conn::http1::Builder::new();
    let mut builder = builder;
    let handshake = builder.max_headers(pointsman::http1::MAX_FIELDS).handshake(line);
    let (mut sender, connection) = drive(handshake)?.ok()?;
    let method = if to_head { http::Method::HEAD } else { http::Method::GET };
    let mut request = http::Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    let exchange = async {
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes().to_vec();
        Some(Message::new(head.status.as_str().to_owned(), &head.headers, body))
    };
    drive(async {
        let (mut exchange, mut connection) = (std::pin::pin!(exchange), std::pin::pin!(connection));
        let mut ended = false;
        std::future::poll_fn(|context| {
            if !ended {
                ended = connection.as_mut().poll(context).is_ready();
            }
            exchange.as_mut().poll(context)
        })
        .await
    })?
}

/// Compares the two on everything that the codec reads, as requests and as an answer.
///
/// # Errors
///
/// The difference, in words.
pub fn compare(bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    let (ours, theirs) = (requests(bytes), requests_of_hyper(bytes));
    if !theirs.starts_with(&ours) {
        return Err(format!("the codec reads {ours:?} and hyper {theirs:?} in {text:?}"));
    }
    for to_head in [false, true] {
        if let Some(ours) = answer(bytes, to_head) {
            let theirs = answer_of_hyper(bytes, to_head);
            if theirs.as_ref() != Some(&ours) {
                return Err(format!("to HEAD {to_head}: the codec reads {ours:?} and hyper {theirs:?} in {text:?}"));
            }
        }
    }
    Ok(())
}
