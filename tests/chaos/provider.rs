//! A provider in a storm: it checks what it is sent, and answers rightly or in one of many wrong ways, as the dice say.
//!
//! Not the harness's mock, which keeps all it was sent for the test to look at: a storm sends too much, and what it is
//! about are the moments between the bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::ask::{Ask, Dice, Kind, excerpt};
use crate::ledger::Ledger;
use crate::tally::Tally;

/// The client's name for a model that [`Provider::mapped`] knows by another.
pub const MODEL: &str = "gpt-4";
/// The other.
pub const MAPPED: &str = "mapped-\u{e9}";

/// Enough for the end of a connection that is closed already to be noticed.
const NOTICED: Duration = Duration::from_millis(5);

/// The fault of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    HangUp,
    Reset,
    ResetInTheMiddle,
    CutInTheMiddle,
    StallAtOnce,
    StallInTheMiddle,
    Drip,
    AnnouncesMore,
    AnnouncesLess,
    NoHttp,
    BrokenChunk,
    Status500,
    Status503RetryAfter,
    Status429,
    Status429RetryAfter,
    Rejects,
    ErrorAsFirstEvent,
}

impl Fault {
    pub const ALL: [Fault; 17] = [
        Fault::HangUp,
        Fault::Reset,
        Fault::ResetInTheMiddle,
        Fault::CutInTheMiddle,
        Fault::StallAtOnce,
        Fault::StallInTheMiddle,
        Fault::Drip,
        Fault::AnnouncesMore,
        Fault::AnnouncesLess,
        Fault::NoHttp,
        Fault::BrokenChunk,
        Fault::Status500,
        Fault::Status503RetryAfter,
        Fault::Status429,
        Fault::Status429RetryAfter,
        Fault::Rejects,
        Fault::ErrorAsFirstEvent,
    ];
}

/// The state that all providers of a storm share.
#[derive(Debug)]
pub struct Stage {
    pub ledger: Arc<Ledger>,
    pub tally: Arc<Tally>,
    pub seed: u64,
    /// `queue.max_concurrent`.
    pub total: usize,
    /// The client's key, which no provider may see.
    pub client_key: String,
}

/// One provider.
#[derive(Debug)]
pub struct Provider {
    pub index: usize,
    pub limit: Option<usize>,
    pub mapped: bool,
    pub fallback_only: bool,
    address: SocketAddr,
    desk: Arc<Desk>,
    /// Keeps the port while nobody listens.
    _port: TcpSocket,
    listening: Mutex<Option<tokio::task::AbortHandle>>,
}

#[derive(Debug)]
struct Desk {
    stage: Arc<Stage>,
    index: usize,
    limit: Option<usize>,
    mapped: bool,
    /// Wakes every connection, to die.
    kill: Notify,
    /// Faults per hundred answers.
    mood: AtomicUsize,
    /// Milliseconds that a right answer may take.
    pace: AtomicUsize,
    number: AtomicUsize,
}

impl Provider {
    pub fn start(stage: &Arc<Stage>, index: usize, limit: Option<usize>, mapped: bool, fallback_only: bool) -> Self {
        let port = bound("127.0.0.1:0".parse().expect("an address"));
        let address = port.local_addr().expect("bound");
        let desk = Arc::new(Desk {
            stage: Arc::clone(stage),
            index,
            limit,
            mapped,
            kill: Notify::new(),
            mood: AtomicUsize::new(0),
            pace: AtomicUsize::new(20),
            number: AtomicUsize::new(0),
        });
        let provider =
            Self { index, limit, mapped, fallback_only, address, desk, _port: port, listening: Mutex::new(None) };
        provider.up();
        provider
    }

    pub fn key(index: usize) -> String {
        format!("sk-{}-of-provider-{index}-end", harness::SECRET_MARK)
    }

    /// Its entry in the configuration.
    pub fn entry(&self) -> serde_json::Value {
        let mut entry = serde_json::json!({
            "name": format!("p{}", self.index),
            "base_url": format!("http://{}/v1", self.address),
            "api_key": Self::key(self.index),
            "fallback_only": self.fallback_only,
        });
        if let Some(limit) = self.limit {
            entry["max_concurrent"] = limit.into();
        }
        if self.mapped {
            entry["model_map"] = serde_json::json!({MODEL: MAPPED});
        }
        entry
    }

