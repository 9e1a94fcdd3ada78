//! TLS towards providers: private and self-signed certificates, client certificates, and what is said when it fails.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use harness::{Mock, Proxy, ProxyBuilder, Reply, spawn};
use pointsman::config::LoadError;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::ways::Forward;

/// A certificate that is its own issuer, as `openssl req -x509` makes it, and its key, as PEM.
fn self_signed(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

/// Speaks TLS before `mock`, with a client certificate of `clients` where that is given; gives where it listens.
async fn front(mock: &Mock, (cert, key): &(String, String), clients: Option<&str>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(issuer) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(issuer.as_bytes()).expect("PEM")).expect("sound");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).expect("they match")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let (address, behind) = (listener.local_addr().expect("bound"), mock.address());
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut inner = TcpStream::connect(behind).await.expect("the mock accepts");
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut inner).await);
                }
            });
        }
    });
    address
}

/// A proxy before `mock` behind TLS at `address`, by the name of `localhost`.
fn builder(mock: &Mock, address: SocketAddr, tls: Value) -> ProxyBuilder {
    let base_url = format!("https://localhost:{}/v1", address.port());
    Proxy::builder().provider(mock, json!({"base_url": base_url, "tls": tls}))
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("writable");
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_named_is_trusted_as_itself() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let identity = self_signed("localhost", |_| {});
    let address = front(&a, &identity, None).await;
    let builder = builder(&a, address, json!({"ca": "ca.pem"}));
    write(builder.folder(), "ca.pem", &identity.0);
    let proxy = builder.start().await;
    for _ in 0..2 {
        assert_eq!(proxy.chat().await.status, 200);
    }
    assert_eq!(a.open_connections(), 1, "it was kept");
}

#[tokio::test]
async fn tls_is_spoken_with_the_provider_itself_through_the_tunnel_of_a_forward_proxy() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let identity = self_signed("api.example", |_| {});
    let address = front(&a, &identity, None).await;
    let forward = Forward::to(address, None).await;
    // A name that this machine cannot resolve: the forward proxy is asked to.
    let at = |tls: Value| {
        let proxy = format!("http://us:pw@{}", forward.address);
        Proxy::builder().provider(&a, json!({"base_url": "https://api.example/v1", "proxy": proxy, "tls": tls}))
    };
    let trusting = at(json!({"ca": "ca.pem"}));
    write(trusting.folder(), "ca.pem", &identity.0);
    let proxy = trusting.start().await;
    for _ in 0..2 {
        let answer = proxy.chat().await;
        assert_eq!((answer.status, answer.content().as_str()), (200, "a"));
    }
    let mut stream = proxy.stream().await;
    stream.read_until("a").await;
    drop(stream);
    let heads = forward.heads();
    let tunnel =
        "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nProxy-Authorization: Basic dXM6cHc=\r\n\r\n";
    assert_eq!(heads.first().map(String::as_str), Some(tunnel));
    assert!(heads.iter().all(|head| head == tunnel), "what is for the provider goes through the tunnel: {heads:?}");
    let seen = a.requests();
    assert_eq!((seen[0].header("host"), seen[0].header("proxy-authorization")), ("api.example", ""));
    assert_eq!(seen[0].connection, seen[1].connection, "the tunnel is kept");
    // Whoever sits at the end of the tunnel must be the provider.
    let proxy = at(json!({})).start().await;
    let answer = proxy.chat().await;
    assert!(answer.status == 502 && answer.message().contains("unknown issuer"), "{}", answer.text());
}

#[tokio::test]
async fn the_reason_of_a_failed_handshake_reaches_client_and_health_without_an_address() {
    let old = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    };
    let sound = self_signed("localhost", |_| {});
    let expired = self_signed("localhost", old);
    let other = self_signed("other.example", |_| {});
    for (shown, trusted, reason) in [
        (&sound, &other, "unknown issuer"),
        (&expired, &expired, "has expired"),
        (&other, &other, "is for another name"),
    ] {
        let a = Mock::start("a", Reply::chat("a")).await;
        let address = front(&a, shown, None).await;
        let builder = builder(&a, address, json!({"ca": "ca.pem"}));
        write(builder.folder(), "ca.pem", &trusted.0);
        let proxy = builder.start().await;
        let answer = proxy.chat().await;
        assert!(answer.status == 502 && answer.message().contains(reason), "{}", answer.text());
        let health = proxy.health_of(&a).await;
        let said = health["reason"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(reason) && !said.contains(&address.port().to_string()), "{health:?}");
    }
}

#[tokio::test]
async fn server_name_is_what_the_certificate_must_say() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let identity = self_signed("api.internal", |_| {});
    let address = front(&a, &identity, None).await;
    let builder = builder(&a, address, json!({"ca": "ca.pem", "server_name": "api.internal"}));
    write(builder.folder(), "ca.pem", &identity.0);
    assert_eq!(builder.start().await.chat().await.status, 200);
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_its_lack_is_told() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (server, client) =
        (self_signed("localhost", |_| {}), self_signed("client", |params| params.is_ca = IsCa::NoCa));
    let address = front(&a, &server, Some(&client.0)).await;
    let with = builder(&a, address, json!({"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}));
    for (name, text) in [("ca.pem", &server.0), ("client.pem", &client.0), ("client.key", &client.1)] {
        write(with.folder(), name, text);
    }
    let answer = with.start().await.chat().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let without = builder(&a, address, json!({"ca": "ca.pem"}));
    write(without.folder(), "ca.pem", &server.0);
    let answer = without.start().await.chat().await;
    assert!(answer.status == 502 && answer.message().contains("client certificate"), "{}", answer.text());
}

#[tokio::test]
async fn a_reload_reads_the_trusted_certificates_again() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let (before, after) = (self_signed("localhost", |_| {}), self_signed("localhost", |_| {}));
    let address = front(&a, &after, None).await;
    let builder = builder(&a, address, json!({"ca": "ca.pem"}));
    write(builder.folder(), "ca.pem", &before.0);
    let folder = builder.folder().to_owned();
    let mut proxy = builder.start().await;
    assert_eq!(proxy.chat().await.status, 502);
    write(&folder, "ca.pem", &after.0);
    proxy.reload(json!({})).await.expect("sound");
    assert_eq!(proxy.chat().await.status, 200);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_problems_of_the_configuration_with_their_line() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let builder = builder(&a, a.address(), json!({"ca": "ca.pem"}));
    write(builder.folder(), "ca.pem", "nothing");
    let path = builder.write();
    let error = builder.bind(&path).await.err().expect("must not start");
    let problems = error.downcast::<LoadError>().expect("problems").problems;
    assert_eq!((problems.len(), problems[0].key.as_str()), (1, "providers[0].tls.ca"));
    assert!(problems[0].line > 0 && problems[0].message.contains("holds no certificate"), "{}", problems[0]);
}
