//! The mock: two providers in one process, on one thread, that answer from memory.
//!
//! It uses raw sockets instead of hyper, because it must not limit a measurement: it reads the head of a request,
//! counts the bytes of the body, and writes a prepared answer.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use httparse::{EMPTY_HEADER, Request, Status};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

mod pacer;

use crate::tls;
use crate::wire::{ANSWER, EVENT, Events, LAST, ORIGIN, WISH};
use pacer::Pacer;

/// The addresses of the providers: the only line that the mock prints.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// The provider with twice the weight.
    pub a: SocketAddr,
    /// The other one.
    pub b: SocketAddr,
    /// Both again, with TLS.
    pub a_tls: SocketAddr,
    /// See `a_tls`.
    pub b_tls: SocketAddr,
}

/// The answer to what is no request for a model: the spans that a proxy exports.
const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

/// The prepared answers of a provider.
struct Answers {
    whole: Vec<u8>,
    models: Vec<u8>,
    /// The head of a stream and its first event, in one write.
    begin: Vec<u8>,
    event: Vec<u8>,
    end: Vec<u8>,
    pacer: Pacer,
}

impl Answers {
    fn of(name: char) -> Self {
        let json = |body: &[u8]| {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{ORIGIN}: {name}\r\ncontent-length: {length}\r\n\r\n"
            );
            [head.as_bytes(), body].concat()
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n{ORIGIN}: {name}\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
        let event = chunk(EVENT);
        Self {
            whole: json(&ANSWER),
            models: json(br#"{"object":"list","data":[]}"#),
            begin: [head.as_bytes(), &event].concat(),
            event,
            end: [&chunk(LAST)[..], b"0\r\n\r\n"].concat(),
            pacer: Pacer::start(),
        }
    }
}

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// Runs until standard input ends, which it does with the process that started this one. `folder` holds the certificate.
pub fn main(folder: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let acceptor = tls::Files::of(folder).acceptor()?;
    runtime.block_on(async {
        let mut addresses = Vec::new();
        for name in ['a', 'b'] {
            let answers = Arc::new(Answers::of(name));
            for acceptor in [None, Some(acceptor.clone())] {
                let listener = listen()?;
                addresses.push(listener.local_addr()?);
                spawn(accept(listener, acceptor, Arc::clone(&answers)));
            }
        }
        let Ok([a, a_tls, b, b_tls]) = <[SocketAddr; 4]>::try_from(addresses) else { bail!("four listeners") };
        let addresses = Addresses { a, b, a_tls, b_tls };
        crate::say(&serde_json::to_string(&addresses)?);
        // On a thread, because the enabled features of tokio cannot await a read of a pipe.
        let (ended, input) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            let _ = ended.send(());
        });
        input.await.context("the thread that reads standard input has ended")
    })
}

#[expect(clippy::disallowed_methods, reason = "the mock has nothing to drain: its tasks end with the process")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    socket.listen(crate::BACKLOG)
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, answers: Arc<Answers>) {
    loop {
        // An error is one connection's, or a lack of descriptors, which the load will see.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (answers, acceptor) = (Arc::clone(&answers), acceptor.clone());
        spawn(async move {
            // Errors mean that the peer has gone; the load notices missing answers.
            let _ = stream.set_nodelay(true);
            let _ = match acceptor {
                None => serve(stream, &answers).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => serve(stream, &answers).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: &Answers) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut filled = 0;
    loop {
        let Some(asked) = Asked::parse(&buffer[..filled])? else {
            if filled == buffer.len() {
                return Err(io::Error::other("a head of more than 64 KiB"));
            }
            let read = stream.read(&mut buffer[filled..]).await?;
            if read == 0 {
                return Ok(());
            }
            filled += read;
            continue;
        };
        // Nobody pipelines, so what is in the buffer belongs to this request.
        let mut left = (asked.head + asked.body).saturating_sub(filled);
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                read => left = left.saturating_sub(read),
            }
        }
        filled = 0;
        match asked.wish {
            _ if asked.get => stream.write_all(&answers.models).await?,
            _ if asked.exported => stream.write_all(TAKEN).await?,
            None => stream.write_all(&answers.whole).await?,
            Some(events) => tell(&mut stream, answers, events).await?,
        }
        stream.flush().await?;
    }
}

/// Streams, each event in a write of its own.
async fn tell(stream: &mut (impl AsyncWrite + Unpin), answers: &Answers, events: Events) -> io::Result<()> {
    let begun = Instant::now();
    let gap = Duration::from_micros(events.gap.into());
    stream.write_all(&answers.begin).await?;
    let mut turns = events.even.then(|| answers.pacer.join(gap));
    for number in 1..=events.count {
        if let Some(turns) = &mut turns {
            turns.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
        } else if !gap.is_zero() {
            // By the clock, so that events that were late do not delay all others.
            tokio::time::sleep_until(begun + gap * number).await;
        }
        let next = if number == events.count { &answers.end } else { &answers.event };
        stream.write_all(next).await?;
    }
    Ok(())
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    head: usize,
    body: usize,
    /// A check of health.
    get: bool,
    /// Spans, which are taken.
    exported: bool,
    wish: Option<Events>,
}

impl Asked {
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [EMPTY_HEADER; 48];
        let mut request = Request::new(&mut headers);
        let Status::Complete(head) = request.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
        let (get, exported) = (request.method == Some("GET"), request.path == Some("/v1/traces"));
        let mut asked = Self { head, body: 0, get, exported, wish: None };
        for header in request.headers.iter() {
            let value = std::str::from_utf8(header.value).unwrap_or_default();
            if header.name.eq_ignore_ascii_case("content-length") {
                asked.body = value.parse().map_err(io::Error::other)?;
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(io::Error::other("the mock reads no chunks"));
            } else if header.name.eq_ignore_ascii_case(WISH) {
                asked.wish = Events::parse(value);
            }
        }
        Ok(Some(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_the_load_is_understood() {
        let events = Events { count: 200, gap: 5000, even: false };
        let bytes = crate::wire::request(([127, 0, 0, 1], 80).into(), 1024, Some(events), "");
        let head = bytes.len() - 1024;
        let asked = Asked { head, body: 1024, get: false, exported: false, wish: Some(events) };
        assert_eq!(Asked::parse(&bytes).unwrap(), Some(asked));
        assert_eq!(Asked::parse(&bytes[..head - 1]).unwrap(), None);
    }

    #[test]
    fn chunks_of_a_stream_carry_their_length() {
        assert_eq!(chunk(b"0123456789abcdef!"), b"11\r\n0123456789abcdef!\r\n");
    }
}
