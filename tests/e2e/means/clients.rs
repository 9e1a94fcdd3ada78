//! Limits and budgets of clients and their groups, alone and through approaches.

use harness::{Answer, Mock, Proxy, Reply, eventually};
use serde_json::{Value, json};

const ONE: &str = "sk-one-zq7-s3cr3t";
const OTHER: &str = "sk-other-zq7-s3cr3t";

async fn chat(proxy: &Proxy, key: &str, body: &Value) -> Answer {
    proxy.chat_call(body).header("authorization", &format!("Bearer {key}")).answer().await
}

fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

/// An answer that has taken so many tokens.
fn answer(prompt: u32, completion: u32) -> Reply {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion});
    Reply::json(200, &json!({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}))
}

async fn start(mock: &Mock, clients: Value, more: Value) -> Proxy {
    let mut clients = clients;
    clients["unknown"] = json!("allow");
    Proxy::builder().provider(mock, json!({})).set(json!({"clients": clients})).set(more).start().await
}

async fn left(proxy: &Proxy, owner: &str, limit: &str) -> f64 {
    proxy.metric(&format!("pointsman_limit_remaining{{limit=\"{limit}\",owner=\"{owner}\"}}")).await
}

#[tokio::test]
async fn each_client_has_limits_of_its_own() {
    let a = Mock::start("a", answer(1, 1)).await;
    let keys = json!({"keys": [{"name": "one", "key": ONE, "limits": {"rpd": 1}}, {"name": "other", "key": OTHER}]});
    let proxy = start(&a, keys, json!({})).await;
    let first = chat(&proxy, ONE, &ask("m")).await;
    assert_eq!((first.status, first.header("x-ratelimit-remaining-requests")), (200, "0"));
    let refused = chat(&proxy, ONE, &ask("m")).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limit_exceeded"));
    assert!(refused.message().contains("of this key"), "{}", refused.message());
    assert_eq!(chat(&proxy, OTHER, &ask("m")).await.status, 200);
    assert_eq!(proxy.chat().await.status, 200, "whoever shows no key is let in, and has no limits");
    // Every answer to such a client tells of its limits, also one to a request that came to nothing.
    let wrong = chat(&proxy, ONE, &json!([])).await;
    assert_eq!((wrong.status, wrong.header("x-ratelimit-limit-requests")), (400, "1"));
    let refusals = "pointsman_limit_refusals_total{limit=\"requests\",owner=\"client\"}";
    assert!((proxy.metric(refusals).await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn a_group_shares_its_limits_and_one_that_refuses_takes_nothing_from_the_key() {
    let a = Mock::start("a", answer(1, 1)).await;
    let key = |name: &str, key: &str| json!({"name": name, "key": key, "group": "search", "limits": {"rpd": 10}});
    let groups = json!([{"name": "search", "limits": {"rpd": 2}}]);
    let proxy = start(&a, json!({"groups": groups, "keys": [key("one", ONE), key("other", OTHER)]}), json!({})).await;
    assert_eq!(chat(&proxy, ONE, &ask("m")).await.status, 200);
    assert_eq!(chat(&proxy, OTHER, &ask("m")).await.status, 200);
    let refused = chat(&proxy, ONE, &ask("m")).await;
    assert_eq!(refused.status, 429);
    assert!(refused.message().contains("of the group 'search'"), "{}", refused.message());
    assert!((left(&proxy, "c/one", "rpd").await - 9.0).abs() < 0.1);
}

#[tokio::test]
async fn a_spent_budget_is_told_with_its_end_and_not_to_be_tried_again() {
    let a = Mock::start("a", answer(0, 400)).await;
    let prices = json!({"prices": {"models": {"m": {"input": 0, "output": 10}}}});
    let keys = json!({"keys": [{"name": "one", "key": ONE, "budget": {"usd": 0.01, "per": "day"}}]});
    let proxy = start(&a, keys, prices).await;
    // 400 tokens are 0.004 dollars, and the guess of an answer is about 0.005.
    assert_eq!(chat(&proxy, ONE, &ask("m")).await.status, 200);
    assert_eq!(chat(&proxy, ONE, &ask("m")).await.status, 200);
    assert!((left(&proxy, "c/one", "usd:day").await - 0.002).abs() < 1e-9);
    let refused = chat(&proxy, ONE, &ask("m")).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "budget_exceeded"));
    assert_eq!(refused.json()["error"]["type"], "insufficient_quota");
    assert_eq!((refused.header("x-should-retry"), refused.header("retry-after")), ("false", ""));
    assert!(refused.message().contains("0.01 dollars per day"), "{}", refused.message());
    assert!(refused.message().contains("T00:00:00Z"), "{}", refused.message());
    assert_eq!(a.calls(), 2);
    // What needs less than is left goes on.
    let mut short = ask("m");
    short["max_tokens"] = json!(100);
    assert_eq!(chat(&proxy, ONE, &short).await.status, 200);
}

#[tokio::test]
async fn what_has_no_price_is_refused_under_a_budget_unless_it_is_free() {
    let a = Mock::start("a", answer(10, 10)).await;
    let keys = || json!({"keys": [{"name": "one", "key": ONE, "budget": {"usd": 5, "per": "month"}}]});
    let models = || json!({"m": {"input": 1, "output": 1}});
    let proxy = start(&a, keys(), json!({"prices": {"models": models()}})).await;
    assert_eq!(chat(&proxy, ONE, &ask("m")).await.status, 200);
    let refused = chat(&proxy, ONE, &ask("unknown")).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "model_unpriced"));
    assert!(refused.message().contains("unknown"), "{}", refused.message());
    assert_eq!(proxy.chat_call(&ask("unknown")).answer().await.status, 200, "without a budget it passes");
    let free = start(&a, keys(), json!({"prices": {"models": models(), "unpriced": "free"}})).await;
    assert_eq!(chat(&free, ONE, &ask("unknown")).await.status, 200);
    assert!((left(&free, "c/one", "usd:month").await - 5.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_stream_that_breaks_off_costs_what_it_gave() {
    let a = Mock::start("a", Reply::sse().word(&"x".repeat(3500)).cut()).await;
    let prices = json!({"prices": {"models": {"m": {"input": 0, "output": 10}}}});
    let keys = json!({"keys": [{"name": "one", "key": ONE, "budget": {"usd": 1, "per": "total"}}]});
    let proxy = start(&a, keys, prices).await;
    let mut body = ask("m");
    body["stream"] = json!(true);
    assert_eq!(chat(&proxy, ONE, &body).await.status, 200);
    // About 1,000 tokens at 10 dollars for a million.
    eventually("it is settled", async || (left(&proxy, "c/one", "usd:total").await - 0.99).abs() < 0.001).await;
}

#[tokio::test]
async fn an_approach_takes_one_request_of_its_client_and_the_tokens_of_all_its_questions() {
    let a = Mock::start("a", answer(100, 50)).await;
    let limits = json!({"rpd": 10, "tpd": 100_000, "parallel": 5});
    let keys = json!({"keys": [{"name": "one", "key": ONE, "limits": limits}]});
    let proxy = start(&a, keys, json!({})).await;
    let answered = chat(&proxy, ONE, &ask("bon-m")).await;
    assert_eq!((answered.status, answered.header("x-ratelimit-limit-tokens")), (200, "100000"));
    let calls = a.calls();
    assert!(calls > 1, "{calls}");
    eventually("no request is held", async || left(&proxy, "c/one", "parallel").await > 4.5).await;
    assert!((left(&proxy, "c/one", "rpd").await - 9.0).abs() < 0.1);
    let charged = 100_000.0 - left(&proxy, "c/one", "tpd").await;
    let asked = (calls * 150) as f64;
    assert!(charged <= asked && charged >= asked - 20.0, "{charged} of {asked}");
}

#[tokio::test]
async fn the_questions_of_an_approach_are_refused_like_requests() {
    let a = Mock::start("a", answer(100, 50)).await;
    let keys = json!({"keys": [{"name": "one", "key": ONE, "limits": {"tpd": 140}}]});
    let proxy = start(&a, keys, json!({})).await;
    assert_eq!(chat(&proxy, ONE, &ask("m")).await.status, 200, "it takes more than there was");
    let refused = chat(&proxy, ONE, &ask("bon-m")).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limit_exceeded"), "{refused:?}");
}

#[tokio::test]
async fn once_a_budget_is_spent_its_client_gets_the_model_that_is_named_for_that() {
    let a = Mock::start("a", answer(0, 400)).await;
    let routes = json!({
        "prices": {"models": {"*": {"input": 0, "output": 10}}},
        "routes": [{"models": ["m"]}, {"name": "small", "models": ["small"], "limits": {"rpd": 2}}],
    });
    let budget = json!({"usd": 0.008, "per": "day"});
    let keys = json!({"keys": [
        {"name": "one", "key": ONE, "budget": budget, "when_exhausted": "small", "notify": 0.5},
    ]});
    let proxy = start(&a, keys, routes).await;
    let first = chat(&proxy, ONE, &ask("m")).await;
    assert_eq!((first.status, first.header("x-pointsman-model")), (200, ""));
    let notices = "pointsman_budget_notices_total{owner=\"client\"}";
    eventually("half of the budget is used up", async || proxy.metric(notices).await > 0.5).await;
    for _ in 0..2 {
        let instead = chat(&proxy, ONE, &ask("m")).await;
        assert_eq!((instead.status, instead.header("x-pointsman-model")), (200, "small"), "{instead:?}");
    }
    let models: Vec<Value> = a.requests().iter().map(|seen| seen.json()["model"].clone()).collect();
    assert_eq!(models, [json!("m"), json!("small"), json!("small")]);
    // It costs on top of the budget, and the limits of its own route hold.
    eventually("it is charged", async || left(&proxy, "c/one", "usd:day").await < 1e-9).await;
    assert_eq!(chat(&proxy, ONE, &ask("m")).await.code(), "rate_limit_exceeded");
    assert!((proxy.metric(notices).await - 1.0).abs() < 0.1, "once in a window");
}
