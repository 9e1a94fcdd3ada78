//! Each end of a request, and what it is charged with.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use harness::{Gate, Mock, Proxy, Reply, Script, eventually, stream_request};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{AGES, left, route, wait_for_left};

const DAY: f64 = 100_000.0;

fn limits() -> Value {
    route(json!({"rpd": 1000, "tpd": 100_000, "parallel": 50}))
}

/// An event with the usage, as OpenAI sends it last.
fn usage(prompt: u32, completion: u32) -> Value {
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion});
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": usage})
}

async fn before(mock: &Mock, options: Value) -> Proxy {
    Proxy::builder().provider(mock, options).set(limits()).start().await
}

/// Waits until the request is over, and says how many tokens it was charged with.
async fn charged(proxy: &Proxy) -> f64 {
    wait_for_left(proxy, "parallel", 50.0).await;
    DAY - left(proxy, "tpd").await
}

/// The requests that were charged.
async fn requests(proxy: &Proxy) -> f64 {
    1000.0 - left(proxy, "rpd").await
}

async fn estimated(proxy: &Proxy) -> f64 {
    proxy.metric("pointsman_estimated_usage_total").await
}

/// About so many: little comes back while a test runs, and a body is a few words.
#[track_caller]
fn assert_about(charged: f64, tokens: f64) {
    assert!(charged <= tokens && charged >= tokens - 15.0, "{charged} instead of {tokens}");
}

/// The charge of the prompt of [`harness::chat_request`] and [`stream_request`] without usage: some 20 tokens.
#[track_caller]
fn assert_prompt_and(charged: f64, text: f64) {
    assert!(charged >= text + 5.0 && charged <= text + 60.0, "{charged} instead of a prompt and {text}");
}

#[tokio::test]
async fn an_answer_that_says_what_it_took_is_charged_with_that() {
    let body = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1200, "completion_tokens": 345}});
    let a = Mock::start("a", Reply::json(200, &body)).await;
    let proxy = before(&a, json!({})).await;
    assert_eq!(proxy.chat().await.status, 200);
    assert_about(charged(&proxy).await, 1545.0);
    assert_eq!((requests(&proxy).await, estimated(&proxy).await), (1.0, 0.0));
}

#[tokio::test]
async fn a_stream_that_says_what_it_took_is_charged_with_that() {
    let a = Mock::start("a", Reply::sse().word("one").event(&usage(700, 300)).done()).await;
    let proxy = before(&a, json!({})).await;
    assert_eq!(proxy.chat_call(&stream_request()).answer().await.status, 200);
    assert_about(charged(&proxy).await, 1000.0);
    assert_eq!(estimated(&proxy).await, 0.0);
}

#[tokio::test]
async fn nothing_is_charged_for_a_usage_of_nothing() {
    let a = Mock::start("a", Reply::sse().word("one").event(&usage(0, 0)).done()).await;
    let proxy = before(&a, json!({})).await;
    assert_eq!(proxy.chat_call(&stream_request()).answer().await.status, 200);
    assert_about(charged(&proxy).await, 0.0);
    assert_eq!(estimated(&proxy).await, 0.0);
}

#[tokio::test]
async fn a_whole_stream_that_does_not_say_is_charged_with_its_prompt_and_its_text() {
    let a = Mock::start("a", Reply::stream(&["x".repeat(1750).as_str(), "y".repeat(1750).as_str()])).await;
    let proxy = before(&a, json!({})).await;
    assert_eq!(proxy.chat_call(&stream_request()).answer().await.status, 200);
    assert_prompt_and(charged(&proxy).await, 1000.0);
    assert_eq!((requests(&proxy).await, estimated(&proxy).await), (1.0, 1.0));
}

