//! The list of models, and which provider serves which.

use harness::{Mock, Proxy, Reply};
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<String> {
    let data = list["data"].as_array().expect("a list");
    let mut ids: Vec<String> = data.iter().map(|model| model["id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn the_list_is_the_union_of_what_providers_list() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    a.list_models_by(Reply::models(&["gpt-4", "gpt-4o"]));
    b.list_models_by(Reply::models(&["gpt-4", "llama-3"]));
    let proxy = Proxy::before([&a, &b]).await;
    for path in ["/v1/models", "/models"] {
        let answer = proxy.get(path).await;
        assert_eq!((answer.status, answer.json()["object"].as_str()), (200, Some("list")));
        assert_eq!(ids(&answer.json()), ["gpt-4", "gpt-4o", "llama-3"]);
    }
}

#[tokio::test]
async fn names_of_the_configuration_are_in_the_list() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    a.list_models_by(Reply::status(404));
    b.list_models_by(Reply::status(404));
    let builder = Proxy::builder().provider(&a, json!({"model_map": {"fast": "llama-3-8b"}}));
    let proxy = builder.provider(&b, json!({"models": ["mistral"]})).start().await;
    assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["fast", "mistral"]);
}

#[tokio::test]
async fn approaches_stand_before_models_where_the_configuration_wants_it() {
    let a = Mock::start("a", Reply::chat("a")).await;
    a.list_models_by(Reply::models(&["gpt-4"]));
    let lists = json!({"approach": {"list": true, "allow": ["bon", "moa"]}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(lists).start().await;
    assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["bon-gpt-4", "gpt-4", "moa-gpt-4"]);
    assert_eq!(proxy.get("/v1/models/moa-gpt-4").await.json()["id"], "moa-gpt-4");
}

#[tokio::test]
async fn providers_that_are_out_are_left_out() {
    let (a, b) = (Mock::start("a", Reply::status(401)).await, Mock::start("b", Reply::chat("b")).await);
    a.list_models_by(Reply::models(&["only-a"]));
    b.list_models_by(Reply::models(&["only-b"]));
    let proxy = Proxy::before([&a, &b]).await;
    assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["only-a", "only-b"]);
    proxy.chat().await;
    assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["only-b"]);
}

#[tokio::test]
async fn a_provider_that_does_not_list_its_models_hides_no_other() {
    for broken in [Reply::status(500), Reply::silence(), Reply::raw("nonsense"), Reply::json(200, &json!([1]))] {
        let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
        a.list_models_by(broken);
        b.list_models_by(Reply::models(&["only-b"]));
        let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({}));
        let quick = json!({"routing": {"health_check": {"enabled": false, "timeout": 0.3}}});
        let proxy = builder.set(quick).start().await;
        assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["only-b"]);
    }
}

#[tokio::test]
async fn one_model_is_found_by_its_id() {
    let a = Mock::start("a", Reply::chat("a")).await;
    a.list_models_by(Reply::models(&["meta/llama-3", "gpt-4"]));
    let proxy = Proxy::before([&a]).await;
    for path in ["/v1/models/meta/llama-3", "/v1/models/meta%2Fllama-3"] {
        let answer = proxy.get(path).await;
        assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some("meta/llama-3")), "{path}");
    }
    assert_eq!(proxy.get("/v1/models/unknown").await.status, 404);
}

#[tokio::test]
async fn a_model_goes_only_to_providers_that_serve_it() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({"models": ["gpt-4"]}));
    let proxy = builder.provider(&b, json!({"models": ["llama-3"]})).start().await;
    for (model, provider) in [("llama-3", "b"), ("gpt-4", "a"), ("llama-3", "b")] {
        let body = json!({"model": model, "messages": []});
        assert_eq!(proxy.chat_call(&body).answer().await.provider(), provider, "{model}");
    }
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_a_clear_404() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({"models": ["gpt-4"]})).start().await;
    let answer = proxy.chat_call(&json!({"model": "unknown", "messages": []})).answer().await;
    assert_eq!((answer.status, answer.code().as_str(), a.calls()), (404, "model_not_found", 0));
}

#[tokio::test]
async fn the_list_comes_at_once_while_a_provider_hangs() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    a.list_models_by(Reply::silence());
    b.list_models_by(Reply::models(&["only-b"]));
    let proxy = Proxy::before([&a, &b]).await;
    for _ in 0..5 {
        let answer = proxy.get("/v1/models").await;
        assert_eq!(ids(&answer.json()), ["only-b"]);
        assert!(answer.took < std::time::Duration::from_secs(3), "{:?}", answer.took);
    }
    assert_eq!((a.checks().len(), b.checks().len()), (1, 1));
}

