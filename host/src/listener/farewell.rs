//! Fixed answers to connections that are not served, bounded in number and time.
//!
//! Closing a socket that holds unread bytes resets the connection, and the client never sees the answer. So the
//! client's request is read until the client closes, which takes a task but hardly any memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::socket::Stream;

/// Beyond this many at once, connections are closed without a response.
pub(super) const MOST: usize = 256;
/// The time that the client has to send its request, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The number of the client's bytes that are read.
const MOST_READ: usize = 1 << 20;

/// The answer to a client that came when `server.max_connections` were open.
pub(super) const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\n\
    content-length: 152\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\r\n\
    {\"error\":{\"message\":\"The proxy is at its limit of connections. Try again in a moment.\",\
    \"type\":\"proxy_error\",\"param\":null,\"code\":\"too_many_connections\"}}";

/// The answer to a client that speaks plain HTTP to a TLS listener.
pub(super) const WANTS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 58\r\n\
    connection: close\r\n\r\n\
    This port speaks HTTPS: begin the URL with https:// here.\n";

/// The answer to a request whose head is too large, in place of the HTTP library's empty answer.
pub(super) const HEAD_TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
    content-type: application/json\r\n\
    content-length: 198\r\n\
    connection: close\r\n\r\n\
    {\"error\":{\"message\":\"The request's headers are too large: see server.max_header_bytes of the proxy, and at most \
    256 headers.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"headers_too_large\"}}";

/// The answer to a request whose URL is too long.
pub(super) const URL_TOO_LONG: &[u8] = b"HTTP/1.1 414 URI Too Long\r\n\
    content-type: application/json\r\n\
    content-length: 120\r\n\
    connection: close\r\n\r\n\
    {\"error\":{\"message\":\"The request's URL is too long.\",\"type\":\"invalid_request_error\",\"param\":null,\
    \"code\":\"url_too_long\"}}";

/// The answer to bytes that are not HTTP.
pub(super) const NOT_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: application/json\r\n\
    content-length: 129\r\n\
    connection: close\r\n\r\n\
    {\"error\":{\"message\":\"The request is not valid HTTP/1.1.\",\"type\":\"invalid_request_error\",\"param\":null,\
    \"code\":\"malformed_request\"}}";

/// The answer to a client that speaks HTTP/2 where it is switched off: empty SETTINGS, and GOAWAY with HTTP_1_1_REQUIRED
/// (RFC 9113, 6.8 and 7).
pub(super) const WANTS_HTTP1: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0d";

/// Sends the fixed answers.
#[derive(Clone, Debug)]
pub(super) struct Farewells {
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    close: CancellationToken,
}

impl Farewells {
    /// Ends all its tasks when it is cancelled.
    pub fn new(tasks: TaskTracker, close: CancellationToken) -> Self {
        Self { room: Arc::new(Semaphore::new(MOST)), tasks, close }
    }

    /// Answers the connection's request with `words` and closes it, without making the caller wait.
    pub fn say(&self, stream: Stream, words: &'static [u8]) {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { return };
        let close = self.close.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = say(stream, words) => {}
                () = close.cancelled() => {}
            }
            drop(room);
        });
    }
}

async fn say(mut stream: Stream, words: &[u8]) {
    // Some clients would be confused by an answer before their request.
    let _ = timeout(PATIENCE, stream.peek(&mut [0])).await;
    let said = timeout(PATIENCE, async {
        stream.write_all(words).await?;
        stream.shutdown().await
    });
    if !matches!(said.await, Ok(Ok(()))) {
        return;
    }
    let _ = timeout(PATIENCE, async {
        let (mut sink, mut total) = ([0; 1024], 0);
        while let Ok(read @ 1..) = stream.read(&mut sink).await {
            total += read;
            if total > MOST_READ {
                break;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canned_answers_announce_their_length() {
        for words in [TOO_MANY, WANTS_TLS, HEAD_TOO_LARGE, URL_TOO_LONG, NOT_HTTP] {
            let text = str::from_utf8(words).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{} bytes: {head}", body.len());
        }
    }
}
