//! When a call comes to nothing: the client gets what it would have got without an approach.

use std::time::Duration;

use harness::{Mock, Proxy, Reply, Script};
use serde_json::{Value, json};

use super::{ask, askers, proxy, reply, request, said, set_up, with};

#[tokio::test]
async fn a_providers_refusal_keeps_its_status_and_body() {
    let refused =
        json!({"error": {"message": "no such voice", "type": "x", "param": "voice", "code": "bad"}, "more": 1});
    for (status, body) in
        [(400, refused.clone()), (404, refused.clone()), (413, refused.clone()), (422, json!({"detail": []}))]
    {
        let a = Mock::start("a", Reply::json(status, &body).header("x-theirs", "1")).await;
        let proxy = proxy(&a, &[("fail", json!({}))]).await;
        let answer = ask(&proxy, "fail").await;
        assert_eq!((answer.status, answer.json()), (status, body));
        assert_eq!((answer.header("x-should-retry"), answer.provider()), ("false", "a"));
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(answer.header("x-pointsman-approach").starts_with("fail; calls=1; choices=1; ms="));
        assert_eq!((a.calls(), proxy.metric("pointsman_approach_faults_total").await), (1, 0.0));
    }
}

#[tokio::test]
async fn all_throttled_is_429_with_the_time_to_wait() {
    let a = Mock::start("a", Reply::error(429, "slow down").header("retry-after", "7")).await;
    let b = Mock::start("b", Reply::error(429, "slow down").header("retry-after", "9")).await;
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = builder.set(json!({"approaches": askers(&[("fail", json!({}))])})).start().await;
    let plain = proxy.chat().await;
    let proxy = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
    let proxy = proxy.set(json!({"approaches": askers(&[("fail", json!({}))])})).start().await;
    let answer = ask(&proxy, "fail").await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, plain.header("retry-after")), "{}", answer.text());
    assert_eq!((answer.code(), answer.header("x-should-retry")), (plain.code(), "false"));
}

#[tokio::test]
async fn what_the_proxy_says_itself_keeps_its_status() {
    let silent = json!({"timeouts": {"request": 0.2}});
    for (reply, settings, status, code) in [
        (Reply::hang_up(), json!({}), 502, "all_providers_failed"),
        (Reply::error(500, "broken"), json!({}), 502, "mock_code"),
        (Reply::silence(), silent, 504, "all_providers_timed_out"),
    ] {
        let a = Mock::start("a", reply).await;
        let proxy = set_up(&a, &[("fail", json!({}))], settings).await;
        let answer = ask(&proxy, "fail").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
        assert_eq!(answer.header("x-should-retry"), "false");
    }
}

#[tokio::test]
async fn a_model_that_the_approach_may_not_ask_is_its_own_fault_and_one_that_is_not_there_404() {
    let a = Mock::start("a", super::model()).await;
    let models = |models: Value| {
        let moa = json!({"moa": {"config": {"models": ["other"]}, "models": models}});
        Proxy::builder().provider(&a, json!({"models": ["gpt-4"]})).set(json!({ "approaches": moa }))
    };
    let answer = ask(&models(json!(["other"])).start().await, "moa").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "model_not_found"), "{}", answer.text());
    let answer = ask(&models(json!([])).start().await, "moa").await;
    assert_eq!((answer.status, answer.code().as_str(), a.calls()), (502, "approach_failed", 0), "{}", answer.text());
}

