//! Keys that are made, rotated and brought along while a server runs: none of them is in anything that it writes or says,
//! but in the one answer that gives it out.

use std::path::Path;

use harness::{Answer, Call, Mock, Process, Reply, chat_request};
use http::Method;
use pointsman::clients::new_key;
use pointsman::config::digest_of;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{NAME, run, write};

const ADMIN: &str = "an-operators-key";

/// A key, in every form in which it might come to light.
fn forms(key: &str) -> Vec<String> {
    // The secret alone, without the public id before it.
    let secret = key.split('-').nth(2).filter(|secret| secret.len() > 20);
    let hexadecimal = key.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut forms = vec![key.to_owned(), hexadecimal, format!("{:?}", key.as_bytes())];
    forms.extend(secret.map(str::to_owned));
    forms
}

/// Claims that none of these keys is in `text`.
fn holds_none(keys: &[String], text: &[u8], what: &str) {
    for form in keys.iter().flat_map(|key| forms(key)) {
        let is_in = text.windows(form.len()).any(|window| window == form.as_bytes());
        assert!(!is_in, "{what} holds a key: {}", String::from_utf8_lossy(text));
    }
}

/// Every file below a folder, with its content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("it is there").flatten();
    let of = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => files(&path),
        path => vec![(path.display().to_string(), std::fs::read(&path).expect("readable"))],
    };
    entries.flat_map(of).collect()
}

/// All of an answer but the key that it gives out.
fn without_key(answer: &Answer) -> (String, Vec<u8>) {
    let mut body = answer.json();
    let key = body["key"].take().as_str().expect("it gives a key").to_owned();
    (key, format!("{:?} {body}", answer.headers).into_bytes())
}

#[tokio::test]
async fn no_key_that_was_made_rotated_or_brought_is_in_any_answer_log_metric_error_or_file() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join(NAME);
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a free port").port();
    let text = json!({
        "providers": [{"name": "a", "base_url": a.base_url(), "api_key": "k", "models": ["m"]}],
        "server": {"admin": {"port": port, "api_key": ADMIN}},
        "clients": {"groups": [{"name": "team", "limits": {"tpm": 100_000}}], "store": {"path": "state/keys.redb"}},
        "prices": {"models": {"m": {"input": 1, "output": 1}}},
        "monitoring": {"log_level": "TRACE", "explain": true},
    });
    write(&config, &format!("{text:#}\n"));
    let mut process = Process::serve(&config);
    process.address().await;
    let operators = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let operate = async |method: Method, path: &str, body: Value| {
        let call = Call::to(operators, method, path).header("authorization", &format!("Bearer {ADMIN}"));
        if body.is_null() { call.answer().await } else { call.json(&body).answer().await }
    };
    let (mut keys, mut said): (Vec<String>, Vec<(String, Vec<u8>)>) = (Vec::new(), Vec::new());
    let mut note = |what: &str, answer: &Answer| {
        said.push((what.to_owned(), format!("{:?}\n{}", answer.headers, answer.text()).into_bytes()));
    };

    // Made, rotated twice, and brought along as the hash of a text that a client has already.
    let made =
        operate(Method::POST, "/admin/keys", json!({"name": "made", "group": "team", "limits": {"rpm": 100}})).await;
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let mut rest = Vec::new();
    let mut given = |answer: &Answer| {
        let (key, others) = without_key(answer);
        rest.push(("the rest of an answer that gives a key".to_owned(), others));
        keys.push(key);
    };
    given(&made);
    given(&operate(Method::POST, &format!("/admin/keys/{id}/rotate"), json!({"overlap": 600})).await);
    given(&operate(Method::POST, "/admin/keys/made/rotate", json!({"overlap": 600})).await);
    let brought = format!("sk-litellm-{}", new_key(None).expect("random bits").text.reveal().replace('-', ""));
    let hash = digest_of(brought.as_bytes()).written();
    note("created by hash", &operate(Method::POST, "/admin/keys", json!({"name": "brought", "hash": hash})).await);
    keys.push(brought.clone());

    // Used well and badly, by clients and by operators.
    let chat = async |key: &str, model: &str| {
        let mut body = chat_request();
        body["model"] = model.into();
        process.call(Method::POST, "/v1/chat/completions").await.json(&body).header("x-api-key", key).answer().await
    };
    for key in &keys {
        let answer = chat(key, "m").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        note("a chat", &answer);
        note("an unknown model", &chat(key, "none").await);
        note("a damaged key", &chat(&format!("{key}x"), "m").await);
        note("a key for its own hash", &operate(Method::POST, "/admin/keys", json!({"name": "x", "hash": key})).await);
        note("a key as a key", &operate(Method::POST, "/admin/keys", json!({"name": "x", "key": key})).await);
        note("a key as an id", &operate(Method::GET, &format!("/admin/keys/{key}"), Value::Null).await);
        note("a key as an id to block", &operate(Method::POST, &format!("/admin/keys/{key}/block"), Value::Null).await);
        for path in ["/metrics", "/admin/keys", "/admin/reload"] {
            let call = Call::to(operators, Method::GET, path).header("authorization", &format!("Bearer {key}"));
            note("a client's key before operators' paths", &call.answer().await);
            note(
                "the same at the other door",
                &process.call(Method::GET, path).await.header("x-api-key", key).answer().await,
            );
        }
    }
    note("changed", &operate(Method::PATCH, "/admin/keys/made", json!({"models": ["other"]})).await);
    note("not allowed", &chat(&keys[0], "m").await);
    note("blocked", &operate(Method::POST, "/admin/keys/brought/block", Value::Null).await);
    note("a blocked key", &chat(&brought, "m").await);
    note("unblocked", &operate(Method::POST, "/admin/keys/brought/unblock", Value::Null).await);
    for path in [
        "/metrics",
        "/health",
        "/ready",
        "/admin/keys",
        "/admin/keys?export",
        "/admin/keys/made",
        "/admin/spend",
        "/admin/shadow",
    ] {
        note(path, &operate(Method::GET, path, Value::Null).await);
    }
    note("a reload", &operate(Method::POST, "/admin/reload", Value::Null).await);
    let list = ["key", "list", "--config", config.to_str().expect("text")];
    let (code, out, err) = run(Process::command(&list));
    assert!(code == Some(0) && out.contains("made") && out.contains("rpm 100"), "{out}{err}");
    said.push(("key list".to_owned(), format!("{out}{err}").into_bytes()));
    for seen in a.requests() {
        said.push((
            "what the provider was sent".to_owned(),
            format!("{:?} {:?}", seen.headers, seen.body).into_bytes(),
        ));
    }

    // All that is left behind, which a second start goes on with.
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    let second = Process::serve(&config);
    let again = second.call(Method::GET, "/v1/models").await.header("x-api-key", &brought).answer().await;
    assert_eq!(again.status, 200, "{}", again.text());
    for (which, process) in [("first", &process), ("second", &second)] {
        said.push((format!("the log of the {which}"), process.stderr().into_bytes()));
        said.push((format!("the output of the {which}"), process.stdout().into_bytes()));
    }
    assert!(said.iter().any(|(_, text)| text.windows(7).any(|part| part == b"rotated")), "the audit is in the log");
    said.extend(rest);
    said.extend(files(folder.path()));
    for (what, text) in &said {
        holds_none(&keys, text, what);
    }
}

