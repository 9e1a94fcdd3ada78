//! `/metrics`, and what answers say of the decision behind them.

use std::time::Duration;

use harness::{Call, Gate, Mock, Proxy, Reply, eventually, stream_request};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn a_request_counts_once_and_each_of_its_attempts_too() {
    let a = Mock::start("a", Reply::status(401)).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let proxy = Proxy::before([&a, &b]).await;
    for _ in 0..3 {
        assert_eq!(proxy.chat().await.status, 200);
    }
    for (series, value) in [
        (r#"pointsman_requests_total{endpoint="chat/completions",outcome="succeeded",provider="b"}"#, 3.0),
        (r#"pointsman_requests_total{endpoint="chat/completions",outcome="unauthorized",provider="a"}"#, 0.0),
        (r#"pointsman_attempts_total{outcome="unauthorized",provider="a"}"#, 1.0),
        (r#"pointsman_attempts_total{outcome="succeeded",provider="b"}"#, 3.0),
        (r#"pointsman_failovers_total{provider="b"}"#, 1.0),
        (r#"pointsman_ejections_total{provider="a"}"#, 1.0),
        (r#"pointsman_provider_state{provider="a",state="ejected"}"#, 1.0),
        (r#"pointsman_provider_state{provider="b",state="admitted"}"#, 1.0),
        (r#"pointsman_request_duration_seconds_count{endpoint="chat/completions"}"#, 3.0),
        ("pointsman_overhead_seconds_count", 3.0),
        ("pointsman_queue_wait_seconds_count", 3.0),
        (r#"pointsman_strategy_call_duration_seconds_count{strategy="failover"}"#, 3.0),
        (r#"pointsman_config_info{strategy="failover"}"#, 1.0),
        ("pointsman_config_generation", 1.0),
    ] {
        assert_eq!(proxy.metric(series).await, value, "{series}");
    }
}

#[tokio::test]
async fn what_the_proxy_answers_by_itself_counts_by_its_code() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    assert_eq!(proxy.post("/v1/embeddings", &json!(["no object"])).await.status, 400);
    assert_eq!(proxy.get("/no/such/zebra").await.status, 404);
    assert_eq!(proxy.get("/v1/models").await.status, 200);
    let text = proxy.get("/metrics").await.text();
    for line in [
        r#"pointsman_requests_total{endpoint="embeddings",outcome="not_an_object",provider=""} 1"#,
        r#"pointsman_requests_total{endpoint="other",outcome="unknown_path",provider=""} 1"#,
        r#"pointsman_requests_total{endpoint="models",outcome="succeeded",provider=""} 1"#,
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("zebra"), "no label comes from a request");
}

#[tokio::test]
async fn the_gauges_show_what_is_going_on_now() {
    let gate = Gate::closed();
    let a = Mock::start("a", Reply::chat("a").held_by(&gate)).await;
    let limits = json!({"queue": {"max_concurrent": 2, "max_waiting": 5}});
    let proxy = Proxy::builder().provider(&a, json!({"max_concurrent": 2})).set(limits).start().await;
    let calls: Vec<_> = (0..3).map(|_| proxy.chat_meanwhile()).collect();
    eventually("one waits", async || proxy.metric("pointsman_queue_waiting").await == 1.0).await;
    for (series, value) in [
        ("pointsman_queue_in_flight", 2.0),
        ("pointsman_queue_max_concurrent", 2.0),
        ("pointsman_queue_max_waiting", 5.0),
        (r#"pointsman_provider_in_flight{provider="a"}"#, 2.0),
        (r#"pointsman_provider_max_concurrent{provider="a"}"#, 2.0),
    ] {
        assert_eq!(proxy.metric(series).await, value, "{series}");
    }
    gate.open();
    for call in calls {
        assert_eq!(call.await.expect("answered").status, 200);
    }
    eventually("all is over", async || proxy.metric("pointsman_queue_in_flight").await == 0.0).await;
    assert_eq!(proxy.metric(r#"pointsman_provider_in_flight{provider="a"}"#).await, 0.0);
}

#[tokio::test]
async fn the_overhead_is_without_the_time_of_providers_and_queue() {
    let a = Mock::start("a", Reply::chat("a").late(Duration::from_millis(400))).await;
    let builder = Proxy::builder().provider(&a, json!({})).set(json!({"queue": {"max_concurrent": 1}}));
    let proxy = builder.start().await;
    let calls = [proxy.chat_meanwhile(), proxy.chat_meanwhile()];
    for call in calls {
        assert_eq!(call.await.expect("answered").status, 200);
    }
    let overhead = proxy.metric("pointsman_overhead_seconds_sum").await;
    assert!(overhead > 0.0 && overhead < 0.4, "{overhead} s");
    let series = r#"pointsman_attempt_duration_seconds_sum{provider="a"}"#;
    assert!(proxy.metric(series).await >= 0.8);
    assert!(proxy.metric("pointsman_queue_wait_seconds_sum").await >= 0.39);
}

#[tokio::test]
async fn tokens_and_the_first_event_of_streams_are_counted() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}});
    let a = Mock::start("a", Reply::sse().word("one").event(&usage).done()).await;
    let proxy = Proxy::before([&a]).await;
    assert!(proxy.chat_call(&stream_request()).answer().await.complete);
    let first = r#"pointsman_time_to_first_token_seconds_count{provider="a"}"#;
    eventually("the stream is counted", async || proxy.metric(first).await == 1.0).await;
    let choices = json!([{"message": {"role": "assistant", "content": "two"}}]);
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 20});
    a.follow(Reply::json(200, &json!({"choices": choices, "usage": usage})));
    assert_eq!(proxy.chat().await.status, 200);
    assert_eq!(proxy.metric(first).await, 1.0, "an answer that is no stream has no first event");
    for (kind, tokens) in [("prompt", 17.0), ("completion", 25.0)] {
        let series = format!("pointsman_tokens_total{{kind=\"{kind}\",provider=\"a\"}}");
        eventually("tokens are counted", async || proxy.metric(&series).await == tokens).await;
    }
}

#[tokio::test]
async fn tokens_are_counted_in_answers_of_any_size_and_in_streams_of_messages() {
    let filler = "x".repeat(1500 << 10);
    let choices = json!([{"message": {"role": "assistant", "content": filler}}]);
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 20});
    let a = Mock::start("a", Reply::json(200, &json!({"choices": choices, "usage": usage}))).await;
    let proxy = Proxy::before([&a]).await;
    assert!(proxy.chat().await.complete);
    let tokens =
        async |kind: &str| proxy.metric(&format!("pointsman_tokens_total{{kind=\"{kind}\",provider=\"a\"}}")).await;
    eventually("the large answer is counted", async || tokens("completion").await == 20.0).await;
    let start = json!({"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}});
    let text = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}});
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}});
    let event = |kind: &str, data: &serde_json::Value| format!("event: {kind}\ndata: {data}\n\n");
    a.follow(
        Reply::sse()
            .body(event("message_start", &start))
            .body(event("content_block_delta", &text))
            .body(event("message_delta", &end))
            .body(event("message_stop", &json!({"type": "message_stop"}))),
    );
    let request = json!({"model": "m", "max_tokens": 9, "stream": true, "messages": []});
    assert!(proxy.post("/v1/messages", &request).await.complete);
    eventually("the stream is counted", async || tokens("prompt").await == 17.0).await;
    eventually("both ends of it", async || tokens("completion").await == 25.0).await;
}

#[tokio::test]
async fn an_announced_length_that_was_delivered_is_a_success_and_a_shorter_one_is_none() {
    let audio = || Reply::status(200).header("content-type", "audio/mpeg");
    let body = vec![b'x'; 300 << 10];
    let a = Mock::start("a", [audio().body(body.clone()), audio().announce(400 << 10).body(body).cut()]).await;
    let proxy = Proxy::before([&a]).await;
    let speech = json!({"model": "tts", "input": "x", "voice": "alloy"});
    let series =
        |outcome: &str| format!("pointsman_requests_total{{endpoint=\"audio\",outcome=\"{outcome}\",provider=\"a\"}}");
    assert_eq!(proxy.post("/v1/audio/speech", &speech).await.body.len(), 300 << 10);
    eventually("it is a success", async || proxy.metric(&series("succeeded")).await == 1.0).await;
    assert!(!proxy.post("/v1/audio/speech", &speech).await.complete);
    eventually("it is an interruption", async || proxy.metric(&series("interrupted")).await == 1.0).await;
}

#[tokio::test]
async fn a_client_that_leaves_counts_as_cancelled() {
    let a = Mock::start("a", Reply::silence()).await;
    let proxy = Proxy::before([&a]).await;
    let call = proxy.chat_meanwhile();
    eventually("a works on it", async || a.serving() == 1).await;
    call.abort();
    let series = r#"pointsman_requests_total{endpoint="chat/completions",outcome="cancelled",provider="a"}"#;
    eventually("it is counted", async || proxy.metric(series).await == 1.0).await;
}

#[tokio::test]
async fn metrics_need_a_client_key_where_keys_are_set() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let builder =
        Proxy::builder().provider(&a, json!({})).set(json!({"server": {"api_keys": ["client-zq7-s3cr3t-key"]}}));
    let proxy = builder.start().await;
    assert_eq!(proxy.get("/metrics").await.status, 401);
    let call = proxy.call(Method::GET, "/metrics").header("authorization", "Bearer client-zq7-s3cr3t-key");
    let answer = call.answer().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"), "{:?}", answer.headers);
    assert_eq!(proxy.get("/health").await.status, 200);
}

#[tokio::test]
async fn the_second_listener_serves_metrics_and_the_first_no_longer_does() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let builder = Proxy::builder().provider(&a, json!({})).set(json!({"server": {"admin": {"port": 0}}}));
    let proxy = builder.start().await;
    assert_eq!(proxy.chat().await.status, 200);
    assert_eq!(proxy.get("/metrics").await.status, 404);
    let text = Call::to(proxy.operators(), Method::GET, "/metrics").answer().await.text();
    assert!(text.contains("pointsman_requests_total{"), "{text}");
}