#[tokio::test]
async fn another_model_goes_its_own_way() {
    let a = Mock::start("a", Script::by(|_, seen| reply(seen, &["4"]))).await;
    let b = Mock::start("b", Script::by(|_, seen| reply(seen, &["7"]))).await;
    let builder =
        Proxy::builder().provider(&a, json!({"models": ["gpt-4"]})).provider(&b, json!({"models": ["judge"]}));
    let bon = json!({"bon": {"config": {"judge": "judge", "best_of_n": 2}, "models": ["judge"]}});
    let script = Script::by(|call, seen| {
        let texts = [format!("{call} one"), format!("{call} two")];
        reply(seen, &[texts[0].as_str(), texts[1].as_str()])
    });
    a.follow(script);
    let proxy = builder.set(json!({ "approaches": bon })).start().await;
    let answer = ask(&proxy, "bon").await;
    assert_eq!((answer.content().as_str(), a.calls(), b.calls()), ("0 one", 1, 2), "{}", answer.text());
    assert_eq!(answer.json()["usage"]["total_tokens"], 7 + 6 + 6);
    assert!(b.requests().iter().all(|seen| seen.json()["model"] == "judge"));
}

#[tokio::test]
async fn a_provider_that_dies_in_the_second_of_four_calls_costs_nothing() {
    for dies in
        [Reply::hang_up(), Reply::error(500, "oh"), Reply::reset_at_once(), Reply::chat("half").announce(5000).cut()]
    {
        let script = Script::by(move |call, seen| match call {
            0 => reply(seen, &["from a"]),
            _ => dies.clone(),
        });
        let a = Mock::start("a", script).await;
        let b = Mock::start("b", Script::by(|_, seen| reply(seen, &[&format!("to {}", said(seen))]))).await;
        let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
        let proxy = builder.set(json!({"approaches": askers(&[("chat", json!({"times": 4}))])})).start().await;
        let answer = ask(&proxy, "chat").await;
        assert_eq!((answer.status, answer.content().as_str()), (200, "to 3"), "{}", answer.text());
        // What is lost on a connection that was open before is sent once more.
        assert!((2..=3).contains(&a.calls()), "{}", a.calls());
        assert_eq!((b.calls(), answer.provider()), (3, "b"));
        assert_eq!(answer.json()["usage"]["total_tokens"], 24);
    }
}

#[tokio::test]
async fn an_answer_without_choices_is_the_providers_failure_and_not_the_approachs() {
    for body in [json!({"object": "chat.completion", "choices": []}), json!({"hello": 1})] {
        let a = Mock::start("a", Reply::json(200, &body)).await;
        let proxy = proxy(&a, &[("fail", json!({}))]).await;
        for _ in 0..4 {
            let answer = ask(&proxy, "fail").await;
            assert_eq!((answer.status, answer.code().as_str()), (502, "all_providers_failed"), "{}", answer.text());
            assert!(answer.message().contains("without choices"), "{}", answer.message());
        }
    }
}

#[tokio::test]
async fn one_of_a_batch_that_fails_does_not_stop_the_others() {
    let script = Script::by(|_, seen| match said(seen).as_str() {
        "1" => Reply::error(400, "no"),
        text => reply(seen, &[&format!("to {text}")]),
    });
    let a = Mock::start("a", script).await;
    let proxy = proxy(&a, &[("many", json!({"times": 3}))]).await;
    assert_eq!(ask(&proxy, "many").await.content(), "to 0,the provider answered 400 Bad Request: no,to 2");
}

#[tokio::test]
async fn what_breaks_the_contract_is_told_to_the_guest_and_asks_nobody() {
    let a = Mock::start("a", super::model()).await;
    let proxy = proxy(&a, &[("illegal", json!({}))]).await;
    let lines = ask(&proxy, "illegal").await.content();
    assert!(lines.starts_with("FailureKind::Illegal: `n` must be 1 to 128, and is 0\n"), "{lines}");
    // Of all of them only the two legal ones in a batch go out; 128 choices are more than a request may ask for.
    assert_eq!(a.calls(), 2, "{lines}");
    assert!(lines.contains("Exhausted: the request may ask for 64 answers"), "{lines}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_no_answer_however_often_it_is_asked_for() {
    let a = Mock::start("a", Reply::sse().word("one ").delay(Duration::from_millis(20)).cut()).await;
    let proxy = proxy(&a, &[("whole", json!({}))]).await;
    let answer = proxy.chat_call(&with(request("whole"), json!({"stream": true}))).answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "all_providers_failed"), "{}", answer.text());
}
