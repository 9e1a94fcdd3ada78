//! A provider on a bare socket that keeps what it hears as bytes, and reads it as strictly as anybody might.

use std::net::SocketAddr;
use std::sync::Arc;

use harness::spawn;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// What the provider does after it has said the bytes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It keeps the connection open, and hears the next request.
    Stays,
    /// It closes the connection.
    Closes,
}

/// A request as the provider heard it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The number of the connection, from 0.
    pub connection: usize,
    /// The head as text, up to its empty line.
    pub head: String,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Bytes that no request can begin with, or a framing that can be read in two ways.
    wrong: Option<String>,
}

impl Heard {
    /// The lines of a field, by its name in small letters.
    pub fn field(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The reason why another reader could read the request otherwise.
    pub fn fault(&self) -> Option<String> {
        if self.wrong.is_some() {
            return self.wrong.clone();
        }
        let mut lines = self.head.split("\r\n");
        let line: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let whole_line = line.len() == 3 && line[1].starts_with('/') && line[2] == "HTTP/1.1";
        let whole_fields = lines.all(|line| {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let legal = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            let field = line.split_once(':');
            field.is_some_and(|(name, value)| !name.is_empty() && name.bytes().all(token) && value.bytes().all(legal))
        });
        let (lengths, codings) = (self.field("content-length"), self.field("transfer-encoding"));
        let one_framing = match (&lengths[..], &codings[..]) {
            ([length], []) => *length == self.body.len().to_string(),
            ([], ["chunked"]) => true,
            ([], []) => self.body.is_empty(),
            _ => false,
        };
        let own = self.field("host").len() == 1 && self.field("authorization") == [format!("Bearer {}", harness::KEY)];
        let faults = [(whole_line, "line"), (whole_fields, "fields"), (one_framing, "framing"), (own, "host and key")];
        faults
            .into_iter()
            .find(|(sound, _)| !sound)
            .map(|(_, what)| format!("the {what} of what it heard: {:?}", self.head))
    }
}

#[derive(Debug, Default)]
struct Shared {
    heard: Mutex<Vec<Heard>>,
    /// What is said to the next request.
    says: Mutex<Option<(Vec<u8>, Then)>>,
    /// What follows it when the test says so.
    later: Mutex<Option<Vec<u8>>>,
    go_on: Notify,
    /// What is said to the next head, without hearing the body, before the connection is closed.
    says_at_once: Mutex<Option<Vec<u8>>>,
}

/// A provider at a port of its own.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl Provider {
    /// Listens.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, shared) = (listener.local_addr().expect("bound"), Arc::<Shared>::default());
        let accepting = spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, accepting }
    }

    /// Its base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Says `bytes` to the next request, and an echo again to those after it.
    pub fn say(&self, bytes: impl Into<Vec<u8>>, then: Then) {
        *self.shared.says.lock() = Some((bytes.into(), then));
    }

    /// After what it says to the next request, says `bytes` as soon as [`Self::go_on`] is called, and keeps the connection open.
    pub fn say_later(&self, bytes: impl Into<Vec<u8>>) {
        *self.shared.later.lock() = Some(bytes.into());
    }

    /// See [`Self::say_later`].
    pub fn go_on(&self) {
        self.shared.go_on.notify_one();
    }

    /// Says `bytes` to the head of the next request, and closes the connection.
    pub fn say_at_once(&self, bytes: impl Into<Vec<u8>>) {
        *self.shared.says_at_once.lock() = Some(bytes.into());
    }

    /// Takes what was heard since the last time.
    pub fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut self.shared.heard.lock())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connection = 0;
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a fresh socket takes options");
        spawn(serve(stream, connection, Arc::clone(&shared)));
        connection += 1;
    }
}

/// Hears requests one after the other. An end of the connection, even in a request, is no request.
async fn serve(mut stream: TcpStream, connection: usize, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(heard) = hear(&mut stream, &mut buffer, (connection, &shared)).await {
        let wrong = heard.wrong.is_some();
        let echo = echo(&heard);
        shared.heard.lock().push(heard);
        let (says, then) = shared.says.lock().take().unwrap_or((echo, Then::Stays));
        if stream.write_all(&says).await.is_err() {
            return;
        }
        let later = shared.later.lock().take();
        if let Some(later) = later {
            shared.go_on.notified().await;
            if stream.write_all(&later).await.is_err() {
                return;
            }
        }
        if wrong || then == Then::Closes {
            return;
        }
    }
}

/// An answer that names the user of the request, and the target when there is none.
fn echo(heard: &Heard) -> Vec<u8> {
    let body: serde_json::Value = serde_json::from_slice(&heard.body).unwrap_or_default();
    let target = heard.head.split(' ').nth(1).unwrap_or_default();
    let name = body["user"].as_str().unwrap_or(target);
    let answer = format!(r#"{{"choices":[{{"message":{{"content":"echo of {name}"}}}}]}}"#);
    let length = answer.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{answer}")
        .into_bytes()
}

/// One request by a strict reading; `None` when the connection ends first.
async fn hear(stream: &mut TcpStream, buffer: &mut Vec<u8>, at: (usize, &Shared)) -> Option<Heard> {
    let head = until(stream, buffer, b"\r\n\r\n").await?;
    let (connection, shared) = at;
    let at_once = shared.says_at_once.lock().take();
    if let Some(bytes) = at_once {
        // The connection ends here, whether or not the other side has read it.
        let _ = stream.write_all(&bytes).await;
        return None;
    }
    let mut heard =
        Heard { connection, head: String::from_utf8_lossy(&head).into_owned(), body: Vec::new(), wrong: None };
    let length = heard.field("content-length").first().map(|length| length.parse::<usize>());
    if heard.field("transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let line = until(stream, buffer, b"\r\n").await?;
            let size = std::str::from_utf8(&line).ok().and_then(|line| usize::from_str_radix(line, 16).ok());
            let Some(size) = size else {
                heard.wrong = Some(format!("a chunk begins with {:?}", String::from_utf8_lossy(&line)));
                break;
            };
            let chunk = take(stream, buffer, size + 2).await?;
            if !chunk.ends_with(b"\r\n") {
                heard.wrong = Some("a chunk is longer than it says".to_owned());
            }
            heard.body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        match length {
            Ok(length) => heard.body = take(stream, buffer, length).await?,
            Err(error) => heard.wrong = Some(format!("the length is none: {error}")),
        }
    }
    Some(heard)
}

/// What comes before `end`, which is taken along.
async fn until(stream: &mut TcpStream, buffer: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            let mut found: Vec<u8> = buffer.drain(..at + end.len()).collect();
            found.truncate(at);
            return Some(found);
        }
        more(stream, buffer).await?;
    }
}

async fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    Some(buffer.drain(..length).collect())
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(buffer).await.ok()?;
    (read > 0).then_some(())
}