#[tokio::test]
async fn many_who_ask_for_the_list_are_one_request_to_a_provider() {
    let a = Mock::start("a", Reply::chat("a")).await;
    a.list_models_by(Reply::json(200, &json!([{"id": "bare"}, "text"])));
    let proxy = Proxy::before([&a]).await;
    let calls: Vec<_> =
        (0..100).map(|_| harness::spawn(proxy.call(http::Method::GET, "/v1/models").answer())).collect();
    for call in calls {
        assert_eq!(ids(&call.await.expect("no panic").json()), ["bare", "text"]);
    }
    let checks = a.checks();
    assert!(checks.len() == 1 && checks[0].header("user-agent").starts_with("pointsman/"), "{checks:?}");
}

#[tokio::test]
async fn the_last_known_list_stays_when_the_provider_has_none_any_more() {
    let a = Mock::start("a", Reply::chat("a")).await;
    a.list_models_by([Reply::models(&["one"]), Reply::status(500), Reply::models(&["two"])]);
    let often = json!({"routing": {"health_check": {"interval": 0.05}}});
    let proxy = Proxy::builder().provider(&a, json!({})).set(often).start().await;
    assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["one"]);
    harness::eventually("the list is refreshed in the background", async || {
        let ids = ids(&proxy.get("/v1/models").await.json());
        assert!(ids == ["one"] || ids == ["two"], "{ids:?}");
        ids == ["two"]
    })
    .await;
}

#[tokio::test]
async fn a_list_of_more_than_a_mebibyte_is_not_read() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let many: Vec<String> = (0..100_000).map(|number| format!("model-{number}")).collect();
    a.list_models_by(Reply::json(200, &json!(many)));
    let proxy = Proxy::builder().provider(&a, json!({"models": ["mine"]})).start().await;
    assert_eq!(ids(&proxy.get("/v1/models").await.json()), ["mine"]);
}

#[tokio::test]
async fn a_model_in_no_list_is_asked_for_where_there_is_none_or_assumed_where_it_would_be_served() {
    let a = Mock::start("a", Reply::json(200, &json!({"id": "hidden", "object": "model", "owned_by": "a"}))).await;
    a.list_models_by(Reply::models(&["shown"]));
    let proxy = Proxy::before([&a]).await;
    let answer = proxy.get("/v1/models/hidden").await;
    assert_eq!((answer.status, answer.json()["owned_by"].as_str()), (200, Some("a")));
    assert_eq!(a.only_request().target, "/v1/models/hidden");
    a.follow(Reply::error(404, "no such model"));
    assert_eq!(proxy.get("/v1/models/unknown").await.status, 404);
}

#[tokio::test]
async fn what_names_no_model_goes_to_providers_without_a_list_alone() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let builder = Proxy::builder().provider(&a, json!({"models": ["gpt-4"]}));
    let proxy = builder.provider(&b, json!({})).start().await;
    for body in [json!({"messages": []}), json!({"model": null}), json!({"Model": "secret"}), json!({"model": ""})] {
        assert_eq!(proxy.chat_call(&body).answer().await.provider(), "b", "{body}");
    }
    let form = "--x\r\nContent-Disposition: form-data; name=\"model\"; filename=\"\"\r\n\r\nsecret\r\n--x--\r\n";
    let call = proxy.call(http::Method::POST, "/v1/audio/transcriptions");
    let call = call.header("content-type", "multipart/form-data; boundary=x").body(form);
    assert_eq!(call.answer().await.provider(), "b");
    let both = proxy.chat_call(&json!({"model": "gpt-4", "MODEL": "secret"})).answer().await;
    assert_eq!((both.status, a.calls()), (400, 0));
    let alone = Proxy::builder().provider(&a, json!({"models": ["gpt-4"]})).start().await;
    let answer = alone.chat_call(&json!({"model": null})).answer().await;
    assert_eq!((answer.status, answer.code().as_str(), a.calls()), (404, "model_not_found", 0));
}

#[tokio::test]
async fn a_wildcard_serves_and_maps_what_fits_it() {
    let (a, b) = (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await);
    let wild = json!({"models": ["gpt-*"], "model_map": {"gpt-*": "vendor/*", "gpt-4": "exact"}});
    let proxy = Proxy::builder().provider(&a, wild).provider(&b, json!({"models": ["llama-*"]})).start().await;
    for (model, provider, sent) in [("gpt-5", "a", "vendor/5"), ("gpt-4", "a", "exact"), ("llama-3", "b", "llama-3")] {
        let answer = proxy.chat_call(&json!({"model": model, "messages": []})).answer().await;
        assert_eq!((answer.status, answer.provider()), (200, provider), "{model}");
        let mock = if provider == "a" { &a } else { &b };
        assert_eq!(mock.requests().last().map(|seen| seen.json()["model"].clone()), Some(json!(sent)));
    }
    let answer = proxy.chat_call(&json!({"model": "mistral", "messages": []})).answer().await;
    assert_eq!(answer.status, 404, "what fits no list is nobody's");
}
