//! The facts that strategies are told about requests and outcomes, and that no request reaches a target that they
//! exclude.

use harness::{Answer, Mock, Proxy, ProxyBuilder, Reply, clerk, eventually};
use serde_json::{Value, json};

/// Two providers, `a` in the EU and `b` a spare in the US, before the witness, which is granted this.
fn before(a: &Mock, b: &Mock, grants: Value) -> ProxyBuilder {
    let (eu, us) = (json!({"labels": {"region": "eu"}, "price": {"input": 1, "output": 4}}), json!({"region": "us"}));
    let builder = Proxy::builder().provider(a, eu).provider(b, json!({"labels": us, "fallback_only": true}));
    let attributes = json!({
        "claim": {"header": "x-claim"}, "region": {"body": "metadata.region"}, "room": {"header": "x-room"},
    });
    builder.strategy("clerk").set(json!({
        "strategies": {"clerk": {"path": clerk(), "grants": grants}},
        "routing": {"attributes": attributes, "retries": 0},
        "monitoring": {"explain": true},
    }))
}

async fn mocks() -> (Mock, Mock) {
    (Mock::start("a", Reply::chat("a")).await, Mock::start("b", Reply::chat("b")).await)
}

async fn claims(proxy: &Proxy, claim: &str, body: &Value) -> String {
    let answer = proxy.chat_call(body).header("x-claim", claim).answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-pointsman-decision").to_owned()
}

fn in_region(region: &str) -> Value {
    json!({"model": "m", "messages": [], "metadata": {"region": region}})
}

#[tokio::test]
async fn the_prompt_and_what_else_is_known_reach_a_strategy_that_was_granted_it() {
    let (a, b) = mocks().await;
    let proxy = before(&a, &b, json!(["prompt"])).start().await;
    let body = json!({"model": "m", "max_tokens": 7, "messages": [
        {"role": "user", "content": "before"}, {"role": "assistant", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "héllo"}]},
    ]});
    let decision = claims(&proxy, "default 7 héllo", &body).await;
    assert!(decision.contains("order=a(not in the region); reason=as claimed"), "{decision}");
    assert!(claims(&proxy, "default 7 hello", &body).await.contains("reason=otherwise"));
}

#[tokio::test]
async fn without_a_grant_the_prompt_stays_outside() {
    let (a, b) = mocks().await;
    let proxy = before(&a, &b, json!([])).start().await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "secret"}]});
    assert!(claims(&proxy, "default 0 secret", &body).await.contains("reason=otherwise"));
    assert!(claims(&proxy, "default 0", &body).await.contains("reason=as claimed"));
}

#[tokio::test]
async fn who_is_excluded_is_tried_by_nobody_in_no_tier() {
    let (a, b) = mocks().await;
    let proxy = before(&a, &b, json!([])).start().await;
    let ask = async |region: &str| proxy.post("/v1/chat/completions", &in_region(region)).await;
    assert_eq!(ask("eu").await.provider(), "a");
    // The spare is the only one left, and tried although the primary is well.
    assert_eq!(ask("us").await.provider(), "b");
    let calls = || (a.calls(), b.calls());
    assert_eq!(calls(), (1, 1));
    let nobody: Answer = ask("mars").await;
    assert_eq!((nobody.status, nobody.code().as_str()), (503, "excluded_by_strategy"));
    let text = "The strategy clerk excludes every provider that could serve this request: not in the region.";
    assert_eq!(nobody.message(), text);
    assert_eq!(calls(), (1, 1));
    // The failure of the one that is allowed brings nobody else in.
    a.follow(Reply::status(500));
    let failed = ask("eu").await;
    assert_eq!((failed.status, failed.code().as_str()), (502, "all_providers_failed"), "{}", failed.text());
    assert_eq!(calls(), (2, 1));
}

#[tokio::test]
async fn who_does_not_serve_a_model_is_excluded_all_the_same() {
    let (a, b) = mocks().await;
    let unserved = json!({"error": {"message": "no such model", "code": "model_not_found"}});
    b.follow(Reply::json(404, &unserved));
    let options = |region: &str| json!({"labels": {"region": region}});
    let builder = Proxy::builder().provider(&a, options("eu")).provider(&b, options("us"));
    let proxy = builder
        .strategy("clerk")
        .set(json!({
            "strategies": {"clerk": {"path": clerk()}},
            "routing": {"attributes": {"claim": {"header": "x-claim"}, "region": {"body": "metadata.region"}}},
        }))
        .start()
        .await;
    let ask = async |region: &str| proxy.post("/v1/chat/completions", &in_region(region)).await;
    assert_eq!(ask("us").await.status, 404);
    a.follow(Reply::status(500));
    assert_eq!(ask("eu").await.status, 502);
    assert_eq!(b.calls(), 1, "it has said that it does not serve the model, and is not asked for this one");
}

#[tokio::test]
async fn a_request_that_does_not_fit_goes_where_it_does() {
    let (a, b) = mocks().await;
    let routes = json!([{"models": ["*"], "targets": [
        {"provider": "a", "model": "small", "context": 1000}, {"provider": "a", "model": "large", "context": 100_000},
    ]}]);
    let proxy = before(&a, &b, json!([])).set(json!({ "routes": routes })).start().await;
    let ask = async |words: usize| {
        let body =
            json!({"model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": "word ".repeat(words)}]});
        proxy.chat_call(&body).header("x-room", "yes").answer().await.status
    };
    assert_eq!((ask(10).await, ask(1_000).await, ask(1_000_000).await), (200, 200, 503));
    let asked: Vec<Value> = a.requests().iter().map(|seen| seen.json()["model"].clone()).collect();
    assert_eq!(asked, ["small", "large"]);
}

#[tokio::test]
async fn tokens_and_cost_reach_the_outcome() {
    let usage = json!({"prompt_tokens": 1000, "completion_tokens": 500});
    let choices = json!([{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]);
    let whole = Reply::json(200, &json!({"choices": choices, "usage": usage}));
    let stream = Reply::sse().word("one").event(&json!({"choices": [], "usage": usage})).done();
    let silent = Reply::json(200, &json!({ "choices": choices }));
    for (reply, streams, claim) in
        [(whole, false, "1000 500 0.003"), (stream, true, "1000 500 0.003"), (silent, false, "0 0 0")]
    {
        let (a, b) = (Mock::start("a", reply).await, Mock::start("b", Reply::chat("b")).await);
        let proxy = before(&a, &b, json!([])).start().await;
        let body = json!({"model": "m", "messages": [], "stream": streams});
        eventually("the strategy has heard of it", async || claims(&proxy, claim, &body).await.contains("as claimed"))
            .await;
    }
}
