//! The client's side: whole answers, answers piece by piece, and leaving at any moment.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::client::conn::http2;
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::secrets::{claim_none, claim_none_in_headers};
use crate::within;

/// A request to be sent.
#[derive(Debug)]
pub struct Call {
    address: SocketAddr,
    request: http::request::Builder,
    body: Bytes,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, as far as it came.
    pub body: Bytes,
    /// True when the body ended as HTTP says, rather than with the connection.
    pub complete: bool,
    /// From sending to the last byte.
    pub took: std::time::Duration,
}

/// An answer that is read piece by piece. Dropping it is leaving.
#[derive(Debug)]
pub struct Streaming {
    /// The status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    body: Incoming,
    _connection: Option<Connection>,
}

/// A connection with HTTP/2, for many requests at once. Dropping it is leaving.
#[derive(Debug)]
pub struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    authority: String,
    tasks: Tasks,
    ended: tokio::sync::watch::Receiver<bool>,
}

/// A connection that is used for one request after the other.
#[derive(Debug)]
pub struct Session {
    address: SocketAddr,
    open: Option<(SendRequest<Full<Bytes>>, Connection)>,
}

/// Closes the connection when dropped, at once.
#[derive(Debug)]
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connect(address: SocketAddr) -> (SendRequest<Full<Bytes>>, Connection) {
    let stream = TcpStream::connect(address).await.expect("the proxy accepts connections");
    stream.set_nodelay(true).expect("a fresh socket takes options");
    let (sender, connection) =
        http1::Builder::new().max_headers(512).handshake(TokioIo::new(stream)).await.expect("no bytes are sent yet");
    let task = crate::spawn(async move { drop(connection.await) });
    (sender, Connection(task.abort_handle()))
}

impl Call {
    /// A request to whoever listens at `address`.
    pub fn to(address: SocketAddr, method: Method, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path).header("host", address.to_string());
        Self { address, request, body: Bytes::new() }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and says so.
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends it and reads the whole answer.
    pub async fn answer(self) -> Answer {
        let began = Instant::now();
        within("an answer", async move { self.start().await.whole(began).await }).await
    }

    /// Sends it and waits for the head of the answer.
    pub async fn open(self) -> Streaming {
        within("the head of an answer", self.start()).await
    }

    /// Sends it and waits as long as it takes; dropping the future is leaving.
    pub async fn start(self) -> Streaming {
        let (mut sender, connection) = connect(self.address).await;
        let request = self.request.body(Full::new(self.body)).expect("the test writes legal requests");
        let response = sender.send_request(request).await.expect("the proxy answers");
        let (head, body) = response.into_parts();
        claim_none_in_headers(&head.headers);
        let (status, headers) = (head.status.as_u16(), head.headers);
        Streaming { status, headers, body, _connection: Some(connection) }
    }
}

/// The library's tasks for one connection, one of which has the socket.
#[derive(Clone, Debug, Default)]
struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl<F: Future<Output: Send + 'static> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.0.lock().push(crate::spawn(future).abort_handle());
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.tasks.0.lock().iter().for_each(AbortHandle::abort);
    }
}

