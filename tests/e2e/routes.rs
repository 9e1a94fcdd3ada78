//! Routes: which targets serve which models, how long they may take, and what is asked for instead of them.

use std::time::Duration;

use harness::{Answer, Mock, Proxy, Reply};
use serde_json::{Value, json};

fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

async fn chat(proxy: &Proxy, model: &str) -> Answer {
    proxy.post("/v1/chat/completions", &ask(model)).await
}

async fn two() -> (Mock, Mock) {
    (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await)
}

async fn with_routes(a: &Mock, b: &Mock, routes: Value) -> Proxy {
    let builder = Proxy::builder().provider(a, json!({})).provider(b, json!({}));
    let routing = json!({"strategy": "round_robin", "health_check": {"enabled": false}, "retries": 0});
    builder.set(json!({"routes": routes, "routing": routing})).start().await
}

#[tokio::test]
async fn each_model_goes_its_own_route_which_the_answer_names() {
    let (a, b) = two().await;
    let routes = json!([{"models": ["gpt-*"], "targets": ["a"]}, {"name": "rest", "models": ["*"], "targets": ["b"]}]);
    let proxy = with_routes(&a, &b, routes).await;
    for (model, provider, route) in [("gpt-4", "a", "gpt-*"), ("gpt-", "a", "gpt-*"), ("llama", "b", "rest")] {
        for _ in 0..3 {
            let answer = chat(&proxy, model).await;
            assert_eq!((answer.status, answer.provider()), (200, provider), "{model}");
            assert_eq!(answer.header("x-pointsman-route"), route);
            assert_eq!(answer.header("x-pointsman-model"), "", "nothing was asked for instead");
        }
    }
}

#[tokio::test]
async fn the_first_route_that_fits_is_taken_and_a_configuration_without_routes_has_one_of_everything() {
    let (a, b) = two().await;
    let routes = json!([{"models": ["gpt-4"], "targets": ["b"]}, {"models": ["gpt-*"], "targets": ["a"]}]);
    let proxy = with_routes(&a, &b, routes).await;
    assert_eq!(chat(&proxy, "gpt-4").await.provider(), "b");
    assert_eq!(chat(&proxy, "gpt-4o").await.provider(), "a");
    let plain = Proxy::before([&a, &b]).await;
    assert_eq!(chat(&plain, "gpt-4").await.header("x-pointsman-route"), "");
}

#[tokio::test]
async fn a_target_is_asked_for_the_model_that_the_route_names() {
    let (a, b) = two().await;
    let routes = json!([
        {"models": ["auto"], "targets": [{"provider": "a", "model": "large"}, {"provider": "a", "model": "small"}]},
        {"models": ["openai/*"], "targets": [{"provider": "b", "model": "*"}]},
        {"models": ["x-*"], "targets": [{"provider": "b", "model": "vendor/*-hf"}]},
    ]);
    let proxy = with_routes(&a, &b, routes).await;
    chat(&proxy, "auto").await;
    chat(&proxy, "auto").await;
    let asked: Vec<Value> = a.requests().iter().map(|seen| seen.json()["model"].clone()).collect();
    assert_eq!(asked, ["large", "small"], "two models of one provider are two candidates");
    chat(&proxy, "openai/gpt-4o").await;
    chat(&proxy, "x-llama").await;
    let asked: Vec<Value> = b.requests().iter().map(|seen| seen.json()["model"].clone()).collect();
    assert_eq!(asked, ["gpt-4o", "vendor/llama-hf"]);
}

#[tokio::test]
async fn each_route_has_a_strategy_of_its_own() {
    let (a, b) = two().await;
    let routes = json!([
        {"models": ["turns"]},
        {"models": ["fixed"], "strategy": "failover", "targets": ["b", "a"]},
        {"models": ["others"]},
    ]);
    let proxy = with_routes(&a, &b, routes).await;
    let mut providers = Vec::new();
    for model in ["turns", "fixed", "others", "turns", "fixed", "others"] {
        providers.push(chat(&proxy, model).await.provider().to_owned());
    }
    assert_eq!(providers, ["a", "b", "a", "b", "b", "b"], "each rotates on its own");
    let health = proxy.get("/health").await.json();
    let strategies: Vec<&Value> =
        health["routes"].as_array().expect("a list").iter().map(|route| &route["strategy"]["name"]).collect();
    assert_eq!(strategies, ["round_robin", "failover", "round_robin"]);
    assert_eq!(health["routes"][1]["targets"], json!(["b", "a"]));
}

#[tokio::test]
async fn a_target_that_is_held_back_serves_when_the_others_have_failed() {
    let (a, b) = two().await;
    a.follow(Reply::status(500));
    let routes = json!([{"models": ["m"], "targets": ["a", {"provider": "b", "tier": "fallback"}]}]);
    let proxy = with_routes(&a, &b, routes).await;
    let answer = chat(&proxy, "m").await;
    assert_eq!((answer.status, answer.provider(), answer.header("x-pointsman-attempts")), (200, "b", "2"));
}

