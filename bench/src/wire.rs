//! The bytes on the wire: the requests, and the answers that load and mock have agreed on.
//!
//! Everything is built once, before the first request: what the benchmark itself spends on a request must be small
//! beside what is measured.

use std::net::SocketAddr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

pub mod answer;
pub mod chunks;
pub mod script;

use script::Script;

/// The header by which the load tells the mock what to stream: `EVENTS GAP`, the gap in microseconds, and `even` behind them
/// where the events of all streams are spread.
pub const WISH: &str = "x-bench";
/// The key of the client.
pub const CLIENT_KEY: &str = "sk-of-the-client";
/// The header by which the mock says which of its two providers has answered.
pub const ORIGIN: &str = "x-bench-provider";

/// The body of an answer that is not a stream, 620 bytes.
pub static ANSWER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    const HEAD: &str = r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    const TAIL: &str = r#""},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":240,"completion_tokens":60,"total_tokens":300}}"#;
    let text = prose(620 - HEAD.len() - TAIL.len());
    format!("{HEAD}{text}{TAIL}").into_bytes()
});

/// One event of a stream, about 200 bytes.
pub const EVENT: &[u8] = b"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" the points are set\"},\"finish_reason\":null}]}\n\n";
/// The end of every stream.
pub const LAST: &[u8] = b"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Before the one that ends it.
    pub count: u32,
    /// Microseconds between two of them; 0: as fast as they can be written, each on its own.
    pub gap: u32,
    /// The events of all streams are spread evenly over the gap, so that each comes alone.
    pub even: bool,
}

impl Events {
    /// Reads the value of the header [`WISH`].
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split(' ');
        let (count, gap, even) = (words.next()?, words.next()?, words.next());
        Some(Self { count: count.parse().ok()?, gap: gap.parse().ok()?, even: even == Some("even") })
    }
}

/// The expected body of the answer.
pub fn script(events: Option<Events>) -> Script {
    match events {
        None => Script { repeated: &ANSWER, times: 1, last: b"" },
        Some(Events { count, .. }) => Script { repeated: EVENT, times: count, last: LAST },
    }
}

/// A request with a body of `body` bytes (at least 200), head and all; `fields` are further lines of the head.
pub fn request(host: SocketAddr, body: usize, events: Option<Events>, fields: &str) -> Vec<u8> {
    let wish = events.map_or(String::new(), |Events { count, gap, even }| {
        format!("{WISH}: {count} {gap}{}\r\n", if even { " even" } else { "" })
    });
    let body = self::body(body, events.is_some());
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nuser-agent: OpenAI/Python 2.0.0\r\n\
         accept: application/json\r\ncontent-type: application/json\r\nauthorization: Bearer {CLIENT_KEY}\r\n\
         {fields}{wish}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The body of a request, of `body` bytes (at least 200).
pub fn body(body: usize, stream: bool) -> String {
    let start = format!(r#"{{"model":"gpt-4o","stream":{stream},"messages":[{{"role":"user","content":""#);
    let end = r#""}],"temperature":0.7}"#;
    let text = prose(body.saturating_sub(start.len() + end.len()));
    format!("{start}{text}{end}")
}

/// Text as prompts have it, with an escape now and then, `length` bytes as written in JSON.
fn prose(length: usize) -> String {
    const SENTENCE: &str = r#"The signalman said \"proceed\" and\nwrote it down; "#;
    let mut text = SENTENCE.repeat(length / SENTENCE.len());
    // Not cut off in an escape.
    text.extend(std::iter::repeat_n('.', length - text.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_size_asked_for_and_are_json() {
        let request = request(([127, 0, 0, 1], 80).into(), 1024, Some(Events { count: 7, gap: 5000, even: false }), "");
        let body = &request[memchr::memmem::find(&request, b"\r\n\r\n").unwrap() + 4..];
        assert_eq!(body.len(), 1024);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(body).unwrap()["stream"], true);
        assert_eq!(ANSWER.len(), 620);
        serde_json::from_slice::<serde_json::Value>(&ANSWER).unwrap();
    }

    #[test]
    fn a_wish_is_read_as_it_was_written() {
        assert_eq!(Events::parse("200 5000"), Some(Events { count: 200, gap: 5000, even: false }));
        let even = Events { count: 1, gap: 20_000, even: true };
        let request = request(([127, 0, 0, 1], 80).into(), 1024, Some(even), "");
        assert!(memchr::memmem::find(&request, b"\r\nx-bench: 1 20000 even\r\n").is_some());
        assert_eq!(Events::parse("1 20000 even"), Some(even));
        assert_eq!(Events::parse("many"), None);
    }
}
