//! Strategies that see the traffic and decide nothing.

use harness::{Mock, Proxy, Reply, eventually};
use serde_json::{Value, json};

async fn proxy(shadows: Value) -> (Proxy, [Mock; 2]) {
    let mocks = [Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await];
    let builder = Proxy::builder().provider(&mocks[0], json!({})).provider(&mocks[1], json!({}));
    let routing = json!({"routing": {"strategy": "failover", "shadow": shadows}});
    (builder.set(routing).start().await, mocks)
}

/// The page as JSON, once the first shadow has seen so many decisions.
async fn seen(proxy: &Proxy, decisions: u64) -> Value {
    let what = "the shadows have seen everything";
    let page = || async { proxy.get("/admin/shadow").await.json() };
    eventually(what, || async { page().await["shadows"][0]["decisions"] == decisions }).await;
    page().await
}

#[tokio::test]
async fn a_shadow_changes_nothing_and_is_compared() {
    let (proxy, [a, b]) = proxy(json!(["round_robin"])).await;
    for _ in 0..20 {
        assert_eq!(proxy.chat().await.provider(), "a");
    }
    assert_eq!((a.calls(), b.calls()), (20, 0));
    let page = seen(&proxy, 20).await;
    assert_eq!(page["strategy"], "failover");
    let shadow = &page["shadows"][0];
    assert_eq!(
        (&shadow["name"], &shadow["same_first"], &shadow["agreement"]),
        (&json!("round_robin"), &json!(10), &json!(0.5))
    );
    assert_eq!(
        (&shadow["state"], &shadow["missed"], &shadow["faults"]["trapped"]),
        (&json!("healthy"), &json!(0), &json!(0))
    );
    assert_eq!(proxy.metric("pointsman_shadow_decisions_total{strategy=\"round_robin\"}").await, 20.0);
    assert_eq!(proxy.metric("pointsman_shadow_same_first_total{strategy=\"round_robin\"}").await, 10.0);
    assert!(proxy.metric("pointsman_shadow_call_seconds_total{strategy=\"round_robin\"}").await > 0.0);
}

#[tokio::test]
async fn a_browser_gets_a_page_and_everybody_else_json() {
    let (proxy, _mocks) = proxy(json!(["weighted"])).await;
    let page = proxy.call(http::Method::GET, "/admin/shadow").header("accept", "text/html,*/*").answer().await;
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    assert!(page.text().contains("Shadows of failover") && page.text().contains("weighted"), "{}", page.text());
    let report = proxy.get("/admin/shadow").await;
    assert_eq!((report.status, &report.json()["shadows"][0]["agreement"]), (200, &Value::Null));
    assert_eq!(proxy.post("/admin/shadow", &json!({})).await.status, 405);
}

#[tokio::test]
async fn shadows_come_and_go_with_a_reload() {
    let (mut proxy, _mocks) = proxy(json!([])).await;
    assert_eq!(proxy.get("/admin/shadow").await.json()["shadows"], json!([]));
    proxy.reload(json!({"routing": {"shadow": ["round_robin", "least_busy"]}})).await.expect("reloads");
    proxy.chat().await;
    assert_eq!(seen(&proxy, 1).await["shadows"][1]["name"], "least_busy");
    proxy.reload(json!({"queue": {"max_concurrent": 7}})).await.expect("reloads");
    proxy.chat().await;
    seen(&proxy, 2).await;
    let failure = proxy.reload(json!({"routing": {"shadow": ["canary"]}})).await.expect_err("it wants a provider");
    assert!(failure.text.contains("routing.shadow: strategy `canary` rejects its configuration"), "{}", failure.text);
    proxy.chat().await;
    seen(&proxy, 3).await;
    proxy.reload(json!({"routing": {"shadow": []}})).await.expect("reloads");
    assert_eq!(proxy.get("/admin/shadow").await.json()["shadows"], json!([]));
}

#[tokio::test]
async fn who_may_not_see_metrics_does_not_see_shadows_either() {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy =
        Proxy::builder().provider(&a, json!({})).set(json!({"server": {"api_keys": ["sk-client"]}})).start().await;
    assert_eq!(proxy.get("/admin/shadow").await.status, 401);
}
