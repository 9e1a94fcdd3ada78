//! One connection of the load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Counters, Script};
use crate::wire::answer::{Body, Head};

/// A connection and the buffer for its answers.
#[derive(Debug)]
pub struct Connected {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Connects to the proxy.
pub async fn connect(address: SocketAddr) -> anyhow::Result<Connected> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(Connected { stream, buffer: vec![0; 16 << 10] })
}

/// A client with its request.
#[derive(Debug)]
pub struct Asking {
    /// `None` until it is connected.
    pub connected: Option<Connected>,
    /// Head and body.
    pub request: Arc<[u8]>,
    /// The expected answer.
    pub script: Script,
    /// The counters.
    pub counters: Arc<Counters>,
}

impl Asking {
    /// Sends one request and checks the answer; returns the time of its first byte.
    pub async fn ask(&mut self) -> anyhow::Result<Instant> {
        let Connected { stream, buffer } = self.connected.as_mut().context("not connected")?;
        stream.write_all(&self.request).await.context("send the request")?;
        let mut filled = read(stream, buffer, 0).await?;
        let first = Instant::now();
        let head = loop {
            match Head::parse(&buffer[..filled])? {
                Some(head) => break head,
                None => filled += read(stream, buffer, filled).await?,
            }
        };
        let (mut from, provider) = (head.length, head.provider);
        let mut body = Body::new(head, self.script);
        loop {
            let pieces = body.feed(&buffer[from..filled])?;
            self.counters.events.fetch_add(pieces.into(), Relaxed);
            if body.ended()? {
                break;
            }
            (from, filled) = (0, read(stream, buffer, 0).await?);
        }
        self.counters.replies.fetch_add(1, Relaxed);
        self.counters.by_provider[provider].fetch_add(1, Relaxed);
        Ok(first)
    }
}

/// Reads behind what is `filled`; an end of the connection is an error.
async fn read(stream: &mut TcpStream, buffer: &mut [u8], filled: usize) -> anyhow::Result<usize> {
    ensure!(filled < buffer.len(), "a head of more than {} bytes", buffer.len());
    let read = stream.read(&mut buffer[filled..]).await.context("read the answer")?;
    ensure!(read > 0, "the connection was closed in the middle of an answer");
    Ok(read)
}