#[tokio::test]
async fn a_key_that_is_imported_by_its_hash_goes_on_and_shows_nowhere() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let folder = TempDir::new().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let key = format!("sk-{}", new_key(None).expect("random bits").text.reveal().replace('-', ""));
    let digest = digest_of(key.as_bytes()).written();
    let hex = digest.strip_prefix("sha256:").expect("its form");
    write(
        Path::new(&path("config.yaml")),
        &format!(
            "model_list:\n- {{model_name: m, litellm_params: {{model: openai/m, api_base: '{}', api_key: none}}}}\n",
            a.base_url()
        ),
    );
    let table = format!("token,key_alias,team_id,rpm_limit\n{hex},search,7f0c,50\n{key},mistaken,,\n");
    write(Path::new(&path("keys.csv")), &table);
    write(Path::new(&path("teams.csv")), "team_id,team_alias,rpm_limit\n7f0c,searchers,500\n");
    let arguments = [
        "import",
        "litellm",
        &path("config.yaml"),
        "--keys",
        &path("keys.csv"),
        "--teams",
        &path("teams.csv"),
        "--output",
        &path(NAME),
    ];
    let (code, out, err) = run(Process::command(&arguments));
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("line 3 token"), "{err}");
    let process = Process::serve(Path::new(&path(NAME)));
    let call = process.call(Method::POST, "/v1/chat/completions").await;
    let mut body = chat_request();
    body["model"] = "m".into();
    let answer = call.json(&body).header("authorization", &format!("Bearer {key}")).answer().await;
    assert_eq!((answer.status, answer.header("x-ratelimit-limit-requests")), (200, "50"), "{}", answer.text());
    let made = std::fs::read(path(NAME)).expect("it was written");
    let said = [
        ("the output", out.into_bytes()),
        ("the report", err.into_bytes()),
        ("the configuration", made),
        ("the log", process.stderr().into_bytes()),
        ("an answer", format!("{:?}{}", answer.headers, answer.text()).into_bytes()),
    ];
    for (what, text) in &said {
        holds_none(std::slice::from_ref(&key), text, what);
    }
}
