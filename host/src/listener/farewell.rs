//! Last words to connections that are not served: a canned answer, bounded in number and time.
//!
//! A socket that is closed while bytes lie unread in it resets the connection, and the client never sees the answer; so
//! the client's request is awaited, and read until the client closes, which takes a task but hardly any memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::socket::Stream;

/// More at once are closed without a word.
pub(super) const MOST: usize = 256;
/// How long the client gets to send its request, and then to take the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of what the client sends is read.
const MOST_READ: usize = 1 << 20;

/// To a client that came when there were `server.max_connections` of them.
pub(super) const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\n\
    content-length: 152\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\r\n\
    {\"error\":{\"message\":\"The proxy is at its limit of connections. Try again in a moment.\",\
    \"type\":\"proxy_error\",\"param\":null,\"code\":\"too_many_connections\"}}";

/// To a client that speaks plain HTTP where TLS is spoken.
pub(super) const WANTS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 58\r\n\
    connection: close\r\n\r\n\
    This port speaks HTTPS: begin the URL with https:// here.\n";

/// The answer to a client whose head is too large, in place of the HTTP library's empty one.
pub(super) const HEAD_TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
    content-type: application/json\r\n\
    content-length: 198\r\n\
    connection: close\r\n\r\n\
    {\"error\":{\"message\":\"The request's headers are too large: see server.max_header_bytes of the proxy, and at most \
    256 headers.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"headers_too_large\"}}";

/// The same for a URL.
pub(super) const URL_TOO_LONG: &[u8] = b"HTTP/1.1 414 URI Too Long\r\n\
    content-type: application/json\r\n\
    content-length: 120\r\n\
    connection: close\r\n\r\n\
    {\"error\":{\"message\":\"The request's URL is too long.\",\"type\":\"invalid_request_error\",\"param\":null,\
    \"code\":\"url_too_long\"}}";

/// The same for what is no HTTP.
pub(super) const NOT_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: application/json\r\n\
    content-length: 129\r\n\
    connection: close\r\n\r\n\
    {\"error\":{\"message\":\"The request is not valid HTTP/1.1.\",\"type\":\"invalid_request_error\",\"param\":null,\
    \"code\":\"malformed_request\"}}";

/// Says last words.
#[derive(Clone, Debug)]
pub(super) struct Farewells {
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    close: CancellationToken,
}

impl Farewells {
    /// Its tasks end with `close` at the latest.
    pub fn new(tasks: TaskTracker, close: CancellationToken) -> Self {
        Self { room: Arc::new(Semaphore::new(MOST)), tasks, close }
    }

    /// Answers whatever comes with `words` and closes the connection, without making the caller wait.
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
    // An answer before the request would confuse some clients.
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
