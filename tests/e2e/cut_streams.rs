//! Streams of every endpoint, cut at every byte: the client sees whole events, and then the end or an error.

use futures_util::{StreamExt as _, stream};
use harness::recorded::{CUT, ENDING, RECORDED, Recorded, replay};
use harness::{Answer, Mock, Proxy};
use http::Method;
use serde_json::{Value, json};

/// The number of requests at once.
const AT_ONCE: usize = 32;

/// One event, by the letter of the standard: its name and its data. Whatever is no whole event is an error.
fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut events = Vec::new();
    let blocks = text.strip_suffix("\n\n").ok_or("the last event is not whole")?;
    for block in blocks.split("\n\n") {
        let (mut name, mut data) = (String::new(), Vec::new());
        for line in block.split('\n') {
            match line.split_once(": ") {
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("data", value)) => data.push(value),
                _ => return Err(format!("neither name nor data: {line:?}")),
            }
        }
        let data = data.join("\n");
        if data != "[DONE]" && serde_json::from_str::<Value>(&data).is_err() {
            return Err(format!("no JSON: {data:?}"));
        }
        events.push((name, data));
    }
    Ok(events)
}

/// Claims that `answer` is as it must be when `a` stopped after `cut` bytes.
fn claim(recorded: &Recorded, cut: usize, ending: &str, answer: &Answer) {
    let text = answer.text();
    let what = format!("{} {ending} after {cut}: {text}", recorded.name);
    assert_eq!(answer.status, 200, "{what}");
    if cut < recorded.committed() || cut == recorded.stream.len() || answer.provider() == "b" {
        // A reset may overtake what was sent before it, and then nothing had begun.
        assert!(cut < recorded.committed() || cut == recorded.stream.len() || ending == "reset", "{what}");
        assert_eq!((text.as_str(), answer.complete), (recorded.stream, true), "{what}");
        return;
    }
    let events = parse(&text);
    assert!(events.is_ok(), "{events:?} in {what}");
    let events = events.unwrap_or_default();
    let all = parse(recorded.stream).expect("recorded well");
    let ((name, data), passed) = events.split_last().expect("an event");
    assert!(all.starts_with(passed) && passed.len() < all.len(), "{what}");
    let error: Value = serde_json::from_str(data).unwrap_or_default();
    assert!(error["error"]["message"].as_str().is_some_and(|message| message.contains("provider a")), "{what}");
    let named = matches!(recorded.name, "responses" | "messages");
    let expected = if named { ("error", Some("error")) } else { ("", None) };
    assert_eq!((name.as_str(), error["type"].as_str()), expected, "{what}");
}

async fn cut_everywhere(recorded: Recorded, ending: &'static str, step: usize) {
    let (a, b) = (Mock::start("a", replay()).await, Mock::start("b", replay_whole(recorded)).await);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let settings = json!({"timeouts": {"request": 0.7, "idle": 0.7}, "monitoring": {"track_errors": false}});
    let proxy = if ending == "hang" {
        builder.set(settings)
    } else {
        builder.set(json!({"monitoring": {"track_errors": false}}))
    };
    let proxy = proxy.start().await;
    let ask = |cut: usize| {
        let call = proxy.call(Method::POST, recorded.path).json(&recorded.request());
        let call = call.header(CUT, &cut.to_string()).header(ENDING, ending);
        async move { (cut, call.answer().await) }
    };
    let mut answers = stream::iter((0..=recorded.stream.len()).step_by(step)).map(ask).buffer_unordered(AT_ONCE);
    while let Some((cut, answer)) = answers.next().await {
        claim(&recorded, cut, ending, &answer);
    }
}

/// The provider that is always there.
fn replay_whole(recorded: Recorded) -> harness::Reply {
    harness::Reply::sse().body(recorded.stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_connection_that_closes() {
    for recorded in RECORDED {
        cut_everywhere(recorded, "close", 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_connection_that_is_reset() {
    for recorded in RECORDED {
        cut_everywhere(recorded, "reset", 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_silence() {
    for recorded in RECORDED {
        // Each takes its time.
        cut_everywhere(recorded, "hang", 3).await;
    }
}
