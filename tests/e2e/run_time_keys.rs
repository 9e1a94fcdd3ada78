//! Keys made at run time by operators, and the description of what they can ask.

use std::sync::Arc;

use harness::{Answer, Call, KeyStore, Mock, Proxy, Reply, chat_request, eventually};
use http::Method;
use serde_json::{Value, json};

const ADMIN: &str = "admin-zq7-s3cr3t";
const FILE: &str = "sk-file-zq7-s3cr3t";

async fn start(mock: &Mock, store: Option<&Arc<KeyStore>>) -> Proxy {
    let file = json!({
        "name": "file", "key": FILE, "models": ["m"], "limits": {"rpm": 600, "parallel": 5}, "notify": 0.8,
        "budget": {"usd": 2.5, "per": "week", "time_zone": "Europe/Berlin"},
    });
    let clients = json!({"groups": [{"name": "team"}], "keys": [file]});
    let prices = json!({"models": {"*": {"input": 1, "output": 1}}});
    let server = json!({"admin": {"port": 0, "api_key": ADMIN}});
    let builder =
        Proxy::builder().provider(mock, json!({})).set(json!({"clients": clients, "server": server, "prices": prices}));
    match store {
        Some(store) => builder.key_store(Arc::clone(store) as Arc<dyn pointsman::clients::Store>).start().await,
        None => builder.start().await,
    }
}

async fn operate(proxy: &Proxy, method: Method, path: &str, body: Value) -> Answer {
    let call = Call::to(proxy.operators(), method, path).header("authorization", &format!("Bearer {ADMIN}"));
    if body.is_null() { call.answer().await } else { call.json(&body).answer().await }
}

async fn chat(proxy: &Proxy, key: &str) -> u16 {
    proxy.chat_call(&chat_request()).header("x-api-key", key).answer().await.status
}

/// A key that was made, and its id.
fn made(answer: &Answer) -> (String, String) {
    let body = answer.json();
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    (text("key"), text("id"))
}

#[tokio::test]
async fn a_key_is_made_used_blocked_rotated_and_removed() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let store = Arc::new(KeyStore::default());
    let proxy = start(&a, Some(&store)).await;
    let answer = operate(&proxy, Method::POST, "/admin/keys", json!({"name": "new", "group": "team"})).await;
    assert_eq!((answer.status, answer.header("cache-control")), (201, "no-store"));
    let (key, id) = made(&answer);
    assert_eq!(chat(&proxy, &key).await, 200);
    assert!(!store.text().contains(&key));
    let path = |action: &str| format!("/admin/keys/{id}/{action}");
    assert_eq!(operate(&proxy, Method::POST, &path("block"), Value::Null).await.json()["blocked"], true);
    assert_eq!(chat(&proxy, &key).await, 401);
    operate(&proxy, Method::POST, &path("unblock"), Value::Null).await;
    assert_eq!(chat(&proxy, &key).await, 200);
    let rotated = operate(&proxy, Method::POST, &path("rotate"), json!({"overlap": 3600})).await;
    let (newer, _) = made(&rotated);
    assert_eq!((chat(&proxy, &key).await, chat(&proxy, &newer).await), (200, 200));
    let (newest, _) = made(&operate(&proxy, Method::POST, &path("rotate"), Value::Null).await);
    assert_eq!((chat(&proxy, &newer).await, chat(&proxy, &newest).await), (401, 200));
    let change = json!({"models": ["other"], "group": null});
    let changed = operate(&proxy, Method::PATCH, &format!("/admin/keys/{id}"), change).await.json();
    assert_eq!((changed["models"].clone(), changed.get("group")), (json!(["other"]), None));
    assert_eq!(chat(&proxy, &newest).await, 403);
    let listed = operate(&proxy, Method::GET, "/admin/keys", Value::Null).await.json();
    let shown = [listed.to_string(), changed.to_string(), store.text()].concat();
    assert!(![&key, &newer, &newest].iter().any(|key| shown.contains(key.as_str())), "{shown}");
    let names: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
    assert_eq!(names, ["file", "new"]);
    let of_file = &listed["data"][0];
    assert_eq!((&of_file["limits"], &of_file["notify"]), (&json!({"rpm": 600, "parallel": 5}), &json!(0.8)));
    assert_eq!(of_file["budget"], json!([{"usd": 2.5, "per": "week", "time_zone": "Europe/Berlin"}]));
    let series =
        async || operate(&proxy, Method::GET, "/metrics", Value::Null).await.text().matches("client=\"new\"").count();
    assert!(series().await > 0);
    assert_eq!(operate(&proxy, Method::DELETE, &format!("/admin/keys/{id}"), Value::Null).await.status, 200);
    assert_eq!(chat(&proxy, &newest).await, 401);
    assert_eq!(operate(&proxy, Method::GET, &format!("/admin/keys/{id}"), Value::Null).await.status, 404);
    assert_eq!(series().await, 0, "what was counted of a client that is gone is gone");
}

