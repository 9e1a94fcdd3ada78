//! TLS on the listener: certificates from files, swapped at run time, and clients that get the handshake wrong.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::{Mock, Proxy, ProxyBuilder, Raw, Reply, eventually, within};
use pointsman::config::{LoadError, TlsFiles};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A self-signed certificate for `localhost`, valid for this test alone.
struct Issued {
    der: CertificateDer<'static>,
    files: TlsFiles,
}

/// Writes a new certificate and its key to `folder`, under the names that [`builder`] configures.
fn issue(folder: &Path) -> Issued {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem"), line: 0 };
    std::fs::write(&files.cert, issued.cert.pem()).expect("writable");
    std::fs::write(&files.key, issued.signing_key.serialize_pem()).expect("writable");
    Issued { der: issued.cert.der().clone(), files }
}

fn builder(a: &Mock, server: Value) -> (ProxyBuilder, Issued) {
    let builder = Proxy::builder().provider(a, json!({}));
    let issued = issue(builder.folder());
    let tls = json!({"server": {"tls": {"cert": "cert.pem", "key": "key.pem"}}});
    (builder.set(tls).set(json!({ "server": server })), issued)
}

/// A client that trusts this certificate alone.
fn client(trusted: &CertificateDer<'static>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a sound certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Shakes hands.
async fn connect(
    proxy: &Proxy,
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let config = client(trusted, versions);
    let stream = TcpStream::connect(proxy.address()).await.expect("the proxy accepts connections");
    let name = ServerName::try_from("localhost").expect("a name");
    within("a handshake", TlsConnector::from(config).connect(name, stream)).await
}

/// Sends a request and reads until its answer's body has begun.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("the connection stands");
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("\"queue\"") {
        let more = within("an answer", stream.read_buf(&mut read)).await.expect("bytes");
        assert!(more > 0, "closed after {:?}", String::from_utf8_lossy(&read));
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn requests_are_served_over_tls_1_2_and_1_3() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (builder, issued) = builder(&a, json!({}));
    let proxy = builder.start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = connect(&proxy, &issued.der, &[version]).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        for _ in 0..2 {
            assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        }
    }
}

#[tokio::test]
async fn a_websocket_is_opened_over_tls() {
    let a = Mock::start("a", Reply::switch()).await;
    let (builder, issued) = builder(&a, json!({}));
    let proxy = builder.start().await;
    let stream = connect(&proxy, &issued.der, &[&rustls::version::TLS13]).await.expect("a handshake");
    let mut client = proxy.knock("/v1/realtime?model=gpt-4").over(Box::new(stream)).await.expect("opened");
    let mut there = a.socket().await;
    let large = "x".repeat(1 << 20);
    let (there_first, ()) = tokio::join!(there.text(), client.send(&large));
    assert_eq!(there_first.len(), large.len());
    there.send("hello").await;
    assert_eq!(client.text().await, "hello");
    there.close(1000, "").await;
    assert_eq!(client.closed().await.0, 1000);
}

#[tokio::test]
async fn a_request_that_comes_in_one_piece_with_the_end_of_the_handshake_is_served() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (builder, issued) = builder(&a, json!({}));
    let proxy = builder.start().await;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = ClientConnection::new(client(&issued.der, rustls::ALL_VERSIONS), name).expect("a client");
    let mut stream = TcpStream::connect(proxy.address()).await.expect("the proxy accepts connections");
    let mut answer = String::new();
    let mut asked = false;
    while !answer.contains("\"queue\"") {
        if !asked && !tls.is_handshaking() {
            // The client's last message of the handshake has not been sent yet.
            tls.writer().write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").expect("buffered");
            asked = true;
        }
        let mut flight = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut flight).expect("a vector takes all");
        }
        stream.write_all(&flight).await.expect("the connection stands");
        let mut bytes = Vec::new();
        assert!(within("bytes", stream.read_buf(&mut bytes)).await.expect("bytes") > 0, "closed after {answer:?}");
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes).expect("from memory");
            tls.process_new_packets().expect("sound TLS");
        }
        let mut plain = Vec::new();
        drop(tls.reader().read_to_end(&mut plain));
        answer.push_str(&String::from_utf8_lossy(&plain));
    }
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_reloaded_certificate_serves_the_next_handshake_and_old_connections_live_on() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (builder, first) = builder(&a, json!({}));
    let folder = builder.folder().to_owned();
    let mut proxy = builder.start().await;
    let mut old = connect(&proxy, &first.der, rustls::ALL_VERSIONS).await.expect("a handshake");
    ask(&mut old).await;
    let second = issue(&folder);
    proxy.reload(json!({})).await.expect("a sound certificate");
    let mut new = connect(&proxy, &second.der, rustls::ALL_VERSIONS).await.expect("a handshake");
    ask(&mut new).await;
    assert!(connect(&proxy, &first.der, rustls::ALL_VERSIONS).await.is_err(), "the first certificate is gone");
    ask(&mut old).await;
    std::fs::write(&second.files.key, "no key").expect("writable");
    let failure = proxy.reload(json!({})).await.expect_err("no key in it");
    assert!(failure.text.contains("server.tls.key"), "{}", failure.text);
    connect(&proxy, &second.der, rustls::ALL_VERSIONS).await.expect("the certificate before stays in force");
}