#[tokio::test]
async fn a_model_that_no_route_serves_is_404_and_a_near_one_is_named() {
    let (a, b) = two().await;
    let proxy = with_routes(&a, &b, json!([{"models": ["gpt-4o-mini"]}, {"models": ["claude-*"]}])).await;
    let answer = chat(&proxy, "gpt-4o-mimi").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "model_not_found"));
    assert!(answer.message().contains("Did you mean 'gpt-4o-mini'?"), "{}", answer.message());
    assert_eq!((a.calls(), b.calls()), (0, 0));
    assert!(!chat(&proxy, &"x".repeat(5000)).await.message().contains("Did you mean"));
}

#[tokio::test]
async fn the_list_of_models_is_that_of_the_routes() {
    let (a, b) = two().await;
    a.list_models_by(Reply::models(&["gpt-4", "other"]));
    b.list_models_by(Reply::models(&["gpt-5"]));
    let routes = json!([{"models": ["gpt-*"], "targets": ["a"]}, {"models": ["auto"], "targets": ["b"]}]);
    let proxy = with_routes(&a, &b, routes).await;
    let list = proxy.get("/v1/models").await.json();
    let ids: Vec<&Value> = list["data"].as_array().expect("a list").iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["gpt-4", "auto"]);
    assert_eq!(proxy.get("/v1/models/auto").await.json()["id"], "auto");
    assert_eq!(proxy.get("/v1/models/other").await.status, 404);
}

#[tokio::test]
async fn when_all_targets_have_failed_other_models_are_asked_for_in_turn() {
    let (a, b) = two().await;
    a.follow(Reply::status(500));
    let routes = json!([
        {"models": ["one"], "targets": ["a"], "fallbacks": {"on_failure": ["two", "three"]}},
        {"models": ["two"], "targets": [{"provider": "a", "model": "two-at-a"}]},
        {"models": ["three"], "targets": [{"provider": "b", "model": "three-at-b"}]},
    ]);
    let proxy = with_routes(&a, &b, routes).await;
    let answer = chat(&proxy, "one").await;
    assert_eq!((answer.status, answer.provider()), (200, "b"));
    assert_eq!((answer.header("x-pointsman-model"), answer.header("x-pointsman-route")), ("three", "three"));
    assert_eq!(answer.header("x-pointsman-attempts"), "3");
    assert_eq!(b.only_request().json()["model"], "three-at-b");
    b.follow(Reply::status(503));
    let answer = chat(&proxy, "one").await;
    assert_eq!(answer.status, 502);
    assert!(answer.message().contains("a ") && answer.message().contains("b "), "{}", answer.message());
}

#[tokio::test]
async fn at_most_so_many_models_are_asked_for_instead() {
    let (a, b) = two().await;
    a.follow(Reply::status(500));
    let routes = json!([
        {"models": ["one"], "targets": ["a"], "fallbacks": {"on_failure": ["two", "three"], "max": 1}},
        {"models": ["two"], "targets": [{"provider": "a", "model": "two-at-a"}]},
        {"models": ["three"], "targets": ["b"]},
    ]);
    let proxy = with_routes(&a, &b, routes).await;
    assert_eq!((chat(&proxy, "one").await.status, b.calls()), (502, 0));
}

#[tokio::test]
async fn what_is_too_long_or_refused_by_a_filter_goes_to_the_model_named_for_that_and_else_is_passed_on() {
    let (a, b) = two().await;
    let routes = json!([
        {"models": ["short"], "targets": ["a"], "fallbacks": {"on_context_window": ["long"]}},
        {"models": ["strict"], "targets": ["a"], "fallbacks": {"on_content_policy": ["long"]}},
        {"models": ["long"], "targets": ["b"]},
    ]);
    let proxy = with_routes(&a, &b, routes).await;
    let too_long = json!({"error": {"code": "context_length_exceeded", "type": "invalid_request_error",
        "message": "This model's maximum context length is 8192 tokens."}});
    let filtered = json!({"error": {"code": "content_filter", "type": null, "message": "The response was filtered."}});
    a.follow(Reply::json(400, &too_long));
    let answer = chat(&proxy, "short").await;
    assert_eq!((answer.status, answer.header("x-pointsman-model")), (200, "long"));
    let answer = chat(&proxy, "strict").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "context_length_exceeded"), "none is named for this");
    a.follow(Reply::json(400, &filtered));
    assert_eq!(chat(&proxy, "strict").await.header("x-pointsman-model"), "long");
    assert_eq!((chat(&proxy, "short").await.status, proxy.state_of(&a).await.as_str()), (400, "admitted"));
    b.follow(Reply::status(500));
    let answer = chat(&proxy, "strict").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "content_filter"), "nobody does better");
}

