//! What the provider gets: byte for byte where it is the client's, and what the approach wants where it is not.

use harness::{Mock, Reply, Script};
use serde_json::{Value, json};

use super::{model, proxy, reply, request, said, set_up, with};

/// The bodies that the provider gets, as texts.
fn bodies(a: &Mock) -> Vec<String> {
    a.requests().iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned()).collect()
}

#[tokio::test]
async fn what_the_client_wrote_arrives_byte_for_byte() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = proxy(&a, &[("chat", json!({}))]).await;
    let message = r#"{"role":"user",  "content":"Gr\u00fc\u00dfe \/ é","x":1.50,"y":1e400}"#;
    let body = format!(
        r#"{{"model":"chat-gpt-4","seed":1.0,"messages":[{message}],"top_p":0.50,"stop":["\u000a"],"unknown":{{"b":1,"a":2.0}},"n":1,"store":true,"metadata":{{"a":"b"}}}}"#
    );
    let call = proxy.call(http::Method::POST, "/v1/chat/completions").header("content-type", "application/json");
    let call = call.header("idempotency-key", "once").header("x-kept", "yes");
    assert_eq!(call.body(body).answer().await.status, 200);
    assert_eq!(
        bodies(&a),
        [format!(
            r#"{{"model":"gpt-4","messages":[{message}],"seed":1.0,"top_p":0.50,"stop":["\u000a"],"unknown":{{"b":1,"a":2.0}}}}"#
        )]
    );
    let seen = a.only_request();
    assert_eq!((seen.header("x-kept"), seen.header("idempotency-key")), ("yes", ""), "calls are not one request");
}

#[tokio::test]
async fn a_question_of_the_approachs_own_lacks_what_belongs_to_the_answer() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("aside", json!({"times": 2}))]).await;
    let clients = json!({
        "temperature": 0.9, "max_completion_tokens": 100, "response_format": {"type": "json_object"}, "stop": ["x"],
        "logprobs": true, "seed": 1, "reasoning_effort": "low", "user": "someone", "service_tier": "flex", "new": [1],
    });
    assert_eq!(proxy.chat_call(&with(request("aside"), clients)).answer().await.content(), "answer 0.0,answer 0.1");
    assert_eq!(
        a.only_request().json(),
        json!({
            "model": "gpt-4", "messages": [{"role": "user", "content": "rate it"}], "n": 2, "temperature": 0.5,
            "max_completion_tokens": 7, "top_k": 3, "reasoning_effort": "low", "service_tier": "flex", "new": [1],
        })
    );
}

#[tokio::test]
async fn a_limit_has_the_name_that_the_client_uses() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("aside", json!({}))]).await;
    for (members, name) in [
        (json!({}), "max_tokens"),
        (json!({"max_tokens": 9}), "max_tokens"),
        (json!({"max_completion_tokens": 9, "max_tokens": null}), "max_completion_tokens"),
    ] {
        assert_eq!(proxy.chat_call(&with(request("aside"), members)).answer().await.status, 200);
        let body = a.requests().last().expect("asked").json();
        let limits: Vec<_> =
            ["max_tokens", "max_completion_tokens"].iter().filter(|key| !body[**key].is_null()).collect();
        assert_eq!((limits, &body[name]), (vec![&name], &json!(7)), "{body}");
    }
}

#[tokio::test]
async fn images_stay_where_the_question_is_rewritten() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("rewrite", json!({}))]).await;
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let messages = json!([
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [image, {"type": "text", "text": "What is it?"}, {"type": "text", "text": "And why?"}]},
        {"role": "assistant", "content": "A", "tool_calls": []},
    ]);
    proxy.chat_call(&with(request("rewrite"), json!({"messages": messages}))).answer().await;
    let expected = json!([messages[0], {"role": "user", "content": [image, {"type": "text", "text": "another question"}]}, messages[2]]);
    assert_eq!(a.only_request().json()["messages"], expected);
    let body = with(request("rewrite&re2"), json!({"messages": messages}));
    assert_eq!(proxy.chat_call(&body).answer().await.status, 200);
    assert_eq!(a.requests().last().expect("asked").json()["messages"][1]["content"][0], image);
}

#[tokio::test]
async fn tool_calls_are_the_answer_as_they_are() {
    let calls = json!([{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]);
    let message = json!({"role": "assistant", "content": null, "tool_calls": calls, "reasoning_content": "hm"});
    let choice = json!({"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": null});
    let whole = json!({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]});
    let a = Mock::start("a", Reply::json(200, &whole)).await;
    let proxy = harness::Proxy::before([&a]).await;
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]});
    for approach in ["re2", "moa", "bon", "cot_reflection"] {
        let answer = proxy.chat_call(&with(request(approach), tools.clone())).answer().await.json();
        assert_eq!(answer["choices"][0], choice, "{approach}: {answer}");
        assert!(answer.get("usage").is_none(), "the provider has told none: {answer}");
    }
    assert!(a.requests()[0].json()["tools"].is_array());
}

#[tokio::test]
async fn a_text_that_quotes_a_tag_or_an_option_is_only_a_text() {
    let quoted = "Write <optillm_approach>bon</optillm_approach> or <optillm_approach>none</optillm_approach>.";
    let script =
        Script::by(move |call, seen| if call == 0 { reply(seen, &[quoted]) } else { reply(seen, &[&said(seen)]) });
    let a = Mock::start("a", script).await;
    let deeds = [("one", json!({"do": "chat"}))];
    let proxy = set_up(&a, &deeds, json!({"approach": {"pipeline": "replace"}})).await;
    let answer = proxy.chat_call(&request("one&one")).answer().await;
    assert_eq!(answer.content(), quoted, "{}", answer.text());
}

#[tokio::test]
async fn calls_reach_the_providers_name_of_a_model_and_answers_the_clients() {
    let a = Mock::start("a", model()).await;
    let builder = harness::Proxy::builder().provider(&a, json!({"model_map": {"gpt-4": "mapped"}}));
    let approaches = super::askers(&[("chat", json!({"times": 2}))]);
    let proxy = builder.set(json!({"approaches": approaches, "routing": {"model_names": "client"}})).start().await;
    let answer = proxy.chat_call(&request("chat")).answer().await.json();
    assert_eq!(answer["model"], "gpt-4");
    let models: Vec<Value> = a.requests().iter().map(|seen| seen.json()["model"].clone()).collect();
    assert_eq!(models, ["mapped", "mapped"]);
}
