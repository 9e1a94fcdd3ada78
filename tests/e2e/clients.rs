//! Clients: who asks, and what each may ask for.

use harness::{Answer, Mock, Proxy, Reply, chat_request, eventually};
use serde_json::{Value, json};

const SEARCH: &str = "sk-search-zq7-s3cr3t";
const BATCH: &str = "sk-batch-zq7-s3cr3t";

/// A request for this model.
fn ask_for(model: &str) -> Value {
    let mut request = chat_request();
    request["model"] = json!(model);
    request
}

async fn start(mock: &Mock, clients: Value) -> Proxy {
    Proxy::builder().provider(mock, json!({})).set(json!({"clients": clients})).start().await
}

async fn chat(proxy: &Proxy, key: &str, model: &str) -> Answer {
    proxy.chat_call(&ask_for(model)).header("authorization", &format!("Bearer {key}")).answer().await
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

#[tokio::test]
async fn keys_open_by_hash_by_text_by_variable_and_by_file() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let key = pointsman::clients::new_key(None).unwrap();
    let builder = Proxy::builder().provider(&a, json!({})).environment("SEARCH_KEY", SEARCH);
    std::fs::write(builder.folder().join("batch"), format!("{BATCH}\n")).unwrap();
    let keys = json!([
        {"name": "made", "hash": key.digest.written()},
        {"name": "variable", "key": "${SEARCH_KEY}"},
        {"name": "file", "key_file": "batch"},
        {"name": "text", "key": "sk-text-zq7-s3cr3t"},
    ]);
    let proxy = builder.set(json!({"clients": {"keys": keys}})).start().await;
    for key in [key.text.reveal(), SEARCH, BATCH, "sk-text-zq7-s3cr3t"] {
        assert_eq!(chat(&proxy, key, "m").await.status, 200);
    }
    for wrong in ["sk-other", "batch", "", &key.digest.written()] {
        assert_eq!(refused(&chat(&proxy, wrong, "m").await), (401, "invalid_api_key".to_owned()), "{wrong}");
    }
    let scraped = proxy.get("/metrics").await;
    assert_eq!(scraped.status, 401, "a key is needed there as well");
}

#[tokio::test]
async fn a_key_counts_in_a_header_of_the_operators_choice_and_reaches_no_provider() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let keys = json!([{"name": "search", "key": SEARCH}]);
    let proxy = start(&a, json!({"header": "X-LiteLLM-API-Key", "keys": keys})).await;
    for value in [SEARCH.to_owned(), format!("Bearer {SEARCH}")] {
        let call = proxy.chat_call(&chat_request()).header("x-litellm-api-key", &value);
        assert_eq!(call.answer().await.status, 200);
    }
    for header in ["x-api-key", "api-key"] {
        assert_eq!(proxy.chat_call(&chat_request()).header(header, SEARCH).answer().await.status, 200);
    }
    for seen in a.requests() {
        for header in ["x-litellm-api-key", "x-api-key", "api-key"] {
            assert_eq!(seen.header(header), "", "{header}");
        }
    }
}

#[tokio::test]
async fn api_keys_are_clients_too_and_unknown_callers_may_be_let_in() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let keys = json!([{"name": "search", "key": SEARCH, "models": ["m"]}]);
    let builder = Proxy::builder().provider(&a, json!({})).set(json!({"clients": {"keys": keys}}));
    let proxy = builder.set(json!({"server": {"api_keys": [BATCH]}})).start().await;
    assert_eq!(chat(&proxy, BATCH, "any").await.status, 200);
    assert_eq!(chat(&proxy, SEARCH, "any").await.status, 403);
    let text = proxy.call(http::Method::GET, "/metrics").header("x-api-key", BATCH).answer().await.text();
    let count = "pointsman_client_requests_total{client=\"key-1\",outcome=\"succeeded\"} 1";
    assert!(text.contains(count), "{text}");
    let open =
        start(&a, json!({"unknown": "allow", "keys": [{"name": "search", "key": SEARCH, "models": ["m"]}]})).await;
    assert_eq!(open.chat().await.status, 200);
    assert_eq!(chat(&open, "sk-other", "any").await.status, 200);
    assert_eq!(chat(&open, SEARCH, "any").await.status, 403, "a client that is known keeps its bounds");
}

#[tokio::test]
async fn keys_of_clients_do_not_open_the_paths_of_operators() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let keys = json!([{"name": "search", "key": SEARCH}]);
    let operated = |proxy: &Proxy, key: &str| {
        let of = |method, path: &str| proxy.call(method, path).header("x-api-key", key);
        [
            of(http::Method::GET, "/metrics"),
            of(http::Method::POST, "/admin/reload"),
            of(http::Method::GET, "/admin/spend"),
        ]
    };
    let proxy = start(&a, json!({"keys": &keys})).await;
    for call in operated(&proxy, SEARCH) {
        assert_eq!(refused(&call.answer().await), (403, "operators_only".to_owned()));
    }
    for call in operated(&proxy, "sk-other") {
        assert_eq!(refused(&call.answer().await), (401, "invalid_api_key".to_owned()));
    }
    // One of `server.api_keys` goes on to open them.
    let builder = Proxy::builder().provider(&a, json!({})).set(json!({"clients": {"keys": &keys}}));
    let both = builder.set(json!({"server": {"api_keys": [BATCH]}})).start().await;
    for call in operated(&both, BATCH) {
        assert_eq!(call.answer().await.status, 200);
    }
    for call in operated(&both, SEARCH) {
        assert_eq!(call.answer().await.status, 403);
    }
}

