//! The ways to providers that are not straight: forward proxies and sockets in the file system.

use std::net::SocketAddr;
use std::sync::Arc;

use harness::{Mock, Proxy, Reply, chat_request, spawn};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// A forward proxy that lets all through to one place, and keeps the heads that it was sent.
pub(crate) struct Forward {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Forward {
    /// Before `mock`; with `refusal` it answers so to `CONNECT`.
    async fn before(mock: &Mock, refusal: Option<&'static str>) -> Self {
        Self::to(mock.address(), refusal).await
    }

    /// Before whoever listens at `behind`.
    pub(crate) async fn to(behind: SocketAddr, refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let (address, heads) = (listener.local_addr().expect("bound"), Arc::default());
        let kept: Arc<Mutex<Vec<String>>> = Arc::clone(&heads);
        spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    let text = String::from_utf8_lossy(&head).into_owned();
                    let tunnel = text.starts_with("CONNECT ");
                    kept.lock().push(text);
                    if let (true, Some(refusal)) = (tunnel, refusal) {
                        drop(stream.write_all(refusal.as_bytes()).await);
                        return;
                    }
                    let mut inner = TcpStream::connect(behind).await.expect("the mock accepts");
                    if tunnel {
                        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.expect("sent");
                    } else {
                        inner.write_all(&head).await.expect("sent");
                    }
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut inner).await);
                });
            }
        });
        Self { address, heads }
    }

    fn first_head(&self) -> String {
        self.heads().into_iter().next().unwrap_or_default()
    }

    /// The heads of the requests that it has got.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

#[tokio::test]
async fn a_plain_provider_is_reached_through_a_forward_proxy_by_whole_urls() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let forward = Forward::before(&a, None).await;
    let network = json!({"network": {"proxy": format!("http://us:pass-w0rd@{}", forward.address)}});
    let provider = json!({"base_url": "http://api.example:8080/v1"});
    let proxy = Proxy::builder().provider(&a, provider).set(network).start().await;
    for _ in 0..2 {
        assert_eq!(proxy.chat().await.status, 200);
    }
    let head = forward.first_head().to_lowercase();
    assert!(head.starts_with("post http://api.example:8080/v1/chat/completions http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nhost: api.example:8080\r\n"), "{head}");
    assert!(head.contains(&"\r\nproxy-authorization: Basic dXM6cGFzcy13MHJk\r\n".to_lowercase()), "{head}");
    assert_eq!(a.calls(), 2);
}

#[tokio::test]
async fn an_https_provider_is_reached_by_a_tunnel_and_a_refusal_of_it_is_told() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let forward = Forward::before(&a, Some("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")).await;
    let base_url = json!({"base_url": "https://api.example/v1", "proxy": format!("http://us:pw@{}", forward.address)});
    let proxy = Proxy::builder().provider(&a, base_url).provider(&b, json!({})).start().await;
    assert_eq!(proxy.chat().await.provider(), "b");
    let head = forward.first_head();
    assert!(head.starts_with("CONNECT api.example:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nProxy-Authorization: Basic dXM6cHc=\r\n"), "{head}");
    let reason = proxy.health_of(&a).await["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("forward proxy") && reason.contains("407"), "{reason}");
}

#[tokio::test]
async fn the_environments_proxy_is_used_when_the_configuration_says_so_and_warned_of_otherwise() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let forward = Forward::before(&a, None).await;
    let provider = json!({"base_url": "http://api.example/v1"});
    let variable = format!("http://{}", forward.address);
    let named = || Proxy::builder().provider(&a, provider.clone()).environment("HTTP_PROXY", &variable);
    let proxy = named().set(json!({"network": {"proxy": "env"}})).start().await;
    assert_eq!(proxy.chat().await.status, 200);
    assert!(forward.first_head().contains("http://api.example/v1/chat/completions"));
    let config = |network: serde_json::Value| {
        let builder = named().set(network);
        let path = builder.write();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let env = |name: &str| (name == "HTTP_PROXY").then(|| variable.clone());
        pointsman::config::parse(&text, &path, &env, pointsman::strategy::builtins()).expect("valid")
    };
    let warnings = config(json!({})).warnings;
    assert!(warnings.iter().any(|warning| warning.contains("HTTP_PROXY")), "{warnings:?}");
    let warnings = config(json!({"network": {"proxy": "none"}})).warnings;
    assert!(!warnings.iter().any(|warning| warning.contains("HTTP_PROXY")), "{warnings:?}");
}

#[tokio::test]
async fn a_provider_at_a_socket_in_the_file_system_is_served_and_its_absence_is_a_refusal() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let builder = Proxy::builder();
    let socket = builder.folder().join("llm.sock");
    let base_url = json!({"base_url": format!("unix:{}:/v1", socket.display())});
    let proxy = builder.provider(&a, base_url).provider(&b, json!({})).set(json!({
        "routing": {"health_check": {"cooldown": 0.05}}
    }));
    let proxy = proxy.start().await;
    assert_eq!(proxy.chat().await.provider(), "b");
    let listener = UnixListener::bind(&socket).expect("a fresh folder");
    let behind = a.address();
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            spawn(async move {
                let mut inner = TcpStream::connect(behind).await.expect("the mock accepts");
                drop(tokio::io::copy_bidirectional(&mut stream, &mut inner).await);
            });
        }
    });
    harness::eventually("a serves", async || proxy.chat_call(&chat_request()).answer().await.provider() == "a").await;
    let seen = a.requests().pop().expect("one came");
    assert_eq!((seen.target.as_str(), seen.header("host")), ("/v1/chat/completions", "localhost"));
}

#[tokio::test]
async fn clients_are_served_at_a_socket_in_the_file_system_which_goes_with_the_proxy() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let builder = Proxy::builder().provider(&a, json!({}));
    let socket = builder.folder().join("p.sock");
    let host = json!({"server": {"host": format!("unix:{}", socket.display())}});
    let proxy = builder.set(host).start().await;
    let mut stream = tokio::net::UnixStream::connect(&socket).await.expect("it listens");
    let body = chat_request().to_string();
    for _ in 0..2 {
        let head =
            format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains("\"usage\"") {
            let read = harness::within("an answer", stream.read_buf(&mut answer)).await.expect("it lives");
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    }
    // Operations without a key are for this machine, and who comes by a socket in the file system is on it.
    stream
        .write_all(b"POST /admin/reload HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = String::new();
    harness::within("an answer", stream.read_to_string(&mut answer)).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    proxy.stop().await;
    assert!(!socket.exists());
}
