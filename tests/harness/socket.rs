//! WebSocket on a bare socket, for both ends: frames as a test wants them, whole or in pieces, sound or not.
//!
//! Written without the host's own reader of frames, so that one does not confirm the mistakes of the other.

use std::fmt;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use http::HeaderMap;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::secrets::{claim_none, claim_none_in_headers};
use crate::within;

/// The opcode of the later frames of a message.
pub const CONTINUATION: u8 = 0;
/// The opcode of text.
pub const TEXT: u8 = 1;
/// The opcode of a close.
pub const CLOSE: u8 = 8;
/// The opcode of a ping.
pub const PING: u8 = 9;
/// The opcode of a pong.
pub const PONG: u8 = 10;

/// A stream of bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// True for the last of a message.
    pub fin: bool,
    /// Its kind.
    pub opcode: u8,
    /// Its payload, unmasked.
    pub payload: Vec<u8>,
}

/// One end of a WebSocket.
pub struct Socket {
    stream: Box<dyn Duplex>,
    read: BytesMut,
    /// True for a client's end, which masks what it sends.
    masks: bool,
    /// The headers of the answer for a client, and of the request for a provider.
    pub headers: HeaderMap,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("read", &self.read).field("masks", &self.masks).finish_non_exhaustive()
    }
}

/// A request for a WebSocket, to be filled and sent.
#[derive(Debug)]
pub struct Knock {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
}

/// An answer that does not open one.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Refusal {
    /// The code of the error.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).expect("an error is JSON");
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// The key of the example of RFC 6455, 1.3, and its answer there.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl Knock {
    /// At this address.
    pub fn to(address: SocketAddr, path: &str) -> Self {
        Self { address, path: path.to_owned(), headers: Vec::new() }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Opens it.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn open(self) -> Socket {
        let stream = TcpStream::connect(self.address).await.expect("the proxy accepts connections");
        self.over(Box::new(stream)).await.expect("it is opened")
    }

    /// The refusal.
    ///
    /// # Panics
    ///
    /// When it is opened.
    pub async fn refused(self) -> Refusal {
        let stream = TcpStream::connect(self.address).await.expect("the proxy accepts connections");
        self.over(Box::new(stream)).await.expect_err("it is refused")
    }

    /// Asks over a connection.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub async fn over(self, mut stream: Box<dyn Duplex>) -> Result<Socket, Refusal> {
        let mut head = format!(
            "GET {} HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n",
            self.path
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        within("sending a handshake", stream.write_all(format!("{head}\r\n").as_bytes())).await.expect("sent");
        let mut read = BytesMut::new();
        let end = loop {
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            let came = within("the answer to a handshake", stream.read_buf(&mut read)).await.expect("an answer");
            assert!(came > 0, "the connection ended: {}", String::from_utf8_lossy(&read));
        };
        let head = String::from_utf8(read.split_to(end + 4).to_vec()).expect("ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().expect("a status line")[9..12].parse().expect("a status");
        let headers: HeaderMap = lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a header");
                (name.parse().expect("a name"), value.trim().parse().expect("a value"))
            })
            .collect::<Vec<(http::HeaderName, http::HeaderValue)>>()
            .into_iter()
            .collect();
        claim_none_in_headers(&headers);
        if status == 101 {
            assert_eq!(headers["sec-websocket-accept"], ACCEPT);
            assert_eq!(headers["upgrade"], "websocket");
            return Ok(Socket { stream, read, masks: true, headers });
        }
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.to_str().expect("ASCII").parse::<usize>().expect("a number"));
        while read.len() < length {
            let came = within("the rest of a refusal", stream.read_buf(&mut read)).await.expect("more of it");
            assert!(came > 0, "the connection ended in a refusal");
        }
        claim_none(&read);
        Err(Refusal { status, headers, body: read[..length].to_vec() })
    }
}

impl Socket {
    /// The end of a provider.
    pub(crate) fn of_provider(stream: TcpStream, read: BytesMut, headers: HeaderMap) -> Self {
        Self { stream: Box::new(stream), read, masks: false, headers }
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        within("sending bytes", self.stream.write_all(bytes)).await.expect("the other side is there");
    }

    /// A frame as this end writes it.
    pub fn frame(&self, fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![if fin { 0x80 | opcode } else { opcode }];
        let masked = if self.masks { 0x80 } else { 0 };
        match payload.len() {
            length @ 0..126 => bytes.push(masked | length as u8),
            length @ 126..0x1_0000 => {
                bytes.push(masked | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                bytes.push(masked | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if self.masks {
            let key = [0x37, 0xfa, 0x21, 0x3d];
            bytes.extend_from_slice(&key);
            bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    /// Sends a frame.
    pub async fn send_frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) {
        let frame = self.frame(fin, opcode, payload);
        self.send_raw(&frame).await;
    }

    /// Sends a message of text.
    pub async fn send(&mut self, text: &str) {
        self.send_frame(true, TEXT, text.as_bytes()).await;
    }

    /// Sends an event.
    pub async fn event(&mut self, event: &Value) {
        self.send(&event.to_string()).await;
    }

    /// Sends a close.
    pub async fn close(&mut self, code: u16, reason: &str) {
        let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
        self.send_frame(true, CLOSE, &payload).await;
    }

    /// The next frame; `None` when the connection has ended.
    ///
    /// # Panics
    ///
    /// When it ends within a frame.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = self.parse() {
                self.read.advance(length);
                claim_none(&frame.payload);
                return Some(frame);
            }
            match within("a frame", self.stream.read_buf(&mut self.read)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => {
                    assert!(self.read.is_empty(), "the connection ended within a frame: {:?}", self.read);
                    return None;
                }
            }
        }
    }

    fn parse(&self) -> Option<(Frame, usize)> {
        let bytes = &self.read[..];
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        assert_eq!(second & 0x80 != 0, !self.masks, "clients mask, and nobody else");
        let (length, mut at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
            length => (length.into(), 2),
        };
        let key: [u8; 4] = if self.masks {
            [0; 4]
        } else {
            at += 4;
            *bytes.get(at - 4..)?.first_chunk()?
        };
        let payload = bytes.get(at..at + usize::try_from(length).expect("not that large"))?;
        let payload: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        let length = at + payload.len();
        Some((Frame { fin: first & 0x80 != 0, opcode: first & 0xf, payload }, length))
    }

    /// The next message, which must be one frame of text.
    ///
    /// # Panics
    ///
    /// When it is something else.
    pub async fn text(&mut self) -> String {
        let frame = self.next().await.expect("the connection is open");
        assert!(frame.fin && frame.opcode == TEXT, "{frame:?}");
        String::from_utf8(frame.payload).expect("text")
    }

    /// The next message, which must be an event.
    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// The code and the reason of the close that must come next.
    ///
    /// # Panics
    ///
    /// When something else comes.
    pub async fn closed(&mut self) -> (u16, String) {
        let frame = self.next().await.expect("the connection is open");
        assert_eq!(frame.opcode, CLOSE, "{frame:?}");
        let code = frame.payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
        (code, String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default()).into_owned())
    }

    /// Waits for the end of the connection, before which nothing more may come.
    ///
    /// # Panics
    ///
    /// When something comes.
    pub async fn ended(&mut self) {
        let frame = self.next().await;
        assert_eq!(frame, None, "the connection ends");
    }

    /// All bytes that still come, up to the end of the connection.
    pub async fn rest(mut self) -> Vec<u8> {
        while within("the end", self.stream.read_buf(&mut self.read)).await.is_ok_and(|came| came > 0) {}
        self.read.to_vec()
    }
}
