//! An answer on its way to a client: its head, and its body in the form that the head announces.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode};

use super::Asked;
use super::outbox::Outbox;
use crate::http1::framing::Version;
use crate::http1::write;
use crate::listener::{Answering, BoxError};

/// The usual size of a head.
const USUAL: usize = 512;
/// The largest body for which there is room at once behind its head.
const SMALL: u64 = 4 << 10;

/// An answer that is being sent.
pub(super) struct Answer<B> {
    /// `None` once nothing more is wanted of it.
    body: Option<B>,
    form: Form,
    is_complete: bool,
    /// True when another request may follow.
    pub keeps_alive: bool,
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// No body goes out, whatever there is.
    Nothing,
    /// So many bytes are still to go.
    Length(u64),
    Chunks,
    /// The bytes as they come, up to the end of the connection.
    Raw,
}

/// A body has fewer bytes than its head announces.
#[derive(Debug, thiserror::Error)]
#[error("the body of an answer has {0} bytes less than its head says")]
struct TooShort(u64);

impl<B> Answer<B>
where
    B: Answering + Unpin,
{
    /// Writes the head of an answer.
    pub fn begin(response: Response<B>, asked: Asked, outbox: &mut Outbox) -> Self {
        let (head, mut body) = response.into_parts();
        let written = body.take_written();
        let (status, headers) = (head.status, &head.headers);
        let exact = body.size_hint().exact();
        let out = outbox.buffer();
        out.reserve(USUAL + usize::try_from(exact.filter(|length| *length <= SMALL).unwrap_or(0)).unwrap_or(0));
        out.extend_from_slice(if asked.version == Version::Http11 { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
        out.extend_from_slice(status.as_str().as_bytes());
        out.push(b' ');
        // The reason may be empty, as for a status that has none; the blank before it may not be left out.
        out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        let switches = status == StatusCode::SWITCHING_PROTOCOLS;
        let mut keeps_alive = asked.keeps_alive && !says_close(headers);
        for (name, value) in headers {
            let is_ours = name == CONTENT_LENGTH || name == TRANSFER_ENCODING || name == CONNECTION && !switches;
            if !is_ours {
                write::field(out, name.as_str().as_bytes(), value.as_bytes());
            }
        }
        if let Some(written) = &written {
            out.extend_from_slice(written.text());
        }
        if !written.is_some_and(|written| written.has_date()) && !headers.contains_key(DATE) {
            date(out);
        }
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length = announced.or(exact);
        let mut form = match length {
            Some(length) => Form::Length(length),
            None if asked.version == Version::Http11 => Form::Chunks,
            None => Form::Raw,
        };
        // Neither has a body or a length (RFC 9110, 8.6).
        let is_bare = status.is_informational() || status == StatusCode::NO_CONTENT;
        match form {
            _ if is_bare => {}
            Form::Length(length) => write::content_length(out, length),
            Form::Chunks => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Form::Raw | Form::Nothing => {}
        }
        if is_bare || asked.is_head || status == StatusCode::NOT_MODIFIED {
            form = Form::Nothing;
        }
        keeps_alive &= form != Form::Raw;
        match (asked.version, keeps_alive) {
            _ if switches => {}
            (_, false) => out.extend_from_slice(b"connection: close\r\n"),
            (Version::Http10, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (Version::Http11, true) => {}
        }
        out.extend_from_slice(b"\r\n");
        let is_complete = matches!(form, Form::Nothing | Form::Length(0));
        Self { body: Some(body), form, is_complete, keeps_alive }
    }

    /// True when all of it is in the outbox, or gone.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Drops the body, if nothing more is wanted of it.
    pub fn let_go(&mut self) {
        if self.is_complete {
            self.body = None;
        }
    }

    /// Puts what there is of the body into the outbox, as far as that has room; pending when the body has to be waited for.
    pub fn poll_feed(&mut self, outbox: &mut Outbox, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        while !self.is_complete && outbox.has_room() {
            let Some(body) = &mut self.body else { break };
            match Pin::new(&mut *body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are not sent.
                    let Ok(data) = frame.into_data() else { continue };
                    let is_last = body.is_end_stream();
                    self.put(data, outbox);
                    // The end goes out together with what comes before it.
                    if is_last && !self.is_complete && outbox.has_room() {
                        self.finish(outbox)?;
                    }
                }
                Poll::Ready(None) => self.finish(outbox)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, mut data: Bytes, outbox: &mut Outbox) {
        if data.is_empty() {
            return;
        }
        match &mut self.form {
            Form::Nothing => {}
            Form::Length(left) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                self.is_complete = *left == 0;
                outbox.put(data, b"");
            }
            Form::Chunks => {
                write::chunk_size(outbox.buffer(), data.len());
                outbox.put(data, b"\r\n");
            }
            Form::Raw => outbox.put(data, b""),
        }
    }

    fn finish(&mut self, outbox: &mut Outbox) -> Result<(), BoxError> {
        match self.form {
            Form::Length(left @ 1..) => return Err(TooShort(left).into()),
            Form::Chunks => outbox.push(write::LAST_CHUNK),
            Form::Nothing | Form::Length(_) | Form::Raw => {}
        }
        self.is_complete = true;
        Ok(())
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    let says = |value: &http::HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(b"close"))
    };
    headers.get_all(CONNECTION).iter().any(says)
}

thread_local! {
    /// A second since the epoch, and its text.
    static NOW: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Writes the date.
fn date(out: &mut Vec<u8>) {
    let time = SystemTime::now();
    let second = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    NOW.with_borrow_mut(|(of, text)| {
        if *of != second || text.is_empty() {
            (*of, *text) = (second, format!("date: {}\r\n", httpdate::fmt_http_date(time)));
        }
        out.extend_from_slice(text.as_bytes());
    });
}
