//! One connection of the load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Counters, Script};
use crate::tls;
use crate::wire::answer::{Body, Head};

/// A connection to the proxy: plain, or with TLS.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection and the buffer for its answers.
#[derive(Debug)]
pub struct Connected {
    stream: Stream,
    buffer: Vec<u8>,
}

/// Connects to the proxy.
pub async fn connect(address: SocketAddr, tls: Option<&TlsConnector>) -> anyhow::Result<Connected> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(connector) => {
            let shaken = connector.connect(tls::name(address), stream).await;
            Stream::Tls(Box::new(shaken.with_context(|| format!("shake hands with {address}"))?))
        }
    };
    Ok(Connected { stream, buffer: vec![0; 16 << 10] })
}

/// A client with its request.
#[derive(Debug)]
pub struct Asking {
    /// `None` until it is connected.
    pub connected: Option<Connected>,
    /// Head and body.
    pub request: Arc<[u8]>,
    /// The expected answer; `None` when any will do.
    pub script: Option<Script>,
    /// The counters.
    pub counters: Arc<Counters>,
}

impl Asking {
    /// Sends one request and checks the answer; returns the time of its first byte.
    pub async fn ask(&mut self) -> anyhow::Result<Instant> {
        let Connected { stream, buffer } = self.connected.as_mut().context("not connected")?;
        let sent = match stream {
            Stream::Plain(stream) => stream.write_all(&self.request).await,
            Stream::Tls(stream) => match stream.write_all(&self.request).await {
                Ok(()) => stream.flush().await,
                Err(error) => Err(error),
            },
        };
        sent.context("send the request")?;
        let mut filled = read(stream, buffer, 0).await?;
        let first = Instant::now();
        let head = loop {
            match Head::parse(&buffer[..filled])? {
                Some(head) => break head,
                None => filled += read(stream, buffer, filled).await?,
            }
        };
        let (mut from, provider) = (head.length, head.provider);
        let mut body = Body::new(head, self.script)?;
        loop {
            let pieces = body.feed(&buffer[from..filled])?;
            self.counters.events.fetch_add(pieces.into(), Relaxed);
            if body.ended()? {
                break;
            }
            (from, filled) = (0, read(stream, buffer, 0).await?);
        }
        self.counters.replies.fetch_add(1, Relaxed);
        if let Some(provider) = provider {
            self.counters.by_provider[provider].fetch_add(1, Relaxed);
        }
        Ok(first)
    }
}

/// Reads behind what is `filled`; an end of the connection is an error.
async fn read(stream: &mut Stream, buffer: &mut [u8], filled: usize) -> anyhow::Result<usize> {
    ensure!(filled < buffer.len(), "a head of more than {} bytes", buffer.len());
    let read = match stream {
        Stream::Plain(stream) => stream.read(&mut buffer[filled..]).await,
        Stream::Tls(stream) => stream.read(&mut buffer[filled..]).await,
    };
    let read = read.context("read the answer")?;
    ensure!(read > 0, "the connection was closed in the middle of an answer");
    Ok(read)
}
