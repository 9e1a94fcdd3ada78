//! HTTP/2 to providers: shared connections, what is sent again, and what is cancelled.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use harness::{Gate, KEY, Proxy, ProxyBuilder, Reply, chat_request, eventually, spawn, stream_request, within};
use http::{Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// A provider that speaks both versions, over TLS what is agreed on.
struct Provider {
    address: SocketAddr,
    certificate: Option<String>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    calls: Mutex<Vec<(Version, http::Uri, http::HeaderMap)>>,
    at_once: AtomicUsize,
    most: AtomicUsize,
    /// Notified to have every connection go away.
    leave: Notify,
}

/// Counts a request for as long as it is worked on.
struct Working(Arc<Seen>);

impl Working {
    fn new(seen: &Arc<Seen>) -> Self {
        let now = 1 + seen.at_once.fetch_add(1, SeqCst);
        seen.most.fetch_max(now, SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, SeqCst);
    }
}

/// The way in which the provider treats a request.
#[derive(Clone)]
enum Script {
    /// Answers once the gate lets it.
    Chat(Gate),
    /// Sends a word, and the rest once the gate lets it.
    Words(Gate),
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(script: Script, seen: Arc<Seen>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let working = Working::new(&seen);
    let (head, body) = request.into_parts();
    if head.method == http::Method::GET {
        return Ok(Response::new(Full::new(Bytes::from_static(b"{\"data\": []}")).boxed()));
    }
    drop(body.collect().await);
    seen.calls.lock().push((head.version, head.uri, head.headers));
    match script {
        Script::Chat(gate) => {
            gate.pass().await;
            drop(working);
            let whole = Reply::chat("hello").on_the_wire();
            let body = whole.split_once("\r\n\r\n").expect("a head").1.to_owned();
            let response = Response::builder().header("content-type", "application/json");
            Ok(response.body(Full::new(Bytes::from(body)).boxed()).expect("legal"))
        }
        Script::Words(gate) => {
            let event = |word: &str| {
                let chunk = json!({"choices": [{"index": 0, "delta": {"content": word}}]});
                Bytes::from(format!("data: {chunk}\n\n"))
            };
            let pieces = [event("one"), event("two"), Bytes::from_static(b"data: [DONE]\n\n")];
            let body = stream::unfold((0, pieces, gate, working), |(at, pieces, gate, working)| async move {
                if at == 1 {
                    gate.pass().await;
                }
                let piece = pieces.get(at)?.clone();
                Some((Ok::<_, Infallible>(Frame::data(piece)), (at + 1, pieces, gate, working)))
            });
            let response = Response::builder().header("content-type", "text/event-stream");
            Ok(response.body(BodyExt::boxed(StreamBody::new(Box::pin(body)))).expect("legal"))
        }
    }
}

impl Provider {
    /// One that offers these protocols over TLS, or speaks HTTP/2 without TLS where it offers none.
    async fn start(script: Script, offered: &[&str], max_streams: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::<Seen>::default();
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let acceptor = (!offered.is_empty()).then(|| {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = rustls::ServerConfig::builder_with_provider(provider);
            let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
            let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
            let mut config = builder.with_single_cert(vec![issued.cert.der().clone()], key).expect("they fit");
            config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
            TlsAcceptor::from(Arc::new(config))
        });
        let certificate = acceptor.is_some().then(|| issued.cert.pem());
        let counted = Arc::clone(&seen);
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.connections.fetch_add(1, SeqCst);
                let (seen, script, acceptor) = (Arc::clone(&counted), script.clone(), acceptor.clone());
                spawn(async move {
                    let service = service_fn(|request| answer(script.clone(), Arc::clone(&seen), request));
                    let Some(acceptor) = acceptor else {
                        return serve(TokioIo::new(stream), service, max_streams, &seen).await;
                    };
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        serve(TokioIo::new(stream), service, max_streams, &seen).await;
                    } else {
                        let http1 = hyper::server::conn::http1::Builder::new();
                        drop(http1.serve_connection(TokioIo::new(stream), service).await);
                    }
                });
            }
        });
        Self { address, certificate, seen }
    }

    /// A proxy before it.
    async fn before(&self, http: Value) -> Proxy {
        self.builder(http).start().await
    }

    fn builder(&self, http: Value) -> ProxyBuilder {
        let builder = Proxy::builder();
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        let mut provider = json!({
            "name": "a", "base_url": format!("{scheme}://localhost:{}/v1", self.address.port()), "api_key": KEY, "http": http,
        });
        if let Some(certificate) = &self.certificate {
            std::fs::write(builder.folder().join("ca.pem"), certificate).expect("writable");
            provider["tls"] = json!({"ca": "ca.pem"});
        }
        let quiet = json!({"enabled": false});
        builder.set(json!({"providers": [provider], "routing": {"health_check": quiet, "retries": 0}}))
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    fn at_once(&self) -> usize {
        self.seen.at_once.load(SeqCst)
    }
}