#[tokio::test]
async fn plain_http_to_the_tls_port_is_told_so() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (builder, _) = builder(&a, json!({}));
    let proxy = builder.start().await;
    let answer = proxy.chat().await;
    assert!(answer.status == 400 && answer.text().contains("HTTPS"), "{} {}", answer.status, answer.text());
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_off_while_others_are_served() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (builder, issued) = builder(&a, json!({"header_timeout": 0.4}));
    let proxy = builder.start().await;
    let (mut stalled, began) = (proxy.raw().await, Instant::now());
    stalled.send(b"\x16\x03\x01\x02\x00").await;
    let mut served = connect(&proxy, &issued.der, rustls::ALL_VERSIONS).await.expect("a handshake");
    ask(&mut served).await;
    let raw = parking_lot::Mutex::new(&mut stalled);
    eventually("the handshake is given up", async || raw.lock().has_closed()).await;
    let took = began.elapsed();
    assert!((Duration::from_millis(390)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn an_idle_tls_connection_is_closed_cleanly() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (builder, issued) = builder(&a, json!({"idle_timeout": 0.3}));
    let proxy = builder.start().await;
    let mut fresh = connect(&proxy, &issued.der, rustls::ALL_VERSIONS).await.expect("a handshake");
    let mut used = connect(&proxy, &issued.der, rustls::ALL_VERSIONS).await.expect("a handshake");
    ask(&mut used).await;
    for stream in [&mut fresh, &mut used] {
        let mut rest = Vec::new();
        // Without a close_notify this is an error.
        let ended = within("the end", stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{ended:?}");
    }
}

#[tokio::test]
async fn garbage_and_silence_do_no_harm() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (builder, issued) = builder(&a, json!({"max_connections": 3}));
    let proxy = builder.start().await;
    for bytes in [&b"\x16garbage garbage garbage garbage garbage"[..], b"\x00", b""] {
        let mut raw = Raw::connect(proxy.address()).await;
        raw.send(bytes).await;
        raw.finish().await;
        let raw = parking_lot::Mutex::new(raw);
        eventually("it is closed", async || raw.lock().has_closed()).await;
    }
    let held: Vec<_> = [proxy.raw().await, proxy.raw().await, proxy.raw().await].into();
    let mut turned_away = proxy.raw().await;
    turned_away.send(b"\x16").await;
    let raw = parking_lot::Mutex::new(turned_away);
    eventually("the fourth is closed", async || raw.lock().has_closed()).await;
    drop(held);
    let served = async || match connect(&proxy, &issued.der, rustls::ALL_VERSIONS).await {
        Ok(mut stream) => ask(&mut stream).await.starts_with("HTTP/1.1 200"),
        Err(_) => false,
    };
    eventually("there is room again", served).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_a_problem_of_the_configuration() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (builder, issued) = builder(&a, json!({}));
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&issued.files.key, other.signing_key.serialize_pem()).expect("writable");
    let path = builder.write();
    let error = builder.bind(&path).await.err().expect("must not start");
    let problems = error.downcast::<LoadError>().expect("problems").problems;
    assert_eq!((problems.len(), problems[0].key.as_str()), (1, "server.tls.key"));
    assert!(problems[0].line > 0 && problems[0].message.contains("does not match"), "{}", problems[0]);
}
