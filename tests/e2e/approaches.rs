//! Choosing the approach: `proxy` and `none` are plain proxying, one that is there runs, any other is refused by name.

use harness::{Mock, Proxy, Reply, Script, eventually};
use serde_json::{Value, json};

/// The body that the provider gets for `body`.
async fn received(body: &Value) -> Value {
    let a = Mock::start("a", Reply::chat("a")).await;
    let answer = Proxy::before([&a]).await.chat_call(body).answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    a.only_request().json()
}

async fn assert_unavailable(body: Value) {
    let a = Mock::start("a", Reply::chat("a")).await;
    let answer = Proxy::before([&a]).await.chat_call(&body).answer().await;
    assert_eq!((answer.status, answer.code().as_str(), a.calls()), (400, "approach_unavailable", 0), "{body}");
    assert!(answer.message().contains("proxy") && answer.message().contains("none"), "{}", answer.message());
}

fn user(content: &str) -> Value {
    json!([{"role": "user", "content": content}])
}

#[tokio::test]
async fn the_prefix_proxy_is_stripped_from_the_model() {
    assert_eq!(received(&json!({"model": "proxy-gpt-4", "messages": []})).await["model"], "gpt-4");
}

#[tokio::test]
async fn the_model_is_mapped_after_its_prefix_was_stripped() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({"model_map": {"gpt-4": "mapped"}})).start().await;
    proxy.chat_call(&json!({"model": "proxy-gpt-4", "messages": []})).answer().await;
    assert_eq!(a.only_request().json()["model"], "mapped");
}

#[tokio::test]
async fn a_model_that_merely_begins_with_words_and_a_dash_is_just_a_model() {
    for model in ["gpt-4-turbo", "claude-3-5-sonnet", "my-own-model", "proxying-gpt-4"] {
        assert_eq!(received(&json!({"model": model, "messages": []})).await["model"], model);
    }
}

#[tokio::test]
async fn proxy_and_none_are_plain_proxying_at_top_level_and_in_extra_body() {
    for approach in ["proxy", "none"] {
        let top = json!({"model": "gpt-4", "messages": [], "optillm_approach": approach});
        let inner = json!({"model": "gpt-4", "messages": [], "extra_body": {"optillm_approach": approach}});
        assert_eq!(received(&top).await, json!({"model": "gpt-4", "messages": []}));
        assert_eq!(received(&inner).await, json!({"model": "gpt-4", "messages": []}));
    }
}

#[tokio::test]
async fn the_tag_in_a_message_is_removed() {
    let tagged = json!({"model": "gpt-4", "messages": user("<optillm_approach>proxy</optillm_approach>Hello")});
    assert_eq!(received(&tagged).await, json!({"model": "gpt-4", "messages": user("Hello")}));
    let system = json!({"model": "gpt-4", "messages": [
        {"role": "system", "content": "Be kind. <optillm_approach>none</optillm_approach>"},
        {"role": "user", "content": "Hello"},
    ]});
    assert!(!received(&system).await.to_string().contains("optillm"));
}

/// A model that gives as many choices as it is asked for, and rates with 7.
fn model() -> Script {
    Script::by(|call, seen| {
        let body = seen.json();
        let n = body["n"].as_u64().unwrap_or(1);
        let rates = body["messages"].to_string().contains("10");
        let text = |choice: u64| if rates { "7".to_owned() } else { format!("answer {call}.{choice}") };
        if body["stream"] == true {
            let usage =
                json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}});
            return Reply::sse().word("streamed ").word("words").event(&usage).done();
        }
        let choices: Vec<Value> = (0..n)
            .map(|choice| {
                let message = json!({"role": "assistant", "content": text(choice)});
                json!({"index": choice, "message": message, "finish_reason": "stop"})
            })
            .collect();
        let usage = json!({"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n});
        Reply::json(
            200,
            &json!({"id": "x", "object": "chat.completion", "model": "m-1", "choices": choices, "usage": usage}),
        )
    })
}

#[tokio::test]
async fn the_tag_wins_over_the_field_and_the_field_over_the_prefix() {
    let tag = user("<optillm_approach>proxy</optillm_approach>Hello");
    received(&json!({"model": "gpt-4", "messages": tag, "optillm_approach": "moa"})).await;
    assert_unavailable(json!({"model": "proxy-gpt-4", "messages": [], "optillm_approach": "z3"})).await;
}

