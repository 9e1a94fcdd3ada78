//! The cost of ten thousand idle connections, in the real process.

use std::time::Duration;

use harness::{Mock, Process, Reply, chat_request, eventually};
use http::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const CONNECTIONS: u64 = 2000;
/// The most bytes of memory for one connection; it was 2.3 KiB when this was written.
const IDLE: u64 = 6 << 10;
/// The same for one that has sent half a head, for which the HTTP library takes its buffers; it was 16 KiB.
const HALF_A_HEAD: u64 = 24 << 10;

/// The memory that a process has taken and touched, in bytes; without its files', which are read as they are needed.
fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("the kernel tells");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[tokio::test]
async fn two_thousand_connections_are_held_in_little_memory_and_others_are_served() {
    pointsman::listener::descriptors::provide();
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = super::folder_with(super::NAME, &a, "server: {header_timeout: 60}\n");
    let process = Process::serve(&folder.path().join(super::NAME));
    let address = process.address().await;
    // What is set up once, with the first requests.
    for _ in 0..20 {
        assert_eq!(chat(&process).await, 200);
    }
    let before = resident(&process);
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(TcpStream::connect(address).await.expect("accepted"));
    }
    assert_eq!(chat(&process).await, 200);
    let idle = resident(&process).saturating_sub(before) / CONNECTIONS;
    for stream in &mut held {
        stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n").await.expect("sent");
    }
    let began = tokio::time::Instant::now();
    assert_eq!(chat(&process).await, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Until all of them have been read: nothing grows for a tenth of a second.
    let settled = parking_lot::Mutex::new((0, 0));
    eventually("the memory has settled", async || {
        let (mut seen, now) = (settled.lock(), resident(&process));
        *seen = if seen.0 == now { (now, seen.1 + 1) } else { (now, 0) };
        seen.1 >= 25
    })
    .await;
    let half = resident(&process).saturating_sub(before) / CONNECTIONS;
    println!("bytes per connection: {idle} idle, {half} with half a head");
    assert!(idle < IDLE && half < HALF_A_HEAD, "bytes per connection: {idle} idle, {half} with half a head");
    drop(held);
    eventually("the next is served", async || chat(&process).await == 200).await;
}

async fn chat(process: &Process) -> u16 {
    process.call(Method::POST, "/v1/chat/completions").await.json(&chat_request()).answer().await.status
}