impl Http2 {
    /// A connection without TLS, by prior knowledge.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the proxy accepts connections");
        stream.set_nodelay(true).expect("a fresh socket takes options");
        Self::over(stream, &address.to_string()).await
    }

    /// A connection over this stream, to whom `authority` names.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, authority: &str) -> Self {
        // The windows are those of the specification and not hyper's, which take a whole answer that nobody reads.
        let tasks = Tasks::default();
        let handshake = http2::Builder::new(tasks.clone())
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(1 << 20)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("the proxy speaks HTTP/2");
        let (tell, ended) = tokio::sync::watch::channel(false);
        tasks.execute(async move {
            drop(connection.await);
            let _ = tell.send(true);
        });
        Self { sender, authority: authority.to_owned(), tasks, ended }
    }

    /// A request with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Request<Full<Bytes>> {
        let uri = format!("http://{}{path}", self.authority);
        let request = Request::post(uri).header("content-type", "application/json");
        request.body(Full::new(Bytes::from(body.to_string()))).expect("a legal request")
    }

    /// Sends a request, and gives the head of the answer as it comes; dropping the future resets the stream.
    pub fn start(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Streaming, hyper::Error>> + Send + 'static {
        let mut sender = self.sender.clone();
        async move {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            assert_eq!(response.version(), http::Version::HTTP_2);
            let (head, body) = response.into_parts();
            claim_none_in_headers(&head.headers);
            Ok(Streaming { status: head.status.as_u16(), headers: head.headers, body, _connection: None })
        }
    }

    /// A whole answer to a chat request.
    pub fn chat(&self) -> impl Future<Output = Answer> + Send + 'static {
        let started = self.start(self.post("/v1/chat/completions", &crate::chat_request()));
        let began = Instant::now();
        async move { within("an answer", async { started.await.expect("an answer").whole(began).await }).await }
    }

    /// True once the connection has ended.
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Leaves at once.
    pub fn leave(self) {
        drop(self);
    }
}

impl Session {
    /// One to `address`, opened with the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, open: None }
    }

    /// Posts a JSON body to the chat endpoint and reads the whole answer.
    pub async fn chat(&mut self, body: Bytes) -> Answer {
        let began = Instant::now();
        if self.open.as_ref().is_none_or(|(sender, _)| sender.is_closed()) {
            self.open = Some(connect(self.address).await);
        }
        let (sender, _) = self.open.as_mut().expect("just opened");
        let request = Request::post("/v1/chat/completions")
            .header("host", "proxy")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .expect("a legal request");
        within("an answer in a session", async {
            sender.ready().await.expect("the connection stays");
            let (head, body) = sender.send_request(request).await.expect("the proxy answers").into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            claim_none(&body);
            claim_none_in_headers(&head.headers);
            let (status, headers) = (head.status.as_u16(), head.headers);
            Answer { status, headers, body, complete: true, took: began.elapsed() }
        })
        .await
    }
}

impl Streaming {
    /// The next piece as it comes over the wire; `None` at the end, an error when the end is not HTTP's.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let frame = within("the next piece of an answer", self.body.frame()).await?;
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => {
                    claim_none(&data);
                    return Some(Ok(data));
                }
                Ok(Err(_trailers)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Reads until `text` has come; gives all that came until then.
    ///
    /// # Panics
    ///
    /// When the answer ends before.
    pub async fn read_until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        loop {
            let so_far = String::from_utf8_lossy(&read).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            let chunk = self.chunk().await;
            assert!(matches!(chunk, Some(Ok(_))), "{text:?} must come, got {chunk:?} after {so_far:?}");
            if let Some(Ok(chunk)) = chunk {
                read.extend_from_slice(&chunk);
            }
        }
    }

    /// Reads the rest.
    pub async fn rest(self) -> Answer {
        self.whole(Instant::now()).await
    }

    async fn whole(mut self, began: Instant) -> Answer {
        let mut body = Vec::new();
        let complete = loop {
            match self.chunk().await {
                None => break true,
                Some(Ok(chunk)) => body.extend_from_slice(&chunk),
                Some(Err(_)) => break false,
            }
        };
        claim_none(&body);
        let took = began.elapsed();
        Answer { status: self.status, headers: self.headers, body: body.into(), complete, took }
    }

    /// One header's value, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        text(&self.headers, name)
    }
}

impl Answer {
    /// One header's value, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        text(&self.headers, name)
    }

    /// The provider that the proxy names.
    pub fn provider(&self) -> &str {
        self.header("x-pointsman-provider")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        assert!(parsed.is_ok(), "not JSON: {:?}", self.text());
        parsed.expect("just checked")
    }

    /// The content of a whole chat completion.
    pub fn content(&self) -> String {
        let json = self.json();
        json["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
    }

    /// `error.code` of an error body.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// `error.message` of an error body.
    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap_or("not text"))
}