#[tokio::test]
async fn an_expired_key_is_told_so_and_neither_name_nor_key_is_repeated() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let keys = json!([
        {"name": "gone-client", "key": SEARCH, "expires": "2026-01-01"},
        {"name": "here", "key": BATCH, "expires": "2999-01-01"},
    ]);
    let proxy = start(&a, json!({"keys": keys})).await;
    let answer = chat(&proxy, SEARCH, "m").await;
    assert_eq!(refused(&answer), (401, "invalid_api_key".to_owned()));
    assert!(answer.text().contains("expired") && !answer.text().contains("gone-client"), "{}", answer.text());
    assert_eq!(chat(&proxy, BATCH, "m").await.status, 200);
}

#[tokio::test]
async fn a_key_expires_without_a_reload() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let soon = pointsman::config::Expiry(i64::try_from(now + 2).unwrap()).to_string();
    let proxy = start(&a, json!({"keys": [{"name": "short", "key": SEARCH, "expires": soon}]})).await;
    assert_eq!(chat(&proxy, SEARCH, "m").await.status, 200);
    eventually("the key has expired", async || chat(&proxy, SEARCH, "m").await.status == 401).await;
}

#[tokio::test]
async fn a_model_that_is_not_allowed_is_named_and_the_list_is_not() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let keys = json!([{"name": "search", "key": SEARCH, "models": ["gpt-4o*", "embed-3"]}]);
    let proxy = start(&a, json!({"keys": keys})).await;
    for model in ["gpt-4o", "gpt-4o-mini", "embed-3"] {
        assert_eq!(chat(&proxy, SEARCH, model).await.status, 200, "{model}");
    }
    let answer = chat(&proxy, SEARCH, "o3-pro").await;
    assert_eq!(refused(&answer), (403, "model_not_allowed".to_owned()));
    assert_eq!(answer.json()["error"]["param"], "model");
    assert!(answer.text().contains("o3-pro") && !answer.text().contains("gpt-4o"), "{}", answer.text());
    let nameless = json!({"messages": [{"role": "user", "content": "hi"}]});
    let call = proxy.chat_call(&nameless).header("x-api-key", SEARCH);
    assert_eq!(refused(&call.answer().await), (403, "model_not_allowed".to_owned()));
    assert_eq!(a.calls(), 3);
}

#[tokio::test]
async fn a_fallback_to_a_model_that_is_not_allowed_is_skipped() {
    let a = Mock::start("a", Reply::status(500)).await;
    let b = Mock::start("b", Reply::chat("b")).await;
    let c = Mock::start("c", Reply::chat("c")).await;
    let fallbacks = json!({"on_failure": ["dear", "cheap"]});
    let routes = json!([
        {"models": ["wanted"], "targets": ["a"], "fallbacks": fallbacks},
        {"models": ["dear"], "targets": ["b"]},
        {"models": ["cheap"], "targets": ["c"]},
    ]);
    let keys = json!([
        {"name": "poor", "key": SEARCH, "models": ["wanted", "cheap"]},
        {"name": "poorest", "key": "sk-poorest-zq7-s3cr3t", "models": ["wanted"]},
        {"name": "rich", "key": BATCH},
    ]);
    let builder = Proxy::builder().provider(&a, json!({})).provider(&b, json!({})).provider(&c, json!({}));
    let proxy = builder.set(json!({"routes": routes, "clients": {"keys": keys}})).start().await;
    assert_eq!(chat(&proxy, BATCH, "wanted").await.provider(), "b");
    assert_eq!(chat(&proxy, SEARCH, "wanted").await.provider(), "c");
    assert_eq!(chat(&proxy, "sk-poorest-zq7-s3cr3t", "wanted").await.status, 502);
    assert_eq!((b.calls(), c.calls()), (1, 1));
}

#[tokio::test]
async fn the_list_of_models_has_only_what_the_client_may_use() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let keys = json!([
        {"name": "search", "key": SEARCH, "models": ["gpt-4o*"]},
        {"name": "batch", "key": BATCH},
    ]);
    let models = json!({"models": ["gpt-4o", "gpt-4o-mini", "o3"]});
    let builder = Proxy::builder().provider(&a, models).set(json!({"clients": {"keys": keys}}));
    let proxy = builder.start().await;
    let list = async |key: &str| {
        let answer = proxy.call(http::Method::GET, "/v1/models").header("x-api-key", key).answer().await;
        let ids = answer.json()["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect::<Vec<_>>();
        Value::from(ids)
    };
    assert_eq!(list(SEARCH).await, json!(["gpt-4o", "gpt-4o-mini"]));
    assert_eq!(list(BATCH).await, json!(["gpt-4o", "gpt-4o-mini", "o3"]));
    let one = async |key: &str, model: &str| {
        proxy.call(http::Method::GET, &format!("/v1/models/{model}")).header("x-api-key", key).answer().await
    };
    assert_eq!(refused(&one(SEARCH, "o3").await), (404, "model_not_found".to_owned()));
    assert_eq!((one(SEARCH, "gpt-4o").await.status, one(BATCH, "o3").await.status), (200, 200));
}

#[tokio::test]
async fn a_reload_brings_new_keys_and_takes_old_ones_away() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let mut proxy = start(&a, json!({"keys": [{"name": "search", "key": SEARCH}]})).await;
    proxy.reload(json!({"clients": {"keys": [{"name": "batch", "key": BATCH}]}})).await.unwrap();
    assert_eq!(chat(&proxy, BATCH, "m").await.status, 200);
    assert_eq!(chat(&proxy, SEARCH, "m").await.status, 401);
    proxy.reload(json!({"clients": {"keys": []}})).await.unwrap();
    assert_eq!(proxy.chat().await.status, 200, "without keys everybody is let in");
}