    /// Listens; harmless when it does.
    pub fn up(&self) {
        let mut listening = self.listening.lock();
        if listening.is_none() {
            let listener = bound(self.address).listen(1024).expect("the port is ours");
            *listening = Some(harness::spawn(accept(listener, Arc::clone(&self.desk))).abort_handle());
        }
    }

    /// Stops listening; what is connected stays.
    pub fn deaf(&self) {
        if let Some(listening) = self.listening.lock().take() {
            listening.abort();
        }
    }

    /// Closes all connections.
    pub fn drop_connections(&self) {
        self.desk.kill.notify_waiters();
    }

    /// Of a hundred answers, `faults` go wrong.
    pub fn mood(&self, faults: usize) {
        self.desk.mood.store(faults, Relaxed);
    }

    /// A right answer takes up to `pace` milliseconds.
    pub fn pace(&self, pace: usize) {
        self.desk.pace.store(pace, Relaxed);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.deaf();
        self.drop_connections();
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("sockets exist");
    socket.set_reuseaddr(true).expect("a fresh socket takes options");
    socket.bind(address).expect("the port is free or ours");
    socket
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    while let Ok((stream, _)) = listener.accept().await {
        let desk = Arc::clone(&desk);
        harness::spawn(async move {
            let killed = desk.kill.notified();
            tokio::select! {
                () = killed => {}
                () = serve(&desk, stream) => {}
            }
        });
    }
}

enum After {
    Next,
    Close,
    Reset,
}

async fn serve(desk: &Desk, mut stream: TcpStream) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut buffer = BytesMut::new();
    let mut latest: Option<(u64, Instant)> = None;
    loop {
        let (mut reader, mut writer) = stream.split();
        let Some((line, headers, body)) = read_request(&mut reader, &mut buffer).await else {
            // The proxy keeps idle connections for 4 s: this one was closed while, or just after, the reply was written.
            if let Some((id, at)) = latest
                && at.elapsed() < Duration::from_secs(1)
            {
                desk.stage.ledger.had_left(id);
            }
            return;
        };
        let visit = if line.starts_with("GET") {
            None
        } else {
            Some(desk.stage.ledger.enter(desk.index, desk.limit, desk.stage.total))
        };
        latest = None;
        let after = if visit.is_none() {
            let models = br#"{"object":"list","data":[{"id":"gpt-4","object":"model"}]}"#;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", models.len());
            drop(writer.write_all(&[head.as_bytes(), models].concat()).await);
            After::Next
        } else {
            let ask = desk.check(&line, &headers, &body);
            let mut visit = visit;
            let id = visit.as_ref().map(crate::ledger::Visit::id);
            let is_suspect = visit.as_ref().is_some_and(crate::ledger::Visit::is_suspect);
            // One too many may have left before its request was read.
            let gone = is_suspect && timeout(NOTICED, leaves(&mut reader, &mut buffer)).await.is_ok();
            let (after, mut left) = tokio::select! {
                biased;
                () = leaves(&mut reader, &mut buffer), if !gone => (After::Close, true),
                // What cannot be written has nobody to read it: the proxy has left.
                after = desk.answer(&mut writer, ask.as_ref(), &mut visit), if !gone => match after {
                    Ok(after) => (after, false),
                    Err(_) => (After::Close, true),
                },
                else => (After::Close, true),
            };
            // Or while it got an answer that is about to break: the proxy cannot know that yet.
            if visit.is_some() && !left && !matches!(after, After::Next) {
                left = timeout(NOTICED, leaves(&mut reader, &mut buffer)).await.is_ok();
            }
            if let Some(visit) = visit
                && left
            {
                visit.left();
            }
            latest = id.map(|id| (id, Instant::now()));
            after
        };
        match after {
            After::Next => {}
            After::Close => return,
            After::Reset => {
                drop(stream.set_zero_linger());
                return;
            }
        }
    }
}

async fn leaves(reader: &mut ReadHalf<'_>, buffer: &mut BytesMut) {
    while reader.read_buf(buffer).await.is_ok_and(|read| read > 0) {}
}

type Visit = Option<crate::ledger::Visit>;

