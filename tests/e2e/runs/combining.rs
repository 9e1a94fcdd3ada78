//! Several approaches: one after the other, side by side, and several answers of each.

use harness::{Mock, Proxy, Reply, Script};
use serde_json::{Value, json};

use super::{ask, model, proxy, reply, request, said, set_up, stream_request, text_of, with};

fn indices(answer: &Value) -> Vec<u64> {
    let choices = answer["choices"].as_array().expect("choices");
    choices.iter().map(|choice| choice["index"].as_u64().expect("an index")).collect()
}

#[tokio::test]
async fn one_after_the_other_refines_the_answer() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("one", json!({"do": "chat"})), ("two", json!({"do": "chat"}))]).await;
    let answer = ask(&proxy, "one&two").await;
    assert_eq!(answer.content(), "answer 1.0");
    assert_eq!(answer.json()["usage"]["total_tokens"], 12);
    assert!(answer.header("x-pointsman-approach").starts_with("one&two; calls=2; choices=2; "));
    let asked: Vec<String> = a.requests().iter().map(said).collect();
    let refined =
        "Hello\n\nAn earlier attempt answered:\n\nanswer 0.0\n\nUse what is right in it, and correct what is not.";
    assert_eq!(asked, ["Hello", refined]);
}

#[tokio::test]
async fn one_after_the_other_replaces_the_question_where_that_is_wanted() {
    let a = Mock::start("a", model()).await;
    let deeds = [("one", json!({"do": "chat"})), ("two", json!({"do": "chat"}))];
    let proxy = set_up(&a, &deeds, json!({"approach": {"pipeline": "replace"}})).await;
    assert_eq!(ask(&proxy, "one&two&one").await.content(), "answer 2.0");
    let asked: Vec<String> = a.requests().iter().map(said).collect();
    assert_eq!(asked, ["Hello", "answer 0.0", "answer 1.0"]);
}

#[tokio::test]
async fn only_the_last_one_streams_and_answers_several_times() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("one", json!({"do": "chat"}))]).await;
    let body = with(stream_request("one&re2"), json!({"stream_options": {"include_usage": true}}));
    let answer = proxy.chat_call(&body).answer().await;
    assert_eq!(text_of(&answer.text(), 0), "answer 1.0");
    let streams: Vec<bool> = a.requests().iter().map(|seen| seen.json()["stream"] == true).collect();
    assert_eq!(streams, [false, true]);
    let before = a.calls();
    let answer = proxy.chat_call(&with(request("one&bon"), json!({"n": 3, "best_of_n": 2}))).answer().await;
    assert_eq!(indices(&answer.json()), [0, 1, 2], "{}", answer.text());
    let plain = a.requests()[before..].iter().filter(|seen| said(seen) == "Hello").count();
    assert_eq!(plain, 1, "the first stage runs once");
}

#[tokio::test]
async fn a_stage_that_fails_fails_the_sequence() {
    let a = Mock::start("a", Reply::error(400, "no")).await;
    let proxy = proxy(&a, &[("fail", json!({})), ("text", json!({}))]).await;
    let answer = ask(&proxy, "fail&text").await;
    assert_eq!((answer.status, answer.message().as_str(), a.calls()), (400, "no", 1));
}

#[tokio::test]
async fn side_by_side_each_has_its_place() {
    let a = Mock::start("a", Script::by(|_, seen| reply(seen, &[&format!("to {}", said(seen))]))).await;
    let deeds = [("one", json!({"do": "text"})), ("two", json!({"do": "chat"}))];
    let proxy = proxy(&a, &deeds).await;
    let answer = ask(&proxy, "one|two|proxy").await.json();
    let texts: Vec<&str> = answer["choices"]
        .as_array()
        .expect("three")
        .iter()
        .map(|it| it["message"]["content"].as_str().expect("text"))
        .collect();
    assert_eq!((texts, indices(&answer)), (vec!["a text", "to Hello", "to Hello"], vec![0, 1, 2]));
    let answer = proxy.chat_call(&stream_request("one|two|proxy")).answer().await.text();
    let texts: Vec<String> = (0..3).map(|index| text_of(&answer, index)).collect();
    assert_eq!(texts, ["a text", "to Hello", "to Hello"]);
    assert_eq!(answer.matches("\"finish_reason\":\"stop\"").count(), 3, "{answer}");
}

