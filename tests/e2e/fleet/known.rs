//! What replicas know of each other: who is there, who differs, and what all have used.

use harness::{Engine, Mock, Proxy, Reply, eventually};
use serde_json::{Value, json};

/// A replica whose provider has this weight.
async fn replica(mock: &Mock, engine: &Engine, weight: u8) -> Proxy {
    let routes = json!([{
        "name": "all", "models": ["*"], "limits": {"rpm": 100, "parallel": 10}, "budget": {"usd": 1000, "per": "total"},
    }]);
    Proxy::builder()
        .provider(mock, json!({"weight": weight}))
        .set(json!({"state": engine.state(), "routes": routes}))
        .set(json!({"prices": {"models": {"gpt-4": {"input": 1000, "output": 1000}}}}))
        .start()
        .await
}

/// In what each of the replicas differs that this one knows.
async fn differences(one: &Proxy) -> Vec<String> {
    let known = one.get("/admin/replicas").await.json();
    let all = known["replicas"].as_array().expect("a list").iter();
    let mut all: Vec<String> = all.map(|one| one["differs"].to_string()).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn each_knows_the_others_and_which_one_differs() {
    let (mock, engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let (first, second) = (replica(&mock, &engine, 1).await, replica(&mock, &engine, 1).await);
    eventually("both are alike", async || differences(&first).await == ["[]", "[]"]).await;
    let third = replica(&mock, &engine, 2).await;
    for one in [&first, &second, &third] {
        eventually("the third is different", async || differences(one).await == ["[\"config\"]", "[]", "[]"]).await;
    }
    let known = first.get("/admin/replicas").await.json();
    let this: Vec<&Value> =
        known["replicas"].as_array().expect("a list").iter().filter(|one| one["this"] == true).collect();
    assert_eq!((this.len(), &this[0]["generation"], &this[0]["state"]), (1, &json!(1), &json!("serving")), "{known}");
    assert!(this[0]["name"].as_str().is_some_and(|name| name.contains(&first.address().to_string())), "{known}");
    assert!(this[0]["strategies"]["all"].as_str().is_some_and(|strategy| strategy.len() > 12), "{known}");
    let page = first.get("/admin/replicas.html").await.text();
    assert!(page.contains("3 replicas, and 1 is different.") && page.contains("▲ configuration"), "{page}");
    let overview = first.get("/admin").await.text();
    assert!(overview.contains("3, 1 is different"), "{overview}");
    third.stop().await;
    eventually("it is gone", async || differences(&first).await == ["[]", "[]"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_replicas_have_spent_is_known_to_one_that_has_served_nothing() {
    let (mock, mut engine) = (Mock::start("one", Reply::chat("hi")).await, Engine::start().await);
    let all = [replica(&mock, &engine, 1).await, replica(&mock, &engine, 1).await, replica(&mock, &engine, 1).await];
    for one in &all[..2] {
        for _ in 0..3 {
            assert_eq!(one.chat().await.status, 200);
        }
    }
    let spent = |one: &Value| one["budgets"][0]["cost"].as_f64().unwrap_or_default();
    let own = all[0].get("/admin/spend").await.json()["total"]["cost"].as_f64().expect("a number");
    assert!(own > 0.0);
    let idle = &all[2];
    let whole = async || (spent(&idle.get("/admin/spend?replicas=all").await.json()) - 2.0 * own).abs() < 1e-6;
    eventually("it is told", whole).await;
    let told = idle.get("/admin/spend?replicas=all").await.json();
    let budget = &told["budgets"][0];
    assert_eq!((&told["replicas"], &budget["owner"], &budget["name"]), (&json!(3), &json!("route"), &json!("all")));
    assert_eq!((&budget["per"], &budget["limit"]), (&json!("total"), &json!(1000.0)));
    let page = idle.get("/admin/replicas.html").await.text();
    assert!(page.contains("route all") && page.contains("dollars in all") && page.contains("parallel"), "{page}");
    assert_eq!(idle.get("/admin/spend?replicas=some").await.status, 400);
    assert_eq!(idle.get("/admin/spend?replicas=all&by=model").await.status, 400);
    assert_eq!(idle.get("/admin/spend?replicas=this&by=model").await.status, 200);
    engine.kill();
    let refused = async || idle.get("/admin/spend?replicas=all").await.status == 503;
    eventually("it is out of reach", refused).await;
    let page = idle.get("/admin/replicas.html").await;
    assert!(page.status == 200 && page.text().contains("The engine is out of reach"), "{}", page.text());
}
