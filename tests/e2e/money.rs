//! What answers cost: in metrics, headers and `/admin/spend`, and the usage of streams whose clients do not ask for it.

use harness::{Answer, Call, Mock, Proxy, ProxyBuilder, Reply, Seen, chat_request, eventually};
use http::Method;
use serde_json::{Value, json};

/// What an answer says it took.
fn usage() -> Value {
    json!({
        "prompt_tokens": 2000, "completion_tokens": 300, "total_tokens": 2300,
        "prompt_tokens_details": {"cached_tokens": 1000}, "completion_tokens_details": {"reasoning_tokens": 100},
    })
}

fn completion(usage: &Value) -> Reply {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"});
    Reply::json(200, &json!({"id": "1", "model": "m", "choices": [choice], "usage": usage}))
}

/// A stream that has the chunk with the usage if it was asked for, as OpenAI's do.
fn stream(seen: &Seen) -> Reply {
    let asked = seen.json()["stream_options"]["include_usage"] == json!(true);
    let stream = Reply::sse().word("one").word("two");
    let stream = stream.event(&json!({"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
    match asked {
        true => stream.event(&json!({"id": "1", "choices": [], "usage": usage()})).done(),
        false => stream.done(),
    }
}

/// Prices by which that usage costs 0.0061 dollars: 1000 at 2.5, 1000 at 1, 200 at 10, 100 at 6 dollars for a million.
fn priced() -> Value {
    json!({"prices": {"models": {"gpt-4": {"input": 2.5, "cached": 1, "output": 10, "reasoning": 6}}}})
}

const COST: f64 = 0.0061;

fn asks_for_stream() -> Value {
    json!({"model": "gpt-4", "stream": true, "messages": [{"role": "user", "content": "hello"}]})
}

async fn streamed(proxy: &Proxy, body: &Value) -> Answer {
    proxy.chat_call(body).answer().await
}

async fn spent(proxy: &Proxy, query: &str) -> Value {
    proxy.get(&format!("/admin/spend{query}")).await.json()
}

/// Waits until so many requests have been counted: that comes after the last byte of an answer.
async fn counted(proxy: &Proxy, requests: u64) {
    eventually("the requests are counted", async || {
        spent(proxy, "").await["total"]["requests"].as_u64() == Some(requests)
    })
    .await;
}

fn builder(mock: &Mock) -> ProxyBuilder {
    Proxy::builder().provider(mock, json!({})).set(priced())
}

#[tokio::test]
async fn a_whole_answer_costs_what_its_parts_cost_everywhere() {
    let a = Mock::start("a", completion(&usage())).await;
    let proxy = builder(&a).set(json!({"monitoring": {"explain": true}})).start().await;
    let answer = proxy.chat().await;
    assert_eq!((answer.status, answer.header("x-pointsman-cost")), (200, "0.0061"));
    counted(&proxy, 1).await;
    for (series, value) in [
        (r#"pointsman_cost_dollars_total{provider="a"}"#, COST),
        (r#"pointsman_spent_dollars_total{client="",route="default"}"#, COST),
        (r#"pointsman_unpriced_requests_total{provider="a"}"#, 0.0),
        (r#"pointsman_tokens_total{kind="prompt",provider="a"}"#, 2000.0),
        (r#"pointsman_tokens_total{kind="completion",provider="a"}"#, 300.0),
        (r#"pointsman_tokens_total{kind="cached",provider="a"}"#, 1000.0),
        (r#"pointsman_tokens_total{kind="reasoning",provider="a"}"#, 100.0),
    ] {
        assert_eq!(proxy.metric(series).await, value, "{series}");
    }
    let spent = spent(&proxy, "?by=provider,model").await;
    let row = &spent["rows"][0];
    assert_eq!((&row["provider"], &row["model"]), (&json!("a"), &json!("gpt-4")));
    assert_eq!((&row["cost"], &row["nano_dollars"]), (&json!(COST), &json!(6_100_000)));
    assert_eq!((&row["tokens"]["cache_read"], &row["tokens"]["reasoning"]), (&json!(1000), &json!(100)));
}

#[tokio::test]
async fn the_cost_is_a_header_only_where_answers_are_explained() {
    let a = Mock::start("a", completion(&usage())).await;
    let proxy = builder(&a).start().await;
    assert_eq!(proxy.chat().await.header("x-pointsman-cost"), "");
}

#[tokio::test]
async fn a_model_without_a_price_is_counted_and_not_free_in_silence() {
    let a = Mock::start("a", completion(&usage())).await;
    let proxy = Proxy::builder().provider(&a, json!({}));
    let proxy = proxy.set(json!({"prices": {"models": {"other": {"input": 1, "output": 1}}}})).start().await;
    assert_eq!(proxy.chat().await.status, 200);
    counted(&proxy, 1).await;
    assert_eq!(proxy.metric(r#"pointsman_unpriced_requests_total{provider="a"}"#).await, 1.0);
    let total = &spent(&proxy, "").await["total"];
    assert_eq!((&total["unpriced"], &total["nano_dollars"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn the_cost_that_a_provider_reports_counts_where_its_price_is_reported() {
    let mut usage = usage();
    usage["cost"] = json!(0.00014);
    usage["cost_details"] = json!({"upstream_inference_cost": 19});
    let a = Mock::start("a", completion(&usage)).await;
    let proxy = Proxy::builder().provider(&a, json!({"price": "reported"})).set(priced());
    let proxy = proxy.set(json!({"monitoring": {"explain": true}})).start().await;
    assert_eq!(proxy.chat().await.header("x-pointsman-cost"), "0.00014");
}

#[tokio::test]
async fn a_streams_usage_is_asked_for_and_its_chunk_taken_out_where_the_client_says_nothing() {
    let a = Mock::start("a", harness::Script::by(|_, seen| stream(seen))).await;
    let proxy = builder(&a).start().await;
    let body = asks_for_stream();
    let answer = streamed(&proxy, &body).await;
    let sent = a.only_request();
    let text = String::from_utf8(sent.body.to_vec()).expect("text");
    let written = body.to_string();
    let asking = r#"{"stream_options":{"include_usage":true},"#;
    assert_eq!(text, written.replacen('{', asking, 1), "all other bytes as they were");
    let text = answer.text();
    assert!(!text.contains("usage") && text.contains("two") && text.ends_with("data: [DONE]\n\n"), "{text}");
    counted(&proxy, 1).await;
    assert_eq!(spent(&proxy, "").await["total"]["nano_dollars"], json!(6_100_000));
    assert_eq!(proxy.metric(r#"pointsman_cost_dollars_total{provider="a"}"#).await, COST);
}

#[tokio::test]
async fn what_a_client_says_about_the_usage_of_its_stream_stands() {
    let a = Mock::start("a", harness::Script::by(|_, seen| stream(seen))).await;
    let proxy = builder(&a).start().await;
    for (options, shown) in [
        (json!({"include_usage": true}), true),
        (json!({"include_usage": false}), false),
        (json!({}), false),
        (Value::Null, false),
    ] {
        let mut body = asks_for_stream();
        body["stream_options"] = options.clone();
        let answer = streamed(&proxy, &body).await;
        assert_eq!(a.requests().last().expect("a request").json()["stream_options"], options);
        assert_eq!(answer.text().contains("usage"), shown, "{options}");
    }
}

#[tokio::test]
async fn nobody_is_asked_where_it_is_not_needed_or_the_provider_never_is() {
    for (options, settings) in [
        (json!({}), json!({})),
        (json!({"price": {"input": 1, "output": 2}}), json!({})),
        (json!({"stream_usage": "never"}), priced()),
    ] {
        let a = Mock::start("a", harness::Script::by(|_, seen| stream(seen))).await;
        let proxy = Proxy::builder().provider(&a, options).set(settings).start().await;
        assert_eq!(streamed(&proxy, &asks_for_stream()).await.status, 200);
        assert_eq!(a.only_request().json(), asks_for_stream());
    }
    let a = Mock::start("a", harness::Script::by(|_, seen| stream(seen))).await;
    let always = json!({"monitoring": {"usage": "always"}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(always).start().await;
    assert!(!streamed(&proxy, &asks_for_stream()).await.text().contains("usage"));
    assert_eq!(a.only_request().json()["stream_options"], json!({"include_usage": true}));
    counted(&proxy, 1).await;
    assert_eq!(proxy.metric(r#"pointsman_tokens_total{kind="prompt",provider="a"}"#).await, 2000.0);
}

#[tokio::test]
async fn a_provider_that_refuses_to_be_asked_is_sent_the_clients_request_and_not_asked_again() {
    let a = Mock::start(
        "a",
        harness::Script::by(|_, seen| match seen.json().get("stream_options") {
            Some(_) => Reply::error(400, "Extra inputs are not permitted: stream_options"),
            None => stream(seen),
        }),
    )
    .await;
    let proxy = builder(&a).start().await;
    for expected in [2, 3, 4] {
        let answer = streamed(&proxy, &asks_for_stream()).await;
        assert_eq!((answer.status, a.calls()), (200, expected));
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
    }
    let failed = proxy.metric(r#"pointsman_attempts_total{outcome="rejected",provider="a"}"#).await;
    assert_eq!(failed, 0.0, "it is one attempt");
}

#[tokio::test]
async fn a_request_that_is_refused_either_way_is_the_clients_fault_and_teaches_nothing() {
    let a = Mock::start("a", Reply::error(400, "no such thing")).await;
    let proxy = builder(&a).start().await;
    for expected in [2, 4] {
        let answer = streamed(&proxy, &asks_for_stream()).await;
        assert_eq!((answer.status, a.calls()), (400, expected));
        assert_eq!(answer.message(), "no such thing");
    }
}

#[tokio::test]
async fn the_chunk_goes_wherever_the_stream_is_cut() {
    let chunk = json!({"id": "1", "choices": [], "usage": usage()}).to_string();
    let word = json!({"id": "1", "choices": [{"index": 0, "delta": {"content": "x"}}], "usage": null}).to_string();
    let stop = json!({"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).to_string();
    let kept = format!("data: {word}\r\n\r\ndata: {stop}\r\n\r\n");
    let end = "data: [DONE]\r\n\r\n";
    let whole = format!("{kept}data: {chunk}\r\n\r\n{end}");
    let cuts: Vec<usize> = (0..whole.len()).step_by(7).chain(kept.len()..kept.len() + 12).collect();
    let expected = format!("{kept}{end}");
    let script = {
        let (whole, cuts) = (whole.clone(), cuts.clone());
        harness::Script::by(move |number, _| {
            let cut = cuts[number % cuts.len()];
            Reply::sse()
                .body(whole[..cut].to_owned())
                .delay(std::time::Duration::from_millis(5))
                .body(whole[cut..].to_owned())
        })
    };
    let a = Mock::start("a", script).await;
    let proxy = builder(&a).start().await;
    for cut in &cuts {
        assert_eq!(streamed(&proxy, &asks_for_stream()).await.text(), expected, "cut at {cut}");
    }
    counted(&proxy, cuts.len() as u64).await;
    let total = spent(&proxy, "").await["total"]["nano_dollars"].as_u64();
    assert_eq!(total, Some(6_100_000 * cuts.len() as u64));
}

#[tokio::test]
async fn a_stream_that_breaks_costs_what_it_has_named() {
    let begun = json!({"type": "message_start", "message": {"usage": {"input_tokens": 1000, "output_tokens": 1}}});
    let delta = json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}});
    let reply = Reply::sse()
        .body(format!("event: message_start\ndata: {begun}\n\n"))
        .body(format!("event: content_block_delta\ndata: {delta}\n\n"))
        .cut();
    let a = Mock::start("a", reply).await;
    let proxy = builder(&a).start().await;
    let answer = proxy.call(Method::POST, "/v1/messages").json(&asks_for_stream()).answer().await;
    assert_eq!(answer.status, 200);
    counted(&proxy, 1).await;
    assert_eq!(spent(&proxy, "").await["total"]["nano_dollars"], json!(2_510_000));
}

#[tokio::test]
async fn prices_of_a_file_are_read_again_when_it_changes() {
    let a = Mock::start("a", completion(&json!({"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000})))
        .await;
    let builder = Proxy::builder().provider(&a, json!({})).set(json!({"monitoring": {"explain": true}}));
    let file = builder.folder().join("prices.json");
    let write = |rate: f64| {
        let prices =
            json!({"gpt-4": {"litellm_provider": "openai", "input_cost_per_token": rate, "output_cost_per_token": 0}});
        std::fs::write(&file, prices.to_string()).expect("written");
    };
    write(1e-6);
    let mut proxy = builder.set(json!({"prices": {"file": "prices.json"}})).start().await;
    assert_eq!(proxy.chat().await.header("x-pointsman-cost"), "0.001");
    write(2e-6);
    proxy.reload(json!({})).await.expect("it loads");
    assert_eq!(proxy.chat().await.header("x-pointsman-cost"), "0.002");
    std::fs::write(&file, "[]").expect("written");
    let failure = proxy.reload(json!({})).await.expect_err("no prices");
    assert!(failure.text.contains("prices.file") && failure.text.contains("models.dev"), "{}", failure.text);
    assert_eq!(proxy.chat().await.header("x-pointsman-cost"), "0.002", "the ones before stay in force");
}

#[tokio::test]
async fn what_was_spent_can_be_asked_for_as_a_table_and_wrong_questions_are_explained() {
    let a = Mock::start("a", completion(&usage())).await;
    let proxy = builder(&a).start().await;
    proxy.chat().await;
    counted(&proxy, 1).await;
    let table = proxy.call(Method::GET, "/admin/spend?by=model").header("accept", "text/csv").answer().await;
    assert!(table.header("content-type").starts_with("text/csv"));
    let lines: Vec<String> = table.text().lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("model,requests,") && lines[1].starts_with("gpt-4,1,0,2000,300,"), "{lines:?}");
    assert!(lines[1].ends_with(",0.0061"), "{lines:?}");
    let wrong = proxy.get("/admin/spend?by=user").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "invalid_query"));
    let past = spent(&proxy, "?until=2026-01-01").await;
    assert_eq!((&past["total"]["requests"], &past["until"]), (&json!(0), &json!("2026-01-01")));
    let post = proxy.post("/admin/spend", &json!({})).await;
    assert_eq!(post.status, 405);
}

#[tokio::test]
async fn what_an_approach_asks_for_adds_up_for_its_client() {
    let a = Mock::start("a", completion(&usage())).await;
    let proxy = builder(&a).set(json!({"monitoring": {"explain": true}})).start().await;
    let mut body = chat_request();
    body["model"] = json!("self_consistency-gpt-4");
    let answer = Call::to(proxy.address(), Method::POST, "/v1/chat/completions").json(&body).answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let calls = a.calls() as u64;
    assert!(calls > 1);
    counted(&proxy, calls).await;
    let cost: f64 = answer.header("x-pointsman-cost").parse().expect("a cost");
    let total = spent(&proxy, "").await["total"]["cost"].as_f64().expect("a cost");
    assert!((cost - total).abs() < 1e-9 && cost > COST, "{cost} {total}");
}

#[tokio::test]
async fn the_usage_of_a_stream_is_asked_for_where_a_limit_of_its_client_needs_it() {
    for (limits, asked) in [(json!({"tpm": 1_000_000}), true), (json!({"rpm": 1000}), false)] {
        let a = Mock::start("a", harness::Script::by(|_, seen| stream(seen))).await;
        let key = json!({"name": "one", "key": "a-key-of-a-client-0123456789", "limits": limits});
        let proxy = Proxy::builder().provider(&a, json!({})).set(json!({"clients": {"keys": [key]}})).start().await;
        let call = proxy.chat_call(&asks_for_stream()).header("authorization", "Bearer a-key-of-a-client-0123456789");
        let answer = call.answer().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!answer.text().contains("usage"));
        assert_eq!(a.only_request().json().get("stream_options").is_some(), asked, "{limits}");
    }
}
