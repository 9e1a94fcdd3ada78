//! The ledger: why a request went where it went, as `/admin/stories` and its folder tell it.

use std::fs;
use std::path::Path;

use harness::{Mock, Proxy, Reply, eventually};
use serde_json::{Value, json};

fn names(list: &Value) -> Vec<&str> {
    list.as_array().map(|list| list.iter().filter_map(|one| one["name"].as_str()).collect()).unwrap_or_default()
}

/// The story of the request with this id, once it is over.
async fn story(proxy: &Proxy, id: &str) -> Value {
    let path = format!("/admin/stories/{id}");
    eventually("the story is kept", async || proxy.get(&path).await.status == 200).await;
    proxy.get(&path).await.json()["story"].clone()
}

#[tokio::test]
async fn a_failover_is_explained_from_the_candidates_to_the_tokens() {
    let a = Mock::start("a", Reply::json(500, &json!({"error": {"message": "overloaded"}}))).await;
    let b = Mock::start("b", Reply::chat("hello")).await;
    let c = Mock::start("c", Reply::chat("hello")).await;
    let proxy = Proxy::builder()
        .provider(&a, json!({}))
        .provider(&b, json!({}))
        .provider(&c, json!({"models": ["another"]}))
        .set(json!({"routing": {"strategy": "failover"}}))
        .start()
        .await;
    let answer = proxy.chat().await;
    assert_eq!(answer.status, 200);
    let story = story(&proxy, answer.header("x-request-id")).await;
    assert_eq!(
        (&story["outcome"], &story["provider"], &story["status"]),
        (&json!("succeeded"), &json!("b"), &json!(200))
    );
    let offer = &story["offers"][0];
    assert_eq!((&offer["tier"], &offer["origin"]), (&json!("primary"), &json!("strategy")));
    assert_eq!(offer["strategy"]["name"], "failover");
    assert_eq!(names(&offer["candidates"]), ["a", "b"]);
    assert_eq!((&offer["absent"][0]["name"], &offer["absent"][0]["why"]), (&json!("c"), &json!("model")));
    let attempts = story["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 2);
    assert_eq!((&attempts[0]["outcome"], &attempts[0]["status"]), (&json!("failed"), &json!(500)));
    assert!(attempts[0]["reason"].as_str().is_some_and(|reason| reason.contains("overloaded")), "{attempts:?}");
    assert!(story["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0));
}

#[tokio::test]
async fn a_provider_that_is_ejected_is_named_with_its_reason() {
    let a = Mock::start("a", Reply::json(401, &json!({"error": {"message": "no such key"}}))).await;
    let b = Mock::start("b", Reply::chat("hello")).await;
    let proxy = Proxy::builder()
        .provider(&a, json!({}))
        .provider(&b, json!({}))
        .set(json!({"routing": {"strategy": "failover"}}))
        .start()
        .await;
    assert_eq!(proxy.chat().await.status, 200);
    let answer = proxy.chat().await;
    let story = story(&proxy, answer.header("x-request-id")).await;
    let absent = &story["offers"][0]["absent"][0];
    assert_eq!((&absent["name"], &absent["why"]), (&json!("a"), &json!("ejected")));
    assert!(absent["for_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{absent}");
    assert!(absent["reason"].as_str().is_some_and(|reason| reason.contains("401")), "{absent}");
}

#[tokio::test]
async fn stories_are_searched_and_wrong_queries_refused() {
    let a = Mock::start("a", Reply::chat("hello")).await;
    let proxy = Proxy::builder().provider(&a, json!({})).start().await;
    let good = proxy.chat().await;
    let bad = proxy.post("/v1/chat/completions", &json!([])).await;
    assert_eq!((good.status, bad.status), (200, 400));
    let _ = (story(&proxy, good.header("x-request-id")).await, story(&proxy, bad.header("x-request-id")).await);
    let listed = async |query: &str| {
        let answer = proxy.get(&format!("/admin/stories?{query}")).await.json();
        let stories = answer["stories"].as_array().cloned().unwrap_or_default();
        stories.iter().map(|story| story["request_id"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let (good, bad) = (good.header("x-request-id").to_owned(), bad.header("x-request-id").to_owned());
    assert_eq!(listed("").await, [bad.as_str(), good.as_str()]);
    assert_eq!(listed("outcome=failed").await, [bad.as_str()]);
    assert_eq!(listed("provider=a&since=1h").await, [good.as_str()]);
    assert_eq!(listed("limit=1").await, [bad.as_str()]);
    let refused = proxy.get("/admin/stories?colour=red").await;
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!("query")));
    assert_eq!(proxy.get("/admin/stories/req_unknown").await.status, 404);
}

#[tokio::test]
async fn the_stories_of_a_folder_are_there_after_a_restart_and_hold_no_prompts() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("ledger");
    let a = Mock::start("a", Reply::chat("the answer is a secret")).await;
    let start = async |folder: &Path| {
        let ledger = json!({"monitoring": {"ledger": {"path": folder, "keep": "1h", "max_bytes": "10MiB"}}});
        Proxy::builder().provider(&a, json!({})).set(ledger).start().await
    };
    let proxy = start(&folder).await;
    let id = proxy.chat().await.header("x-request-id").to_owned();
    let _ = story(&proxy, &id).await;
    proxy.stop().await;
    let kept: String = fs::read_dir(&folder)
        .expect("there")
        .filter_map(|entry| fs::read_to_string(entry.expect("readable").path()).ok())
        .collect();
    assert!(kept.contains(&id) && !kept.contains("secret") && !kept.contains("hello"), "{kept}");
    let proxy = start(&folder).await;
    assert_eq!(story(&proxy, &id).await["provider"], "a");
}
