//! Which approach answers: the prefix, the tag, the fields, the configuration; and where none does.

use harness::{Mock, Proxy, Reply};
use http::Method;
use serde_json::{Value, json};

use super::{ask, askers, proxy, request, set_up, with};

/// Approaches that answer without asking anybody.
fn two() -> Vec<(&'static str, Value)> {
    vec![("one", json!({"do": "text"})), ("two", json!({"do": "text"}))]
}

/// The name of the approach that answers; empty if the provider does.
async fn chosen(proxy: &Proxy, body: &Value) -> String {
    let answer = proxy.chat_call(body).answer().await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer.header("x-pointsman-approach").split(';').next().unwrap_or_default().to_owned()
}

fn tagged(name: &str) -> Value {
    json!({"model": "gpt-4", "messages": [
        {"role": "system", "content": format!("<optillm_approach>{name}</optillm_approach>Be kind.")},
        {"role": "user", "content": "Hello"},
    ]})
}

fn plain() -> Value {
    json!({"model": "gpt-4", "messages": [{"role": "user", "content": "Hello"}]})
}

#[tokio::test]
async fn the_prefix_the_tag_the_field_and_the_wrapped_one_choose() {
    let a = Mock::start("a", Reply::chat("plain")).await;
    let proxy = proxy(&a, &two()).await;
    let mut bodies = vec![
        request("one"),
        request("proxy&one"),
        request("one&proxy"),
        request("none-one"),
        tagged("one"),
        with(plain(), json!({"optillm_approach": "one"})),
        with(plain(), json!({"extra_body": {"optillm_approach": "one"}})),
        with(request("one"), json!({"optillm_approach": "auto"})),
    ];
    for wrap in ["proxy_wrap", "wrapped_approach", "wrap"] {
        bodies.push(with(plain(), json!({"optillm_approach": "proxy", wrap: "one"})));
        bodies.push(with(plain(), json!({"extra_body": {"optillm_approach": "proxy", wrap: "one"}})));
        bodies.push(with(plain(), json!({wrap: "one"})));
    }
    for body in bodies {
        assert_eq!(chosen(&proxy, &body).await, "one", "{body}");
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn of_several_the_tag_counts_most_then_the_field_then_its_copy_then_the_prefix() {
    let a = Mock::start("a", Reply::chat("plain")).await;
    let proxy = set_up(&a, &two(), json!({"approach": {"default": "two"}})).await;
    let extra = json!({"extra_body": {"optillm_approach": "two"}});
    for body in [
        with(tagged("one"), json!({"optillm_approach": "two"})),
        with(with(plain(), json!({"optillm_approach": "one"})), extra),
        with(with(request("two"), json!({})), json!({"extra_body": {"optillm_approach": "one"}})),
        request("one"),
    ] {
        assert_eq!(chosen(&proxy, &body).await, "one", "{body}");
    }
    assert_eq!(chosen(&proxy, &plain()).await, "two", "the default");
    for body in [request("proxy"), request("none"), with(plain(), json!({"optillm_approach": "none"}))] {
        assert_eq!(chosen(&proxy, &body).await, "", "{body}");
    }
}

#[tokio::test]
async fn the_default_of_a_route_counts_more_than_that_of_all() {
    let a = Mock::start("a", Reply::chat("plain")).await;
    let settings = json!({
        "approach": {"default": "two"},
        "routes": [{"models": ["special"], "approach": "one"}, {"models": ["bare"], "approach": "proxy"},
            {"models": ["*"]},
        ],
    });
    let proxy = set_up(&a, &two(), settings).await;
    for (model, approach) in [("special", "one"), ("bare", ""), ("other", "two"), ("two-special", "two")] {
        let body = with(plain(), json!({"model": model}));
        assert_eq!(chosen(&proxy, &body).await, approach, "{model}");
    }
}

#[tokio::test]
async fn a_model_that_the_configuration_lists_keeps_its_name() {
    let a = Mock::start("a", Reply::chat("plain")).await;
    let b = Mock::start("b", Reply::chat("plain")).await;
    let builder = Proxy::builder().provider(&a, json!({"models": ["one-gpt-4", "gpt-4"]}));
    let builder = builder.provider(&b, json!({"model_map": {"two-gpt-4": "mapped"}}));
    let proxy = builder.set(json!({"approaches": askers(&two())})).start().await;
    assert_eq!(chosen(&proxy, &request("one")).await, "");
    assert_eq!(chosen(&proxy, &request("two")).await, "");
    assert_eq!(chosen(&proxy, &request("two-one")).await, "two");
    assert_eq!((a.only_request().json()["model"].clone(), b.calls() <= 1), (json!("one-gpt-4"), true));
}

#[tokio::test]
async fn only_chat_completions_are_answered_and_a_default_leaves_the_others_alone() {
    let a = Mock::start("a", Reply::json(200, &json!({"object": "list", "data": []}))).await;
    let proxy = set_up(&a, &two(), json!({"approach": {"default": "one"}})).await;
    for (path, body) in [
        ("/v1/completions", json!({"model": "one-gpt-4", "prompt": "Hello"})),
        ("/v1/embeddings", json!({"model": "gpt-4", "input": "Hello", "optillm_approach": "one"})),
        ("/v1/responses", json!({"model": "one-gpt-4", "input": "Hello"})),
        ("/v1/messages", json!({"model": "one-gpt-4", "max_tokens": 5, "messages": []})),
    ] {
        let answer = proxy.call(Method::POST, path).json(&body).answer().await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().contains("`one`") && answer.text().contains("/v1/chat/completions"), "{}", answer.text());
        if path != "/v1/messages" {
            assert_eq!(answer.code(), "approach_unsuitable", "{path}");
        }
    }
    assert_eq!(a.calls(), 0);
    let answer = proxy.call(Method::POST, "/v1/embeddings").json(&json!({"model": "gpt-4", "input": "Hello"}));
    assert_eq!((answer.answer().await.status, a.calls()), (200, 1));
    assert_eq!(ask(&proxy, "two").await.content(), "a text");
}

#[tokio::test]
async fn options_come_at_the_top_level_and_in_extra_body_and_never_reach_a_provider() {
    let a = Mock::start("a", super::model()).await;
    let proxy = proxy(&a, &[("chat", json!({"times": 1}))]).await;
    for (members, calls) in [
        (json!({}), 1),
        (json!({"asker_times": 3}), 3),
        (json!({"extra_body": {"asker_times": 2}}), 2),
        (json!({"asker_times": 3, "extra_body": {"asker_times": 2, "kept": 1}}), 3),
        (json!({"asker_times": null}), 1),
        (json!({"best_of_n": 4, "extra_body": {"mcts_depth": 1}}), 1),
    ] {
        let before = a.calls();
        let answer = proxy.chat_call(&with(request("chat"), members.clone())).answer().await;
        assert_eq!((answer.status, a.calls() - before), (200, calls), "{members}: {}", answer.text());
        for seen in &a.requests()[before..] {
            let body = seen.json();
            assert!(body.get("asker_times").is_none() && body.get("best_of_n").is_none(), "{body}");
            let is_kept = members["extra_body"]["kept"] == 1;
            assert_eq!(body.get("extra_body"), is_kept.then(|| json!({"kept": 1})).as_ref(), "{body}");
        }
    }
}

#[tokio::test]
async fn a_parameter_of_the_api_is_no_option() {
    let a = Mock::start("a", super::model()).await;
    let proxy = Proxy::before([&a]).await;
    // `bon` has an option of that name, which is the operator's: with the client's 0 all candidates would be the same.
    let body = with(request("bon"), json!({"temperature": 0}));
    assert_eq!(proxy.chat_call(&body).answer().await.status, 200);
    assert_eq!(a.requests()[0].json()["temperature"], 1.0);
}
