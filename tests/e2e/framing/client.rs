//! A client on a bare socket that reads answers by a strict reading, and finds out whether a connection still serves.

use std::net::SocketAddr;

use harness::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request that the proxy answers by itself, and by this name.
pub const SENTINEL: &str = "GET /ready HTTP/1.1\r\nhost: x\r\nx-request-id: sentinel\r\n\r\n";

/// An answer.
#[derive(Debug)]
pub struct Came {
    /// Its status.
    pub status: u16,
    /// The head as text, up to its empty line.
    pub head: String,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The statuses of interim answers that came before it.
    pub interim: Vec<u16>,
}

impl Came {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a field, by its name in small letters.
    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

/// What a connection does with another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It answers it.
    Served,
    /// It has ended.
    Nothing,
    /// It has answered something that came before.
    Surplus,
}

/// A connection to the proxy.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the proxy accepts connections");
        stream.set_nodelay(true).expect("a fresh socket takes options");
        Self { stream, read: Vec::new() }
    }

    /// Sends bytes, or as many as the proxy takes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(within("sending bytes", self.stream.write_all(bytes.as_ref())).await);
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        drop(self.stream.shutdown().await);
    }

    /// The next answer, after interim ones; `None` when the connection ends before it.
    ///
    /// # Panics
    ///
    /// When it is none by a strict reading, or is cut off.
    pub async fn answer(&mut self) -> Option<Came> {
        self.answer_to("GET").await
    }

    /// The same, when the request had this method.
    pub async fn answer_to(&mut self, method: &str) -> Option<Came> {
        let mut interim = Vec::new();
        loop {
            let head = self.head().await?;
            // To a request of HTTP/1.0 either version may answer (RFC 9110, 6.2).
            let rest = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "));
            let status: Option<u16> = rest.and_then(|rest| rest.get(..3)?.parse().ok());
            let status = status.expect("a status line");
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let mut came = Came { status, head, body: Vec::new(), interim };
            if method != "HEAD" && ![204, 304].contains(&status) {
                came.body = self.body(&came).await;
            }
            return Some(came);
        }
    }

    /// Waits until these words have come; they are read again with the answer.
    ///
    /// # Panics
    ///
    /// When the connection ends before they do.
    pub async fn comes(&mut self, words: &str) {
        while find(&self.read, words.as_bytes()).is_none() {
            assert!(self.more().await, "the connection ends before {words}");
        }
    }

    /// The status of an interim answer, which must come next; `None` when the connection ends.
    pub async fn interim(&mut self) -> Option<u16> {
        self.head().await?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }

    /// The state of the connection, by its answer to a request that only this client has made.
    pub async fn next(&mut self) -> Next {
        self.send(SENTINEL).await;
        match self.answer().await {
            None => Next::Nothing,
            Some(came) if came.status == 200 && came.field("x-request-id") == Some("sentinel") => Next::Served,
            Some(_) => Next::Surplus,
        }
    }

    /// True when the connection serves.
    ///
    /// # Panics
    ///
    /// When something else is answered.
    pub async fn serves(&mut self) -> bool {
        let next = self.next().await;
        assert_ne!(next, Next::Surplus, "an answer that nobody asked for");
        next == Next::Served
    }

    async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..at + 4).take(at).collect();
                return Some(String::from_utf8(head).expect("the proxy's heads are text"));
            }
            if !self.more().await {
                assert_eq!(String::from_utf8_lossy(&self.read), "", "the connection ends in a head");
                return None;
            }
        }
    }

    async fn body(&mut self, came: &Came) -> Vec<u8> {
        match (came.field("content-length"), came.field("transfer-encoding")) {
            (Some(length), None) => {
                let length = length.parse().expect("the proxy says lengths");
                self.take(length).await
            }
            (None, Some("chunked")) => {
                let mut body = Vec::new();
                loop {
                    while find(&self.read, b"\r\n").is_none() {
                        assert!(self.more().await, "the connection ends in a body");
                    }
                    let at = find(&self.read, b"\r\n").expect("just found");
                    let line: Vec<u8> = self.read.drain(..at + 2).take(at).collect();
                    let line = String::from_utf8(line).expect("the size of a chunk");
                    let size = usize::from_str_radix(&line, 16).expect("the size of a chunk");
                    let chunk = self.take(size + 2).await;
                    assert!(chunk.ends_with(b"\r\n"), "a chunk ends");
                    if size == 0 {
                        return body;
                    }
                    body.extend_from_slice(&chunk[..size]);
                }
            }
            framing => unreachable!("an answer has one framing, not {framing:?}: {}", came.head),
        }
    }

    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more().await, "the connection ends in a body");
        }
        self.read.drain(..length).collect()
    }

    /// False at the end of the connection, clean or not.
    async fn more(&mut self) -> bool {
        within("bytes of the proxy", self.stream.read_buf(&mut self.read)).await.is_ok_and(|read| read > 0)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