#[tokio::test]
async fn one_that_fails_is_left_out_and_named() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("chat", json!({})), ("broken", json!({})), ("unsuitable", json!({}))]).await;
    let answer = ask(&proxy, "broken|chat|unsuitable").await;
    assert_eq!((answer.status, indices(&answer.json())), (200, vec![1]), "{}", answer.text());
    assert!(answer.header("x-pointsman-approach").ends_with("; failed=broken,unsuitable"), "{:?}", answer.headers);
    let answer = proxy.chat_call(&stream_request("broken|chat")).answer().await.text();
    assert_eq!((text_of(&answer, 1).as_str(), text_of(&answer, 0).as_str()), ("answer 1.0", ""));
    assert!(answer.contains("; failed=broken\n") && answer.ends_with("data: [DONE]\n\n"), "{answer}");
}

#[tokio::test]
async fn if_all_fail_the_first_failure_is_the_answer() {
    let throttled = Reply::error(429, "slow down").header("retry-after", "7");
    let a = Mock::start("a", throttled).await;
    let proxy = proxy(&a, &[("fail", json!({})), ("broken", json!({})), ("unsuitable", json!({}))]).await;
    for (expression, status, code) in [
        ("unsuitable|broken", 400, "approach_unsuitable"),
        ("broken|unsuitable", 502, "approach_failed"),
        ("fail|broken", 429, "mock_code"),
    ] {
        let answer = ask(&proxy, expression).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{expression}: {}", answer.text());
        assert!(!answer.header("x-pointsman-approach").contains("failed="), "{:?}", answer.headers);
    }
}

#[tokio::test]
async fn several_answers_are_several_runs_and_all_are_billed() {
    let a = Mock::start("a", model()).await;
    let proxy = Proxy::before([&a]).await;
    let body = with(request("moa"), json!({"n": 3}));
    let answer = proxy.chat_call(&body).answer().await;
    let json = answer.json();
    assert_eq!((indices(&json), a.calls()), (vec![0, 1, 2], 9), "{json}");
    assert_eq!(json["usage"]["total_tokens"], 3 * (8 + 6 + 6));
    let runs = proxy.metric("pointsman_approach_runs_total{approach=\"moa\",result=\"succeeded\"}").await;
    assert!((runs - 3.0).abs() < 0.5, "{runs}");
}

#[tokio::test]
async fn one_that_gives_several_answers_runs_once_and_shares_the_places() {
    let a = Mock::start("a", model()).await;
    let proxy = proxy(&a, &[("answers", json!({"times": 2})), ("text", json!({}))]).await;
    let answer = proxy.chat_call(&with(request("answers|proxy"), json!({"n": 2}))).answer().await.json();
    let choices = answer["choices"].as_array().expect("choices").clone();
    let shown: Vec<_> = choices.iter().map(|it| (it["index"].clone(), it["message"]["content"].clone())).collect();
    assert_eq!((shown[0].clone(), shown[2].clone()), ((json!(0), json!("0")), (json!(2), json!("1"))), "{answer}");
    assert_eq!(indices(&answer), [0, 1, 2, 3]);
    let stream = proxy.chat_call(&with(stream_request("answers|proxy"), json!({"n": 2}))).answer().await.text();
    assert_eq!((text_of(&stream, 0), text_of(&stream, 2)), ("0".to_owned(), "1".to_owned()), "{stream}");
    assert!(text_of(&stream, 1).starts_with("answer ") && text_of(&stream, 3).starts_with("answer "), "{stream}");
}