async fn serve<I, S>(io: I, service: S, max_streams: u32, seen: &Seen)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send + 'static>,
{
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let connection = builder.max_concurrent_streams(max_streams).serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => drop(ended),
        () = seen.leave.notified() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

fn open() -> Gate {
    let gate = Gate::closed();
    gate.open();
    gate
}

#[tokio::test]
async fn requests_share_a_connection() {
    let gate = Gate::closed();
    let a = Provider::start(Script::Chat(gate.clone()), &["h2", "http/1.1"], 200).await;
    let proxy = a.before(json!(2)).await;
    let all: Vec<_> = (0..30).map(|_| proxy.chat_meanwhile()).collect();
    eventually("all are worked on", async || a.at_once() == 30).await;
    gate.open();
    for one in all {
        let answer = one.await.expect("answered");
        assert!(answer.status == 200 && answer.text().contains("hello"), "{}", answer.text());
    }
    assert_eq!(proxy.chat().await.status, 200);
    assert_eq!(a.connections(), 1);
    for (version, uri, headers) in a.seen.calls.lock().iter() {
        assert_eq!(*version, Version::HTTP_2);
        assert_eq!(uri.to_string(), format!("https://localhost:{}/v1/chat/completions", a.address.port()));
        assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
        assert!(!headers.contains_key("host"), "the host is in :authority alone");
    }
}

#[tokio::test]
async fn another_connection_is_opened_before_the_last_is_full() {
    let gate = Gate::closed();
    let a = Provider::start(Script::Chat(gate.clone()), &["h2"], 10).await;
    let proxy = a.before(json!("2")).await;
    // So that the provider has said how many it allows.
    let first = proxy.chat_meanwhile();
    eventually("one is worked on", async || a.at_once() == 1).await;
    let mut all = vec![first];
    for number in 2..=24 {
        all.push(proxy.chat_meanwhile());
        eventually("it is worked on", async || a.at_once() == number).await;
    }
    assert_eq!(a.connections(), 3, "8 of 10 streams each");
    gate.open();
    for one in all {
        assert_eq!(one.await.expect("answered").status, 200);
    }
    assert_eq!(proxy.chat().await.status, 200);
    assert_eq!(a.connections(), 3);
}

#[tokio::test]
async fn auto_takes_what_the_provider_prefers_and_2_nothing_else() {
    for (offered, version) in [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"], Version::HTTP_11)] {
        let a = Provider::start(Script::Chat(open()), offered, 100).await;
        let proxy = a.before(json!("auto")).await;
        for _ in 0..3 {
            assert_eq!(proxy.chat().await.status, 200);
        }
        let versions: Vec<_> = a.seen.calls.lock().iter().map(|(version, ..)| *version).collect();
        assert_eq!(versions, [version; 3]);
        assert_eq!(a.connections(), 1);
    }
    let old = Provider::start(Script::Chat(open()), &["http/1.1"], 100).await;
    let proxy = old.before(json!(2)).await;
    let refused = proxy.chat().await;
    assert!(refused.status == 502 && refused.text().contains("TLS"), "{}", refused.text());
    let usual = old.before(json!(1.1)).await;
    assert_eq!(usual.chat().await.status, 200);
}

#[tokio::test]
async fn without_tls_2_is_spoken_with_prior_knowledge() {
    let a = Provider::start(Script::Chat(open()), &[], 100).await;
    let proxy = a.before(json!(2)).await;
    assert_eq!(proxy.chat().await.status, 200);
    assert_eq!(a.seen.calls.lock()[0].0, Version::HTTP_2);
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_and_the_connection_goes_on() {
    let gate = Gate::closed();
    let a = Provider::start(Script::Words(gate.clone()), &["h2"], 100).await;
    let proxy = a.before(json!(2)).await;
    let mut stays = proxy.stream().await;
    stays.read_until("one").await;
    let mut goes = proxy.stream().await;
    goes.read_until("one").await;
    assert_eq!(a.at_once(), 2);
    drop(goes);
    eventually("its stream is reset", async || a.at_once() == 1).await;
    gate.open();
    let rest = stays.rest().await;
    assert!(rest.complete && rest.text().contains("two") && rest.text().contains("[DONE]"), "{}", rest.text());
    assert!(proxy.stream().await.rest().await.complete);
    assert_eq!(a.connections(), 1);
}

#[tokio::test]
async fn a_provider_that_goes_away_finishes_and_the_next_request_has_a_new_connection() {
    let gate = Gate::closed();
    let a = Provider::start(Script::Words(gate.clone()), &["h2"], 100).await;
    let proxy = a.before(json!(2)).await;
    let mut stream = proxy.stream().await;
    stream.read_until("one").await;
    a.seen.leave.notify_waiters();
    let began = tokio::time::Instant::now();
    // However far the notice has come by then, no request fails.
    while a.connections() == 1 {
        assert!(began.elapsed() < Duration::from_secs(20), "the connection that goes away is used on and on");
        let mut next = proxy.stream().await;
        next.read_until("one").await;
    }
    gate.open();
    let rest = stream.rest().await;
    assert!(rest.complete && rest.text().contains("[DONE]"), "{}", rest.text());
}

/// A provider that refuses streams without having looked at them, so many in all; then it answers.
async fn refusing(refuse: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((_request, mut respond))) = poll_fn(|context| connection.poll_accept(context)).await {
                    if counted.load(SeqCst) < refuse {
                        counted.fetch_add(1, SeqCst);
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                        continue;
                    }
                    let whole = Reply::chat("hello").on_the_wire();
                    let body = whole.split_once("\r\n\r\n").expect("a head").1.to_owned();
                    let head = Response::builder().header("content-type", "application/json").body(()).expect("legal");
                    let Ok(mut send) = respond.send_response(head, false) else { continue };
                    drop(send.send_data(Bytes::from(body), true));
                }
            });
        }
    });
    (address, refused)
}

