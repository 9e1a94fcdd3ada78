//! Providers that cannot do all that a call wants: it is asked in another way, and that is remembered.

use harness::{Mock, Reply, Script, Seen};
use serde_json::{Value, json};

use super::{ask, model, proxy, reply, request, set_up, stream_request, text_of, with};

/// The values of `n` that the provider got since `before`.
fn wanted(a: &Mock, before: usize) -> Vec<Value> {
    a.requests()[before..].iter().map(|seen| seen.json()["n"].clone()).collect()
}

fn refuses(seen: &Seen, key: &str, message: &str, param: Value) -> Option<Reply> {
    let is_there = !seen.json()[key].is_null();
    is_there
        .then(|| Reply::json(400, &json!({"error": {"message": message, "type": "x", "param": param, "code": null}})))
}

#[tokio::test]
async fn a_provider_that_ignores_n_is_asked_for_each_and_remembered() {
    let a = Mock::start("a", Script::by(|call, seen| reply(seen, &[&format!("answer {call}")]))).await;
    let proxy = proxy(&a, &[("choices", json!({"times": 3}))]).await;
    let answer = ask(&proxy, "choices").await;
    assert_eq!(
        (answer.content().as_str(), wanted(&a, 0)),
        ("answer 0,answer 1,answer 2", vec![json!(3), json!(null), json!(null)])
    );
    assert!(answer.header("x-pointsman-approach").starts_with("choices; calls=3; choices=3; "), "{:?}", answer.headers);
    assert_eq!(answer.json()["usage"]["total_tokens"], 18);
    ask(&proxy, "choices").await;
    assert_eq!(wanted(&a, 3), vec![json!(null); 3]);
}

#[tokio::test]
async fn a_provider_that_refuses_n_is_asked_for_each_and_remembered() {
    let script = Script::by(|_, seen| {
        let refused = refuses(seen, "n", "n must be 1", json!("n"));
        refused.unwrap_or_else(|| reply(seen, &["one"]))
    });
    let a = Mock::start("a", script).await;
    let mut proxy = proxy(&a, &[("choices", json!({"times": 3}))]).await;
    assert_eq!(ask(&proxy, "choices").await.content(), "one,one,one");
    assert_eq!(wanted(&a, 0), [json!(3), json!(null), json!(null), json!(null)]);
    ask(&proxy, "choices").await;
    assert_eq!(wanted(&a, 4), vec![json!(null); 3]);
    // Another model may be better.
    let other = with(request("choices"), json!({"model": "choices-gpt-5"}));
    proxy.chat_call(&other).answer().await;
    assert_eq!(wanted(&a, 7)[0], json!(3));
    // A reload forgets it.
    proxy.reload(json!({})).await.expect("the same configuration");
    let before = a.calls();
    ask(&proxy, "choices").await;
    assert_eq!(wanted(&a, before)[0], json!(3));
}

#[tokio::test]
async fn a_refusal_that_is_not_about_n_is_found_out_by_one_more_call_and_not_remembered() {
    let a = Mock::start("a", [Reply::error(400, "no"), Reply::error(400, "no")]).await;
    let proxy = proxy(&a, &[("choices", json!({"times": 5}))]).await;
    let answer = ask(&proxy, "choices").await;
    assert_eq!((answer.status, answer.message().as_str(), wanted(&a, 0)), (400, "no", vec![json!(5), json!(null)]));
    a.follow(model());
    ask(&proxy, "choices").await;
    assert_eq!(wanted(&a, 2), [json!(5)]);
}

#[tokio::test]
async fn fan_out_can_be_always_and_never() {
    let script = Script::by(|call, seen| reply(seen, &[&format!("{call}")]));
    let a = Mock::start("a", script).await;
    for (fan_out, content, calls) in [("always", "0,1,2", 3), ("never", "3", 1)] {
        let settings = json!({"approach": {"fan_out": fan_out}});
        let proxy = set_up(&a, &[("choices", json!({"times": 3}))], settings).await;
        let before = a.calls();
        let answer = ask(&proxy, "choices").await;
        let mut texts: Vec<String> = answer.content().split(',').map(str::to_owned).collect();
        texts.sort();
        assert_eq!((texts.join(",").as_str(), a.calls() - before), (content, calls), "{fan_out}");
        let expected = if fan_out == "always" { json!(null) } else { json!(3) };
        assert!(wanted(&a, before).iter().all(|n| *n == expected), "{fan_out}");
        a.follow(Script::by(|call, seen| match call {
            ..6 => reply(seen, &[&format!("{call}")]),
            _ => Reply::error(400, "n must be 1"),
        }));
    }
}