#[tokio::test]
async fn a_reload_counts_and_a_provider_that_is_gone_leaves_no_series() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let mut proxy = Proxy::before([&a, &b]).await;
    assert_eq!(proxy.chat().await.provider(), "a");
    proxy.reload(json!({"providers": [harness::provider(&b, json!({}))]})).await.expect("a good configuration");
    proxy.reload(json!({"queue": {"timeout": "soon"}})).await.expect_err("no number");
    assert!(!proxy.get("/metrics").await.text().contains("provider=\"a\""));
    for (series, value) in [
        (r#"pointsman_config_reloads_total{result="succeeded"}"#, 1.0),
        (r#"pointsman_config_reloads_total{result="failed"}"#, 1.0),
        ("pointsman_config_last_reload_successful", 0.0),
        ("pointsman_config_generation", 2.0),
    ] {
        assert_eq!(proxy.metric(series).await, value, "{series}");
    }
}

#[tokio::test]
async fn an_answer_names_its_decision_when_asked_to() {
    let a = Mock::start("a", Reply::status(500)).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let mut proxy = builder.set(json!({"monitoring": {"explain": true}})).start().await;
    let answer = proxy.chat().await;
    let decision = answer.header("x-pointsman-decision");
    assert!(decision.starts_with("strategy=failover; tier=primary; order=a,b; reason="), "{decision}");
    proxy.reload(json!({"monitoring": {"explain": false}})).await.expect("a good configuration");
    assert_eq!(proxy.chat().await.header("x-pointsman-decision"), "");
}

#[tokio::test]
async fn series_of_providers_and_of_the_process_are_there_before_anything_is_counted() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::before([&a]).await;
    let text = proxy.get("/metrics").await.text();
    for series in [
        r#"pointsman_requests_total{endpoint="chat/completions",outcome="failed",provider="a"} 0"#,
        r#"pointsman_attempts_total{outcome="timed_out",provider="a"} 0"#,
        r#"pointsman_ejections_total{provider="a"} 0"#,
        "pointsman_log_lines_dropped_total 0",
    ] {
        assert!(text.lines().any(|line| line == series), "{series} is missing in\n{text}");
    }
    for series in
        ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"]
    {
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok());
        assert!(value.is_some_and(|value| value > 0.0) || !cfg!(target_os = "linux"), "{series}: {value:?}");
    }
}
