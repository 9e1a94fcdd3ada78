//! Streams that are cut after their first byte, seen on the bare wire: none looks complete.

use harness::{Mock, Proxy, Reply, Script, stream_request};
use serde_json::json;

use crate::ask::{Ask, Kind};

/// A stream that ends after `cut` of its bytes, in two chunks, so that the cut also falls into chunks.
fn cut_after(whole: &[u8], cut: usize, reset: bool) -> Reply {
    let (first, second) = whole[..cut].split_at(cut / 2);
    let reply = Reply::sse().body(first.to_vec()).body(second.to_vec());
    if reset { reply.reset() } else { reply.cut() }
}

/// Sends a streaming request on a bare connection and reads until it closes.
async fn ask(proxy: &Proxy) -> String {
    let body = stream_request().to_string();
    let mut raw = proxy.raw().await;
    let length = body.len();
    raw.send(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: p\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
    .await;
    raw.read_to_close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_that_was_cut_looks_complete() {
    let sample = Ask { id: 7, kind: Kind::Stream, model: "m".to_owned(), padding: 0, words: 3, width: 2 };
    let whole = sample.whole_answer();
    let first_event = sample.answer()[0].len();
    let done = whole.len() - sample.answer()[3].len();
    for reset in [false, true] {
        let cuts: Vec<usize> = (first_event..whole.len()).collect();
        let script = Script::by({
            let (whole, cuts) = (whole.clone(), cuts.clone());
            move |number, _| cut_after(&whole, cuts[number], reset)
        });
        let mock = Mock::start("a", script).await;
        let settings = json!({
            "routing": {"retries": 0, "health_check": {"cooldown": 0.001}}, "monitoring": {"track_errors": false},
        });
        let proxy = Proxy::builder().provider(&mock, json!({})).set(settings).start().await;
        for cut in cuts {
            // The connection closes by itself, or this would hang.
            let answer = ask(&proxy).await;
            let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
            if reset && head.starts_with("HTTP/1.1 502") {
                // A reset may overtake what was sent before it, and then nothing had begun.
                continue;
            }
            assert!(head.starts_with("HTTP/1.1 200"), "{cut}: {answer}");
            let frame = body.rfind("data: {\"error\":").map_or("", |at| &body[at..]);
            assert!(frame.contains("stream_interrupted") && !frame.contains("[DONE]"), "{cut}: {answer}");
            // Half a `[DONE]` may have come by, but no line that is one.
            let said_done = body.lines().any(|line| line.trim_end() == "data: [DONE]");
            assert!(!said_done || cut >= done + "data: [DONE]".len(), "{cut}: {answer}");
        }
    }
}
