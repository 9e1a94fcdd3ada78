//! One connection to a mock: requests in, scripted bytes out, and an eye on the other side all the while.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use pointsman::proxy::websocket::handshake::accept;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, timeout};

use super::reply::{Ending, Framing, Reply, Step};
use super::{Seen, Shared};
use crate::socket::Socket;

/// The state of a connection after a reply.
enum After {
    NextRequest,
    Close,
    Reset,
    /// It is a WebSocket now.
    Switched,
}

/// Serves one connection until either side has had enough.
pub(super) async fn serve(shared: Arc<Shared>, mut stream: TcpStream, connection: usize) {
    let _open = Counted::new(&shared.open);
    stream.set_nodelay(true).expect("a fresh socket takes options");
    let mut buffer = BytesMut::new();
    loop {
        let idle = *shared.idle.lock();
        if let Some(idle) = idle
            && buffer.is_empty()
            && timeout(idle, stream.readable()).await.is_err()
        {
            return;
        }
        let (mut reader, mut writer) = stream.split();
        let Ok(Some(seen)) = read_request(&mut reader, &mut buffer, connection).await else { return };
        let headers = seen.headers.clone();
        let (reply, place) = shared.take_in(seen);
        let serving = Serving::new(&shared);
        let after = tokio::select! {
            after = play(&mut writer, &reply, &headers) => after.unwrap_or(After::Close),
            () = peer_leaves(&mut reader, &mut buffer) => {
                shared.left(&place);
                After::Close
            }
        };
        drop(serving);
        match after {
            After::NextRequest => {}
            After::Close => return,
            After::Switched => {
                // The test may be over.
                drop(shared.sockets.0.send(Socket::of_provider(stream, buffer, headers)));
                return;
            }
            After::Reset => {
                stream.set_zero_linger().expect("an open socket takes options");
                return;
            }
        }
    }
}

/// Plays the reply to its end.
async fn play(writer: &mut WriteHalf<'_>, reply: &Reply, asked: &HeaderMap) -> io::Result<After> {
    for step in &reply.lead {
        pause(step).await;
    }
    if reply.ending == Ending::Switched {
        writer.write_all(&switching(reply, asked)).await?;
        return Ok(After::Switched);
    }
    if let Some(head) = reply.head() {
        writer.write_all(head.as_bytes()).await?;
    }
    for step in &reply.steps {
        pause(step).await;
        if let Step::Write(bytes) = step {
            match reply.framing {
                Framing::Chunked if bytes.is_empty() => {}
                Framing::Chunked => {
                    let framed = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
                    writer.write_all(&framed).await?;
                }
                Framing::Length(_) | Framing::UntilClose | Framing::Raw => writer.write_all(bytes).await?,
            }
        }
    }
    match (reply.ending, reply.framing) {
        (Ending::Complete, Framing::Chunked) => {
            writer.write_all(b"0\r\n\r\n").await?;
            Ok(After::NextRequest)
        }
        (Ending::Complete, Framing::Length(_)) => Ok(After::NextRequest),
        (Ending::Complete, Framing::UntilClose | Framing::Raw) | (Ending::Cut, _) => Ok(After::Close),
        (Ending::Reset, _) => Ok(After::Reset),
        (Ending::Switched, _) => Ok(After::Switched),
        (Ending::Hang, _) => std::future::pending().await,
    }
}

/// The head that opens a WebSocket, with what comes along.
fn switching(reply: &Reply, asked: &HeaderMap) -> Vec<u8> {
    let key = asked.get("sec-websocket-key").expect("the proxy opens a WebSocket");
    let accept = accept(key.as_bytes()).expect("a value");
    let mut head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n".to_owned();
    if reply.headers.iter().all(|(name, _)| name != "sec-websocket-accept") {
        head.push_str(&format!("sec-websocket-accept: {}\r\n", accept.to_str().expect("ASCII")));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut bytes = format!("{head}\r\n").into_bytes();
    for step in &reply.steps {
        if let Step::Write(early) = step {
            bytes.extend_from_slice(early);
        }
    }
    bytes
}

async fn pause(step: &Step) {
    match step {
        Step::Write(_) => {}
        Step::Delay(time) => sleep(*time).await,
        Step::Wait(gate) => gate.pass().await,
    }
}

/// Resolves when the other side closes or resets; keeps what it sends meanwhile.
async fn peer_leaves(reader: &mut ReadHalf<'_>, buffer: &mut BytesMut) {
    while reader.read_buf(buffer).await.is_ok_and(|read| read > 0) {}
}

/// Reads one request; `None` when the connection ends before one.
async fn read_request(reader: &mut ReadHalf<'_>, buffer: &mut BytesMut, connection: usize) -> io::Result<Option<Seen>> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end;
        }
        if reader.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = buffer.split_to(end + 4);
    let head = std::str::from_utf8(&head[..end]).expect("the proxy sends ASCII heads");
    let mut lines = head.split("\r\n");
    let mut words = lines.next().expect("split yields at least one").split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("the proxy sends well-formed headers");
        let name = HeaderName::try_from(name).expect("the proxy sends legal names");
        headers.append(name, HeaderValue::try_from(value.trim()).expect("the proxy sends legal values"));
    }
    let length = headers.get("content-length").map(|value| value.to_str().expect("ASCII").parse().expect("a number"));
    let body = match length {
        Some(length) => take(reader, buffer, length).await?,
        None if headers.contains_key("transfer-encoding") => read_chunks(reader, buffer).await?,
        None => Bytes::new(),
    };
    Ok(Some(Seen { method, target, headers, body, connection, at: Instant::now(), left_at: None }))
}

async fn take(reader: &mut ReadHalf<'_>, buffer: &mut BytesMut, length: usize) -> io::Result<Bytes> {
    while buffer.len() < length {
        if reader.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.split_to(length).freeze())
}

async fn read_chunks(reader: &mut ReadHalf<'_>, buffer: &mut BytesMut) -> io::Result<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let end = loop {
            if let Some(end) = find(buffer, b"\r\n") {
                break end;
            }
            if reader.read_buf(buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let line = buffer.split_to(end + 2);
        let size = std::str::from_utf8(&line[..end]).expect("the proxy sends ASCII chunk sizes");
        let size = usize::from_str_radix(size, 16).expect("the proxy sends hexadecimal chunk sizes");
        let chunk = take(reader, buffer, size + 2).await?;
        if size == 0 {
            return Ok(body.freeze());
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Counts what is open for as long as it is.
struct Counted<'a>(&'a std::sync::atomic::AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a std::sync::atomic::AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Counts a request for as long as it is being answered, and remembers the most at once.
struct Serving<'a> {
    _counted: Counted<'a>,
}

impl<'a> Serving<'a> {
    fn new(shared: &'a Shared) -> Self {
        let counted = Counted::new(&shared.serving);
        shared.most_at_once.fetch_max(shared.serving.load(Relaxed), Relaxed);
        Self { _counted: counted }
    }
}
