//! A client on a bare socket, for bytes that no HTTP library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::secrets::claim_none;
use crate::within;

/// A bare connection to the proxy.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the proxy accepts connections");
        stream.set_nodelay(true).expect("a fresh socket takes options");
        Self { stream, read: Vec::new() }
    }

    /// Sends bytes; whether they could be sent is not asked, as the proxy may have closed with reason.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(within("sending bytes", self.stream.write_all(bytes.as_ref())).await);
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        drop(self.stream.shutdown().await);
    }

    /// Reads until the connection closes, cleanly or not; gives all that came.
    pub async fn read_to_close(mut self) -> String {
        let mut piece = [0; 4096];
        loop {
            match within("the connection's end", self.stream.read(&mut piece)).await {
                Ok(0) | Err(_) => {
                    claim_none(&self.read);
                    return String::from_utf8_lossy(&self.read).into_owned();
                }
                Ok(read) => self.read.extend_from_slice(&piece[..read]),
            }
        }
    }

    /// Reads until `text` has come or the connection closes; gives all that came.
    pub async fn read_until(&mut self, text: &str) -> String {
        let mut piece = [0; 4096];
        loop {
            claim_none(&self.read);
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            match within("bytes from the proxy", self.stream.read(&mut piece)).await {
                Ok(0) | Err(_) => return so_far,
                Ok(read) => self.read.extend_from_slice(&piece[..read]),
            }
        }
    }

    /// Reads one whole answer, whose length is announced, and forgets it.
    pub async fn next_answer(&mut self) -> String {
        let head = self.read_until("\r\n\r\n").await;
        let length = head.to_ascii_lowercase().split_once("content-length: ").and_then(|(_, rest)| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().ok()
        });
        let start = head.find("\r\n\r\n").map_or(head.len(), |end| end + 4);
        let end = start + length.unwrap_or_default();
        let mut piece = [0; 4096];
        while self.read.len() < end {
            match within("the rest of an answer", self.stream.read(&mut piece)).await {
                Ok(0) | Err(_) => break,
                Ok(read) => self.read.extend_from_slice(&piece[..read]),
            }
        }
        let rest = self.read.split_off(end.min(self.read.len()));
        let answer = std::mem::replace(&mut self.read, rest);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// True when the proxy has closed the connection, cleanly or not; the bytes until then are kept.
    pub fn has_closed(&mut self) -> bool {
        let mut piece = [0; 4096];
        loop {
            match self.stream.try_read(&mut piece) {
                Ok(0) => return true,
                Ok(read) => self.read.extend_from_slice(&piece[..read]),
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }

    /// The status of the first answer, if one came.
    pub async fn status(&mut self) -> Option<u16> {
        let text = self.read_until("\r\n").await;
        text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }
}