#[tokio::test]
async fn another_replica_learns_of_a_key_and_of_its_end() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let store = Arc::new(KeyStore::default());
    let (here, there) = (start(&a, Some(&store)).await, start(&a, Some(&store)).await);
    let (key, id) = made(&operate(&here, Method::POST, "/admin/keys", json!({"name": "new"})).await);
    eventually("the key is known there", async || chat(&there, &key).await == 200).await;
    operate(&here, Method::POST, &format!("/admin/keys/{id}/block"), Value::Null).await;
    eventually("it is blocked there", async || chat(&there, &key).await == 401).await;
    store.is_out(true);
    eventually("a new key is not refused for good", async || chat(&there, "sk-new").await == 503).await;
    assert_eq!((chat(&there, FILE).await, chat(&here, FILE).await), (403, 403), "keys that are known count");
    for (method, body) in [(Method::POST, json!({"name": "other"})), (Method::GET, Value::Null)] {
        let answer = operate(&here, method, "/admin/keys", body).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "store_unavailable"));
    }
    store.is_out(false);
    eventually("and is refused again", async || chat(&there, "sk-new").await == 401).await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_what_would_be_right() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let store = Arc::new(KeyStore::default());
    let proxy = start(&a, Some(&store)).await;
    let hash = pointsman::config::digest_of(FILE.as_bytes()).written();
    operate(&proxy, Method::POST, "/admin/keys", json!({"name": "taken"})).await;
    for (method, path, body, status, code, said) in [
        (Method::POST, "", json!({}), 400, "invalid_key", "`name` is required"),
        (Method::POST, "", json!([]), 400, "invalid_key", "JSON object"),
        (Method::POST, "", json!({"name": "x", "limits": {"rpm": 0}}), 400, "invalid_key", "`limits.rpm`"),
        (Method::POST, "", json!({"name": "x", "colour": "red"}), 400, "invalid_key", "known keys"),
        (Method::POST, "", json!({"name": "x", "group": "none"}), 400, "invalid_key", "`group`"),
        (Method::POST, "", json!({"name": "x", "hash": "abc"}), 400, "invalid_key", "sha256"),
        (Method::POST, "", json!({"name": "taken"}), 409, "name_taken", "taken"),
        (Method::POST, "", json!({"name": "file"}), 409, "name_taken", "file"),
        (Method::POST, "", json!({"name": "x", "hash": hash}), 409, "key_exists", "file"),
        (Method::PATCH, "/file", json!({"models": ["x"]}), 409, "key_of_file", "proxy_config.yaml:"),
        (Method::DELETE, "/file", Value::Null, 409, "key_of_file", "proxy_config.yaml:"),
        (Method::PATCH, "/nobody", json!({"models": ["x"]}), 404, "key_not_found", "nobody"),
        (Method::PATCH, "/taken", json!({}), 400, "invalid_key", "what is to be changed"),
        (Method::POST, "/taken/rotate", json!({"overlap": -1}), 400, "invalid_key", "overlap"),
        (Method::POST, "/taken/burn", Value::Null, 404, "unknown_path", ""),
        (Method::PUT, "/taken", Value::Null, 405, "method_not_allowed", "PATCH"),
    ] {
        let answer = operate(&proxy, method.clone(), &format!("/admin/keys{path}"), body.clone()).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path} {body} {}", answer.text());
        assert!(answer.message().contains(said), "{said}: {}", answer.text());
    }
    let none = start(&a, None).await;
    let answer = operate(&none, Method::POST, "/admin/keys", json!({"name": "x"})).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "no_key_store"));
    assert!(answer.message().contains("clients.store"), "{}", answer.text());
}

