//! A provider that closes each connection as soon as it has been idle for half a second, under clients that pause for as
//! long. It is 20 ms away, so that request and end meet on the wire all the time; on the loopback alone they never would.

use std::net::SocketAddr;
use std::time::Duration;

use harness::{Call, Mock, Process, Reply, Session, chat_request, spawn};
use http::Method;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::ask::Dice;

/// The idle time after which the provider closes.
const IDLE: Duration = Duration::from_millis(500);
/// The clients.
const CLIENTS: u64 = 40;
/// Requests of each.
const REQUESTS: usize = 100;

/// The time that bytes, and ends, take to the provider and back.
const AWAY: Duration = Duration::from_millis(20);

/// Passes bytes on later, and then the end of them.
async fn later(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        sleep(AWAY).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    sleep(AWAY).await;
    // Whoever is gone has seen an end.
    let _ = to.shutdown().await;
}

/// A way to `to` that takes time.
async fn far(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            spawn(async move {
                let Ok(distant) = TcpStream::connect(to).await else { return };
                let ((from_near, to_near), (from_distant, to_distant)) = (near.into_split(), distant.into_split());
                tokio::join!(later(from_near, to_distant), later(from_distant, to_near));
            });
        }
    });
    address
}

/// Asks through one connection, at gaps of the idle time, give or take 20 ms, less the way back; the statuses that were no success.
async fn ask(mut session: Session, mut dice: Dice) -> Vec<String> {
    let body = bytes::Bytes::from(chat_request().to_string());
    let mut failed = vec![];
    for _ in 0..REQUESTS {
        let answer = session.chat(body.clone()).await;
        if answer.status != 200 {
            failed.push(format!("{} {}", answer.status, answer.text()));
        }
        sleep(IDLE - AWAY * 2 + Duration::from_millis(dice.below(41) as u64)).await;
    }
    failed
}

/// Lets them meet, and gives what was counted.
pub async fn connections_that_close_under_requests(seed: u64) -> String {
    let mock = Mock::start("a", Reply::chat("a")).await;
    mock.close_idle_after(IDLE);
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join("proxy_config.yaml");
    let text = format!(
        "providers:\n  - {{name: a, base_url: '{}', api_key: k}}\n\
         routing: {{health_check: {{enabled: false}}}}\nserver: {{hosts: [proxy]}}\n",
        mock.base_url().replace(&mock.address().to_string(), &far(mock.address()).await.to_string())
    );
    std::fs::write(&config, text).expect("writable");
    let process = Process::serve(&config);
    let address = process.address().await;
    let clients = (0..CLIENTS).map(|client| spawn(ask(Session::new(address), Dice::part(seed, client))));
    let mut failed = vec![];
    for client in clients.collect::<Vec<_>>() {
        failed.extend(client.await.expect("a client does not panic"));
    }
    let metrics = Call::to(address, Method::GET, "/metrics").answer().await.text();
    let counted = |name: &str| -> f64 {
        let series = metrics.lines().filter(|line| line.starts_with(name));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let (stale, ejections) = (counted("pointsman_stale_connections_total"), counted("pointsman_ejections_total"));
    let attempts = counted("pointsman_attempts_total{outcome=\"succeeded\"");
    let report = format!(
        "{} requests, {} failed; {attempts} attempts succeeded, {stale} went out once more as their connection had \
         ended, {ejections} ejections\n",
        CLIENTS as usize * REQUESTS,
        failed.len()
    );
    assert!(failed.is_empty() && ejections == 0.0, "{report}{:?}", failed.first());
    assert!(stale > 0.0, "they never met, so this has shown nothing: {report}");
    report
}