#[tokio::test]
async fn an_approach_that_is_not_there_is_unavailable() {
    assert_unavailable(json!({"model": "gpt-4", "messages": [], "optillm_approach": "z3"})).await;
    assert_unavailable(json!({"model": "gpt-4", "messages": [], "extra_body": {"optillm_approach": "mcp"}})).await;
    assert_unavailable(json!({"model": "gpt-4", "messages": user("<optillm_approach>coc</optillm_approach>Hi")})).await;
    assert_unavailable(json!({"model": "bon&nothing-gpt-4", "messages": []})).await;
    assert_unavailable(json!({"model": "gpt-4", "messages": [], "proxy_wrap": "nothing"})).await;
}

#[tokio::test]
async fn the_examples_of_the_specification_run() {
    let examples = [
        ("bon", json!({"model": "bon&proxy-gpt-4", "messages": user("Generate ideas")})),
        (
            "moa",
            json!({"model": "gpt-4", "messages": user("Solve this problem"),
                   "extra_body": {"optillm_approach": "proxy", "proxy_wrap": "moa"}}),
        ),
        ("moa", json!({"model": "gpt-4", "messages": user("Solve"), "optillm_approach": "proxy", "proxy_wrap": "moa"})),
    ];
    for (approach, body) in examples {
        let a = Mock::start("a", model()).await;
        let proxy = Proxy::before([&a]).await;
        let answer = proxy.chat_call(&body).answer().await;
        let said = answer.json();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(said["choices"][0]["message"]["content"].is_string(), "{said}");
        assert!(said["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-pm-")), "{said}");
        assert!(answer.header("x-pointsman-approach").starts_with(&format!("{approach}; calls=")), "{approach}");
        let tokens: u64 = a.requests().iter().map(|seen| 5 + seen.json()["n"].as_u64().unwrap_or(1)).sum();
        assert_eq!(said["usage"]["total_tokens"], tokens, "what was billed");
        for seen in a.requests() {
            let body = seen.json();
            assert_eq!(body["model"], "gpt-4");
            assert!(!body.to_string().contains("optillm") && !body.to_string().contains("proxy_wrap"), "{body}");
        }
    }
}

#[tokio::test]
async fn the_last_call_is_streamed() {
    let a = Mock::start("a", model()).await;
    let proxy = Proxy::before([&a]).await;
    let body = json!({"model": "moa-gpt-4", "stream": true, "stream_options": {"include_usage": true},
                      "messages": user("Solve")});
    let answer = proxy.chat_call(&body).answer().await;
    let text = answer.text();
    assert_eq!((answer.status, answer.header("content-type").contains("event-stream")), (200, true));
    assert!(text.contains("streamed ") && text.contains("\"role\":\"assistant\""), "{text}");
    assert!(text.contains("\"finish_reason\":\"stop\"") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(text.matches("\"usage\"").count(), 1, "{text}");
}

#[tokio::test]
async fn a_record_has_every_run_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("runs.ndjson");
    let a = Mock::start("a", model()).await;
    let record = json!({"approach": {"record": file.display().to_string()}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(record).start().await;
    for (prefix, stream) in [("bon", false), ("moa", true), ("proxy", false)] {
        let body = json!({"model": format!("{prefix}-gpt-4"), "messages": user("Hello"), "stream": stream});
        assert_eq!(proxy.chat_call(&body).answer().await.status, 200);
    }
    let runs = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("both runs are in the record", || async { runs().lines().count() == 2 }).await;
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let runs: Vec<Value> = runs().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [bon, moa] = &runs[..] else { panic!("{runs:?}") };
    assert_eq!((&bon["approach"], &moa["approach"]), (&json!("bon"), &json!("moa")));
    assert_eq!(bon["request"]["messages"][0]["text"], "Hello");
    // The candidates, and their ratings at once; the candidates, a critique, and the answer as it is streamed.
    assert!(bon["wants"][0]["chat"].is_array() && bon["wants"][1]["many"].is_array(), "{bon}");
    assert_eq!((bon["wants"].as_array().map(Vec::len), moa["wants"].as_array().map(Vec::len)), (Some(2), Some(3)));
    assert_eq!(moa["wants"][2]["deliver"][1]["Ok"]["text"], "streamed words");
    assert!(bon["ended"]["finals"].is_array() && moa["ended"]["finals"] == json!(["delivered"]), "{moa}");
}