#[tokio::test]
async fn a_provider_that_gives_more_than_was_asked_for_is_cut() {
    let a = Mock::start("a", Script::by(|_, seen| reply(seen, &["a", "b", "c", "d"]))).await;
    let proxy = proxy(&a, &[("choices", json!({"times": 2}))]).await;
    assert_eq!((ask(&proxy, "choices").await.content().as_str(), a.calls()), ("a,b", 1));
}

#[tokio::test]
async fn a_temperature_that_is_refused_is_left_out_and_remembered() {
    for param in [json!("temperature"), json!(null)] {
        let message = "Unsupported value: 'temperature' does not support 0.5 with this model.";
        let script = Script::by(move |_, seen| {
            refuses(seen, "temperature", message, param.clone()).unwrap_or_else(|| reply(seen, &["fine"]))
        });
        let a = Mock::start("a", script).await;
        let proxy = proxy(&a, &[("aside", json!({})), ("chat", json!({}))]).await;
        assert_eq!((ask(&proxy, "aside").await.content().as_str(), a.calls()), ("fine", 2));
        assert_eq!((ask(&proxy, "aside").await.content().as_str(), a.calls()), ("fine", 3));
        assert_eq!(a.requests()[2].json()["max_tokens"], 7, "only what was refused goes");
        // The client's own is the client's affair.
        let answer = proxy.chat_call(&with(request("chat"), json!({"temperature": 0.5}))).answer().await;
        assert_eq!((answer.status, a.calls()), (400, 4));
    }
}

#[tokio::test]
async fn a_limit_that_is_refused_goes_under_its_other_name_and_away_if_that_is_refused_too() {
    let script = Script::by(|_, seen| {
        let refused = refuses(seen, "max_tokens", "Use 'max_completion_tokens' instead.", json!("max_tokens"));
        refused.unwrap_or_else(|| reply(seen, &["fine"]))
    });
    let a = Mock::start("a", script).await;
    let proxy = proxy(&a, &[("aside", json!({}))]).await;
    assert_eq!((ask(&proxy, "aside").await.content().as_str(), a.calls()), ("fine", 2));
    assert_eq!(a.requests()[1].json()["max_completion_tokens"], 7);
    a.follow(Script::by(|_, seen| {
        let refused = refuses(seen, "max_completion_tokens", "unknown", json!("max_completion_tokens"));
        refused.unwrap_or_else(|| reply(seen, &["fine"]))
    }));
    assert_eq!((ask(&proxy, "aside").await.content().as_str(), a.calls()), ("fine", 4));
    let last = a.requests().last().expect("asked").json();
    assert!(last["max_tokens"].is_null() && last["max_completion_tokens"].is_null(), "{last}");
}

#[tokio::test]
async fn several_things_that_are_refused_are_left_out_one_after_the_other() {
    let script = Script::by(|_, seen| {
        let top_k = || refuses(seen, "top_k", "Unrecognized request argument supplied: top_k", json!(null));
        let temperature = refuses(seen, "temperature", "no", json!("temperature")).or_else(top_k);
        let n = || refuses(seen, "n", "n must be 1", json!("n"));
        temperature.or_else(n).unwrap_or_else(|| reply(seen, &["fine"]))
    });
    let a = Mock::start("a", script).await;
    let proxy = proxy(&a, &[("aside", json!({"times": 2}))]).await;
    assert_eq!(ask(&proxy, "aside").await.content(), "fine,fine");
    let calls = a.calls();
    assert_eq!(ask(&proxy, "aside").await.content(), "fine,fine");
    assert_eq!((calls, a.calls() - calls), (5, 2));
}

#[tokio::test]
async fn a_provider_that_does_not_know_stream_options_streams_without() {
    let script = Script::by(|_, seen| {
        let refused = refuses(seen, "stream_options", "Unknown parameter: stream_options", json!("stream_options"));
        refused.unwrap_or_else(|| Reply::stream(&["one ", "two"]))
    });
    let a = Mock::start("a", script).await;
    let proxy = proxy(&a, &[("deliver", json!({}))]).await;
    for calls in [2, 3] {
        let text = proxy.chat_call(&stream_request("deliver")).answer().await.text();
        assert_eq!((text_of(&text, 0).as_str(), a.calls()), ("one two", calls), "{text}");
    }
}