fn before(address: SocketAddr) -> ProxyBuilder {
    let provider = json!({"name": "a", "base_url": format!("http://{address}/v1"), "api_key": KEY, "http": 2});
    let quiet = json!({"enabled": false});
    Proxy::builder().set(json!({"providers": [provider], "routing": {"health_check": quiet, "retries": 0}}))
}

#[tokio::test]
async fn a_stream_that_is_refused_counts_as_not_sent_and_is_sent_again() {
    let (address, refused) = refusing(2).await;
    let proxy = before(address).start().await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, refused.load(SeqCst)), (200, 2), "{}", answer.text());
    assert!(answer.header("x-pointsman-attempts").is_empty(), "it is one attempt");
    // Who refuses for ever fails.
    let (address, refused) = refusing(usize::MAX).await;
    let proxy = before(address).start().await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, refused.load(SeqCst)), (502, 3), "{}", answer.text());
}

#[tokio::test]
async fn long_answers_that_nobody_reads_do_not_hold_up_the_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((_request, mut respond))) = poll_fn(|context| connection.poll_accept(context)).await {
                    let head = Response::builder().header("content-type", "text/event-stream").body(()).expect("legal");
                    let Ok(mut send) = respond.send_response(head, false) else { continue };
                    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "x".repeat(100_000)}}]});
                    for _ in 0..60 {
                        drop(send.send_data(Bytes::from(format!("data: {chunk}\n\n")), false));
                    }
                    drop(send.send_data(Bytes::from_static(b"data: [DONE]\n\n"), true));
                }
            });
        }
    });
    let proxy = before(address).start().await;
    let mut unread = Vec::new();
    for _ in 0..8 {
        let mut stream = proxy.chat_call(&stream_request()).open().await;
        assert!(matches!(stream.chunk().await, Some(Ok(_))));
        unread.push(stream);
    }
    let read = within("a whole answer", proxy.chat_call(&stream_request()).open().await.rest()).await;
    assert!(read.complete && read.body.len() > 6_000_000, "{}", read.body.len());
    drop(unread);
    assert_eq!(chat_request()["stream"], Value::Null);
}
