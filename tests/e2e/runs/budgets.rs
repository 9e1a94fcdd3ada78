//! What a request may spend: choices, tokens, time. What runs out is told to the approach, which may answer with what it has.

use std::time::Duration;

use harness::{Mock, Reply};
use serde_json::json;

use super::{ask, model, proxy, request, set_up, stream_request, with};

#[tokio::test]
async fn no_more_choices_are_asked_for_than_the_request_may() {
    let a = Mock::start("a", model()).await;
    let deeds = [("spend", json!({})), ("chat", json!({"times": 9})), ("choices", json!({"times": 6}))];
    let proxy = set_up(&a, &deeds, json!({"approach": {"max_calls": 5}})).await;
    let answer = ask(&proxy, "spend").await;
    assert!(
        answer.content().starts_with("5 FailureKind::Exhausted: the request may ask for 5 answers"),
        "{}",
        answer.content()
    );
    let answer = ask(&proxy, "chat").await;
    assert_eq!((answer.status, answer.code().as_str(), a.calls()), (400, "approach_budget", 10), "{}", answer.text());
    assert!(answer.message().contains("approach.max_calls"), "{}", answer.message());
    assert_eq!(answer.header("x-should-retry"), "false");
    let answer = ask(&proxy, "choices").await;
    assert_eq!(
        (answer.status, answer.code().as_str(), a.calls()),
        (400, "approach_budget", 10),
        "none is asked for in part"
    );
    assert_eq!(proxy.metric("pointsman_approach_faults_total{approach=\"chat\",kind=\"illegal\"}").await, 0.0);
}

#[tokio::test]
async fn an_approach_has_a_purse_of_its_own_and_several_runs_share_it() {
    let a = Mock::start("a", model()).await;
    let mut approaches = super::askers(&[("spend", json!({})), ("more", json!({"do": "spend"}))]);
    approaches["spend"]["max_calls"] = json!(2);
    let builder = harness::Proxy::builder().provider(&a, json!({})).set(json!({"approaches": approaches}));
    let proxy = builder.set(json!({"approach": {"max_calls": 6}})).start().await;
    let answer = ask(&proxy, "spend&more").await;
    assert!(answer.content().starts_with("4 FailureKind::Exhausted: the request"), "{}", answer.content());
    let answer = ask(&proxy, "spend").await;
    let own = "2 FailureKind::Exhausted: the approach `spend` may ask for 2 answers, has asked for 2";
    assert!(answer.content().starts_with(own), "{}", answer.content());
    let told = ask(&proxy, "spend|spend").await.json();
    let counts = told["choices"].as_array().expect("two").iter().map(|choice| {
        choice["message"]["content"]
            .as_str()
            .and_then(|text| text.split(' ').next()?.parse::<u32>().ok())
            .expect("a count")
    });
    assert_eq!(counts.sum::<u32>(), 2, "{told}");
}

#[tokio::test]
async fn a_call_that_crosses_the_limit_of_tokens_is_the_last() {
    let a = Mock::start("a", model()).await;
    let deeds = [("spend", json!({})), ("chat", json!({"times": 9}))];
    let proxy = set_up(&a, &deeds, json!({"approach": {"max_tokens": 13}})).await;
    let answer = ask(&proxy, "spend").await;
    assert!(answer.content().starts_with("3 FailureKind::Exhausted: "), "{}", answer.content());
    assert!(answer.content().contains("approach.max_tokens"), "{}", answer.content());
    assert_eq!(answer.json()["usage"]["total_tokens"], 18);
    assert_eq!(ask(&proxy, "chat").await.code(), "approach_budget");
}

#[tokio::test]
async fn when_the_time_is_over_there_is_an_answer_with_what_there_is_or_504() {
    let late =
        super::Script::by(|call, seen| super::reply(seen, &[&format!("{call}")]).late(Duration::from_millis(100)));
    let a = Mock::start("a", late).await;
    let deeds = [("spend", json!({})), ("fail", json!({"times": 9})), ("whole", json!({}))];
    let proxy = set_up(&a, &deeds, json!({"approach": {"timeout": 0.35}})).await;
    let answer = ask(&proxy, "spend").await;
    assert!(
        answer.content().contains("FailureKind::Exhausted: the time of this request is over"),
        "{}",
        answer.content()
    );
    assert!(answer.took < Duration::from_millis(1300), "{:?}", answer.took);
    a.follow(Reply::silence());
    for body in [request("fail"), with(request("whole"), json!({"stream": true}))] {
        let answer = proxy.chat_call(&body).answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (504, "approach_timeout"), "{}", answer.text());
        assert_eq!(answer.header("x-should-retry"), "false");
    }
    harness::eventually("the providers are left alone", async || a.serving() == 0).await;
}

#[tokio::test]
async fn a_guest_that_does_not_return_in_time_is_late() {
    let a = Mock::start("a", model()).await;
    let proxy = set_up(&a, &[("sleep", json!({"times": 30_000}))], json!({"approach": {"timeout": 0.2}})).await;
    let answer = ask(&proxy, "sleep").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "approach_failed"), "{}", answer.text());
    assert!((Duration::from_millis(1100)..Duration::from_secs(5)).contains(&answer.took), "{:?}", answer.took);
    assert!(proxy.metric("pointsman_approach_faults_total{approach=\"sleep\",kind=\"late\"}").await > 0.5);
}

#[tokio::test]
async fn no_more_calls_are_made_at_once_than_the_request_may() {
    let late = super::Script::by(|_, seen| super::reply(seen, &["x"]).late(Duration::from_millis(20)));
    let a = Mock::start("a", late).await;
    let proxy = set_up(&a, &[("many", json!({"times": 12}))], json!({"approach": {"parallel": 3}})).await;
    assert_eq!((ask(&proxy, "many|many").await.status, a.calls(), a.most_at_once()), (200, 24, 3));
}

#[tokio::test]
async fn a_time_that_is_over_after_the_first_word_ends_the_stream_with_an_error() {
    let a = Mock::start("a", Reply::sse().word("one ").hang()).await;
    let proxy = set_up(&a, &[("deliver", json!({}))], json!({"approach": {"timeout": 0.3}})).await;
    let text = proxy.chat_call(&stream_request("deliver")).answer().await.text();
    assert!(text.contains("one ") && text.contains("approach_timeout") && !text.contains("[DONE]"), "{text}");
    let proxy = proxy_again(&a).await;
    assert_eq!(proxy.chat_call(&stream_request("text")).answer().await.status, 200);
}

async fn proxy_again(a: &Mock) -> harness::Proxy {
    proxy(a, &[("text", json!({}))]).await
}
