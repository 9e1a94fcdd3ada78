//! The client and the provider on either side of the proxy: plain sockets and threads, as what they cost is not counted.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use parking_lot::Mutex;

/// A proxy that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers every request, or streams as many events as the request's user asks for.
pub struct Provider {
    address: SocketAddr,
    /// Lets it send the next event.
    next: Sender<()>,
}

impl Provider {
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (next, allowed) = channel();
        let allowed = Arc::new(Mutex::new(allowed));
        // Ends with the process: nobody connects any more.
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let allowed = Arc::clone(&allowed);
                // An error is the proxy's end of the connection; what it broke, the client notices.
                thread::spawn(move || drop(serve(connection, &allowed)));
            }
        });
        Ok(Self { address, next })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(connection: TcpStream, allowed: &Mutex<Receiver<()>>) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let mut answers = connection.try_clone()?;
    let mut requests = BufReader::new(connection);
    loop {
        let body = message(&mut requests)?.body;
        match events_of(&body) {
            None => answers.write_all(answer().as_bytes())?,
            Some(events) => stream(&mut answers, events, &allowed.lock())?,
        }
    }
}

fn stream(answers: &mut TcpStream, events: u32, allowed: &Receiver<()>) -> anyhow::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    answers.write_all(format!("{head}{}", chunk(&event("Hello"))).as_bytes())?;
    for _ in 1..events {
        allowed.recv()?;
        answers.write_all(chunk(&event(" world")).as_bytes())?;
    }
    allowed.recv()?;
    Ok(answers.write_all(format!("{}0\r\n\r\n", chunk("data: [DONE]\n\n")).as_bytes())?)
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// As OpenAI sends them: about 200 bytes.
fn event(text: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-9bYk3x7vQz\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,\
         \"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

/// An answer of about 600 bytes.
fn answer() -> String {
    let words = "word ".repeat(60);
    let body = format!(
        "{{\"id\":\"chatcmpl-9bYk3x7vQz\",\"object\":\"chat.completion\",\"created\":1764000000,\"model\":\"gpt-4o-mini\",\
         \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{words}\"}},\"finish_reason\":\"stop\"}}],\
         \"usage\":{{\"prompt_tokens\":200,\"completion_tokens\":60,\"total_tokens\":260}}}}"
    );
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A client with one connection, as official ones keep it.
pub struct Client {
    requests: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(proxy: SocketAddr) -> anyhow::Result<Self> {
        let requests = TcpStream::connect(proxy)?;
        requests.set_nodelay(true)?;
        requests.set_read_timeout(Some(PATIENCE))?;
        let answers = BufReader::new(requests.try_clone()?);
        Ok(Self { requests, answers })
    }

    /// One request of 1 KB, up to the end of its answer.
    pub fn ask(&mut self) -> anyhow::Result<()> {
        self.requests.write_all(request(None).as_bytes())?;
        let answer = message(&mut self.answers)?;
        if !answer.start.starts_with("HTTP/1.1 200") || answer.body.len() < 500 {
            bail!("the proxy answered {} with {}", answer.start, String::from_utf8_lossy(&answer.body));
        }
        Ok(())
    }

    /// One stream of so many events, each of which is awaited before the next is sent.
    pub fn follow(&mut self, provider: &mut Provider, events: u32) -> anyhow::Result<()> {
        self.requests.write_all(request(Some(events)).as_bytes())?;
        let head = head(&mut self.answers)?;
        if !head.start.starts_with("HTTP/1.1 200") {
            bail!("the proxy answered {}", head.start);
        }
        for _ in 0..events {
            self.event()?;
            provider.next.send(())?;
        }
        let last = self.event()?;
        if last.trim_end() != "data: [DONE]" {
            bail!("the stream ended with {last}");
        }
        Ok(())
    }

    /// The next line with data; those between belong to the framing.
    fn event(&mut self) -> anyhow::Result<String> {
        loop {
            let line = line(&mut self.answers)?;
            if line.starts_with("data: ") {
                return Ok(line);
            }
        }
    }
}

/// A chat request of 1 KB. The number of events is in a part that the proxy does not read.
fn request(events: Option<u32>) -> String {
    let (stream, user) = (events.is_some(), events.unwrap_or_default());
    let (model, words) = ("gpt-4o-mini", "word ".repeat(170));
    let body = format!(
        "{{\"model\":\"{model}\",\"stream\":{stream},\"user\":\"{user:08}\",\"messages\":[\
         {{\"role\":\"system\",\"content\":\"You are helpful.\"}},{{\"role\":\"user\",\"content\":\"{words}\"}}]}}"
    );
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\nuser-agent: guard\r\n\
         authorization: Bearer sk-guard\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The number of events that a request asks for; `None` if it wants no stream.
fn events_of(body: &[u8]) -> Option<u32> {
    let request: serde_json::Value = serde_json::from_slice(body).ok()?;
    request["stream"].as_bool()?.then(|| request["user"].as_str()?.parse().ok())?
}

struct Message {
    /// Its first line.
    start: String,
    length: usize,
    body: Vec<u8>,
}

/// A message whose length is announced.
fn message(source: &mut BufReader<TcpStream>) -> anyhow::Result<Message> {
    let mut message = head(source)?;
    message.body = vec![0; message.length];
    source.read_exact(&mut message.body)?;
    Ok(message)
}

fn head(source: &mut impl BufRead) -> anyhow::Result<Message> {
    let mut message = Message { start: line(source)?, length: 0, body: Vec::new() };
    loop {
        let line = line(source)?.to_ascii_lowercase();
        if line.trim_end().is_empty() {
            return Ok(message);
        }
        if let Some(length) = line.strip_prefix("content-length:") {
            message.length = length.trim().parse()?;
        }
    }
}

fn line(source: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    if source.read_line(&mut line).context("the other side says nothing")? == 0 {
        bail!("the connection is closed");
    }
    Ok(line)
}