impl Desk {
    /// Checks that the proxy sent exactly what it should.
    fn check(&self, line: &str, headers: &HeaderMap, body: &[u8]) -> Option<Ask> {
        let tally = &self.stage.tally;
        let Some(ask) = Ask::of(headers) else {
            tally.complain(format!("provider {} got a request of nobody: {line}", self.index));
            return None;
        };
        let model = if self.mapped && ask.model == MODEL { MAPPED } else { &ask.model };
        let is_right = match ask.kind {
            Kind::Reread => ask.is_reread(body, model),
            Kind::Chat | Kind::Stream | Kind::Embeddings => body == ask.body(model),
        };
        if !is_right {
            tally.complain(format!("the body of {} arrived as {}", ask.to_header(), excerpt(body, 200)));
        }
        if !line.contains(ask.path()) {
            tally.complain(format!("{} arrived at {line}", ask.to_header()));
        }
        let own = format!("Bearer {}", Provider::key(self.index));
        if headers.get("authorization").is_none_or(|value| value.as_bytes() != own.as_bytes()) {
            tally.complain(format!("{} arrived without the provider's own key", ask.to_header()));
        }
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            let foreign = value.contains(harness::SECRET_MARK) && *value != own;
            if foreign || value.contains(&self.stage.client_key) {
                tally.complain(format!("a key of somebody else's in {name} at provider {}", self.index));
            }
        }
        Some(ask)
    }

    fn roll(&self, ask: &Ask) -> (Option<Fault>, Dice) {
        let number = self.number.fetch_add(1, Relaxed) as u64;
        let mut dice = Dice::part(self.stage.seed, ((self.index as u64) << 40) | number);
        if !dice.chance(self.mood.load(Relaxed)) {
            return (None, dice);
        }
        let fits = |fault| match fault {
            // A provider that lies so about a stream is beyond help: nobody could tell.
            Fault::AnnouncesLess | Fault::AnnouncesMore => ask.kind != Kind::Stream,
            Fault::BrokenChunk | Fault::ErrorAsFirstEvent => ask.kind == Kind::Stream,
            _ => true,
        };
        loop {
            let fault = *dice.pick(&Fault::ALL);
            // One of these says no to many requests, and a storm of refusals tests little else.
            let throttles = [Fault::Status429, Fault::Status429RetryAfter, Fault::Status503RetryAfter];
            if fits(fault) && !(throttles.contains(&fault) && dice.chance(80)) {
                self.stage.tally.count(&format!("provider fault: {fault:?}"));
                return (Some(fault), dice);
            }
        }
    }

    async fn answer(&self, writer: &mut WriteHalf<'_>, ask: Option<&Ask>, visit: &mut Visit) -> std::io::Result<After> {
        let Some(ask) = ask else {
            *visit = None;
            writer.write_all(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n").await?;
            return Ok(After::Next);
        };
        let (fault, mut dice) = self.roll(ask);
        let error = |status: u16, more: &str| {
            let body =
                format!("{{\"error\":{{\"message\":\"mock {}\",\"type\":\"mock_error\",\"code\":\"mock\"}}}}", ask.id);
            let length = body.len();
            format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n{body}"
            )
        };
        let pieces = ask.answer();
        let length: usize = pieces.iter().map(bytes::Bytes::len).sum();
        let streams = ask.kind == Kind::Stream;
        let chunked = streams || dice.chance(30);
        let announced = match fault {
            Some(Fault::AnnouncesMore) => length + 1 + dice.below(1000),
            Some(Fault::AnnouncesLess) => dice.below(length),
            _ => length,
        };
        let framing = match fault {
            Some(Fault::AnnouncesMore | Fault::AnnouncesLess) => format!("content-length: {announced}"),
            _ if chunked => "transfer-encoding: chunked".to_owned(),
            _ => format!("content-length: {length}"),
        };
        let chunked = framing.starts_with("transfer");
        let kind = if streams { "text/event-stream" } else { "application/json" };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{framing}\r\n\r\n");
        // Where it breaks: a piece, and a byte within that piece.
        let at = dice.below(pieces.len());
        let pace = self.pace.load(Relaxed);
        let pause = Duration::from_millis(dice.below(pace.max(1)) as u64) / u32::try_from(pieces.len()).unwrap_or(1);
        // Here the proxy may be through with the answer before it has been written.
        let early = [Fault::AnnouncesLess, Fault::NoHttp, Fault::ErrorAsFirstEvent, Fault::BrokenChunk];
        if fault.is_some_and(|fault| early.contains(&fault)) {
            *visit = None;
        }
        match fault {
            Some(Fault::HangUp) => return Ok(After::Close),
            Some(Fault::Reset) => return Ok(After::Reset),
            Some(Fault::StallAtOnce) => return std::future::pending().await,
            Some(Fault::NoHttp) => {
                writer.write_all(b"SSH-2.0-nonsense\r\n\x00\xff\r\n\r\n").await?;
                return Ok(After::Close);
            }
            Some(
                fault @ (Fault::Status500
                | Fault::Status503RetryAfter
                | Fault::Status429
                | Fault::Status429RetryAfter
                | Fault::Rejects),
            ) => {
                let text = match fault {
                    Fault::Status500 => error(500, ""),
                    Fault::Status503RetryAfter => error(503, "retry-after: 1\r\n"),
                    Fault::Status429 => error(429, ""),
                    Fault::Status429RetryAfter => error(429, "retry-after-ms: 300\r\n"),
                    _ => error(400, ""),
                };
                sleep(pause).await;
                *visit = None;
                writer.write_all(text.as_bytes()).await?;
                return Ok(After::Next);
            }
            Some(Fault::ErrorAsFirstEvent) => {
                writer.write_all(head.as_bytes()).await?;
                let event = "data: {\"error\":{\"message\":\"mock\"}}\n\n";
                writer.write_all(format!("{:x}\r\n{event}\r\n0\r\n\r\n", event.len()).as_bytes()).await?;
                return Ok(After::Close);
            }
            _ => {}
        }
        writer.write_all(head.as_bytes()).await?;
        let last = pieces.len() - 1;
        for (index, piece) in pieces.iter().enumerate() {
            if !pause.is_zero() && (streams || index % 16 == 0) {
                sleep(pause).await;
            }
            if fault == Some(Fault::Drip) {
                sleep(Duration::from_millis(150)).await;
            }
            let half = if index == at { piece.len() / 2 } else { piece.len() };
            let breaks = match fault {
                Some(Fault::ResetInTheMiddle) => Some(After::Reset),
                Some(Fault::CutInTheMiddle) => Some(After::Close),
                Some(Fault::StallInTheMiddle | Fault::BrokenChunk) => Some(After::Next),
                _ => None,
            };
            if index == at
                && let Some(after) = breaks
            {
                write_piece(writer, &piece[..half], chunked).await?;
                if fault == Some(Fault::StallInTheMiddle) {
                    return std::future::pending().await;
                }
                if fault == Some(Fault::BrokenChunk) {
                    writer.write_all(b"zz\r\nno chunk\r\n").await?;
                    return Ok(After::Close);
                }
                return Ok(after);
            }
            if index == last {
                // Over before its last byte: whoever reads that may send the next request at once.
                if fault != Some(Fault::AnnouncesMore) {
                    *visit = None;
                }
                let mut end = BytesMut::new();
                frame(&mut end, piece, chunked);
                if chunked {
                    end.extend_from_slice(b"0\r\n\r\n");
                }
                writer.write_all(&end).await?;
            } else {
                write_piece(writer, piece, chunked).await?;
            }
        }
        let honest = !matches!(fault, Some(Fault::AnnouncesMore | Fault::AnnouncesLess));
        Ok(if honest { After::Next } else { After::Close })
    }
}

async fn write_piece(writer: &mut WriteHalf<'_>, piece: &[u8], chunked: bool) -> std::io::Result<()> {
    let mut framed = BytesMut::new();
    frame(&mut framed, piece, chunked);
    writer.write_all(&framed).await
}

fn frame(out: &mut BytesMut, piece: &[u8], chunked: bool) {
    if chunked && !piece.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    } else if !chunked {
        out.extend_from_slice(piece);
    }
}

/// Reads one request: its line, headers and body. `None` when the connection ends or what comes is none.
async fn read_request(reader: &mut ReadHalf<'_>, buffer: &mut BytesMut) -> Option<(String, HeaderMap, BytesMut)> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if reader.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = buffer.split_to(end);
    let head = std::str::from_utf8(&head).ok()?;
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let mut headers = HeaderMap::new();
    for header in lines.filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once(':')?;
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.trim()).ok()?);
    }
    let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        if reader.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer.split_to(length);
    Some((line, headers, body))
}
