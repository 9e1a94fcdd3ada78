//! A provider that says what its script says, keeps what it was sent, and notices when the proxy leaves.
//!
//! Written on a bare socket, because most of what it must do is what no HTTP library would let it.

mod connection;
pub mod reply;

use std::any::Any;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use self::reply::{Reply, Script};
use crate::socket::Socket;
use crate::within;

/// A scripted provider on a port of its own.
#[derive(Debug)]
pub struct Mock {
    name: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<AbortHandle>,
    /// A socket that is bound and does not listen, or one that listens and does not accept, with what fills it.
    _deaf: Vec<Deaf>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for their Drop alone")]
enum Deaf {
    Socket(TcpSocket),
    Listener(TcpListener),
    Stream(TcpStream),
}

/// One request as the mock saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `POST` and the like.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, without its framing.
    pub body: Bytes,
    /// Which connection brought it, counted from 0.
    pub connection: usize,
    /// When it had arrived whole.
    pub at: Instant,
    /// When the proxy closed the connection, if it did so before the reply was over.
    pub left_at: Option<Instant>,
}

impl Seen {
    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the provider got JSON")
    }

    /// One header's value, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("not text"))
    }
}

/// Which request of which kind, to find it again.
struct Place {
    check: bool,
    index: usize,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    check_script: Mutex<Script>,
    requests: Mutex<Vec<Seen>>,
    checks: Mutex<Vec<Seen>>,
    open: AtomicUsize,
    accepted: AtomicUsize,
    serving: AtomicUsize,
    most_at_once: AtomicUsize,
    panics: Mutex<Vec<Box<dyn Any + Send>>>,
    /// The time for which a connection may be without a request.
    idle: Mutex<Option<Duration>>,
    /// The connections that have become WebSockets, for the test.
    sockets: (mpsc::UnboundedSender<Socket>, tokio::sync::Mutex<mpsc::UnboundedReceiver<Socket>>),
}

impl Shared {
    fn new(script: Script) -> Arc<Self> {
        let (sockets, arrived) = mpsc::unbounded_channel();
        Arc::new(Self {
            script: Mutex::new(script),
            check_script: Mutex::new(Reply::models(&["gpt-4"]).into()),
            requests: Mutex::default(),
            checks: Mutex::default(),
            open: AtomicUsize::default(),
            accepted: AtomicUsize::default(),
            serving: AtomicUsize::default(),
            most_at_once: AtomicUsize::default(),
            panics: Mutex::default(),
            idle: Mutex::default(),
            sockets: (sockets, tokio::sync::Mutex::new(arrived)),
        })
    }

    /// Keeps the request and asks the script what to say.
    fn take_in(&self, seen: Seen) -> (Reply, Place) {
        let path = seen.target.split('?').next().unwrap_or_default();
        let check = seen.method == "GET" && path.ends_with("/models");
        let (script, kept) = if check { (&self.check_script, &self.checks) } else { (&self.script, &self.requests) };
        let mut kept = kept.lock();
        let index = kept.len();
        kept.push(seen.clone());
        drop(kept);
        let script = script.lock().clone();
        (script.reply(index, &seen), Place { check, index })
    }

    fn left(&self, place: &Place) {
        let kept = if place.check { &self.checks } else { &self.requests };
        kept.lock()[place.index].left_at = Some(Instant::now());
    }
}

impl Mock {
    /// A provider called `name` that follows `script`, and lists one model when asked for its models.
    pub async fn start(name: &str, script: impl Into<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("bound");
        let shared = Shared::new(script.into());
        let accepting = crate::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { name: name.to_owned(), address, shared, accepting: Some(accepting), _deaf: vec![] }
    }

    /// A provider whose port refuses connections. The port stays taken, so that nobody else begins to listen there.
    pub async fn refusing(name: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("sockets exist");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("loopback has free ports");
        let address = socket.local_addr().expect("bound");
        Self::deaf(name, address, vec![Deaf::Socket(socket)])
    }

    /// Begins to listen where connections were refused, and follows `script`.
    ///
    /// # Panics
    ///
    /// When it did not refuse them.
    pub async fn begin(mut self, script: impl Into<Script>) -> Self {
        let socket = match self._deaf.pop() {
            Some(Deaf::Socket(socket)) => Some(socket),
            Some(Deaf::Listener(_) | Deaf::Stream(_)) | None => None,
        };
        let socket = socket.expect("it refuses connections");
        let listener = socket.listen(1024).expect("a bound socket can listen");
        self.follow(script);
        self.accepting = Some(crate::spawn(accept(listener, Arc::clone(&self.shared))).abort_handle());
        self
    }

    /// A provider to which no connection comes about: its backlog is full, and the kernel drops what knocks.
    pub async fn unreachable(name: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("sockets exist");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("loopback has free ports");
        let listener = socket.listen(0).expect("a bound socket can listen");
        let address = listener.local_addr().expect("bound");
        let mut deaf = vec![Deaf::Listener(listener)];
        while let Ok(filler) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            deaf.push(Deaf::Stream(filler.expect("the kernel drops rather than refuses")));
        }
        Self::deaf(name, address, deaf)
    }

    fn deaf(name: &str, address: SocketAddr, deaf: Vec<Deaf>) -> Self {
        let shared = Shared::new(Reply::silence().into());
        Self { name: name.to_owned(), address, shared, accepting: None, _deaf: deaf }
    }

    /// Its name, which is the provider's in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL as it stands in a configuration.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Follows another script from the next request on; numbers go on.
    pub fn follow(&self, script: impl Into<Script>) {
        *self.shared.script.lock() = script.into();
    }

    /// Answers requests for its list of models by `script`.
    pub fn list_models_by(&self, script: impl Into<Script>) {
        *self.shared.check_script.lock() = script.into();
    }

    /// The next WebSocket that was opened here.
    ///
    /// # Panics
    ///
    /// When none is in time.
    pub async fn socket(&self) -> Socket {
        let mut arrived = self.shared.sockets.1.lock().await;
        within("a WebSocket", arrived.recv()).await.expect("the mock is there")
    }

    /// Closes connections on which no request has come for so long, as many servers do.
    pub fn close_idle_after(&self, time: Duration) {
        *self.shared.idle.lock() = Some(time);
    }

    /// The requests so far, without those for the list of models.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.requests.lock().clone()
    }

    /// The only request so far.
    ///
    /// # Panics
    ///
    /// When there were more or none.
    pub fn only_request(&self) -> Seen {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "requests to {}", self.name);
        requests[0].clone()
    }

    /// The number of requests, without those for the list of models.
    pub fn calls(&self) -> usize {
        self.shared.requests.lock().len()
    }

    /// The requests for the list of models so far.
    pub fn checks(&self) -> Vec<Seen> {
        self.shared.checks.lock().clone()
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Relaxed)
    }

    /// Requests being answered now.
    pub fn serving(&self) -> usize {
        self.shared.serving.load(Relaxed)
    }

    /// The most requests that were being answered at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Relaxed)
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
        let panic = self.shared.panics.lock().pop();
        if let Some(panic) = panic
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = shared.accepted.fetch_add(1, Relaxed);
        let shared = Arc::clone(&shared);
        crate::spawn(async move {
            let served = AssertUnwindSafe(connection::serve(Arc::clone(&shared), stream, connection));
            if let Err(panic) = served.catch_unwind().await {
                shared.panics.lock().push(panic);
            }
        });
    }
}
