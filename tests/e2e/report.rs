//! `/admin/report`: its sums are those of the stories, whatever it adds up by.

use std::collections::BTreeMap;

use harness::{Answer, Mock, Proxy, Reply, eventually};
use http::Method;
use serde_json::{Value, json};

fn completion(prompt: u64, completion: u64) -> Reply {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion});
    Reply::json(200, &json!({"id": "1", "model": "m", "choices": [choice], "usage": usage}))
}

const KEYS: [(&str, &str); 2] =
    [("search", "sk-client-search-000000000000"), ("batch", "sk-client-batch-0000000000000")];

/// The key of the operator.
const OPERATOR: &str = "sk-operator-000000000000000";

async fn ask(proxy: &Proxy, key: &str, model: &str) -> Answer {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    proxy.chat_call(&body).header("authorization", &format!("Bearer {key}")).answer().await
}

async fn operate(proxy: &Proxy, path: &str) -> Value {
    let call = proxy.call(Method::GET, path).header("authorization", &format!("Bearer {OPERATOR}"));
    let answer = call.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Two clients, two models, failovers and failures: 12 requests, whose stories are kept when it returns.
async fn busy(more: Value) -> (Proxy, [Mock; 2]) {
    let a = Mock::start("a", Reply::error(500, "overloaded")).await;
    let b = Mock::start("b", completion(100, 20)).await;
    let keys: Vec<Value> = KEYS.iter().map(|(name, key)| json!({"name": name, "key": key, "group": "all"})).collect();
    let proxy = Proxy::builder()
        .provider(&a, json!({"models": ["m"]}))
        .provider(&b, json!({"models": ["m", "n"]}))
        .set(json!({
            "routing": {"health_check": {"failures": 20}},
            "server": {"api_keys": [OPERATOR]},
            "clients": {"groups": [{"name": "all"}], "keys": keys},
            "prices": {"models": {"m": {"input": 10, "output": 100}, "n": {"input": 1, "output": 1}}},
        }))
        .set(more)
        .start()
        .await;
    for round in 0..3 {
        for (_, key) in KEYS {
            assert_eq!(ask(&proxy, key, "m").await.status, 200);
            assert_eq!(
                ask(&proxy, key, if round == 0 { "unknown" } else { "n" }).await.status,
                if round == 0 { 404 } else { 200 }
            );
        }
    }
    eventually("all stories are kept", async || stories(&proxy).await.len() == 12).await;
    (proxy, [a, b])
}

async fn stories(proxy: &Proxy) -> Vec<Value> {
    operate(proxy, "/admin/stories").await["stories"].as_array().cloned().expect("a list")
}

/// By client and model: requests, failed, failovers, prompt's tokens, billionths of a dollar.
fn sums(stories: &[Value]) -> BTreeMap<(String, String), [u64; 5]> {
    let mut sums = BTreeMap::new();
    for story in stories {
        let text = |name: &str| story[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| story[name].as_u64().unwrap_or(0);
        let failed = story["status"].as_u64().is_none_or(|status| status >= 400);
        let failed_over = story["attempts"].as_array().is_some_and(|attempts| attempts.len() > 1);
        let more = [1, failed.into(), failed_over.into(), number("prompt_tokens"), number("cost_nano")];
        let sum: &mut [u64; 5] = sums.entry((text("client"), text("model"))).or_default();
        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
    sums
}

fn row(row: &Value) -> [u64; 5] {
    ["requests", "failed", "failovers", "prompt_tokens", "nano_dollars"]
        .map(|name| row[name].as_u64().expect("a number"))
}

#[tokio::test]
async fn the_sums_are_those_of_the_stories() {
    let (proxy, _mocks) = busy(json!({})).await;
    let expected = sums(&stories(&proxy).await);
    assert_eq!(expected.len(), 6);
    let report = operate(&proxy, "/admin/report?by=client,model&since=1h").await;
    let told: BTreeMap<_, _> = report["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|one| {
            let name = |of: &str| one["group"][of].as_str().unwrap_or_default().to_owned();
            ((name("client"), name("model")), row(one))
        })
        .collect();
    assert_eq!(told, expected);
    assert_eq!(expected[&("search".to_owned(), "m".to_owned())], [3, 0, 3, 300, 9_000_000]);
    let total: [u64; 5] = expected.values().fold([0; 5], |sum, row| std::array::from_fn(|at| sum[at] + row[at]));
    assert_eq!(row(&report["total"]), total);
    assert!(report["total"]["first_byte_ms"]["p50"].as_f64().is_some_and(|ms| ms > 0.0), "{report}");
    for by in [
        "client", "group", "route", "provider", "model", "strategy", "approach", "outcome", "fault", "status", "day",
        "hour",
    ] {
        let report = operate(&proxy, &format!("/admin/report?by={by}")).await;
        let sum = |at: usize| report["rows"].as_array().expect("rows").iter().map(|one| row(one)[at]).sum::<u64>();
        assert_eq!(std::array::from_fn(sum), total, "{by}");
    }
    let groups = operate(&proxy, "/admin/report?by=group").await;
    assert_eq!(groups["rows"][0]["group"]["group"], "all");
}

#[tokio::test]
async fn requests_are_chosen_by_the_filters_of_stories_and_csv_is_a_table() {
    let (proxy, _mocks) = busy(json!({})).await;
    let failed = operate(&proxy, "/admin/report?by=outcome&outcome=failed&client=search").await;
    assert_eq!(
        (&failed["total"]["requests"], &failed["rows"][0]["group"]["outcome"]),
        (&json!(1), &json!("model_not_found"))
    );
    let none = operate(&proxy, "/admin/report?until=2h&since=3h").await;
    assert_eq!((&none["total"]["requests"], &none["rows"]), (&json!(0), &json!([])));
    let key = format!("Bearer {OPERATOR}");
    let call =
        proxy.call(Method::GET, "/admin/report?by=model").header("authorization", &key).header("accept", "text/csv");
    let csv = call.answer().await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let lines: Vec<String> = csv.text().lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("model,requests,failed,failovers,prompt_tokens,completion_tokens,"), "{lines:?}");
    assert!(lines[1].starts_with("m,6,0,6,600,120,") && lines.len() == 4, "{lines:?}");
    let wrong = proxy.call(Method::GET, "/admin/report?by=colour").header("authorization", &key).answer().await;
    assert_eq!((wrong.status, &wrong.json()["error"]["param"]), (400, &json!("by")));
    assert_eq!(proxy.get("/admin/report").await.status, 401);
    assert_eq!(proxy.get("/admin/events.json").await.status, 401);
}

#[tokio::test]
async fn what_is_in_memory_and_in_the_folder_counts_once() {
    let place = tempfile::tempdir().expect("a folder");
    let ledger = json!({"monitoring": {"ledger": {"path": place.path().join("ledger"), "stories": 5}}});
    let (proxy, _mocks) = busy(ledger).await;
    eventually("the folder has them all", async || {
        operate(&proxy, "/admin/report?by=client").await["total"]["requests"] == json!(12)
    })
    .await;
}

#[tokio::test]
async fn labels_that_are_asked_for_come_from_the_configuration_and_with_a_reload() {
    let (mut proxy, _mocks) = busy(json!({"monitoring": {"labels": ["model", "client", "status"]}})).await;
    let key = format!("Bearer {OPERATOR}");
    let scrape =
        async |proxy: &Proxy| proxy.call(Method::GET, "/metrics").header("authorization", &key).answer().await.text();
    let shown = scrape(&proxy).await;
    for line in [
        r#"pointsman_labelled_requests_total{client="search",model="m",status="2xx"} 3"#,
        r#"pointsman_labelled_requests_total{client="batch",model="other",status="4xx"} 1"#,
        r#"pointsman_labelled_tokens_total{client="search",kind="prompt",model="n",status="2xx"} 200"#,
        r#"pointsman_labelled_cost_dollars_total{client="search",model="m",status="2xx"} 0.009"#,
    ] {
        assert!(shown.lines().any(|other| other == line), "{line} is missing in\n{shown}");
    }
    assert!(!shown.contains("\"unknown\""), "no label comes from a request");
    proxy.reload(json!({"monitoring": {"labels": ["model"]}})).await.expect("reloads");
    assert_eq!(ask(&proxy, KEYS[0].1, "m").await.status, 200);
    let line = r#"pointsman_labelled_requests_total{model="m"} 1"#;
    eventually("it counts anew", async || scrape(&proxy).await.lines().any(|other| other == line)).await;
}
