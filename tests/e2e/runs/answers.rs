//! Whole answers: their envelope, what they say they cost, and what the log and metrics say of them.

use harness::{Mock, Reply};
use serde_json::{Value, json};

use super::{ask, model, proxy, request, with};

#[tokio::test]
async fn a_whole_answer_is_a_completion_that_says_what_it_took() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("chat", json!({"times": 3}))]).await;
    let answer = ask(&proxy, "chat").await;
    let body = answer.json();
    let id = body["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("chatcmpl-pm-") && id.len() > 20, "{id}");
    assert!(body["created"].as_u64().is_some_and(|created| created > 1_700_000_000), "{body}");
    let shown = json!({
        "id": id, "object": "chat.completion", "created": body["created"], "model": "m-1",
        "choices": [super::choice(0, "answer 2.0")],
        "usage": {"prompt_tokens": 15, "completion_tokens": 3, "total_tokens": 18},
    });
    assert_eq!(body, shown);
    assert_ne!(ask(&proxy, "chat").await.json()["id"], body["id"]);
    let figures = answer.header("x-pointsman-approach");
    let millis = figures.strip_prefix("chat; calls=3; choices=3; ms=").expect(figures);
    assert!(millis.parse::<u32>().is_ok(), "{figures}");
    assert_eq!((answer.provider(), answer.header("content-type")), ("a", "application/json"));
    assert!(answer.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn all_details_of_the_usage_are_summed_and_what_the_client_does_not_get_is_billed_too() {
    let usage = json!({
        "prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, "cost": 0.5,
        "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2},
    });
    let whole = json!({"id": "x", "model": "m", "choices": [super::choice(0, "7")], "usage": usage});
    let a = Mock::start("a", Reply::json(200, &whole)).await;
    let proxy = proxy(&a, &[("many", json!({"times": 3})), ("broken", json!({}))]).await;
    let answer = ask(&proxy, "many|broken").await.json();
    let sum = json!({
        "prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42,
        "prompt_tokens_details": {"cached_tokens": 9}, "completion_tokens_details": {"reasoning_tokens": 6},
    });
    assert_eq!(answer["usage"], sum);
}

#[tokio::test]
async fn requests_count_once_calls_by_their_result_and_tokens_by_approach() {
    let a = Mock::start("a", [Reply::chat("a"), Reply::chat("a"), Reply::error(400, "no")]).await;
    let proxy = proxy(&a, &[("chat", json!({"times": 3}))]).await;
    assert_eq!(ask(&proxy, "chat").await.status, 400);
    let metrics = proxy.get("/metrics").await.text();
    let value = |series: &str| {
        let found = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse::<f64>().ok());
        found.unwrap_or_else(|| panic!("{series} is missing in {metrics}"))
    };
    for (series, expected) in [
        (r#"pointsman_approach_calls_total{approach="chat",result="succeeded"}"#, 2.0),
        (r#"pointsman_approach_calls_total{approach="chat",result="rejected"}"#, 1.0),
        (r#"pointsman_approach_runs_total{approach="chat",result="failed"}"#, 1.0),
        (r#"pointsman_approach_tokens_total{approach="chat",kind="prompt"}"#, 2.0),
        (r#"pointsman_approach_tokens_total{approach="chat",kind="completion"}"#, 2.0),
        (r#"pointsman_approach_seconds_count{approach="chat"}"#, 1.0),
        (r#"pointsman_approach_running{approach="chat"}"#, 0.0),
    ] {
        assert!((value(series) - expected).abs() < f64::EPSILON, "{series} {}", value(series));
    }
    let requests =
        metrics.lines().filter(|line| line.starts_with("pointsman_requests_total{") && !line.ends_with(" 0"));
    let requests: Vec<&str> = requests.filter(|line| line.contains("chat")).collect();
    assert!(requests.len() == 1 && requests[0].contains("rejected") && requests[0].ends_with(" 1"), "{requests:?}");
}

#[tokio::test]
async fn an_approach_learns_what_the_client_wants() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("tell", json!({}))]).await;
    let body = with(request("tell"), json!({"seed": 1, "asker_times": 2}));
    let told = proxy.chat_call(&body).answer().await.content();
    assert!(told.starts_with("1 user Hello Some(0) gpt-4 1 false "), "{told}");
    assert!(told.contains("| 64 4294967295 "), "{told}");
    assert!(told.contains(r#"{"model":"gpt-4","seed":1}"#), "{told}");
    assert!(told.contains(r#"{"role":"user","content":"Hello"}"#), "{told}");
}

#[tokio::test]
async fn calls_in_parallel_are_told_in_order_whoever_is_answered_first() {
    let script = harness::Script::by(|_, seen| {
        let index: u64 = super::said(seen).parse().expect("a number");
        let late = std::time::Duration::from_millis(20 * (5 - index));
        super::reply(seen, &[&format!("to {index}")]).late(late)
    });
    let a = Mock::start("a", script).await;
    let proxy = proxy(&a, &[("many", json!({"times": 5}))]).await;
    assert_eq!(ask(&proxy, "many").await.content(), "to 0,to 1,to 2,to 3,to 4");
    assert_eq!(a.most_at_once(), 5);
}

#[tokio::test]
async fn a_choice_keeps_all_that_the_provider_says_of_it() {
    let mut given = super::choice(3, "text");
    given["logprobs"] = json!({"content": [{"token": "t", "logprob": -0.5}]});
    given["message"]["reasoning_content"] = json!("hm");
    let whole = json!({"id": "x", "model": "m", "choices": [given]});
    let a = Mock::start("a", Reply::json(200, &whole)).await;
    let proxy = proxy(&a, &[("chat", json!({}))]).await;
    let answer: Value = ask(&proxy, "chat").await.json();
    given["index"] = json!(0);
    assert_eq!(answer["choices"], json!([given]));
    let stream = proxy.chat_call(&super::stream_request("chat")).answer().await.text();
    let event = &super::events(&stream)[0]["choices"][0];
    assert_eq!(event["delta"], json!({"role": "assistant", "content": "text", "reasoning_content": "hm"}));
    assert_eq!(event["logprobs"], given["logprobs"]);
}
