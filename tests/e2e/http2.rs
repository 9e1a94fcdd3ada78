//! HTTP/2 from clients: streams side by side, the bounds on them, and clients that abuse it.

use std::sync::Arc;
use std::time::Duration;

use harness::{Gate, Http2, Mock, Proxy, Raw, Reply, chat_request, eventually, spawn, stream_request, within};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A proxy before one mock, with these keys of `server`.
async fn behind(server: Value, reply: Reply) -> (Mock, Proxy) {
    let a = Mock::start("a", reply).await;
    let proxy = Proxy::builder().provider(&a, json!({})).set(json!({ "server": server })).start().await;
    (a, proxy)
}

const CHAT: &str = "/v1/chat/completions";

/// The connection preface and empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A block of headers for `method path`, without any compression.
fn block(method: &str, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

async fn closes(raw: &mut Raw, since: Instant) -> Duration {
    let raw = parking_lot::Mutex::new(raw);
    eventually("the connection is closed", async || raw.lock().has_closed()).await;
    since.elapsed()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[tokio::test]
async fn both_versions_are_served_on_one_port() {
    let (a, proxy) = behind(json!({}), Reply::chat("hello")).await;
    let client = Http2::connect(proxy.address()).await;
    let answer = client.chat().await;
    assert_eq!((answer.status, answer.header("x-pointsman-provider")), (200, "a"), "{}", answer.text());
    assert!(answer.complete && answer.text().contains("hello") && !answer.header("x-request-id").is_empty());
    assert_eq!(proxy.chat().await.status, 200);
    assert_eq!(client.chat().await.status, 200, "the connection goes on");
    assert_eq!(a.calls(), 3);
    let seen = &a.requests()[0];
    assert_eq!(seen.json(), chat_request());
}

/// A handshake that offers these protocols.
async fn shake(proxy: &Proxy, cert: &rcgen::Certificate, offered: &[&str]) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a sound certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(proxy.address()).await.expect("the proxy accepts connections");
    let name = ServerName::try_from("localhost").expect("a name");
    within("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("a handshake")
}

async fn with_tls(server: Value) -> (Mock, Proxy, rcgen::Certificate) {
    let a = Mock::start("a", Reply::chat("a")).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(builder.folder().join("cert.pem"), issued.cert.pem()).expect("writable");
    std::fs::write(builder.folder().join("key.pem"), issued.signing_key.serialize_pem()).expect("writable");
    let tls = json!({"server": {"tls": {"cert": "cert.pem", "key": "key.pem"}}});
    let proxy = builder.set(tls).set(json!({ "server": server })).start().await;
    (a, proxy, issued.cert)
}

#[tokio::test]
async fn over_tls_the_client_chooses_by_alpn() {
    let (_a, proxy, cert) = with_tls(json!({})).await;
    let stream = shake(&proxy, &cert, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let client = Http2::over(stream, "localhost").await;
    assert_eq!(client.chat().await.status, 200);
    for offered in [&["http/1.1"][..], &[]] {
        let stream = shake(&proxy, &cert, offered).await;
        assert_ne!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    }
}

#[tokio::test]
async fn where_it_is_switched_off_nobody_is_offered_it_and_prior_knowledge_is_told_so() {
    let (_a, proxy, cert) = with_tls(json!({"http": 1.1})).await;
    let stream = shake(&proxy, &cert, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (_a, proxy) = behind(json!({"http": "1.1"}), Reply::chat("a")).await;
    let mut raw = proxy.raw().await;
    raw.send(HELLO).await;
    let said = raw.read_to_close().await;
    assert!(said.ends_with("\0\0\0\r"), "GOAWAY with HTTP_1_1_REQUIRED: {said:?}");
}

#[tokio::test]
async fn what_a_client_speaks_is_seen_however_its_first_bytes_come() {
    let (_a, proxy) = behind(json!({}), Reply::chat("a")).await;
    let body = chat_request().to_string();
    let post = format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for first in [1, 2] {
        let mut raw = proxy.raw().await;
        raw.send(&post[..first]).await;
        // Whoever reads a byte by itself is then known to have done so.
        tokio::time::sleep(ms(30)).await;
        raw.send(&post[first..]).await;
        assert_eq!(raw.status().await, Some(200));
        let mut raw = proxy.raw().await;
        raw.send(&HELLO[..first]).await;
        tokio::time::sleep(ms(30)).await;
        let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block("GET", "/ready"));
        raw.send([&HELLO[first..], &get].concat()).await;
        assert!(raw.read_until("ready").await.contains("{\"status\":\"ready\"}"));
    }
}

#[tokio::test]
async fn many_streams_of_one_connection_are_worked_on_at_once() {
    let gate = Gate::closed();
    let (a, proxy) = behind(json!({}), Reply::chat("a").held_by(&gate)).await;
    let client = Http2::connect(proxy.address()).await;
    let all: Vec<_> = (0..60).map(|_| spawn(client.chat())).collect();
    eventually("all are worked on", async || a.serving() == 60).await;
    gate.open();
    for one in all {
        assert_eq!(one.await.expect("answered").status, 200);
    }
}

#[tokio::test]
async fn streams_beyond_the_limit_wait_for_their_turn() {
    let gate = Gate::closed();
    let (a, proxy) = behind(json!({"max_streams": 2}), Reply::chat("a").held_by(&gate)).await;
    let client = Http2::connect(proxy.address()).await;
    // So that the client knows the limit.
    let ready = client.start(http::Request::get("http://localhost/ready").body(Default::default()).expect("a request"));
    assert_eq!(ready.await.expect("an answer").status, 200);
    let all: Vec<_> = (0..3).map(|_| spawn(client.chat())).collect();
    eventually("two are worked on", async || a.serving() == 2).await;
    assert_eq!(proxy.get("/health").await.json()["queue"]["in_flight"], 2);
    gate.open();
    for one in all {
        assert_eq!(one.await.expect("answered").status, 200);
    }
    assert_eq!(a.most_at_once(), 2);
}

#[tokio::test]
async fn events_come_as_they_are_sent_on_each_stream() {
    let gate = Gate::closed();
    let (_a, proxy) = behind(json!({}), Reply::sse().word("one").wait(&gate).word("two").done()).await;
    let client = Http2::connect(proxy.address()).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = client.start(client.post(CHAT, &stream_request())).await.expect("a stream");
        stream.read_until("one").await;
        streams.push(stream);
    }
    gate.open();
    for stream in streams {
        let rest = stream.rest().await;
        assert!(rest.complete && rest.text().contains("two") && rest.text().contains("[DONE]"), "{}", rest.text());
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_cancels_its_request_and_no_other() {
    let gate = Gate::closed();
    let (a, proxy) = behind(json!({}), Reply::sse().word("one").wait(&gate).word("two").done()).await;
    let client = Http2::connect(proxy.address()).await;
    let mut stays = client.start(client.post(CHAT, &stream_request())).await.expect("a stream");
    stays.read_until("one").await;
    let mut goes = client.start(client.post(CHAT, &stream_request())).await.expect("a stream");
    goes.read_until("one").await;
    assert_eq!(a.serving(), 2);
    drop(goes);
    eventually("the provider's connection is closed", async || a.serving() == 1).await;
    // Before its head has come, too.
    let waiting = Mock::start("waiting", Reply::silence()).await;
    let other = Proxy::before([&waiting]).await;
    let early = Http2::connect(other.address()).await;
    let asked = spawn(early.start(early.post(CHAT, &chat_request())));
    eventually("it is worked on", async || waiting.serving() == 1).await;
    asked.abort();
    eventually("it is cancelled", async || waiting.serving() == 0).await;
    gate.open();
    assert!(stays.rest().await.text().contains("two"));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_all_of_its_requests() {
    let (a, proxy) = behind(json!({}), Reply::silence()).await;
    let client = Http2::connect(proxy.address()).await;
    let asked: Vec<_> = (0..5).map(|_| spawn(client.start(client.post(CHAT, &chat_request())))).collect();
    eventually("all are worked on", async || a.serving() == 5).await;
    client.leave();
    eventually("all are cancelled", async || a.serving() == 0).await;
    for one in asked {
        assert!(one.await.expect("ends").is_err());
    }
    assert_eq!(proxy.get("/health").await.json()["queue"]["in_flight"], 0);
}

#[tokio::test]
async fn a_drain_lets_streams_finish_and_takes_no_more() {
    let gate = Gate::closed();
    let (a, mut proxy) = behind(json!({}), Reply::sse().word("one").wait(&gate).word("two").done()).await;
    let client = Http2::connect(proxy.address()).await;
    let mut stream = client.start(client.post(CHAT, &stream_request())).await.expect("a stream");
    stream.read_until("one").await;
    let idle = Http2::connect(proxy.address()).await;
    proxy.begin_to_stop();
    eventually("an idle connection is closed", async || idle.has_ended()).await;
    let late = async || client.start(client.post(CHAT, &chat_request())).await.is_err();
    eventually("no request is taken any more", late).await;
    let calls = a.calls();
    assert!(!proxy.has_stopped());
    gate.open();
    let rest = stream.rest().await;
    assert!(rest.complete && rest.text().contains("[DONE]"), "{}", rest.text());
    assert_eq!(a.calls(), calls);
    proxy.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_in_time_though_it_pings() {
    let server = json!({"idle_timeout": 0.6, "header_timeout": 0.3});
    let (_a, proxy) = behind(server, Reply::chat("a").late(ms(900))).await;
    let (mut raw, began) = (proxy.raw().await, Instant::now());
    raw.send(HELLO).await;
    while !raw.has_closed() {
        assert!(began.elapsed() < Duration::from_secs(10), "pings keep it alive");
        raw.send(frame(PING, 0, 0, &[0; 8])).await;
        tokio::time::sleep(ms(20)).await;
    }
    assert!(began.elapsed() >= ms(590), "{:?}", began.elapsed());
    // One with a request is not idle, and one whose request is over is.
    let client = Http2::connect(proxy.address()).await;
    assert_eq!(client.chat().await.status, 200);
    let ended = Instant::now();
    eventually("it is closed", async || client.has_ended()).await;
    assert!(ended.elapsed() >= ms(500), "{:?}", ended.elapsed());
}

#[tokio::test]
async fn a_head_that_is_not_finished_is_cut_off_in_time() {
    let (a, proxy) = behind(json!({"header_timeout": 0.4}), Reply::chat("a")).await;
    let parts: [Vec<u8>; 3] = [
        HELLO[..10].to_vec(),
        [HELLO, &frame(HEADERS, END_STREAM, 1, &block("POST", CHAT))].concat(),
        [HELLO, &frame(HEADERS, END_STREAM | END_HEADERS, 1, &block("POST", CHAT))[..20]].concat(),
    ];
    for part in parts {
        let (mut raw, began) = (proxy.raw().await, Instant::now());
        raw.send(&part).await;
        let took = closes(&mut raw, began).await;
        assert!((ms(390)..ms(5000)).contains(&took), "{took:?} after {part:?}");
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn heads_and_bodies_that_are_too_large_are_refused_without_harm_to_other_streams() {
    let (a, proxy) = behind(json!({"max_body_bytes": 2000}), Reply::chat("a")).await;
    let client = Http2::connect(proxy.address()).await;
    let mut request = client.post(CHAT, &chat_request());
    request.headers_mut().insert("x-large", "x".repeat(40_000).parse().expect("legal"));
    let refused = client.start(request).await.map(|answer| answer.status);
    assert!(matches!(refused, Ok(431)), "{refused:?}");
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x".repeat(100_000)}]});
    let refused = client.start(client.post(CHAT, &body)).await.expect("an answer").rest().await;
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert_eq!(client.chat().await.status, 200);
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn a_flood_of_continuations_ends_its_connection() {
    let (_a, proxy) = behind(json!({}), Reply::chat("a")).await;
    let mut raw = proxy.raw().await;
    raw.send([HELLO, &frame(HEADERS, END_STREAM, 1, &block("POST", CHAT))].concat()).await;
    let flood: Vec<u8> = (0..2000).flat_map(|_| frame(CONTINUATION, 0, 1, &[])).collect();
    let began = Instant::now();
    raw.send(flood).await;
    assert!(closes(&mut raw, began).await < Duration::from_secs(5));
    assert_eq!(proxy.chat().await.status, 200);
}

#[tokio::test]
async fn requests_that_are_begun_only_to_be_reset_end_their_connection() {
    let (a, proxy) = behind(json!({}), Reply::silence()).await;
    let mut raw = proxy.raw().await;
    raw.send(HELLO).await;
    let began = Instant::now();
    let mut stream = 1;
    // In small batches, which the library's own limit does not see.
    while !raw.has_closed() {
        assert!(began.elapsed() < Duration::from_secs(20) && stream < 40_000, "nobody stops it");
        let batch = (0..8).flat_map(|at| {
            let id = stream + 2 * at;
            let head = frame(HEADERS, END_STREAM | END_HEADERS, id, &block("GET", "/v1/models/x"));
            [head, frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat()
        });
        raw.send(batch.collect::<Vec<u8>>()).await;
        stream += 16;
        tokio::task::yield_now().await;
    }
    eventually("nothing is left of it", async || a.serving() == 0).await;
    assert_eq!(proxy.get("/ready").await.status, 200);
}

#[tokio::test]
async fn a_client_that_does_not_read_one_answer_loses_that_stream_alone() {
    let flood = (0..200).fold(Reply::sse(), |reply, _| reply.word(&"x".repeat(1000)));
    let a = Mock::start("a", flood.done()).await;
    let server = json!({"server": {"idle_timeout": 0.6}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(server).start().await;
    let client = Http2::connect(proxy.address()).await;
    // The client's window for one stream is filled, as nobody takes the pieces.
    let unread = client.start(client.post(CHAT, &stream_request())).await.expect("a stream");
    let in_flight = async || proxy.get("/health").await.json()["queue"]["in_flight"].as_u64();
    eventually("its slot is free", async || in_flight().await == Some(0)).await;
    let rest = unread.rest().await;
    assert!(!rest.complete && rest.body.len() < 100_000, "{} bytes", rest.body.len());
    let other = client.start(client.post(CHAT, &stream_request())).await.expect("a stream").rest().await;
    assert!(other.complete && other.text().contains("[DONE]"));
}

#[tokio::test]
async fn with_a_window_of_nothing_a_stream_is_reset_in_time() {
    let (a, proxy) = behind(json!({"idle_timeout": 0.5}), Reply::chat("a")).await;
    let mut raw = proxy.raw().await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let get = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block("GET", "/health"));
    let began = Instant::now();
    raw.send([&HELLO[..24], &settings, &get].concat()).await;
    let took = closes(&mut raw, began).await;
    assert!((ms(490)..ms(6000)).contains(&took), "{took:?}");
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn hosts_and_keys_are_checked_as_with_the_other_version() {
    let (_a, proxy) = behind(json!({"api_keys": ["sk-client-1"]}), Reply::chat("a")).await;
    let client = Http2::connect(proxy.address()).await;
    assert_eq!(client.chat().await.status, 401);
    let mut request = client.post(CHAT, &chat_request());
    request.headers_mut().insert("authorization", "Bearer sk-client-1".parse().expect("legal"));
    assert_eq!(client.start(request).await.expect("an answer").status, 200);
    let (_a, proxy) = behind(json!({}), Reply::chat("a")).await;
    let stream = TcpStream::connect(proxy.address()).await.expect("the proxy accepts connections");
    let stranger = Http2::over(stream, "rebound.example").await;
    assert_eq!(stranger.chat().await.status, 403, "a name that is not this machine's");
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_and_leaves_the_others_alone() {
    let a = Mock::start("a", Reply::sse().word("one").cut()).await;
    let proxy = Proxy::before([&a]).await;
    let client = Http2::connect(proxy.address()).await;
    let broken = client.start(client.post(CHAT, &stream_request())).await.expect("a stream").rest().await;
    assert!(broken.text().contains("\"error\"") && !broken.text().contains("[DONE]"), "{}", broken.text());
    a.follow(Reply::chat("fine"));
    assert_eq!(client.chat().await.status, 200);
    assert!(!client.has_ended());
}
