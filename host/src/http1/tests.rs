//! The codec beside hyper: on what the world sends, and on what becomes of that when bytes are changed.

use std::time::Duration;

use tokio::time::Instant;

use super::compare;

/// Messages to begin with, usual and unusual, requests and answers.
const SEEDS: [&str; 44] = [
    "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: Chunked\r\n\r\n1;a=b\r\n{\r\n00001\r\n}\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3, 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: identity\r\ncontent-length: 2\r\n\r\nab",
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding:\tchunked\t\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\naGET / HTTP/1.0\r\n\r\n",
    "GET http://a:1/b?c=d HTTP/1.1\r\nhost: x\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    "CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\nrest",
    "GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n\r\n",
    "\r\n\nGET / HTTP/1.1\nhost: x\n\n",
    "GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
    "GET / HTTP/1.1\r\na:\r\nb: \u{e9}\r\nc:  d  \r\na: e\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "GET /\r\n\r\n",
    "G@T / HTTP/1.1\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HEAD / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\na",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\ndata: a\r\n2\r\n\n\n\r\n0\r\n\r\n",
    "HTTP/1.1 200\r\n\r\neverything",
    "HTTP/1.0 200 OK\r\ncontent-type: text/html\r\n\r\n<html>",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nabc",
    "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nframes",
    "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}trailing",
    "HTTP/1.1 99 x\r\n\r\n",
    "HTTP/1.1 999 \u{e9}\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;q=\"a;b\"\r\nabc\r\n0;last\r\nsum: 1\r\nsum: 2\r\n\r\n",
];

/// What is put in the place of bytes.
const PARTS: [&[u8]; 24] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\0",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b":",
    b";",
    b",",
    b"0",
    b"1",
    b"f",
    b"-",
    b"+",
    b"\"",
    b"chunked",
    b"content-length: 1\r\n",
    b"transfer-encoding: chunked\r\n",
    b"connection: close\r\n",
    b"HTTP/1.1",
];

/// A source of numbers that are the same in every run (xorshift, Marsaglia 2003).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (limit.max(1) as u64)).expect("below a usize")
    }
}

/// A seed in which some bytes are replaced, inserted, removed or doubled, or which goes on as another.
fn mutated(numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = SEEDS[numbers.below(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        let part = PARTS[numbers.below(PARTS.len())];
        let end = (at + 1 + numbers.below(8)).min(bytes.len());
        match numbers.below(6) {
            0 => drop(bytes.splice(at..(at + 1).min(bytes.len()), part.iter().copied())),
            1 | 2 => drop(bytes.splice(at..at, part.iter().copied())),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => {
                let other = SEEDS[numbers.below(SEEDS.len())].as_bytes();
                bytes.truncate(at);
                bytes.extend_from_slice(&other[numbers.below(other.len())..]);
            }
        }
    }
    bytes
}

/// Compares so many changed messages, and then more until the time is over.
fn agree(seed: u64, least: u64, until: Instant) {
    let mut differences: Vec<String> =
        SEEDS.iter().filter_map(|seed| compare::compare(seed.as_bytes()).err()).collect();
    let (mut numbers, mut rounds) = (Numbers(seed), 0);
    while rounds < least || Instant::now() < until {
        differences.extend(compare::compare(&mutated(&mut numbers)).err());
        rounds += 1;
    }
    let count = differences.len();
    differences.truncate(20);
    assert_eq!(count, 0, "differences in {rounds} messages:\n{}", differences.join("\n"));
}

#[test]
fn the_codec_and_hyper_agree_on_whatever_the_codec_reads() {
    agree(0x9E37_79B9_7F4A_7C15, 20_000, Instant::now());
}

#[test]
#[ignore = "takes ten minutes"]
fn they_agree_for_ten_minutes_as_well() {
    agree(0xD1B5_4A32_D192_ED03, 1_000_000, Instant::now() + Duration::from_secs(600));
}

#[test]
fn usual_messages_are_read_and_not_only_refused() {
    let read = SEEDS.iter().filter(|seed| {
        !compare::requests(seed.as_bytes()).is_empty() || compare::answer(seed.as_bytes(), false).is_some()
    });
    assert!(read.count() >= 20);
}