#[tokio::test]
async fn a_whole_answer_that_does_not_say_is_charged_likewise() {
    let message = json!({"role": "assistant", "content": "x".repeat(3500)});
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    let a = Mock::start("a", Reply::json(200, &body)).await;
    let proxy = before(&a, json!({})).await;
    assert_eq!(proxy.chat().await.status, 200);
    assert_prompt_and(charged(&proxy).await, 1000.0);
    assert_eq!(estimated(&proxy).await, 1.0);
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_is_charged_with_the_prompt_and_what_it_got() {
    let a = Mock::start("a", Reply::sse().word(&"x".repeat(3500)).hang()).await;
    let proxy = before(&a, json!({})).await;
    let mut stream = proxy.stream().await;
    stream.read_until("xxx").await;
    drop(stream);
    assert_prompt_and(charged(&proxy).await, 1000.0);
}

#[tokio::test]
async fn a_client_that_leaves_before_an_answer_is_charged_with_the_prompt() {
    let a = Mock::start("a", Reply::silence()).await;
    let proxy = before(&a, json!({})).await;
    let call = proxy.chat_meanwhile();
    eventually("a works on it", async || a.serving() == 1).await;
    call.abort();
    assert_prompt_and(charged(&proxy).await, 0.0);
    assert_eq!(requests(&proxy).await, 1.0);
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_is_charged_with_nothing() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let queue = json!({"queue": {"max_concurrent": 1, "timeout": AGES.as_secs()}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(limits()).set(queue).start().await;
    let busy = proxy.chat_meanwhile();
    eventually("the slot is taken", async || a.serving() == 1).await;
    let waiting = proxy.chat_meanwhile();
    wait_for_left(&proxy, "parallel", 48.0).await;
    waiting.abort();
    wait_for_left(&proxy, "parallel", 49.0).await;
    assert_eq!(requests(&proxy).await, 1.0);
    gate.open();
    assert_eq!(busy.await.expect("answered").status, 200);
    assert_about(charged(&proxy).await, 2.0);
}

#[tokio::test]
async fn a_provider_that_breaks_off_is_charged_with_the_prompt_and_what_it_gave() {
    let a = Mock::start("a", Reply::sse().word(&"x".repeat(3500)).cut()).await;
    let proxy = before(&a, json!({})).await;
    assert_eq!(proxy.chat_call(&stream_request()).answer().await.status, 200);
    assert_prompt_and(charged(&proxy).await, 1000.0);
}

#[tokio::test]
async fn what_a_broken_stream_has_said_counts_with_what_it_gave_beyond() {
    let start = json!({"type": "message_start", "message": {"usage": {"input_tokens": 500, "output_tokens": 1}}});
    let delta = json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x".repeat(3500)}});
    let event = |name: &str, data: &Value| format!("event: {name}\ndata: {data}\n\n");
    let stream = Reply::sse().body(event("message_start", &start)).body(event("content_block_delta", &delta)).cut();
    let a = Mock::start("a", stream).await;
    let proxy = before(&a, json!({})).await;
    let body =
        json!({"model": "m", "max_tokens": 5000, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(proxy.post("/v1/messages", &body).await.status, 200);
    assert_about(charged(&proxy).await, 1500.0);
}

#[tokio::test]
async fn what_was_never_sent_is_given_back() {
    let a = Mock::refusing("a").await;
    let proxy = before(&a, json!({})).await;
    assert_eq!(proxy.chat().await.status, 502);
    assert_about(charged(&proxy).await, 0.0);
    assert_eq!(requests(&proxy).await, 0.0);
}

#[tokio::test]
async fn a_provider_that_fails_is_charged_with_the_request_alone_unless_it_bills_that() {
    for reply in [Reply::error(500, "broken"), Reply::hang_up(), Reply::error(429, "slow"), Reply::error(400, "bad")] {
        let a = Mock::start("a", reply).await;
        let proxy = before(&a, json!({})).await;
        assert!(proxy.chat().await.status >= 400);
        assert_about(charged(&proxy).await, 0.0);
        assert_eq!(requests(&proxy).await, 1.0);
    }
    let a = Mock::start("a", Reply::error(500, "broken")).await;
    let proxy = before(&a, json!({"billed_failures": true})).await;
    assert_eq!(proxy.chat().await.status, 502);
    assert_prompt_and(charged(&proxy).await, 0.0);
}

#[tokio::test]
async fn after_a_failover_the_answering_provider_is_charged_for() {
    let a = Mock::start("a", Reply::error(500, "broken")).await;
    let b = Mock::start("b", Reply::sse().word("one").event(&usage(70, 30)).done()).await;
    let billed = json!({"billed_failures": true});
    let proxy = Proxy::builder().provider(&a, billed).provider(&b, json!({})).set(limits()).start().await;
    assert_eq!(proxy.chat_call(&stream_request()).answer().await.status, 200);
    assert_about(charged(&proxy).await, 100.0);
    assert_eq!(requests(&proxy).await, 1.0);
}

#[tokio::test]
async fn a_stream_cut_at_any_event_is_charged_with_what_had_come() {
    const EVENTS: usize = 6;
    for cut in 1..=EVENTS {
        let events = (0..cut).fold(Reply::sse(), |reply, _| reply.word(&"x".repeat(350)));
        let a = Mock::start("a", events.cut()).await;
        let proxy = before(&a, json!({})).await;
        assert_eq!(proxy.chat_call(&stream_request()).answer().await.status, 200);
        assert_prompt_and(charged(&proxy).await, 100.0 * cut as f64);
    }
}

#[tokio::test]
async fn speech_is_charged_with_what_is_to_be_spoken() {
    let audio = Reply::status(200).header("content-type", "audio/mpeg").body(vec![7_u8; 300_000]);
    let a = Mock::start("a", audio).await;
    let proxy = before(&a, json!({})).await;
    let body = json!({"model": "tts", "input": "word ".repeat(700), "voice": "v"});
    assert_eq!(proxy.post("/v1/audio/speech", &body).await.status, 200);
    assert_prompt_and(charged(&proxy).await, 1000.0);
}

#[tokio::test]
async fn embeddings_of_any_size_are_charged_with_their_usage() {
    let data: Vec<Value> = (0..40_000).map(|_| json!({"embedding": [0.123_456_789, 0.987_654_321, 0.5]})).collect();
    let body = json!({"object": "list", "data": data, "usage": {"prompt_tokens": 777, "total_tokens": 777}});
    let a = Mock::start("a", Reply::json(200, &body)).await;
    let proxy = before(&a, json!({})).await;
    let asked = json!({"model": "e", "input": "x"});
    assert_eq!(proxy.post("/v1/embeddings", &asked).await.status, 200);
    assert_about(charged(&proxy).await, 777.0);
}

#[tokio::test]
async fn a_fallback_takes_from_the_limits_of_its_own_route() {
    let by_model = Script::by(|_, seen| match seen.json()["model"].as_str() {
        Some("dear") => Reply::error(500, "broken"),
        _ => Reply::sse().word("one").event(&usage(70, 30)).done(),
    });
    let a = Mock::start("a", by_model).await;
    let routes = json!({"routes": [
        {"name": "dear", "models": ["dear"], "limits": {"tpd": 100_000, "rpd": 10}, "fallbacks": {"on_failure": ["cheap", "other"]}},
        {"name": "cheap", "models": ["cheap"], "limits": {"tpd": 100_000, "rpd": 1}},
        {"name": "all", "models": ["*"], "limits": {"tpd": 100_000, "rpd": 10}},
    ], "routing": {"track_errors": false}, "monitoring": {"track_errors": false}});
    let routes = {
        let mut routes = routes;
        routes.as_object_mut().expect("an object").remove("routing");
        routes
    };
    let proxy = Proxy::builder().provider(&a, json!({})).set(routes).start().await;
    let mut body = stream_request();
    body["model"] = json!("dear");
    let of = async |route: &str, limit: &str| {
        proxy.metric(&format!("pointsman_limit_remaining{{limit=\"{limit}\",owner=\"r/{route}\"}}")).await
    };
    assert_eq!(proxy.chat_call(&body).answer().await.status, 200);
    eventually("it is settled", async || of("cheap", "tpd").await >= DAY - 101.0).await;
    assert_about(DAY - of("cheap", "tpd").await, 100.0);
    assert_about(DAY - of("dear", "tpd").await, 0.0);
    assert_eq!((of("dear", "rpd").await, of("cheap", "rpd").await), (9.0, 0.0));
    // That route has no request left, so the next one is taken.
    assert_eq!(proxy.chat_call(&body).answer().await.header("x-pointsman-model"), "other");
    eventually("it is settled", async || of("all", "tpd").await >= DAY - 101.0).await;
    assert_about(DAY - of("all", "tpd").await, 100.0);
}

#[tokio::test]
async fn after_random_aborts_the_counters_are_the_sum_of_what_was_charged() {
    const ROUNDS: usize = 400;
    let words = (0..20).fold(Reply::sse(), |reply, _| reply.word("some words").delay(Duration::from_millis(2)));
    // What whole answers have said of requests whose clients wait for them.
    let said = Arc::new(AtomicU64::new(0));
    let sum = Arc::clone(&said);
    let script = Script::by(move |number, seen| {
        let (reply, tokens) = match number % 3 {
            0 => (words.clone().event(&usage(40, 60)).done(), 100),
            1 => (Reply::sse().word("one").event(&usage(10, 5)).done(), 15),
            _ => (Reply::error(500, "broken"), 0),
        };
        if seen.json()["model"] == "patient" {
            sum.fetch_add(tokens, Relaxed);
        }
        reply
    });
    let a = Mock::start("a", script).await;
    let settings = json!({
        "monitoring": {"track_errors": false}, "queue": {"max_concurrent": 20},
        // A thousand nano-dollars for each token.
        "prices": {"models": {"*": {"input": 1, "output": 1}}},
        "routes": [{"name": "all", "models": ["*"], "limits": {"rpd": 1000, "tpd": 100_000, "parallel": 50},
            "budget": {"usd": 1000, "per": "total"}}],
    });
    let proxy = Proxy::builder().provider(&a, json!({})).set(settings).start().await;
    let began = Instant::now();
    let mut calls = Vec::new();
    for round in 0..ROUNDS {
        let (address, mut body) = (proxy.address(), stream_request());
        // Some leave at once, some in the middle, some stay.
        let stays = round % 7 == 6;
        body["model"] = json!(if stays { "patient" } else { "gpt-4" });
        calls.push(harness::spawn(async move {
            let call = harness::Call::to(address, http::Method::POST, "/v1/chat/completions").json(&body);
            let patience = Duration::from_millis(u64::try_from(round % 7).unwrap_or(0) * 8);
            let patience = if stays { harness::PATIENCE } else { patience.max(Duration::from_millis(1)) };
            let _ = tokio::time::timeout(patience, call.answer()).await;
        }));
        if round % 40 == 39 {
            for call in calls.drain(..) {
                call.await.expect("it does not panic");
            }
        }
    }
    let charged = charged(&proxy).await;
    let spend = proxy.get("/admin/spend?by=model").await.json();
    let nano = |row: &Value| row["nano_dollars"].as_u64().expect("a number");
    let all = nano(&spend["total"]);
    let patient = spend["rows"].as_array().expect("rows").iter().find(|row| row["model"] == "patient").map(nano);
    // Those who stayed are charged with what was said, to the token.
    assert_eq!(patient, Some(said.load(Relaxed) * 1000));
    // The budget has counted what was spent, to the nano-dollar, and the rate as many tokens.
    let left = left(&proxy, "usd:total").await;
    assert!(((1000.0 - left) * 1e9 - all as f64).abs() < 1.0, "{left} left, {all} spent");
    let back = began.elapsed().as_secs_f64() * DAY / 86_400.0 + 1.0;
    let tokens = all as f64 / 1000.0;
    assert!(charged <= tokens && charged >= tokens - back, "{charged} of {tokens}, {back} came back");
    // None of the others was charged with more than it could take.
    assert!(all > 0 && all <= ROUNDS as u64 * 160_000, "{all}");
    let requests = requests(&proxy).await;
    assert!(requests <= ROUNDS as f64 && requests >= a.calls() as f64 - 1.0, "{requests} of {}", a.calls());
}