#[tokio::test]
async fn keys_are_for_operators_and_at_their_listener_alone() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let store = Arc::new(KeyStore::default());
    let proxy = start(&a, Some(&store)).await;
    for path in ["/admin/keys", "/admin/keys/file", "/admin/keys/file/block", "/admin/openapi.json"] {
        let answer = Call::to(proxy.operators(), Method::GET, path).header("x-api-key", FILE).answer().await;
        assert_eq!(answer.status, 401, "{path}");
        let answer = proxy.call(Method::GET, path).header("x-api-key", ADMIN).answer().await;
        assert!([401, 404].contains(&answer.status), "{path}: {}", answer.status);
        let answer = proxy.call(Method::GET, path).header("x-api-key", FILE).answer().await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

/// What is wrong with a value by a schema of the document; the parts of JSON Schema that the document uses.
fn wrong(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).expect("the reference leads somewhere");
        return wrong(document, target, value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| wrong(document, choice, value, at).is_empty();
        return if choices.iter().any(|choice| fits(&choice)) {
            vec![]
        } else {
            vec![format!("{at} fits no choice: {value}")]
        };
    }
    let mut found = Vec::new();
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |wanted: &Value| wanted == kind || wanted == "number" && kind == "integer";
    let typed = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        one => is(one),
    };
    if !typed || schema.get("const").is_some_and(|wanted| wanted != value) {
        found.push(format!("{at} is {value}"));
    }
    if schema["enum"].as_array().is_some_and(|choices| !choices.contains(value)) {
        found.push(format!("{at} is none of the choices: {value}"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(wrong(document, &schema["items"], item, &format!("{at}[{index}]")));
    }
    let Some(object) = value.as_object() else { return found };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap_or_default()) {
            found.push(format!("{at} has no {name}"));
        }
    }
    for (name, value) in object {
        match schema["properties"].get(name) {
            Some(property) => found.extend(wrong(document, property, value, &format!("{at}.{name}"))),
            None if schema["additionalProperties"] == false => found.push(format!("{at} has {name}")),
            None => {}
        }
    }
    found
}

#[tokio::test]
async fn the_document_has_every_path_and_real_answers_fit_it() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let store = Arc::new(KeyStore::default());
    let proxy = start(&a, Some(&store)).await;
    let document = operate(&proxy, Method::GET, "/admin/openapi.json", Value::Null).await.json();
    for path in &pointsman::admin::PATHS {
        assert!(document["paths"].get(path.path).is_some(), "{} is not in the document", path.path);
    }
    assert_eq!(document["paths"].as_object().unwrap().len(), pointsman::admin::PATHS.len());
    let body = json!({
        "name": "new", "group": "team", "models": ["m"], "expires": "2999-01-31", "limits": {"rpm": 5, "parallel": 2},
        "budget": [{"usd": 50, "per": "day"}, {"usd": 0.5, "per": "30d"}], "notify": 0.8,
    });
    for (method, path, template, body, status) in [
        ("post", "/admin/keys", "/admin/keys", body, "201"),
        ("post", "/admin/keys", "/admin/keys", json!({"name": "new"}), "409"),
        ("post", "/admin/keys", "/admin/keys", json!({}), "400"),
        ("get", "/admin/keys", "/admin/keys", Value::Null, "200"),
        ("get", "/admin/keys?export", "/admin/keys", Value::Null, "200"),
        ("get", "/admin/keys/new", "/admin/keys/{id}", Value::Null, "200"),
        ("get", "/admin/keys/file", "/admin/keys/{id}", Value::Null, "200"),
        ("get", "/admin/keys/nobody", "/admin/keys/{id}", Value::Null, "404"),
        ("patch", "/admin/keys/new", "/admin/keys/{id}", json!({"notify": null}), "200"),
        ("patch", "/admin/keys/file", "/admin/keys/{id}", json!({"notify": null}), "409"),
        ("post", "/admin/keys/new/rotate", "/admin/keys/{id}/{action}", json!({"overlap": 60}), "200"),
        ("post", "/admin/keys/new/block", "/admin/keys/{id}/{action}", Value::Null, "200"),
        ("delete", "/admin/keys/new", "/admin/keys/{id}", Value::Null, "200"),
        ("post", "/admin/reload", "/admin/reload", Value::Null, "200"),
        ("get", "/admin/spend", "/admin/spend", Value::Null, "200"),
        ("get", "/health", "/health", Value::Null, "200"),
        ("get", "/ready", "/ready", Value::Null, "200"),
    ] {
        let operation = &document["paths"][template][method];
        if !body.is_null() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let found = wrong(&document, schema, &body, "body");
            assert_eq!(found.is_empty(), status != "400", "{method} {path}: {found:?}");
        }
        let verb = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
        let answer = operate(&proxy, verb, path, body).await;
        assert_eq!(answer.status.to_string(), status, "{method} {path}: {}", answer.text());
        let schema = &operation["responses"][status]["content"]["application/json"]["schema"];
        assert!(!schema.is_null(), "{method} {template} {status} is not in the document");
        let found = wrong(&document, schema, &answer.json(), "answer");
        assert!(found.is_empty(), "{method} {path}: {found:?}");
    }
}
