//! What the answers of a session take: tokens and money in limits, metrics and stories, and the end of a budget.

use harness::{Proxy, Socket, eventually};
use serde_json::{Value, json};

use super::{done, provider};

const ONE: &str = "sk-one-zq7-s3cr3t";

/// Prices by which a million tokens cost a dollar, and a client with these limits.
fn limited(limits: &Value) -> Value {
    let mut key = limits.clone();
    (key["key"], key["name"]) = (json!(ONE), json!("one"));
    json!({
        "clients": {"unknown": "allow", "keys": [key]},
        "prices": {"models": {"*": {"input": 1, "output": 1}}},
    })
}

async fn knock(proxy: &Proxy, path: &str) -> Socket {
    proxy.knock(path).header("authorization", &format!("Bearer {ONE}")).open().await
}

#[tokio::test]
async fn each_answer_is_charged_when_it_ends_and_the_story_has_the_sum() {
    let a = provider("a").await;
    let set = limited(&json!({"limits": {"tpd": 100_000}}));
    let proxy = Proxy::builder().provider(&a, json!({})).set(set).start().await;
    let mut client = knock(&proxy, "/v1/realtime?model=gpt-4").await;
    let mut there = a.socket().await;
    let left = async || proxy.metric(r#"pointsman_limit_remaining{limit="tpd",owner="c/one"}"#).await;
    for (answers, taken) in [(1, 3000.0), (2, 6000.0)] {
        client.event(&json!({"type": "response.create"})).await;
        assert_eq!(there.json().await["type"], "response.create");
        there.event(&json!({"type": "response.created", "response": {"usage": null}})).await;
        there.event(&done(1000, 2000)).await;
        assert_eq!(client.json().await["type"], "response.created");
        assert_eq!(client.json().await["type"], "response.done");
        // A little of a day's tokens comes back meanwhile; one is set aside for the session.
        let near = |left: f64| (left - (100_000.0 - taken)).abs() < 20.0;
        eventually("the answer is charged", async || near(left().await)).await;
        assert!(near(left().await), "{answers}: {}", left().await);
    }
    client.close(1000, "").await;
    there.closed().await;
    there.close(1000, "").await;
    eventually("the session is over", async || {
        proxy.metric(r#"pointsman_tokens_total{kind="prompt",provider="a"}"#).await == 2000.0
    })
    .await;
    assert_eq!(proxy.metric(r#"pointsman_tokens_total{kind="completion",provider="a"}"#).await, 4000.0);
    assert_eq!(proxy.metric(r#"pointsman_cost_dollars_total{provider="a"}"#).await, 0.006);
    let story = &proxy.get("/admin/stories").await.json()["stories"][0];
    assert_eq!((&story["prompt_tokens"], &story["completion_tokens"]), (&json!(2000), &json!(4000)));
    assert_eq!((&story["cost_nano"], &story["websocket"]["answers"]), (&json!(6_000_000), &json!(2)));
    // Once charged, never again.
    let near = (left().await - 94_000.0).abs() < 40.0;
    assert!(near, "{}", left().await);
}

#[tokio::test]
async fn a_budget_that_is_used_up_ends_the_session_after_the_answer() {
    let a = provider("a").await;
    let set = limited(&json!({"budget": {"usd": 0.004, "per": "day"}}));
    let proxy = Proxy::builder().provider(&a, json!({})).set(set).start().await;
    let mut client = knock(&proxy, "/v1/realtime?model=gpt-4").await;
    let mut there = a.socket().await;
    // The provider answers what it hears, without being asked.
    there.event(&done(1000, 1000)).await;
    assert_eq!(client.json().await["type"], "response.done");
    there.event(&done(1000, 3000)).await;
    assert_eq!(client.json().await["type"], "response.done");
    let error = client.json().await;
    assert_eq!((&error["type"], &error["error"]["code"]), (&json!("error"), &json!("budget_exceeded")), "{error}");
    assert_eq!((client.closed().await.0, there.closed().await.0), (1008, 1001));
    let knock = proxy.knock("/v1/realtime?model=gpt-4").header("authorization", &format!("Bearer {ONE}"));
    let refusal = knock.refused().await;
    assert_eq!((refusal.status, refusal.code().as_str()), (429, "budget_exceeded"));
    assert_eq!(refusal.header("x-should-retry"), "false");
}

#[tokio::test]
async fn a_rate_refuses_an_answer_and_the_session_goes_on() {
    let a = provider("a").await;
    let set = limited(&json!({"limits": {"rpd": 2}}));
    let proxy = Proxy::builder().provider(&a, json!({})).set(set).start().await;
    let mut client = knock(&proxy, "/v1/realtime?model=gpt-4").await;
    let mut there = a.socket().await;
    // The session is the first of two.
    client.event(&json!({"type": "response.create", "event_id": "e1"})).await;
    there.json().await;
    client.event(&json!({"type": "response.create", "event_id": "e2"})).await;
    let error = client.json().await;
    assert_eq!((&error["error"]["code"], &error["error"]["event_id"]), (&json!("rate_limit_exceeded"), &json!("e2")));
    client.event(&json!({"type": "x"})).await;
    assert_eq!(there.json().await["type"], "x");
}

#[tokio::test]
async fn responses_are_charged_one_by_one_and_a_spent_budget_ends_them() {
    let a = provider("a").await;
    let set = limited(&json!({"budget": {"usd": 0.01, "per": "day"}}));
    let proxy = Proxy::builder().provider(&a, json!({})).set(set).start().await;
    let mut client = knock(&proxy, "/v1/responses").await;
    let create = json!({"type": "response.create", "model": "gpt-4", "input": "Hello", "max_output_tokens": 100});
    client.event(&create).await;
    let mut there = a.socket().await;
    there.json().await;
    let usage = json!({"input_tokens": 4000, "output_tokens": 6000, "total_tokens": 10_000});
    there.event(&json!({"type": "response.completed", "response": {"id": "r", "usage": usage}})).await;
    assert_eq!(client.json().await["type"], "response.completed");
    client.event(&create).await;
    let error = client.json().await;
    assert_eq!((&error["status"], &error["error"]["code"]), (&json!(429), &json!("budget_exceeded")), "{error}");
    assert_eq!((client.closed().await.0, there.closed().await.0), (1008, 1001));
    let refusal = proxy.knock("/v1/responses").header("authorization", &format!("Bearer {ONE}")).refused().await;
    assert_eq!(refusal.status, 429);
}
