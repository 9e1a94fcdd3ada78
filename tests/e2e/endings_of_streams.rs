//! The ends of streams: complete is complete whatever the connection does, and what is not complete says so.

use std::time::Duration;

use harness::{Answer, Mock, Proxy, Reply, eventually};
use serde_json::{Value, json};

/// The path of an endpoint, a request for a stream, and a whole stream of it.
const ENDPOINTS: [(&str, &str); 3] = [
    (
        "/v1/chat/completions",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\ndata: [DONE]\n\n",
    ),
    (
        "/v1/responses",
        "event: response.created\ndata: {\"type\":\"response.created\"}\n\n\
         event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hello\"}\n\n\
         event: response.completed\ndata: {\"type\":\"response.completed\"}\n\n",
    ),
    (
        "/v1/messages",
        "event: message_start\ndata: {\"type\":\"message_start\"}\n\n\
         event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n\
         event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ),
];

fn request() -> Value {
    json!({"model": "gpt-4", "stream": true, "input": "Hello", "messages": [{"role": "user", "content": "Hello"}]})
}

async fn interruptions(proxy: &Proxy) -> f64 {
    proxy.metric(r#"pointsman_attempts_total{outcome="interrupted",provider="a"}"#).await
}

#[tokio::test]
async fn a_stream_is_over_with_its_end_marker_whatever_its_connection_does() {
    for (path, stream) in ENDPOINTS {
        for ending in [Reply::cut, Reply::reset, Reply::hang] {
            // A reset may overtake what was sent just before it.
            let a = Mock::start("a", ending(Reply::sse().body(stream).delay(Duration::from_millis(100)))).await;
            let proxy = Proxy::before([&a]).await;
            let answer = proxy.post(path, &request()).await;
            assert_eq!((answer.text().as_str(), answer.complete), (stream, true), "{path}");
            assert!(answer.took < Duration::from_secs(5), "{path}: {:?}", answer.took);
            assert_eq!((proxy.state_of(&a).await.as_str(), interruptions(&proxy).await), ("admitted", 0.0), "{path}");
            eventually("the connection to a is closed", async || a.open_connections() == 0).await;
        }
    }
}

#[tokio::test]
async fn what_follows_the_end_marker_is_not_passed_on() {
    let (path, stream) = ENDPOINTS[0];
    let a = Mock::start("a", Reply::sse().body(format!("{stream}data: {{\"error\": 1}}\n\n")).cut()).await;
    let answer = Proxy::before([&a]).await.post(path, &request()).await;
    assert_eq!((answer.text().as_str(), answer.complete), (stream, true));
}

#[tokio::test]
async fn after_a_stream_that_ended_cleanly_the_connection_is_used_again() {
    let a = Mock::start("a", Reply::stream(&["one"])).await;
    let proxy = Proxy::before([&a]).await;
    for _ in 0..3 {
        assert!(proxy.stream().await.rest().await.complete);
    }
    let connections: Vec<usize> = a.requests().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

/// The data of the last event of `answer`, which must be an error with this name or none.
fn last_error(answer: &Answer, named: bool) -> Value {
    let text = answer.text();
    let last = text.strip_suffix("\n\n").expect("a whole event").rsplit("\n\n").next().unwrap_or_default();
    let data = if named { last.strip_prefix("event: error\ndata: ") } else { last.strip_prefix("data: ") };
    assert!(!text.contains("\n\n\n"), "no event without data: {text}");
    let error = serde_json::from_str(data.unwrap_or_default());
    assert!(error.is_ok(), "no error at the end: {text}");
    error.unwrap_or_default()
}

#[tokio::test]
async fn the_error_frame_has_the_form_of_the_endpoint() {
    for (path, stream) in ENDPOINTS {
        let (begun, _) = stream[..stream.len() - 2].rsplit_once("\n\n").expect("several events");
        for ending in [Reply::cut, Reply::reset, Reply::hang] {
            let begun = Reply::sse().body(format!("{begun}\n\n")).delay(Duration::from_millis(50));
            let a = Mock::start("a", ending(begun)).await;
            let builder = Proxy::builder().provider(&a, json!({})).set(json!({"timeouts": {"idle": 0.3}}));
            let proxy = builder.start().await;
            let answer = proxy.post(path, &request()).await;
            let named = path != "/v1/chat/completions";
            let error = last_error(&answer, named);
            let message = error["error"]["message"].as_str().unwrap_or_default();
            assert!(message.contains("provider a"), "{path}: {error}");
            if named {
                assert_eq!(error["type"], "error", "{path}: {error}");
            }
            if path == "/v1/responses" {
                assert_eq!((&error["message"], &error["sequence_number"]), (&json!(message), &json!(2)), "{error}");
                assert_eq!((&error["code"], &error["param"]), (&json!("stream_interrupted"), &Value::Null));
            }
            assert_eq!(interruptions(&proxy).await, 1.0);
        }
    }
}

#[tokio::test]
async fn events_with_ids_are_followed_by_the_frame_and_by_no_blank_line() {
    let id = "id: 1\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
    let a = Mock::start("a", Reply::sse().body(id).cut()).await;
    let answer = Proxy::before([&a]).await.post("/v1/chat/completions", &request()).await;
    last_error(&answer, false);
    assert!(answer.text().starts_with(&format!("{id}data: {{\"error\"")), "{}", answer.text());
}

#[tokio::test]
async fn a_clean_end_before_a_stream_says_that_it_is_complete_is_an_interruption() {
    for (path, stream) in ENDPOINTS {
        let (begun, _) = stream[..stream.len() - 2].rsplit_once("\n\n").expect("several events");
        let a = Mock::start("a", Reply::sse().body(format!("{begun}\n\n"))).await;
        let proxy = Proxy::before([&a]).await;
        let answer = proxy.post(path, &request()).await;
        last_error(&answer, path != "/v1/chat/completions");
        assert_eq!(interruptions(&proxy).await, 1.0, "{path}");
    }
}

#[tokio::test]
async fn a_finish_reason_without_done_is_complete() {
    let finish = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let a = Mock::start("a", Reply::sse().word("one").event(&finish)).await;
    let proxy = Proxy::before([&a]).await;
    let answer = proxy.stream().await.rest().await;
    assert!(answer.complete && !answer.text().contains("error"), "{}", answer.text());
    assert_eq!(interruptions(&proxy).await, 0.0);
}

#[tokio::test]
async fn a_stream_of_an_unknown_endpoint_may_end_without_a_marker() {
    let a = Mock::start("a", Reply::sse().body("event: x\ndata: 1\n\n")).await;
    let answer = Proxy::before([&a]).await.post("/v1/something/new", &request()).await;
    assert_eq!((answer.text().as_str(), answer.complete), ("event: x\ndata: 1\n\n", true));
}

#[tokio::test]
async fn responses_that_fail_before_their_content_fail_over_and_pass_behind_it() {
    let created = Reply::sse().body("event: response.created\ndata: {\"type\":\"response.created\"}\n\n");
    let failed = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{}}}\n\n";
    let (path, whole) = ENDPOINTS[1];
    let a = Mock::start("a", created.clone().body(failed)).await;
    let b = Mock::start("b", Reply::sse().body(whole)).await;
    let answer = Proxy::before([&a, &b]).await.post(path, &request()).await;
    assert_eq!((answer.provider(), answer.text().as_str()), ("b", whole));

    let word = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n";
    let a = Mock::start("a", created.body(word).body(failed)).await;
    let proxy = Proxy::before([&a, &b]).await;
    let answer = proxy.post(path, &request()).await;
    assert!(answer.complete && answer.text().ends_with(failed), "{}", answer.text());
    assert_eq!(interruptions(&proxy).await, 1.0);
}