#[tokio::test]
async fn a_rate_limit_is_about_the_provider_and_the_model_that_it_was_told_for() {
    let (a, b) = two().await;
    a.follow(harness::Script::by(|_, seen| match seen.json()["model"].as_str() {
        Some("large") => Reply::status(429).header("retry-after", "60"),
        _ => Reply::chat("small"),
    }));
    let routes = json!([
        {"models": ["auto"], "strategy": "failover",
         "targets": [{"provider": "a", "model": "large"}, {"provider": "a", "model": "small"}]},
    ]);
    let proxy = with_routes(&a, &b, routes).await;
    assert_eq!(chat(&proxy, "auto").await.content(), "small");
    assert_eq!(chat(&proxy, "auto").await.content(), "small");
    let asked: Vec<Value> = a.requests().iter().map(|seen| seen.json()["model"].clone()).collect();
    assert_eq!(asked, ["large", "small", "small"]);
}

#[tokio::test]
async fn the_timeouts_of_a_route_go_before_those_of_its_providers() {
    let (a, b) = two().await;
    a.follow(Reply::chat("late").late(Duration::from_secs(30)));
    let routes = json!([{"models": ["m"], "targets": ["a"], "timeouts": {"request": 0.2}}]);
    let proxy = with_routes(&a, &b, routes).await;
    let answer = chat(&proxy, "m").await;
    assert_eq!(answer.status, 504);
    assert!(answer.message().contains("(routes[].timeouts.request)"), "{}", answer.message());
}

#[tokio::test]
async fn a_second_attempt_starts_when_nothing_has_come_and_the_slow_one_is_left() {
    let (a, b) = two().await;
    a.follow(Reply::chat("slow").late(Duration::from_secs(30)));
    let hedge = json!({"after": 0.1, "at_most": 1});
    let routes = json!([{"models": ["m"], "targets": ["a", "b"], "strategy": "failover", "hedge": hedge}]);
    let proxy = with_routes(&a, &b, routes).await;
    let answer = chat(&proxy, "m").await;
    assert_eq!((answer.status, answer.provider(), answer.content().as_str()), (200, "b", "b"));
    harness::eventually("the slow one's connection is closed", async || a.requests()[0].left_at.is_some()).await;
    assert_eq!(proxy.metric("pointsman_hedges_total{provider=\"b\"}").await, 1.0);
    assert_eq!(proxy.state_of(&a).await, "admitted", "being slow is no failure");
}

#[tokio::test]
async fn second_attempts_keep_to_their_share_and_are_never_made_for_what_is_stored() {
    let (a, b) = two().await;
    a.follow(Reply::chat("slow").late(Duration::from_millis(150)));
    let hedge = json!({"after": 0.05, "at_most": 0.5});
    let routes = json!([{"models": ["m"], "targets": ["a", "b"], "strategy": "failover", "hedge": hedge}]);
    let proxy = with_routes(&a, &b, routes).await;
    for _ in 0..6 {
        assert_eq!(chat(&proxy, "m").await.status, 200);
    }
    assert_eq!(b.calls(), 3, "one for two requests");
    let mut stored = ask("m");
    stored["store"] = json!(true);
    for _ in 0..4 {
        assert_eq!(proxy.post("/v1/chat/completions", &stored).await.provider(), "a");
    }
    assert_eq!(b.calls(), 3);
}

#[tokio::test]
async fn when_both_attempts_fail_the_next_target_is_tried() {
    let (a, b) = two().await;
    let c = Mock::start("c", Reply::chat("c")).await;
    a.follow(Reply::status(500).late(Duration::from_millis(300)));
    b.follow(Reply::status(500));
    let hedge = json!({"after": 0.1, "at_most": 1});
    let routes = json!([{"models": ["m"], "targets": ["a", "b", "c"], "strategy": "failover", "hedge": hedge}]);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({})).provider(&c, json!({}));
    let proxy = builder.set(json!({"routes": routes})).start().await;
    let answer = chat(&proxy, "m").await;
    assert_eq!((answer.provider(), answer.header("x-pointsman-attempts")), ("c", "3"));
}

#[tokio::test]
async fn a_reload_changes_routes_and_what_goes_on_keeps_its_rotation() {
    let (a, b) = two().await;
    let mut proxy = with_routes(&a, &b, json!([{"models": ["m"]}])).await;
    assert_eq!(chat(&proxy, "m").await.provider(), "a");
    proxy.reload(json!({"routes": [{"models": ["m"]}, {"models": ["n"], "targets": ["b"]}]})).await.expect("valid");
    assert_eq!((chat(&proxy, "m").await.provider(), chat(&proxy, "n").await.provider()), ("b", "b"));
}
